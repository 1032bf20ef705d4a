"""One training over several processes: each computes gradients of its own clips, all make the same update.

The networks are not wrapped. Gradients of loss **sums** are added over the processes after the backward passes and
divided by the added weights. So two processes make the update of one that accumulates their batches. A process may have
no clips in the last update of an epoch, and a task sees the bare model. What batch norm makes of it: `batch_norm`.
"""

from __future__ import annotations

import datetime
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lipsound2.gpus import check_gpus

# While process 0 evaluates, the others wait in a collective: this long before they give up.
_PATIENCE = datetime.timedelta(hours=3)
_BUCKET_VALUES = 8 << 20  # 32 MiB of float32 in one message


@dataclass(frozen=True)
class World:
    """This process among those of one training.

    Attributes:
        rank: 0 is the one that evaluates, logs and writes.
        size: number of processes.
        device: where this process computes.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process evaluates, logs and writes."""
        return self.rank == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum of each value over all processes, in double precision."""
        if self.size == 1:
            return list(values)
        numbers = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(numbers)
        result: list[float] = numbers.tolist()
        return result

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their sums over all processes, in few messages."""
        if self.size == 1:
            return
        bucket: list[Tensor] = []
        values = 0
        pending = []
        for tensor in tensors:
            bucket.append(tensor)
            values += tensor.numel()
            if values >= _BUCKET_VALUES:
                pending.append(_reduce(bucket))
                bucket, values = [], 0
        if bucket:
            pending.append(_reduce(bucket))
        for work, flat, parts in pending:
            work.wait()
            pieces = flat.split([part.numel() for part in parts])
            for part, piece in zip(parts, pieces, strict=True):
                part.copy_(piece.view_as(part))

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their means over all processes."""
        if self.size > 1:
            self.add(tensors)
            for tensor in tensors:
                tensor.div_(self.size)

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace each parameter's gradient by its sum over all processes; one that has none anywhere keeps none."""
        if self.size == 1:
            return
        used = self.total([float(parameter.grad is not None) for parameter in parameters])
        shared = [parameter for parameter, count in zip(parameters, used, strict=True) if count]
        for parameter in shared:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.add([parameter.grad for parameter in shared if parameter.grad is not None])

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensor of every process, in order of rank, on the CPU; all have the same shape."""
        if self.size == 1:
            return [tensor.cpu()]
        tensor = tensor.to(self.device)
        everyone = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(everyone, tensor)
        return [each.cpu() for each in everyone]

    def collect(self, words: list[str]) -> list[str]:
        """The words of all processes, one after the other."""
        if self.size == 1:
            return words
        everyone: list[list[str]] = [[] for _ in range(self.size)]
        dist.all_gather_object(everyone, words)
        return [word for each in everyone for word in each]

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors by those of process 0."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Until every process is here."""
        self.total([0.0])


def _reduce(parts: list[Tensor]) -> tuple[dist.Work, Tensor, list[Tensor]]:
    flat = torch.cat([part.reshape(-1) for part in parts])
    work = dist.all_reduce(flat, async_op=True)
    assert work is not None
    return work, flat, parts


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def join(ngpu: int) -> Iterator[World]:
    """Take this process' place: alone, or as torchrun says.

    Args:
        ngpu: 0: the CPU.

    Raises:
        LipsoundError: fewer GPUs than asked for.
    """
    local = int(os.environ.get("LOCAL_RANK", "0"))
    check_gpus(max(ngpu, local + 1) if ngpu else 0)
    device = torch.device("cuda", local) if ngpu else torch.device("cpu")
    if ngpu:
        torch.cuda.set_device(device)
    if not launched():
        yield World(0, 1, device)
        return
    dist.init_process_group("nccl" if ngpu else "gloo", timeout=_PATIENCE)
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device)
    finally:
        # Nothing that belongs to the group may be freed by its threads while the interpreter goes down.
        gc.collect()
        dist.destroy_process_group()


def leave(status: int) -> None:
    """End a process of several with `status`, without the interpreter's tear-down.

    Gloo's threads may still call into the interpreter while it is being finalized, which aborts the process after all
    work is done (`terminate called without an active exception`).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def spawn(processes: int, arguments: Sequence[str]) -> int:
    """Run `lipsound2 ARGUMENTS` in several processes under torchrun; returns the exit status.

    Raises:
        LipsoundError: more processes than GPUs.
    """
    check_gpus(processes)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    with subprocess.Popen([*torchrun, "-m", "lipsound2.cli", *arguments]) as process:
        # Both signals are for the processes that train, which write a checkpoint; Ctrl-C reaches them by itself.
        before = signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
        ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)
            signal.signal(signal.SIGINT, ignored)
