#!/usr/bin/env bash
# LipSound2 on NAME: video of a talking face -> crops -> mel -> training -> speech -> scores and a report.
# Give the corpus with --corpus, whole or in part; README.md says how to get it.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/options.sh" || exit

# options
reader=NAME
corpus=NAME                     # folder of the corpus
protocol=unseen                 # a split that the corpus' module has
config=conf/parallel.yaml
# end of options

. "$root/utils/pipeline.sh"
