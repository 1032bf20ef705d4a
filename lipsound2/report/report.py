"""The verb `report`: the content of an experiment's folder, collected for one self-contained page."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Annotated

from lipsound2.arguments import AtLeast0
from lipsound2.data.numerals import real
from lipsound2.data.texts import read_text
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.files import sweep, told_size, write_text
from lipsound2.metrics.audio_sources import wav_ids
from lipsound2.metrics.score import CLIPS, SUMMARY
from lipsound2.metrics.score_text import FOLDER
from lipsound2.metrics.summary_files import read_clips, read_scores
from lipsound2.old_names import CURVES, keys_of_today
from lipsound2.outputs import Output, OutputFolder
from lipsound2.progress import progress
from lipsound2.report.choice import choose, spread
from lipsound2.report.clip_list import listed
from lipsound2.report.material import Material
from lipsound2.report.page import render
from lipsound2.report.provenance import provenance
from lipsound2.report.results import publish as publish_rows
from lipsound2.report.text_folders import read_texts
from lipsound2.report.view import ReportContent, SetView
from lipsound2.versions import read_runs

log = logging.getLogger(__name__)

_LARGEST = 1e30  # of a number that is drawn
BUDGET = 6 << 20  # characters of the page; clips beyond it are left out


def report(
    exp: OutputFolder,
    *,
    out: Annotated[Path, Output((".html", ".htm"))] | None = None,
    clips: AtLeast0 = 8,
    publish: Annotated[Path, Output((".md",))] | None = None,
    dump: Path | None = None,
    data: Path | None = None,
    video: bool = True,
) -> None:
    """Write the report of an experiment: one offline HTML file with scores, texts, curves, and clips to play.

    Parts that the experiment does not have are left out, with a note.

    Args:
        exp: experiment folder.
        out: the page; by default EXP/report.html.
        clips: clips to show of each set, from the best to the worst.
        publish: Markdown file, such as exp/RESULTS.md: its table of results gets a row for each set, its table of word
            errors a row for each set and recognizer.
        dump: folder of the archives; by default the one that synthesize or decode noted.
        data: data dir of the clips, if the experiment has a single set; by default the one that synthesize noted.
        video: show the video of each clip beside its audio, small; without, what the model is shown.

    Raises:
        LipsoundError: no experiment there, or nothing to show.
    """
    if not (exp / "config.yaml").exists():
        raise LipsoundError(f"{exp}: no experiment there (no config.yaml); give the folder that training wrote")
    out = out or exp / "report.html"
    sweep(exp)
    sweep(out.parent)
    content = collect(exp, clips=clips, dump=dump, data=data, video=video)
    if not content.curves and not content.sets:  # such as a pack
        raise LipsoundError(
            f"{exp}: nothing to report: no curves.tsv, wav, text or scores there; give the folder that training wrote, "
            "or first run lipsound2 synthesize EXP DIR EXP/wav/SET --dump DUMP; of a lip reader: lipsound2 decode EXP "
            "DIR EXP/text/SET/NAME --dump DUMP"
        )
    page = render(content, BUDGET)
    write_text(out, page)
    print(f"{out}: {told_size(out.stat().st_size)}")
    publish_rows(exp / "RESULTS.md", content, f"Results of {content.experiment}")
    if publish is None:
        return
    if rows := publish_rows(publish, content):
        print(f"{publish}: {' and '.join(rows)} of {content.experiment}")
    else:
        log.warning("%s: nothing to publish, as there are no scores; run stage 5 (lipsound2 score) first", exp)


def collect(
    exp: Path, *, clips: int, dump: Path | None = None, data: Path | None = None, video: bool = True
) -> ReportContent:
    """Read everything the page shows out of an experiment's folder."""
    names = sorted(
        {path.name for part in ("wav", "text", "scores") for path in (exp / part).glob("*") if path.is_dir()}
    )
    return ReportContent(
        experiment=exp.resolve().name,
        origin=provenance(exp),
        config=read_yaml(exp / "config.yaml"),
        runs=read_runs(exp / "versions.yaml"),
        curves=read_curves(exp / "curves.tsv"),
        weights=count_weights(exp / "model.safetensors"),
        sets=[_set(exp, name, clips, dump, data, video) for name in names],
    )


def read_curves(path: Path) -> dict[str, list[float | None]]:
    """`curves.tsv` by column, whatever its columns are; cells that are no finite number are None."""
    if not path.exists():
        return {}
    lines = read_text(path).split("\n")
    header, *rows = [line.split("\t") for line in lines if line] or [[]]
    # A run that was killed on a full disk may have left half a row.
    whole_rows = [row for row in rows if len(row) == len(header)]
    columns = {name: [_number(row[index]) for row in whole_rows] for index, name in enumerate(header)}
    return keys_of_today(columns, CURVES)


def _number(cell: str) -> float | None:
    try:
        return real(cell, -_LARGEST, _LARGEST)
    except ValueError:
        return None


def count_weights(path: Path) -> int | None:
    """Numbers in a safetensors file; None without it."""
    if not path.exists():
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except SafetensorError as error:
        raise LipsoundError(f"{path}: cannot be read ({error}); copy it again or train again") from error


def _set(exp: Path, name: str, clips: int, dump: Path | None, data: Path | None, video: bool) -> SetView:
    """One set: its scores, and the chosen clips with all that can be found of them.

    Args:
        exp: experiment.
        name: of the set.
        clips: how many.
        dump: where the user says that archives lie.
        data: likewise, the data dir.
        video: whether to show the clips' videos.
    """
    wav, scores, notes = exp / "wav" / name, exp / "scores" / name, []
    summary, facts, rows = None, None, []
    texts, incomplete = read_texts(scores / FOLDER)
    spoken = wav.is_dir() or (scores / SUMMARY).exists() or not texts
    if (scores / SUMMARY).exists():
        summary, facts = read_scores(scores / SUMMARY)
        rows = read_clips(scores / CLIPS)
    notes += incomplete
    if spoken:
        material = Material(wav, dump, data, video=video)
        chosen = choose(rows, clips) or [(clip, "") for clip in wav_ids(wav / "generated")[:clips]]
        notes += material.notes() if wav.is_dir() or rows else []
    else:
        material = Material(
            exp / "text" / name / texts[0].recognizer, dump, data, video=False
        )  # as `decode` was called
        chosen = spread([line.id for line in texts[0].ranked()], clips)
        if not material.has_audio:
            notes.append("The audio that was transcribed was not found: give its dump with --dump.")
    views = [
        material.view(clip, place, {row.system: row.scores.values for row in rows if row.id == clip})
        for clip, place in progress(chosen, desc=f"drawing {name}", unit="clip")
    ]
    return SetView(name, summary, facts, rows, views, notes, texts, spoken, listed(rows, texts, material))
