#!/usr/bin/env bash
# Everything that needs a GPU, one command away: the CUDA tests, the benchmarks, and a GRID training in slices that resume.
#
#   tools/gpu_check.sh pack egs/grid lists CONFIG OUT.tar      # on the machine with the dump: what the training needs
#   tools/gpu_check.sh checks [OUT]                            # on the GPU machine: CUDA tests, all configs, benchmarks
#   tools/gpu_check.sh train OUT.tar CONFIG WORK [MINUTES [INIT]]  # one slice of training; the same command goes on
#
# A slice ends after MINUTES (default 9) with a checkpoint in WORK/exp; run it again until it says that training has ended.
# Results to take away are in WORK/results, no file above 15 MB: curves, log, and the best model so far in half precision, in
# parts (cat model.tar.* | tar -x). On another machine it goes on from there as INIT, a folder those parts were unpacked in.
# PYTHON names the interpreter (default: python3); torch and the packages of setup.cfg must be importable in it. NGPU=0 tries
# the slices and the checks on a CPU, those with BATCH=2 clips an update, CONFIGS="FILE ..." of some configs.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
lipsound2() { "$python" -m lipsound2.cli "$@"; }

usage() {
  sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 2
}

checks() { # [OUT]: CUDA tests, three updates of every config at full size, a compiled training that resumes, benchmarks
  local out=${1:-.} ngpu=${NGPU:-1} configs
  mkdir -p "$out"
  out=$(realpath "$out")
  if [ "$ngpu" -gt 0 ]; then
    "$python" -c 'import torch, sys; sys.exit(0 if torch.cuda.is_available() else "no GPU that torch can use")'
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv | tee "$out/gpu.txt"
  fi
  (cd "$root" && "$python" -m pytest -q -rs -m cuda tests -p no:cacheprovider) | tee "$out/tests.txt"
  read -r -a configs <<< "${CONFIGS:-}"
  "$python" "$root/tests/benchmarks/bench_configs.py" "${configs[@]}" --ngpu "$ngpu" --batch "${BATCH:-0}" --dump "$out/dump" |
    tee "$out/bench_configs.txt"
  # Compiled, and on from its checkpoint: the second command finds update 2 and does the third.
  for updates in 2 3; do
    lipsound2 train "$root/egs/mini/conf/mini.yaml" --train "$out/dump/data" --valid "$out/dump/data" --dump "$out/dump" \
      --exp "$out/compiled" --ngpu "$ngpu" \
      --override "compile: true, max_updates: $updates, max_epochs: 0, valid_every: 1, batch_size: 2, valid_clips: 2, workers: 0"
  done
  [ "$ngpu" -gt 0 ] || return 0
  "$python" "$root/tests/benchmarks/bench_decoder.py" --device cuda | tee "$out/bench_decoder.txt"
  "$python" "$root/tests/benchmarks/bench_griffin_lim.py" --device cuda | tee "$out/bench_griffin_lim.txt"
  "$python" "$root/tests/benchmarks/bench_vocoder.py" --ngpu 1 | tee "$out/bench_vocoder.txt"
  "$python" "$root/tests/benchmarks/bench_trunk.py" --ngpu 1 --batch 64 --pictures 75 \
    --config "$root/egs/lrs2/conf/lira_sentence_supervised.yaml" | tee "$out/bench_trunk.txt"
}

train() { # PACK CONFIG WORK [MINUTES [INIT]]
  local packed config work minutes=${4:-9} init=
  packed=$(realpath "$1") config=$(realpath "$2") work=$3
  [ $# -lt 5 ] || init=$(realpath "$5")
  mkdir -p "$work/results"
  cd "$work"
  if [ ! -d data ]; then
    tar -xf "$packed"
  fi
  local protocol status=0
  protocol=$(basename "$(find data -mindepth 1 -maxdepth 1 -type d)")
  timeout --signal TERM "${minutes}m" "$python" -m lipsound2.cli train "$config" --train "data/$protocol/train" \
    --valid "data/$protocol/valid" --dump dump --exp exp ${init:+--init "$init"} --ngpu "${NGPU:-1}" || status=$?
  case $status in
    0) echo "training has ended" ;;
    124 | 143) echo "the slice is over; run the same command again to go on" ;;
    *) exit "$status" ;;
  esac
  cp exp/train.log exp/config.yaml exp/versions.yaml results/
  if [ -f exp/curves.tsv ]; then # at least one evaluation: a model that can be used
    cp exp/curves.tsv results/
    [ "$status" -eq 0 ] || lipsound2 average exp
    lipsound2 pack exp model --knows "the GRID clips it was trained on" --corpus GRID --licence "CC BY 4.0"
    rm -f results/model.tar.*
    tar -cf - model | split -b 15M - results/model.tar.
  fi
  ls -la results
}

[ $# -gt 0 ] || usage
command=$1
shift
case $command in
  pack) [ $# -eq 4 ] || usage; "$python" "$root/tools/small_dump.py" "$@" ;;
  checks) checks "$@" ;;
  train) [ $# -ge 3 ] || usage; train "$@" ;;
  *) usage ;;
esac
