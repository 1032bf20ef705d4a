"""The verb `decode`: a recognizer and a data dir -> the text of every clip."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lipsound2 import packs
from lipsound2.arguments import AtLeast0, AtLeast1
from lipsound2.audio.kind import AUDIO
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir, write_table
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.decoding.hypothesis import DETAILS, TEXT, Hypothesis, write_words
from lipsound2.decoding.pretrained_asr import SpeechRecognizer, recognize_all
from lipsound2.decoding.search_options import DEFAULT_SEARCH, SearchOptions
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import folder_lock
from lipsound2.fingerprint import Fingerprint
from lipsound2.inference.classify_words import read_words
from lipsound2.inference.clip_sources import ClipSource, DumpSource, WavSource
from lipsound2.inference.recognizer_names import check_recognizer, is_own
from lipsound2.inference.recognizers import files_of, recognizer
from lipsound2.jobs.batch_map import batches, each
from lipsound2.old_names import value_of_today
from lipsound2.outputs import OutputFolder

log = logging.getLogger(__name__)

MADE = (TEXT, DETAILS, "origin.yaml")


def decode(
    asr: str,
    dir: Path,
    out: OutputFolder,
    *,
    dump: Path | None = None,
    search: SearchOptions = DEFAULT_SEARCH,
    ngpu: AtLeast0 = 0,
    nj: AtLeast1 = 2,
    launcher: Literal["local", "slurm"] = "local",
) -> None:
    """Write what a recognizer makes of every clip of a data dir: OUT/text, and words with times in OUT/words.jsonl.

    With --dump it is given the features of the dump: the audio, or the crops that a lip reader is trained on. Without,
    it is given the files of DIR/wav.scp; `synthesize` writes such data dirs, one a system, into its OUT/data.

    Args:
        asr: experiment or pack of the task recognize or classify, or a ready-made one: pocketsphinx:grid,
            whisper:base, ...
        dir: data dir of the clips.
        out: folder to write.
        dump: folder whose features are read, `audio` or a lip reader's crops; without it, the files of DIR/wav.scp.
        ngpu: GPUs to use: 0 or 1.
        nj: jobs, with slurm.
        launcher: local, this machine, or slurm, an array of jobs; see docs/cluster.md.
    """
    check_name(asr, dump, search)
    if _reads_words(asr):
        assert dump is not None
        read_words(asr, dir, out, dump, ngpu)
        return
    data = DataDir(dir)
    origin = {"asr": asr, "data": str(dir)}
    recognize = RecognizerFactory(asr, search, ngpu, lips=dump is not None)
    spread: dict[str, Any] = {"step": "decode", "nj": nj, "launcher": launcher, "ngpu": ngpu}
    if dump is None:
        files = WavSource.of(data)
        decode_clips(recognize, files, list(data.ids), out, [], {"audio": files.content()}, origin, spread)
        return
    folder = dump / input_of(asr)
    archive = Archive(folder)
    names = [name for name in data.ids if name in archive]
    if not names:
        raise LipsoundError(f"{dir}: none of its {len(data)} clips is in {folder}; run stages 1 and 2 on it")
    if len(names) < len(data):
        log.warning("%d of the %d clips of %s are not in %s", len(data) - len(names), len(data), dir, folder)
    origin["dump"] = str(dump)
    decode_clips(recognize, DumpSource(folder), names, out, [dir, folder], {}, origin, spread)


def check_name(asr: str, dump: Path | None, search: SearchOptions) -> None:
    """Make sure that there is a recognizer of this name, for what it is to be given.

    Raises:
        LipsoundError: there is none; it reads lips, and there is no dump; or it does not search, and is asked to.
    """
    words = _reads_words(asr)
    if not words:
        check_recognizer(asr, lips=dump is not None)
    elif search != SearchOptions(lm_weight=search.lm_weight):
        raise LipsoundError(
            f"{asr}: reads single words, one of a list; leave out --grammar, --lm, --word-bonus, --beam and "
            "--ctc-weight"
        )
    if dump is None and (words or input_of(asr) != AUDIO):
        raise LipsoundError(f"{asr}: reads lips, not audio; give the dump that holds their crops: --dump")


def _reads_words(asr: str) -> bool:
    named = ":" not in asr or Path(asr).exists()  # else it is a ready-made one, or a slip in the name of one
    return named and is_own(asr) and packs.task_of(asr) == "classify"


def input_of(asr: str) -> str:
    """The feature type that a recognizer is given: that of an experiment as its config says it, else the audio."""
    if not is_own(asr):
        return AUDIO
    return str(value_of_today("input", read_yaml(packs.find(asr) / packs.CONFIG).get("input", AUDIO)))


def decode_clips(
    recognize: RecognizerFactory,
    source: ClipSource,
    names: Sequence[str],
    out: Path,
    inputs: Sequence[Path],
    marks: Mapping[str, str],
    origin: Mapping[str, Any],
    spread: Mapping[str, Any],
    load: Callable[[int], SpeechRecognizer] | None = None,
) -> None:
    """Write OUT/text, OUT/words.jsonl and OUT/origin.yaml, unless they are there already of the same inputs.

    Args:
        recognize: makes the recognizer.
        source: of the clips.
        names: of the clips, sorted.
        out: folder to write.
        inputs: files and folders that the source reads.
        marks: what else the text depends on, such as the content of audio files.
        origin: what origin.yaml tells of them.
        spread: step, nj, launcher and ngpu, see `jobs.batch_map.each`.
        load: loads the recognizer in this process, onto a GPU or none, where several calls share one.
    """
    search = recognize.search
    numbers = {"beam": search.width, "weight": search.lm_weight}
    options: dict[str, Any] = {
        "asr": recognize.asr,
        "grammar": search.grammar,
        "search": {**numbers, "bonus": search.word_bonus, "ctc_weight": search.ctc_weight},
        **marks,
    }
    stamp = Fingerprint(out, "decode", options, [*inputs, *files_of(recognize.asr, search)], MADE)
    if stamp.up_to_date():
        print(f"{out}: done already with these inputs and options; skipped")
        return
    # Where jobs are submitted there need not be a GPU; a mistake is told there all the same.
    chosen = (load or recognize.load)(spread["ngpu"] if spread["launcher"] == "local" else 0)
    with folder_lock(out, "decode"):
        make = DecoderFactory(recognize, source) if spread["launcher"] == "slurm" else lambda: decoder(chosen, source)
        parts = each(make, batches(names), where=out, made_of=stamp.text, **spread)
        stamp.clear()
        said: dict[str, Hypothesis] = {}
        for found, unreadable in parts:
            said.update(found)
            for failure in unreadable:
                log.warning("%s: %s; it counts as not understood", out, failure)
        write_table(out / TEXT, {name: what.text for name, what in said.items() if what.text})
        write_words(out / DETAILS, said)
        write_yaml(out / "origin.yaml", {**origin, "clips": len(said)})
        stamp.write()
    silent = sum(not what.text for what in said.values())
    log.info("%s: %d clips, no word found in %d of them, %d unreadable", out, len(said), silent, len(names) - len(said))


Decoded = tuple[dict[str, Hypothesis], list[str]]


def decoder(chosen: SpeechRecognizer, source: ClipSource) -> Callable[[Sequence[str]], Decoded]:
    """What tells the text of some clips together, and which of them cannot be read, and why."""
    read = source.open()

    def work(names: Sequence[str]) -> Decoded:
        clips: list[tuple[str, np.ndarray]] = []
        unreadable = []
        for name in names:
            try:
                clips.append((name, read(name)))
            except ClipFailure as failure:
                unreadable.append(f"{name}: {failure}")
        return recognize_all(chosen, clips), unreadable

    return work


@dataclass(frozen=True)
class RecognizerFactory:
    """Makes a recognizer; picklable.

    Attributes:
        asr: see `recognizers.recognizer`.
        search: likewise.
        ngpu: likewise.
        lips: likewise.
    """

    asr: str
    search: SearchOptions
    ngpu: int = 0
    lips: bool = False

    def load(self, ngpu: int) -> SpeechRecognizer:
        """Load it, onto a GPU or none."""
        return recognizer(self.asr, self.search, ngpu, lips=self.lips)


@dataclass(frozen=True)
class DecoderFactory:
    """Makes a `decoder`; picklable.

    Attributes:
        recognize: makes the recognizer.
        source: of the clips.
    """

    recognize: RecognizerFactory
    source: ClipSource

    def __call__(self) -> Callable[[Sequence[str]], Decoded]:
        """Load the recognizer; called where it is to run."""
        return decoder(self.recognize.load(self.recognize.ngpu), self.source)
