"""Clips longer than a window through a lip reader's encoder: memory does not grow with the square of their length."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from lipsound2.inference.windows import READER_WINDOW, TRUNK_CHUNK, chunks, reader_windows
from lipsound2.models.asr.recognizer import Encoder
from lipsound2.models.modules.lip_encoder import LipEncoder
from lipsound2.models.modules.lip_trunk import LipTrunk


def is_long(encoder: Encoder, clip: np.ndarray) -> bool:
    """Whether a clip (T, ...) is taken in windows; audio never is."""
    return isinstance(encoder, LipEncoder) and len(clip) > READER_WINDOW


def long_states(encoder: Encoder, clip: np.ndarray, device: torch.device) -> Iterator[Tensor]:
    """States of a clip of any length, as the windows keep them.

    The trunk is run once on every video frame, in chunks with all that it depends on. The Conformer takes windows that
    overlap: attention there sees a window, and not the whole clip.

    Args:
        encoder: of lips, in evaluation mode.
        clip: crops (T, H, W) uint8, or a trunk's states (T, inputs) float32.
        device: where the encoder is.

    Yields:
        (n, width), in order; T in all.
    """
    assert isinstance(encoder, LipEncoder)
    if encoder.trunk is None:
        seen = torch.from_numpy(np.ascontiguousarray(clip)).to(device)
    else:
        seen = torch.cat([*_trunk_states(encoder.trunk, clip, device)])
    for window, kept in reader_windows(len(clip)):
        part = seen[None, window]
        yield encoder.behind_trunk(part, torch.tensor([part.shape[1]], device=device))[0, kept]


def _trunk_states(trunk: LipTrunk, clip: np.ndarray, device: torch.device) -> Iterator[Tensor]:
    """(n, outputs) of a chunk of crops (T, H, W); its first convolution sees some video frames to either side.

    Chunks are alike in size: an unlike face is read by the statistics of a chunk, which a short one would not have.
    """
    size = math.ceil(len(clip) / max(1, len(clip) // TRUNK_CHUNK))
    for _, seen, own in chunks(len(clip), trunk.config.trunk_context // 2, size):
        crops = torch.from_numpy(np.ascontiguousarray(clip[seen]))[None].to(device)
        yield trunk(crops, torch.tensor([crops.shape[1]], device=device))[0, own]
