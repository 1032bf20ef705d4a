"""The verb `check`: the scores of a shared experiment, computed again and compared."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lipsound2.arguments import AtLeast1
from lipsound2.data.datadir import DataDir
from lipsound2.data.tables import read_table
from lipsound2.errors import LipsoundError, UsageError, require
from lipsound2.metrics.registry import FAMILIES
from lipsound2.metrics.score import CLIPS, SUMMARY
from lipsound2.metrics.score_text import FOLDER
from lipsound2.metrics.summary import Row
from lipsound2.metrics.summary_files import read_clips, read_scores
from lipsound2.metrics.wer_summary import read_summary
from lipsound2.sharing.contents import SCORES, SETS, SHARE, VOCODER, Contents, SharedSet, read_contents
from lipsound2.sharing.recompute import clip_differences, differences, summary_again, text_differences, texts_again
from lipsound2.sharing.unpack import opened

_SHOWN = 20  # lines about differences
_WORDS_LEFT_OUT = 'words not checked: needs jiwer (pip install "lipsound2[metrics]")'


def check(shared: Path, *, data: Path | None = None, dump: Path | None = None, nj: AtLeast1 = 2) -> int:
    """Check a shared experiment: compute its scores again, and compare them with those that were shared.

    Means, intervals and the verdict are always computed from the scores of the clips. With --data and --dump, speech
    is synthesized again with the shared weights, and scored: every clip's scores are compared to the last digit,
    but for metrics that need weights, or packages that are not here. Error
    rates of words need jiwer, of the extra metrics; without it they are left out, and a line says so.

    Args:
        shared: archive that lipsound2 share made, or its folder.
        data: data dir of one of its sets, made by stage 0 of the recipe from the corpus.
        dump: folder of crops, audio and mels that stages 1 and 2 of the recipe made of it.
        nj: worker processes for the scores.

    Returns:
        The exit status: 1 if anything differs.
    """
    if (data is None) != (dump is None):
        raise UsageError("--data and --dump belong together: give both, or neither to check the summaries alone")
    apart: list[str] = []
    with opened(shared) as folder:
        contents = read_contents(folder)
        print(f"{contents.name}: task {contents.task}, {len(contents.files)} files are those that were shared")
        for name, one in contents.sets.items():
            apart += _set(folder, name, one)
        if data is not None and dump is not None:
            apart += _speech(folder, contents, data, dump, nj)
    for line in apart[:_SHOWN]:
        print(f"  {line}")
    if len(apart) > _SHOWN:
        print(f"  and {len(apart) - _SHOWN} more")
    print(f"{shared}: {f'{len(apart)} differences' if apart else 'everything that was computed again is the same'}")
    return 1 if apart else 0


def _set(folder: Path, name: str, one: SharedSet) -> list[str]:
    """Check a set's summaries and print the result; returns what differs, a line each."""
    words = _installed("jiwer", "metrics") if one.unseen_text else True
    found = [f"{name}: {line}" for line in _speech_summary(folder, name, one)]
    if words:
        found += [f"{name}: {line}" for line in _text_summaries(folder, name, one)]
    if words or (folder / SCORES / name / SUMMARY).is_file():
        print(f"{name}: {'DIFFERS' if found else 'the summary is that of the scores of its clips'}")
    if not words:
        print(f"{name}: {_WORDS_LEFT_OUT}")
    return found


def _installed(package: str, extra: str) -> bool:
    """Whether a package can be imported."""
    try:
        require(package, extra)
    except LipsoundError:
        return False
    return True


def _speech_summary(folder: Path, name: str, one: SharedSet) -> Iterator[str]:
    """What differs between a set's scores of speech and those computed again from its clips."""
    scores = folder / SCORES / name
    if (scores / SUMMARY).is_file():
        utt2spk = dict(read_table(folder / SETS / name / "utt2spk"))
        again = summary_again(scores / CLIPS, utt2spk, resamples=one.resamples, seed=one.seed, unseen=one.unseen)
        wanted = read_scores(scores / SUMMARY)[0]
        yield from differences(again, wanted)
        if {*one.systems} != wanted.systems.keys():
            yield f"systems: {', '.join(one.systems) or 'none'} in {SHARE}; expected {', '.join(wanted.systems)}"


def _text_summaries(folder: Path, name: str, one: SharedSet) -> Iterator[str]:
    """What differs between a set's error rates and those computed again from the texts of its clips."""
    utt2spk = dict(read_table(folder / SETS / name / "utt2spk"))
    for recognizer, unseen in one.unseen_text.items():
        place = folder / SCORES / name / FOLDER / recognizer
        for system, wanted in read_summary(place / SUMMARY).items():
            found = texts_again(place / f"{system}.tsv", utt2spk, wanted.language, unseen=unseen)
            yield from (f"{recognizer}, {system}: {line}" for line in text_differences(found, wanted))


def _speech(folder: Path, contents: Contents, data: Path, dump: Path, nj: int) -> list[str]:
    """Synthesize a set again, score it, and compare every clip."""
    if contents.task != "regress":
        raise LipsoundError(
            f"{contents.name}: is of the task '{contents.task}'; only speech is made again, of the task regress: "
            "leave out --data and --dump"
        )
    ids = set(DataDir(data).utt2spk)
    known = {name: set(dict(read_table(folder / SETS / name / "utt2spk"))) for name in contents.sets}
    name = next((name for name, wanted in known.items() if wanted == ids), "")
    if not name:
        nearest = max(known, key=lambda each: len(known[each] & ids))
        raise LipsoundError(
            f"{data}: {len(ids)} clips, and none of the shared sets has these; '{nearest}' has {len(known[nearest])}, "
            f"{len(known[nearest] & ids)} of them here: prepare the same protocol of the corpus"
        )
    from lipsound2.inference.synthesize import CONTROLS, synthesize
    from lipsound2.metrics.score import score

    one, shared = contents.sets[name], read_clips(folder / SCORES / name / CLIPS)
    metrics, left_out = _further(shared)
    if left_out:
        print(f"{name}: not made again, for want of a package or of weights: {', '.join(left_out)}")
    vocoder = str(folder / one.vocoder) if one.vocoder.startswith(f"{VOCODER}/") else one.vocoder
    with tempfile.TemporaryDirectory(prefix="lipsound2-") as made:
        speech = Path(made, "wav")
        controls = tuple(system for system in CONTROLS if system in one.systems)
        synthesize(folder, data, speech, dump=dump, vocoder=vocoder, controls=controls, nj=nj)
        score(
            *(dump / "audio", speech),
            out=Path(made, "scores"),
            metrics=metrics,
            nj=nj,
            resamples=one.resamples,
            seed=one.seed,
            speakers="unseen" if one.unseen else "same",
        )
        found = [row for row in read_clips(Path(made, "scores", CLIPS)) if row.system in one.systems]
    systems = {row.system for row in found}
    wanted = [_without(row, left_out) for row in shared if row.system in systems]
    apart = [f"{name}: {line}" for line in clip_differences(found, wanted)]
    print(f"{name}: {len(found)} scores of clips made again, {len(apart)} differ")
    return apart


def _further(rows: list[Row]) -> tuple[tuple[str, ...], list[str]]:
    """Families of metrics that clips were scored with besides the standard ones, and metrics that cannot be made again.

    A family that takes weights is among the latter: which weights these were is not shared.
    """
    names = {metric for row in rows for metric in row.scores.values}
    families = {name: family for name, family in FAMILIES.items() if family.scorer and names & {*family.metrics}}
    again = [
        name
        for name, family in families.items()
        if not family.argument and all(_installed(*package) for package in family.packages.items())
    ]
    left_out = [metric for name, family in families.items() if name not in again for metric in family.metrics]
    return tuple(again), left_out


def _without(row: Row, metrics: list[str]) -> Row:
    values = {name: value for name, value in row.scores.values.items() if name not in metrics}
    return replace(row, scores=replace(row.scores, values=values))
