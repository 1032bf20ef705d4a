#!/usr/bin/env bash
# LipSound2 on TCD-TIMIT: video of a talking face -> crops -> mel -> training -> speech -> scores and a report.
# With a config of the task recognise: sound -> training of a recogniser -> text -> word errors and a report.
# Give the corpus with --corpus, whole or in part, and TIMIT's sentences with --prompts; README.md says how to get both.
[ "${BASH##*/}" = bash ] || exec bash "$0" "$@" # called as sh run.sh
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh
. ./cmd.sh

# options
stage=0                     # first stage to run
stop_stage=5                # last stage to run
corpus=TCD-TIMIT            # folder that holds volunteers, lipspeakers or both
prompts=                    # TIMIT's PROMPTS.TXT; empty: prompts.txt in the corpus' folder, or no words
protocol=lipspeakers        # lipspeakers, lipspeakers-unseen, volunteers-unseen, volunteers-seen, lists
lists=                      # folder of TSV lists, for --protocol lists
config=conf/parallel.yaml   # training config
override=                   # keys of the config with other values: "max_epochs: 12, lr: 1e-4"
mel=                        # mel of the config's target: fine or paper; empty: as the config says
init=                       # experiment or pack to start from
exp=                        # experiment folder; empty: exp/<protocol>_<config>
data=                       # folder of data dirs that stage 0 makes, or of sets of your own; empty: data
dump=dump                   # folder of crops, sounds, mels
sets="test"                 # sets to speak or to hear, and score, separated by blanks
asr=own                     # who hears the speech: own (trained on true sound), experiments, ...; empty: nobody
ears=conf/asr_conformer.yaml # config of our own recogniser
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

exp=${exp:-exp/${protocol}_$(basename "$config" .yaml)}
mel=${mel:-$(mel_kind)}
task=$(key task)
own=exp/${protocol}_$(basename "$ears" .yaml)
# shellcheck source=../../utils/data.sh
. "$root/utils/data.sh"
# shellcheck source=../../utils/set_up.sh
. "$root/utils/set_up.sh"

if stage 0 "check the corpus, write the data dirs"; then
  lipsound2 prepare tcd_timit "$corpus" "$home" --protocol "$protocol" ${prompts:+--prompts "$prompts"} \
    ${lists:+--lists "$lists"}
  lipsound2 validate "$all"
fi

if stage 1 "video -> landmarks, face and mouth crops"; then
  needs 0 "$all/utt2spk"
  lipsound2 crop "$all" "$dump" --nj "$nj" --launcher "$launcher"
fi

if stage 2 "sound aligned to the picture, mel-spectrograms"; then
  needs 0 "$all/utt2spk"
  lipsound2 mel "$all" "$dump" --mel "$mel" --nj "$nj" --launcher "$launcher"
fi

if stage 3 "training"; then
  needs_sets train valid
  needs_dump
  lipsound2 train "$config" --train "$data/train" --valid "$data/valid" \
    --dump "$dump" --exp "$exp" ${init:+--init "$init"} ${override:+--override "$override"} --ngpu "$ngpu" \
    --launcher "$launcher"
fi

if stage 4 "synthesis with the three controls, or recognition"; then
  needs 3 "$exp/model.safetensors"
  needs_sets $sets
  for set in $sets; do
    if [ "$task" = recognise ]; then
      lipsound2 decode "$exp" "$data/$set" "$exp/text/$set/greedy" --dump "$dump" --ngpu "$ngpu" \
        --nj "$nj" --launcher "$launcher"
    else
      lipsound2 synthesize "$exp" "$data/$set" "$exp/wav/$set" --dump "$dump" --ngpu "$ngpu" \
        --nj "$nj" --launcher "$launcher"
    fi
  done
fi

if stage 5 "scores, verdict, report"; then
  needs 3 "$exp/model.safetensors"
  for set in $sets; do
    if [ "$task" = recognise ]; then needs 4 "$exp/text/$set"; else needs 4 "$exp/wav/$set"; fi
  done
  if [ ! -f "$data/train/text" ]; then
    echo "no words are known (--prompts), so none are counted"
    asr=
  fi
  if [ "$task" != recognise ] && [[ ,$asr, == *,own,* ]]; then # trained once, skipped when it is there
    [ -f "$own/model.safetensors" ] || echo "first our own recogniser is trained, $own; --asr names another, --asr '' none"
    ./run.sh --config "$ears" --exp "$own" --protocol "$protocol" --data "$data" --dump "$dump" --ngpu "$ngpu" \
      --stage 3 --stop-stage 3
    asr=,$asr, asr=${asr/,own,/,$own,} # the word alone, not a part of somebody's path; commas at the ends do no harm
  fi
  for set in $sets; do
    if [ "$task" = recognise ]; then
      lipsound2 score "$data/$set" "$exp/text/$set/greedy" --out "$exp/scores/$set"
    else
      lipsound2 score "$dump/sound" "$exp/wav/$set" --out "$exp/scores/$set" --nj "$nj" \
        ${asr:+--asr "$asr" --text "$data/$set"} --launcher "$launcher"
    fi
  done
  lipsound2 report "$exp" ${publish:+--publish "$publish"}
fi
