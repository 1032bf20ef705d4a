# shellcheck shell=bash
# Options of a recipe script. The script declares them as plain variables, one a line, each with a comment, between the
# lines '# options' and '# end of options'; sourcing this file then reads the command line: --nj 4 sets nj, --stop-stage 3
# sets stop_stage. An unknown option stops the script; --help prints the declarations, which are the truth.
#
#     # options
#     stage=0        # first stage to run
#     # end of options
#     . "$root/utils/parse_options.sh"

# Recipes go to their own folder first: from there, the name they were called by may lead nowhere.
_self=$(basename "$0")
[ -f "$_self" ] || _self=$0

_declared() { sed -n '/^# options$/,/^# end of options$/p' "$_self" | grep -E '^[a-z_]+='; }

_help() {
  sed -n '2,/^[^#]/p' "$_self" | sed -n 's/^# \{0,1\}//p'
  printf '\noptions of %s:\n' "$0"
  _declared | while IFS= read -r line; do
    name=${line%%=*} rest=${line#*=}
    default=${rest%%#*} comment=${rest#*#}
    default=$(printf '%s' "$default" | sed 's/^"//; s/"\{0,1\} *$//')
    printf '  --%-16s %s%s\n' "${name//_/-}" "${comment# }" "${default:+ (default: $default)}"
  done
}

# _typed WORD...: as a person would type them: ' --nj 4 --override 'lr: 1e-4''.
_typed() {
  local word
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_./:,=+-]* | "") printf " '%s'" "${word//\'/\'\\\'\'}" ;;
      *) printf ' %s' "$word" ;;
    esac
  done
}

# shellcheck disable=SC2034  # for the line of stages.sh that says how to resume
arguments=$(_typed "$@")
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) _help; exit 0 ;;
    --*=*) echo "$0: write '${1%%=*} ${1#*=}' instead of '$1'" >&2; exit 2 ;;
    --*)
      _name=${1#--} _name=${_name//-/_}
      if ! _declared | grep -q "^$_name="; then
        echo "$0: unknown option '$1'; see $0 --help" >&2
        exit 2
      fi
      if [ $# -lt 2 ]; then
        echo "$0: option '$1' needs a value" >&2
        exit 2
      fi
      printf -v "$_name" '%s' "$2"
      shift 2 ;;
    *) echo "$0: unexpected argument '$1'; see $0 --help" >&2; exit 2 ;;
  esac
done
