"""A clip's transcript: the text, how sure it is, where it comes from; as plain text, subtitles or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipsound2.decoding.hypothesis import Hypothesis, to_json
from lipsound2.decoding.subtitles import as_srt, as_vtt
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text
from lipsound2.inference.speech import ClipVideo

FORMATS = (".txt", ".srt", ".vtt", ".json")
ALTERNATIVES = 5  # in JSON, unless another number is asked for


@dataclass(frozen=True)
class Transcript(Hypothesis):
    """A hypothesis and its origin.

    Attributes:
        models: what each model knows, by its name, in the order of use; empty where a model does not say.
        calibrated: whether confidences were calibrated on clips that the recognizer was not trained on.
        warnings: reasons to doubt the text, a line each.
        corrected: what a program of the user's made of the text; None: there was none, or it failed.
        video: of a lip reader: what was found in the video; None: audio was recognized.
    """

    models: dict[str, str] = field(default_factory=dict)
    calibrated: bool = False
    warnings: list[str] = field(default_factory=list)
    corrected: str | None = None
    video: ClipVideo | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls, found: Hypothesis, models: Mapping[str, str], *, calibrated: bool, warnings: Sequence[str] = ()
    ) -> Transcript:
        """A hypothesis with its origin."""
        return cls(**vars(found), models=dict(models), calibrated=calibrated, warnings=[*warnings])

    def save(self, path: Path | str, alternatives: int = ALTERNATIVES) -> None:
        """Write a file; its suffix is one of `FORMATS`.

        Args:
            path: the file, which is replaced if it is there.
            alternatives: how many alternatives at most JSON holds.

        Raises:
            LipsoundError: another suffix, or the file cannot be written.
        """
        write_text(path, self.render(Path(path).suffix.lower(), alternatives))

    def render(self, suffix: str, alternatives: int = ALTERNATIVES) -> str:
        """Content of a file of one of `FORMATS`.

        Raises:
            LipsoundError: another suffix.
        """
        if suffix == ".txt":
            return f"{self.text}\n"
        if suffix == ".srt":
            return as_srt(self)
        if suffix == ".vtt":
            return as_vtt(self, self._notes())
        if suffix == ".json":
            return json.dumps(self.to_json(alternatives), ensure_ascii=False) + "\n"
        raise LipsoundError(f"a transcript is written as {', '.join(FORMATS)}; found '{suffix}'")

    def to_json(self, alternatives: int = ALTERNATIVES) -> dict[str, Any]:
        """All of it as plain values."""
        models = [{"name": name, "knows": knows} for name, knows in self.models.items()]
        origin = {"calibrated": self.calibrated, "models": models, "warnings": self.warnings}
        corrected = {} if self.corrected is None else {"corrected": self.corrected}
        return {**to_json(self, alternatives), **corrected, **origin}

    def _notes(self) -> list[str]:
        """Origin and doubt, for people."""
        models = [f"model {name}: {knows}" if knows else f"model {name}" for name, knows in self.models.items()]
        sure = [] if self.confidence is None else [f"confidence {self.confidence:.2f}"]
        if sure and not self.calibrated:
            sure = [f"{sure[0]}, not calibrated"]
        sure += [] if self.corrected is None else [f"corrected by a program: {self.corrected}"]
        return [*models, *sure, *(f"warning: {warning}" for warning in self.warnings)]
