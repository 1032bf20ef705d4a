# shellcheck shell=bash
# The set-up of a recipe, once its options are right: the environment, then whether this machine has the GPUs that are
# asked for. Stages that need none would run for hours before one that does.
# shellcheck disable=SC2154  # of path.sh and the recipe
[ -z "${LIPSOUND2_ROOT-}" ] || echo "toolkit: $root (LIPSOUND2_ROOT)"
"$root/tools/install.sh"
if [ "${ngpu:-0}" -gt 0 ] && [ "${launcher:-local}" = local ]; then
  _answer=$(python -m lipsound2.gpus "$ngpu" 2>&1) || { echo "$0: ${_answer##*$'\n'}" >&2; exit 1; }
fi
