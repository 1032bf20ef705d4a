"""The verb `decode`: a recognizer and a data dir -> the text of every clip."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lipsound2 import experiment, model_names
from lipsound2.arguments import AtLeast0, AtLeast1
from lipsound2.audio.kind import AUDIO, kind_folder
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
from lipsound2.inference.recognizer_names import check_recognizer, check_search, is_own, search_of
from lipsound2.inference.recognizers import files_of, recognizer
from lipsound2.jobs.batch_map import batches, map_batches
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
    alternatives: AtLeast0 = 0,
    ngpu: AtLeast0 = 0,
    nj: AtLeast1 = 2,
    launcher: Literal["local", "slurm"] = "local",
) -> None:
    """Recognize every clip of a data dir: texts in OUT/text, words with times and confidences in OUT/words.jsonl.

    With --dump, the recognizer reads features of the dump: the audio, or the crops that a lip reader is trained on.
    Without --dump, it reads the files of DIR/wav.scp. `synthesize` writes such a data dir for each system in OUT/data.

    Args:
        asr: experiment or pack of the task recognize or classify, or a pretrained recognizer: pocketsphinx:grid,
            whisper:base, ...
        dir: data dir of the clips.
        out: folder to write.
        dump: folder of the features: audio, or a lip reader's crops. Without it, the files of DIR/wav.scp are read.
        alternatives: other texts that each clip could be, kept in OUT/words.jsonl with their probabilities; at most 10.
        ngpu: GPUs to use: 0 or 1.
        nj: number of jobs with slurm.
        launcher: local (this machine) or slurm (a job array); see docs/cluster.md.
    """
    check_name(asr, dump, search)
    if _reads_words(asr):
        if alternatives:
            raise LipsoundError(f"{asr}: reads single words, whose five best are always kept; leave out --alternatives")
        assert dump is not None
        read_words(asr, dir, out, dump, ngpu)
        return
    data = DataDir(dir)
    origin = {"asr": asr, "data": str(dir)}
    recognize = RecognizerFactory(asr, search, ngpu, lips=dump is not None)
    spread: dict[str, Any] = {"step": "decode", "nj": nj, "launcher": launcher, "ngpu": ngpu}
    if dump is None:
        files = WavSource.of(data)
        decode_clips(
            recognize,
            files,
            list(data.ids),
            out,
            [],
            {"audio": files.content()},
            origin,
            spread,
            alternatives=alternatives,
        )
        return
    folder = kind_folder(dump, input_of(asr))
    archive = Archive(folder)
    names = [name for name in data.ids if name in archive]
    if not names:
        raise LipsoundError(f"{dir}: none of its {len(data)} clips is in {folder}; run stages 1 and 2 on it")
    if len(names) < len(data):
        log.warning("%d of the %d clips of %s are not in %s", len(data) - len(names), len(data), dir, folder)
    origin["dump"] = str(dump)
    decode_clips(
        recognize, DumpSource(folder), names, out, [dir, folder], {}, origin, spread, alternatives=alternatives
    )


def check_name(asr: str, dump: Path | None, search: SearchOptions) -> None:
    """Check that a recognizer of this name exists and suits the input.

    Raises:
        LipsoundError: there is none; it reads lips and no dump is given; or it does not search and search
            options are given.
    """
    words = _reads_words(asr)
    if not words:
        check_recognizer(asr, lips=dump is not None)
        check_search(asr, search)
    elif search != DEFAULT_SEARCH:
        raise LipsoundError(
            f"{asr}: reads single words, one of a list; leave out --grammar, --lm, --lm-weight, --word-bonus, --beam "
            "and --ctc-weight"
        )
    if dump is None and (words or input_of(asr) != AUDIO):
        raise LipsoundError(f"{asr}: reads lips, not audio; give the dump that holds their crops: --dump")


def _reads_words(asr: str) -> bool:
    named = ":" not in asr or Path(asr).exists()  # else a pretrained recognizer, or a typing error in its name
    return named and is_own(asr) and model_names.task_of(model_names.find(asr, "recognize")) == "classify"


def input_of(asr: str) -> str:
    """The feature type a recognizer reads: the `input` of an experiment's config, else audio."""
    if not is_own(asr):
        return AUDIO
    return str(
        value_of_today("input", read_yaml(model_names.find(asr, "recognize") / model_names.CONFIG).get("input", AUDIO))
    )


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
    *,
    alternatives: int = 0,
) -> None:
    """Write OUT/text, OUT/words.jsonl and OUT/origin.yaml, unless they are up to date.

    Args:
        recognize: makes the recognizer.
        source: where clips are read.
        names: ids of the clips, sorted.
        out: folder to write.
        inputs: files and folders that the source reads.
        marks: what else the fingerprint holds, such as a digest of audio files.
        origin: content of origin.yaml.
        spread: step, nj, launcher and ngpu; see `jobs.batch_map.map_batches`.
        load: loads the recognizer in this process, for several calls to share; its argument is the number of GPUs.
        alternatives: of each clip that are kept, at most.
    """
    search = search_of(recognize.asr, recognize.search)
    numbers = {"beam": search.width, "weight": search.lm_weight}
    options: dict[str, Any] = {
        "asr": recognize.asr,
        "grammar": search.grammar,
        "search": {**numbers, "bonus": search.word_bonus, "ctc_weight": search.ctc_weight},
        **marks,
    }
    if alternatives:  # texts of earlier versions, which kept none, stay as they are
        options["alternatives"] = alternatives
    fingerprint = Fingerprint(out, "decode", options, [*inputs, *files_of(recognize.asr, recognize.search)], MADE)
    if fingerprint.up_to_date():
        print(f"{out}: done already with these inputs and options; skipped")
        return
    # The machine that submits jobs may have no GPU; loading there still finds mistakes before the jobs start.
    chosen = (load or recognize.load)(spread["ngpu"] if spread["launcher"] == "local" else 0)
    with folder_lock(out, "decode"):
        make = DecoderFactory(recognize, source) if spread["launcher"] == "slurm" else lambda: decoder(chosen, source)
        parts = map_batches(make, batches(names), where=out, made_of=fingerprint.text, **spread)
        fingerprint.clear()
        hypotheses: dict[str, Hypothesis] = {}
        for found, unreadable in parts:
            hypotheses.update(found)
            for failure in unreadable:
                log.warning("%s: %s; it counts as missing", out, failure)
        write_table(out / TEXT, {name: what.text for name, what in hypotheses.items() if what.text})
        write_words(out / DETAILS, hypotheses, alternatives)
        write_yaml(out / "origin.yaml", {**origin, "clips": len(hypotheses)})
        fingerprint.write()
    silent = sum(not what.text for what in hypotheses.values())
    log.info(
        "%s: %d clips, no word recognized in %d of them, %d unreadable",
        out,
        len(hypotheses),
        silent,
        len(names) - len(hypotheses),
    )


DecodedBatch = tuple[dict[str, Hypothesis], list[str]]


def decoder(chosen: SpeechRecognizer, source: ClipSource) -> Callable[[Sequence[str]], DecodedBatch]:
    """A function from clip ids to their hypotheses, and to a line for each clip that cannot be read."""
    read = source.open()

    def work(names: Sequence[str]) -> DecodedBatch:
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
        return recognizer(self.asr, self.search, experiment.device_for(ngpu), lips=self.lips)


@dataclass(frozen=True)
class DecoderFactory:
    """Makes a `decoder`; picklable.

    Attributes:
        recognize: makes the recognizer.
        source: of the clips.
    """

    recognize: RecognizerFactory
    source: ClipSource

    def __call__(self) -> Callable[[Sequence[str]], DecodedBatch]:
        """Load the recognizer; called where it is to run."""
        return decoder(self.recognize.load(self.recognize.ngpu), self.source)
