"""The numbers of the report's charts; `templates/charts.html` draws them, in the page's colors and sizes."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.registry import METRICS, PRIMARY
from lipsound2.metrics.summary import Row
from lipsound2.report.markup import percent

_WIDTH, _HEIGHT = 1000.0, 300.0
_GOLDEN = 0.6180339887
_STROKES = 250  # of a waveform


@dataclass(frozen=True)
class Dots:
    """Every clip of a system as a dot: an SVG path, and where their mean lies, 0 to 1000."""

    system: str
    label: str
    path: str
    mean: float


@dataclass(frozen=True)
class Panel:
    """A training curve, or two of one number.

    Attributes:
        title: the number.
        legend: names of the curves, where there are several.
        lines: (class, SVG path) of the curves and their best points.
        low, high: labels of the y axis.
        left, right: labels of the x axis.
        x_name: what the x axis counts.
        data: all numbers as JSON, for the script.
    """

    title: str
    legend: list[str]
    lines: list[tuple[str, str]]
    low: str
    high: str
    left: str
    right: str
    x_name: str
    data: str


def gain_ends(difference: Interval, threshold: float) -> tuple[float, float]:
    """The ends of the verdict's line of numbers: it holds the interval, no gain, and the gain that is wanted."""
    low = math.floor(10 * min(-0.05, difference.low)) / 10
    return low, math.ceil(10 * max(threshold + 0.1, difference.high)) / 10


def dots(rows: Iterable[Row], systems: Iterable[str]) -> list[Dots]:
    """The primary metric of every clip, a row a system; what lies below 0 is drawn at 0."""
    values: dict[str, list[float]] = {name: [] for name in systems}
    for row in rows:
        if row.system in values and PRIMARY in row.scores.values:
            values[row.system].append(row.scores.values[PRIMARY])
    drawn = []
    for name, numbers in values.items():
        if not numbers:
            continue
        path = "".join(
            f"M{10 * percent(number, 0, 1):.1f} {15 + 70 * (index * _GOLDEN % 1):.1f}h0"
            for index, number in enumerate(numbers)
        )
        mean = 10 * percent(sum(numbers) / len(numbers), 0, 1)
        drawn.append(Dots(name, f"{METRICS[PRIMARY].title} of {len(numbers)} clips", path, mean))
    return drawn


def waves(audio: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Waveforms of one clip as SVG paths, a stroke from the least to the greatest sample of each of 250 stretches.

    Args:
        audio: name -> (N,) float; the loudest sample of all is as high as the drawing.
    """
    peak = max((float(np.abs(waveform).max(initial=0.0)) for waveform in audio.values()), default=0.0) or 1.0
    longest = max(map(len, audio.values()), default=0)
    drawn = {}
    for name, waveform in audio.items():
        edges = np.linspace(0, longest, _STROKES + 1).astype(int)
        strokes = []
        for number, (a, b) in enumerate(itertools.pairwise(edges)):
            part = waveform[a:b]
            if len(part):
                top, bottom = (round(50 - 49 * float(value) / peak) for value in (part.max(), part.min()))
                strokes.append(f"M{1000 * number // _STROKES} {top}V{max(bottom, top + 1)}")
        drawn[name] = "".join(strokes)
    return drawn


def ticks(seconds: float) -> list[float]:
    """Some eight round moments of a clip, the last not at its very end."""
    step = next(step for step in (0.5, 1, 2, 5, 10, 30, 60, 3600) if seconds / step <= 8)
    return [step * index for index in range(int(seconds / step + 1e-6) + 1) if step * index <= 0.97 * seconds]


def curves(columns: Mapping[str, Sequence[float | None]]) -> list[Panel]:
    """Training curves: a panel for each number, training and validation of one number together.

    Args:
        columns: name -> a number a row (None where it was not measured); `epoch` or `update` is the x axis.
    """
    x_name = next((name for name in ("epoch", "update") if name in columns), None)
    rows = max((len(values) for values in columns.values()), default=0)
    x = [float(value or 0) for value in columns[x_name]] if x_name else [float(row) for row in range(rows)]
    panels: dict[str, dict[str, Sequence[float | None]]] = {}
    for name, values in sorted(columns.items(), key=lambda column: column[0] == "score"):
        if name in ("epoch", "update") or len({value for value in values if value is not None}) < 2:
            continue
        if any(_copy(values, other) for panel in panels.values() for other in panel.values()):
            continue  # `score`, which comes last, is a copy of what it is made of, or 1 minus it
        series, number = _series(name)
        panels.setdefault(number, {})[series] = values
    order = sorted(panels, key=lambda number: ("loss" not in number, _best(number) is None, number != PRIMARY))
    return [_panel(number, x, x_name or "row", panels[number]) for number in order]


def _series(name: str) -> tuple[str, str]:
    """`valid_loss` -> (valid, loss)."""
    for separator in ("_", "/"):
        for series in ("train", "valid"):
            if name.startswith(series + separator):
                return series, name[len(series) + 1 :]
    return "valid", name


def _copy(values: Sequence[float | None], other: Sequence[float | None]) -> bool:
    """Whether two columns say the same: equal, or adding up to 1 but for six digits, as an error rate and a score."""
    if list(values) == list(other):
        return True
    return all(
        (a is None) == (b is None) and (a is None or b is None or abs(a + b - 1) < 1e-5)
        for a, b in zip(values, other, strict=True)
    )


def _best(number: str) -> Callable[[list[float]], float] | None:
    """Which of some values is the best; None for a number that nobody chooses by."""
    if number == "score":
        return max
    return METRICS[number].best if number in METRICS else None


def _panel(number: str, x: Sequence[float], x_name: str, series: Mapping[str, Sequence[float | None]]) -> Panel:
    known = [value for values in series.values() for value in values if value is not None]
    low, high = min(known), max(known)
    span = high - low or 1.0
    left, right = min(x), max(x)
    lines = []
    for name, values in series.items():
        points = [
            f"{_WIDTH * percent(at, left, right or 1) / 100 if right > left else 0:.1f} "
            f"{_HEIGHT - _HEIGHT * (value - low) / span:.1f}"
            for at, value in zip(x, values, strict=True)
            if value is not None
        ]
        lines.append((f"line {name if len(series) > 1 else 'valid'}", f"M{'L'.join(points)}"))
        if (best := _best(number)) is not None:
            measured = [value for value in values if value is not None]
            lines.append(("best", f"M{points[measured.index(best(measured))]}h0"))
    return Panel(
        title=METRICS[number].title if number in METRICS else number.replace("_", " ").replace("/", " "),
        legend=list(series) if len(series) > 1 else [],
        lines=lines,
        low=_short(low),
        high=_short(high),
        left=_short(left),
        right=_short(right),
        x_name=x_name,
        data=json.dumps({"x": list(x), "xName": x_name, "series": {k: list(v) for k, v in series.items()}}),
    )


def _short(value: float) -> str:
    if value and abs(value) < 1e-2:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.0f}"
