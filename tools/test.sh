#!/usr/bin/env bash
# Sets up and passes the tests: style, types, shell scripts, unit, fault and recipe tests. Arguments go to pytest.
set -euo pipefail
case ${1:-} in -h | --help)
  sed -n '2s/^# //p' "${BASH_SOURCE[0]}"
  exit ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
tools/install.sh --extras face,mediapipe,dlib,metrics,dnsmos,onnx,mini,mandarin,kaldi,text,asr,faster-whisper,hub,demo,oracle,docs,test
bin=${LIPSOUND2_VENV:-$root/.venv}/bin

"$bin/ruff" check .
"$bin/ruff" format --check .
# Beside mypy, which takes one core, pytest compiles the tests; else each of its processes would, all at once.
OMP_NUM_THREADS=1 "$bin/pytest" --collect-only -qq >/dev/null 2>&1 & compiling=$!
"$bin/mypy"
wait "$compiling" || true # what is wrong with the tests is told below
if command -v shellcheck >/dev/null; then
  git ls-files '*.sh' .ci/run | xargs shellcheck --external-sources
else
  echo "shellcheck is not installed: shell scripts are not checked (apt-get install shellcheck)"
fi
# One thread each: more threads than cores make every test slower. Three processes, since recipes often wait: for Slurm,
# for a browser, for the steps that they start.
OMP_NUM_THREADS=1 "$bin/pytest" -n "${LIPSOUND2_TEST_JOBS:-3}" --dist loadfile --no-loadscope-reorder --durations 15 "$@"
