"""Who trains on what: the published splits of GRID by name, and split lists of one's own.

A split is a function of (seed, id). Within a speaker the sentences are ordered by a hash of seed and id. When all 1000
sentences of the speaker are known (from pictures or alignments), places in that order are ranks, so that counts are
exactly those of the papers; otherwise a place is the hash itself, so that a clip never changes its set because
others are missing. Which 255 sentences the papers drew is not reproduced, only how many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lipsound2.corpora.grid import SENTENCES, SPEAKERS

Place = float  # in [0, 1): position of a sentence in its speaker's shuffled order
Assign = Callable[[str, Place], str | None]  # speaker, place -> name of the set, None when unused

VALID_SHARE = 0.05  # of the training clips, where a protocol names no validation set


@dataclass(frozen=True)
class Protocol:
    """A published split.

    Args:
        speakers: those it needs.
        assign: the set of a sentence.
        published: (who, {set: clips}) as printed or counted in their lists.
        note: what our version adds.
    """

    speakers: tuple[str, ...]
    assign: Assign
    published: tuple[tuple[str, Mapping[str, int]], ...] = ()
    note: str = ""

    def wanted(self) -> dict[str, int]:
        """Clips per set of a whole corpus, 1000 sentences a speaker."""
        counts: dict[str, int] = {}
        for speaker in self.speakers:
            for rank in range(SENTENCES):
                name = self.assign(speaker, rank / SENTENCES)
                if name:
                    counts[name] = counts.get(name, 0) + 1
        return counts


def hashed(seed: int, id: str) -> Place:
    """A number in [0, 1) that depends on seed and id alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{id}".encode()).digest()[:8]) / 2**64


def places(speaker: str, names: set[str], seed: int, whole: int = SENTENCES) -> dict[str, Place]:
    """Place of each sentence in the speaker's shuffled order.

    Args:
        speaker: its name.
        names: all its known sentences.
        seed: of the shuffle.
        whole: from this many sentences on, places are ranks.
    """
    hashes = {name: hashed(seed, f"{speaker}-{name}") for name in names}
    if len(names) < whole:
        return hashes
    return {name: rank / len(names) for rank, name in enumerate(sorted(names, key=lambda name: (hashes[name], name)))}


def _shares(test: float, valid: float) -> Assign:
    """Per speaker: the first `test` of the order, the next `valid`, the rest for training."""

    def assign(speaker: str, place: Place) -> str:
        if place < test:
            return "test"
        return "valid" if place < test + valid else "train"

    return assign


def _speakers(test: tuple[str, ...], valid: tuple[str, ...] = ()) -> Assign:
    """Whole speakers for testing; without validation speakers a share of every other one."""

    def assign(speaker: str, place: Place) -> str:
        if speaker in test:
            return "test"
        if speaker in valid or (not valid and place < VALID_SHARE):
            return "valid"
        return "train"

    return assign


def _named(numbers: str) -> tuple[str, ...]:
    return tuple(f"s{number}" for number in numbers.split())


_OVERLAPPED_TEST = 255 / SENTENCES
_OF_TRAIN = f"{VALID_SHARE:.0%} of the training clips are held out as 'valid', which the papers do not have"

PROTOCOLS: dict[str, Protocol] = {
    "4speakers": Protocol(
        _named("1 2 4 29"),
        _shares(0.05, 0.05),
        (
            ("Mira et al.", {"train": 3576, "valid": 210, "test": 210}),
            ("VCA-GAN", {"train": 3586, "valid": 199, "test": 200}),
            ("SLTS", {"train": 3600, "valid": 200, "test": 200}),
        ),
    ),
    "lipsound2-sd": Protocol(_named("1 2 3 4"), _shares(0.05, 0.05), note="the paper prints no counts"),
    "33seen": Protocol(
        SPEAKERS, _shares(0.05, 0.05), (("Mira et al.", {"train": 29584, "valid": 1642, "test": 1641}),)
    ),
    "overlapped": Protocol(
        SPEAKERS,
        _shares(_OVERLAPPED_TEST, VALID_SHARE * (1 - _OVERLAPPED_TEST)),
        (
            ("LipNet", {"train": 24331, "test": 8415}),
            ("VIPL", {"train": 24408, "test": 8415}),
            ("mpc001", {"train": 24455, "test": 8415}),
        ),
        _OF_TRAIN,
    ),
    "unseen": Protocol(
        SPEAKERS,
        _speakers(_named("1 2 20 22")),
        (
            ("LipNet", {"train": 28775, "test": 3971}),
            ("VIPL", {"train": 28837, "test": 3986}),
            ("mpc001", {"train": 28870, "test": 4000}),
        ),
        _OF_TRAIN,
    ),
    "unseen-vougioukas": Protocol(
        SPEAKERS,
        _speakers(_named("2 4 11 13 15 18 19 25 31 33"), _named("9 20 23 27 29 30 34")),
        (("VCA-GAN", {"train": 15888, "valid": 7000, "test": 9982}),),
    ),
    # Generated faces are a whole corpus at any size, so places are ranks (see `split`).
    "mini": Protocol((), _shares(0.1, 0.1)),
}
SETS = ("train", "valid", "test")


def split(protocol: Protocol, names: Mapping[str, set[str]], seed: int = 0) -> dict[str, dict[str, str]]:
    """Share the known sentences out.

    Args:
        protocol: the rule; one without speakers takes all there are, each as whole as it is.
        names: the known sentences of each speaker.
        seed: of the shuffle.

    Returns:
        {set: {id: speaker}}; sets in the order train, valid, test.
    """
    sets: dict[str, dict[str, str]] = {name: {} for name in SETS}
    for speaker in protocol.speakers or sorted(names):
        whole = SENTENCES if protocol.speakers else 0
        for name, place in places(speaker, names.get(speaker, set()), seed, whole).items():
            chosen = protocol.assign(speaker, place)
            if chosen:
                sets[chosen][f"{speaker}-{name}"] = speaker
    return sets
