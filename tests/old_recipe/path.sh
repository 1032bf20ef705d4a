# shellcheck shell=bash
# The project's root, and its environment first on the PATH; the first run of a recipe on a machine sets it up.
root=$(cd ../.. && pwd)
[[ " $* " =~ \ (-h|--help)\  ]] || "$root/tools/install.sh"
# Threads that wait must not spin: on a machine that does anything else, training would crawl.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
export PATH="${LIPSOUND2_VENV:-$root/.venv}/bin:$PATH"
