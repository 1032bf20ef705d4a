# shellcheck shell=bash
# The set-up of a recipe, once its options are right: whether its corpus is there, then the environment, which may take
# minutes, then whether this machine has the GPUs that are asked for. Stages that need none would run for hours before one
# that does.
# shellcheck disable=SC2154  # of path.sh, parse_options.sh and the recipe
if [ -n "${corpus_made+set}" ] && [ "${stage:-0}" -eq 0 ]; then
  # A --listing stands for the corpus itself. corpus_made is a pattern.
  # shellcheck disable=SC2053
  if [ ! -d "$corpus" ] && [[ $corpus != $corpus_made ]] && [ -z "${listing:-}" ]; then
    usage "--corpus: found '$corpus', wanted a folder that is there: ${_comments[corpus]}"
  fi
  for _name in lists listing prompts; do
    if [ -n "${!_name:-}" ] && [ ! -e "${!_name}" ]; then
      usage "--$_name: found '${!_name}', wanted one that is there: ${_comments[$_name]}"
    fi
  done
fi
[ -z "${LIPSOUND2_ROOT-}" ] || echo "toolkit: $root (LIPSOUND2_ROOT)"
"$root/tools/install.sh"
if [ "${ngpu:-0}" -gt 0 ] && [ "${launcher:-local}" = local ]; then
  _answer=$(python -m lipsound2.gpus "$ngpu" 2>&1) || { echo "$0: ${_answer##*$'\n'}" >&2; exit 1; }
fi
