"""Recognisers by name, and the verb `decode`: a recogniser and a data dir -> the text of every clip."""

from __future__ import annotations

import json
import logging
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from lipsound2 import experiment
from lipsound2.audio.sound import decode_flac
from lipsound2.config import to_mapping, write_yaml
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir, write_table
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock, write_text
from lipsound2.models.recogniser import Recogniser
from lipsound2.reading.fusion import file_of as lm_file
from lipsound2.reading.fusion import follower, language_model
from lipsound2.reading.word_reading import read_words
from lipsound2.recognition.beam import Fusion, NoModel, placed, search
from lipsound2.recognition.ctc import Graph, greedy, hypothesis, place_words, through
from lipsound2.recognition.grammar import grammar as find_grammar
from lipsound2.recognition.hypothesis import Hypothesis, to_json
from lipsound2.recognition.joint import joint_search
from lipsound2.recognition.readymade import READY_MADE, Listener, hear_all
from lipsound2.stamp import Stamp
from lipsound2.tasks.pictures import Pictures
from lipsound2.tasks.recognise import Recognise
from lipsound2.tasks.speech import SOUND, features_of, padded
from lipsound2.tasks.words import PICTURE_RATE
from lipsound2.work.spread import batches, each

log = logging.getLogger(__name__)

TEXT, DETAILS = "text", "words.jsonl"


class OwnListener:
    """An experiment, or a pack, of the task *recognise*: ears, or eyes on lips.

    Args:
        name: its folder, or the name of one that ships.
        grammar: name or file of a grammar; only its sentences are heard.
        lm: language model: ARPA file over words or characters, or experiment or pack of the task *language*.
        how: its probabilities are searched.
        ngpu: GPUs to use: 0 or 1.
    """

    def __init__(
        self, name: str, grammar: str = "", lm: Path | None = None, how: Search | None = None, ngpu: int = 0
    ) -> None:
        self.name = name
        self._device = experiment.device_for(ngpu)
        loaded = experiment.load(name, self._device, "recognise")
        self.knows = loaded.knows
        self._task = typing.cast(Recognise, loaded.task)
        self._network = typing.cast(Recogniser, loaded.model)
        if grammar and lm:
            raise LipsoundError("--grammar and --lm: a grammar leaves a language model nothing to decide; give one")
        self.input = self._task.settings.input
        self._graph = Graph.of(find_grammar(grammar), self._task.tokenizer) if grammar else None
        self._search = how or Search(beam=16 if lm else 1)
        if self._search.ctc_weight < 1 and self._network.decoder is None:
            raise LipsoundError(f"{name}: has no decoder beside CTC (its decoder_layers are 0); leave --ctc-weight out")
        self._model: Fusion = NoModel()
        if lm is not None:
            weight, bonus = self._search.weight, self._search.bonus
            self._model = language_model(lm, self._task.tokenizer, weight, bonus, self._device)

    @torch.no_grad()
    def hear(self, clips: Sequence[np.ndarray]) -> list[Hypothesis]:
        """What is said in each sound; lips are given as pictures (T, H, W) uint8 or the states of their trunk."""
        features, lengths = padded([*clips] if self._task.sees else [features_of(sound) for sound in clips])
        heard = self._network(features.to(self._device), lengths.to(self._device))
        seconds: float = self._network.stride / self._task.rate / PICTURE_RATE
        found = [
            self._decode(heard.log_probs[row, :length].cpu().numpy(), heard.states[row, :length], seconds)
            for row, length in enumerate(heard.lengths.tolist())
        ]
        if heard.words is None:
            return found
        named = heard.words.float().log_softmax(-1).cpu().numpy()
        return [
            place_words(what, named[row, :length], self._task.words, seconds)
            for row, (what, length) in enumerate(zip(found, heard.lengths.tolist(), strict=True))
        ]

    def _decode(self, log_probs: np.ndarray, states: torch.Tensor, seconds: float) -> Hypothesis:
        tokenizer = self._task.tokenizer
        if self._graph is not None:
            tokens, score = through(self._graph, log_probs)
            return hypothesis(tokens, tokenizer, seconds, score)
        if self._search.ctc_weight < 1:
            assert self._network.decoder is not None
            said, score = joint_search(
                follower(self._network.decoder, states),
                torch.from_numpy(log_probs),
                beam=self._search.beam,
                ctc_weight=self._search.ctc_weight,
                model=self._model,
            )
            return hypothesis(placed(said, log_probs), tokenizer, seconds, score)
        if self._search.beam > 1:
            found, score = search(log_probs, self._model, self._search.beam)[0]
            return hypothesis(placed(found, log_probs), tokenizer, seconds, score)
        return hypothesis(greedy(log_probs), tokenizer, seconds, float(log_probs.max(1).sum()))


@dataclass(frozen=True)
class Search:
    """How CTC's probabilities are searched.

    Attributes:
        beam: prefixes that are kept; 1: the best path, no search.
        weight: of the language model.
        bonus: for every word (or every token, with a model of characters or a network).
        ctc_weight: share of CTC beside the model's decoder; 1: CTC alone.
    """

    beam: int = 16
    weight: float = 0.5
    bonus: float = 0.0
    ctc_weight: float = 1.0


def listener(
    name: str,
    grammar: str = "",
    lm: Path | None = None,
    how: Search | None = None,
    ngpu: int = 0,
    *,
    lips: bool = False,
) -> Listener:
    """A recogniser by name: an experiment or pack of the task *recognise*, one that ships, or a ready-made one.

    Args:
        name: folder, or name; see `recognition.readymade` for those that need no training.
        grammar: of our own recognisers: only its sentences are heard.
        lm: likewise: ARPA file of a language model, or experiment or pack of the task *language*.
        how: likewise: its probabilities are searched.
        ngpu: likewise: GPUs to use, 0 or 1.
        lips: it may be one that is shown lips.

    Raises:
        LipsoundError: there is none of this name, its package is missing, its weights cannot be had, or it reads lips
            where sound is to be heard.
    """
    if is_own(name):
        own = OwnListener(name, grammar, lm, how, ngpu)
        if own.input != SOUND and not lips:
            raise LipsoundError(f"{name}: reads lips ('{own.input}') and cannot hear; give a recogniser of sound")
        return own
    kind, _, rest = name.partition(":")
    if lm is not None or (grammar and not rest):
        raise LipsoundError(f"--asr {name}: --grammar and --lm are for our own recognisers (pocketsphinx:grid has one)")
    return READY_MADE[kind](rest)


def is_own(name: str) -> bool:
    """Whether a recogniser's name is that of an experiment or pack, not of a ready-made one."""
    return name.partition(":")[0] not in READY_MADE or Path(name).exists()


def files_of(name: str, grammar: str, lm: Path | None) -> list[Path]:
    """The files that what a recogniser hears depends on: weights of one of ours, the user's grammar, language model."""
    weights = [experiment.find(name) / experiment.WEIGHTS] if is_own(name) else []
    return [*weights, *([Path(grammar)] if Path(grammar).is_file() else []), *([lm_file(lm)] if lm else [])]


def decode(
    asr: str,
    dir: Path,
    out: Path,
    *,
    dump: Path,
    grammar: str = "",
    lm: Path | None = None,
    lm_weight: float = 0.5,
    word_bonus: float = 0.0,
    beam: int = 0,
    ctc_weight: float = 1.0,
    ngpu: int = 0,
    nj: int = 2,
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
        word_bonus: for every word; for every token, with a model of characters or a network.
        beam: texts that are kept; 0: 16 with a language model or a decoder, else the best path alone.
        ctc_weight: share of CTC beside the model's decoder, such as 0.3; 1: CTC alone.
        ngpu: GPUs to use: 0 or 1.
        nj: jobs, with slurm.
        launcher: local, this machine, or slurm, an array of jobs; see docs/cluster.md.
    """
    if is_own(asr) and experiment.task_of(asr) == "classify":
        if grammar or lm or beam or ctc_weight < 1:
            raise LipsoundError(
                f"{asr}: reads single words, one of a list; leave out --grammar, --lm, --beam, --ctc-weight"
            )
        read_words(asr, dir, out, dump, ngpu)
        return
    how = Search(beam or (16 if lm or ctc_weight < 1 else 1), lm_weight, word_bonus, ctc_weight)
    # Where jobs are submitted there need not be a GPU; a mistake is told there all the same.
    chosen = listener(asr, grammar, lm, how, ngpu if launcher == "local" else 0, lips=True)
    kind = dump / (chosen.input if isinstance(chosen, OwnListener) else SOUND)
    data, archive = DataDir(dir), Archive(kind)
    names = [name for name in data.ids if name in archive]
    if not names:
        raise LipsoundError(f"{dir}: none of its {len(data)} clips is in {kind}; run stages 1 and 2 on it")
    inputs = [dir, kind, *files_of(asr, grammar, lm)]
    stamp = Stamp(out, "decode", {"asr": asr, "grammar": grammar, "search": to_mapping(how)}, inputs)
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


def write_words(path: Path, heard: Mapping[str, Hypothesis]) -> None:
    """A line of JSON for every clip: its text, and its words with times."""
    rows = (json.dumps({"id": name, **to_json(what)}, ensure_ascii=False) for name, what in sorted(heard.items()))
    write_text(path, "".join(f"{row}\n" for row in rows))
