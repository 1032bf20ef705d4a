#!/usr/bin/env bash
# LiRA's pretext on LRS3: mouths and sounds without a label -> an experiment that ../lrw, ../lrs2 and others begin from.
# With a config of ../lrs2: sentences from lips, as there. Give the corpus with --corpus, whole or in part; README.md
# says what has become of it.
[ "${BASH##*/}" = bash ] || exec bash "$0" "$@" # called as sh run.sh
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh
. ./cmd.sh

# options
stage=0                     # first stage to run
stop_stage=5                # last stage to run
corpus=lrs3                 # folder of LRS3: pretrain, trainval, test
lists=                      # AV-HuBERT's lrs3-valid.id; empty: in the corpus' folder, else talks are held out by hash
protocol=lrs3               # training set: lrs3, pretrain and trainval; lrs3-trainval, trainval alone
config=conf/lira_pretext.yaml # training config; ../lrs2/conf/lira_sentence_*.yaml reads
target=                     # what the pretext predicts, as lipsound2 targets takes it: pase:PACK, mfcc, logmel, ...
override=                   # keys of the config with other values: "max_epochs: 12, lr: 1e-4"
pieces=0                    # tokens: so many sentencepiece pieces of the training texts; 0: characters
init=                       # pretext to begin with, or whose frozen trunk the text stands behind
shares=                     # per cent of the labels: "1 5 20" makes the sets train-01, train-05, train-20
train=train                 # set to learn from, such as train-05
exp=                        # experiment folder; empty: exp/<protocol>_<config>, with the share of the labels
dump=dump                   # folder of crops, sounds, targets, states
sets="test"                 # sets to read and score, separated by blanks
lm=                         # language model: ARPA file or experiment; empty: ../lrs2/conf/lm.yaml of training texts; none
lm_weight=0.6               # of the language model, as LiRA's group has it (../lrs2/README.md)
ctc_weight=0.1              # share of CTC beside the decoder, likewise
beam=40                     # texts that are kept in the search, likewise
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

input=$(key input) goal=$(key target)
exp=${exp:-exp/${protocol}_$(basename "$config" .yaml)${train#train}}
data=data/$protocol
tokens=exp/tokens/$protocol${train#train}_$pieces.model
[ "$pieces" -eq 0 ] || override="${override:+$override, }tokens: $tokens"
model=${lm:-${exp}_lm}
if [ -n "$goal" ]; then
  sets='' # a pretext writes no text
fi
# shellcheck source=../../utils/set_up.sh
. "$root/utils/set_up.sh"
if runs 2 && [ -n "$goal" ] && [ -z "$target" ]; then usage "--target: say what the pretext predicts: --target logmel, mfcc, pase:EXP, ..."; fi
if runs 2 && [[ $input:$init = features-*: ]]; then usage "--init: say whose trunk is frozen: --init EXP"; fi

if stage 0 "find the corpus, write the data dirs"; then
  lipsound2 prepare lrs3 "$corpus" data --protocol "$protocol" ${lists:+--lists "$lists"}
  lipsound2 validate data/all
  for share in $shares; do
    lipsound2 subset "$data/train" "$data/train-$(printf %02d "$share")" --share "${share}e-2"
  done
fi

if stage 1 "video -> landmarks, mouth crops"; then
  needs 0 data/all/utt2spk
  lipsound2 crop data/all "$dump" --regions mouth --nj "$nj" --launcher "$launcher"
fi

if stage 2 "sound aligned to the picture; the pretext's targets, or the states of a frozen trunk"; then
  needs 0 data/all/utt2spk
  lipsound2 mel data/all "$dump" --mel none --nj "$nj" --launcher "$launcher"
  if [ -n "$goal" ]; then
    lipsound2 targets data/all "$dump" --target "$target" \
      --name "${goal#targets-}" --train "$data/$train" --nj "$nj"
  elif [[ $input = features-* ]]; then
    lipsound2 features "$init" data/all "$dump" --name "${input#features-}" \
      --nj "$nj" --ngpu "$ngpu"
  fi
fi

if stage 3 "training; for sentences a language model of the training texts"; then
  needs_sets "$train" valid
  needs_dump
  if [ "$pieces" -gt 0 ] && [ ! -f "$tokens" ]; then
    lipsound2 tokens "$data/$train" "$tokens" --size "$pieces"
  fi
  [[ $input = features-* ]] && begin='' || begin=$init # behind a frozen trunk everything is new
  lipsound2 train "$config" --train "$data/$train" --valid "$data/valid" \
    --dump "$dump" --exp "$exp" ${begin:+--init "$begin"} ${override:+--override "$override"} --ngpu "$ngpu" \
    --launcher "$launcher"
  if [ -z "$goal$lm" ]; then
    lipsound2 train ../lrs2/conf/lm.yaml --train "$data/$train" --valid "$data/valid" \
      --dump "$dump" --exp "$model" --override "tokens: $exp" --ngpu "$ngpu" --launcher "$launcher"
  fi
fi

if stage 4 "text from lips: the best path, and joint search with the language model"; then
  needs 3 "$exp/model.safetensors"
  needs_sets $sets
  for set in $sets; do
    [ "$model" = none ] && with=() || with=(--lm "$model" --lm-weight "$lm_weight")
    lipsound2 decode "$exp" "$data/$set" "$exp/text/$set/greedy" --dump "$dump" --ngpu "$ngpu" \
      --nj "$nj" --launcher "$launcher"
    lipsound2 decode "$exp" "$data/$set" "$exp/text/$set/joint" --dump "$dump" --ngpu "$ngpu" \
      --ctc-weight "$ctc_weight" --beam "$beam" "${with[@]}" --nj "$nj" --launcher "$launcher"
  done
fi

if stage 5 "word errors, report"; then
  needs 3 "$exp/model.safetensors"
  needs_sets $sets
  for set in $sets; do
    needs 4 "$exp/text/$set"
  done
  for set in $sets; do
    for read in "$exp/text/$set"/*/; do
      lipsound2 score "$data/$set" "$read" --out "$exp/scores/$set"
    done
  done
  lipsound2 report "$exp" ${publish:+--publish "$publish"}
  [ -z "$goal" ] || echo "to begin from it: ../lrw/run.sh or ../lrs2/run.sh --init ../lrs3/$exp"
fi
