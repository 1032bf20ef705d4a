"""LR-ASD: which face speaks (Liao et al., "LR-ASD: Lightweight and robust network for active speaker detection", IJCV
2025), with the published weights, which a user names.

It sees gray faces and hears cepstra, both through factored convolutions: two across the image or the coefficients, then
two over time. A gate weighs the joined vectors, two GRUs carry them over time, and a linear layer decides. For lips
without audio, another linear layer decides. The score tells who speaks, not whether lips and audio are in time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.models.state_dict import COUNTER, fitted, read_state_dict

SIDE = 112  # pixels of a face
CEPSTRA, STEPS = 13, 4  # of the audio: coefficients, and steps of 10 ms a video frame
_DIMS = 128  # of a video frame, seen or heard
_MEAN, _DEVIATION = 0.4161, 0.1688  # of faces, from black 0 to white 1
_WIDTHS = ((1, 32), (32, 64), (64, _DIMS))
_EPSILON = 1e-3
_AT_ONCE, _REACH = 50, 9  # video frames that are computed together, and that one of them depends on to each side
_WHAT = "such a file holds LR-ASD's weights, as published"
# What the published modules are called there, and here.
_NAMES = (
    (r"^model\.(visual|audio)Encoder\.block(\d)\.", lambda found: f"{found[1]}.{int(found[2]) - 1}."),
    (r"\.[sm]_(norm_)?(\d)\.", lambda found: f".{int(found[2]) - 1}.{1 if found[1] else 0}."),
    (r"\.t_(norm_)?(\d)\.", lambda found: f".{int(found[2]) + 1}.{1 if found[1] else 0}."),
    (r"^model\.fusion\.", lambda found: "joined."),
    (r"^model\.detector\.attention\.", lambda found: "carried."),
    (r"^model\.detector\.gru_(for|back)ward\.", lambda found: {"for": "onward.", "back": "backward."}[found[1]]),
    (r"^(joined|carried)\.attention\.", lambda found: f"{found[1]}.weigh."),
    (r"^(joined|carried)\.bn\.", lambda found: f"{found[1]}.norm."),
    (r"^lossAV\.FC\.", lambda found: "speaks."),
    (r"^lossV\.FC\.", lambda found: "lips_speak."),
)


class ActiveSpeakerDetector(nn.Module):
    """The network with its weights, ready for use; nothing trains it here."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.ModuleList(
            _block(inputs, outputs, video=True, stride=1 if number else 2)
            for number, (inputs, outputs) in enumerate(_WIDTHS)
        )
        self.audio = nn.ModuleList(_block(inputs, outputs, video=False) for inputs, outputs in _WIDTHS)
        self.joined = _Gate(2 * _DIMS)
        self.onward = nn.GRU(2 * _DIMS, _DIMS // 2, batch_first=True)
        self.backward = nn.GRU(2 * _DIMS, _DIMS // 2, batch_first=True)
        self.carried = _Gate(_DIMS)
        self.speaks, self.lips_speak = nn.Linear(_DIMS, 2), nn.Linear(_DIMS, 2)

    @torch.inference_mode()
    def see(self, faces: Tensor) -> Tensor:
        """Vectors (T, 128) of one face over time, (T, 112, 112) uint8 gray."""
        return _in_stretches(self._see, faces, 1)

    @torch.inference_mode()
    def scores(self, seen: Tensor, cepstra: Tensor | None) -> Tensor:
        """How much a face looks like the one who speaks, in each video frame: (T,); above 0 it does.

        Args:
            seen: (T, 128) of `see`, T > 0.
            cepstra: (4 T, 13) float32 of the audio beside it, MFCC of steps of 10 ms; None: the lips alone decide.
        """
        if cepstra is None:
            alone: Tensor = self.lips_speak(seen)
            return alone[:, 1]
        states = self.joined(torch.cat([_in_stretches(self._hear, cepstra, STEPS), seen], 1).T[None]).transpose(1, 2)
        onward, _ = self.onward(states)
        backward, _ = self.backward(states.flip(1))
        carried = self.carried(torch.cat([onward, backward.flip(1)], 2).transpose(1, 2))
        decided: Tensor = self.speaks(carried[0].T)
        return decided[:, 1]

    def _see(self, faces: Tensor) -> Tensor:
        states = (faces.float()[None, None] / 255 - _MEAN) / _DEVIATION
        for number, block in enumerate(self.visual):
            if number:
                states = F.max_pool3d(states, (1, 3, 3), (1, 2, 2), (0, 1, 1))
            states = block(states)
        return states[0].amax((2, 3)).T

    def _hear(self, cepstra: Tensor) -> Tensor:
        states = cepstra.T[None, None]
        for number, block in enumerate(self.audio):
            if number:
                states = F.max_pool2d(states, (1, 3), (1, 2), (0, 1))
            states = block(states)
        return states[0].mean(1).T


def load_detector(file: Path) -> ActiveSpeakerDetector:
    """The network with the published weights of a file, read as plain tensors.

    Raises:
        LipsoundError: it cannot be read, or holds something else.
    """
    state, named = {}, {}
    for theirs, tensor in read_state_dict(file).items():
        ours = theirs
        for pattern, name in _NAMES:
            ours = re.sub(pattern, name, ours)
        state[ours], named[ours] = tensor, theirs
    network = ActiveSpeakerDetector()
    state = {name: tensor for name, tensor in state.items() if not name.endswith(COUNTER)}
    network.load_state_dict(fitted(state, network, str(file), _WHAT, named))
    return network.eval()


def _block(inputs: int, outputs: int, *, video: bool, stride: int = 1) -> nn.Sequential:
    """Four convolutions, each normalized and rectified; time keeps its length.

    Args:
        inputs: channels.
        outputs: channels.
        video: of (B, C, T, H, W); else of (B, C, coefficients, steps).
        stride: of the first one, across the image.
    """
    layers = []
    half = outputs // 2
    for number, (wide, narrow, size) in enumerate(
        [(inputs, half, 5), (half, outputs, 3), (outputs, outputs, 5), (outputs, outputs, 3)]
    ):
        over_time = number > 1
        if video:
            kernel = (size, 1, 1) if over_time else (1, size, size)
            places = (size // 2, 0, 0) if over_time else (0, size // 2, size // 2)
            steps = (1, 1, 1) if number else (1, stride, stride)
            layer: nn.Module = nn.Conv3d(wide, narrow, kernel, steps, places, bias=False)
            norm: nn.Module = nn.BatchNorm3d(narrow, eps=_EPSILON)
        else:
            flat = (1, size) if over_time else (size, 1)
            layer = nn.Conv2d(wide, narrow, flat, 1, (flat[0] // 2, flat[1] // 2), bias=False)
            norm = nn.BatchNorm2d(narrow, eps=_EPSILON)
        layers.append(nn.Sequential(layer, norm, nn.ReLU(inplace=True)))
    return nn.Sequential(*layers)


class _Gate(nn.Module):
    """Weighs each dimension of (B, D, T) by all of them, from 0 to 1."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.weigh = nn.Conv1d(dims, dims, 1, bias=False)
        self.norm = nn.BatchNorm1d(dims, eps=_EPSILON)

    def forward(self, states: Tensor) -> Tensor:
        weights: Tensor = torch.sigmoid(self.norm(self.weigh(states)))
        return states * weights


def _in_stretches(encode: Callable[[Tensor], Tensor], items: Tensor, steps: int) -> Tensor:
    """What an encoder makes of all items at once, with the memory of a stretch: each is seen with its surroundings.

    Args:
        encode: (steps * n, ...) -> (n, 128).
        items: (steps * T, ...).
        steps: items a video frame.
    """
    total, found = len(items) // steps, []
    for first in range(0, total, _AT_ONCE):
        begin, end = max(0, first - _REACH), min(total, first + _AT_ONCE + _REACH)
        vectors = encode(items[begin * steps : end * steps])
        found.append(vectors[first - begin : first - begin + _AT_ONCE])
    return torch.cat(found)
