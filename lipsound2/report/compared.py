"""What a comparison of experiments shows, in typed data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.registry import Metric
from lipsound2.metrics.summary import Verdict
from lipsound2.report.changed_words import ChangedClip
from lipsound2.report.provenance import Provenance
from lipsound2.report.view import ClipView


@dataclass(frozen=True)
class Experiment:
    """One of the experiments.

    Attributes:
        label: its name on the page, no other's.
        path: its folder.
        origin: where its model comes from.
        config: by today's names.
        clips: training clips; None: not known.
    """

    label: str
    path: Path
    origin: Provenance
    config: Mapping[str, Any]
    clips: int | None


@dataclass(frozen=True)
class ScoreLine:
    """One score of all experiments.

    Attributes:
        metric: how it is shown.
        recognizer: whose texts were scored; empty for speech.
        values: of each experiment.
        differences: of each experiment to the first; None for the first.
    """

    metric: Metric
    recognizer: str
    values: tuple[Interval, ...]
    differences: tuple[Interval | None, ...]

    def finding(self, number: int) -> str:
        """`better` or `worse` where the interval of the difference leaves out 0, else `unclear`."""
        found = self.differences[number]
        if found is None or found.low <= 0 <= found.high:
            return "unclear"
        return "better" if (found.mean > 0) == self.metric.higher_is_better else "worse"


@dataclass
class WordChanges:
    """What one recognizer understood differently.

    Attributes:
        recognizer: what its folder is called.
        total: clips that were compared.
        clips: those whose words differ.
    """

    recognizer: str
    total: int
    clips: list[ChangedClip]

    def count(self, system: int) -> dict[str, int]:
        """Clips in which an experiment has `fewer` errors than the first, `more`, or as many (`same`)."""
        found = [clip.change(system) for clip in self.clips]
        return {change: found.count(change) for change in ("fewer", "more", "same")}


@dataclass
class SetComparison:
    """One set.

    Attributes:
        name: of the set.
        which: which clips, and what the intervals are about.
        lines: scores.
        verdicts: whether lips are read, of each experiment; empty without speech.
        words: by recognizer.
        cards: clips to play; their systems are the ground truth and the experiments' labels.
    """

    name: str
    which: str = ""
    lines: list[ScoreLine] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    words: list[WordChanges] = field(default_factory=list)
    cards: list[ClipView] = field(default_factory=list)


@dataclass
class Comparison:
    """All of it.

    Attributes:
        experiments: at least two; the others are compared with the first.
        config: keys that differ -> the value in each.
        sets: those that all have scores of.
        notes: what could not be compared, or is not alike, a sentence each.
    """

    experiments: list[Experiment]
    config: list[tuple[str, list[str]]]
    sets: list[SetComparison]
    notes: list[str]
