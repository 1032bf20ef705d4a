#!/usr/bin/env bash
# Transcripts of your own videos, written by a recognizer that listens to their audio: clip.txt beside each clip.mp4 that has
# no text yet. A text that is there is never changed. A recognizer errs: read what it wrote, and correct it.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/begin.sh" || exit

# options
corpus=videos                  # folder of your videos, as for run.sh
asr=faster-whisper:base.en     # recognizer: faster-whisper:NAME, fetched on first use, or faster-whisper:FOLDER; others as for run.sh
out=exp/transcripts            # where its words and confidences are kept
nj=2                           # worker processes
# end of options
. "$root/utils/parse_options.sh"
corpus_made=
. "$root/utils/set_up.sh"

echo "== clips without a text, their crops and audio"
lipsound2 prepare own "$corpus" data
lacking=$out/data texts=data/all/text
mkdir -p "$lacking"
[ -f "$texts" ] || texts=/dev/null # no clip has one
for table in utt2spk video.scp; do
  awk -v texts="$texts" 'BEGIN { while ((getline line < texts) > 0) { split(line, word, " "); has[word[1]] } } !($1 in has)' \
    "data/all/$table" >"$lacking/$table"
done
if [ ! -s "$lacking/utt2spk" ]; then
  echo "every clip has a text: nothing to do"
  exit
fi
while read -r _ video; do
  [ -w "$(dirname "$video")" ] || usage "--corpus: found $(dirname "$video"), where nothing can be written; texts go beside the clips"
done <"$lacking/video.scp"
lipsound2 crop "$lacking" "$out/dump" --regions mouth --nj "$nj" # clips that show no mouth are of no use, with a text or without
lipsound2 mel "$lacking" "$out/dump" --nj "$nj"

echo "== what is said in them"
lipsound2 decode "$asr" "$lacking" "$out/words" --dump "$out/dump" --nj "$nj"
written=0 silent=0 taken=0
while read -r id video; do
  text=$(awk -v id="$id" '$1 == id { sub(/^[^ ]+ /, ""); print }' "$out/words/text") beside=${video%.*}.txt
  if [ -z "$text" ]; then
    echo "$video: no word was heard; no text is written"
    silent=$((silent + 1))
  elif [ -e "$beside" ]; then # such as an empty one
    echo "$beside: is there already and stays as it is; the recognizer heard: $text"
    taken=$((taken + 1))
  else
    # Whole or not at all: under its name, and never in the place of another file.
    printf '%s\n' "$text" >"$beside.part"
    mv -n "$beside.part" "$beside"
    rm -f "$beside.part"
    echo "$beside: $text"
    written=$((written + 1))
  fi
done <"$lacking/video.scp"
echo "texts written: $written; left as they were: $taken; clips without a word: $silent. Read them over: words may be wrong"
