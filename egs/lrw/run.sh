#!/usr/bin/env bash
# Single words from lips on LRW, LiRA's word level: mouths -> trunk, from scratch or from a pretext -> one of 500 words.
# Give the corpus with --corpus, whole or in part; README.md says how to get it.
[ "${BASH##*/}" = bash ] || exec bash "$0" "$@" # called as sh run.sh
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh
. ./cmd.sh

# options
stage=0                     # first stage to run
stop_stage=5                # last stage to run
corpus=lipread_mp4          # folder of LRW: ABOUT/{train,val,test}/ABOUT_00001.mp4, ...
protocol=lrw                # lrw: the corpus' own sets
config=conf/lira_word_supervised.yaml # training config
override=                   # keys of the config with other values: "boundaries: true, max_epochs: 12"
init=                       # pretext to begin with, of ../lrs3 say, or whose frozen trunk the words stand behind
shares=                     # per cent of the labels: "1 5 20" makes the sets train-01, train-05, train-20
train=train                 # set to learn from, such as train-05
exp=                        # experiment folder; empty: exp/<protocol>_<config>, with the share of the labels
dump=dump                   # folder of crops and states
sets="test"                 # sets to read and score, separated by blanks
publish=exp/RESULTS.md      # file that gets the result rows; empty: none; RESULTS.md, which git tracks: for maintainers
nj=2                        # worker processes
ngpu=0                      # GPUs
# end of options
# shellcheck source=../../utils/parse_options.sh
. "$root/utils/parse_options.sh"
# shellcheck source=../../utils/stages.sh
. "$root/utils/stages.sh"
# shellcheck source=../../utils/config.sh
. "$root/utils/config.sh"

input=$(key input)
exp=${exp:-exp/${protocol}_$(basename "$config" .yaml)${train#train}}
data=data/$protocol
# shellcheck source=../../utils/set_up.sh
. "$root/utils/set_up.sh"
if runs 2 && [[ $input:$init = features-*: ]]; then usage "--init: say whose trunk is frozen: --init EXP"; fi

if stage 0 "find the corpus, write the data dirs"; then
  lipsound2 prepare lrw "$corpus" data --protocol "$protocol"
  lipsound2 validate data/all
  for share in $shares; do
    lipsound2 subset "$data/train" "$data/train-$(printf %02d "$share")" --share "${share}e-2" --by text
  done
fi

if stage 1 "video -> landmarks, mouth crops"; then
  needs 0 data/all/utt2spk
  lipsound2 crop data/all "$dump" --regions mouth --nj "$nj" --launcher "$launcher"
fi

if stage 2 "states of a frozen trunk, where the config asks for them"; then
  needs 0 data/all/utt2spk
  if [[ $input = features-* ]]; then
    lipsound2 features "$init" data/all "$dump" --name "${input#features-}" \
      --nj "$nj" --ngpu "$ngpu"
  fi
fi

if stage 3 "training"; then
  needs_sets "$train" valid
  needs_dump
  [[ $input = features-* ]] && begin='' || begin=$init # behind a frozen trunk everything is new
  lipsound2 train "$config" --train "$data/$train" --valid "$data/valid" \
    --dump "$dump" --exp "$exp" ${begin:+--init "$begin"} ${override:+--override "$override"} --ngpu "$ngpu" \
    --launcher "$launcher"
fi

if stage 4 "words from lips"; then
  needs 3 "$exp/model.safetensors"
  needs_sets $sets
  for set in $sets; do
    lipsound2 decode "$exp" "$data/$set" "$exp/text/$set/greedy" --dump "$dump" --ngpu "$ngpu"
  done
fi

if stage 5 "word errors, report"; then
  needs 3 "$exp/model.safetensors"
  needs_sets $sets
  for set in $sets; do
    needs 4 "$exp/text/$set"
  done
  for set in $sets; do
    lipsound2 score "$data/$set" "$exp/text/$set/greedy" --out "$exp/scores/$set"
  done
  lipsound2 report "$exp" ${publish:+--publish "$publish"}
fi
