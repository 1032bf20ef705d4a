"""A trained lip-to-speech model and its vocoder in torch, as `speak` uses them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lipsound2 import experiment
from lipsound2.audio.mel_settings import fit_frames
from lipsound2.experiment import Experiment
from lipsound2.inference.face_watch import FaceWatch
from lipsound2.inference.vocoder_names import AUTO, vocoder_of
from lipsound2.inference.vocoders import vocoder as find_vocoder
from lipsound2.inference.windows import Windows
from lipsound2.tasks.regress import Regress


class TorchLipToSpeech:
    """Crops to speech; see `synthesizer.LipToSpeech`.

    Args:
        loaded: experiment or pack of the task *regress*.
        vocoder: see `vocoders.vocoder`; `auto`: the one that the pack asks for, else Griffin-Lim.

    Raises:
        LipsoundError: the model predicts no mel, or there is no such vocoder for it.
    """

    def __init__(self, loaded: Experiment[Regress], vocoder: str = AUTO) -> None:
        self._loaded = loaded
        self.name, self.knows = loaded.path.name, loaded.knows
        self.region = loaded.task.settings.input
        self.mel = loaded.assets.mel
        self.vocoder = vocoder_of(vocoder, loaded.path)
        self.chunked_vocoder = find_vocoder(self.vocoder, self.mel, loaded.device)
        self.takes_voice = loaded.task.voiced
        self._face = FaceWatch(loaded).face

    def windows(self, total: int, voice: np.ndarray | None = None) -> Windows:
        """Mel of a clip of `total` crops, which come one after the other."""
        self._face.begin()
        return windows_of(self._loaded, total, voice)

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt the speech of the last clip."""
        return self._face.warnings


def load_lip_to_speech(model: Path | str, vocoder: str = AUTO, device: torch.device | str = "cpu") -> TorchLipToSpeech:
    """Load a lip-to-speech model with its vocoder.

    Args:
        model: experiment or pack of the task *regress*, or the name of one.
        vocoder: see `TorchLipToSpeech`.
        device: where the networks run.

    Raises:
        LipsoundError: there is none of this name, or the vocoder does not fit.
    """
    return TorchLipToSpeech(experiment.load(model, device, task=Regress), vocoder)


def windows_of(loaded: Experiment[Regress], total: int, voice: np.ndarray | None = None) -> Windows:
    """The windows that make the mel of a clip of `total` crops, which come one after the other.

    Args:
        loaded: the model.
        total: number of crops.
        voice: (dims,) float32 speaker embedding, of a model that takes one; None: its average voice.
    """
    device, assets = loaded.device, loaded.assets
    voices = [] if voice is None else [torch.from_numpy(voice)[None].to(device)]

    def speak(window: np.ndarray) -> np.ndarray:
        piece = torch.from_numpy(window)[None].to(device)
        result = loaded.model.generate(piece, torch.tensor([piece.shape[1]], device=device), *voices)
        mel: np.ndarray = result.features[0, : int(result.feature_lengths[0])].float().cpu().numpy()
        # A model that chooses where speech ends is silent from there on.
        return fit_frames(mel, int(len(window) * assets.ratio), assets.mel.silence)

    return Windows(total, assets.ratio, assets.mel.bands, speak)
