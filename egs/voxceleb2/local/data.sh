# shellcheck shell=bash disable=SC2034,SC2154
# Stage 0: of a listing the files need not be here yet.
prepare_data
[ -z "$listing" ] || validate=(--no-media)
