#!/usr/bin/env bash
# The mini recipe: talking faces generated on the spot, in GRID's layout and grammar, through all six stages.
# From a finished set-up it takes a few minutes on two cores and ends with a report to look at.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/options.sh" || exit

# options
reader=grid
corpus=corpus                   # folder that the corpus is generated in
# shellcheck disable=SC2034  # local/data.sh
clips=120                       # clips to generate, two speakers together
protocol=mini                   # mini: every tenth clip is for validation, every tenth for the test
config=conf/mini.yaml
exp="exp/<config>"
asr=pocketsphinx:grid
publish=
# end of options
corpus_made="*"

. "$root/utils/pipeline.sh"
