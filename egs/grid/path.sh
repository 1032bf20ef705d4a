# shellcheck shell=bash
# The project's root, and its environment first on the PATH; the first run of a recipe on a machine sets it up.
root=$(cd ../.. && pwd)
"$root/tools/install.sh"
export PATH="${LIPSOUND2_VENV:-$root/.venv}/bin:$PATH"
