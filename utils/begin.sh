# shellcheck shell=bash
# How every script of a recipe begins: in bash (it may be called as `sh run.sh`), in its own folder, with the environment.
[ "${BASH##*/}" = bash ] || exec bash "$0" "$@"
set -euo pipefail
_from=$PWD # paths on the command line may be meant from here
cd "$(dirname "$0")"
# shellcheck source=path.sh
. ../../utils/path.sh
