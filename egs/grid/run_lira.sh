#!/usr/bin/env bash
# LiRA on GRID: self-supervised pre-training predicts acoustic targets from lips. Then lip readers of sentences and of single
# words are trained with few labels and with many, for the same number of updates: from scratch (supervised), with the
# pretext's trunk frozen (frozen), and fine-tuned (finetuned). Ends with a table and a plot each.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/begin.sh" || exit

# options
corpus=downloads            # folder of GRID, as for run.sh
protocol=4speakers          # as for run.sh
lists=                      # folder of TSV lists, for --protocol lists
extra_set=                  # one more set of the protocol whose lips and audio the pretext sees, such as unseen
target=pase                 # what it predicts: pase (trained here on the same audio), or as for lipsound2 targets
pretext=3000                # updates of the pretext
updates=1500                # of each training afterwards
units="sentence word"       # what is read
modes="supervised frozen finetuned" # how it begins
label_percent="5 20 100"    # per cent of the labels, the lowest first
seeds="0 1 2"               # of the trainings at the lowest percentage; the others have the first
nj=2                        # worker processes
ngpu=0                      # GPUs
launcher=local              # where the work is done: local, or slurm (docs/cluster.md)
# end of options
. "$root/utils/parse_options.sh"
. "$root/utils/config.sh"
corpus_made=downloads # by stage 0 of run.sh
. "$root/utils/set_up.sh"

data=data/$protocol kind=$(tr -c '[:alnum:]\n' _ <<< "$target")
begun=exp/${protocol}_lira_$kind
run=(./run.sh --corpus "$corpus" --protocol "$protocol" --lists "$lists" --publish "" --nj "$nj" --ngpu "$ngpu"
  --launcher "$launcher")
# schedule SET UPDATES: so many updates with four evaluations, whatever an epoch is.
override=
schedule() {
  local every size
  size=$(key batch_size)
  [[ $size =~ ^[1-9][0-9]{0,8}$ ]] || usage "$config: batch_size: found '$size', wanted a whole number of at least 1"
  every=$(($2 * size / 4 / $(wc -l < "$1/utt2spk")))
  echo "max_epochs: 0, max_updates: $2, warmup: $(($2 / 8)), valid_every: $((every > 0 ? every : 1))"
}

echo "== the pretext: crops, audio, what is heard in them; lips learn to predict it"
config=conf/lira_pretext.yaml
"${run[@]}" --stop-stage 2
lipsound2 combine "$data/train${extra_set:+,$data/$extra_set}" "$data/pretext"
if [ "$target" = pase ]; then
  target=pase:exp/${protocol}_pase
  lipsound2 train conf/pase.yaml --train "$data/pretext" --valid "$data/valid" --dump dump --exp "${target#pase:}" \
    --ngpu "$ngpu" --launcher "$launcher"
fi
"${run[@]}" --config "$config" --target "$target" --train pretext --exp "$begun" --stage 2 --stop-stage 3 \
  --override "target: targets-$kind, $(schedule "$data/pretext" "$pretext")"

for unit in $units; do
  echo "== ${unit}s: sets of few labels, states of the frozen trunk, trainings"
  "${run[@]}" --config "conf/lira_${unit}_supervised.yaml" --label-percent "$label_percent" --stop-stage 0
  "${run[@]}" --config "conf/lira_${unit}_frozen.yaml" --init "$begun" --override "input: features-$kind" \
    --stage 2 --stop-stage 2
  [ "$unit" = word ] && cut=_words score=top1 || cut='' score=wer
  compared=
  for percent in $label_percent; do
    for seed in $seeds; do
      [ "$percent" = "${label_percent%% *}" ] || [ "$seed" = "${seeds%% *}" ] || continue
      for mode in $modes; do
        config=conf/lira_${unit}_$mode.yaml set=train-$(printf %02d "$percent")
        exp=${begun}_${unit}_${mode}_${percent}_$seed
        with="seed: $seed, $(schedule "$data$cut/$set" "$updates")"
        begin=()
        case $mode in
          supervised) exp=exp/${protocol}_${unit}_${mode}_${percent}_$seed ;; # the same beside every pretext
          frozen) with="input: features-$kind, $with" ;;
          finetuned) begin=(--init "$begun") ;;
        esac
        "${run[@]}" --config "$config" --train "$set" --exp "$exp" "${begin[@]}" --override "$with" --stage 3
        compared+=${compared:+,}$mode=$exp
      done
    done
  done
  lipsound2 compare "$compared" "${begun}_$unit" --score "$score:greedy"
done
