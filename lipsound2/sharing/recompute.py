"""Scores computed again from the scores of single clips, and compared digit by digit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lipsound2.errors import LipsoundError
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.summary import Row, Summary, summarize
from lipsound2.metrics.summary_files import read_clips
from lipsound2.metrics.wer import score_texts
from lipsound2.metrics.wer_summary import TextSummary
from lipsound2.metrics.wer_summary import read_clips as read_texts

# The last printed digit. Scores of clips are rounded to five digits, so a mean of them may be off by one of the last.
_DIGIT = 1.01e-5


def summary_again(clips: Path, utt2spk: Mapping[str, str], *, resamples: int, seed: int, unseen: bool) -> Summary:
    """The summary of `clips.tsv`."""
    rows = read_clips(clips)
    _check_speakers(clips, (row.id for row in rows), utt2spk)
    return summarize(rows, utt2spk, resamples=resamples, seed=seed, unseen=unseen)


def texts_again(file: Path, utt2spk: Mapping[str, str], language: str, *, unseen: bool) -> TextSummary:
    """The summary of a system's file of recognized texts."""
    lines = read_texts(file)
    references = {line.id: line.reference for line in lines}
    hypotheses = {line.id: line.hypothesis for line in lines}
    _check_speakers(file, references, utt2spk)
    speakers = {line.id: utt2spk[line.id] for line in lines}
    return score_texts(references, hypotheses, speakers, language, unseen=unseen).summary


def _check_speakers(file: Path, ids: Iterable[str], utt2spk: Mapping[str, str]) -> None:
    """Refuse scores of clips of nobody.

    Raises:
        LipsoundError: the set's utt2spk lacks a clip.
    """
    if (lacking := next((name for name in ids if name not in utt2spk), None)) is not None:
        raise LipsoundError(f"{file}: the clip '{lacking}' has no speaker in its set's utt2spk; get the archive again")


def differences(found: Summary, wanted: Summary) -> Iterator[str]:
    """Scores of systems and the verdict that are not the same, a line each."""
    if found.systems.keys() != wanted.systems.keys():
        yield f"systems: {', '.join(found.systems)}; expected {', '.join(wanted.systems)}"
        return
    for system, entry in wanted.systems.items():
        scores = found.systems[system].scores
        for name in sorted({*entry.scores, *scores}):
            yield from _compared(f"{system}: {name}", scores.get(name), entry.scores.get(name))
    yield from _compared("verdict", found.verdict.difference, wanted.verdict.difference)
    if found.verdict.lips_are_read != wanted.verdict.lips_are_read:
        yield f"verdict: {found.verdict.word}, expected {wanted.verdict.word}"


def text_differences(found: TextSummary, wanted: TextSummary) -> Iterator[str]:
    """Error rates that are not the same, a line each."""
    for name in sorted({*found.rates, *wanted.rates}):
        yield from _compared(name, found.rates.get(name), wanted.rates.get(name))


def clip_differences(found: list[Row], wanted: list[Row]) -> Iterator[str]:
    """Clips whose scores are not the same in the last printed digit, a line each."""
    before = {(row.id, row.system): row.scores for row in wanted}
    now = {(row.id, row.system): row.scores for row in found}
    for key in sorted({*before, *now}):
        if key not in before or key not in now:
            yield f"{key[0]}, {key[1]}: {'was not shared' if key not in before else 'was not scored here'}"
        elif before[key].values != now[key].values:
            apart = [
                f"{name} {now[key].values.get(name)}, expected {value}"
                for name, value in before[key].values.items()
                if now[key].values.get(name) != value
            ]
            yield f"{key[0]}, {key[1]}: {'; '.join(apart) or 'other scores'}"


def _compared(what: str, found: Interval | None, wanted: Interval | None) -> Iterator[str]:
    if found is None or wanted is None:
        if found is not wanted:
            yield f"{what}: {'is not there' if found is None else 'was not shared'}"
        return
    pairs = zip(found.rounded().values(), wanted.rounded().values(), strict=True)
    if any(abs(one - other) > _DIGIT for one, other in pairs):
        yield f"{what}: {found.format(5)}, expected {wanted.format(5)}"
