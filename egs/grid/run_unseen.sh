#!/usr/bin/env bash
# Speakers that a model has not seen: what do a few clips of other people bring, and faces made otherwise? A trained model
# learns on, for the same number of updates each time, and speaks for people whom it did not learn from: every speaker of the
# extra set is left out once (leave-one-speaker-out). Ends with a table whose intervals are about other people like these.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/begin.sh" || exit
. "$root/utils/count_words.sh"

# options
corpus=downloads            # folder of GRID, as for run.sh
protocol=lists              # as for run.sh; the model has seen the speaker of its set train
lists=                      # folder of TSV lists, for --protocol lists
extra_set=unseen            # set of the protocol that holds the other speakers
model=grid-s1-parallel      # lip-to-speech model to begin from: experiment or pack, or the name of one
config=conf/parallel.yaml   # how to train, the network is the model's
seen=80                     # clips of train that are learned from, too, so that what is known stays: three or more
updates=200                 # of each training
folds=0                     # parts of the extra set, speakers are not torn apart; 0: one a speaker
modes="seen others relit"   # seen (the control: train alone), others (other speakers too), relit (more strongly augmented), generated (generated faces too)
clips=120                   # generated faces, for the mode generated
speakers=20                 # of them
asr=                        # recognizers that count words, with blanks between: "pocketsphinx:grid"; empty: none
out=exp/unseen              # where all of it goes
nj=2                        # worker processes
ngpu=0                      # GPUs
launcher=local              # where the work is done: local, or slurm (docs/cluster.md)
# end of options
. "$root/utils/parse_options.sh"
for mode in $modes; do
  [[ $mode =~ ^(seen|others|relit|generated)$ ]] ||
    usage "--modes: found '$modes', wanted some of: seen others relit generated"
done
_whole seen 3 # what tells faces from others needs as many
corpus_made=downloads # by stage 0 of run.sh
. "$root/utils/set_up.sh"

run() { lipsound2 "$@" --launcher "$launcher"; }
# The network is the model's, whatever the config says.
python -m lipsound2.training.beginning "$model" "$config" "$out/config.yaml"
config=$out/config.yaml data=data/$protocol held=$data/$extra_set

# learn MODE TRAIN EXP: the model, trained on, as a pack that tells the faces of TRAIN from others. Nothing is chosen: the
# last weights, averaged over some fifty updates, are taken.
learn() {
  local more='' crops=dump
  [ "$1" != relit ] || more=", augment_brightness: 0.7, augment_zoom: 0.2, augment_rotate: 12.0, augment_shift: 8.0, augment_noise: 8.0"
  [ "$1" != generated ] || crops=dump/unseen
  run train "$config" --train "$2" --valid "$data/valid" --dump "$crops" --exp "$3" --init "$model" --ngpu "$ngpu" \
    --override "max_epochs: 0, max_updates: $updates, warmup: $((updates / 10)), lr: 3.0e-4, ema: 0.98, valid_every: 100000, keep_best: 1, valid_clips: 4$more"
  lipsound2 pack "$3" "$3-pack" --train "$2" --dump "$crops" --knows "$1" --corpus GRID --license "CC BY 4.0"
}

# speak MODEL DATA SYSTEM: the speech of a set's clips, gathered with that of the other folds.
speak() {
  local wav=$out/work/$3/${2//\//-}
  run synthesize "$1" "$2" "$wav" --dump dump --controls "" --ngpu "$ngpu" --nj "$nj"
  mkdir -p "$out/speech/$3"
  cp "$wav"/generated/*.wav "$out/speech/$3/"
  parts[$3]+=${parts[$3]:+,}$wav/data/generated
}

echo "== crops and mels of the corpus, folds of the speakers"
./run.sh --corpus "$corpus" --protocol "$protocol" --lists "$lists" --nj "$nj" --launcher "$launcher" --stop-stage 2
lipsound2 fold "$held" "$out/folds" --folds "$folds" --by speaker
lipsound2 subset "$data/train" "$out/train/seen" --clips "$seen"
if [[ " $modes " == *" generated "* ]]; then
  lipsound2 generate corpus/faces-unseen --clips "$clips" --speakers "$speakers" --seed 1 --nj "$nj" # not those of egs/mini
  lipsound2 prepare grid corpus/faces-unseen data/faces-unseen --protocol mini
  # A dump is made for one data dir, so these have one of their own.
  lipsound2 combine "$out/train/seen,$held,$data/valid,data/faces-unseen/all" "$out/train/all"
  run crop "$out/train/all" dump/unseen --regions mouth --nj "$nj"
  run mel "$out/train/all" dump/unseen --nj "$nj"
fi

rm -rf "$out/speech" # of an earlier call with other --modes
declare -A parts=()
speak "$model" "$held" before
for mode in $modes; do
  if [ "$mode" = seen ]; then
    echo "== $mode"
    learn "$mode" "$out/train/seen" "$out/models/$mode"
    speak "$out/models/$mode-pack" "$held" "$mode"
    continue
  fi
  for fold in "$out"/folds/*/; do
    fold=$(basename "$fold")
    echo "== $mode, fold $fold"
    from=$out/train/seen,$out/folds/$fold/train
    [ "$mode" != generated ] || from+=,data/faces-unseen/all
    lipsound2 combine "$from" "$out/train/$mode-$fold"
    learn "$mode" "$out/train/$mode-$fold" "$out/models/$mode-$fold"
    speak "$out/models/$mode-$fold-pack" "$out/folds/$fold/held" "$mode"
  done
done

echo "== all speakers together"
run score dump/audio "$out/speech" --out "$out/scores" --ids "$held" --against before --speakers unseen --nj "$nj"
for name in $asr; do
  words=$out/words/$(_recognizer_folder "$name")
  run decode "$name" "$held" "$words/real" --dump dump --nj "$nj"
  for system in "${!parts[@]}"; do
    lipsound2 combine "${parts[$system]}" "$out/work/$system/all"
    run decode "$name" "$out/work/$system/all" "$words/$system" --nj "$nj"
  done
  if [[ $name = *whisper:* ]]; then alike=--homophones; else alike=--no-homophones; fi
  lipsound2 score-text "$held" "$words" --out "$out/scores" --against before --speakers unseen $alike
done
