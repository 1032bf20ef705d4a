# shellcheck shell=bash
# What a recipe's config says, and what follows from it.

# key NAME: a value of the recipe's config, or the one that --override gives instead; nothing when neither says.
key() {
  # shellcheck disable=SC2154  # options of the recipe
  { sed 's/#.*//' "$config"; tr ',{}' '\n' <<< "$override"; } | sed -n "s/^ *$1: *\([^ ]*\).*/\1/p" | tail -n 1
}

# holds NAME: whether a value of the recipe's config is true, in one of YAML's words for it.
holds() { [[ $(key "$1") =~ ^([Tt]rue|TRUE|[Yy]es|YES|[Oo]n|ON)$ ]]; }

# mel_kind: the mel that the config's target names, such as fine; fine where it names none.
mel_kind() {
  local target
  target=$(key target)
  case $target in
    mel-*) echo "${target#mel-}" ;;
    *) echo fine ;;
  esac
}
