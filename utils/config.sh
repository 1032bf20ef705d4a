# shellcheck shell=bash
# What a recipe's config says, and what follows from it.

# key NAME: a value of the recipe's config, or the one that --override gives instead; nothing when neither says.
key() {
  # shellcheck disable=SC2154  # options of the recipe
  { sed 's/#.*//' "$config"; tr ',{}' '\n' <<< "$override"; } | sed -n "s/^ *$1: *\([^ ]*\).*/\1/p" | tail -n 1
}

# mel_kind: the mel that the config's target names, fine or paper; fine where it names none.
mel_kind() {
  local target
  target=$(key target)
  case $target in
    mel-*) echo "${target#mel-}" ;;
    *) echo fine ;;
  esac
}

# needs_sets SET...: ends where one of the sets is not there; of a share of the labels it says which option makes it.
# shellcheck disable=SC2154  # data and arguments: of the recipe, data.sh and parse_options.sh
needs_sets() {
  local set arguments=$arguments
  for set in "$@"; do
    if [[ $set =~ ^train-([0-9]+)$ && -z ${shares-} ]]; then
      arguments+=" --shares $((10#${BASH_REMATCH[1]}))"
    fi
    needs 0 "$data/$set/utt2spk"
  done
}

# needs_dump: ends where the dump has not what the config learns from, and says which stage makes it.
needs_dump() {
  local input target kind
  input=$(key input) target=$(key target)
  # shellcheck disable=SC2154  # an option of the recipe
  for kind in "${input:-sound}" $target; do
    case $kind in
      face | mouth) needs 1 "$dump/$kind/feats.scp" ;;
      sound) needs 2 "$dump/sound/feats.scp" ;;
      mel-* | targets-* | features-*) needs 2 "$dump/$kind/feats.scp" ;;
    esac
  done
}

# A mel that the config's target does not name has to be one that there is.
if _declares mel && [[ -n $mel && ! $mel =~ ^(fine|paper|none)$ ]]; then
  usage "--mel: found '$mel', wanted fine, paper or none; left out, it is the one that the config's target names"
fi
