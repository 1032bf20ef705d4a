"""LipSound2's decoder: prenet, attention LSTM with location-aware attention, decoder LSTM, projection; and the postnet.

Two ways through the same weights. `Decoder.forward` is given all inputs: prenet, decoder LSTM and projection are
computed for all steps at once, only the attention loop steps. `Decoder.generate` feeds back its own output. State is a
local of either, never kept on the module.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsound2.models.modules.layers import MaskedBatchNorm, lstm_cell, packed, run_lstm, xavier
from lipsound2.models.tacotron import attention_loop as loop
from lipsound2.models.tacotron.attention import LocationAttention

_REST = 3  # steps in a row that the attention is at the visual period before a clip ends: one may be chance


class Decoded(NamedTuple):
    """Output of the decoder.

    Attributes:
        features: (B, T * r, D).
        alignment: (B, T, P) attention weights of each step.
    """

    features: Tensor
    alignment: Tensor


class Prenet(nn.Module):
    """Linear, ReLU, dropout, twice. Its dropout keeps the decoder from relying on the previous mel frame alone.

    Args:
        inputs: feature dimensions D.
        widths: of the layers.
        dropout: rate.
        always: drop also outside training, as Tacotron 2 does. Outside training what is dropped depends on the step
            alone, so that a clip's result is the same every time and in every batch.
    """

    def __init__(
        self, inputs: int, widths: Sequence[int] = (512, 256), dropout: float = 0.5, always: bool = True
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((inputs, *widths)))
        self.widths, self.dropout, self.always = tuple(widths), dropout, always
        self.apply(xavier)

    def keeps(self, steps: int, like: Tensor) -> list[Tensor] | None:
        """Dropout factors outside training, (steps, 1, width) per layer; None: no dropout."""
        if not self.always or not self.dropout:
            return None
        drawn = torch.rand(steps, 1, sum(self.widths), generator=torch.Generator().manual_seed(0))
        kept = (drawn >= self.dropout).float() / (1 - self.dropout)
        return list(kept.to(like.device, like.dtype).split(self.widths, dim=2))

    def forward(self, x: Tensor, keeps: list[Tensor] | None) -> Tensor:
        """(T, B, D) to (T, B, widths[-1]). `keeps`: factors of each layer outside training, see the method."""
        for i, layer in enumerate(self.layers):
            x = F.relu(layer(x))
            if self.training:
                x = F.dropout(x, self.dropout)
            elif keeps is not None:
                x = x * keeps[i]
        return x


class Decoder(nn.Module):
    """Encoder states to features.

    Args:
        states: encoder state size E.
        dims: feature dimensions D.
        reduction: feature frames a step, r.
        attention: location-aware attention.
        prenet: of the frame before.
        attention_lstm: units H.
        decoder_lstm: units.
        dropout: of inputs and outputs of the decoder LSTM.
        cuda_graph: see `attention_loop.attention_loop`.
    """

    def __init__(
        self,
        states: int,
        dims: int,
        reduction: int,
        attention: LocationAttention,
        prenet: Prenet,
        attention_lstm: int = 1024,
        decoder_lstm: int = 1024,
        dropout: float = 0.1,
        cuda_graph: bool = False,
    ) -> None:
        super().__init__()
        self.dims, self.reduction, self.cuda_graph = dims, reduction, cuda_graph
        self.prenet = prenet
        self.attention = attention
        self.attention_lstm = nn.LSTMCell(prenet.widths[-1] + states, attention_lstm)
        self.decoder_lstm = nn.LSTM(attention_lstm + states, decoder_lstm)
        self.projection = nn.Linear(decoder_lstm + states, dims * reduction)
        self.dropout = nn.Dropout(dropout)
        xavier(self.projection)

    def previous(self, features: Tensor) -> Tensor:
        """What each step is fed when the features were (B, T * r, D): the last frame of the step before, (T, B, D)."""
        last = features[:, self.reduction - 1 :: self.reduction].transpose(0, 1)
        return torch.cat([torch.zeros_like(last[:1]), last[:-1]])

    def forward(self, states: Tensor, bias: Tensor, fed: Tensor) -> Decoded:
        """Decode with given inputs.

        Args:
            states: (B, P, E) encoder states.
            bias: (T, B, P), see `attention.energy_bias`.
            fed: (T, B, D) normalized frame fed at each step.
        """
        prenet = self.prenet(fed, None if self.training else self.prenet.keeps(len(fed), fed))
        enter, recurrent, gate_bias = self._gate_weights()
        outputs, alignment = loop.attention_loop(
            F.linear(prenet, enter, gate_bias),
            self.attention.weights(recurrent),
            self.attention.remember(states, bias),
            self.cuda_graph,
        )
        H = self.attention_lstm.hidden_size
        hidden = run_lstm(self.decoder_lstm, self.dropout(outputs))
        frames = self.projection(torch.cat([self.dropout(hidden), outputs[..., H:].to(hidden.dtype)], dim=2))
        return Decoded(self._frames(frames), alignment.transpose(0, 1))

    @torch.no_grad()
    def generate(
        self, states: Tensor, bias: Tensor, period: Tensor | None = None, least: int = 1
    ) -> tuple[Decoded, Tensor]:
        """Decode freely: each step is fed the last frame of the one before.

        Args:
            states: (B, P, E) encoder states.
            bias: (T, B, P), T the steps at most.
            period: (B,) position of each clip's visual period: a clip ends where the attention comes to rest there.
                None: after T steps.
            least: steps of a clip at least, up to T.

        Returns:
            Features and alignment, and the steps that belong to each clip, (B,).
        """
        T, B, _ = bias.shape
        H = self.attention_lstm.hidden_size
        input_weight, hidden_weight, input_bias, hidden_bias = self.decoder_lstm.all_weights[0]
        decoder_bias = input_bias + hidden_bias
        enter, recurrent, gate_bias = self._gate_weights()
        of_prenet, of_recurrent = packed(enter, B), packed(recurrent, B)
        of_input, of_hidden = packed(input_weight, B), packed(hidden_weight, B)
        weights, memory = self.attention.weights(recurrent), self.attention.remember(states, bias)
        state = loop.start(weights, memory, T, keep=False)
        _, alignment = loop.results(state)
        keeps = self.prenet.keeps(T, states)
        fed, hidden = states.new_zeros(B, self.dims), states.new_zeros(B, self.decoder_lstm.hidden_size)
        cell = torch.zeros_like(hidden)
        resting, ends = torch.zeros_like(bias[0, :, 0]), torch.full((B,), T, device=states.device)
        frames: list[Tensor] = []
        for t in range(T):
            prenet = self.prenet(fed, keeps and [keep[t] for keep in keeps])
            loop.advance(state, t, of_prenet(prenet) + gate_bias, of_recurrent, weights, memory)
            outputs = state.outputs[t + 1]
            hidden, cell = lstm_cell(of_input(outputs) + of_hidden(hidden) + decoder_bias, cell)
            frames.append(self.projection(torch.cat([hidden, outputs[:, H:]], dim=1)))
            fed = frames[-1][:, -self.dims :]
            if period is not None:
                resting = (resting + 1) * (alignment[t].argmax(1) == period)
                rested = (resting >= _REST) & (t + 1 - _REST >= least)
                ends = torch.where(rested & (ends == T), t + 1 - _REST, ends)
                if bool((ends < T).all()):
                    break
        return Decoded(self._frames(torch.stack(frames)), alignment[: len(frames)].transpose(0, 1)), ends

    def _gate_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """The attention LSTM's weights by what they act on: prenet; hidden state and context; and both biases."""
        cell, width = self.attention_lstm, self.prenet.widths[-1]
        recurrent = torch.cat([cell.weight_hh, cell.weight_ih[:, width:]], dim=1)
        return cell.weight_ih[:, :width], recurrent, cell.bias_ih + cell.bias_hh

    def _frames(self, projected: Tensor) -> Tensor:
        """(T, B, r * D) to (B, T * r, D)."""
        return projected.unflatten(2, (self.reduction, self.dims)).permute(1, 0, 2, 3).flatten(1, 2)


class Postnet(nn.Module):
    """Convolutions over the whole utterance, whose output is added to the decoder's.

    Args:
        dims: feature dimensions D.
        channels: of all layers but the last.
        layers: number of convolutions.
        kernel: taps, odd.
        dropout: rate of all layers but the last; the paper gives none, Tacotron 2 has 0.5.
    """

    def __init__(self, dims: int, channels: int = 512, layers: int = 5, kernel: int = 5, dropout: float = 0.5) -> None:
        super().__init__()
        sides = [dims, *[channels] * (layers - 1), dims]
        self.convs = nn.ModuleList(nn.Conv1d(a, b, kernel, padding=kernel // 2, bias=False) for a, b in pairwise(sides))
        self.norms = nn.ModuleList(MaskedBatchNorm(side) for side in sides[1:])
        self.dropout = nn.Dropout(dropout)
        self.apply(xavier)

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        """(B, S, D), zero where (B, S) `valid` is False, to the residual (B, S, D), likewise."""
        inside = valid[:, None]
        padded = None if bool(valid.all()) else valid
        x = features.transpose(1, 2)
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(x), padded)
            if i < len(self.convs) - 1:
                x = self.dropout(torch.tanh(x))
            x = x * inside
        return x.transpose(1, 2)
