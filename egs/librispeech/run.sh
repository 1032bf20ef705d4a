#!/usr/bin/env bash
# A recognizer of English on LibriSpeech, which LipSound2 scores its speech with: audio -> training -> text -> word errors.
# Give the corpus with --corpus, whole or in part; README.md says how to get it.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/options.sh" || exit

# options
reader=librispeech
corpus=LibriSpeech              # folder of LibriSpeech: SPEAKERS.TXT, train-clean-100, dev-clean, ...
protocol=960h                   # training set: 960h, 460h, 100h
regions=
mel=none
config=conf/asr_jasper.yaml
valid=dev-clean
sets="dev-clean dev-other test-clean test-other"
lm=                             # language model: ARPA file over words in small letters; empty: made of the training texts; none
order=6
# end of options

. "$root/utils/pipeline.sh"
