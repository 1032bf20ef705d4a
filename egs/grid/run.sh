#!/usr/bin/env bash
# LipSound2 on the GRID corpus: video of a talking face -> crops -> mel -> training -> speech -> scores and a report.
# With a config of the tasks recognize or classify: audio or lips -> training of a recognizer -> text -> word errors.
# With the config of LiRA's pretext: pre-training of a lip reader.
# Give the corpus with --corpus, whole or in part and in any known layout, or let stage 0 download it.

. "${LIPSOUND2_ROOT:-$(dirname "$0")/../..}/utils/options.sh" || exit

# options
reader=grid
corpus=downloads                # folder of GRID; left as it is, stage 0 downloads the corpus to that folder
# shellcheck disable=SC2034  # local/data.sh
url=                            # another address of the Zenodo record, such as a mirror's
protocol=4speakers              # 4speakers, lipsound2-sd, 33seen, overlapped, unseen, unseen-vougioukas, lists
config=conf/parallel.yaml
cut_words=yes
asr=own
asr_config=conf/asr_conformer.yaml
# end of options
corpus_made=downloads

. "$root/utils/pipeline.sh"
