"""Clips -> speech, one after the other: what is loaded is loaded once, and what is held does not grow with a clip.

Torch is not imported here: exported networks speak without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from tqdm import tqdm

from lipsound2.audio.mel_settings import MelConfig
from lipsound2.inference.windows import ChunkedVocoder, VocoderStream, Windows
from lipsound2.timing import FRAME_RATE
from lipsound2.video.cropper import Cropper, Report

BUDGET = 1 << 27  # bytes of memory for video frames; a clip that needs more is decoded twice
Detect = Literal["mediapipe", "dlib"]
FaceChoice = Literal["largest", "left", "right", "center"]
Take = Callable[[np.ndarray], object]


class LipToSpeech(Protocol):
    """What turns crops into speech.

    Attributes:
        name: of the model.
        knows: voices and words it knows.
        region: kind of the crops it looks at, such as mouth.
        mel: what it says before it is audio.
        pieces: its vocoder.
    """

    name: str
    knows: str
    region: str
    mel: MelConfig

    @property
    def chunked_vocoder(self) -> ChunkedVocoder: ...

    def windows(self, total: int) -> Windows:
        """Mel of a clip of `total` crops (H, W) uint8, which come one after the other."""
        ...


@dataclass(frozen=True)
class SynthesisResult:
    """A clip that was spoken.

    Attributes:
        report: what the model saw.
        start: time of the first video frame on the clip's own clock, seconds.
        seconds: of the clip.
        spent: crops, model, vocoder -> seconds they took.
    """

    report: Report
    start: float
    seconds: float
    spent: dict[str, float]


class Synthesizer:
    """Speaks the faces in videos: loaded once, called for each clip.

    Args:
        model: who speaks.
        detector: what finds faces.
        face: which face when there are several.
    """

    def __init__(self, model: LipToSpeech, *, detector: Detect = "mediapipe", face: FaceChoice = "largest") -> None:
        self.model = model
        self._cropper = Cropper((model.region,), detector=detector, which_face=face, budget=BUDGET)

    def __call__(self, clip: Path, take: Take) -> SynthesisResult:
        """Speak one clip.

        Args:
            clip: video file, of any length.
            take: is given the speech as it comes, (samples,) float32 at the rate of the model's mel; together they are
                as long as the video frame.

        Raises:
            ClipFailure: why this clip cannot be spoken; what was given to `take` before is of no use then.
        """
        started = time.perf_counter()
        streams: list[_ClipSynthesis] = []

        def store(shape: tuple[int, int, int]) -> _ClipSynthesis:
            streams.append(_ClipSynthesis(self.model, shape[0], take))
            return streams[0]

        crops = self._cropper(clip, store=store)
        (stream,) = streams
        spent = {"crops": time.perf_counter() - started - stream.model - stream.vocoder}
        spent |= {"model": stream.model, "vocoder": stream.vocoder}
        return SynthesisResult(crops.report, crops.timeline.start, crops.report.num_frames / FRAME_RATE, spent)


class _ClipSynthesis:
    """Takes the crops of one clip and gives its speech away.

    Args:
        model: who speaks.
        total: crops that will come.
        take: where the speech goes.

    Attributes:
        model: seconds the network took.
        vocoder: seconds its vocoder took.
    """

    def __init__(self, model: LipToSpeech, total: int, take: Take) -> None:
        self._windows = model.windows(total)
        self._pieces = VocoderStream(model.chunked_vocoder, self._windows.num_frames)
        self._take = take
        self._bar = tqdm(total=total, desc="speak", unit="frame", disable=None, leave=False, delay=5)
        self.model = self.vocoder = 0.0

    def add(self, frame: np.ndarray) -> None:
        """The next crop."""
        started = time.perf_counter()
        mel = self._windows.add(frame)
        shown = time.perf_counter()
        self.model += shown - started
        if len(mel):
            waveform = self._pieces.add(mel)
            self.vocoder += time.perf_counter() - shown
            self._take(waveform)
        self._bar.update()

    def whole(self) -> np.ndarray:
        """Nothing of the crops is kept."""
        self._bar.close()
        return np.empty(0, np.uint8)
