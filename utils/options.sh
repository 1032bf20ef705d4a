# shellcheck shell=bash
# The options of every recipe, with their defaults. A recipe's run.sh reads this file first, names some of them again with
# other values, its choices, adds options of its own, and ends with utils/pipeline.sh.
# shellcheck disable=SC2034  # read by utils/pipeline.sh
# shellcheck source=begin.sh
. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/begin.sh"

corpus_made= # pattern of the folders that stage 0 of a recipe fills itself, so that --corpus need not be there

# options
stage=0                # first stage to run: 0 data, 1 crops, 2 audio and mels, 3 training, 4 synthesis or text, 5 scores
stop_stage=5           # last stage to run

reader=                # the corpus' name for lipsound2 prepare
corpus=                # folder of the corpus, whole or in part
protocol=              # the sets it is divided into
lists=                 # folder of TSV lists, for --protocol lists
prepare_options=       # options of this recipe's own that lipsound2 prepare is given as well
protocol_only=no       # yes: stages 1 and 2 leave out clips that are in none of the protocol's sets
cut_words=no           # yes: a config of single words learns them cut out of the sentences
label_percent=         # per cent of the labels: "1 5 20" makes the sets train-01, train-05, train-20
data=                  # folder of data dirs that stage 0 makes, or of sets of your own; empty: data

dump=dump              # folder of crops, audio, features
regions=face,mouth     # crops: face, mouth or both; empty: the corpus has no video
audio=yes              # no: stage 2 extracts no audio
mel=                   # mel of the config's target: fine, paper or speecht5; none: audio alone; empty: as the config says
target=                # what a pretext predicts, as lipsound2 targets takes it: pase:EXP, mfcc, logmel, ...

config=                # training config
override=              # keys of the config with other values: "max_epochs: 12, lr: 1e-4"
init=                  # model to begin from; its frozen trunk makes features-..., its mels tell the offsets of correct_av_offset
train=train            # set to learn from, such as train-05
valid=valid            # set to validate on
pieces=0               # size of a sentencepiece tokenizer, made of the training texts; 0: the tokenizer of the config
exp="exp/<protocol>_<config>" # experiment folder; <config> with the share of the labels

sets="test"            # sets to synthesize or decode, and score, separated by blanks
spoken=0               # clips of each set to synthesize and score, balanced over its speakers; 0: all
asr=                   # recognizers of the speech: own (trained on ground truth), an experiment, whisper:base, ...; empty: none
asr_config=            # config of our own recognizer
grammar=               # decode also with this grammar, such as grid
language=en            # of the texts: en, zh, or another one that docs/new-language.md adds
lm=                    # language model: an ARPA file, an experiment, or none; empty: made of the training texts
lm_config=             # config of a neural language model to train; empty: an n-gram model
order=0                # order of the n-gram language model, such as 3; 0: no language model
lm_weight=0.5          # weight of the language model beside the recognizer
word_bonus=0.0         # score added for every word; for every token in a language without blanks
ctc_weight=            # weight of CTC in joint CTC/attention decoding, such as 0.3; empty: CTC alone
beam=16                # beam width of the search
publish=exp/RESULTS.md # file that gets the result rows; empty: none; RESULTS.md, which git tracks: for maintainers

nj=2                   # worker processes, or jobs of a cluster
ngpu=0                 # GPUs
launcher=local         # where the work is done: local, or slurm (docs/cluster.md)
# end of options
