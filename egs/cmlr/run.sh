#!/usr/bin/env bash
# LipSound2 on CMLR, Mandarin: video of a talking face -> crops -> mel -> training -> speech -> scores and a report.
# With a config of the task recognize: audio -> training of a recognizer -> text -> character errors and a report.
# Give the corpus with --corpus, whole or in part; README.md says how to get it.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/options.sh" || exit

# options
reader=cmlr
corpus=CMLR                     # folder that holds video, audio, text and the lists train.csv, val.csv, test.csv
protocol=official               # official, unseen (test s1 s6), unseen-s2-s6, lists
lists=                          # folder of train.csv, ... when they lie elsewhere; of TSV lists, for --protocol lists
language=zh
config=conf/parallel.yaml
asr=own
asr_config=conf/asr_conformer.yaml
# end of options

. "$root/utils/pipeline.sh"
