"""The verb `decode`: a recogniser and a data dir -> the text of every clip."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from lipsound2 import packs
from lipsound2.arguments import AtLeast0, AtLeast1, Share, Within
from lipsound2.audio.io import decode_flac
from lipsound2.config import to_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir, write_table
from lipsound2.data.yaml_files import write_yaml
from lipsound2.datasets.audio_to_text import SOUND
from lipsound2.datasets.crop_cache import Pictures
from lipsound2.decoding.hypothesis import DETAILS, TEXT, Hypothesis, write_words
from lipsound2.decoding.pretrained_asr import Listener, hear_all
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock
from lipsound2.fingerprint import Stamp
from lipsound2.inference.classify_words import read_words
from lipsound2.inference.recognizer_names import is_own
from lipsound2.inference.recognizers import OwnListener, Search, files_of, listener
from lipsound2.jobs.batch_map import batches, each
from lipsound2.outputs import OutputFolder

log = logging.getLogger(__name__)


def decode(
    asr: str,
    dir: Path,
    out: OutputFolder,
    *,
    dump: Path,
    grammar: str = "",
    lm: Path | None = None,
    lm_weight: Annotated[float, Within(0)] = 0.5,
    word_bonus: float = 0.0,
    beam: AtLeast0 = 0,
    ctc_weight: Share = 1.0,
    ngpu: AtLeast0 = 0,
    nj: AtLeast1 = 2,
    launcher: Literal["local", "slurm"] = "local",
) -> None:
    """Write what a recogniser hears in every clip of a data dir: OUT/text, and words with times in OUT/words.jsonl.

    Lip readers, of sentences or of single words, are shown the crops instead.

    Args:
        asr: experiment or pack of the task recognise or classify, or a ready-made one: pocketsphinx:grid,
            whisper:base, ...
        dir: data dir of the clips.
        out: folder to write.
        dump: folder whose `sound` is listened to, or whose crops a lip reader is shown.
        grammar: listen for the sentences of a grammar alone: grid, or a file with one place a line (bin | lay | place).
        lm: language model: ARPA file over words or characters (lipsound2 ngram), or experiment or pack of the task
            language with the recogniser's tokens.
        lm_weight: of the language model.
        word_bonus: for every word, with and without --lm; for every token, with a model of characters or a network.
        beam: texts that are kept; 0: 16 with a language model, a bonus or a decoder, else the best path alone.
        ctc_weight: share of CTC beside the model's decoder, such as 0.3; 1: CTC alone.
        ngpu: GPUs to use: 0 or 1.
        nj: jobs, with slurm.
        launcher: local, this machine, or slurm, an array of jobs; see docs/cluster.md.
    """
    if is_own(asr) and packs.task_of(asr) == "classify":
        if grammar or lm or word_bonus or beam or ctc_weight < 1:
            raise LipsoundError(
                f"{asr}: reads single words, one of a list; leave out --grammar, --lm, --word-bonus, --beam and "
                "--ctc-weight"
            )
        read_words(asr, dir, out, dump, ngpu)
        return
    how = Search(beam or (16 if lm or word_bonus or ctc_weight < 1 else 1), lm_weight, word_bonus, ctc_weight)
    # Where jobs are submitted there need not be a GPU; a mistake is told there all the same.
    chosen = listener(asr, grammar, lm, how, ngpu if launcher == "local" else 0, lips=True)
    kind = dump / (chosen.input if isinstance(chosen, OwnListener) else SOUND)
    data, archive = DataDir(dir), Archive(kind)
    names = [name for name in data.ids if name in archive]
    if not names:
        raise LipsoundError(f"{dir}: none of its {len(data)} clips is in {kind}; run stages 1 and 2 on it")
    inputs = [dir, kind, *files_of(asr, grammar, lm)]
    stamp = Stamp(out, "decode", {"asr": asr, "grammar": grammar, "search": to_mapping(how)}, inputs, MADE)
    if stamp.fresh():
        print(f"{out}: done already with these inputs and options; skipped")
        return
    with folder_lock(out, "decode"):
        make = MakeReader(asr, grammar, lm, how, ngpu, kind) if launcher == "slurm" else lambda: reader(chosen, kind)
        spread: dict[str, Any] = {"where": out, "made_of": stamp.text, "nj": nj, "launcher": launcher, "ngpu": ngpu}
        parts = each(make, batches(names), step="decode", **spread)
        stamp.clear()
        heard = {name: what for part in parts for name, what in part.items()}
        write_table(out / TEXT, {name: what.text for name, what in heard.items() if what.text})
        write_words(out / DETAILS, heard)
        write_yaml(out / "origin.yaml", {"asr": asr, "data": str(dir), "dump": str(dump), "clips": len(heard)})
        stamp.write()
    silent = sum(not what.text for what in heard.values())
    absent = len(data) - len(names)
    log.info("%s: %d clips, %d of them heard as nothing, %d not in %s", out, len(heard), silent, absent, kind)


MADE = (TEXT, DETAILS, "origin.yaml")


def reader(chosen: Listener, kind: Path) -> Callable[[Sequence[str]], dict[str, Hypothesis]]:
    """What tells the text of clips of a kind, together."""
    archive = Archive(kind)
    pictures = Pictures(archive)
    read = (lambda name: decode_flac(archive[name])) if kind.name == SOUND else pictures.__getitem__
    return lambda names: hear_all(chosen, ((name, read(name)) for name in names))


@dataclass(frozen=True)
class MakeReader:
    """Makes a `reader`; picklable.

    Attributes:
        asr: see `listener`.
        grammar: likewise.
        lm: likewise.
        how: likewise.
        ngpu: likewise.
        kind: see `reader`.
    """

    asr: str
    grammar: str
    lm: Path | None
    how: Search
    ngpu: int
    kind: Path

    def __call__(self) -> Callable[[Sequence[str]], dict[str, Hypothesis]]:
        """Load the recogniser; called where it is to run."""
        return reader(listener(self.asr, self.grammar, self.lm, self.how, self.ngpu, lips=True), self.kind)
