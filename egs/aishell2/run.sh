#!/usr/bin/env bash
# A recogniser of Mandarin on AISHELL-2 or AISHELL-1, as LipSound2 hears its speech with: sound -> text -> errors.
# Give the corpus with --corpus, whole or in part; README.md says how to get it.
[ "${BASH##*/}" = bash ] || exec bash "$0" "$@" # called as sh run.sh
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh
. ./cmd.sh

# options
stage=0                     # first stage to run
stop_stage=5                # last stage to run
corpus=AISHELL-2            # folder of AISHELL-2 (with the evaluation sets somewhere below) or data_aishell
protocol=aishell2           # corpus: aishell2, aishell1
config=conf/asr_jasper.yaml # training config
override=                   # keys of the config with other values: "max_epochs: 12, lr: 1e-4"
init=                       # experiment or pack to start from
exp=                        # experiment folder; empty: exp/<protocol>_<config>
sets="dev test"             # sets to hear and score, separated by blanks
order=6                     # of the n-gram language model that is also decoded with; 0: none
lm=                         # its ARPA file, over characters; empty: made of the training texts
lm_weight=0.5               # of the language model
word_bonus=0.0              # for every character
beam=16                     # texts that are kept in the search
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
# shellcheck source=../../utils/set_up.sh
. "$root/utils/set_up.sh"

exp=${exp:-exp/${protocol}_$(basename "$config" .yaml)}
data=data/$protocol dump=dump
[ "$order" -eq 0 ] || lm=${lm:-exp/lm/$protocol-$order.arpa}
# there SET: a part of the corpus may be missing.
there() { [ -d "$data/$1" ] || { echo "$data/$1 is not there, left out"; return 1; }; }

if stage 0 "check the corpus, write the data dirs"; then
  lipsound2 prepare aishell "$corpus" data --protocol "$protocol"
  lipsound2 validate data/all
fi

if stage 1 "crops"; then
  echo "nothing to do: the corpus has no pictures"
fi

if stage 2 "sound"; then
  needs 0 data/all/utt2spk
  lipsound2 mel data/all dump --mel none --nj "$nj" --launcher "$launcher"
fi

if stage 3 "training, and n-grams of the training texts"; then
  needs_sets train dev
  needs_dump
  if [ -n "$lm" ] && [ ! -f "$lm" ]; then
    lipsound2 ngram "$data/train" "$lm" --order "$order" --language zh --unit characters --prune 0,0,1
  fi
  lipsound2 train "$config" --train "$data/train" --valid "$data/dev" \
    --dump dump --exp "$exp" ${init:+--init "$init"} ${override:+--override "$override"} --ngpu "$ngpu" \
    --launcher "$launcher"
fi

if stage 4 "recognition, without and with the language model"; then
  needs 3 "$exp/model.safetensors"
  for set in $sets; do
    there "$set" || continue
    lipsound2 decode "$exp" "$data/$set" "$exp/text/$set/greedy" --dump dump --ngpu "$ngpu" \
      --nj "$nj" --launcher "$launcher"
    if [ -n "$lm" ]; then
      lipsound2 decode "$exp" "$data/$set" "$exp/text/$set/$(basename "$lm" .arpa)" --dump dump --ngpu "$ngpu" \
        --lm "$lm" --lm-weight "$lm_weight" --word-bonus "$word_bonus" --beam "$beam" --nj "$nj" --launcher "$launcher"
    fi
  done
fi

if stage 5 "character errors, report"; then
  needs 3 "$exp/model.safetensors"
  needs 4 "$exp/text"
  for set in $sets; do
    there "$set" || continue
    for heard in "$exp/text/$set"/*/; do
      lipsound2 score "$data/$set" "$heard" --out "$exp/scores/$set" --language zh
    done
  done
  lipsound2 report "$exp" ${publish:+--publish "$publish"}
fi
