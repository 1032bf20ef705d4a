"""The verb `compare`: experiments side by side, as a page and as Markdown; or one score over the training clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from lipsound2.arguments import AtLeast0
from lipsound2.errors import LipsoundError, UsageError
from lipsound2.files import told_size, write_text
from lipsound2.metrics.registry import PRIMARY
from lipsound2.outputs import Output, check_file
from lipsound2.report import compare_markdown, compare_page, series
from lipsound2.report.comparison import collect

_BUDGET = 6 << 20  # characters of the page
_NAMED = 3  # experiments whose names are part of the page's


def compare(
    *experiments: str,
    set: str = "",
    score: str = "",
    out: Annotated[Path, Output((".html", ".htm"))] | None = None,
    markdown: Annotated[Path, Output((".md",))] | None = None,
    clips: AtLeast0 = 6,
    dump: Path | None = None,
    data: Path | None = None,
    video: bool = True,
) -> None:
    """Compare experiments: scores with paired intervals, config keys, words that changed, and clips to play.

    `lipsound2 compare exp/a exp/b` compares the others with the first, on the clips that all of them have. It prints
    Markdown and writes the page exp/a-vs-b.html, beside the first experiment.
    `lipsound2 compare "one=exp/a,other=exp/b" exp/both` writes one score over the number of training clips: a table,
    exp/both.md, and a plot, exp/both.png. Experiments of one name with equally many clips are seeds of one point.

    Args:
        experiments: two experiment folders or more; or NAME=EXP, separated by commas, and what the two files are
            called without suffix.
        set: the set that was scored; by default every set that all have scores of (of NAME=EXP: test).
        score: by whose difference clips to play are chosen (of NAME=EXP: which is written): a metric of speech such
            as estoi, or one of text with a recognizer, such as wer:NAME; by default estoi, without speech wer.
        out: the page.
        markdown: file for the Markdown, instead of the terminal.
        clips: clips to play of each set, from the best change to the worst.
        dump: folder of the archives; by default the one that synthesize or decode noted.
        data: data dir of the clips; by default the one that synthesize noted.
        video: show the video of each clip, small and silent; without, what the model is shown.

    Raises:
        UsageError: fewer than two experiments.
        LipsoundError: no experiment there, nothing that can be compared, or a file inside an experiment that may be
            one of its own.
    """
    entries = _series(experiments)
    if entries:
        if given := [name for name, value in (("--out", out), ("--markdown", markdown)) if value is not None]:
            raise UsageError(
                f"{given[0]}: is for experiments side by side; NAME=EXP are written to {experiments[1]}.md"
            )
        series.tabulate(entries, Path(experiments[1]), name=set or "test", score=score or PRIMARY)
        return
    paths = [Path(name) for word in experiments for name in _names(word)]
    if len(paths) < 2:
        raise UsageError(f"{paths[0]}: a second experiment is wanted; write lipsound2 compare {paths[0]} exp/b")
    if twice := next((path for path in paths if sum(path.resolve() == other.resolve() for other in paths) > 1), None):
        raise LipsoundError(f"{twice}: is given twice; name two experiments")
    page = out or _place(paths)
    check_file(page, paths)
    for path in (page, markdown):
        if path is not None:
            _check_outside(path, paths)
    found = collect(paths, name=set, score=score, clips=clips, dump=dump, data=data, video=video)
    if markdown is None:
        print(compare_markdown.render(found))
    else:
        write_text(markdown, compare_markdown.render(found))
        print(f"{markdown}: scores, words, config keys")
    html = compare_page.render(found, _BUDGET)
    write_text(page, html)
    print(f"{page}: {told_size(page.stat().st_size)}")


def _check_outside(path: Path, experiments: list[Path]) -> None:
    """Refuse a file inside an experiment, whose report, results, config and scores lie there.

    Raises:
        LipsoundError: it is inside one, and not called as the page is by default.
    """
    default, real = _place(experiments), path.resolve()
    inside = next((each for each in experiments if each.resolve() in real.parents), None)
    if inside is not None and not (path.stem == default.stem == real.stem):
        instead = default.with_suffix(path.suffix)
        raise LipsoundError(
            f"{path}: is inside of {inside}, and may be its own; choose another place, such as {instead}"
        )


def _series(words: tuple[str, ...]) -> list[str]:
    """The entries of a call with NAME=EXP,... and OUT; none of another call."""
    if len(words) != 2 or Path(words[0]).exists() or "=" not in words[0]:
        return []
    return [entry for entry in words[0].split(",") if entry]


def _names(word: str) -> list[str]:
    """Experiments of a word of the command line: commas separate them, unless they are part of a folder's name."""
    return [word] if Path(word).exists() else [part for part in word.split(",") if part]


def _place(paths: list[Path]) -> Path:
    """Where the page goes by default: beside the first experiment."""
    names = [path.resolve().name for path in paths]
    if len(names) > _NAMED:
        names = [names[0], f"{len(names) - 1}-others"]
    return paths[0].parent / f"{'-vs-'.join(names)}.html"
