#!/usr/bin/env bash
# Sentences from lips on LRS2, LiRA's sentence level: mouths -> trunk, from scratch or from a pretext -> Conformer ->
# text, by CTC and attention, searched together with a language model. Give the corpus with --corpus, whole or in part;
# README.md says how to get it.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/options.sh" || exit

# options
reader=lrs2
corpus=mvlrs_v1                 # folder of LRS2: main/6330311066473698535/00011.mp4, ..., pretrain/...
lists=                          # folder of train.txt, val.txt, test.txt, pretrain.txt; empty: in the corpus' or above it
protocol=lrs2                   # training set: lrs2, pretrain and train; lrs2-main, train alone
regions=mouth
mel=none
config=conf/lira_sentence_supervised.yaml
lm_config=conf/lm.yaml
# The search as LiRA's group has it (README.md).
lm_weight=0.6
ctc_weight=0.1
beam=40
# end of options

. "$root/utils/pipeline.sh"
