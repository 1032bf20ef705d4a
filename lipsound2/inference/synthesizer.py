"""Speech of clips, one after the other: models are loaded once, and memory does not grow with the length of a clip.

Torch is not imported here: exported networks run without it.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from tqdm import tqdm

from lipsound2.audio.mel_settings import MelConfig
from lipsound2.audio.waveform_buffer import WaveformBuffer
from lipsound2.audio.writing import Spool
from lipsound2.errors import LipsoundError
from lipsound2.inference.speech import ClipVideo, Speech
from lipsound2.inference.windows import ChunkedVocoder, VocoderStream, Windows
from lipsound2.timing import FRAME_RATE
from lipsound2.video.cropper import Cropper
from lipsound2.video.detect import DEFAULT_DETECTOR, DetectorName
from lipsound2.video.frame_arrays import check_clip

BUDGET = 1 << 27  # bytes of memory for video frames; a clip that needs more is decoded twice
FaceChoice = Literal["largest", "left", "right", "center", "speaking"]


class LipToSpeech(Protocol):
    """A lip-to-speech model with its vocoder.

    Attributes:
        name: of the model.
        knows: voices and words it knows.
        region: feature type of its crops, such as mouth.
        mel: settings of the mel it predicts.
        takes_voice: whether it speaks in a voice that is chosen.
        vocoder: name of its vocoder, as `--vocoder` takes it, or of its file.
        chunked_vocoder: its vocoder.
    """

    name: str
    knows: str
    region: str
    mel: MelConfig
    takes_voice: bool
    vocoder: str

    @property
    def chunked_vocoder(self) -> ChunkedVocoder: ...

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt the speech of the last clip, a line each."""
        ...

    def windows(self, total: int, voice: np.ndarray | None = None) -> Windows:
        """Mel of a clip of `total` crops (H, W) uint8, which come one after the other, in the voice of a speaker
        embedding (dims,)."""
        ...


class Synthesizer:
    """Speaks the faces in videos: loaded once, called for each clip.

    It may be called from several threads: they take turns, because the detector follows one face at a time. Threads
    that shall work at the same time have a synthesizer each.

    Args:
        model: lip-to-speech model.
        detector: face detector.
        face: which face, where there are several.
        asd: with the face `speaking`: file of LR-ASD's weights.
        voice_encoder: file of the weights that make an embedding of a reference; see `speaker_embedding.find_weights`.

    Attributes:
        name: of the model.
        knows: voices and words it knows.
        vocoder: name of its vocoder.
        sample_rate: of its speech, samples a second.
        progress: whether a terminal shows how far a long clip is; not so beside a line about many clips.
    """

    def __init__(
        self,
        model: LipToSpeech,
        *,
        detector: DetectorName = DEFAULT_DETECTOR,
        face: FaceChoice = "largest",
        asd: Path | None = None,
        voice_encoder: Path | None = None,
    ) -> None:
        self._model = model
        self._voice_encoder = voice_encoder
        self.name, self.knows, self.vocoder = model.name, model.knows, model.vocoder
        self.sample_rate = model.mel.sample_rate
        self._cropper = Cropper((model.region,), detector=detector, which_face=face, asd=asd, budget=BUDGET)
        self._lock = threading.Lock()
        self.progress = True

    def voice_of(self, reference: Path | str | np.ndarray) -> np.ndarray:
        """The speaker embedding (256,) float32 of a reference, to speak many clips in that voice.

        Args:
            reference: audio or video file with one voice, a second or longer; or an embedding already.

        Raises:
            LipsoundError: the model takes no voice, the weights of the speaker encoder are missing, or the reference is
                too short or silent.
        """
        if not self._model.takes_voice:
            raise LipsoundError(
                f"{self.name}: was trained without voices, so it speaks in no other; leave the voice out, or use a "
                "model with 'speaker: embedding'"
            )
        from lipsound2.audio.speaker_embedding import SpeakerEmbedder, as_embedding

        if isinstance(reference, np.ndarray):
            return as_embedding(reference, "voice")
        if not Path(reference).is_file():
            raise LipsoundError(f"{reference}: no such file; wanted a recording of the voice to speak in")
        return SpeakerEmbedder(self._voice_encoder).of_file(Path(reference))

    def __call__(
        self,
        clip: Path | str | np.ndarray,
        *,
        fps: float | None = None,
        landmarks: np.ndarray | None = None,
        voice: Path | str | np.ndarray | None = None,
    ) -> Speech:
        """Speak one clip.

        Args:
            clip: video file, of any length, frame rate and rotation; or frames (T, H, W, 3) RGB or (T, H, W)
                full-range gray, uint8.
            fps: of frames, frames a second; a file has its own clock.
            landmarks: (T, 137) float32 at 25 frames a second, as `Crops.landmarks`, given instead of detected.
            voice: see `voice_of`; None: the voice of the model, on average if it was trained with several.

        Raises:
            ClipFailure: the clip cannot be spoken: unreadable, too short, without a face, ...
            LipsoundError: what was given is no clip: another type, shape or rate; or these are no landmarks.
        """
        check_clip(clip, fps, landmarks)
        embedding = None if voice is None else self.voice_of(voice)
        with self._lock:
            started = time.perf_counter()
            streams: list[_ClipSynthesis] = []

            def store(shape: tuple[int, int, int]) -> _ClipSynthesis:
                streams.append(_ClipSynthesis(self._model, shape[0], embedding, progress=self.progress))
                return streams[0]

            crops = self._cropper(clip, landmarks, store, fps or FRAME_RATE)
            (made,) = streams
            spent = {"crops": time.perf_counter() - started - made.model - made.vocoder}
            spent |= {"model": made.model, "vocoder": made.vocoder}
            return Speech(
                clip=None if isinstance(clip, np.ndarray) else Path(clip),
                model=(self.name, self.knows),
                video=ClipVideo.of(crops),
                audio=made.audio,
                mels=made.mels,
                bands=self._model.mel.bands,
                spent=spent,
                warnings=self._model.warnings,
            )


class _ClipSynthesis:
    """Makes the speech of one clip as its crops come.

    Args:
        model: lip-to-speech model.
        total: number of crops that will come.
        voice: speaker embedding; None: the voice of the model.
        progress: see `Synthesizer`.

    Attributes:
        audio: the speech so far.
        mels: the mel so far, one mel frame behind the other.
        model: seconds of computing of the network.
        vocoder: seconds of computing of the vocoder.
    """

    def __init__(self, model: LipToSpeech, total: int, voice: np.ndarray | None, *, progress: bool) -> None:
        self._windows = model.windows(total, voice)
        self._vocoder = VocoderStream(model.chunked_vocoder, self._windows.num_frames)
        self.audio, self.mels = Spool(model.mel.sample_rate), WaveformBuffer()
        hidden = None if progress else True  # None: shown on a terminal alone
        self._bar = tqdm(total=total, desc="speak", unit="frame", disable=hidden, leave=False, delay=5)
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
            self.audio.add(waveform)
            self.mels.add(mel.reshape(-1))
        self._bar.update()

    def whole(self) -> np.ndarray:
        """The crops, none of which are kept: (0,)."""
        self._bar.close()
        return np.empty(0, np.uint8)
