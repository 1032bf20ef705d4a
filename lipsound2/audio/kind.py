"""The kind of a dump that holds the audio of its clips."""

from __future__ import annotations

from pathlib import Path

from lipsound2.old_names import AUDIO_KIND

AUDIO = "audio"


def audio_kind(dump: Path) -> str:
    """Name of the folder of a dump's audio: `audio`, or what earlier versions called it in a dump they made."""
    return AUDIO_KIND if (dump / AUDIO_KIND).is_dir() and not (dump / AUDIO).exists() else AUDIO


def ground_truth(folder: Path) -> Path:
    """The audio of a dump by the name it has there, whichever is given; any other folder as it is."""
    return folder.parent / audio_kind(folder.parent) if holds_audio(folder) else folder


def holds_audio(folder: Path) -> bool:
    """Whether a folder of a dump is that of the audio, by its name."""
    return folder.name in (AUDIO, AUDIO_KIND)


def kind_folder(dump: Path, kind: str) -> Path:
    """Folder of a kind, the audio's by either of its names."""
    return dump / (audio_kind(dump) if kind == AUDIO else kind)
