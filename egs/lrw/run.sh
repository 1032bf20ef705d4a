#!/usr/bin/env bash
# Single words from lips on LRW, LiRA's word level: mouths -> trunk, from scratch or from a pretext -> one of 500 words.
# Give the corpus with --corpus, whole or in part; README.md says how to get it.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/options.sh" || exit

# options
reader=lrw
corpus=lipread_mp4              # folder of LRW: ABOUT/{train,val,test}/ABOUT_00001.mp4, ...
protocol=lrw                    # lrw: the corpus' own sets
regions=mouth
audio=no
config=conf/lira_word_supervised.yaml
# end of options

. "$root/utils/pipeline.sh"
