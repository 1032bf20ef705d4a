#!/usr/bin/env bash
# A model of others, adapted to your own face and voice with a few clips: the errors before, and after 10, 20, 50 clips. Every
# clip is tested once, by a model that has not seen it: the clips are cut into folds. Ends with one table for all folds.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/begin.sh" || exit

# options
corpus=videos               # folder of your videos, as for run.sh: such as lipsound2 record writes
model=grid-s1-parallel      # lip-to-speech model to begin from: experiment or pack, or the name of one
config=conf/adapt.yaml      # its sizes are those of the model
override=                   # keys of the config with other values: "lr: 1e-4, max_epochs: 80"
clips="10 20 50 all"        # numbers of clips to adapt with; all: as many as a fold has
folds=5                     # parts of the corpus, each tested once
tested=0                    # test only the first so many of them, for a quick look; 0: all
asr=                        # recognizer that counts words, such as pocketsphinx:grid; empty: none
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

run() { lipsound2 "$@" --launcher "$launcher"; }
count() { wc -l <"$1/utt2spk"; }

# speak MODEL SYSTEM FOLD: the speech of a fold's clips, gathered with that of the other folds.
speak() {
  local wav=$out/work/$2-$3
  run synthesize "$1" "$out/folds/$3/held" "$wav" --dump dump --controls "" --ngpu "$ngpu" --nj "$nj"
  mkdir -p "$out/speech/$2"
  cp "$wav"/generated/*.wav "$out/speech/$2/"
}

echo "== clips, crops and mels"
lipsound2 prepare own "$corpus" data --protocol own
run crop data/all dump --regions mouth --nj "$nj"
run mel data/all dump --nj "$nj"
lipsound2 fold data/all "$out/folds" --folds "$folds"

# One clip of five of those that a fold trains on chooses the epoch: training ends when these get no better.
all=$(count data/all) least=$((all - (all + folds - 1) / folds))
parts=$((least < 5 ? least : 5)) least=$((least - (least + parts - 1) / parts))
systems=before
for number in $clips; do
  if [ "$number" != all ] && [ "$number" -gt "$least" ]; then
    echo "after $number clips: left out; of $all clips a fold has $least to adapt with"
  else
    systems+=" after-$number"
  fi
done
[ "$tested" -gt 0 ] || tested=$folds
held=
for ((fold = 1; fold <= tested; fold++)); do
  held+=${held:+,}$out/folds/$fold/held
  echo "== fold $fold of $folds"
  train=$out/folds/$fold/train
  lipsound2 fold "$train" "$train-parts" --folds "$parts"
  valid=$train-parts/1/held rest=$train-parts/1/train
  speak "$model" before "$fold"
  for system in ${systems#before}; do
    number=${system#after-} few=$train-${system#after-} adapted=$out/$system-$fold
    if [ "$number" = all ]; then few=$rest; else lipsound2 subset "$rest" "$few" --clips "$number"; fi
    run train "$config" --train "$few" --valid "$valid" --dump dump --exp "$adapted" --init "$model" --ngpu "$ngpu" \
      ${override:+--override "$override"}
    speak "$adapted" "$system" "$fold"
  done
done

echo "== before and after, $tested of $folds folds together"
lipsound2 combine "$held" "$out/tested"
run score dump/audio "$out/speech" --out "$out/scores" --ids "$out/tested" --nj "$nj"
if [ -n "$asr" ] && [ -f "$out/tested/text" ]; then
  for system in $systems; do
    dirs=
    for ((fold = 1; fold <= tested; fold++)); do dirs+=${dirs:+,}$out/work/$system-$fold/data/generated; done
    lipsound2 combine "$dirs" "$out/work/$system"
    run decode "$asr" "$out/work/$system" "$out/words/$system" --nj "$nj"
  done
  lipsound2 score-text "$out/tested" "$out/words" --out "$out/scores" --language "$language"
fi
