"""Splits whose validation set nobody published: some speakers, or some clips, are held out by hash.

Where a corpus has a training part and a test part alone, whole speakers (or talks) are taken out of the training part.
So the validation set is as new to the model as the test set is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from lipsound2.corpora.protocols import Protocol, hashed
from lipsound2.corpora.recordings import Recordings
from lipsound2.errors import LipsoundError


@dataclass(frozen=True, kw_only=True)
class HeldOutSpeakers(Protocol):
    """Parts of a corpus as published, and the speakers of one of them whose hash is small as `valid`.

    A speaker's set is a function of seed and name, whatever else is there. In a corpus so small that no hash is small
    enough, the speaker with the smallest is held out.

    Attributes:
        train: parts to train on; nothing of a held-out speaker stays in any of them.
        test: part to test on.
        of: part of `train` that speakers are held out of.
        share: of its speakers that are held out.
        valid_list: name of a list (`Recordings.lists`) that is `valid` instead, where the corpus has it.
        only: name of a list that all sets are cut to: its ids by part lie in the lists `<only>-<part>`. Empty: all.
        counts: set -> clips of the whole set, where that is known.
        where: which option brings the list `only`, for messages.
    """

    train: tuple[str, ...]
    test: str
    of: str
    share: float
    valid_list: str = ""
    only: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    where: str = ""

    @property
    def needs(self) -> str:
        return ", ".join([*self.train, self.test]) + (f" of the list {self.only}" if self.only else "")

    def wanted(self) -> dict[str, int]:
        return dict(self.counts)

    def split(self, found: Recordings, seed: int = 0) -> dict[str, Collection[str]]:
        if self.only and not any(name.startswith(f"{self.only}-") for name in found.lists):
            raise LipsoundError(f"this protocol needs a list of clips; give it with {self.where}")
        parts = {part: self._ids(found, part) for part in (*self.train, self.test)}
        trained = [id for part in self.train for id in parts[part]]
        if self.valid_list in found.lists:
            listed = set(found.lists[self.valid_list])
            train, valid = [id for id in trained if id not in listed], list(listed)
        else:
            chosen = self._speakers({_speaker(found, id) for id in parts[self.of]}, seed)
            train = [id for id in trained if _speaker(found, id) not in chosen]
            valid = [id for id in parts[self.of] if _speaker(found, id) in chosen]
        return {"train": train, "valid": valid, "test": parts[self.test]}

    def _ids(self, found: Recordings, part: str) -> list[str]:
        if self.only:
            return list(found.lists.get(f"{self.only}-{part}", ()))
        return [id for id, recording in found.by_id.items() if recording.part == part]

    def _speakers(self, speakers: set[str], seed: int) -> set[str]:
        places = {speaker: hashed(seed, speaker) for speaker in speakers}
        small = {speaker for speaker, place in places.items() if place < self.share}
        if not small and len(speakers) > 1:
            small = {min(speakers, key=places.__getitem__)}
        return small


@dataclass(frozen=True, kw_only=True)
class HeldOutClips(Protocol):
    """Shares of all clips, by hash: a clip stays in its set when others come or go.

    With few clips, sets could be empty: each gets its share, and at least two clips if there are six.

    Attributes:
        test: share of the clips.
        valid: share of the clips.
    """

    test: float
    valid: float

    @property
    def needs(self) -> str:
        return "clips"

    def wanted(self) -> dict[str, int]:
        return {}

    def split(self, found: Recordings, seed: int = 0) -> dict[str, Collection[str]]:
        places = sorted((hashed(seed, id), id) for id in found.by_id)
        if len(places) < 3:
            raise LipsoundError(f"3 clips at least are wanted (to train, to choose, to test), found {len(places)}")
        least = 2 if len(places) >= 6 else 1
        tested = max(least, sum(place < self.test for place, _ in places))
        chosen = max(least, sum(place < self.test + self.valid for place, _ in places) - tested)
        tested = min(tested, len(places) - 2)
        chosen = min(chosen, len(places) - tested - 1)
        ids = [id for _, id in places]
        return {"train": ids[tested + chosen :], "valid": ids[tested : tested + chosen], "test": ids[:tested]}


def _speaker(found: Recordings, id: str) -> str:
    """Of a clip that may not be there."""
    return found.by_id[id].speaker if id in found.by_id else id.partition("-")[0]
