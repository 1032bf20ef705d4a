"""Batch norm over several processes: what data parallelism changes, and what it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import toy_task
from torch import nn

from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.models.modules.lip_trunk import LipTrunk, TrunkConfig
from lipsound2.train_config import TrainConfig
from lipsound2.training.average import read_weights
from lipsound2.training.batch_norm import running_statistics
from lipsound2.training.sampler import Updates
from lipsound2.training.train import train

# Two processes with half a batch each, beside one with the whole: a trunk of lips, and the paper's masked batch norm.
PROGRAM = """
import copy
import torch
import torch.distributed as dist
from lipsound2.models.modules.face_encoder import FaceBlock
from lipsound2.models.modules.lip_trunk import LipTrunk, TrunkConfig
from lipsound2.models.modules.regressor import mask
from lipsound2.training.batch_norm import running_statistics, synchronized
from lipsound2.training.distributed import join

with join(0) as world:
    torch.manual_seed(0)
    frames = torch.tensor([5, 3, 6, 2])
    half = slice(2 * world.rank, 2 * world.rank + 2)

    def trunk(network, rows):
        return network(video[rows], frames[rows])

    def block(network, rows):
        return network(values[rows], mask(frames[rows], 6))

    video = torch.randint(0, 256, (4, 6, 32, 32), dtype=torch.uint8)
    values = torch.randn(4, 1, 6, 16, 16)
    settings = TrunkConfig(crop=32, size=32, trunk_widths=(4, 8), trunk_blocks=1)
    for make, run in ((lambda: LipTrunk(settings), trunk), (lambda: FaceBlock(1, 3, 1, 0.0), block)):
        whole = make().train()
        parts = synchronized(copy.deepcopy(whole))
        alone = copy.deepcopy(whole)
        assert parts.state_dict().keys() == whole.state_dict().keys()
        run(whole, slice(0, 4)).square().sum().backward()
        for network in (parts, alone):
            run(network, half).square().sum().backward()
            world.add_gradients(list(network.parameters()))
        for (name, ours), theirs in zip(parts.named_parameters(), whole.parameters()):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-3, msg=name)
        for ours, theirs in zip(running_statistics(parts), running_statistics(whole)):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
        first = next(p.grad - q.grad for p, q in zip(alone.parameters(), whole.parameters()))
        assert first.abs().max() > 0.05, "each by its own batch: another gradient"
        world.average(running_statistics(alone))  # 8 video frames on either side: the mean of means is that of all
        torch.testing.assert_close(running_statistics(alone)[0], running_statistics(whole)[0], rtol=1e-4, atol=1e-5)
        assert isinstance(run(parts.eval(), half), torch.Tensor)  # without a word to the other process
print("agreed", flush=True)
"""


def torchrun(*command: str) -> str:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *command], env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_fault_B3_synchronized_batch_norm_is_that_of_one_large_batch(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    assert torchrun(str(tmp_path / "program.py")).count("agreed") == 2


@pytest.mark.slow
def test_fault_B3_two_processes_with_batch_norm_are_one_that_accumulates(tmp_path: Path) -> None:
    toy_task.write_data(tmp_path, train=24, valid=4)
    config = {"task": "toy", "max_epochs": 2, "batch_size": 3, "dropout": 0.0, "precision": "fp32", "warmup": 3}
    config |= {"workers": 0, "tensorboard": False, "keep_best": 1, "average": "last"}
    paths = {"train": tmp_path / "train", "valid": tmp_path / "valid", "dump": tmp_path}
    write_yaml(tmp_path / "one.yaml", {**config, "accumulate": 2})
    assert train(tmp_path / "one.yaml", exp=tmp_path / "one", **paths) == 0
    weights = {"one": read_weights(tmp_path / "one" / "model.safetensors")}
    for name, changes in (("two", {}), ("synced", {"sync_batch_norm": True})):
        write_yaml(tmp_path / f"{name}.yaml", {**config, **changes})
        options = [word for key, path in {**paths, "exp": tmp_path / name}.items() for word in (f"--{key}", str(path))]
        torchrun(toy_task.__file__, str(tmp_path / f"{name}.yaml"), *options)
        weights[name] = read_weights(tmp_path / name / "model.safetensors")
    for key in ("front.weight", "out.weight"):
        torch.testing.assert_close(weights["two"][key], weights["one"][key], rtol=1e-4, atol=1e-4)
        assert not torch.allclose(weights["synced"][key], weights["one"][key], rtol=1e-4, atol=1e-4)


ALONE = """
import copy
import sys
import torch
import torch.distributed as dist
from torch import nn
from lipsound2.training.batch_norm import synchronized

dist.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)
torch.manual_seed(0)
for options in ({}, {"momentum": None}, {"momentum": 0.3, "affine": False}):
    theirs = nn.Sequential(nn.BatchNorm1d(7, **options))
    ours = synchronized(copy.deepcopy(theirs))
    for _ in range(3):
        x = torch.randn(4, 7, 50) * 3 + 5
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-4)
    for one, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
"""


def test_fault_B3_a_single_synchronized_process_is_plain_batch_norm(tmp_path: Path) -> None:
    (tmp_path / "alone.py").write_text(ALONE)
    subprocess.run([sys.executable, tmp_path / "alone.py", tmp_path / "store"], check=True, timeout=120)


def test_statistics_of_a_frozen_trunk_are_not_shared() -> None:
    """The mean of equal numbers of three processes need not be that number."""
    sizes = {"crop": 32, "size": 32, "trunk_widths": (4, 8), "trunk_blocks": 1}
    frozen, learning = (LipTrunk(TrunkConfig(**sizes, trunk_frozen=f)).train() for f in (True, False))
    assert not running_statistics(frozen)
    assert len(running_statistics(learning)) == 2 * sum(isinstance(m, nn.BatchNorm2d) for m in learning.modules()) > 0


def test_synchronized_processes_have_equally_many_batches() -> None:
    config = TrainConfig(batch_size=4, sync_batch_norm=True, accumulate=2)
    updates = Updates([30] * 26, config, world=2)  # 7 batches: one is left out
    assert [len(update) for update in updates.epoch(0)] == [4, 2]
    assert all(len(updates.share(0, 1, rank)) == 1 for rank in range(2))
    left_out = [set(range(26)) - {clip for update in updates.epoch(e) for b in update for clip in b} for e in range(3)]
    assert len({frozenset(clips) for clips in left_out}) > 1
    with pytest.raises(LipsoundError, match="sync_batch_norm: 1 batches an epoch for 2 processes"):
        Updates([30] * 3, config, world=2).epoch(0)
