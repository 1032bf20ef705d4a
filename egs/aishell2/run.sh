#!/usr/bin/env bash
# A recognizer of Mandarin on AISHELL-2 or AISHELL-1, which LipSound2 scores its speech with: audio -> text -> errors.
# Give the corpus with --corpus, whole or in part; README.md says how to get it.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/options.sh" || exit

# options
reader=aishell
corpus=AISHELL-2                # folder of AISHELL-2 (with the evaluation sets somewhere below) or data_aishell
protocol=aishell2               # corpus: aishell2, aishell1
language=zh
regions=
mel=none
config=conf/asr_jasper.yaml
valid=dev
sets="dev test"
lm=                             # language model: ARPA file over characters; empty: made of the training texts; none
order=6
# end of options

. "$root/utils/pipeline.sh"
