#!/usr/bin/env bash
# LipSound2 on TCD-TIMIT: video of a talking face -> crops -> mel -> training -> speech -> scores and a report.
# With a config of the task recognize: audio -> training of a recognizer -> text -> word errors and a report.
# Give the corpus with --corpus, whole or in part, and TIMIT's sentences with --prompts; README.md says how to get both.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/options.sh" || exit

# options
reader=tcd_timit
corpus=TCD-TIMIT                # folder that holds volunteers, lipspeakers or both
# shellcheck disable=SC2034  # prepare_options
prompts=                        # TIMIT's PROMPTS.TXT; empty: prompts.txt in the corpus' folder, or no words
prepare_options=prompts
protocol=lipspeakers            # lipspeakers, lipspeakers-unseen, volunteers-unseen, volunteers-seen, lists
config=conf/parallel.yaml
asr=own
asr_config=conf/asr_conformer.yaml
# end of options

. "$root/utils/pipeline.sh"
