"""What intervals generalize to: more clips of the same speakers, or unseen speakers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from lipsound2.data.datadir import DataDir
from lipsound2.data.names import TRAINING
from lipsound2.errors import LipsoundError

Speakers = Literal["auto", "same", "unseen"]


def about(speakers: Speakers, data: Path | None, utt2spk: Mapping[str, str], which: str) -> tuple[bool, str]:
    """Whether intervals generalize to unseen speakers, and a phrase for captions.

    Args:
        speakers: same or unseen, as given. auto: unseen when there are several speakers, training sets lie beside the
            clips' data dir, and none of the speakers is in one of those.
        data: data dir of the clips, if there is one.
        utt2spk: speakers of the clips.
        which: what clips these are.

    Returns:
        Whether, and `which` with what it means added.

    Raises:
        LipsoundError: unseen was asked for, and there is but one speaker.
    """
    present = set(utt2spk.values())
    if speakers == "unseen" and len(present) < 2:
        raise LipsoundError(f"--speakers unseen: {which} are of one speaker, who tells nothing about others; use same")
    if speakers == "same" or len(present) < 2 or (speakers == "auto" and not _unseen(data, present)):
        return False, which
    return True, f"{which}; intervals about people like these {len(present)} speakers"


def _unseen(data: Path | None, speakers: set[str]) -> bool:
    if data is None:
        return False
    beside = {path for name in TRAINING for path in data.absolute().parent.glob(f"{name}/utt2spk")}
    sets = [DataDir(path.parent) for path in sorted(beside) if path.parent.name != data.absolute().name]
    return bool(sets) and all(speakers.isdisjoint(one.utt2spk.values()) for one in sets)
