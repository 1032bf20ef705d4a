#!/usr/bin/env bash
# The cascade on GRID, LipSound2's second half: lips to speech, then a recognizer that knows such speech.
# It learns from ground truth first, then, at a tenth of the learning rate, from speech that was generated for the training
# set. Twice: plainly, and two-fold, each half spoken by a model that was trained on the other. The first knows its
# training clips by heart, so that they audio better than anything it will ever say of others.

. "$(dirname "$0")/../../utils/begin.sh"

# options
corpus=downloads            # folder of GRID, as for run.sh
protocol=4speakers          # as for run.sh
lists=                      # folder of TSV lists, for --protocol lists
lips=conf/parallel.yaml     # config of the model that speaks
mel=                        # mel of the config's target: fine or paper; empty: as the config says
asr_config=conf/asr_conformer.yaml # config of the recognizer
init=                       # recognizer to begin from, such as one of ../librispeech; empty: none
tune="lr: 1e-4, max_epochs: 15, warmup: 50" # keys of that config that fine-tuning changes
fold="max_epochs: 24"       # keys of the speaking model's config that its halves change
folds=2                     # parts of the training set
grammar=grid                # also listen for the sentences of this grammar alone
nj=2                        # worker processes
ngpu=0                      # GPUs
launcher=local              # where the work is done: local, or slurm (docs/cluster.md)
# end of options
. "$root/utils/parse_options.sh"
. "$root/utils/set_up.sh"

data=data/$protocol speech=exp/${protocol}_$(basename "$lips" .yaml) heard=exp/${protocol}_$(basename "$asr_config" .yaml)
run=(./run.sh --corpus "$corpus" --protocol "$protocol" --lists "$lists" --mel "$mel" --grammar "$grammar"
  --nj "$nj" --ngpu "$ngpu" --launcher "$launcher")
say() {
  lipsound2 synthesize "$1" "$2" "$3" --dump dump --controls "" --ngpu "$ngpu" --nj "$nj" --launcher "$launcher"
}

echo "== crops and mels; a recognizer learns from ground truth; lips to speech"
"${run[@]}" --config "$lips" --stop-stage 2
"${run[@]}" --config "$asr_config" --stage 3 ${init:+--init "$init" --override "tokens: $init"}
"${run[@]}" --config "$lips" --asr "$heard" --stage 3

echo "== the speech of the training set: plain, and two-fold"
for set in train valid test; do
  say "$speech" "$data/$set" "$speech/speech/$set"
done
lipsound2 fold "$data/train" "$data/folds" --folds "$folds"
parts=
for part in $(seq "$folds"); do
  without=${speech}_without$part
  lipsound2 train "$lips" --train "$data/folds/$part/train" --valid "$data/valid" --dump dump --exp "$without" \
    --override "$fold" --ngpu "$ngpu" --launcher "$launcher"
  say "$without" "$data/folds/$part/held" "$without/speech/held"
  parts+=${parts:+,}$without/speech/held/data
done

echo "== fine-tuning on either"
for way in plain folded; do
  spoken=${data}_$way
  [ $way = plain ] && parts_of_train=$speech/speech/train/data || parts_of_train=$parts
  lipsound2 combine "$parts_of_train" "$spoken/train"
  lipsound2 combine "$speech/speech/valid/data" "$spoken/valid"
  lipsound2 combine "$speech/speech/test/data" "$spoken/test"
  lipsound2 combine "$spoken/train,$spoken/valid,$spoken/test" "$spoken/all"
  lipsound2 mel "$spoken/all" "dump/$way" --nj "$nj" --launcher "$launcher"
  "${run[@]}" --config "$asr_config" --exp "${heard}_$way" --init "$heard" --override "$tune, tokens: $heard" \
    --data "$spoken" --dump "dump/$way" --stage 3
done

echo "== what each understands of the test set: ground truth, generated, and the controls"
for asr in "$heard" "${heard}_plain" "${heard}_folded"; do
  "${run[@]}" --config "$lips" --asr "$asr" --stage 5
done
