"""Compares experiments on one set: scores of the clips that all of them have, and words that were understood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lipsound2.audio.io import decode_flac
from lipsound2.data.datadir import DataDir
from lipsound2.errors import LipsoundError
from lipsound2.metrics import summary, wer
from lipsound2.metrics.audio_sources import REAL, locate, read_origin
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.registry import METRICS, PRIMARY, SPEECH, TEXT, Metric, in_order
from lipsound2.metrics.score import CLIPS, SUMMARY
from lipsound2.metrics.score_text import FOLDER
from lipsound2.metrics.summary import Row, summarize
from lipsound2.metrics.summary_files import Facts, read_clips, read_scores
from lipsound2.metrics.unseen import about
from lipsound2.metrics.wer import TextScores, score_texts
from lipsound2.report import charts
from lipsound2.report.changed_words import changed_clips
from lipsound2.report.choice import spread
from lipsound2.report.compared import Experiment, ScoreLine, SetComparison, WordChanges
from lipsound2.report.material import Material
from lipsound2.report.text_folders import read_texts
from lipsound2.report.view import ClipView, TextView
from lipsound2.timing import SAMPLE_RATE

_OWN = ("generated", "heard")  # what a model's own speech or text is called in stored files
_ENDS = ("best change", "median change", "worst change")


class SetComparer:
    """Compares one set.

    Args:
        experiments: all of them.
        name: of the set.
        data: its data dir, as the user says.
        notes: what is found is added here.
    """

    def __init__(self, experiments: Sequence[Experiment], name: str, data: Path | None, notes: list[str]) -> None:
        self._experiments, self._name, self._notes = experiments, name, notes
        self._given = data
        noted = (
            locate(read_origin(folder).get("data"), folder / "origin.yaml")
            for one in experiments
            for folder in (one.path / "wav" / name, *sorted((one.path / "text" / name).glob("*")))
        )
        self._data = data or next((path for path in noted if path is not None and (path / "utt2spk").is_file()), None)
        self._utt2spk: Mapping[str, str] = DataDir(self._data).utt2spk if self._data is not None else {}
        self._rows: list[dict[str, Row]] = []
        self._texts: dict[str, list[TextScores]] = {}
        self._made = SetComparison(name)

    def compare(self) -> SetComparison:
        """Scores and words."""
        self._compare_speech()
        self._compare_texts()
        return self._made

    def cards(self, score: str, clips: int, dump: Path | None, video: bool) -> list[ClipView]:
        """Some clips, from where the last experiment does best beside the first to where it does worst."""
        gains = self._gains(score)
        ranked = sorted(gains, key=lambda clip: (-gains[clip], clip))
        materials = [Material(self._folder(one), dump, self._given, video=video) for one in self._experiments]
        systems = ("generated",) if self._rows else ()
        views = []
        for clip, place in spread(ranked, clips, _ENDS):
            found = [material.view(clip, place, {}, systems) for material in materials]
            view = next((one for one in found if REAL in one.audio), found[0])
            # Of each experiment its own speech, beside one ground truth.
            for kind in ("audio", "mels"):
                own = {
                    one.label: getattr(other, kind)["generated"]
                    for one, other in zip(self._experiments, found, strict=True)
                    if "generated" in getattr(other, kind)
                }
                real = {REAL: getattr(view, kind)[REAL]} if REAL in getattr(view, kind) else {}
                setattr(view, kind, {**real, **own})
            if self._rows:
                rows = zip(self._experiments, self._rows, strict=True)
                view.scores = {one.label: dict(own[clip].scores.values) for one, own in rows if clip in own}
            audio = {name: decode_flac(np.frombuffer(flac, np.uint8)) for name, flac in view.audio.items()}
            view.waves = charts.waves(audio)
            view.seconds = max(map(len, audio.values()), default=0) / SAMPLE_RATE
            view.attention = None
            views.append(view)
        return views

    def _folder(self, one: Experiment) -> Path:
        """The folder with the notes of how a set was synthesized, or decoded."""
        wav = one.path / "wav" / self._name
        if wav.is_dir() or not self._texts:
            return wav
        return one.path / "text" / self._name / next(iter(self._texts))

    def _gains(self, score: str) -> dict[str, float]:
        """By clip, how much better the last experiment is than the first.

        Raises:
            LipsoundError: no such score.
        """
        metric, _, recognizer = score.partition(":")
        metric = metric or (PRIMARY if self._rows else "wer")
        if not recognizer and metric in SPEECH and self._rows:
            first, last = self._rows[0], self._rows[-1]
            sign = 1 if METRICS[metric].higher_is_better else -1
            both = [clip for clip in first if all(metric in rows[clip].scores.values for rows in (first, last))]
            if both:
                return {
                    clip: sign * (last[clip].scores.values[metric] - first[clip].scores.values[metric]) for clip in both
                }
        if metric in TEXT and (recognizer in self._texts or not recognizer) and self._texts:
            texts = self._texts[recognizer or next(iter(self._texts))]
            rows = [{row.id: row.counts.rate for row in scores.rows} for scores in (texts[0], texts[-1])]
            return {clip: rows[0][clip] - rows[1][clip] for clip in rows[0]}
        known = [*(in_order([row.scores.values for row in self._rows[0].values()]) if self._rows else ())]
        known += [f"{rate}:{name}" for name in self._texts for rate in TEXT]
        raise LipsoundError(f"--score {score}: not a score of all these experiments; one of: {', '.join(known)}")

    def _compare_speech(self) -> None:
        scored = [(one.path / "scores" / self._name) for one in self._experiments]
        have = [(folder / SUMMARY).exists() for folder in scored]
        if not any(have):
            return
        if not all(have):
            self._miss("speech scores", have, "lipsound2 score")
            return
        facts = [read_scores(folder / SUMMARY)[1] for folder in scored]
        rows = [read_clips(folder / CLIPS) for folder in scored]
        own = [{row.id: row for row in found if row.system == "generated"} for found in rows]
        if not all(own):
            self._miss("scores of the model's speech", [bool(found) for found in own], "lipsound2 synthesize and score")
            return
        ids = self._shared([set(found) for found in own], "clips with speech scores")
        if not ids:
            return
        self._unlike(facts)
        unseen = self._about(ids)
        shared = [
            [row for row in found if row.id in ids and row.system in ("generated", "mismatched")] for found in rows
        ]
        utt2spk = {clip: self._speaker(clip) for clip in ids}
        self._rows = [{clip: found[clip] for clip in sorted(ids)} for found in own]
        means = [summarize(found, utt2spk, unseen=unseen) for found in shared]
        self._made.verdicts = [found.verdict for found in means]
        ordered = [[*found.values()] for found in self._rows]
        apart = [summary.difference(found, ordered[0], utt2spk if unseen else None) for found in ordered[1:]]
        for key in in_order(found.systems["generated"].scores for found in means):
            values = [found.systems["generated"].scores.get(key) for found in means]
            lacking = [one.label for one, value in zip(self._experiments, values, strict=True) if value is None]
            if lacking:
                self._notes.append(
                    f"{METRICS[key].title} of {self._name} is left out: {' and '.join(lacking)} lack it."
                )
                continue
            self._add(METRICS[key], "", values, [found.get(key) for found in apart])

    def _compare_texts(self) -> None:
        views: list[dict[str, TextView]] = []
        for one in self._experiments:
            found, notes = read_texts(one.path / "scores" / self._name / FOLDER)
            views.append({view.recognizer: view for view in found})
            self._notes += [f"{one.label}: {note}" for note in notes]
        for recognizer in dict.fromkeys(name for found in views for name in found):
            have = [recognizer in found for found in views]
            if not all(have):
                self._miss(f"texts of the recognizer {recognizer}", have, "lipsound2 decode and score-text")
                continue
            self._compare_recognizer(recognizer, [found[recognizer] for found in views])

    def _compare_recognizer(self, recognizer: str, views: Sequence[TextView]) -> None:
        system = next((name for name in _OWN if all(name in view.clips for view in views)), None)
        if system is None:
            self._miss(
                f"{recognizer}'s texts of the model",
                [any(name in view.clips for name in _OWN) for view in views],
                "lipsound2 decode and score-text",
            )
            return
        rules = {(view.systems[system].language, view.systems[system].normalization) for view in views}
        if len(rules) > 1:
            self._notes.append(
                f"{recognizer}: texts were scored by different normalizations "
                f"({', '.join(sorted(version for _, version in rules))}), so they are not compared: score them again."
            )
            return
        lines = [{line.id: line for line in view.clips[system]} for view in views]
        ids = self._shared([set(found) for found in lines], f"clips that {recognizer} transcribed")
        same = {clip for clip in ids if len({found[clip].reference for found in lines}) == 1}
        if len(same) < len(ids):
            self._notes.append(
                f"{recognizer}: {len(ids) - len(same)} of {len(ids)} clips have other references in another experiment "
                "and are left out."
            )
        if not same:
            return
        self._other_recognizers(recognizer, system)
        unseen = self._about(same)
        utt2spk = {clip: self._speaker(clip) for clip in same}
        references = {clip: lines[0][clip].reference for clip in sorted(same)}
        ((language, _),) = rules
        scores = [
            score_texts(
                references, {clip: found[clip].hypothesis for clip in references}, utt2spk, language, unseen=unseen
            )
            for found in lines
        ]
        self._texts[recognizer] = scores
        apart = [wer.difference(found, scores[0], utt2spk if unseen else None) for found in scores[1:]]
        for rate in scores[0].summary.rates:
            values = [found.summary.rates[rate] for found in scores]
            self._add(TEXT[rate], recognizer, values, [found[rate] for found in apart])
        changed = changed_clips([{row.id: row for row in found.rows} for found in scores])
        self._made.words.append(WordChanges(recognizer, len(references), changed))

    def _add(
        self,
        metric: Metric,
        recognizer: str,
        values: Sequence[Interval | None],
        differences: Sequence[Interval | None],
    ) -> None:
        present = tuple(value for value in values if value is not None)
        self._made.lines.append(ScoreLine(metric, recognizer, present, (None, *differences)))

    def _speaker(self, clip: str) -> str:
        return self._utt2spk.get(clip) or clip.partition("-")[0]

    def _about(self, ids: set[str]) -> bool:
        """Whether the intervals are about unseen speakers; notes it for the caption."""
        unseen, which = about(
            "auto", self._data, {clip: self._speaker(clip) for clip in ids}, f"{len(ids)} clips that all of them have"
        )
        self._made.which = self._made.which or which
        return unseen

    def _shared(self, ids: Sequence[set[str]], what: str) -> set[str]:
        """Clips that all have, with a note where they do not have the same."""
        shared = set.intersection(*ids)
        if any(found != shared for found in ids):
            counts = ", ".join(f"{one.label} {len(found)}" for one, found in zip(self._experiments, ids, strict=True))
            left = f"the {len(shared)} they share are compared" if shared else "they share none, so nothing is compared"
            self._notes.append(f"{self._name}: other {what} ({counts}); {left}.")
        return shared

    def _miss(self, what: str, have: Sequence[bool], verb: str) -> None:
        lacking = [one.label for one, has in zip(self._experiments, have, strict=True) if not has]
        self._notes.append(f"{self._name}: {what} are not compared, as {' and '.join(lacking)} has none: {verb}.")

    def _unlike(self, facts: Sequence[Facts]) -> None:
        """Notes about speech that was made, or measured, in another way."""
        for key, what in (("vocoder", "vocoders"), ("target", "mels")):
            named = [found.speech.get(key, "not noted") for found in facts]
            if len(set(named)) > 1:
                each = ", ".join(f"{one.label} {name}" for one, name in zip(self._experiments, named, strict=True))
                self._notes.append(f"{self._name}: other {what} ({each}); the differences are of these as well.")
        if len({tuple(sorted(found.measured_with.items())) for found in facts}) > 1:
            each = "; ".join(
                f"{one.label} {', '.join(f'{name} {version}' for name, version in found.measured_with.items())}"
                for one, found in zip(self._experiments, facts, strict=True)
            )
            self._notes.append(f"{self._name}: measured with other versions of packages ({each}): score them again.")

    def _other_recognizers(self, recognizer: str, system: str) -> None:
        """A note where one name stands for two recognizers, such as one of each experiment's own."""
        named = []
        for one in self._experiments:
            folder = one.path / "text" / self._name / recognizer
            named.append(str(read_origin(folder / system if system != "heard" else folder).get("asr", "")))
        if len(set(named)) > 1:
            each = ", ".join(
                f"{one.label} {name or 'not noted'}" for one, name in zip(self._experiments, named, strict=True)
            )
            self._notes.append(
                f"{self._name}: {recognizer} is not one recognizer ({each}); the differences are of these as well."
            )
