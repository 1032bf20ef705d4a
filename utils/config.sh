# shellcheck shell=bash
# key NAME: a value of the recipe's config, or the one that --override gives instead; nothing when neither says.
key() {
  # shellcheck disable=SC2154  # options of the recipe
  { sed 's/#.*//' "$config"; tr ',{}' '\n' <<< "$override"; } | sed -n "s/^ *$1: *\([^ ]*\).*/\1/p" | tail -n 1
}
