# shellcheck shell=bash
# The text of speech, made once by each recognizer, and its word errors.

# _recognizer_folder NAME [GRAMMAR]: a folder's name for a recognizer, such as pocketsphinx-grid or lists_asr_conformer+grid.
_recognizer_folder() {
  local name=${1//:/-}
  [ ! -e "$1" ] || name=$(basename "$(realpath "$1")")
  printf '%s' "$name${2:++$(basename "$2")}" | sed -E 's/[^[:alnum:]_.+-]+/_/g'
}

# _is_ours NAME: whether a recognizer is an experiment, a pack, or the name of one, and not a ready-made one.
_is_ours() { [ -e "$1" ] || python -m lipsound2.model_names "$1" > /dev/null 2>&1; }

# count_words NAMES SPEECH DATA TEXTS SCORES [GRAMMAR]: by each of some recognizers, with commas between their names.
# SPEECH is what synthesize wrote, DATA the data dir with the transcripts; ground truth is the audio in the dump.
count_words() {
  local name names system texts
  # shellcheck disable=SC2154  # options
  local array=(--nj "$nj" --launcher "$launcher")
  IFS=, read -ra names <<< "$1"
  for name in "${names[@]}"; do
    # Ready-made recognizers take no grammar, or have one of their own.
    if [ -z "$name" ] || { [ -n "${6:-}" ] && ! _is_ours "$name"; }; then continue; fi
    texts=$4/$(_recognizer_folder "$name" "${6:-}")
    lipsound2 decode "$name" "$3" "$texts/real" --dump "${dump:-dump}" --grammar "${6:-}" "${array[@]}"
    for system in "$2"/data/*/; do
      lipsound2 decode "$name" "$system" "$texts/$(basename "$system")" --grammar "${6:-}" "${array[@]}"
    done
    lipsound2 score-text "$3" "$texts" --out "$5" --language "${language:-en}"
  done
}
