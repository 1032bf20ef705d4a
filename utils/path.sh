# shellcheck shell=bash
# The project's root, and its environment first on the PATH. A recipe sets the environment up once its options are right;
# read at a prompt (`. utils/path.sh`, from any folder), this file does so itself.
root=$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)
[ "${#BASH_SOURCE[@]}" -gt 1 ] || "$root/tools/install.sh"
# Threads that wait must not spin: on a machine that does anything else, training would crawl.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
export PATH="${LIPSOUND2_VENV:-$root/.venv}/bin:$PATH"
