"""DNSMOS: mean opinion scores of speech, predicted by Microsoft's networks (Reddy et al., 2021 and 2022).

The package speechmos (MIT) carries the networks. Its own code imports librosa, and with it a compiler, for one
spectrogram. Here numpy computes that spectrogram; everything else is the same. The two agree to 1e-6.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lipsound2.audio.mel_settings import slaney_filters
from lipsound2.errors import require
from lipsound2.metrics.requested import Request, Scorer
from lipsound2.timing import SAMPLE_RATE

_WINDOW = int(9.01 * SAMPLE_RATE)  # input of the networks, in samples
_POINTS, _HOP, _BANDS = 321, 160, 120  # of the spectrogram
_RANGE_DB = 80.0  # a spectrogram is clipped at this far below its maximum
# Rows: signal, background, overall. Polynomials from the network's output to the opinion scale, from the power 2 down.
_SCALE = np.array(
    [
        [-0.08397278, 1.22083953, 0.0052439],
        [-0.13166888, 1.60915514, -0.39604546],
        [-0.06766283, 1.11546468, 0.04602535],
    ]
)


def scorer(request: Request) -> Scorer:
    """The scorer; see `requested`."""
    runtime = require("onnxruntime", "dnsmos")
    folder = Path(str(require("speechmos", "dnsmos").__file__)).parent / "dnsmos_models"
    quality, p808 = (session(runtime, folder / f"{name}.onnx") for name in ("sig_bak_ovr", "model_v8"))

    def compute(id: str, speech: np.ndarray, reference: np.ndarray) -> dict[str, float]:
        found = []
        for window in windows(np.clip(speech, -1, 1)):
            raw = quality.run(None, {"input_1": window[None].astype(np.float32)})[0][0].astype(np.float64)
            seen = spectrogram(window[:-_HOP])[None].astype(np.float32)
            overall = float(np.polyval(_SCALE[2], raw[2]))
            found.append((overall, float(p808.run(None, {"input_1": seen})[0][0, 0])))
        overall, by_p808 = np.mean(found, axis=0).tolist()
        return {"dnsmos": overall, "dnsmos_p808": by_p808}

    return compute


def session(runtime: Any, path: Path) -> Any:
    """A network in one thread: clips are spread over processes."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def windows(speech: np.ndarray) -> Iterator[np.ndarray]:
    """Windows (`_WINDOW`,) of speech (N,), one a second; short speech is doubled until it is long enough.

    Where N is 0 there are none.
    """
    while 0 < len(speech) < _WINDOW:
        speech = np.concatenate([speech, speech])
    for second in range(int(len(speech) // SAMPLE_RATE - _WINDOW / SAMPLE_RATE) + 1):
        window = speech[second * SAMPLE_RATE : second * SAMPLE_RATE + _WINDOW]
        if len(window) == _WINDOW:
            yield window


def spectrogram(waveform: np.ndarray) -> np.ndarray:
    """(frames, 120) decibels below the maximum, scaled to -1 ... 1, of audio (N,); frames are centered."""
    padded = np.pad(waveform, _POINTS // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _POINTS)[::_HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_POINTS) / _POINTS)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    mel = power @ slaney_filters(np.fft.rfftfreq(_POINTS, 1 / SAMPLE_RATE), _BANDS, 0, SAMPLE_RATE / 2).T
    level = 10 * np.log10(np.maximum(mel, 1e-10))
    level -= 10 * np.log10(max(mel.max(), 1e-10))
    return (np.maximum(level, level.max() - _RANGE_DB) + 40) / 40
