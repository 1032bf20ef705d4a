#!/usr/bin/env bash
# A vocoder on GRID. Vocos, or HiFi-GAN, is trained on the audio of the training set; then it is fine-tuned on the mels that
# a lip-to-speech model generates for the same clips, which are smoother than ground truth, and, the cheap alternative, on
# ground-truth mels that are blurred and noised. Each of them and Griffin-Lim synthesizes the test set's mels, generated
# and ground truth.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/begin.sh" || exit

# options
corpus=downloads            # folder of GRID, as for run.sh
protocol=4speakers          # as for run.sh
lists=                      # folder of TSV lists, for --protocol lists
lips=conf/parallel.yaml     # config of the lip-to-speech model
mel=                        # mel of that config's target, and of the vocoder: fine or paper; empty: as the config says
vocoder=conf/vocos_small.yaml # config of the vocoder; conf/hifigan_small.yaml is another
tune="lr: 1e-4, min_lr: 1e-5, warmup: 20, adversarial_start: 0, max_epochs: 6, valid_every: 2" # fine-tuning's
blur="augment_blur: 1, augment_noise: 0.3" # the cheap alternative's
metrics=dnsmos              # scores beside STOI, ESTOI, PESQ; empty: none
asr=                        # recognizers of the speech, as for lipsound2 decode; empty: none
nj=2                        # worker processes
ngpu=0                      # GPUs
launcher=local              # where the work is done: local, or slurm (docs/cluster.md)
# end of options
. "$root/utils/parse_options.sh"
corpus_made=downloads # by stage 0 of run.sh
. "$root/utils/set_up.sh"
. "$root/utils/count_words.sh"

data=data/$protocol speech=exp/${protocol}_$(basename "$lips" .yaml) voice=exp/${protocol}_$(basename "$vocoder" .yaml)
train=(lipsound2 train "$vocoder" --train "$data/train" --valid "$data/valid" --dump dump --ngpu "$ngpu"
  --launcher "$launcher")

echo "== crops and mels; lips to speech; the mels it generates for the clips it learned from"
./run.sh --corpus "$corpus" --protocol "$protocol" --lists "$lists" --config "$lips" --mel "$mel" --nj "$nj" \
  --ngpu "$ngpu" --launcher "$launcher" --stop-stage 3
for set in train valid; do
  lipsound2 synthesize "$speech" "$data/$set" "$speech/speech/$set" --dump dump --controls "" --ngpu "$ngpu" \
    --nj "$nj" --launcher "$launcher"
done

echo "== the vocoder: true mels; generated ones; blurred ones"
"${train[@]}" --exp "$voice"
mels="mels: [$speech/speech/train/mels/generated, $speech/speech/valid/mels/generated]"
"${train[@]}" --exp "${voice}_tuned" --init "$voice" --override "$tune, $mels"
"${train[@]}" --exp "${voice}_blurred" --init "$voice" --override "$tune, $blur"

echo "== each of them, and Griffin-Lim, on generated mels and on true ones"
for name in griffin-lim "$voice" "${voice}_tuned" "${voice}_blurred"; do
  out=$speech/voices/$(basename "$name")
  lipsound2 synthesize "$speech" "$data/test" "$out" --dump dump --vocoder "$name" --controls real_mel --ngpu "$ngpu" \
    --nj "$nj" --launcher "$launcher"
  lipsound2 score dump/audio "$out" --nj "$nj" --launcher "$launcher" \
    ${metrics:+--metrics "$metrics"}
  count_words "$asr" "$out" "$data/test" "$out/text" "$out/scores"
done
