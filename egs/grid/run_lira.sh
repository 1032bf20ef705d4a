#!/usr/bin/env bash
# LiRA on GRID: self-supervised pre-training predicts acoustic targets from lips. Then lip readers of sentences and of single
# words are trained with few labels and with many, for the same number of updates: from scratch (supervised), with the
# pretext's trunk frozen (frozen), and fine-tuned (finetuned). Two controls are from scratch, too: with as many updates as
# pretext and fine-tuning together (longer), and until valid no longer gets better (stopped). Fine-tuning can have as many as
# the first of them (finetuned_longer). Ends with a table and a plot each.

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
modes="supervised frozen finetuned" # how it begins; controls: longer stopped finetuned_longer
label_percent="5 20 100"    # per cent of the labels, the lowest first
seeds="0 1 2"               # of the trainings at the lowest percentage; the others have the first
all_seeds=no                # yes: at every percentage
labeled=all                 # all: the pretext sees the clips that have labels, too; half: it sees one half, labels are of the other
word_times=yes              # no: sentences are learned without the times of words
nj=2                        # worker processes
ngpu=0                      # GPUs
launcher=local              # where the work is done: local, or slurm (docs/cluster.md)
# end of options
. "$root/utils/parse_options.sh"
for mode in $modes; do
  [[ $mode =~ ^(supervised|frozen|finetuned|longer|stopped|finetuned_longer)$ ]] ||
    usage "--modes: found '$modes', wanted some of: supervised frozen finetuned longer stopped finetuned_longer"
done
[[ $labeled =~ ^(all|half)$ ]] || usage "--labeled: found '$labeled', wanted all or half"

. "$root/utils/config.sh"
corpus_made=downloads # by stage 0 of run.sh
. "$root/utils/set_up.sh"

data=data/$protocol kind=$(tr -c '[:alnum:]\n' _ <<< "$target")
seen=train labels=train half= # what the pretext sees, and what has labels
[ "$labeled" = all ] || seen=halves/1/held labels=halves/1/train half=_half
begun=exp/${protocol}_lira_$kind$half kind+=$half
run=(./run.sh --corpus "$corpus" --protocol "$protocol" --lists "$lists" --publish "" --nj "$nj" --ngpu "$ngpu"
  --launcher "$launcher")
# schedule SET UPDATES [EVALUATIONS]: so many updates with four evaluations or more, whatever an epoch is.
override=
schedule() {
  local every size
  size=$(key batch_size)
  [[ $size =~ ^[1-9][0-9]{0,8}$ ]] || usage "$config: batch_size: found '$size', wanted a whole number of at least 1"
  every=$(($2 * size / ${3:-4} / $(wc -l < "$1/utt2spk")))
  echo "max_epochs: 0, max_updates: $2, warmup: $(($2 / 8)), valid_every: $((every > 0 ? every : 1))"
}

echo "== the pretext: crops, audio, what is heard in them; lips learn to predict it"
config=conf/lira_pretext.yaml
"${run[@]}" --stop-stage 2
[ "$labeled" = all ] || lipsound2 fold "$data/train" "$data/halves" --folds 2
lipsound2 combine "$data/$seen${extra_set:+,$data/$extra_set}" "$data/pretext$half"
if [ "$target" = pase ]; then
  target=pase:exp/${protocol}_pase$half
  lipsound2 train conf/pase.yaml --train "$data/pretext$half" --valid "$data/valid" --dump dump --exp "${target#pase:}" \
    --ngpu "$ngpu" --launcher "$launcher"
fi
"${run[@]}" --config "$config" --target "$target" --train "pretext$half" --exp "$begun" --stage 2 --stop-stage 3 \
  --override "target: targets-$kind, $(schedule "$data/pretext$half" "$pretext")"

for unit in $units; do
  echo "== ${unit}s: sets of few labels, states of the frozen trunk, trainings"
  if [ "$unit" = word ]; then cut=_words score=top1 by=text; else cut='' score=wer by=speaker; fi
  config=conf/lira_${unit}_supervised.yaml # its batch_size is that of the other ways, too
  "${run[@]}" --config "$config" --stop-stage 0
  if [ "$labeled$unit" = halfword ]; then lipsound2 words "$data/$labels" "$data$cut/$labels"; fi
  for percent in $label_percent; do
    lipsound2 subset "$data$cut/$labels" "$data$cut/$labels-$(printf %02d "$percent")" --share "${percent}e-2" --by "$by"
  done
  if [[ $modes = *frozen* ]]; then
    "${run[@]}" --config "conf/lira_${unit}_frozen.yaml" --init "$begun" --override "input: features-$kind" \
      --stage 2 --stop-stage 2
  fi
  untimed=
  [ "$word_times$unit" != nosentence ] || untimed=_untimed
  compared=
  for percent in $label_percent; do
    for seed in $seeds; do
      [ "$all_seeds" = yes ] || [ "$percent" = "${label_percent%% *}" ] || [ "$seed" = "${seeds%% *}" ] || continue
      for mode in $modes; do
        set=$labels-$(printf %02d "$percent")
        begin=() begins=supervised from=exp/$protocol$half # from scratch: the same beside every pretext
        with="$(schedule "$data$cut/$set" "$updates")"
        [[ $mode != *longer ]] || with=$(schedule "$data$cut/$set" $((pretext + updates)))
        case $mode in
          frozen) begins=frozen from=$begun with+=", input: features-$kind" ;;
          finetuned*) begins=finetuned from=$begun begin=(--init "$begun") ;;
          # The learning rate falls until the last update, so that is far off, and valid is looked at as often as above.
          stopped) with="$(schedule "$data$cut/$set" $((4 * (pretext + updates))) 32), patience: 4" ;;
        esac
        [ -z "$untimed" ] || with+=", word_loss_weight: 0"
        config=conf/lira_${unit}_$begins.yaml exp=${from}_$unit${untimed}_${mode}_${percent}_$seed
        "${run[@]}" --config "$config" --train "$set" --exp "$exp" "${begin[@]}" --override "seed: $seed, $with" --stage 3
        compared+=${compared:+,}$mode=$exp
      done
    done
  done
  lipsound2 compare "$compared" "${begun}_$unit$untimed" --score "$score:greedy"
done
