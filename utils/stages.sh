# shellcheck shell=bash
# Stages of a recipe: `if stage 1 "crops"; then ...; fi` runs its block when 1 lies between --stage and --stop-stage and
# says how long it took. Where a stage ends early, the last line says what to do: the command that resumes after what
# passes (Ctrl-C, a kill), that goes on once a failure is mended, or that makes what is not there.

_current=""
_started=0

# _resume STAGE [OPTION]: this run's command with another first stage (and without OPTION): what a person would type.
_resume() {
  local rest
  # shellcheck disable=SC2154  # set by parse_options.sh
  rest=$(printf '%s' "$arguments" | sed -E "s/ --stage [0-9]+//g; s/ ${2:-no option} [0-9]+//g")
  case $0 in */*) echo "$0$rest --stage $1" ;; *) echo "./$0$rest --stage $1" ;; esac # as it was called
}

_close() {
  [ -n "$_current" ] || return 0
  local next=$((_current + 1)) told=
  # shellcheck disable=SC2154  # set by parse_options.sh
  [ "$next" -gt "${_defaults[stop_stage]}" ] || told="; to go on from here: $(_resume "$next" --stop-stage)"
  echo "== stage $_current done in $((SECONDS - _started)) s$told"
  _current=""
}

# runs NUMBER: whether this stage is among those asked for.
runs() {
  # stage and stop_stage are options of the recipe.
  # shellcheck disable=SC2154
  [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]
}

# stage NUMBER TITLE: true when this stage is to run.
stage() {
  _close
  runs "$1" || return 1
  _current=$1 _started=$SECONDS
  echo "== stage $1: $2"
}

# needs STAGE PATH...: ends where a path is not there, and says which stage makes it. A stage asks before it does anything.
needs() {
  local path
  for path in "${@:2}"; do
    if [ ! -e "$path" ]; then
      echo "$0: stage $_current needs $path, and it is not there; stage $1 makes it: $(_resume "$1" --stop-stage)" >&2
      _current=""
      exit 1
    fi
  done
}

_leave() {
  local status=$?
  if [ "$status" -eq 0 ]; then
    _close
  elif [ -n "$_current" ]; then
    local kept="nothing that was finished is lost"
    case $status in
      2) kept="== stage $_current did not run: the command is wrong, as said above; $kept" ;;
      130) kept="== stage $_current stopped by Ctrl-C; $kept. To resume: $(_resume "$_current")" ;;
      143) kept="== stage $_current stopped by SIGTERM; $kept. To resume: $(_resume "$_current")" ;;
      129 | 13? | 14?) kept="== stage $_current was killed; $kept. To resume: $(_resume "$_current")" ;;
      *) kept="== stage $_current failed; $kept. Once what is said above is mended: $(_resume "$_current")" ;;
    esac
    echo "$kept" >&2
  fi
}
trap _leave EXIT
# Without these a signal would end the script with the status of its last command, and so as a success.
trap 'exit 130' INT
trap 'exit 143' TERM
