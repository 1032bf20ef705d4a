#!/usr/bin/env bash
# Set-up: makes .venv beside this folder and installs lipsound2 with its extras at the versions of constraints.txt.
# Needs Python 3.11 or newer, a C compiler and about 2 GB; no root, no libGL. Does nothing when nothing is to do.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<HELP
usage: tools/install.sh [--extras LIST] [--python PYTHON] [--pip-options "..."]

  --extras LIST       face,mediapipe,dlib,metrics,dnsmos,onnx,mini,mandarin,kaldi,text,asr,torchaudio,whisper,faster-whisper,hub,live,type,demo,bench,judge,oracle,docs,test (default: asr,face,metrics,mini,text)
  --python PYTHON     interpreter to make .venv with (default: python3)
  --pip-options "..." further options for pip, such as an index with another build of torch

With a CUDA driver on the machine pip's usual torch for Linux is what you want. Without one it works too; a CPU build is
smaller: point pip at one with --pip-options, or install torch into .venv first.
The folder can be moved by setting LIPSOUND2_VENV.
HELP
}

die() {
  echo "tools/install.sh: $*" >&2
  exit 1
}

extras=asr,face,metrics,mini,text
python=python3
pip_options=
while [ $# -gt 0 ]; do
  case $1 in
    --extras) extras=${2:?--extras needs a value}; shift 2 ;;
    --python) python=${2:?--python needs a value}; shift 2 ;;
    --pip-options) pip_options=${2:?--pip-options needs a value}; shift 2 ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done

venv=${LIPSOUND2_VENV:-$root/.venv}
stamp=$venv/.lipsound2
state=$(cat "$root/setup.cfg" "$root/pyproject.toml" "$root/tools/constraints.txt" | sha256sum | cut -d' ' -f1)

# Extras only grow: what was asked for earlier stays.
installed=
if [ -f "$stamp" ]; then
  { read -r installed_state; read -r installed; } <"$stamp" || true
fi
wanted=$(printf '%s' "$installed,$extras" | tr ',' '\n' | sed '/^$/d' | sort -u | paste -sd,)
if [ -f "$stamp" ] && [ "$installed_state" = "$state" ] && [ "$installed" = "$wanted" ]; then
  exit 0
fi

stale() { [ -z "${installed_state-}" ] || [ "$installed_state" = "$state" ] || printf ' of another version'; }

# Of a shared installation most may only read; a recipe that needs more than there is says so in one line.
mkdir -p "$(dirname "$venv")"
for folder in "$(dirname "$venv")" "$venv"; do
  [ ! -e "$folder" ] || [ -w "$folder" ] ||
    die "$venv: found ${installed:-nothing}$(stale), wanted $wanted, and you may not write there; who keeps it runs: tools/install.sh --extras $wanted"
done
# One set-up at a time: a second one waits here and then finds nothing to do.
exec 9>"$venv.lock"
flock 9
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$state
$wanted" ]; then
  exit 0
fi

started=$SECONDS
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  die "found $("$python" --version 2>&1 || echo "no $python"), wanted Python 3.11 or newer; name one with --python"
fi
case ,$wanted, in
  *,metrics,*)
    command -v cc >/dev/null || command -v gcc >/dev/null ||
      die "no C compiler found, and the PESQ score is built from source; on Debian: apt-get install build-essential" ;;
esac
if [ ! -x "$venv/bin/pip" ]; then
  echo "set-up: making $venv"
  "$python" -m venv "$venv" || die "'$python -m venv' failed; on Debian: apt-get install python3-venv"
fi

echo "set-up: installing lipsound2 with ${wanted//,/, } (1 to 3 minutes once downloads are quick)"
# pip writes byte code in one process; compileall does so on all cores, below.
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@" --no-compile; }
# shellcheck disable=SC2086  # several options in one variable are meant
pip install --quiet $pip_options --constraint "$root/tools/constraints.txt" --editable "${root}[$wanted]"
case ,$wanted, in
  *,mediapipe,*)
    # Without its declared requirements: they pull jax (350 MB) and an OpenCV that needs libGL. See setup.cfg.
    # shellcheck disable=SC2086
    pip install --quiet $pip_options --no-deps --constraint "$root/tools/constraints.txt" mediapipe ;;
esac
case ,$wanted, in
  *,mini,*)
    # Only the portrait among its data is read.
    # shellcheck disable=SC2086
    pip install --quiet $pip_options --no-deps --constraint "$root/tools/constraints.txt" scikit-image ;;
esac
# Some packages hold templates that are no Python; pip passes them over, too.
"$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" || true
printf '%s\n%s\n' "$state" "$wanted" >"$stamp.new"
mv "$stamp.new" "$stamp"
echo "set-up: done in $((SECONDS - started)) s"
