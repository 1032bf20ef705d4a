#!/usr/bin/env bash
# Pre-training on VoxCeleb2: faces and voices without a word of text -> an experiment that other recipes begin from,
# such as egs/grid/run.sh --init. Give the corpus with --corpus, whole or in part; README.md says how to get it.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/options.sh" || exit

# options
reader=voxceleb2
corpus=VoxCeleb2                # folder of VoxCeleb2: dev/mp4/id00012/..., test/mp4/..., audio in it or in dev/aac/...
# shellcheck disable=SC2034  # prepare_options
listing=                        # file of its paths, one a line, a size behind it or not: the disk is not walked then
prepare_options=listing
protocol=multilingual           # multilingual: all clips; english: the clips of --lists
lists=                          # file of English clips, such as vox-en.id, for --protocol english
protocol_only=yes               # yes: languages that nobody trains on need no crops
dump="dump/<protocol>"
config=conf/parallel.yaml
spoken=500
# end of options

. "$root/utils/pipeline.sh"
