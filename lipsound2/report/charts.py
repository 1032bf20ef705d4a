"""Charts of the report as inline SVG and HTML. Colours and sizes are the page's: they follow light and dark.

Drawings stretch to the width they get (`preserveAspectRatio="none"`) with strokes that do not, and their labels are
HTML beside them, so a chart reads the same on a telephone and on a wall.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence

from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.registry import METRICS, PRIMARY
from lipsound2.report.markup import escape, ink

_WIDTH, _HEIGHT = 1000.0, 300.0
_GOLDEN = 0.6180339887


def percent(value: float, low: float, high: float) -> float:
    """Where `value` lies between `low` and `high`, 0 to 100."""
    return 100 * min(1.0, max(0.0, (value - low) / (high - low)))


def bar(value: Interval, low: float, high: float, style: str) -> str:
    """A bar of a mean with its interval as a whisker.

    Args:
        value: what is shown.
        low: value at the left end.
        high: value at the right end.
        style: name of the colour, a system.
    """
    end, left, right = (percent(number, low, high) for number in (value.mean, value.low, value.high))
    return (
        f'<span class="bar" style="{ink(style)}"><i style="width:{end:.2f}%"></i>'
        f'<b style="left:{left:.2f}%;width:{right - left:.2f}%"></b></span>'
    )


def gain_line(difference: Interval, threshold: float) -> str:
    """The verdict as a line of numbers: the gain, its interval, nothing gained, and what is wanted."""
    low = math.floor(10 * min(-0.05, difference.low)) / 10
    high = math.ceil(10 * max(threshold + 0.1, difference.high)) / 10
    left, middle, right = (percent(number, low, high) for number in (difference.low, difference.mean, difference.high))
    marks = "".join(
        f'<span class="mark {kind}" style="left:{percent(value, low, high):.2f}%"><em>{text}</em></span>'
        for value, text, kind in ((0.0, "0", "zero"), (threshold, f"wanted +{threshold:.2f}", "wanted"))
    )
    return (
        f'<div class="gain" role="img" aria-label="gain {difference.mean:+.3f}, interval {difference.low:+.3f} to '
        f'{difference.high:+.3f}">{marks}<span class="range" style="left:{left:.2f}%;width:{right - left:.2f}%"></span>'
        f'<span class="point" style="left:{middle:.2f}%"><em>{difference.mean:+.3f}</em></span></div>'
    )


def dots(values: Mapping[str, Sequence[float]], titles: Mapping[str, str]) -> str:
    """Every clip as a dot, one row a system, with the mean as a bar.

    Args:
        values: system -> one number a clip, 0 to 1 (below 0 is drawn at 0).
        titles: system -> what it is called.
    """
    rows = []
    for name, numbers in values.items():
        if not numbers:
            continue
        marks = "".join(
            f"M{10 * percent(number, 0, 1):.1f} {15 + 70 * (index * _GOLDEN % 1):.1f}h0"
            for index, number in enumerate(numbers)
        )
        mean = 10 * percent(sum(numbers) / len(numbers), 0, 1)
        rows.append(
            f'<div class="dots" style="{ink(name)}"><span>{escape(titles.get(name, name))}'
            f'</span><svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" aria-label="ESTOI of '
            f'{len(numbers)} clips"><path class="grid" d="M0 0V100M250 0V100M500 0V100M750 0V100M1000 0V100"/>'
            f'<path class="dot" d="{marks}"/><path class="mean" d="M{mean:.1f} 4V96"/></svg></div>'
        )
    ticks = "".join(f"<i>{tick}</i>" for tick in ("0", ".25", ".5", ".75", "1"))
    return f'<div class="strip">{"".join(rows)}<div class="dots axis"><span>ESTOI</span><div>{ticks}</div></div></div>'


def curves(columns: Mapping[str, Sequence[float | None]]) -> str:
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
    return "".join(_panel(number, x, x_name or "row", panels[number]) for number in order)


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


def _panel(number: str, x: Sequence[float], x_name: str, series: Mapping[str, Sequence[float | None]]) -> str:
    known = [value for values in series.values() for value in values if value is not None]
    low, high = min(known), max(known)
    span = high - low or 1.0
    left, right = min(x), max(x)
    paths = []
    for name, values in series.items():
        points = [
            f"{_WIDTH * percent(at, left, right or 1) / 100 if right > left else 0:.1f} "
            f"{_HEIGHT - _HEIGHT * (value - low) / span:.1f}"
            for at, value in zip(x, values, strict=True)
            if value is not None
        ]
        kind = name if len(series) > 1 else "valid"
        paths.append(f'<path class="line {escape(kind)}" d="M{"L".join(points)}"/>')
        if (best := _best(number)) is not None:
            measured = [value for value in values if value is not None]
            paths.append(f'<path class="best" d="M{points[measured.index(best(measured))]}h0"/>')
    legend = (
        "".join(f'<span class="key {escape(name)}">{escape(name)}</span>' for name in series) if len(series) > 1 else ""
    )
    title = METRICS[number].title if number in METRICS else number.replace("_", " ").replace("/", " ")
    data = escape(json.dumps({"x": list(x), "xName": x_name, "series": {k: list(v) for k, v in series.items()}}))
    return (
        f'<figure class="chart" data-chart="{data}"><figcaption><b>{escape(title)}</b>{legend}<output></output>'
        f'</figcaption><div class="plot"><i>{_short(high)}</i><i>{_short(low)}</i>'
        f'<svg viewBox="0 0 1000 300" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(title)} over {x_name}s"><path class="grid" d="M0 0H1000M0 150H1000M0 300H1000"/>'
        f'{"".join(paths)}<path class="cursor" d=""/></svg></div>'
        f'<div class="x"><i>{_short(left)}</i><i>{x_name}</i><i>{_short(right)}</i></div></figure>'
    )


def _short(value: float) -> str:
    if value and abs(value) < 1e-2:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.0f}"
