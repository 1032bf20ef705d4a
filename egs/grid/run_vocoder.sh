#!/usr/bin/env bash
# A vocoder on GRID. Vocos, or HiFi-GAN, learns from the sound of the training set alone; then it is fine-tuned on the
# mels that a lip-to-speech model generates for the same clips, which are smoother than true ones, and, the cheap
# alternative, on true mels that are blurred and noised. Each of them and Griffin-Lim speaks the test set's mels,
# generated and true.
[ "${BASH##*/}" = bash ] || exec bash "$0" "$@" # called as sh run.sh
set -euo pipefail
cd "$(dirname "$0")"
. ./path.sh

# options
corpus=downloads            # folder of GRID, as for run.sh
protocol=4speakers          # as for run.sh
lists=                      # folder of TSV lists, for --protocol lists
lips=conf/parallel.yaml     # config of the lip-to-speech model
mel=                        # mel of that config's target, and of the vocoder: fine or paper; empty: as the config says
vocoder=conf/vocos_small.yaml # config of the vocoder; conf/hifigan_small.yaml is another
tune="lr: 1e-4, min_lr: 1e-5, warmup: 20, adversarial_start: 0, max_epochs: 6, valid_every: 2" # fine-tuning's
blur="augment_blur: 1, augment_noise: 0.3" # the cheap alternative's
also=dnsmos                 # scores beside STOI, ESTOI, PESQ; empty: none
asr=                        # recognisers that listen, as for lipsound2 score; empty: nobody
nj=2                        # worker processes
ngpu=0                      # GPUs
# end of options
# shellcheck source=../../utils/parse_options.sh
. "$root/utils/parse_options.sh"
# shellcheck source=../../utils/set_up.sh
. "$root/utils/set_up.sh"

data=data/$protocol speech=exp/${protocol}_$(basename "$lips" .yaml) voice=exp/${protocol}_$(basename "$vocoder" .yaml)
train=(lipsound2 train "$vocoder" --train "$data/train" --valid "$data/valid" --dump dump --ngpu "$ngpu")

echo "== crops and mels; lips to speech; the mels it generates for the clips it learnt from"
./run.sh --corpus "$corpus" --protocol "$protocol" --lists "$lists" --config "$lips" --mel "$mel" --nj "$nj" \
  --ngpu "$ngpu" --stop-stage 3
for set in train valid; do
  lipsound2 synthesize "$speech" "$data/$set" "$speech/speech/$set" --dump dump --controls "" --ngpu "$ngpu"
done

echo "== the vocoder: true mels; generated ones; blurred ones"
"${train[@]}" --exp "$voice"
mels="mels: [$speech/speech/train/mels/generated, $speech/speech/valid/mels/generated]"
"${train[@]}" --exp "${voice}_tuned" --init "$voice" --override "$tune, $mels"
"${train[@]}" --exp "${voice}_blurred" --init "$voice" --override "$tune, $blur"

echo "== each of them, and Griffin-Lim, on generated mels and on true ones"
for name in griffin-lim "$voice" "${voice}_tuned" "${voice}_blurred"; do
  out=$speech/voices/$(basename "$name")
  lipsound2 synthesize "$speech" "$data/test" "$out" --dump dump --vocoder "$name" --controls real_mel --ngpu "$ngpu"
  lipsound2 score dump/sound "$out" --nj "$nj" ${also:+--metrics "$also"} ${asr:+--asr "$asr" --text "$data/test"}
done
