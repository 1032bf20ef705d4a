"""One score of several experiments over the number of training clips, as table and plot.

Experiments of one series with equally many training clips are seeds of one point: their mean is shown, and each value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from lipsound2.data.shapes import checked
from lipsound2.data.yaml_files import read_yaml
from lipsound2.decoding.hypothesis import ACCURACY
from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path, turn, write_text
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.registry import METRICS, PRIMARY, SPEECH, TEXT, WORDS
from lipsound2.metrics.summary_files import read_scores
from lipsound2.metrics.wer_summary import read_summary
from lipsound2.outputs import check_file
from lipsound2.versions import read_runs

_COUNTED = "training clips"
_HEAD = f"| {_COUNTED} |"  # how a table begins

# Series -> training clips -> a score an experiment.
Points = Mapping[str, Mapping[int, Sequence[float]]]


def tabulate(entries: Sequence[str], out: Path, *, name: str = "test", score: str = PRIMARY) -> None:
    """Compare experiments that differ in initialization or training set: OUT.md, OUT.png.

    Args:
        entries: SERIES=EXP each; several of one series with equally many training clips are seeds of one point.
        out: name of the two files without suffix.
        name: the set that was scored.
        score: a metric of the registry. A metric of speech by its name, such as estoi. A metric of text or of single
            words with a recognizer or a way of decoding, such as wer:NAME or top1:NAME.

    Raises:
        LipsoundError: an entry of another form, a score that is not there, or OUT.md is another text.
    """
    page, plot = (out.with_name(out.name + suffix) for suffix in (".md", ".png"))
    for path in (page, plot):
        check_file(path)
    if page.exists() and not page.read_bytes().startswith(_HEAD.encode()):
        raise LipsoundError(f"{page}: is another text, which would be lost; choose another name than {out}")
    points = _gather(entries, name, score)
    title = _title(score)
    with turn(page):  # the two files belong together
        write_text(page, "\n".join(_table(points, score)) + "\n")
        _plot(points, title, plot)
    print("\n".join([f"{title}, set {name}:", *_table(points, score)]))


def _gather(entries: Sequence[str], name: str, score: str) -> Points:
    """The scores of SERIES=EXP entries on a set.

    Raises:
        LipsoundError: an entry of another form, or a score that is not there.
    """
    points: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for entry in entries:
        series, equals, exp = entry.partition("=")
        if not equals or not series or not exp:
            raise LipsoundError(
                f"'{entry}': expected SERIES=EXP, such as 'from scratch=exp/a'; two experiments side by side: "
                "lipsound2 compare exp/a exp/b"
            )
        points[series][_clips(Path(exp))].append(_score(Path(exp), name, score))
    return points


def _clips(exp: Path) -> int:
    """Number of training clips of an experiment."""
    path = exp / "versions.yaml"
    clips = next((run.get("clips") for run in read_runs(path)), None)
    if not clips or clips < 0:
        raise LipsoundError(f"{path}: does not tell the number of training clips; train the experiment again")
    return int(clips)


def _score(exp: Path, name: str, score: str) -> float:
    """The mean of a score over the clips of a set; word errors and accuracies in per cent.

    Raises:
        LipsoundError: it was not scored, or there is no such score.
    """
    rate, _, recognizer = score.partition(":")
    if rate in WORDS:
        accuracy = exp / "text" / name / recognizer / ACCURACY
        if not recognizer or not accuracy.exists():
            raise LipsoundError(
                f"{accuracy}: absent, so '{score}' of {exp} is not known; lipsound2 decode writes it for single words"
            )
        share: float = checked(read_yaml(accuracy).get(rate), float, f"{accuracy}: {rate}")
        if not 0 <= share <= 1:
            raise LipsoundError(f"{accuracy}: {rate}: expected a share from 0 to 1, found {share}; decode again")
        return METRICS[rate].shown_as * share
    path = exp / "scores" / name / ("text/" + recognizer if recognizer else "") / "summary.json"
    if not path.exists():
        raise LipsoundError(f"{path}: absent, so '{score}' of {exp} on '{name}' is not known; run: lipsound2 score")
    found: Mapping[str, Interval] = {}
    if recognizer:
        texts = read_summary(path)
        found = next((texts[name].rates for name in ("generated", "heard") if name in texts), found)
    elif "generated" in (speech := read_scores(path)[0].systems):
        found = speech["generated"].scores
    if rate not in found:
        known = ", ".join([*SPEECH, *(f"{rate}:NAME" for rate in (*TEXT, *WORDS))])
        raise LipsoundError(f"{path}: no score '{rate}'; one of: {known}")
    return METRICS[rate].shown_as * found[rate].mean


def _title(score: str) -> str:
    rate, _, recognizer = score.partition(":")
    return f"{METRICS[rate].heading} ({recognizer})" if recognizer else METRICS[rate].heading


def _table(points: Points, score: str) -> list[str]:
    """Markdown: a row a number of clips, a column a series; the spread of seeds behind the mean."""
    digits = METRICS[score.partition(":")[0]].digits

    def cell(values: Sequence[float]) -> str:
        shown = [f"{value:.{digits}f}" for value in (*values, mean(values))]
        seeds = f" ({', '.join(shown[:-1])})" if len(values) > 1 else ""
        return shown[-1] + seeds

    numbers = sorted({clips for series in points.values() for clips in series})
    rows = [[_COUNTED, *points], ["---"] * (len(points) + 1)]
    rows += [
        [str(clips), *(cell(series[clips]) if clips in series else "-" for series in points.values())]
        for clips in numbers
    ]
    return [f"| {' | '.join(row)} |" for row in rows]


def _plot(points: Points, title: str, path: Path) -> None:
    """A line a series, a dot an experiment; the number of clips doubles from tick to tick."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6), dpi=110, layout="constrained")
    for series, found in points.items():
        numbers = sorted(found)
        (line,) = axes.plot(numbers, [mean(found[clips]) for clips in numbers], marker="o", label=series)
        dots = [(clips, value) for clips in numbers for value in found[clips] if len(found[clips]) > 1]
        if dots:
            x, y = zip(*dots, strict=True)
            axes.scatter(x, y, s=14, alpha=0.6, color=line.get_color())
    numbers = sorted({clips for found in points.values() for clips in found})
    axes.set_xscale("log")
    axes.set_xticks(numbers, labels=[str(clips) for clips in numbers])
    axes.minorticks_off()
    axes.set(xlabel="training clips", ylabel=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    pyplot.close(figure)
