# shellcheck shell=bash disable=SC2154
# Stage 0: without a folder of GRID the corpus is downloaded; what is there already is not fetched again.
if [ "$corpus" = downloads ]; then
  lipsound2 download grid "$corpus" --protocol "$protocol" ${url:+--url "$url"}
fi
prepare_data
