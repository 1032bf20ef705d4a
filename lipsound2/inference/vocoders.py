"""Vocoders by name: from a log-mel spectrogram of any length to audio."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lipsound2 import experiment, model_names
from lipsound2.audio.griffin_lim import mel_to_waveform
from lipsound2.audio.mel_settings import MelConfig, check_spoken, mel_config, same_mel
from lipsound2.errors import LipsoundError
from lipsound2.inference.vocoder_names import folder_of, iterations_of
from lipsound2.inference.windows import GRIFFIN_LIM_CHUNK, GRIFFIN_LIM_REACH, ChunkedVocoder, chunks

if TYPE_CHECKING:
    from lipsound2.models.vocoders.mel_vocoder import MelVocoder

Vocoder = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FoundVocoder:
    """A vocoder that was loaded by its name. It maps a whole mel (S, bands), or (B, S, bands), natural logarithm, to
    audio (S * hop,), or (B, S * hop).

    Attributes:
        config: settings of its mel.
        speak: function from checked mels to audio.
        chunked_vocoder: the same vocoder for one clip of any length, whose mel comes in chunks.
    """

    config: MelConfig
    speak: Vocoder
    chunked_vocoder: ChunkedVocoder

    def __call__(self, mel: Tensor) -> Tensor:
        """Audio of a mel.

        Raises:
            LipsoundError: it has no mel frames, another number of bands, or values that are not finite.
        """
        check_spoken(mel.shape, int((~torch.isfinite(mel)).sum()), self.config)
        return self.speak(mel)


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
        self._found = vocoder(name, None, device)
        self.mel = self._found.config

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
        return self._found.chunked_vocoder.whole(mel.astype(np.float32, copy=False))


def vocoder(name: str, config: MelConfig | None, device: torch.device | str = "cpu") -> FoundVocoder:
    """Load a vocoder.

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
        config = config or mel_config("fine")
        speak = functools.partial(mel_to_waveform, config=config, iterations=rounds)

        def go_on(mel: np.ndarray, first: int, before: np.ndarray, kept: int) -> np.ndarray:
            waveform: np.ndarray = speak(torch.from_numpy(mel), prefix=torch.from_numpy(before), num_fixed=kept).numpy()
            return waveform

        return FoundVocoder(config, speak, ChunkedVocoder(config, go_on, GRIFFIN_LIM_REACH, GRIFFIN_LIM_CHUNK))
    folder = folder_of(name)
    assert folder is not None
    from lipsound2.models.vocoders.hifigan import fold_norms
    from lipsound2.tasks.vocode import Vocode

    loaded = experiment.load(folder, device, task=Vocode)
    config = config or loaded.assets.mel
    same_mel(loaded.assets.mel, config, f"the vocoder {name}")
    fold_norms(loaded.model)
    model = loaded.model

    @torch.inference_mode()
    def stretch(mel: np.ndarray, first: int, before: np.ndarray, kept: int) -> np.ndarray:
        waveform: np.ndarray = model(torch.from_numpy(mel)[None].to(device), first)[0].float().cpu().numpy()
        return waveform

    return FoundVocoder(
        config, functools.partial(speak_long, model, config), ChunkedVocoder(config, stretch, model.receptive_field)
    )


def inputs(name: str) -> list[Path]:
    """The files of a vocoder, for fingerprints; none for Griffin-Lim."""
    folder = folder_of(name)
    return [folder / model_names.WEIGHTS, folder / model_names.CONFIG] if folder else []


@torch.inference_mode()
def speak_long(model: MelVocoder, config: MelConfig, mel: Tensor, chunk: int = 0) -> Tensor:
    """Audio of mels by a network, chunk by chunk: each chunk gets all mel frames that its samples depend on.

    Args:
        model: in evaluation mode.
        config: settings of its mel.
        mel: (S, bands) or (B, S, bands), natural logarithm.
        chunk: mel frames of a chunk; 0: `windows.CHUNK`.

    Returns:
        (S * hop,) or (B, S * hop) float32, on the CPU.
    """
    device, hop, frames = next(model.parameters()).device, config.hop, mel.shape[-2]
    flat = mel.reshape(-1, frames, mel.shape[-1]).float()
    waveform = torch.empty(len(flat), frames * hop)
    for spoken, seen, own in chunks(frames, model.receptive_field, chunk):
        piece = model(flat[:, seen].to(device), seen.start)
        waveform[:, spoken.start * hop : spoken.stop * hop] = piece[:, own.start * hop : own.stop * hop]
    return waveform.reshape(*mel.shape[:-2], frames * hop)
