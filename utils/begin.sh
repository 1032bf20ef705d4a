# shellcheck shell=bash
# How every script of a recipe begins: in bash (it may be called as `sh run.sh`), in its own folder, with the environment.
# A recipe copied out of the checkout finds it by LIPSOUND2_ROOT (docs/cluster.md, "A shared installation").
[ "${BASH##*/}" = bash ] || exec bash "$0" "$@"
set -euo pipefail
# shellcheck source=path.sh
. "$(dirname "${BASH_SOURCE[0]}")/path.sh"
_from=$PWD # paths on the command line may be meant from here
cd "$(dirname "$0")"
