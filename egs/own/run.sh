#!/usr/bin/env bash
# Videos of your own, in any folders, to a model of these faces: crops -> mel -> training -> speech -> scores and a report.
# A text beside a video (clip.txt beside clip.mp4) is what is said in it; without texts no words are counted.
[ "${BASH##*/}" = bash ] || exec bash "$0" "$@" # called as sh run.sh
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh
. ./cmd.sh

# options
stage=0                     # first stage to run
stop_stage=5                # last stage to run
corpus=videos               # folder of the videos; the first folder below it is the speaker
protocol=own                # own: 8 of 10 clips train, 1 valid, 1 test; lists
lists=                      # folder of TSV lists, for --protocol lists
config=conf/parallel.yaml   # training config
override=                   # keys of the config with other values: "max_epochs: 12, lr: 1e-4"
mel=                        # mel of the config's target: fine or paper; empty: as the config says
init=                       # experiment or pack to start from, such as ../../lipsound2/pretrained/grid-s1-parallel
exp=                        # experiment folder; empty: exp/<protocol>_<config>
data=                       # folder of data dirs that stage 0 makes, or of sets of your own; empty: data
dump=dump                   # folder of crops, sounds, mels
sets="test"                 # sets to speak and score, separated by blanks
asr=                        # who hears the speech, where there are texts: whisper:base, torchaudio:..., an experiment
language=en                 # of the texts: en or zh
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
# shellcheck source=../../utils/data.sh
. "$root/utils/data.sh"
# shellcheck source=../../utils/set_up.sh
. "$root/utils/set_up.sh"

if stage 0 "find the videos, write the data dirs"; then
  lipsound2 prepare own "$corpus" "$home" --protocol "$protocol" ${lists:+--lists "$lists"}
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

if stage 4 "synthesis with the three controls"; then
  needs 3 "$exp/model.safetensors"
  needs_sets $sets
  for set in $sets; do
    lipsound2 synthesize "$exp" "$data/$set" "$exp/wav/$set" --dump "$dump" --ngpu "$ngpu" \
      --nj "$nj" --launcher "$launcher"
  done
fi

if stage 5 "scores, verdict, report"; then
  needs 3 "$exp/model.safetensors"
  needs_sets $sets
  for set in $sets; do
    needs 4 "$exp/wav/$set"
  done
  for set in $sets; do
    listener=$asr
    if [ -n "$asr" ] && [ ! -f "$data/$set/text" ]; then
      echo "$data/$set has no texts: no words are counted"
      listener=
    fi
    lipsound2 score "$dump/sound" "$exp/wav/$set" --out "$exp/scores/$set" --nj "$nj" --launcher "$launcher" \
      ${listener:+--asr "$listener" --text "$data/$set" --language "$language"}
  done
  lipsound2 report "$exp" ${publish:+--publish "$publish"}
fi
