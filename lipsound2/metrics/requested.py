"""Metrics on request: `--metrics` names them, in addition to the standard ones.

Most use no reference, so the ground truth is scored as well, as a system of its own. A model's scores mean little
without those of the ground truth on the same clips.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipsound2.errors import ClipFailure, LipsoundError, require
from lipsound2.metrics.registry import FAMILIES, Family, metrics_of
from lipsound2.metrics.speech import ClipScores, finite_and_audible, fit

# A clip's id, its speech and its reference, both (N,) float64 at 16 kHz -> metric -> value. Raises ClipFailure.
Scorer = Callable[[str, np.ndarray, np.ndarray], dict[str, float]]


@dataclass(frozen=True)
class Request:
    """A family of metrics that was requested; picklable, its scorer is made where it is used.

    Attributes:
        name: of the family.
        argument: text after the colon.
        data: data dir with the clips' videos; None: none is known.
        landmarks: archive of their landmarks, likewise.
    """

    name: str
    argument: str = ""
    data: Path | None = None
    landmarks: Path | None = None

    @property
    def family(self) -> Family:
        """Its entry in the registry."""
        return FAMILIES[self.name]

    @property
    def inputs(self) -> list[Path]:
        """Files it reads besides audio, for fingerprints."""
        argument = [Path(self.argument)] if self.argument else []
        seen = [self.data / "video.scp", self.landmarks] if self.data and self.landmarks and self.family.video else []
        return [*argument, *seen]


def requested(names: Sequence[str], data: Path | None = None, landmarks: Path | None = None) -> tuple[Request, ...]:
    """The metrics that `--metrics` names. Each scorer is made once here, so that mistakes show before any work.

    Raises:
        LipsoundError: an unknown name, a missing package, weights that are absent or of something else.
    """
    found = []
    for text in names:
        name, _, argument = text.partition(":")
        family = FAMILIES.get(name)
        if family is None or not _fits(family, argument):
            forms = ", ".join(_form(name, family) for name, family in FAMILIES.items() if family.scorer)
            raise LipsoundError(f"--metrics: unknown metric '{text}'; one of: {forms}")
        require_packages([family])
        found.append(Request(name, argument, data, landmarks))
        scorer(found[-1])
    return tuple(found)


def _fits(family: Family, argument: str) -> bool:
    """Whether the family can be asked for with this argument, or with none."""
    return bool(family.scorer) and (bool(family.argument) if argument else not family.needs_argument)


def _form(name: str, family: Family) -> str:
    """How it is asked for: `dnsmos`, `utmos[:FOLDER]`, `lse:WEIGHTS`."""
    argument = f":{family.argument}" if family.needs_argument else f"[:{family.argument}]" if family.argument else ""
    return name + argument


@functools.lru_cache(maxsize=8)
def scorer(request: Request) -> Scorer:
    """The scorer of it, loaded once a process."""
    module, _, function = request.family.scorer.partition(":")
    made: Scorer = getattr(importlib.import_module(module), function)(request)
    return made


def compute(
    requests: Iterable[Request], id: str, speech: np.ndarray, reference: np.ndarray, silent: str = "silent"
) -> ClipScores:
    """Requested metrics of a clip.

    Args:
        requests: which.
        id: of the clip.
        speech: (M,) float, 16 kHz; cut or zero-padded to N.
        reference: (N,) float, 16 kHz.
        silent: reason for clips that are silent.
    """
    found = ClipScores({}, {})
    for request in requests:
        try:
            if not len(reference):  # speech would be cut to nothing
                raise ClipFailure("silent-reference")
            true = finite_and_audible(reference, "silent-reference") if request.family.reference else reference
            found.values.update(scorer(request)(id, fit(finite_and_audible(speech, silent), len(true)), true))
        except ClipFailure as failure:
            found.add(ClipScores.floor(failure.reason, [*request.family.metrics]))
    return found


def names_of(requests: Iterable[Request]) -> list[str]:
    """Names of the metrics that are asked for."""
    return [*metrics_of(request.family for request in requests)]


def require_packages(families: Iterable[Family]) -> None:
    """Refuse to start without the packages that metrics need.

    Raises:
        LipsoundError: one is missing, and how to install it.
    """
    for family in families:
        for package, extra in family.packages.items():
            require(package, extra)


def versions(families: Iterable[Family]) -> dict[str, str]:
    """Versions of the packages that metrics are computed with."""
    return {package: importlib.metadata.version(package) for family in families for package in family.packages}
