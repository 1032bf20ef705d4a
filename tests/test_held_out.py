"""Sets that are held out by hash: clips and speakers."""

from __future__ import annotations

import pytest

from lipsound2.corpora.heldout import HeldOutClips, HeldOutSpeakers
from lipsound2.corpora.recordings import Recording, Recordings


def recordings(count: int, speakers: int, part: str = "dev") -> Recordings:
    found = Recordings()
    for number in range(count):
        speaker = f"id{number % speakers:05}"
        found.add(f"{speaker}-{number}", Recording(speaker, part, video=f"/{number}.mp4"))
    return found


def test_shares_of_clips_are_about_what_is_wanted_and_stay():
    rule = HeldOutClips(test=0.1, valid=0.1)
    few, many = recordings(2000, 7), recordings(4000, 7)
    sets, more = rule.split(few), rule.split(many)
    assert sum(map(len, sets.values())) == 2000
    assert {name: len(ids) / 2000 for name, ids in sets.items()} == pytest.approx(
        {"train": 0.8, "valid": 0.1, "test": 0.1}, abs=0.02
    )
    for name, ids in sets.items():
        assert set(ids) <= set(more[name])
    assert rule.split(few, seed=1)["test"] != sets["test"]
    assert {name: len(ids) for name, ids in rule.split(recordings(3, 1)).items()} == {"train": 1, "valid": 1, "test": 1}


def test_held_out_speakers_leave_nothing_in_training():
    rule = HeldOutSpeakers(train=("dev", "more"), test="test", of="dev", share=0.05)
    found = recordings(3000, 600)
    found.by_id |= recordings(100, 600, "test").by_id | {
        f"{speaker}-more-1": Recording(speaker, "more", video="/x.mp4") for speaker in ("id00000", "id00001")
    }
    sets = rule.split(found)
    speakers = {name: {found.by_id[id].speaker for id in ids} for name, ids in sets.items()}
    assert not speakers["train"] & speakers["valid"]
    assert len(speakers["valid"]) == pytest.approx(30, abs=15)
    rest = {id for id in found.by_id if id.split("-")[0] not in speakers["valid"] and found.by_id[id].part != "test"}
    assert set(sets["train"]) == rest
