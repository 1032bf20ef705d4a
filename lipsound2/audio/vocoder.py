"""Vocoders by name: what turns a log-mel-spectrogram into sound."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from lipsound2.audio.griffin_lim import DEFAULT_ITERATIONS, mel_to_sound
from lipsound2.audio.mel import MelConfig
from lipsound2.errors import LipsoundError

Vocoder = Callable[[Tensor], Tensor]


def vocoder(name: str, config: MelConfig) -> Vocoder:
    """Find a vocoder.

    Args:
        name: `griffin-lim`, `griffin-lim:N` with N rounds, or the folder of a trained vocoder.
        config: the mel it is to speak.

    Returns:
        A function from mel (S, bands), or (B, S, bands), natural logarithm, to sound (S * hop,), or (B, S * hop).

    Raises:
        LipsoundError: there is no such vocoder, or this version cannot run it.
    """
    match = re.fullmatch(r"griffin-lim(?::([1-9]\d{0,4}))?", name)
    if match:
        return functools.partial(mel_to_sound, config=config, iterations=int(match.group(1) or DEFAULT_ITERATIONS))
    known = "'griffin-lim', or 'griffin-lim:N' with N rounds"
    if name.startswith("griffin-lim"):
        raise LipsoundError(f"unknown vocoder '{name}'; the number of rounds must be a whole number from 1 on: {known}")
    if Path(name).exists():
        raise LipsoundError(f"{name}: neural vocoders cannot be run by this version; use {known}")
    raise LipsoundError(f"unknown vocoder '{name}'; wanted {known}")
