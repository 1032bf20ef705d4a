#!/usr/bin/env bash
# A model of others, adapted to your own face and voice with a few clips: the errors before, and after 10, 20, 50 clips. Every
# clip is tested once, by a model that has not seen it: the clips are cut into folds. Ends with one table for all folds, and
# with a model that has learned from all clips.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/begin.sh" || exit
. "$root/utils/config.sh"
. "$root/utils/count_words.sh"

# options
corpus=videos               # folder of your videos, as for run.sh: such as lipsound2 record writes
model=grid-s1-parallel      # lip-to-speech model to begin from: experiment or pack, or the name of one
config=conf/adapt.yaml      # how to train; the network is the model's
override=                   # keys of the config with other values: "lr: 1e-4, max_epochs: 80"
clips="10 20 50 all"        # numbers of clips to adapt with; all: as many as a fold has
folds=5                     # parts of the corpus, each tested once
tested=0                    # test only the first so many of them, for a quick look; 0: all
use=yes                     # no: leave out the model to use, which learns from all clips at the end
asr=                        # recognizers that count words, with blanks between: "pocketsphinx:grid"; empty: none
language=en                 # of the texts
out=exp/adapt               # where all of it goes
nj=2                        # worker processes
ngpu=0                      # GPUs
launcher=local              # where the work is done: local, or slurm (docs/cluster.md)
# end of options
. "$root/utils/parse_options.sh"

for number in $clips; do
  [[ $number = all || $number =~ ^[1-9][0-9]*$ ]] || usage "--clips: found '$number', wanted numbers of clips, or all"
done
[[ $folds =~ ^[0-9]+$ && $folds -ge 2 ]] || usage "--folds: found '$folds', wanted a number from 2 on"
[[ $tested =~ ^[0-9]+$ && $tested -le $folds ]] || usage "--tested: found '$tested', wanted a number up to $folds, the folds"
corpus_made=
. "$root/utils/set_up.sh"

# The network is the model's, whatever the config says.
python -m lipsound2.training.beginning "$model" "$config" "$out/config.yaml"
config=$out/config.yaml region=$(key input) goal=$(key target) mel=$(mel_kind)

run() { lipsound2 "$@" --launcher "$launcher"; }
count() { wc -l <"$1/utt2spk"; }

# enough CLIPS: end where there are too few of them for the folds.
enough() {
  [ "$1" -ge $((2 * folds)) ] ||
    usage "--corpus: $1 clips can be used, wanted two or more for each of $folds folds: record more, or give a smaller --folds"
}

# adapt TRAIN VALID EXP: the model, trained on.
adapt() {
  run train "$config" --train "$1" --valid "$2" --dump dump --exp "$3" --init "$model" --ngpu "$ngpu" \
    ${override:+--override "$override"}
}

# speak MODEL SYSTEM FOLD [CONTROL]: the speech of a fold's clips, gathered with that of the other folds. Speech of a CONTROL
# is a system of its own, called after the control.
speak() {
  local wav=$out/work/$2-$3 kind system=$2
  run synthesize "$1" "$out/folds/$3/held" "$wav" --dump dump --controls "${4:-}" --ngpu "$ngpu" --nj "$nj"
  for kind in generated ${4:-}; do
    [ "$kind" = generated ] || system=$kind
    mkdir -p "$out/speech/$system"
    cp "$wav/$kind"/*.wav "$out/speech/$system/"
    parts[$system]+=${parts[$system]:+,}$wav/data/$kind
  done
}

echo "== clips, crops and mels"
lipsound2 prepare own "$corpus" data --protocol own
enough "$(count data/all)"
cmp -s data/all/utt2spk "$out/utt2spk" || [ ! -e "$out/utt2spk" ] ||
  usage "--out: $out was begun with other clips than $corpus has now; name another folder, or remove that one"
cp data/all/utt2spk "$out/utt2spk"
run crop data/all dump --regions "$region" --nj "$nj"
run mel data/all dump --mel "$mel" --nj "$nj"
# Clips that show no mouth, or have no audio, can neither be learned from nor tested.
mkdir -p "$out/data"
rm -f "$out/data/text"
for table in utt2spk video.scp text; do
  ! [ -f "data/all/$table" ] || awk 'NR == FNR { made[$1]; next } $1 in made' "dump/$goal/feats.scp" "data/all/$table" >"$out/data/$table"
done
all=$(count "$out/data")
enough "$all"
lipsound2 fold "$out/data" "$out/folds" --folds "$folds"

# One clip of five of those that a fold trains on chooses the epoch: training ends when these get no better.
least=$((all - (all + folds - 1) / folds))
kept=$((least < 5 ? least : 5)) least=$((least - (least + kept - 1) / kept))
systems=before
for number in $clips; do
  if [ "$number" != all ] && [ "$number" -gt "$least" ]; then
    echo "after $number clips: left out; of $all clips a fold has $least to adapt with"
  else
    systems+=" after-$number"
  fi
done
[ "$tested" -gt 0 ] || tested=$folds
held=$(for ((fold = 1; fold <= tested; fold++)); do echo "$out/folds/$fold/held"; done | paste -sd,)
lipsound2 combine "$held" "$out/tested"
if [ -n "$asr" ] && [ ! -s "$out/tested/text" ]; then
  echo "no clip has a text: no words are counted (run_transcripts.sh writes texts)"
  asr=
fi
for name in $asr; do # before hours of training: a recognizer that is not there is told now
  run decode "$name" "$out/tested" "$out/words/$(_recognizer_folder "$name")/real" --dump dump --nj "$nj"
done
declare -A parts=()
rm -rf "$out/speech" # of an earlier call with other --clips
for ((fold = 1; fold <= tested; fold++)); do
  echo "== fold $fold of $folds"
  train=$out/folds/$fold/train
  lipsound2 fold "$train" "$train-parts" --folds "$kept"
  valid=$train-parts/1/held rest=$train-parts/1/train
  speak "$model" before "$fold"
  for system in ${systems#before}; do
    number=${system#after-} few=$train-${system#after-} adapted=$out/$system-$fold
    if [ "$number" = all ]; then few=$rest; else lipsound2 subset "$rest" "$few" --clips "$number"; fi
    adapt "$few" "$valid" "$adapted"
    # The last one also speaks with the video of another clip: what it gains over that, it has read from the lips.
    if [ "$system" = "${systems##* }" ]; then control=mismatched; else control=''; fi
    speak "$adapted" "$system" "$fold" $control
  done
done

echo "== before and after, $tested of $folds folds together"
run score dump/audio "$out/speech" --out "$out/scores" --ids "$out/tested" --against before --nj "$nj"
for name in $asr; do
  words=$out/words/$(_recognizer_folder "$name")
  for folder in "$words"/after-*/; do
    [ -n "${parts[$(basename "$folder")]:-}" ] || rm -rf "$folder" # of an earlier call with other --clips
  done
  for system in "${!parts[@]}"; do
    lipsound2 combine "${parts[$system]}" "$out/work/$system"
    run decode "$name" "$out/work/$system" "$words/$system" --nj "$nj"
  done
  if [[ $name = *whisper:* && $language = en ]]; then alike=--homophones; else alike=--no-homophones; fi
  lipsound2 score-text "$out/tested" "$words" --out "$out/scores" --language "$language" --against before $alike
done

if [ "$use" = yes ]; then
  echo "== the model to use, of all clips"
  lipsound2 fold "$out/data" "$out/folds/all" --folds "$kept"
  adapt "$out/folds/all/1/train" "$out/folds/all/1/held" "$out/model"
  echo "to use it: lipsound2 live --model $PWD/$out/model"
fi
