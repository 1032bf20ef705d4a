# shellcheck shell=bash disable=SC2154
# Stage 0: the corpus is generated before it is read.
lipsound2 generate "$corpus" --clips "$clips" --nj "$nj"
prepare_data
