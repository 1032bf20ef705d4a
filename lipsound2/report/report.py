"""The verb `report`: the content of an experiment's folder, collected for one self-contained page."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from tqdm import tqdm

from lipsound2.arguments import AtLeast0
from lipsound2.audio.kind import audio_kind
from lipsound2.data.archive import INDEX, Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.numerals import real
from lipsound2.data.texts import read_text
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import sweep, write_text
from lipsound2.metrics.audio_sources import REAL, SYSTEMS, AudioSource, locate, read_origin, read_wav, wav_ids, wav_of
from lipsound2.metrics.registry import PRIMARY
from lipsound2.metrics.score import CLIPS, SUMMARY
from lipsound2.metrics.score_text import FOLDER
from lipsound2.metrics.summary import Row
from lipsound2.metrics.summary_files import read_clips, read_scores
from lipsound2.old_names import CURVES, keys_of_today
from lipsound2.outputs import Output, OutputFolder
from lipsound2.report import images
from lipsound2.report.images import Sheet
from lipsound2.report.page import render
from lipsound2.report.provenance import provenance
from lipsound2.report.results import publish as publish_rows
from lipsound2.report.text_folders import read_texts
from lipsound2.report.view import ClipView, ReportContent, SetView
from lipsound2.timing import SAMPLE_RATE
from lipsound2.versions import read_runs

log = logging.getLogger(__name__)

_SHOWN = ("generated", "mismatched", "real_mel", "mean_mel")  # on a clip's card, after the ground truth
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

    Raises:
        LipsoundError: no experiment there.
    """
    if not (exp / "config.yaml").exists():
        raise LipsoundError(f"{exp}: no experiment there (no config.yaml); give the folder that training wrote")
    out = out or exp / "report.html"
    sweep(exp)
    sweep(out.parent)
    content = collect(exp, clips=clips, dump=dump, data=data)
    page = render(content, BUDGET)
    write_text(out, page)
    print(f"{out}: {len(page) / 2**20:.1f} MB")
    publish_rows(exp / "RESULTS.md", content, f"Results of {content.experiment}")
    if publish is None:
        return
    if rows := publish_rows(publish, content):
        print(f"{publish}: {' and '.join(rows)} of {content.experiment}")
    else:
        log.warning("%s: nothing to publish, as there are no scores; run stage 5 (lipsound2 score) first", exp)


def collect(exp: Path, *, clips: int, dump: Path | None = None, data: Path | None = None) -> ReportContent:
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
        sets=[_set(exp, name, clips, dump, data) for name in names],
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


def _set(exp: Path, name: str, clips: int, dump: Path | None, data: Path | None) -> SetView:
    """One set: its scores, and the chosen clips with all that can be found of them.

    Args:
        exp: experiment.
        name: of the set.
        clips: how many.
        dump: where the user says that archives lie.
        data: likewise, the data dir.
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
        material = _Material(wav, dump, data)
        chosen = choose(rows, clips) or [(clip, "") for clip in wav_ids(wav / "generated")[:clips]]
        notes += material.notes() if wav.is_dir() or rows else []
    else:
        material = _Material(exp / "text" / name / texts[0].recognizer, dump, data)  # as `decode` was called
        chosen = spread([line.id for line in texts[0].ranked()], clips)
        if not material.has_audio:
            notes.append("The audio that was transcribed was not found: give its dump with --dump.")
    views = [
        material.view(clip, place, {row.system: row.scores.values for row in rows if row.id == clip})
        for clip, place in tqdm(chosen, desc=f"drawing {name}", unit="clip")
    ]
    return SetView(name, summary, facts, rows, views, notes, texts, spoken)


def choose(rows: Sequence[Row], clips: int) -> list[tuple[str, str]]:
    """Clips from best to worst by the model's ESTOI, evenly through the ranks, each with its place in words."""
    judged = [row for row in rows if PRIMARY in row.scores.values]
    own = [row for row in judged if row.system == "generated"] or judged
    ranked = sorted(own, key=lambda row: (-row.scores.values[PRIMARY], row.id))
    return spread([row.id for row in ranked], clips)


def spread(ranked: Sequence[str], clips: int) -> list[tuple[str, str]]:
    """Some of the clips, which are given from best to worst, evenly, each with its place in words."""
    if not ranked or clips < 1:
        return []
    last = len(ranked) - 1
    places = sorted({round(place) for place in np.linspace(0, last, min(clips, len(ranked)))} | {last // 2})
    while len(places) > clips and len(places) > 3:
        # The median was added: of its neighbors the nearer one goes.
        places.remove(min((place for place in places[1:-1] if place != last // 2), key=lambda p: abs(p - last // 2)))
    words = {0: "best", last // 2: "median", last: "worst"}
    return [(ranked[place], f"{words.get(place, f'rank {place + 1}')} of {len(ranked)}") for place in places]


class _Material:
    """Finds audio, mels, attention, crops and words of the clips of one set."""

    def __init__(self, wav: Path, dump: Path | None, data: Path | None) -> None:
        origin = read_origin(wav)
        self._wav = wav
        self._dump = dump or locate(origin.get("dump"), wav / "origin.yaml")
        data = data or locate(origin.get("data"), wav / "origin.yaml")
        self._data = DataDir(data) if data is not None else None
        self._real = self._ground_truth()
        self._crops = self._archive(self._dump, origin.get("input"))
        self._target = self._archive(self._dump, origin.get("target"))
        self._mels = {system: self._archive(wav / "mels", system) for system in SYSTEMS}
        self._attention = self._archive(wav, "alignments")

    def _ground_truth(self) -> AudioSource | None:
        folder = None if self._dump is None else self._dump / audio_kind(self._dump)
        return AudioSource(folder) if folder is not None and (folder / INDEX).exists() else None

    @staticmethod
    def _archive(folder: Path | None, kind: str | None) -> Archive | None:
        if folder is None or kind is None or not (folder / kind / INDEX).exists():
            return None
        return Archive(folder / kind)

    @property
    def has_audio(self) -> bool:
        """Whether the ground truth was found."""
        return self._real is not None

    def notes(self) -> list[str]:
        """What was not found, in sentences."""
        if self._dump is None:
            return ["The dump was not found, so ground truth, its mels and crops are left out: give it with --dump."]
        absent = {
            "ground truth": self._real,
            "crops": self._crops,
            "mels of the ground truth": self._target,
            "mels of the model": self._mels["generated"],
        }
        names = [name for name, found in absent.items() if found is None]
        return [f"Not found, and so left out: {', '.join(names)}."] if names else []

    def view(self, clip: str, place: str, scores: dict[str, dict[str, float]]) -> ClipView:
        """Everything there is of one clip."""
        utt2spk, text = (self._data.utt2spk, self._data.text) if self._data is not None else ({}, {})
        view = ClipView(clip, utt2spk.get(clip, clip.partition("-")[0]), text.get(clip, ""), place, scores)
        audio: dict[str, np.ndarray] = {}
        for name in (REAL, *_SHOWN):
            try:
                waveform = self._waveform(name, clip)
            except ClipFailure as failure:
                if failure.reason != "missing":
                    log.warning("%s of %s is left out: %s", name, clip, failure)
            else:
                audio[name] = waveform
        view.seconds = max((len(waveform) for waveform in audio.values()), default=0) / SAMPLE_RATE
        view.audio = {name: _flac(waveform) for name, waveform in audio.items()}
        view.mels = self._mel_images(clip)
        view.crops = self._sheet(clip)
        if self._attention is not None and clip in self._attention:
            weights = np.asarray(self._attention[clip])
            # Clips were generated in batches: steps and video frames beyond this clip are padding.
            own = min(view.crops.count, weights.shape[1]) if view.crops is not None else weights.shape[1]
            steps = round(len(weights) * own / weights.shape[1])
            view.attention = images.attention_image(weights[:steps, :own])
        return view

    def _waveform(self, name: str, clip: str) -> np.ndarray:
        if name != REAL:
            return read_wav(wav_of(self._wav / name, clip))
        if self._real is None or clip not in self._real:
            raise ClipFailure("missing", f"{clip} has no ground truth")
        return self._real[clip]

    def _sheet(self, clip: str) -> Sheet | None:
        if self._crops is None or clip not in self._crops:
            return None
        from lipsound2.video.encode import decode

        try:
            return images.sheet(decode(np.asarray(self._crops[clip])))
        except ClipFailure as failure:
            log.warning("crops of %s are left out: %s", clip, failure)
            return None

    def _mel_images(self, clip: str) -> dict[str, bytes]:
        archives = {REAL: self._target, **{system: self._mels[system] for system in _SHOWN}}
        mels = {name: np.asarray(a[clip]) for name, a in archives.items() if a is not None and clip in a}
        if not mels:
            return {}
        scale = images.mel_range(mels.get(REAL, next(iter(mels.values()))))
        frames = len(mels.get(REAL, next(iter(mels.values()))))
        return {name: images.mel_image(mel, *scale, frames) for name, mel in mels.items()}


def _flac(waveform: np.ndarray) -> bytes:
    from lipsound2.audio.io import encode_flac

    return encode_flac(waveform).tobytes()
