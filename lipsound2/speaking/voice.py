"""A trained lip-to-speech model and its vocoder, as `speak` uses them, in torch."""

from __future__ import annotations

import numpy as np
import torch

from lipsound2.experiment import Experiment
from lipsound2.speaking.vocoding import vocoder as find_vocoder
from lipsound2.speaking.windows import over_windows


class TrainedVoice:
    """Crops to speech; see `speak.Voice`.

    Args:
        loaded: experiment or pack of the task *regress*.
        vocoder: see `vocoding.vocoder`.

    Raises:
        LipsoundError: the model predicts no mel, or there is no such vocoder for it.
    """

    def __init__(self, loaded: Experiment, vocoder: str = "griffin-lim") -> None:
        self._loaded = loaded
        self.name, self.knows = loaded.path.name, loaded.knows
        self.region: str = loaded.task.settings.input
        self.mel = loaded.task.mel
        self._vocoder = find_vocoder(vocoder, self.mel, next(loaded.model.parameters()).device)

    def generate(self, pictures: np.ndarray) -> np.ndarray:
        """Natural mel (S, bands) of crops (T, H, W) of any length."""
        return generate_long(self._loaded, pictures)

    def sound(self, mel: np.ndarray) -> np.ndarray:
        """(S * hop,) float32 of a mel (S, bands)."""
        spoken: np.ndarray = self._vocoder(torch.from_numpy(mel)).cpu().numpy()
        return spoken


def generate_long(loaded: Experiment, pictures: np.ndarray) -> np.ndarray:
    """Natural mel (S, bands) of crops (T, H, W) of any length; see `windows.over_windows`."""
    device = next(loaded.model.parameters()).device

    def speak(window: np.ndarray) -> np.ndarray:
        piece = torch.from_numpy(np.ascontiguousarray(window))[None].to(device)
        result = loaded.model.generate(piece, torch.tensor([piece.shape[1]], device=device))  # type: ignore[operator]
        mel: np.ndarray = result.features[0, : int(result.frames[0])].float().cpu().numpy()
        return mel

    return over_windows(pictures, loaded.task.ratio, loaded.task.mel.bands, speak)
