#!/usr/bin/env bash
# Pre-training on VoxCeleb2: faces and voices without a word of text -> an experiment that other recipes begin from,
# such as egs/grid/run.sh --init. Give the corpus with --corpus, whole or in part; README.md says how to get it.
[ "${BASH##*/}" = bash ] || exec bash "$0" "$@" # called as sh run.sh
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh
. ./cmd.sh

# options
stage=0                     # first stage to run
stop_stage=5                # last stage to run
corpus=VoxCeleb2            # folder of VoxCeleb2: dev/mp4/id00012/..., test/mp4/..., sound in it or in dev/aac/...
listing=                    # file of its paths, one a line, a size behind it or not: the disk is not walked then
protocol=multilingual       # multilingual: all clips; english: the clips of --lists
lists=                      # file of English clips, such as vox-en.id, for --protocol english
config=conf/parallel.yaml   # training config
override=                   # keys of the config with other values: "max_epochs: 12, lr: 1e-4"
mel=                        # mel of the config's target: fine or paper; empty: as the config says
init=                       # experiment or pack to start from
exp=                        # experiment folder; empty: exp/<protocol>_<config>
data=                       # folder of data dirs that stage 0 makes, or of sets of your own; empty: data
dump=                       # folder of crops, sounds, mels; empty: dump/<protocol>
sets="test"                 # sets to speak and score, separated by blanks
spoken=500                  # clips of a set that are spoken and scored, as many of each speaker; 0: all
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
dump=${dump:-dump/$protocol}
# Languages that nobody trains on need no crops: stages 1 and 2 work on the clips of the protocol.
whole=$data/whole
# shellcheck source=../../utils/set_up.sh
. "$root/utils/set_up.sh"

if stage 0 "find the corpus, write the data dirs"; then
  lipsound2 prepare voxceleb2 "$corpus" "$home" --protocol "$protocol" ${lists:+--lists "$lists"} \
    ${listing:+--listing "$listing"}
  parts=
  for set in train valid test; do
    [ ! -d "$data/$set" ] || parts=$parts,$data/$set # a part of the corpus may have no test speakers
  done
  lipsound2 combine "${parts#,}" "$whole"
  lipsound2 validate "$whole" ${listing:+--no-media}
fi

if stage 1 "video -> landmarks, face and mouth crops"; then
  needs 0 "$whole/utt2spk"
  lipsound2 crop "$whole" "$dump" --nj "$nj" --launcher "$launcher"
fi

if stage 2 "sound aligned to the picture, mel-spectrograms"; then
  needs 0 "$whole/utt2spk"
  lipsound2 mel "$whole" "$dump" --mel "$mel" --nj "$nj" --launcher "$launcher"
fi

if stage 3 "pre-training"; then
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
    some=$data/$set
    if [ "$spoken" -gt 0 ] && [ "$(wc -l < "$some/utt2spk")" -gt "$spoken" ]; then
      lipsound2 subset "$some" "$some-$spoken" --clips "$spoken"
      some=$some-$spoken
    fi
    lipsound2 synthesize "$exp" "$some" "$exp/wav/$set" --dump "$dump" --ngpu "$ngpu" \
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
    lipsound2 score "$dump/sound" "$exp/wav/$set" --out "$exp/scores/$set" --nj "$nj" --launcher "$launcher"
  done
  lipsound2 report "$exp" ${publish:+--publish "$publish"}
  echo "to begin from it: ../grid/run.sh --init ../voxceleb2/$exp (README.md says with which config)"
fi
