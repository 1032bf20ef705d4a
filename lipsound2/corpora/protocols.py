"""Which clips train, validate and test: splits by speakers and shares, by parts of a corpus, or by lists.

A split is a function of (seed, id). Within a speaker the sentences are ordered by a hash of seed and id. When all
sentences of the speaker are known, places in that order are ranks, so that counts are exactly those of the papers.
Otherwise a place is the hash itself: a clip never changes its set because others are missing.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from lipsound2.corpora.recordings import Recording, Recordings
from lipsound2.errors import LipsoundError

Place = float  # in [0, 1): position of a sentence in its speaker's shuffled order
Assign = Callable[[str, Place], str | None]  # speaker, place -> name of the set, None when unused

SETS = ("train", "valid", "test")
VALID_SHARE = 0.05  # of the training clips, where a protocol names no validation set


@dataclass(frozen=True, kw_only=True)
class Protocol(ABC):
    """A split.

    Attributes:
        published: (who, {set: clips}) as printed or counted in their lists.
        note: what our version adds.
        close: relative difference of counts that is none: copies of a corpus differ by a few clips.
        slack: the same for sets of at most 1000 clips, on top: cut from many speakers, they lack a clip
            more often.
    """

    published: tuple[tuple[str, Mapping[str, int]], ...] = ()
    note: str = ""
    close: float = 0.001
    slack: float = 0.0

    @property
    @abstractmethod
    def needs(self) -> str:
        """What of the corpus it needs, for messages."""

    @abstractmethod
    def wanted(self) -> dict[str, int]:
        """Clips per set of a whole corpus; a set of unknown size is left out."""

    @abstractmethod
    def split(self, found: Recordings, seed: int = 0) -> dict[str, Collection[str]]:
        """Set -> ids that belong to it, whether they are there or not.

        Raises:
            LipsoundError: what tells them apart is missing, such as a list.
        """


@dataclass(frozen=True, kw_only=True)
class BySpeaker(Protocol):
    """Whole speakers, or shares of every speaker's sentences.

    Attributes:
        speakers: those it needs; empty: all there are.
        assign: the set of a sentence.
        whole: sentences of a speaker from which on places are ranks; None: they are always hashes.
    """

    assign: Assign
    speakers: tuple[str, ...] = ()
    whole: int | None = None

    @property
    def needs(self) -> str:
        return f"the speakers {' '.join(self.speakers)}" if self.speakers else "clips"

    def wanted(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for speaker in self.speakers if self.whole else ():
            for rank in range(self.whole or 0):
                if name := self.assign(speaker, rank / (self.whole or 1)):
                    counts[name] += 1
        return dict(counts)

    def split(self, found: Recordings, seed: int = 0) -> dict[str, Collection[str]]:
        names = found.names or _names(found.by_id)
        sets: dict[str, Collection[str]] = {name: [] for name in SETS}
        for speaker in self.speakers or sorted(names):
            for name, place in places(speaker, names.get(speaker, set()), seed, self.whole).items():
                if chosen := self.assign(speaker, place):
                    list_of(sets, chosen).append(f"{speaker}-{name}")
        return sets


@dataclass(frozen=True, kw_only=True)
class ByPart(Protocol):
    """Sets that are parts of a corpus as published.

    Attributes:
        sets: set -> the parts it is made of.
        counts: part -> clips of the whole part.
    """

    sets: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, int]

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts it needs."""
        return tuple(part for parts in self.sets.values() for part in parts)

    @property
    def needs(self) -> str:
        return ", ".join(self.parts)

    def wanted(self) -> dict[str, int]:
        return {name: sum(self.counts[part] for part in parts) for name, parts in self.sets.items()}

    def split(self, found: Recordings, seed: int = 0) -> dict[str, Collection[str]]:
        owner = {part: name for name, parts in self.sets.items() for part in parts}
        sets: dict[str, Collection[str]] = {name: [] for name in self.sets}
        for id, recording in found.by_id.items():
            if recording.part in owner:
                list_of(sets, owner[recording.part]).append(id)
        return sets


@dataclass(frozen=True, kw_only=True)
class ByList(Protocol):
    """Sets that are lists of ids, which the package or the corpus brings (`Recordings.lists`).

    Attributes:
        sets: set -> name of its list.
        counts: set -> clips of the whole list.
        where: where such a list is looked for, for messages.
        others: speakers whose clips that are in no list are trained on, but for a share of them, which is `valid`.
        whole: that many of such a speaker's clips are in no list when all are there.
    """

    sets: Mapping[str, str]
    counts: Mapping[str, int]
    where: str
    others: tuple[str, ...] = ()
    whole: int | None = None

    @property
    def needs(self) -> str:
        return f"the clips of the lists {', '.join(self.sets.values())}"

    def wanted(self) -> dict[str, int]:
        return dict(self.counts)

    def split(self, found: Recordings, seed: int = 0) -> dict[str, Collection[str]]:
        if absent := [name for name in self.sets.values() if name not in found.lists]:
            raise LipsoundError(f"the list {', '.join(absent)} is absent; looked for {self.where}")
        sets: dict[str, Collection[str]] = {name: found.lists[of] for name, of in self.sets.items()}
        listed = {id for ids in sets.values() for id in ids}
        names = _names({id: r for id, r in found.by_id.items() if id not in listed}) if self.others else {}
        assign = by_speakers(())
        for speaker in self.others:
            for name, place in places(speaker, names.get(speaker, ()), seed, self.whole).items():
                list_of(sets, assign(speaker, place)).append(f"{speaker}-{name}")
        return {name: sets[name] for name in sorted(sets, key=[*SETS, *sets].index)}


def list_of(sets: dict[str, Collection[str]], name: str) -> list[str]:
    """The list of a set that is being filled."""
    filled = sets.setdefault(name, [])
    assert isinstance(filled, list)
    return filled


def hashed(seed: int, id: str) -> Place:
    """A number in [0, 1) that depends on seed and id alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{id}".encode()).digest()[:8]) / 2**64


def places(speaker: str, names: Collection[str], seed: int, whole: int | None) -> dict[str, Place]:
    """Place of each sentence in the speaker's shuffled order.

    Args:
        speaker: its name.
        names: all its known sentences.
        seed: of the shuffle.
        whole: from this many sentences on, places are ranks; None: never.
    """
    hashes = {name: hashed(seed, f"{speaker}-{name}") for name in names}
    if whole is None or len(names) < whole:
        return hashes
    return {name: rank / len(names) for rank, name in enumerate(sorted(names, key=lambda name: (hashes[name], name)))}


def shares(test: float, valid: float) -> Callable[[str, Place], str]:
    """Per speaker: the first `test` of the order, the next `valid`, the rest for training."""

    def assign(speaker: str, place: Place) -> str:
        if place < test:
            return "test"
        return "valid" if place < test + valid else "train"

    return assign


def by_speakers(test: Collection[str], valid: Collection[str] = ()) -> Callable[[str, Place], str]:
    """Whole speakers for testing; without validation speakers a share of every other one."""

    def assign(speaker: str, place: Place) -> str:
        if speaker in test:
            return "test"
        if speaker in valid or (not valid and place < VALID_SHARE):
            return "valid"
        return "train"

    return assign


def _names(by_id: Mapping[str, Recording]) -> dict[str, set[str]]:
    """Speaker -> names of the recordings that are there."""
    names: dict[str, set[str]] = defaultdict(set)
    for id, recording in by_id.items():
        names[recording.speaker].add(id.removeprefix(f"{recording.speaker}-"))
    return names
