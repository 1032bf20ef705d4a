"""The speech of one clip: waveform, mel, what was found in the video, and reasons to doubt it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lipsound2.audio.waveform_buffer import WaveformBuffer
from lipsound2.audio.writing import Spool, audio_suffixes
from lipsound2.errors import LipsoundError
from lipsound2.inference.speech_outputs import PLAYED
from lipsound2.outputs import check_file
from lipsound2.timing import FRAME_RATE
from lipsound2.video.captions import Captions
from lipsound2.video.crop_report import CropReport
from lipsound2.video.cropper import Crops


@dataclass(frozen=True)
class ClipVideo:
    """What was found in the video of a clip, at 25 frames a second.

    Attributes:
        report: number of frames, scenes, faces and the like; `str(report)` is one line.
        landmarks: (T, 68, 2) float32, the iBUG points of the face that was taken, in pixels of the upright frame.
        confidence: (T,) float32: 1 the face was detected in this frame, 0.5 interpolated, 0 not seen.
        size: width and height of the upright frame, pixels.
        fps: rate of the source, frames a second.
        start: time of the first frame on the clip's own clock, seconds.
        faces: where there were several faces: a small image (H, W, 3) uint8 RGB with a box about each, the one that
            was taken in green; None: a single face.
    """

    report: CropReport
    landmarks: np.ndarray
    confidence: np.ndarray
    size: tuple[int, int]
    fps: float
    start: float
    faces: np.ndarray | None

    @staticmethod
    def of(crops: Crops) -> ClipVideo:
        """What the cropper found."""
        points, line = crops.landmarks, crops.timeline
        return ClipVideo(
            report=crops.report,
            landmarks=points[:, :136].reshape(-1, 68, 2),
            confidence=points[:, 136],
            size=(line.width, line.height),
            fps=line.fps,
            start=line.start,
            faces=crops.face_choice,
        )

    @property
    def boxes(self) -> np.ndarray:
        """(T, 4) float32: x0, y0, x1, y1 around the face that was taken, pixels of the upright frame."""
        return np.concatenate([self.landmarks.min(1), self.landmarks.max(1)], 1)


class Speech:
    """Speech that a lip-to-speech model made of one clip.

    Long speech lies in a temporary file, not in memory; `waveform` and `mel` read all of it. Any thread may read.

    Attributes:
        clip: file it was made of; None: frames.
        model: name of the model.
        knows: voices and words the model knows.
        video: what was found in the video.
        warnings: reasons to doubt the speech, a line each.
        spent: crops, model, vocoder -> seconds of computing.
    """

    def __init__(
        self,
        clip: Path | None,
        model: tuple[str, str],
        video: ClipVideo,
        audio: Spool,
        mels: WaveformBuffer,
        bands: int,
        spent: dict[str, float],
        warnings: Sequence[str] = (),
    ) -> None:
        self.clip = clip
        self.model, self.knows = model
        self.video = video
        self.warnings: list[str] = [*video.report.warnings, *warnings]
        self.spent = spent
        self._audio, self._mels, self._bands = audio, mels, bands

    def __repr__(self) -> str:
        what = "frames" if self.clip is None else str(self.clip)
        return f"Speech({self.seconds:.2f} s of {what} by {self.model}; {self.video.report})"

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self._audio.rate

    @property
    def seconds(self) -> float:
        """Length of the clip, and of the speech."""
        return self.video.report.num_frames / FRAME_RATE

    @property
    def waveform(self) -> np.ndarray:
        """(samples,) float32 in [-1, 1], as long as the video."""
        return np.concatenate([*self.blocks()])

    @property
    def mel(self) -> np.ndarray:
        """(S, bands) float32: the log-mel spectrogram that the model predicted, natural logarithm."""
        return self._mels.read(0, len(self._mels)).reshape(-1, self._bands)

    def blocks(self) -> Iterator[np.ndarray]:
        """The waveform, (n,) float32 at a time."""
        return self._audio.blocks()

    def read(self, first: int, samples: int) -> np.ndarray:
        """(samples,) float32 of the waveform from sample `first` on, or as many as there are."""
        return self._audio.read(first, samples)

    def save(self, path: Path | str, captions: Captions | None = None) -> None:
        """Write the speech as audio, or the clip with the speech as its audio.

        Args:
            path: file to write; its suffix says what: .wav, .flac, .ogg, .mp3; .mp4, .m4v, .mov, .mkv. A file that is
                there is replaced, whole or not at all.
            captions: subtitles of a video.

        Raises:
            LipsoundError: another suffix, the clip itself, a video of frames that came from no file, or it cannot be
                written.
        """
        path = Path(path)
        check_file(path, [self.clip] if self.clip else [], (*audio_suffixes(), *PLAYED))
        if path.suffix.lower() not in PLAYED:
            self._audio.write(path)
            return
        if self.clip is None:
            raise LipsoundError(f"{path}: the speech was made of frames, not of a file; write it as .wav")
        from lipsound2.video.mux import mux_speech

        mux_speech(self.clip, self.blocks, self.sample_rate, self.video.start, path, captions)
