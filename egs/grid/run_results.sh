#!/usr/bin/env bash
# A table of results made again from the corpus: ./run_results.sh [TABLE] --corpus DIR, with nothing but the models that
# ship. Its clips are cropped, spoken, scored and recognized; exp/results/TABLE.tsv gets the scores of every clip, and the
# last lines tell what differs from the stored ones. Models of all but the last two are trained first. With --check TABLE no
# corpus is needed: every printed number is computed from results/TABLE.tsv, and a line tells each that differs.
# Tables: larger (lip-to-speech with a larger trunk, five hours of training), levers (of lip-to-speech, two hours),
# lira (reading lips with few labels, a day or more), lira_half (where the pretext has not seen the labeled clips, two hours),
# lira_words (likewise single words, two hours), offsets (lip-to-speech without the offsets between audio and video, five
# hours), shipped (the clips of test, the default), unseen (speakers that no model has seen).

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/begin.sh" || exit
table=shipped
case ${1:-} in [!-]*) table=$1; shift ;; esac

# options
corpus=downloads            # folder of GRID, as for run.sh
protocol=lists              # as for run.sh
lists=lists                 # folder of TSV lists, for --protocol lists; lists/ has those of the tables
check=                      # table whose printed numbers are computed again, or all; nothing else is done
publish=no                  # yes: into results/ and the printed tables, which git tracks: for maintainers
nj=2                        # worker processes
# end of options
. "$root/utils/parse_options.sh"

# known TABLE OPTION: ends where there is no such table.
known() {
  local tables=(results/*.yaml)
  tables=("${tables[@]##*/}")
  tables=("${tables[@]%.origin.yaml}")
  [ -f "results/$1.yaml" ] || usage "$2: found '$1', wanted a table: $(printf '%s\n' "${tables[@]%.yaml}" | sort -u | paste -sd ' ')"
}

if [ -n "$check" ]; then
  if [ "$check" = all ]; then tables=(results/*.tsv); else known "$check" --check; tables=("results/$check.tsv"); fi
  "$root/tools/install.sh"
  exec python local/results.py "${tables[@]/%.tsv/.yaml}"
fi
known "$table" TABLE
corpus_made=downloads # by stage 0 of run.sh
. "$root/utils/set_up.sh"

if grep -q '^ways:' "results/$table.yaml"; then # trainings of another recipe
  "$root/tools/install.sh"
  mapfile -t recipe < <(python local/make_series.py "results/$table.yaml" --recipe)
  "${recipe[@]}" --corpus "$corpus" --protocol "$protocol" --lists "$lists" --nj "$nj"
  mkdir -p exp/results
  [ "$publish" = no ] && written=(--out "exp/results/$table.tsv") || written=(--publish)
  exec python local/make_series.py "results/$table.yaml" "${written[@]}"
fi

"$root/tools/install.sh" --extras dnsmos,faster-whisper,judge
./run.sh --corpus "$corpus" --protocol "$protocol" --lists "$lists" --nj "$nj" --stop-stage 0
[ "$publish" = no ] && written=() || written=(--publish)
python local/make_results.py "results/$table.yaml" --data "data/$protocol/$(sed -n 's/^set: *\([^ ]*\).*/\1/p' "results/$table.yaml")" \
  --out "exp/results/$table" --nj "$nj" "${written[@]}"
