#!/usr/bin/env bash
# Does pre-training without text help where there are few clips to learn from? LipSound2 pre-trains on VoxCeleb2; this does
# it small, so that two CPU cores can show it: generated talking faces and the other GRID speakers, audio and video alone.
# Then the same model is trained on 50, 200 and 800 clips of one speaker, from scratch and from the pre-trained weights, for
# the same number of updates. Ends with a table and a plot.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/begin.sh" || exit

# options
corpus=downloads            # folder of GRID, as for run.sh
protocol=lists              # as for run.sh; its sets train, valid and test are one speaker's
lists=                      # folder of TSV lists, for --protocol lists
extra_set=unseen            # set of the protocol that holds other speakers; empty: generated faces alone
config=conf/parallel.yaml   # model
clips=600                   # generated talking faces
speakers=12                 # of them
updates=1200                # of the pre-training
tuning=500                  # updates of each training afterwards
runs="50:0 50:1 50:2 200:0 800:0" # clips:seed
modes="scratch pretrained"  # how they begin: also lira, published and fresh (README.md)
lira=exp/lists_lira_pase    # the pretext whose trunk the mode lira takes; run_lira.sh leaves it
pack=                       # the converted lip reader whose trunk the mode published takes
out=exp/pretraining         # table and plot
nj=2                        # worker processes
ngpu=0                      # GPUs
launcher=local              # where the work is done: local, or slurm (docs/cluster.md)
# end of options
. "$root/utils/parse_options.sh"

for mode in $modes; do
  case $mode in
    scratch | pretrained | lira) ;;
    published | fresh) [ -n "$pack" ] || usage "--pack: say whose trunk the mode $mode takes: --pack FOLDER, a converted lip reader" ;;
    *) usage "--modes: found '$mode', wanted some of: scratch pretrained lira published fresh" ;;
  esac
done
corpus_made=downloads # by stage 0 of run.sh
. "$root/utils/set_up.sh"
trunk=
if [[ " $modes " == *" published "* || " $modes " == *" fresh "* ]]; then
  trunk=$(python -m lipsound2.training.beginning "$pack")
  # What the trunk has seen, and on which terms it is used.
  ! [ -f "$pack/card.md" ] || sed -n 's/^\(\* \)\{0,1\}\(Knows\|License\): /published trunk, \2: /p' "$pack/card.md"
fi

data=data/$protocol begun=exp/${protocol}_pretrain dump=dump/pretrain
tune="seed: %s, word_loss_weight: 0, max_epochs: 0, max_updates: $tuning, warmup: $((tuning / 5)), valid_every: %s"

echo "== crops and mels of the corpus"
./run.sh --corpus "$corpus" --protocol "$protocol" --lists "$lists" --nj "$nj" --launcher "$launcher" --stop-stage 2

if [ -n "$trunk" ]; then # from the landmarks that are there
  region=${trunk#input: }
  ./run.sh --corpus "$corpus" --protocol "$protocol" --regions "${region%%,*}" --nj "$nj" --launcher "$launcher" \
    --stage 1 --stop-stage 1
fi

if [[ " $modes " == *" pretrained "* ]]; then
  echo "== pre-training on generated faces and the other speakers: frames and audio alone"
  lipsound2 generate corpus/faces --clips "$clips" --speakers "$speakers" --nj "$nj"
  lipsound2 prepare grid corpus/faces data/faces --protocol mini
  lipsound2 combine "data/faces/all${extra_set:+,$data/$extra_set}" data/pretrain/all
  lipsound2 crop data/pretrain/all "$dump" --regions mouth --nj "$nj" --launcher "$launcher"
  lipsound2 mel data/pretrain/all "$dump" --nj "$nj" --launcher "$launcher"
  lipsound2 fold data/pretrain/all data/pretrain/folds --folds 12
  lipsound2 train "$config" --train data/pretrain/folds/1/train --valid data/pretrain/folds/1/held --dump "$dump" \
    --exp "$begun" --override "word_loss_weight: 0, max_epochs: 0, max_updates: $updates, valid_every: 4" --ngpu "$ngpu" \
    --launcher "$launcher"
fi

echo "== one speaker, from few clips and from many"
compared=
for run in $runs; do
  number=${run%:*} seed=${run#*:} few=$data/few/${run/:/-}
  lipsound2 subset "$data/train" "$few" --clips "$number" --seed "$seed"
  every=$((tuning / 4 / ((number + 7) / 8))) # four evaluations, whatever an epoch is
  for mode in $modes; do
    exp=exp/${protocol}_${mode}_${run/:/_}
    # shellcheck disable=SC2059  # the format is ours
    with=$(printf "$tune" "$seed" "$((every > 0 ? every : 1))")
    case $mode in
      scratch) from=() ;;
      pretrained) from=(--init "$begun") ;;
      lira) from=(--init "$lira") with="$with, init_only: [trunk]" ;;
      published) from=(--init "$pack") with="$with, init_only: [trunk], $trunk" ;;
      fresh) from=() with="$with, $trunk" ;;
    esac
    lipsound2 train "$config" --train "$few" --valid "$data/valid" --dump dump --exp "$exp" --ngpu "$ngpu" \
      --launcher "$launcher" "${from[@]}" --override "$with"
    lipsound2 synthesize "$exp" "$data/test" "$exp/wav/test" --dump dump --ngpu "$ngpu" --nj "$nj" --launcher "$launcher"
    lipsound2 score dump/audio "$exp/wav/test" --out "$exp/scores/test" --nj "$nj" --launcher "$launcher"
    compared+=${compared:+,}$mode=$exp
  done
done
lipsound2 compare "$compared" "$out"
