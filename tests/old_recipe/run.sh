#!/usr/bin/env bash
# The mini recipe: talking faces generated on the spot, in GRID's layout and grammar, through all six stages.
# From a finished set-up it takes a few minutes on two cores and ends with a report to look at.
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh
. ./cmd.sh

# options
stage=0                     # first stage to run
stop_stage=5                # last stage to run
corpus=corpus               # where the generated corpus lies
clips=120                   # clips to generate, two speakers together
config=conf/mini.yaml       # training config
override=                   # keys of the config with other values: "max_epochs: 12, lr: 1e-4"
exp=                        # experiment folder; empty: exp/<config>
asr=pocketsphinx:grid       # who hears the speech, and counts word errors; empty: nobody
nj=2                        # worker processes
ngpu=0                      # GPUs
# end of options
# shellcheck source=../../utils/parse_options.sh
. "$root/utils/parse_options.sh"
# shellcheck source=../../utils/stages.sh
. "$root/utils/stages.sh"

exp=${exp:-exp/$(basename "$config" .yaml)}
sets=data/mini

if stage 0 "generate the corpus, write the data dirs"; then
  lipsound2 generate "$corpus" --clips "$clips" --nj "$nj"
  lipsound2 prepare grid "$corpus" data --protocol mini
  lipsound2 validate data/all
fi

if stage 1 "video -> landmarks, face and mouth crops"; then
  lipsound2 crop data/all dump --nj "$nj" --launcher "$launcher"
fi

if stage 2 "sound aligned to the frame, mel-spectrograms"; then
  lipsound2 mel data/all dump --nj "$nj" --launcher "$launcher"
fi

if stage 3 "training"; then
  lipsound2 train "$config" --train $sets/train --valid $sets/valid --dump dump --exp "$exp" \
    ${override:+--override "$override"} --ngpu "$ngpu" --launcher "$launcher"
fi

if stage 4 "synthesis, with the three controls"; then
  lipsound2 synthesize "$exp" $sets/test "$exp/wav/test" --dump dump --ngpu "$ngpu" --nj "$nj" --launcher "$launcher"
fi

if stage 5 "scores, verdict, report"; then
  lipsound2 score dump/sound "$exp/wav/test" --out "$exp/scores/test" --nj "$nj" \
    ${asr:+--asr "$asr" --text $sets/test} --launcher "$launcher"
  lipsound2 report "$exp"
fi
