"""The log-mels of `mel`, for one clip and without torch: what exported recognizers of audio hear. `mel` tells why."""

from __future__ import annotations

import numpy as np

from lipsound2.audio.mel_settings import SPEECH, MelConfig, frames_of, mel_filters
from lipsound2.errors import LipsoundError

_SILENT_POWER = 1e-18


def mel_spectrogram(waveform: np.ndarray, config: MelConfig) -> np.ndarray:
    """Log-mel-spectrogram (S, bands) float32 of audio (samples,), `config.shortest` samples or more."""
    turns = np.arange(config.window) / config.window
    padded = np.pad(waveform.astype(np.float64), config.overhang, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, config.window)[:: config.hop]
    frames = frames[: frames_of(len(waveform), config)] * (0.5 - 0.5 * np.cos(2 * np.pi * turns))
    spectrum = np.fft.rfft(frames, n=config.n_fft)
    magnitude = np.sqrt(np.maximum(spectrum.real**2 + spectrum.imag**2, _SILENT_POWER))
    mel: np.ndarray = np.log(np.maximum(magnitude @ mel_filters(config).T, config.floor)).astype(np.float32)
    return mel


def speech_features(waveform: np.ndarray) -> np.ndarray:
    """Log-mels (S, bands) float32 for a recognizer, every band with mean 0 and variance 1 over the utterance.

    Raises:
        LipsoundError: the audio is shorter than one window.
    """
    if len(waveform) < SPEECH.shortest:
        raise LipsoundError(f"the audio: {len(waveform)} samples of audio, at least {SPEECH.shortest} wanted")
    mel = mel_spectrogram(waveform, SPEECH)
    normal: np.ndarray = (mel - mel.mean(0)) / (mel.std(0) + np.float32(1e-3))
    return normal
