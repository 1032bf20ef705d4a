#!/usr/bin/env bash
# LipSound2 on the GRID corpus: video of a talking face -> crops -> mel -> training -> speech -> scores and a report.
# With a config of the tasks recognise or classify: sound or lips -> training of a recogniser -> text -> word errors.
# With the config of LiRA's pretext: what a lip reader begins from.
# Give the corpus with --corpus, whole or in part and in any known layout, or let stage 0 download it.
[ "${BASH##*/}" = bash ] || exec bash "$0" "$@" # called as sh run.sh
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh
. ./cmd.sh

# options
stage=0                     # first stage to run
stop_stage=5                # last stage to run
corpus=downloads            # folder of GRID; left as it is, the corpus is downloaded to that folder
address=                    # another address of the Zenodo record, such as a mirror's
protocol=4speakers          # 4speakers, lipsound2-sd, 33seen, overlapped, unseen, unseen-vougioukas, lists
lists=                      # folder of TSV lists, for --protocol lists
config=conf/parallel.yaml   # training config
override=                   # keys of the config with other values: "max_epochs: 12, lr: 1e-4"
mel=                        # mel of the config's target: fine or paper; empty: as the config says
target=                     # what the pretext predicts, as lipsound2 targets takes it: pase:EXP, mfcc, logmel, ...
init=                       # experiment or pack to start from, or whose trunk a config of features-... stands behind
shares=                     # per cent of the labels: "1 5 20" makes the sets train-01, train-05, train-20
train=train                 # set to learn from, such as train-05
exp=                        # experiment folder; empty: exp/<protocol>_<config>, with the share of the labels
data=                       # folder of data dirs that stage 0 makes, or of sets of your own; empty: data
dump=dump                   # folder of crops, sounds, mels
sets="test"                 # sets to speak, to hear or to read, and score, separated by blanks
asr=own                     # who hears the speech: own (trained on true sound), pocketsphinx:grid, ...; empty: nobody
ears=conf/asr_conformer.yaml # config of our own recogniser
grammar=                    # a recogniser also listens for the sentences of this grammar alone, such as grid
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

task=$(key task) input=$(key input) goal=$(key target)
case $task:$goal in
  recognise:* | classify:*) makes=text ;;
  regress:targets-*) makes=features ;;
  *) makes=speech ;;
esac
[ "$task" = classify ] && cut=_words by=text || cut='' by=speaker
exp=${exp:-exp/${protocol}_$(basename "$config" .yaml)${train#train}}
mel=${mel:-$(mel_kind)}
own=exp/${protocol}_$(basename "$ears" .yaml)
# shellcheck source=../../utils/data.sh
. "$root/utils/data.sh"
# shellcheck source=../../utils/set_up.sh
. "$root/utils/set_up.sh"
if runs 2 && [ "$makes:$target" = features: ]; then usage "--target: say what the pretext predicts: --target logmel, mfcc, pase:EXP, ..."; fi
if runs 2 && [[ $input:$init = features-*: ]]; then usage "--init: say whose trunk is frozen: --init EXP"; fi

if stage 0 "find or download the corpus, write the data dirs"; then
  if [ "$corpus" = downloads ]; then # what is there already is not fetched again
    lipsound2 download grid "$corpus" --protocol "$protocol" ${address:+--address "$address"}
  fi
  lipsound2 prepare grid "$corpus" "$home" --protocol "$protocol" ${lists:+--lists "$lists"}
  lipsound2 validate "$all"
  if [ "$task" = classify ]; then
    for set in train valid $sets; do
      lipsound2 words "$home/$protocol/$set" "$data/$set"
    done
  fi
  for share in $shares; do
    lipsound2 subset "$data/train" "$data/train-$(printf %02d "$share")" --share "${share}e-2" --by "$by"
  done
fi

if stage 1 "video -> landmarks, face and mouth crops"; then
  needs 0 "$all/utt2spk"
  lipsound2 crop "$all" "$dump" --nj "$nj" --launcher "$launcher"
fi

if stage 2 "sound aligned to the picture, mel-spectrograms; for LiRA targets, or the states of a frozen trunk"; then
  needs 0 "$all/utt2spk"
  lipsound2 mel "$all" "$dump" --mel "$mel" --nj "$nj" --launcher "$launcher"
  if [ "$makes" = features ]; then
    lipsound2 targets "$all" "$dump" --target "$target" \
      --name "${goal#targets-}" --train "$data/$train" --nj "$nj"
  elif [[ $input = features-* ]]; then
    lipsound2 features "$init" "$all" "$dump" --name "${input#features-}" \
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

if stage 4 "synthesis with the three controls, or text"; then
  needs 3 "$exp/model.safetensors"
  needs_sets $sets
  for set in $sets; do
    if [ "$makes" = text ]; then
      for way in greedy $grammar; do
        lipsound2 decode "$exp" "$data/$set" "$exp/text/$set/$way" --dump "$dump" --grammar "${way/greedy/}" \
          --ngpu "$ngpu" --nj "$nj" --launcher "$launcher"
      done
    elif [ "$makes" = speech ]; then
      lipsound2 synthesize "$exp" "$data/$set" "$exp/wav/$set" --dump "$dump" --ngpu "$ngpu" \
        --nj "$nj" --launcher "$launcher"
    fi
  done
  [ "$makes" != features ] || echo "nothing to speak or to read: lip readers begin from $exp with --init"
fi

if stage 5 "scores, verdict, report"; then
  needs 3 "$exp/model.safetensors"
  for set in $sets; do
    case $makes in
      text) needs 4 "$exp/text/$set" ;;
      speech) needs 4 "$exp/wav/$set" ;;
    esac
  done
  if [ "$makes" = speech ] && [[ ,$asr, == *,own,* ]]; then # trained once, skipped when it is there
    [ -f "$own/model.safetensors" ] || echo "first our own recogniser is trained, $own; --asr names another, --asr '' none"
    ./run.sh --config "$ears" --exp "$own" --protocol "$protocol" --data "$data" --dump "$dump" --ngpu "$ngpu" \
      --stage 3 --stop-stage 3
    asr=,$asr, asr=${asr/,own,/,$own,} # the word alone, not a part of somebody's path; commas at the ends do no harm
  fi
  for set in $sets; do
    if [ "$makes" = text ]; then
      for heard in "$exp/text/$set"/*/; do
        lipsound2 score "$data/$set" "$heard" --out "$exp/scores/$set"
      done
    elif [ "$makes" = speech ]; then
      for way in greedy $grammar; do
        lipsound2 score "$dump/sound" "$exp/wav/$set" --out "$exp/scores/$set" --nj "$nj" \
          ${asr:+--asr "$asr" --text "$data/$set" --grammar "${way/greedy/}"} --launcher "$launcher"
      done
    fi
  done
  lipsound2 report "$exp" ${publish:+--publish "$publish"}
fi
