"""Vocoders by name: from a log-mel spectrogram of any length to audio."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lipsound2 import experiment, model_names
from lipsound2.audio.griffin_lim import mel_to_waveform
from lipsound2.audio.mel_settings import MelConfig, mel_config, same_mel
from lipsound2.errors import LipsoundError
from lipsound2.inference.vocoder_names import folder_of, iterations_of
from lipsound2.inference.windows import GRIFFIN_LIM_CHUNK, GRIFFIN_LIM_REACH, ChunkedVocoder

if TYPE_CHECKING:
    from lipsound2.models.vocoders.mel_vocoder import MelVocoder


class LoadedVocoder:
    """A vocoder by itself: a mel in, a waveform out. It may be called from several threads.

    Args:
        name: see `vocoder`.
        device: where networks run.

    Attributes:
        name: as it was given.
        mel: settings of the mel it speaks; of Griffin-Lim, those of `fine`.

    Raises:
        LipsoundError: there is no such vocoder.
    """

    def __init__(self, name: str, device: torch.device | str = "cpu") -> None:
        self.name = name
        self._vocoder = vocoder(name, None, device)
        self.mel = self._vocoder.mel

    @property
    def sample_rate(self) -> int:
        """Samples a second of what it makes."""
        return self.mel.sample_rate

    def __call__(self, mel: np.ndarray) -> np.ndarray:
        """Audio of a mel.

        Args:
            mel: (S, bands) float, natural logarithm, such as `Speech.mel`.

        Returns:
            (S * hop,) float32.

        Raises:
            LipsoundError: another shape or type, or values that are no numbers.
        """
        if not isinstance(mel, np.ndarray) or mel.ndim != 2 or mel.dtype.kind != "f":
            found = f"{mel.dtype} of shape {mel.shape}" if isinstance(mel, np.ndarray) else type(mel).__name__
            raise LipsoundError(f"{self.name}: found {found}, wanted a mel (mel frames, {self.mel.bands}) float")
        return self._vocoder.whole(mel.astype(np.float32, copy=False))


def vocoder(name: str, config: MelConfig | None, device: torch.device | str = "cpu") -> ChunkedVocoder:
    """Load a vocoder, for one clip of any length at a time.

    Args:
        name: `griffin-lim`, `griffin-lim:N` with N rounds, the folder of an experiment or pack of the task *vocode*, or
            the name of one.
        config: settings of the mel; None: those it was trained on, of Griffin-Lim those of `fine`.
        device: where networks run.

    Raises:
        LipsoundError: there is no such vocoder, or it was trained on another mel.
    """
    rounds = iterations_of(name)
    if rounds is not None:
        return _griffin_lim(config or mel_config("fine"), rounds)
    folder = folder_of(name)
    assert folder is not None
    from lipsound2.models.vocoders.hifigan import fold_norms
    from lipsound2.tasks.vocode import Vocode

    loaded = experiment.load(folder, device, task=Vocode)
    config = config or loaded.assets.mel
    same_mel(loaded.assets.mel, config, f"the vocoder {name}")
    fold_norms(loaded.model)
    return network_vocoder(loaded.model, config)


def _griffin_lim(config: MelConfig, rounds: int) -> ChunkedVocoder:
    def go_on(mel: np.ndarray, first: int, before: np.ndarray, kept: int) -> np.ndarray:
        prefix = torch.from_numpy(before)
        waveform: np.ndarray = mel_to_waveform(
            torch.from_numpy(mel), config, iterations=rounds, prefix=prefix, num_fixed=kept
        ).numpy()
        return waveform

    return ChunkedVocoder(config, go_on, GRIFFIN_LIM_REACH, GRIFFIN_LIM_CHUNK)


def network_vocoder(model: MelVocoder, config: MelConfig) -> ChunkedVocoder:
    """The vocoder that a network is, on the device that it is on.

    Args:
        model: in evaluation mode.
        config: settings of its mel.
    """
    device = next(model.parameters()).device

    @torch.inference_mode()
    def stretch(mel: np.ndarray, first: int, before: np.ndarray, kept: int) -> np.ndarray:
        waveform: np.ndarray = model.piece(torch.from_numpy(mel)[None].to(device), first)[0].float().cpu().numpy()
        return waveform

    return ChunkedVocoder(config, stretch, model.receptive_field)


def inputs(name: str) -> list[Path]:
    """The files of a vocoder, for fingerprints; none for Griffin-Lim."""
    folder = folder_of(name)
    return [folder / model_names.WEIGHTS, folder / model_names.CONFIG] if folder else []
