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
# `checks` ends by itself after MINUTES (default 9). What a step printed is in OUT/checks.txt, how each ended in OUT/summary.txt;
# one that fails does not stop the others, and the status is 1. STEPS="configs vocoder" takes some of the steps that the summary
# names, such as those that no time was left for; CONFIGS="FILE ..." some configs; BATCH=2 so many clips an update. PYTHON names
# the interpreter (default: python3); torch, pytest and the packages of setup.cfg must be importable in it. NGPU=0 tries the
# slices and, with small sizes, the checks on a CPU.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
lipsound2() { "$python" -m lipsound2.cli "$@"; }

usage() {
  sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
  exit 2
}

packages() { # told before anything is waited for
  "$python" - <<'PYTHON'
import importlib.util
import sys

names = "torch numpy scipy soundfile av cv2 safetensors matplotlib tensorboard yaml tqdm pytest hypothesis".split()
missing = [name for name in names if importlib.util.find_spec(name) is None]
sys.exit(f"gpu_check.sh: {sys.executable} has no {', '.join(missing)}; PYTHON names another interpreter" if missing else 0)
PYTHON
}

step() { # NAME COMMAND...: one part of the checks, until time is over; it needs $out and $ends
  local name=$1 begun=$SECONDS left=$((ends - SECONDS)) status=0 end
  shift
  [[ " ${STEPS:-$name} " == *" $name "* ]] || return 0
  echo "== $name"
  if [ "$left" -le 0 ]; then
    end="not begun: time is over"
  else
    timeout --kill-after 10 "$left" "$@" </dev/null || status=$?
    if [ "$status" -eq 0 ]; then
      end=ok
    elif [ "$SECONDS" -ge "$ends" ]; then
      end="stopped: time is over"
    else
      end="FAILED with status $status"
    fi
  fi
  printf '%-12s %5d s  %s\n' "$name" $((SECONDS - begun)) "$end" | tee -a "$out/summary.txt"
}

checks() { # OUT: CUDA tests, three updates of every config at full size, a compiled training that resumes, benchmarks
  local out=$1 ends=$((SECONDS + 60 * ${MINUTES:-9})) ngpu=${NGPU:-1} small="" tests configs updates
  local bench=$root/tests/benchmarks override="max_epochs: 0, valid_every: 1, batch_size: 2, valid_clips: 2, workers: 0"
  local -a learn
  : >"$out/summary.txt"
  work=$(mktemp -d) # a name of the whole script: the trap comes later
  trap 'rm -rf "$work"' EXIT
  learn=("$python" -m lipsound2.cli train "$root/egs/mini/conf/mini.yaml" --train "$work/dump/data" --valid "$work/dump/data"
    --dump "$work/dump" --ngpu "$ngpu")
  if [ "$ngpu" -gt 0 ]; then
    "$python" -c 'import torch, sys; sys.exit(None if torch.cuda.is_available() else "no GPU that torch can use")'
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv
  else
    small=yes
  fi
  mapfile -t tests < <(grep -l '^@pytest.mark.cuda$' "$root"/tests/test_*.py)
  step tests "$python" -m pytest -q -rs -m cuda -p no:cacheprovider "${tests[@]}"
  step nccl "$python" "$bench/bench_configs.py" "$root/egs/mini/conf/mini.yaml" --ngpu "$ngpu" --batch 2 --dump "$work/dump" \
    ${small:+--frames 25}
  # Compiled, and on from its checkpoint: the second command finds update 2 and does the third.
  for updates in 2 3; do
    step "compiled-$updates" "${learn[@]}" --exp "$work/compiled" --override "compile: true, max_updates: $updates, $override"
  done
  step resumed grep "going on after update 2" "$work/compiled/train.log"
  [ "$small" ] || step fp16 "${learn[@]}" --exp "$work/fp16" --override "precision: fp16, max_updates: 3, $override"
  step decoder "$python" "$bench/bench_decoder.py" ${small:+--batch 2 --video-frames 5 --frames 12 --width 32 --repeats 1} \
    --device "$([ "$small" ] && echo cpu || echo cuda)"
  step trunk "$python" "$bench/bench_trunk.py" --ngpu "$ngpu" --config "$root/egs/lrs2/conf/lira_sentence_supervised.yaml" \
    --batch "$([ "$small" ] && echo 1 || echo 64)" --frames "$([ "$small" ] && echo 5 || echo 75)" ${small:+--rounds 1}
  # The long ones come last: what time is left for.
  read -r -a configs <<< "${CONFIGS:-}"
  step configs "$python" "$bench/bench_configs.py" "${configs[@]}" --ngpu "$ngpu" --dump "$work/dump" \
    --batch "${BATCH:-$([ "$small" ] && echo 2 || echo 0)}" ${small:+--updates 1}
  step vocoder "$python" "$bench/bench_vocoder.py" --ngpu "$ngpu" ${small:+--seconds 0.5 --repeats 1}
  [ -s "$out/summary.txt" ] || { echo "gpu_check.sh: STEPS: no step is called '$STEPS'; without it all run"; return 2; }
  printf '== summary\n%s\n' "$(cat "$out/summary.txt")"
  ! grep -qv ' ok$' "$out/summary.txt"
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
    lipsound2 pack exp model --knows "the GRID clips it was trained on" --corpus GRID --license "CC BY 4.0"
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
  checks)
    [[ $# -le 1 && ${1-} != -* && ${MINUTES:-9} =~ ^[0-9]+$ ]] || usage
    mkdir -p "${1:-.}"
    packages
    checks "$(realpath "${1:-.}")" 2>&1 | tee "${1:-.}/checks.txt" ;;
  train) [ $# -ge 3 ] || usage; train "$@" ;;
  *) usage ;;
esac
