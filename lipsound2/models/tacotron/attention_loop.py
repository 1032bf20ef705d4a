"""The recurrence of LipSound2's decoder: attention LSTM and location-aware attention, step after step.

Everything else of the decoder feeds nothing back into this loop and is computed for all steps at once (`decoder.py`).
What remains is written to be short:

* the gates' share of the prenet, and all biases, come in ready-made (`gates`);
* hidden state and context lie side by side, so one product with one matrix gives the rest of the gates;
* the location convolution and the linear layer behind it, with no activation between, are one convolution (`filters`);
* the backward pass is written out: it leaves the gradients of the large matrices to one product over all steps, which a
  tape of the single steps cannot do.

Sizes: T steps, B clips, P encoder positions, H attention LSTM, E encoder states, A attention, K location filter taps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.models.modules.layers import packed
from lipsound2.models.tacotron.cuda_graph import Replay


class LoopWeights(NamedTuple):
    """Parameters of the loop.

    Attributes:
        recurrent: (4H, H + E), hidden state and context to the gates (input, forget, candidate, output).
        query: (A, H), hidden state to query.
        filters: (A, 2, K), last weights and sum of all weights so far to location features.
        energy: (A,), to the energy.
    """

    recurrent: Tensor
    query: Tensor
    filters: Tensor
    energy: Tensor


class AttentionMemory(NamedTuple):
    """Memory of the attention.

    Attributes:
        states: (B, P, E) encoder states.
        keys: (B, P, A) the same through the memory layer.
        bias: (T, B, P) added to the energies: masks and prior of the attention.
    """

    states: Tensor
    keys: Tensor
    bias: Tensor


class LoopState(NamedTuple):
    """The loop's state before step 0 and after every step, and what the backward pass needs from each step.

    Attributes:
        outputs: (T + 1, B, H + E) hidden state and context.
        cells: (T + 1, B, H) cell state.
        past: (T + 1, B, 2, P + K - 1) last weights and their running sum, with a margin of zeros on both sides.
        gates: (T, B, 4H) gates after their activations; (1, B, 4H) when no backward pass will follow.
        features: (T, B, P, A) tanh features behind the energies; (1, B, P, A) likewise.
    """

    outputs: Tensor
    cells: Tensor
    past: Tensor
    gates: Tensor
    features: Tensor


def start(weights: LoopWeights, memory: AttentionMemory, steps: int, keep: bool) -> LoopState:
    """The state before the first step: zeros. `keep` what a backward pass needs, or not."""
    B, P, E = memory.states.shape
    A, H = weights.query.shape
    zeros, kept = memory.states.new_zeros, steps if keep else 1
    return LoopState(
        outputs=zeros(steps + 1, B, H + E),
        cells=zeros(steps + 1, B, H),
        past=zeros(steps + 1, B, 2, P + weights.filters.shape[2] - 1),
        gates=zeros(kept, B, 4 * H),
        features=zeros(kept, B, P, A),
    )


def advance(
    state: LoopState,
    t: int,
    gates: Tensor,
    recurrent: Callable[[Tensor], Tensor],
    weights: LoopWeights,
    memory: AttentionMemory,
) -> None:
    """Step t: from state t to state t + 1, in place.

    Args:
        state: written to at t + 1.
        t: the step.
        gates: (B, 4H) share of this step's input in the gates.
        recurrent: `packed(weights.recurrent, B)`.
        weights: parameters.
        memory: of the attention.
    """
    outputs, cells, past, kept_gates, kept_features = state
    B, P, A = memory.keys.shape
    H = cells.shape[2]
    activations = torch.add(gates, recurrent(outputs[t]), out=kept_gates[t % len(kept_gates)])
    activations[:, : 2 * H].sigmoid_()
    activations[:, 2 * H : 3 * H].tanh_()
    activations[:, 3 * H :].sigmoid_()
    enter, forget, candidate, leave = activations.chunk(4, dim=1)
    torch.addcmul(enter * candidate, forget, cells[t], out=cells[t + 1])
    hidden = torch.mul(leave, torch.tanh(cells[t + 1]), out=outputs[t + 1, :, :H])

    query = F.linear(hidden, weights.query)
    features = torch.add(memory.keys, query[:, None], out=kept_features[t % len(kept_features)])
    features.view(B * P, A).addmm_(windows(past[t], P), weights.filters.flatten(1).t()).tanh_()
    energies = torch.mv(features.view(B * P, A), weights.energy).view(B, P)
    attention = torch.softmax(energies + memory.bias[t], dim=1)
    here = middle(past, P)
    here[t + 1, :, 0] = attention
    torch.add(here[t, :, 1], attention, out=here[t + 1, :, 1])
    outputs[t + 1, :, H:] = torch.bmm(attention[:, None], memory.states)[:, 0]


def windows(past: Tensor, positions: int) -> Tensor:
    """What a convolution over (B, 2, P + K - 1) sees at each position: (B * P, 2 * K)."""
    return past.unfold(2, past.shape[2] - positions + 1, 1).transpose(1, 2).reshape(len(past) * positions, -1)


def middle(past: Tensor, positions: int) -> Tensor:
    """(..., P + K - 1) without its margins: (..., P)."""
    return past.narrow(-1, (past.shape[-1] - positions) // 2, positions)


def run(gates: Tensor, weights: LoopWeights, memory: AttentionMemory, keep: bool) -> LoopState:
    """All steps of (T, B, 4H) `gates`."""
    state = start(weights, memory, len(gates), keep)
    recurrent = packed(weights.recurrent, gates.shape[1])
    for t in range(len(gates)):
        advance(state, t, gates[t], recurrent, weights, memory)
    return state


def results(state: LoopState) -> tuple[Tensor, Tensor]:
    """Hidden state and context (T, B, H + E), and attention weights (T, B, P), of every step."""
    return state.outputs[1:], middle(state.past, state.features.shape[2])[1:, :, 0]


def run_back(
    state: LoopState, weights: LoopWeights, memory: AttentionMemory, d_outputs: Tensor, d_alignment: Tensor
) -> tuple[Tensor, LoopWeights, Tensor, Tensor]:
    """Gradients of `run`, from those of its outputs.

    Args:
        state: of `run` with `keep`.
        weights: parameters.
        memory: of the attention.
        d_outputs: (T, B, H + E).
        d_alignment: (T, B, P).

    Returns:
        Gradients of the gates' input, the parameters, the encoder states and the keys.
    """
    outputs, cells, past, gates, features = state
    T, B, P, A = features.shape
    H = cells.shape[2]
    alignment = middle(past, P)[1:, :, 0]
    recurrent = packed(weights.recurrent.t(), B)
    d_gates = torch.empty_like(gates)
    d_query, d_context = gates.new_empty(T, B, A), gates.new_empty(T, B, outputs.shape[2] - H)
    d_keys, d_energy = torch.zeros_like(memory.keys), torch.zeros_like(weights.energy)
    d_filters = torch.zeros_like(weights.filters)
    # Gradients that flow from step t + 1 back into step t.
    d_output, d_cell = torch.zeros_like(outputs[0]), torch.zeros_like(cells[0])
    d_last, d_sum = torch.zeros_like(alignment[0]), torch.zeros_like(alignment[0])

    for t in reversed(range(T)):
        d_output = d_output + d_outputs[t]
        d_hidden, d_context[t] = d_output[:, :H], d_output[:, H:]
        d_attention = torch.bmm(memory.states, d_context[t][:, :, None])[:, :, 0] + d_last + d_sum + d_alignment[t]
        d_energies = alignment[t] * (d_attention - (alignment[t] * d_attention).sum(1, keepdim=True))
        d_energy.addmv_(features[t].view(B * P, A).t(), d_energies.view(B * P))
        d_features = d_energies[:, :, None] * weights.energy * (1 - features[t].square())
        d_keys += d_features
        d_query[t] = d_features.sum(1)
        d_filters.view(A, -1).addmm_(d_features.view(B * P, A).t(), windows(past[t], P))
        d_last, d_change = middle(F.conv_transpose1d(d_features.transpose(1, 2), weights.filters), P).unbind(1)
        d_sum = d_sum + d_change

        d_hidden = d_hidden + d_query[t] @ weights.query
        enter, forget, candidate, leave = gates[t].chunk(4, dim=1)
        cell = torch.tanh(cells[t + 1])
        d_cell = d_cell + d_hidden * leave * (1 - cell.square())
        d_enter, d_forget, d_candidate, d_leave = d_gates[t].chunk(4, dim=1)
        torch.mul(d_cell * candidate, enter * (1 - enter), out=d_enter)
        torch.mul(d_cell * cells[t], forget * (1 - forget), out=d_forget)
        torch.mul(d_cell * enter, 1 - candidate.square(), out=d_candidate)
        torch.mul(d_hidden * cell, leave * (1 - leave), out=d_leave)
        d_cell = d_cell * forget
        d_output = recurrent(d_gates[t])

    d_weights = LoopWeights(
        recurrent=d_gates.flatten(0, 1).t() @ outputs[:-1].flatten(0, 1),
        query=d_query.flatten(0, 1).t() @ outputs[1:, :, :H].flatten(0, 1),
        filters=d_filters,
        energy=d_energy,
    )
    d_states = torch.bmm(alignment.permute(1, 2, 0), d_context.transpose(0, 1))
    return d_gates, d_weights, d_states, d_keys


def _forward(*tensors: Tensor) -> tuple[Tensor, ...]:
    """`run` for tensors alone: gates, weights and memory, to the fields of a `LoopState`."""
    return run(tensors[0], LoopWeights(*tensors[1:5]), AttentionMemory(*tensors[5:8]), keep=True)


def _backward(*tensors: Tensor) -> tuple[Tensor, ...]:
    """`run_back` for tensors alone: gradients of the results, loop state, weights and memory, to gradients."""
    d_outputs, d_alignment = tensors[:2]
    state, weights, memory = LoopState(*tensors[2:7]), LoopWeights(*tensors[7:11]), AttentionMemory(*tensors[11:14])
    d_gates, d_weights, d_states, d_keys = run_back(state, weights, memory, d_outputs, d_alignment)
    return d_gates, *d_weights, d_states, d_keys


_replay_forward, _replay_backward = Replay(_forward), Replay(_backward)


class _Loop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, recorded: bool, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        state = LoopState(*(_replay_forward if recorded else _forward)(*tensors))
        ctx.save_for_backward(*state, *tensors[1:])
        ctx.recorded = recorded
        return results(state)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        backward = _replay_backward if ctx.recorded else _backward
        return None, *backward(*gradients, *ctx.saved_tensors), None


@torch.compiler.disable  # it would be unrolled into one graph of hundreds of steps
def attention_loop(
    gates: Tensor, weights: LoopWeights, memory: AttentionMemory, cuda_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """Run all steps, differentiably.

    Runs in float32 (or float64) also under autocast: in half precision the sum of all weights would lose the last ones.

    Args:
        gates: (T, B, 4H) input's share in the gates of each step.
        weights: parameters.
        memory: encoder states, keys and bias; no gradient goes to the bias.
        cuda_graph: on a GPU, record the loop once per set of shapes and replay it; batches should be of few shapes.

    Returns:
        Hidden state and context of each step, (T, B, H + E), and the attention weights, (T, B, P).
    """
    wide = gates.dtype if gates.dtype == torch.float64 else torch.float32
    gates, weights = gates.to(wide), LoopWeights(*(tensor.to(wide) for tensor in weights))
    memory = AttentionMemory(*(tensor.to(wide) for tensor in memory))
    with torch.autocast(gates.device.type, enabled=False):
        if not torch.is_grad_enabled():
            return results(run(gates, weights, memory, keep=False))
        outputs, alignment = _Loop.apply(cuda_graph and gates.is_cuda, gates, *weights, *memory)
    return outputs, alignment
