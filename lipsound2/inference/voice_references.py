"""Which clip's voice each clip of a data dir is spoken in, by models that are conditioned on one."""

from __future__ import annotations

from collections.abc import Sequence

from lipsound2.data.datadir import DataDir
from lipsound2.errors import LipsoundError


def own_voices(data: DataDir, ids: Sequence[str]) -> dict[str, str]:
    """For each clip the next one of its speaker, the first after the last; itself where there is no other."""
    found: dict[str, str] = {}
    for own in _by_speaker(data, ids):
        found.update(zip(own, [*own[1:], own[0]], strict=True))
    return found


def other_voices(data: DataDir, ids: Sequence[str]) -> dict[str, str]:
    """For each clip one of the next speaker, the first after the last.

    Raises:
        LipsoundError: there is a single speaker.
    """
    speakers = _by_speaker(data, ids)
    if len(speakers) < 2:
        raise LipsoundError(f"{data.path}: has one speaker alone, so there is no control other_voice; leave it out")
    following = zip(speakers, [*speakers[1:], speakers[0]], strict=True)
    return {name: other[place % len(other)] for own, other in following for place, name in enumerate(own)}


def _by_speaker(data: DataDir, ids: Sequence[str]) -> list[list[str]]:
    speakers: dict[str, list[str]] = {}
    for name in sorted(ids):
        speakers.setdefault(data.utt2spk[name], []).append(name)
    return [speakers[speaker] for speaker in sorted(speakers)]
