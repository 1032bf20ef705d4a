"""Finds what can be shown of a clip: audio, mels, attention, crops, video and words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lipsound2.audio.kind import audio_kind
from lipsound2.data.archive import INDEX, Archive
from lipsound2.data.datadir import DataDir
from lipsound2.errors import ClipFailure
from lipsound2.metrics.audio_sources import REAL, SYSTEMS, AudioSource, locate, read_origin, read_wav, wav_of
from lipsound2.report import charts, images
from lipsound2.report.images import Sheet
from lipsound2.report.view import ClipView
from lipsound2.timing import SAMPLE_RATE

log = logging.getLogger(__name__)

SHOWN = ("generated", "mismatched", "real_mel", "mean_mel")  # on a clip's card, after the ground truth


class Material:
    """Finds audio, mels, attention, crops, video and words of the clips of one set.

    Args:
        wav: folder that `synthesize` or `decode` wrote, with its `origin.yaml`.
        dump: where the user says that archives lie.
        data: likewise, the data dir.
        video: whether to look for the clips' videos as well.
    """

    def __init__(self, wav: Path, dump: Path | None, data: Path | None, *, video: bool = True) -> None:
        origin = read_origin(wav)
        self._video = video
        self._wav = wav
        self._dump = dump or locate(origin.get("dump"), wav / "origin.yaml")
        data = data or locate(origin.get("data"), wav / "origin.yaml")
        self._data = DataDir(data) if data is not None else None
        self._real = self._ground_truth()
        self._crops = self._archive(self._dump, origin.get("input"))
        self._target = self._archive(self._dump, origin.get("target"))
        self._mels = {system: self._archive(wav / "mels", system) for system in SYSTEMS}
        self._attention = self._archive(wav, "alignments")
        # Of the face, where the model is not shown the whole face anyway.
        self._face = self._archive(self._dump, "face") if origin.get("input") != "face" else None

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

    @property
    def data(self) -> DataDir | None:
        """The data dir, where it was found."""
        return self._data

    def speaker(self, clip: str) -> str:
        """Who speaks, as far as is known."""
        known = self._data.utt2spk.get(clip) if self._data is not None else None
        return known or clip.partition("-")[0]

    def text(self, clip: str) -> str:
        """What is said; empty where that is not known."""
        return (self._data.text.get(clip) if self._data is not None else None) or ""

    def view(
        self, clip: str, place: str, scores: dict[str, dict[str, float]], systems: Sequence[str] = SHOWN
    ) -> ClipView:
        """Everything there is of one clip: of the ground truth, and of these systems."""
        view = ClipView(clip, self.speaker(clip), self.text(clip), place, scores)
        audio: dict[str, np.ndarray] = {}
        for name in (REAL, *systems):
            try:
                waveform = self._waveform(name, clip)
            except ClipFailure as failure:
                if failure.reason != "missing":
                    log.warning("%s of %s is left out: %s", name, clip, failure)
            else:
                audio[name] = waveform
        view.seconds = max((len(waveform) for waveform in audio.values()), default=0) / SAMPLE_RATE
        view.audio = {name: _flac(waveform) for name, waveform in audio.items()}
        view.waves = charts.waves(audio)
        view.mels = self._mel_images(clip, systems)
        view.crops = self._sheet(clip)
        view.video = self._small_video(clip) if self._video else None
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

    def _small_video(self, clip: str) -> bytes | None:
        """The clip's own video; where that is not at hand, the face in the dump."""
        from lipsound2.report.clip_video import frames_of, small_video
        from lipsound2.video.encode import iter_frames

        path = self._video_file(clip)
        try:
            if path is not None:
                return small_video(frames_of(path))
            if self._face is not None and clip in self._face:
                return small_video(iter_frames(np.asarray(self._face[clip])))
        except (ClipFailure, LookupError) as failure:
            log.warning("the video of %s is left out: %s", clip, failure)
        return None

    def _video_file(self, clip: str) -> Path | None:
        """Where the clip's video lies; None of a clip that is part of a recording, which has no file of its own."""
        if self._data is None or (self._data.path / "segments").exists():
            return None
        given = self._data.video.get(clip)
        return locate(given, self._data.path / "video.scp") if given else None

    def _mel_images(self, clip: str, systems: Sequence[str]) -> dict[str, bytes]:
        archives = {REAL: self._target, **{system: self._mels[system] for system in systems}}
        mels = {name: np.asarray(a[clip]) for name, a in archives.items() if a is not None and clip in a}
        if not mels:
            return {}
        scale = images.mel_range(mels.get(REAL, next(iter(mels.values()))))
        frames = len(mels.get(REAL, next(iter(mels.values()))))
        return {name: images.mel_image(mel, *scale, frames) for name, mel in mels.items()}


def _flac(waveform: np.ndarray) -> bytes:
    from lipsound2.audio.io import encode_flac

    return encode_flac(waveform).tobytes()
