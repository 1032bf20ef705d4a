#!/usr/bin/env bash
# LiRA's pretext on LRS3: mouths and audio without a label -> an experiment that ../lrw, ../lrs2 and others begin from.
# With a config of ../lrs2: sentences from lips, as there. Give the corpus with --corpus, whole or in part; README.md
# says whether it can still be had.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/options.sh" || exit

# options
reader=lrs3
corpus=lrs3                     # folder of LRS3: pretrain, trainval, test
lists=                          # AV-HuBERT's lrs3-valid.id; empty: in the corpus' folder, else talks are held out by hash
protocol=lrs3                   # training set: lrs3, pretrain and trainval; lrs3-trainval, trainval alone
regions=mouth
mel=none
config=conf/lira_pretext.yaml   # training config; ../lrs2/conf/lira_sentence_*.yaml reads
lm_config=../lrs2/conf/lm.yaml
# The search as LiRA's group has it (../lrs2/README.md).
lm_weight=0.6
ctc_weight=0.1
beam=40
# end of options

. "$root/utils/pipeline.sh"
