"""What a report shows, as data: `report` collects it, `page` draws it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lipsound2.audio.kind import AUDIO
from lipsound2.metrics.audio_sources import REAL
from lipsound2.metrics.summary import Row, Summary
from lipsound2.metrics.summary_files import Facts
from lipsound2.metrics.wer import TextSummary
from lipsound2.metrics.wer_summary import TextLine
from lipsound2.report.images import Sheet
from lipsound2.report.provenance import Provenance

CONTROLS = ("real_mel", "mismatched", "mean_mel")
# What a system is called on the page, and what a reader is told about it.
NAMES = {
    "generated": "Model",
    "heard": "Model",
    REAL: "Ground truth",
    "real_mel": "Copy-synthesis",
    "mismatched": "Mismatched video",
    "other_voice": "Another voice",
    "mean_mel": "Mean mel",
}
EXPLAINED = {
    "generated": "given the clip's video",
    "heard": "what the model itself wrote",
    REAL: "the clip's own audio",
    "real_mel": "ground-truth mel through the vocoder",
    "mismatched": "the model, given another clip's video",
    "other_voice": "the model, given another speaker's voice",
    "mean_mel": "mean of the training set, no video",
}


@dataclass
class ClipView:
    """What the page shows of one clip; what is absent is empty.

    Attributes:
        id: clip id.
        speaker: who speaks.
        text: transcript.
        place: why it was chosen, such as `best of 50`.
        scores: system -> metric -> value.
        audio: system -> FLAC file; `REAL` is the ground truth.
        waves: likewise the waveform as an SVG path, 0 to 1000 across and 0 to 100 down, all on one scale.
        mels: likewise PNG, all on one scale of color and of time.
        attention: PNG.
        crops: all its crops.
        video: silent MP4, of its video or its face.
        seconds: length.
    """

    id: str
    speaker: str
    text: str
    place: str
    scores: dict[str, dict[str, float]]
    audio: dict[str, bytes] = field(default_factory=dict)
    waves: dict[str, str] = field(default_factory=dict)
    mels: dict[str, bytes] = field(default_factory=dict)
    attention: bytes | None = None
    crops: Sheet | None = None
    video: bytes | None = None
    seconds: float = 0.0


@dataclass
class TextView:
    """What one recognizer made of the clips of a set.

    Attributes:
        recognizer: what its folder is called.
        systems: system -> error rates.
        clips: system -> every clip, sorted by id; a system whose file is absent is left out.
        rule: what the rates were measured by, in lines.
    """

    recognizer: str
    systems: dict[str, TextSummary]
    clips: dict[str, list[TextLine]]
    rule: list[str]

    @property
    def compared(self) -> list[str]:
        """The systems whose texts are worth reading: the model, others that are no controls, the ground truth last."""
        own = [name for name in self.systems if name not in (*CONTROLS, REAL)]
        return [*own, *(name for name in self.systems if name == REAL)] or list(self.systems)

    @property
    def clip_count(self) -> int:
        """Clips that were transcribed."""
        return max(one.total.clips for one in self.systems.values())

    def ranked(self) -> list[TextLine]:
        """The clips of the first of `compared` that has some, from the smallest share of errors to the largest."""
        lines = next((self.clips[name] for name in self.compared if self.clips.get(name)), [])
        return sorted(lines, key=lambda line: (line.errors / line.units, line.id))


@dataclass(frozen=True)
class ClipLine:
    """A clip in the list of all clips.

    Attributes:
        id: clip id.
        speaker: who speaks.
        text: what is said.
        scores: metric of speech -> the model's value.
        errors: recognizer -> errors of what it made of the model's clip.
    """

    id: str
    speaker: str
    text: str
    scores: Mapping[str, float]
    errors: Mapping[str, int]


@dataclass
class SetView:
    """What the page shows of one set.

    Attributes:
        name: of the set.
        summary: speech scores; None without them.
        facts: how they were measured; None without them.
        rows: speech scores of every clip.
        clips: those that can be played.
        notes: plain sentences about what is missing.
        texts: text scores, by recognizer.
        spoken: whether there is speech to show; without, the clips are those that a recognizer transcribed.
        lines: every clip, from the best to the worst.
    """

    name: str
    summary: Summary | None
    facts: Facts | None
    rows: list[Row]
    clips: list[ClipView]
    notes: list[str]
    texts: list[TextView] = field(default_factory=list)
    spoken: bool = True
    lines: list[ClipLine] = field(default_factory=list)

    @property
    def size(self) -> str:
        """`4 clips`."""
        if self.summary is not None:
            return f"{max(system.clips for system in self.summary.systems.values())} clips"
        return f"{max(text.clip_count for text in self.texts)} clips" if self.texts else "not scored"


@dataclass
class ReportContent:
    """The content of the page."""

    experiment: str
    origin: Provenance
    config: Mapping[str, Any]
    runs: Sequence[Mapping[str, Any]]
    curves: dict[str, list[float | None]]
    weights: int | None
    sets: list[SetView]

    @property
    def recognizes(self) -> bool:
        """Whether the experiment is a recognizer."""
        return self.config.get("task") == "recognize"

    @property
    def reads_lips(self) -> bool:
        """Whether it is one of lips, not of audio."""
        return self.recognizes and self.config.get("input", AUDIO) != AUDIO
