#!/usr/bin/env bash
# A model of others, adapted to your own face with a few clips: the errors before, and after 10, 20, 50 clips. A lip-to-speech
# model learns your voice, too. A lip reader (--model grid-s1-vsr) learns from silent clips. Every clip is tested once, by a model
# that has not seen it: the clips are cut into folds. Ends with one table for all folds, and with a model of all clips.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/begin.sh" || exit
. "$root/utils/config.sh"
. "$root/utils/count_words.sh"

# options
corpus=videos               # folder of your videos, as for run.sh: such as lipsound2 record writes
model=grid-s1-parallel      # model to begin from: experiment or pack, or the name of one; grid-s1-vsr reads lips, without a voice
config=                     # how to train, the network is the model's; empty: conf/adapt.yaml, of a lip reader conf/adapt_reader.yaml
override=                   # keys of the config with other values: "lr: 1e-4, max_epochs: 80"
clips=                      # numbers of clips to adapt with, all: as many as a fold has; empty: "10 20 50 all", of a lip reader all
folds=0                     # parts of the corpus, each tested once, 2 or more; 0: 5, of a lip reader 3
tested=0                    # test only the first so many of them, for a quick look; 0: all
use=yes                     # no: leave out the model to use, which learns from all clips at the end
asr=                        # recognizers that count words of speech, with blanks between: "pocketsphinx:grid"; empty: none
language=en                 # of the texts; a lip reader has its own
out=exp/adapt               # where all of it goes: another folder for other clips, or for another model
nj=2                        # worker processes
ngpu=0                      # GPUs
launcher=local              # where the work is done: local, or slurm (docs/cluster.md)
# end of options
. "$root/utils/parse_options.sh"

for number in $clips; do
  [[ $number = all || $number =~ ^[1-9][0-9]*$ ]] || usage "--clips: found '$number', wanted numbers of clips, or all"
done
[ "$folds" -ne 1 ] || usage "--folds: found '1', wanted a number from 2 on"
[ -z "$config" ] || [ -f "$config" ] || usage "--config: found '$config', wanted a file that is there"
corpus_made=
. "$root/utils/set_up.sh"

found=$(python -m lipsound2.model_names "$model")
folder=${found#* }
case ${found%% *} in
  regress) kind=speech config=${config:-conf/adapt.yaml} clips=${clips:-10 20 50 all} many=5 ;;
  recognize) kind=lips config=${config:-conf/adapt_reader.yaml} clips=${clips:-all} many=3 ;;
  *) usage "--model: found $model, of the task ${found%% *}, wanted a lip-to-speech model or a lip reader" ;;
esac
[ "$folds" -gt 0 ] || folds=$many
fewest=$((2 * folds)) # clips
[ "$tested" -le "$folds" ] || usage "--tested: found '$tested', wanted a number up to $folds, the folds"
if [ -f "$out/corpus.txt" ] && [ "$(cat "$out/corpus.txt")" != "$(realpath "$corpus")" ]; then
  usage "--out: $out was begun with the clips of $(cat "$out/corpus.txt"), not of $corpus; name another folder, or remove that one"
fi

# The network is the model's, whatever the config says.
python -m lipsound2.training.beginning "$model" "$config" "$out/config.yaml" "$override"
config=$out/config.yaml dump=$out/dump

run() { lipsound2 "$@" --launcher "$launcher"; }
count() { wc -l <"$1/utt2spk"; }
# shellcheck source=local/lips.sh
. "local/$kind.sh"

# enough CLIPS: end where there are too few of them for the folds.
enough() {
  [ "$1" -ge "$fewest" ] ||
    usage "--corpus: of its clips $1 can be used, wanted $fewest or more, two for each of $folds folds: record more, or give a smaller --folds"
}

# adapt TRAIN VALID EXP: the model, trained on; and how long all trainings will take.
adapt() {
  run train "$config" --train "$1" --valid "$2" --dump "$dump" --exp "$3" --init "$model" --ngpu "$ngpu" \
    ${override:+--override "$override"}
  finish_training "$3"
  trained=$((trained + 1))
  awk -v done="$trained" -v all="$trainings" -v spent="$((SECONDS - begun))" \
    'BEGIN { printf "== training %d of %d is done; about %.2f hours to the end\n", done, all, spent / done * (all - done) / 3600 }'
}

echo "== clips and crops"
lipsound2 prepare own "$corpus" "$out/corpus" # without a protocol: the folds are made below
realpath "$corpus" >"$out/corpus.txt"
every=$out/corpus/all
enough "$(count "$every")"
cmp -s "$every/utt2spk" "$out/utt2spk" || [ ! -e "$out/utt2spk" ] ||
  usage "--out: $out was begun with other clips than $corpus has now; name another folder, or remove that one"
cp "$every/utt2spk" "$out/utt2spk"
python local/usable.py "$config" "$every" "$out/usable" "$fewest" "$override"
run crop "$out/usable" "$dump" --regions "$region" --nj "$nj"
extract
# Clips that show no mouth, or whose audio cannot be used, can neither be learned from nor tested.
mkdir -p "$out/data"
rm -f "$out/data/text"
for table in utt2spk video.scp text; do
  ! [ -f "$out/usable/$table" ] ||
    awk 'NR == FNR { made[$1]; next } $1 in made' "$dump/$needed/feats.scp" "$out/usable/$table" >"$out/data/$table"
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
last=${systems##* }
[ "$tested" -gt 0 ] || tested=$folds
held=$(for ((fold = 1; fold <= tested; fold++)); do echo "$out/folds/$fold/held"; done | paste -sd,)
lipsound2 combine "$held" "$out/tested"
begin

trained=0 begun=$SECONDS
trainings=$((tested * ($(wc -w <<<"$systems") - 1)))
[ "$use" = no ] || trainings=$((trainings + 1))
for ((fold = 1; fold <= tested; fold++)); do
  echo "== fold $fold of $folds"
  train=$out/folds/$fold/train
  lipsound2 fold "$train" "$train-parts" --folds "$kept"
  valid=$train-parts/1/held rest=$train-parts/1/train
  answer "$model" before "$fold"
  for system in ${systems#before}; do
    number=${system#after-} few=$train-${system#after-} adapted=$out/$system-$fold
    if [ "$number" = all ]; then few=$rest; else lipsound2 subset "$rest" "$few" --clips "$number"; fi
    adapt "$few" "$valid" "$adapted"
    answer "$adapted" "$system" "$fold"
  done
done

echo "== before and after, $tested of $folds folds together"
compare

if [ "$use" = yes ]; then
  echo "== the model to use, of all clips"
  lipsound2 fold "$out/data" "$out/folds/all" --folds "$kept"
  adapt "$out/folds/all/1/train" "$out/folds/all/1/held" "$out/model"
  judge_confidences "$out/model"
  # A pack knows its faces, where the model has a trunk of lips: it tells when another one is read.
  faces=(--train "$out/data" --dump "$dump")
  grep -q '^trunk_widths:' "$config" || faces=()
  if lipsound2 pack "$out/model" "$out/pack" "${faces[@]}" --corpus "$all videos of $corpus, begun from $model" \
    --knows "the face of $all videos, adapted from $model" --license "that of your videos, and of $model"; then
    ready=$out/pack
  else
    ready=$out/model
    echo "no pack was made, as said above; the experiment works here, and warns of no other face"
  fi
  echo "to use it: $use_with $(realpath "$ready")"
fi
