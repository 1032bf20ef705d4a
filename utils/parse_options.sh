# shellcheck shell=bash
# Options of a recipe script. The script declares them as plain variables, one a line, each with a comment, between the
# lines '# options' and '# end of options'; sourcing this file then reads the command line: --nj 4 or --nj=4 sets nj,
# --stop-stage 3 sets stop_stage. A mistake in it is one line and status 2, before any set-up; --help prints the declarations, which are
# the truth. They also say what a value must be, by the default:
#
#     # options
#     stage=0        # first stage to run
#     nj=2           # a whole number of at least 1; of at least 0 where the default, or '0: ' in the comment, says so
#     weight=0.5     # any number
#     audio=yes      # yes or no
#     seeds="0 1"    # whole numbers; "50:0 50:1" pairs of them
#     config=a.yaml  # a file that is there
#     exp=           # anything
#     # end of options
#     . "$root/utils/parse_options.sh"

# Recipes go to their own folder first: from there, the name they were called by may lead nowhere.
_self=$(basename "$0")
[ -f "$_self" ] || _self=$0

# The file of options that several scripts share comes first; what a script says of them itself wins.
_options=()
declare -A _defaults=() _comments=() _kinds=()
while IFS= read -r _line; do
  _name=${_line%%=*}
  [ -n "${_defaults[$_name]+known}" ] || _options+=("$_name")
  _defaults[$_name]=${!_name}
  if [[ $_line = *"# "* ]]; then _comments[$_name]=${_line#*# }; else _comments[$_name]=${_comments[$_name]-}; fi
done < <(sed -n '/^# options$/,/^# end of options$/p' "${_shared:-/dev/null}" "$_self" | grep -E '^[a-z_]+=')

_help() {
  local name
  sed -n '2,/^[^#]/p' "$_self" | sed -n 's/^# \{0,1\}//p'
  printf '\noptions of %s:\n' "$0"
  for name in "${_options[@]}"; do
    printf '  --%-16s %s%s\n' "${name//_/-}" "${_comments[$name]}" "${_defaults[$name]:+ (default: ${_defaults[$name]})}"
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

# usage WORD...: a mistake in the command: one line, and nothing has been done.
usage() {
  echo "$0: $*" >&2
  exit 2
}

# _declares NAME: whether the script has the option. Names are compared, never expanded: one could hold a command.
_declares() {
  local name
  for name in "${_options[@]}"; do
    [ "$name" != "$1" ] || return 0
  done
  return 1
}

# _near WORD CANDIDATE...: '; did you mean ...?' with the candidate that is a few letters away or begins so, if one is.
_near() {
  local word=$1
  shift
  printf '%s\n' "$@" | word=$word awk '
    function least(a, b) { return a < b ? a : b }
    { word = ENVIRON["word"]; n = length(word); m = length($0)
      for (i = 0; i <= n; i++) d[i, 0] = i
      for (j = 0; j <= m; j++) d[0, j] = j
      for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) {
        same = substr(word, i, 1) == substr($0, j, 1)
        d[i, j] = least(least(d[i-1, j], d[i, j-1]) + 1, d[i-1, j-1] + !same)
        if (i > 1 && j > 1 && substr(word, i, 1) == substr($0, j-1, 1) && substr(word, i-1, 1) == substr($0, j, 1))
          d[i, j] = least(d[i, j], d[i-2, j-2] + 1)
      }
      far = d[n, m]
      if (n >= 4 && index($0, word) == 1) far = 1
      if (far <= 1 + int(n / 5) && (best == "" || far < how)) { best = $0; how = far }
    }
    END { if (best != "") printf "; did you mean '\''%s'\''?", best }'
}

# What a site has set for itself is the default then, and has to be as good as what stands on the command line.
for _name in "${_options[@]}"; do
  _kinds[$_name]=${_defaults[$_name]}
done
if _declares launcher; then
  # shellcheck source=cmd.sh disable=SC2154  # root
  . "$root/utils/cmd.sh"
  for _name in "${_options[@]}"; do
    _defaults[$_name]=${!_name}
  done
fi

# Options that were renamed, old:new: read by the old name where the script knows only the new one, and told.
_renamed=(address:url also:metrics ears:asr_config levels:units others:extra_set shares:label_percent ways:modes)

# _unknown WORD: what to say of a word that is no option of this script.
_unknown() {
  local bare=${1#-} told new where
  bare=${bare#-}
  for told in "${_renamed[@]}"; do # of another script
    new=${told#*:}
    if [ "${told%:*}" = "${bare//-/_}" ]; then
      where=$(grep -l "^$new=" ./run*.sh ../*/run*.sh 2> /dev/null | head -n 1) || true
      usage "unknown option '$1'; it is now called --${new//_/-}${where:+, an option of $where}"
    fi
  done
  told=$(_near "--${bare//_/-}" "${_options[@]/#/--}" --help | tr _ -)
  usage "unknown option '$1'${told:-; keys of the config go into --override; $0 --help lists the options}"
}

# shellcheck disable=SC2034  # for the lines of stages.sh that say how to go on
arguments=
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h) _help; exit 0 ;;
    --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    --*)
      _name=${1#--} _name=${_name//-/_}
      for _line in "${_renamed[@]}"; do
        if [ "${_line%:*}" = "$_name" ] && ! _declares "$_name" && _declares "${_line#*:}"; then
          _name=${_line#*:}
          echo "$0: $1 is now called --${_name//_/-}" >&2
        fi
      done
      _declares "$_name" || _unknown "$1"
      [ $# -ge 2 ] || usage "option '$1' needs a value"
      if [[ $2 = --* ]] && _line=${2#--} && _declares "${_line//-/_}"; then
        usage "option '$1' needs a value, found the option '$2'"
      fi
      case $_name in # what is not in the recipe's folder may be where the script was called
        corpus | lists | listing | prompts | init)
          [ -z "$2" ] || [ -e "$2" ] || [ ! -e "${_from:-.}/$2" ] || set -- "$1" "$_from/$2" "${@:3}" ;;
      esac
      printf -v "$_name" '%s' "$2"
      arguments+=$(_typed "--${_name//_/-}" "$2")
      shift 2 ;;
    -?*) _unknown "$1" ;;
    *) usage "unexpected argument '$1'; values stand behind their options, see $0 --help" ;;
  esac
done

# _wants NAME WHAT: the line about a value of another kind.
_wants() { usage "--${1//_/-}: found '${!1}', wanted $2"; }

# _whole NAME LEAST: the option is a whole number of at least LEAST.
_whole() {
  if ! [[ ${!1} =~ ^(0|[1-9][0-9]{0,8})$ ]] || [ "${!1}" -lt "$2" ]; then
    _wants "$1" "a whole number of at least $2"
  fi
}

for _name in "${_options[@]}"; do
  _line=${_kinds[$_name]}
  case $_name in
    stage | stop_stage) [[ ${!_name} =~ ^[0-${_defaults[stop_stage]}]$ ]] ||
      _wants "$_name" "a stage: 0 to ${_defaults[stop_stage]}" ;;
    launcher) [[ ${!_name} =~ ^(local|slurm)$ ]] || _wants launcher 'local or slurm' ;;
    shares | label_percent) for _word in ${!_name}; do
        [[ $_word =~ ^([1-9][0-9]?|100)$ ]] || _wants "$_name" 'per cent of the labels: whole numbers from 1 to 100'
      done ;;
    *) if [[ $_line =~ ^[0-9]+$ ]]; then
        [ "$_line" != 0 ] && [[ ${_comments[$_name]} != *\ 0:\ * ]] && _least=1 || _least=0
        _whole "$_name" "$_least"
      elif [[ $_line =~ ^(yes|no)$ ]]; then
        [[ ${!_name} =~ ^(yes|no)$ ]] || _wants "$_name" 'yes or no'
      elif [[ $_line =~ ^[0-9]*\.[0-9]+$ ]]; then
        [[ ${!_name} =~ ^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE]-?[0-9]+)?$ ]] || _wants "$_name" 'a number'
      elif [[ $_line =~ ^[0-9]+(\ [0-9]+)+$ ]]; then
        for _word in ${!_name}; do
          [[ $_word =~ ^(0|[1-9][0-9]{0,8})$ ]] || _wants "$_name" 'whole numbers, separated by blanks'
        done
      elif [[ $_line =~ ^[0-9]+:[0-9]+\  ]]; then
        for _word in ${!_name}; do
          [[ $_word =~ ^[1-9][0-9]{0,8}:(0|[1-9][0-9]{0,8})$ ]] || _wants "$_name" "pairs such as '$_line'"
        done
      elif [[ $_line = *.yaml ]] && [ "${!_name}" != "$_line" ] && [ ! -f "${!_name}" ]; then
        _word=(conf/*.yaml)
        _wants "$_name" "a file that is there$(_near "${!_name}" "${_word[@]}"); conf/ holds: $(basename -s .yaml -a "${_word[@]}" | paste -sd ' ')"
      fi ;;
  esac
done
# shellcheck disable=SC2154  # options of recipes that have stages
if _declares stage && [ "$stage" -gt "$stop_stage" ]; then
  usage "--stage $stage comes after --stop-stage $stop_stage, so nothing would run; leave one of the two out"
fi
unset -v _line _word _least
