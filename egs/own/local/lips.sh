# shellcheck shell=bash
# What run_adapt.sh does with a lip reader: the words of the clips, which may be silent, and their errors.
# shellcheck disable=SC2034,SC2154  # options and functions of run_adapt.sh

use_with="lipsound2 transcribe CLIP --model"
region=$(key input) needed=$region language=$(key language)
[ -z "$asr" ] || usage "--asr: found '$asr', which listens to speech; $model reads words from lips itself, so leave it out"

# extract: nothing but the crops is learned from.
extract() { :; }

# begin: what an earlier call with other --clips gathered is taken away.
begin() { rm -rf "$out"/words/before "$out"/words/after-* "$out/words/mismatched"; }

# finish_training EXP: it searches as the model does that it began from.
finish_training() { [ ! -f "$folder/search.yaml" ] || cp "$folder/search.yaml" "$1/"; }

# answer MODEL SYSTEM FOLD: the words of a fold's clips, gathered with those of the other folds.
answer() {
  local part=$out/work/words/$2-$3 all=$out/words/$2 file
  run decode "$1" "$out/folds/$3/held" "$part" --dump "$dump" --ngpu "$ngpu" --nj "$nj"
  mkdir -p "$all"
  for file in text words.jsonl; do
    cat "$part/$file" >>"$all/$file"
    LC_ALL=C sort -o "$all/$file" "$all/$file" # as tables are, by id
  done
}

# judge_confidences EXP: how sure the model may be, by what was right in the clips that the models of the folds had not seen.
judge_confidences() {
  echo "== its confidences, by the words of all folds"
  python -m lipsound2.inference.fold_calibration "$1" "$out/tested" "$out/words/$last" "$language" ||
    echo "confidences stay as they are, as said above"
}

# compare: the table of all folds. The control is what the last model read in the video of another clip: what it gains over
# that, it has read from the lips.
compare() {
  python -m lipsound2.inference.mismatched_text "$out/words/$last" "$out/tested" "$out/words/mismatched"
  lipsound2 score-text "$out/tested" "$out/words" --out "$out/scores" --language "$language" --against before,mismatched
}
