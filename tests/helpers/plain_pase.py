"""The published PASE+ encoder, plainly: its tensors' names and shapes, and its forward pass step by step.

Names and order of santi-pdp/pase (pase/models/frontend.py, modules.py) and salesforce/pytorch-qrnn (torchqrnn/qrnn.py).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def published_weights() -> dict[str, Tensor]:
    """Random tensors under the names and in the shapes of the published encoder."""
    torch.manual_seed(0)
    channels, kernels = (64, 64, 128, 128, 256, 256, 512, 512), (251, 20, 11, 11, 11, 11, 11, 11)
    state = {"blocks.0.conv.low_hz_": 3000 * torch.rand(64, 1), "blocks.0.conv.band_hz_": 900 * torch.rand(64, 1)}

    def norm(name: str, width: int) -> dict[str, Tensor]:
        mean, var = 0.1 * torch.randn(width), 0.5 + torch.rand(width)
        counter = torch.tensor(7)
        return {f"{name}.running_mean": mean, f"{name}.running_var": var, f"{name}.num_batches_tracked": counter}

    for block, (width, kernel) in enumerate(zip(channels, kernels, strict=True)):
        name = f"blocks.{block}"
        if block:
            inputs = channels[block - 1]
            state[f"{name}.conv.weight"] = torch.randn(width, inputs, kernel) / math.sqrt(inputs * kernel)
            state[f"{name}.conv.bias"] = 0.1 * torch.randn(width)
        state |= {f"{name}.norm.weight": 1 + 0.1 * torch.randn(width), f"{name}.norm.bias": 0.1 * torch.randn(width)}
        state |= norm(f"{name}.norm", width)
        state[f"{name}.act.weight"] = 0.3 * torch.rand(width)
    state |= {f"denseskips.{i}.weight": torch.randn(256, channels[i], 1) / 10 for i in range(7)}
    state |= {"rnn.layers.0.linear.weight": torch.randn(1536, 1024) / 20}
    state |= {"rnn.layers.0.linear.bias": torch.randn(1536) / 10}
    state |= {"W.weight": torch.randn(256, 512, 1) / 20, "W.bias": torch.randn(256) / 10}
    return state | norm("norm_out", 256)


def plain(state: dict[str, Tensor], waveform: Tensor) -> Tensor:
    """The published forward pass on its own tensors, every step as it stands there; (B, 1, L) -> (B, 256, T)."""
    strides = (1, 10, 2, 1, 2, 1, 2, 2)

    def normed(x: Tensor, name: str) -> Tensor:
        scale = [state.get(f"{name}.weight"), state.get(f"{name}.bias")]
        return F.batch_norm(x, state[f"{name}.running_mean"], state[f"{name}.running_var"], *scale)

    low = 50 + state["blocks.0.conv.low_hz_"].abs()
    high = (low + 50 + state["blocks.0.conv.band_hz_"].abs()).clamp(50, 8000)
    times = 2 * math.pi * torch.arange(-125.0, 0.0)[None] / 16000
    window = 0.54 - 0.46 * torch.cos(2 * math.pi * torch.linspace(0, 251 / 2 - 1, 125) / 251)
    left = (torch.sin(high @ times) - torch.sin(low @ times)) / (times / 2) * window
    band = high - low
    filters = torch.cat([left, 2 * band, left.flip(1)], dim=1) / (2 * band)
    h, skips = waveform, []
    for block, stride in enumerate(strides):
        weight = state[f"blocks.{block}.conv.weight"] if block else filters[:, None]
        taps = weight.shape[2]
        reach = (taps // 2 - 1, taps // 2) if stride > 1 or taps % 2 == 0 else (taps // 2, taps // 2)
        h = F.conv1d(F.pad(h, reach, mode="reflect"), weight, state.get(f"blocks.{block}.conv.bias"), stride)
        h = F.prelu(normed(h, f"blocks.{block}.norm"), state[f"blocks.{block}.act.weight"])
        if block < 7:
            skips.append(F.conv1d(h, state[f"denseskips.{block}.weight"]))
    x = h.permute(2, 0, 1)
    both = torch.cat([x, torch.cat([0 * x[:1], x[:-1]])], dim=2)
    z, f, o = F.linear(both, state["rnn.layers.0.linear.weight"], state["rnn.layers.0.linear.bias"]).chunk(3, 2)
    cell, cells = torch.zeros_like(z[0]), []
    for candidate, forget in zip(z.tanh(), f.sigmoid(), strict=True):
        cell = forget * candidate + (1 - forget) * cell
        cells.append(cell)
    y = F.conv1d((o.sigmoid() * torch.stack(cells)).permute(1, 2, 0), state["W.weight"], state["W.bias"])
    for skip in skips:
        factor = skip.shape[2] // y.shape[2]
        y = y + skip[:, :, : y.shape[2] * factor].reshape(*y.shape, factor).mean(3)
    return normed(y, "norm_out")
