"""CUDA graphs for loops of many small kernels: the launches are recorded once and replayed as one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Key = tuple[tuple[torch.Size, torch.dtype, torch.device], ...]
Recording = tuple[list[Tensor], torch.cuda.CUDAGraph, tuple[Tensor, ...]]
KEPT = 8  # recordings; the oldest goes first


class Replay:
    """A function recorded at its first call with tensors of certain shapes, and replayed at every further one.

    Inputs are copied into the recording and results out of it, so that results of one call outlive the next; that costs
    little beside the launches that are saved.

    Args:
        function: from tensors on one GPU to tensors; what it does must depend on shapes alone and must not wait for
            the GPU. It is run without gradients.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, ...]]) -> None:
        self.function = function
        self.recordings: dict[Key, Recording] = {}

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The function's results."""
        key = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in tensors)
        if key not in self.recordings:
            if len(self.recordings) == KEPT:
                del self.recordings[next(iter(self.recordings))]
            self.recordings[key] = self._record(tensors)
        inputs, graph, outputs = self.recordings[key]
        for inside, tensor in zip(inputs, tensors, strict=True):
            inside.copy_(tensor)
        graph.replay()
        return tuple(output.clone() for output in outputs)

    @torch.no_grad()
    def _record(self, tensors: tuple[Tensor, ...]) -> Recording:
        inputs = [tensor.detach().clone() for tensor in tensors]
        # Libraries allocate and choose their kernels in the first calls, which must not be recorded.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self.function(*inputs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # The backward pass records on autograd's own thread; another thread's work must not spoil it.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = self.function(*inputs)
        return inputs, graph, outputs
