#!/usr/bin/env bash
# Does pre-training without text help where there are few clips to learn from? LipSound2 pre-trains on VoxCeleb2; this does
# it small, so that two CPU cores can show it: generated talking faces and the other GRID speakers, sound and picture alone.
# Then the same model learns one speaker from 50, 200 and 800 clips, from scratch and from the pre-trained weights, the same
# number of updates each. Ends with a table and a plot.
[ "${BASH##*/}" = bash ] || exec bash "$0" "$@" # called as sh run.sh
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh

# options
corpus=downloads            # folder of GRID, as for run.sh
protocol=lists              # as for run.sh; its sets train, valid and test are one speaker's
lists=                      # folder of TSV lists, for --protocol lists
others=unseen               # set of the protocol that holds other speakers; empty: generated faces alone
config=conf/parallel.yaml   # model
clips=600                   # generated talking faces
speakers=12                 # of them
updates=1200                # of the pre-training
tuning=500                  # updates of each training afterwards
runs="50:0 50:1 50:2 200:0 800:0" # clips:seed
ways="scratch pretrained"   # how they begin; lira: with the trunk of LiRA's pretext
lira=exp/lists_lira_pase    # that pretext, which run_lira.sh leaves
out=exp/pretraining         # table and plot
nj=2                        # worker processes
ngpu=0                      # GPUs
# end of options
# shellcheck source=../../utils/parse_options.sh
. "$root/utils/parse_options.sh"
# shellcheck source=../../utils/set_up.sh
. "$root/utils/set_up.sh"

for way in $ways; do
  case $way in
    scratch | pretrained | lira) ;;
    *) echo "$0: ways: found '$way', expected some of: scratch pretrained lira" >&2; exit 2 ;;
  esac
done
data=data/$protocol begun=exp/${protocol}_pretrain dump=dump/pretrain
tune="seed: %s, word_weight: 0, max_epochs: 0, max_updates: $tuning, warmup: $((tuning / 5)), valid_every: %s"

echo "== crops and mels of the corpus"
./run.sh --corpus "$corpus" --protocol "$protocol" --lists "$lists" --nj "$nj" --stop-stage 2

if [[ " $ways " == *" pretrained "* ]]; then
  echo "== pre-training on generated faces and the other speakers: pictures and sound alone"
  lipsound2 generate corpus/faces --clips "$clips" --speakers "$speakers" --nj "$nj"
  lipsound2 prepare grid corpus/faces data/faces --protocol mini
  lipsound2 combine "data/faces/all${others:+,$data/$others}" data/pretrain/all
  lipsound2 crop data/pretrain/all "$dump" --regions mouth --nj "$nj"
  lipsound2 mel data/pretrain/all "$dump" --nj "$nj"
  lipsound2 fold data/pretrain/all data/pretrain/folds --folds 12
  lipsound2 train "$config" --train data/pretrain/folds/1/train --valid data/pretrain/folds/1/held --dump "$dump" \
    --exp "$begun" --override "word_weight: 0, max_epochs: 0, max_updates: $updates, valid_every: 4" --ngpu "$ngpu"
fi

echo "== one speaker, from few clips and from many"
compared=
for run in $runs; do
  number=${run%:*} seed=${run#*:} few=$data/few/${run/:/-}
  lipsound2 subset "$data/train" "$few" --clips "$number" --seed "$seed"
  every=$((tuning / 4 / ((number + 7) / 8))) # four evaluations, whatever an epoch is
  for way in $ways; do
    exp=exp/${protocol}_${way}_${run/:/_}
    # shellcheck disable=SC2059  # the format is ours
    with=$(printf "$tune" "$seed" "$((every > 0 ? every : 1))")
    case $way in
      scratch) from=() ;;
      pretrained) from=(--init "$begun") ;;
      lira) from=(--init "$lira") with="$with, init_only: [trunk]" ;;
    esac
    lipsound2 train "$config" --train "$few" --valid "$data/valid" --dump dump --exp "$exp" --ngpu "$ngpu" \
      "${from[@]}" --override "$with"
    lipsound2 synthesize "$exp" "$data/test" "$exp/wav/test" --dump dump --ngpu "$ngpu"
    lipsound2 score dump/sound "$exp/wav/test" --out "$exp/scores/test" --nj "$nj"
    compared+=${compared:+,}$way=$exp
  done
done
lipsound2 compare "$compared" "$out"
