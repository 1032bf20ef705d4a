#!/usr/bin/env bash
# Videos of your own, in any folders, to a model of these faces: crops -> mel -> training -> speech -> scores and a report.
# A text beside a video (clip.txt beside clip.mp4) is its transcript; without transcripts no words are counted.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/options.sh" || exit

# options
reader=own
corpus=videos                   # folder of the videos; the first folder below it is the speaker
protocol=own                    # own: 8 of 10 clips train, 1 valid, 1 test; lists
config=conf/parallel.yaml
# end of options

. "$root/utils/pipeline.sh"
