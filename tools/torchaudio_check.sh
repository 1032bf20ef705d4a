#!/usr/bin/env bash
# Everything that is checked beside torchaudio: an environment of its own with torchaudio and the CUDA build of torch that
# its wheels want (they run on a machine without a GPU; beside a CPU build they cannot be imported), then the tests that are
# marked torchaudio. No weights are fetched: the networks of its bundles are made fresh.
#
#   tools/torchaudio_check.sh [FOLDER]     # FOLDER, default .venv-torchaudio: takes some 5 GB, made once; remove it after
#
# PYTHON names the interpreter that makes it (default: python3).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case ${1-} in
  -h | --help) sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  -*) echo "tools/torchaudio_check.sh: unknown option '$1'; see --help" >&2; exit 2 ;;
esac
venv=$(realpath -m "${1:-$root/.venv-torchaudio}") # whole: tests start in another folder
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@"; }
die() { echo "tools/torchaudio_check.sh: $*" >&2; exit 1; }

# Done only when all of it was: a set-up that broke off, or one for other versions, is begun again.
stamp=$venv/.lipsound2-torchaudio
state=$(cat "$root/setup.cfg" "$root/tools/constraints.txt" | sha256sum | cut -d' ' -f1)-$root
if [ "$(cat "$stamp" 2>/dev/null)" != "$state" ]; then
  if [ ! -x "$venv/bin/python" ]; then
    [ -z "$(ls -A "$venv" 2>/dev/null)" ] || die "$venv holds something else than such an environment; name another folder"
    mkdir -p "$venv" || exit
    free=$(df --output=avail -BG "$venv" | tail -n 1 | tr -dc 0-9)
    [ "$free" -ge 12 ] || die "$venv: 12 GB wanted while it is made, $free GB are free; name another folder"
    "${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
      die "wanted Python 3.11 or newer, found ${PYTHON:-python3}; PYTHON names another"
  fi
  echo "set-up: making $venv (some 5 GB, minutes)"
  "${PYTHON:-python3}" -m venv "$venv" || die "'${PYTHON:-python3} -m venv' failed; on Debian: apt-get install python3-venv"
  version=$(sed -n 's/^torch==//p' "$root/tools/constraints.txt")
  # '===' takes this very build: a CPU build that pip may find elsewhere has another name behind a '+'.
  grep -v '^torch==' "$root/tools/constraints.txt" >"$venv/constraints.txt"
  pip install --quiet --constraint "$venv/constraints.txt" "torch===$version" torchaudio
  pip install --quiet --constraint "$venv/constraints.txt" --editable "${root}[test]"
  echo "$state" >"$stamp"
fi
cd "$root"
"$venv/bin/python" - <<'PYTHON'
import platform
from pathlib import Path

import torch
import torchaudio

names = [line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
print(f"torch {torch.__version__}, torchaudio {torchaudio.__version__}, Python {platform.python_version()}, {(names or ['?'])[0]}")
PYTHON
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} "$venv/bin/python" -m pytest -rA --capture=no -p no:cacheprovider -m torchaudio tests/test_torchaudio.py
