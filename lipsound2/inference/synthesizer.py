"""Speech of clips, one after the other: models are loaded once, and memory does not grow with the length of a clip.

Torch is not imported here: exported networks run without it.
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
from lipsound2.video.cropper import Cropper, CropReport

BUDGET = 1 << 27  # bytes of memory for video frames; a clip that needs more is decoded twice
Detect = Literal["mediapipe", "dlib"]
FaceChoice = Literal["largest", "left", "right", "center"]
Take = Callable[[np.ndarray], object]


class LipToSpeech(Protocol):
    """A lip-to-speech model with its vocoder.

    Attributes:
        name: of the model.
        knows: voices and words it knows.
        region: feature type of its crops, such as mouth.
        mel: settings of the mel it predicts.
        chunked_vocoder: its vocoder.
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
    """Facts about a clip that was spoken.

    Attributes:
        report: what was found in the video.
        start: time of the first video frame on the clip's own clock, seconds.
        seconds: length of the clip.
        spent: crops, model, vocoder -> seconds of computing.
    """

    report: CropReport
    start: float
    seconds: float
    spent: dict[str, float]


class Synthesizer:
    """Speaks the faces in videos: loaded once, called for each clip.

    Args:
        model: lip-to-speech model.
        detector: face detector.
        face: which face, where there are several.
    """

    def __init__(self, model: LipToSpeech, *, detector: Detect = "mediapipe", face: FaceChoice = "largest") -> None:
        self.model = model
        self._cropper = Cropper((model.region,), detector=detector, which_face=face, budget=BUDGET)

    def __call__(self, clip: Path, take: Take) -> SynthesisResult:
        """Speak one clip.

        Args:
            clip: video file, of any length.
            take: called with the speech as it is made, (samples,) float32 at the rate of the model's mel; together as
                long as the video.

        Raises:
            ClipFailure: the clip cannot be spoken; discard what `take` was given before.
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
    """Makes the speech of one clip as its crops come.

    Args:
        model: lip-to-speech model.
        total: number of crops that will come.
        take: called with the speech.

    Attributes:
        model: seconds of computing of the network.
        vocoder: seconds of computing of the vocoder.
    """

    def __init__(self, model: LipToSpeech, total: int, take: Take) -> None:
        self._windows = model.windows(total)
        self._vocoder = VocoderStream(model.chunked_vocoder, self._windows.num_frames)
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
            waveform = self._vocoder.add(mel)
            self.vocoder += time.perf_counter() - shown
            self._take(waveform)
        self._bar.update()

    def whole(self) -> np.ndarray:
        """The crops, none of which are kept: (0,)."""
        self._bar.close()
        return np.empty(0, np.uint8)
