"""Time-aligned STOI and ESTOI: of speech that was shifted, as a whole, until it fits its reference best.

Where the audio of a recording lags its video, speech made from the video has another time than the reference. STOI and
ESTOI fall steeply then, whatever was said: a recording of GRID against itself, shifted by 20 ms, has an ESTOI of 0.39.
A front-end that aligns the two is that of Niu and Mak, "On the Audio-visual Synchronization for Lip-to-Speech
Synthesis", ICCV 2023. Their shift is estimated otherwise, so numbers compare within one table.
"""

from __future__ import annotations

import numpy as np
import torch

from lipsound2.audio.lag import LARGEST, lag
from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.errors import ClipFailure
from lipsound2.metrics.requested import Request, Scorer
from lipsound2.metrics.speech import pystoi
from lipsound2.timing import SAMPLE_RATE

_MEL = MELS["fine"]


def scorer(request: Request) -> Scorer:
    """The scorer; see `requested`."""

    def compute(id: str, speech: np.ndarray, reference: np.ndarray) -> dict[str, float]:
        if len(reference) < _MEL.shortest:
            raise ClipFailure("too-short", "less than a mel frame")
        moved = aligned(speech, reference)
        return {
            "stoi_aligned": pystoi(reference, moved, SAMPLE_RATE, extended=False),
            "estoi_aligned": pystoi(reference, moved, SAMPLE_RATE, extended=True),
        }

    return compute


def aligned(speech: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Speech shifted as a whole by up to 0.1 s to where its log-mel fits that of the reference best.

    Args:
        speech: (N,) float, 16 kHz.
        reference: (N,) float, 16 kHz.

    Returns:
        (N,), zeros where the speech was shifted from.
    """
    true, generated = (
        mel_spectrogram(torch.from_numpy(np.asarray(each, np.float32)), _MEL).numpy() for each in (reference, speech)
    )
    late = round(lag(true, generated, round(LARGEST * _MEL.sample_rate / _MEL.hop)).rows * _MEL.hop)
    moved = np.zeros_like(speech)
    if late >= 0:
        moved[late:] = speech[: len(speech) - late]
    else:
        moved[:late] = speech[-late:]
    return moved
