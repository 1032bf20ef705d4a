"""Further scores, by name: of speech alone, or of speech and lips. They are computed only where they are asked for.

They know no reference, so the true sound is judged too, as a system of its own: what a score says of a model means
little without what it says of the truth on the same clips.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipsound2.errors import ClipFailure, LipsoundError, require
from lipsound2.metrics.speech import FURTHER, KNOWN, RULE, ClipScores, fit, usable

# A clip's id and its speech (N,) float64, 16 kHz, as long as its reference -> score -> value. Raises ClipFailure.
Ear = Callable[[str, np.ndarray], dict[str, float]]


@dataclass(frozen=True)
class Kind:
    """A family of scores that come together.

    Attributes:
        scores: names out of `FURTHER`.
        rule: how they are measured, in one line.
        packages: module -> extra of `setup.cfg`; their versions are noted beside the scores.
        maker: `module:function` that makes the ear of an `Asked`.
        given: what may follow the name and a colon; empty: nothing.
        needed: whether it must.
        seen: whether the clip's video is looked at too.
    """

    scores: tuple[str, ...]
    rule: str
    packages: Mapping[str, str]
    maker: str
    given: str = ""
    needed: bool = False
    seen: bool = False


KINDS: Mapping[str, Kind] = {
    "dnsmos": Kind(
        ("dnsmos", "dnsmos_p808"),
        "DNSMOS: the networks in Microsoft's package speechmos, P.835 overall quality and P.808, 1 to 5; speech is "
        "repeated until it lasts 9.01 s, windows of 9.01 s every second are averaged; loudness is left as it is.",
        {"onnxruntime": "dnsmos", "speechmos": "dnsmos"},
        "lipsound2.metrics.dnsmos:make",
    ),
    "utmos": Kind(
        ("utmos",),
        "UTMOS: UTMOS22's strong learner as tarepan/SpeechMOS v1.2.0 has it, 1 to 5, one clip at a time; loudness is "
        "left as it is.",
        {},
        "lipsound2.metrics.utmos:make",
        given="FOLDER",
    ),
    "lse": Kind(
        ("lse_c", "lse_d"),
        "LSE-C (high is good), LSE-D (low is good): SyncNet with published weights, shifts of 15 pictures, mean over "
        "clips; faces are cut by our own landmarks, so compare within this table, with the true sound and the "
        "mismatched control; a clip it cannot be computed on is left out and counted.",
        {},
        "lipsound2.metrics.lse:make",
        given="WEIGHTS",
        needed=True,
        seen=True,
    ),
}


@dataclass(frozen=True)
class Asked:
    """A kind of scores that somebody asked for; picklable, its ear is made where it is used.

    Attributes:
        name: of the kind.
        given: what stood behind the colon.
        data: data dir with the clips' videos; None: none is known.
        landmarks: archive of their landmarks, likewise.
    """

    name: str
    given: str = ""
    data: Path | None = None
    landmarks: Path | None = None

    @property
    def kind(self) -> Kind:
        """What it is."""
        return KINDS[self.name]

    @property
    def inputs(self) -> list[Path]:
        """What it reads besides sounds, for stamps."""
        given = [Path(self.given)] if self.given else []
        seen = [self.data / "video.scp", self.landmarks] if self.data and self.landmarks and self.kind.seen else []
        return [*given, *seen]


def asked(names: Sequence[str], data: Path | None = None, landmarks: Path | None = None) -> tuple[Asked, ...]:
    """What the names ask for, made once here, so that what is missing is told before anything is computed.

    Raises:
        LipsoundError: an unknown name, a missing package, weights that are absent or of something else.
    """
    found = []
    for text in names:
        name, _, given = text.partition(":")
        kind = KINDS.get(name)
        if kind is None or (given and not kind.given) or (kind.needed and not given):
            raise LipsoundError(f"--also: unknown further score '{text}'; one of: {', '.join(map(_form, KINDS))}")
        for package, extra in kind.packages.items():
            require(package, extra)
        found.append(Asked(name, given, data, landmarks))
        ear(found[-1])
    return tuple(found)


def _form(name: str) -> str:
    """How it is asked for: `dnsmos`, `utmos[:FOLDER]`, `lse:WEIGHTS`."""
    kind = KINDS[name]
    return name + (f":{kind.given}" if kind.needed else f"[:{kind.given}]" if kind.given else "")


@functools.lru_cache(maxsize=8)
def ear(what: Asked) -> Ear:
    """The ear of it, loaded once a process."""
    module, _, maker = what.kind.maker.partition(":")
    made: Ear = getattr(importlib.import_module(module), maker)(what)
    return made


def listen(wanted: Iterable[Asked], name: str, speech: np.ndarray, samples: int, silent: str = "silent") -> ClipScores:
    """Further scores of a clip.

    Args:
        wanted: which.
        name: clip id.
        speech: (M,) float, 16 kHz; cut or zero-padded.
        samples: of its reference.
        silent: reason to give where there is nothing to hear.
    """
    found = ClipScores({}, {})
    for what in wanted:
        try:
            found.values.update(ear(what)(name, fit(usable(speech, silent), samples)))
        except ClipFailure as failure:
            found.add(ClipScores.floor(failure.reason, what.kind.scores))
    return found


def further(wanted: Iterable[Asked]) -> list[str]:
    """Names of the scores that are asked for."""
    return [score for what in wanted for score in what.kind.scores]


def measured(scores: Iterable[Iterable[str]]) -> list[str]:
    """All that occur in some systems' or clips' scores, in the order of tables."""
    known = {name for names in scores for name in names}
    return [name for name in KNOWN if name in known]


def rule(scores: Iterable[str]) -> str:
    """How scores are measured, in lines."""
    wanted = set(scores) & FURTHER.keys()
    return "\n".join([RULE, *(kind.rule for kind in KINDS.values() if wanted & set(kind.scores))])


def versions(wanted: Iterable[Asked]) -> dict[str, str]:
    """Versions of the packages they are measured with."""
    return {package: importlib.metadata.version(package) for what in wanted for package in what.kind.packages}
