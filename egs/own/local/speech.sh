# shellcheck shell=bash
# What run_adapt.sh does with a lip-to-speech model: speech of the clips, and its scores.
# shellcheck disable=SC2034,SC2154  # options and functions of run_adapt.sh

use_with="lipsound2 live --model"
region=$(key input) needed=$(key target) mel=$(mel_kind)
declare -A parts=() # of each system, the data dirs of its speech

# extract: what is learned from, of the clips that show a mouth.
extract() { run mel "$out/usable" "$dump" --mel "$mel" --nj "$nj"; }

# begin: before hours of training; a recognizer that is not there is told now.
begin() {
  local name
  if [ -n "$asr" ] && [ ! -s "$out/tested/text" ]; then
    echo "no clip has a text: no words are counted (run_transcripts.sh writes texts)"
    asr=
  fi
  for name in $asr; do
    run decode "$name" "$out/tested" "$out/words/$(_recognizer_folder "$name")/real" --dump "$dump" --nj "$nj"
  done
  rm -rf "$out/speech" # of an earlier call with other --clips
}

# finish_training EXP: nothing is to be added.
finish_training() { :; }

# judge_confidences EXP: speech has none.
judge_confidences() { :; }

# answer MODEL SYSTEM FOLD: the speech of a fold's clips, gathered with that of the other folds. The last model also speaks
# with the video of another clip: what it gains over that, it has read from the lips.
answer() {
  local wav=$out/work/$2-$3 kind control='' system=$2
  [ "$2" != "$last" ] || control=mismatched
  run synthesize "$1" "$out/folds/$3/held" "$wav" --dump "$dump" --controls "$control" --ngpu "$ngpu" --nj "$nj"
  for kind in generated $control; do
    [ "$kind" = generated ] || system=$kind
    mkdir -p "$out/speech/$system"
    cp "$wav/$kind"/*.wav "$out/speech/$system/"
    parts[$system]+=${parts[$system]:+,}$wav/data/$kind
  done
}

# compare: the table of all folds.
compare() {
  local name words folder system alike
  run score "$dump/audio" "$out/speech" --out "$out/scores" --ids "$out/tested" --against before --nj "$nj"
  for name in $asr; do
    words=$out/words/$(_recognizer_folder "$name")
    for folder in "$words"/after-*/; do
      [ -n "${parts[$(basename "$folder")]:-}" ] || rm -rf "$folder" # of an earlier call with other --clips
    done
    for system in "${!parts[@]}"; do
      lipsound2 combine "${parts[$system]}" "$out/work/$system"
      run decode "$name" "$out/work/$system" "$words/$system" --nj "$nj"
    done
    if [[ $name = *whisper:* && $language = en ]]; then alike=--homophones; else alike=--no-homophones; fi
    lipsound2 score-text "$out/tested" "$words" --out "$out/scores" --language "$language" --against before $alike
  done
}
