# shellcheck shell=bash
# Stages of a recipe: `if stage 1 "crops"; then ...; fi` runs its block when 1 lies between --stage and --stop-stage, says
# how long it took, and, when something in it fails, which command goes on from there.

_current=""
_started=0

# _resume STAGE [OPTION]: this run's command with another first stage (and without OPTION): what a person would type.
_resume() {
  local rest
  # shellcheck disable=SC2154  # set by parse_options.sh
  rest=$(printf '%s' "$arguments" | sed -E "s/ --stage [0-9]+//; s/ ${2:-no option} [0-9]+//")
  echo "./$(basename "$0")$rest --stage $1"
}

_close() {
  [ -n "$_current" ] || return 0
  local next=$((_current + 1)) told=
  [ "$next" -gt 5 ] || told="; to go on from here: $(_resume "$next" --stop-stage)"
  echo "== stage $_current done in $((SECONDS - _started)) s$told"
  _current=""
}

# stage NUMBER TITLE: true when this stage is to run.
stage() {
  _close
  # stage and stop_stage are options of the recipe.
  # shellcheck disable=SC2154
  [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ] || return 1
  _current=$1 _started=$SECONDS
  echo "== stage $1: $2"
}

_leave() {
  local status=$?
  if [ "$status" -ne 0 ] && [ -n "$_current" ]; then
    echo "== stage $_current failed; nothing that was finished is lost. To resume: $(_resume "$_current")" >&2
  elif [ "$status" -eq 0 ]; then
    _close
  fi
}
trap _leave EXIT
# Without these a signal would end the script with the status of its last command, and so as a success.
trap 'exit 130' INT
trap 'exit 143' TERM
