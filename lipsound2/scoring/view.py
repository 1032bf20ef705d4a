"""What a report shows, as data: `report` collects it, `page` draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lipsound2.scoring.pictures import Sheet
from lipsound2.scoring.results import Provenance
from lipsound2.scoring.summary import Row, Summary


@dataclass
class ClipView:
    """What the page shows of one clip; what is absent is empty.

    Attributes:
        id: clip id.
        speaker: who speaks.
        text: transcript.
        place: why it was chosen, such as `best of 50`.
        scores: system -> metric -> value.
        sounds: `true` or system -> FLAC file.
        mels: `true` or system -> PNG, all on one scale of colour and of time.
        attention: PNG.
        crops: all its crops.
        seconds: length.
    """

    id: str
    speaker: str
    text: str
    place: str
    scores: dict[str, dict[str, float]]
    sounds: dict[str, bytes] = field(default_factory=dict)
    mels: dict[str, bytes] = field(default_factory=dict)
    attention: bytes | None = None
    crops: Sheet | None = None
    seconds: float = 0.0


@dataclass
class SetView:
    """What the page shows of one set; `notes` are plain sentences about what is missing."""

    name: str
    summary: Summary | None
    facts: Mapping[str, Any]
    rows: list[Row]
    clips: list[ClipView]
    notes: list[str]


@dataclass
class Report:
    """The content of the page."""

    experiment: str
    origin: Provenance
    config: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]
    curves: dict[str, list[float | None]]
    weights: int | None
    sets: list[SetView]
