"""Parts of the trainer: sampler, schedule, running average, checkpoints, averages, weights to begin from, curves."""

from __future__ import annotations

import copy
import itertools
import logging
import math
import platform
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import toy_task  # noqa: F401 - makes the task known
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.model_names import CONFIG, PRETRAINED
from lipsound2.tasks import RunConfig, load_config
from lipsound2.tasks.recognize import Recognize, RecognizeAssets
from lipsound2.tasks.tokens import tokenizer_of
from lipsound2.text.tokenizer import UNKNOWN, Tokenizer
from lipsound2.text.tokens import load as load_tokens
from lipsound2.text.tokens import of_texts
from lipsound2.train_config import TrainConfig
from lipsound2.training import checkpoint
from lipsound2.training.average import Evaluated, average, best, last, mean_weights, read_weights, write_weights
from lipsound2.training.beginning import fresh, take_network
from lipsound2.training.init import initialize
from lipsound2.training.monitor import Curves
from lipsound2.training.muon import orthogonal
from lipsound2.training.optimizer import RunningAverage, learning_rate, make_optimizer
from lipsound2.training.sampler import Stream, Updates, clip_rng
from lipsound2.training.stop import StopAsked, StopSwitch

ROOT = Path(__file__).resolve().parents[1]

# Sampler


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=120),
    frames=st.integers(50, 900),
    size=st.integers(0, 9),
    accumulate=st.integers(1, 3),
    world=st.integers(1, 4),
    epoch=st.integers(0, 3),
)
def test_every_clip_once_within_limits(
    lengths: list[int], frames: int, size: int, accumulate: int, world: int, epoch: int
) -> None:
    config = TrainConfig(batch_frames=frames, batch_size=size, accumulate=accumulate)
    updates = Updates(lengths, config, world)
    shares = [
        [updates.share(epoch, update, rank) for rank in range(world)] for update in range(len(updates.epoch(epoch)))
    ]
    batches = [batch for update in shares for share in update for batch in share]
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths))), "none dropped, none twice"
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[clip] for clip in batch) <= frames
        assert not size or len(batch) <= size
    for update in shares:
        counts = [len(share) for share in update]
        assert max(counts) <= accumulate
        assert max(counts) - min(counts) <= 1


def test_batches_hold_clips_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(20, 400, 2000).tolist()
    updates = Updates(lengths, TrainConfig(batch_frames=3000)).epoch(0)
    used = sum(lengths)
    padded = sum(len(batch) * max(lengths[clip] for clip in batch) for update in updates for batch in update)
    assert padded < 1.07 * used


def test_epochs_differ_and_repeat() -> None:
    first, second = (Updates([75] * 100, TrainConfig(batch_size=10)) for _ in range(2))
    assert first.epoch(0) == second.epoch(0)
    assert first.epoch(0) != first.epoch(1)
    assert Updates([75] * 100, TrainConfig(batch_size=10, seed=1)).epoch(0) != first.epoch(0)


def test_stream_is_taken_up_in_mid_epoch() -> None:
    updates = Updates(list(range(30, 90)), TrainConfig(batch_frames=300, accumulate=2), world=2)
    whole = list(itertools.islice(Stream(updates, 1, 0, 0), 60))
    skipped = sum(len(updates.share(0, update, 1)) for update in range(3))
    assert list(itertools.islice(Stream(updates, 1, 0, 3), 60 - skipped)) == whole[skipped:]


def test_chance_of_a_sample_depends_on_seed_epoch_and_id_only() -> None:
    draws = [clip_rng(*key).random() for key in ((0, 0, "a"), (0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b"))]
    assert draws[0] == draws[1]
    assert len(set(draws)) == 4


# Options, optimizer, running average


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"lr": 0.0}, "lr"),
        ({"min_lr": 1.0}, "min_lr"),
        ({"max_epochs": 0}, "max_updates"),
        ({"betas": (0.9,)}, "betas"),
        ({"ema": 1.0}, "ema"),
        ({"accumulate": 0}, "accumulate"),
    ],
)
def test_options_that_cannot_work(wrong: dict[str, object], word: str) -> None:
    with pytest.raises(LipsoundError, match=word):
        TrainConfig(**wrong)


def test_config_of_an_unknown_task_or_key(tmp_path: Path) -> None:
    for content, words in (({"task": "regres"}, "regress"), ({}, "task"), ({"task": "toy", "lrr": 1}, "'lr'")):
        write_yaml(tmp_path / "c.yaml", content)
        with pytest.raises(LipsoundError, match=words):
            load_config(tmp_path / "c.yaml")


def test_learning_rate_rises_then_falls_along_a_cosine() -> None:
    config = TrainConfig(lr=1.0, min_lr=0.1, warmup=10)
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(config, 4, 0.0) == pytest.approx(0.5)
    assert learning_rate(config, 100, 0.0) == pytest.approx(1.0)
    assert learning_rate(config, 100, 0.5) == pytest.approx(0.55)
    assert learning_rate(config, 100, 1.0) == pytest.approx(0.1)
    assert learning_rate(TrainConfig(lr=1.0, schedule="constant", warmup=0), 0, 0.9) == 1.0


def test_weight_decay_spares_biases_and_scales() -> None:
    model = nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3))
    decayed, spared = make_optimizer(model, TrainConfig(weight_decay=0.5)).param_groups
    assert decayed["weight_decay"] == 0.5
    assert [p.ndim for p in decayed["params"]] == [3]
    assert spared["weight_decay"] == 0.0
    assert [p.ndim for p in spared["params"]] == [1, 1, 1]


def test_muon_turns_matrices_and_leaves_the_rest_to_adamw() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6))
    model.bias = nn.Parameter(torch.zeros(2, 9))  # a table of biases: two axes, no matrix
    other = copy.deepcopy(model)
    optimizers = [
        make_optimizer(m, TrainConfig(optimizer=o, lr=0.1, precision="fp32"))
        for m, o in ((model, "muon"), (other, "adamw"))
    ]
    before = model[0].weight.detach().clone()
    for m, optimizer in zip((model, other), optimizers, strict=True):
        for seed, p in enumerate(m.parameters()):
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(seed))
        optimizer.step()
    for name in ("0.bias", "1.weight", "bias"):
        assert torch.equal(model.get_parameter(name), other.get_parameter(name))
    # All directions equally long, the size that of AdamW's steps.
    lengths = torch.linalg.svdvals((model[0].weight - before).flatten(1).detach()) / (0.1 * 0.2 * 36**0.5)
    assert ((lengths > 0.6) & (lengths < 1.3)).all(), lengths


def test_muon_goes_on_where_it_was_saved() -> None:
    torch.manual_seed(0)
    models = [nn.Linear(5, 3) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    config = TrainConfig(optimizer="muon", lr=0.1, precision="fp32")
    optimizers = [make_optimizer(model, config) for model in models]

    def update(number: int, seed: int) -> None:
        for p in models[number].parameters():
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(seed))
        optimizers[number].step()

    for seed in range(3):
        update(0, seed)
    update(1, 0)
    state = optimizers[1].state_dict()
    optimizers[1] = make_optimizer(models[1], config)
    optimizers[1].load_state_dict(state)
    for seed in (1, 2):
        update(1, seed)
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_orthogonal_keeps_directions_and_evens_lengths(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    for shape in ((8, 30), (30, 8), (8, 9)):
        matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -2, shape[1]))
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        lengths = (u.T @ orthogonal(matrix[None], dtype)[0] @ v.T).diagonal()
        assert ((lengths > 0.6) & (lengths < 1.3)).all(), lengths
        exact = orthogonal(matrix[None].double(), torch.float64)[0].float()  # step by step, whatever the shape
        tolerance = 1e-4 if dtype == torch.float32 else 0.1
        torch.testing.assert_close(orthogonal(matrix[None], dtype)[0], exact, atol=tolerance, rtol=0)


def test_running_average_follows_floats_and_copies_counters() -> None:
    model = nn.BatchNorm1d(2)
    running = RunningAverage(model, 0.9)
    with torch.no_grad():
        model.weight.fill_(2.0)
        model.running_mean.fill_(4.0)
        model.num_batches_tracked.fill_(7)
    running.update(model, updates=1000)
    assert running.model.weight.tolist() == pytest.approx([1.1, 1.1])
    assert running.model.running_mean.tolist() == pytest.approx([0.4, 0.4])
    assert running.model.num_batches_tracked == 7
    assert not running.model.weight.requires_grad


# Checkpoints


def test_newest_whole_checkpoint_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for update in (1, 2, 3):
        checkpoint.save(tmp_path, {"update": update, "weights": torch.full((3,), float(update))})
    newest, before = checkpoint.existing(tmp_path)
    assert checkpoint.newest(tmp_path)["update"] == 3
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        state = checkpoint.newest(tmp_path)
    assert state["update"] == 2
    assert state["weights"].tolist() == [2.0, 2.0, 2.0]
    assert newest.name in caplog.text
    assert newest.with_suffix(".broken").exists(), "nothing is thrown away"
    before.write_bytes(before.read_bytes()[:100])
    assert checkpoint.newest(tmp_path) is None


def test_a_checkpoint_of_the_same_update_takes_the_place_of_the_other(tmp_path: Path) -> None:
    for update, value in ((1, 0), (2, 0), (2, 1)):
        checkpoint.save(tmp_path, {"update": update, "value": value})
    assert [path.name[:15] for path in checkpoint.existing(tmp_path)] == ["update-00000002", "update-00000001"]
    assert checkpoint.newest(tmp_path)["value"] == 1


def test_checkpoint_of_another_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, {"update": 1})
    monkeypatch.setattr(checkpoint, "FORMAT", checkpoint.FORMAT + 1)
    with pytest.raises(LipsoundError, match="format 1"):
        checkpoint.newest(tmp_path)


def test_evaluation_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with checkpoint.own_randomness(0, torch.device("cpu")):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with checkpoint.own_randomness(0, torch.device("cpu")):
        assert torch.equal(torch.rand(2), inside)


# Averages and weights to begin from

TABLE = [Evaluated(10, 1, 0.1), Evaluated(20, 2, 0.3), Evaluated(30, 3, 0.3), Evaluated(40, 4, 0.2)]


def test_best_and_last() -> None:
    assert [row.update for row in best(TABLE, 3)] == [20, 30, 40], "of equal scores the earlier first"
    assert [row.update for row in last(TABLE, 2)] == [40, 30]
    assert best([Evaluated(1, 1, -math.inf), *TABLE], 5)[-1].update == 1


def write_experiment(exp: Path) -> None:
    """Weights of an evaluation are its update number; checkpoints know the table."""
    for row in TABLE:
        weights = {"w": torch.full((2,), float(row.update)), "n": torch.tensor(row.update)}
        write_weights(exp / "checkpoints" / row.file, weights, {})
    state = {"update": 40, "table": [vars(row) for row in TABLE], "average": None, "model": {"w": torch.ones(2)}}
    checkpoint.save(exp / "checkpoints", state)


def test_average_takes_buffers_and_keeps_counters(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    average(tmp_path, best=2)
    weights = read_weights(tmp_path / "model.safetensors")
    assert weights["w"].tolist() == [25.0, 25.0]
    assert weights["n"] == 20
    average(tmp_path, last=4, output=tmp_path / "other.safetensors")
    assert read_weights(tmp_path / "other.safetensors")["w"].tolist() == [25.0, 25.0]
    for wrong in ({"best": 9}, {"best": 0}, {"best": 1, "last": 1}):
        with pytest.raises(LipsoundError):
            average(tmp_path, **wrong)
    with pytest.raises(LipsoundError, match="no such experiment"):
        average(tmp_path / "empty")


def test_fault_A2_an_average_is_not_written_over_weights_that_are_kept_or_another_experiments(tmp_path: Path) -> None:
    write_experiment(tmp_path / "a")
    kept = tmp_path / "a/checkpoints" / TABLE[0].file
    (tmp_path / "link.safetensors").symlink_to(kept)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/config.yaml").write_text("task: toy\n")
    for output in (kept, tmp_path / "link.safetensors", tmp_path / "b/model.safetensors"):
        with pytest.raises(LipsoundError, match="would be lost"):
            average(tmp_path / "a", last=4, output=output)
    assert read_weights(kept)["w"].tolist() == [TABLE[0].update] * 2
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["config.yaml"]


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    for name in "ab":
        write_weights(tmp_path / name, {"w": torch.ones(2), "v": torch.zeros(1)}, {"b": 1, "a": [1, 2]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert mean_weights([tmp_path / "a"])["w"].tolist() == [1.0, 1.0]
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:40])
    with pytest.raises(LipsoundError, match="not a whole safetensors file"):
        read_weights(tmp_path / "a")


def test_what_is_taken_of_other_weights_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    weights = {"0.weight": torch.ones(3, 2), "0.bias": torch.ones(3), "1.weight": torch.ones(5, 3), "x": torch.ones(1)}
    write_weights(tmp_path / "model.safetensors", weights, {})
    with caplog.at_level(logging.INFO):
        loaded = initialize(model, tmp_path)
    assert loaded.taken == ["0.weight", "0.bias"]
    assert loaded.other_shape == [("1.weight", [4, 3], [5, 3])]
    assert (loaded.missing, loaded.unused) == (["1.bias"], ["x"])
    assert bool((model[0].weight == 1).all())
    assert "2 tensors taken, 1 of another shape, 1 not in the file, 1 not in this network" in caplog.text
    with pytest.raises(LipsoundError, match="not one tensor"):
        initialize(nn.Conv1d(7, 7, 1), tmp_path)
    with pytest.raises(LipsoundError, match="no weights there"):
        initialize(model, tmp_path / "nothing")


def test_weights_of_an_unfinished_experiment_and_of_a_checkpoint(tmp_path: Path) -> None:
    write_experiment(tmp_path)
    for source in (tmp_path, checkpoint.existing(tmp_path / "checkpoints")[0]):
        model = nn.Module()
        model.w = nn.Parameter(torch.zeros(2))
        assert initialize(model, source).taken == ["w"]
        assert model.w.tolist() == [1.0, 1.0]


# Curves and stop


def test_rows_of_a_killed_run_are_taken_out_of_the_curves(tmp_path: Path) -> None:
    curves = Curves(tmp_path / "curves.tsv", 0)
    for update in (5, 10, 15):
        curves.add({"update": update, "score": update / 10})
    curves = Curves(tmp_path / "curves.tsv", 10)
    curves.add({"update": 15, "score": 0.25, "extra": 1.0})
    expected = "update\tscore\textra\n5\t0.5\t\n10\t1\t\n15\t0.25\t1\n"
    assert (tmp_path / "curves.tsv").read_text() == expected
    assert len(Curves(tmp_path / "curves.tsv", 99).rows) == 3


def test_a_signal_cuts_an_evaluation_short_but_nothing_else() -> None:
    switch = StopSwitch()
    with switch.listen():
        with pytest.raises(StopAsked), switch.may_raise():
            signal.raise_signal(signal.SIGTERM)
        assert switch.status == 143
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert switch.status == 130


def test_freed_memory_is_kept():
    """A tensor that is freed and taken again costs no page faults. In a process of its own: there is no way back."""
    code = """
import resource, torch
from lipsound2.training.memory import keep_freed_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(4_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
before = faults()
print(before, faults() if not keep_freed_memory() else (faults(), faults())[1])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, ran.stdout.split())
    assert after < before / 10 or platform.libc_ver()[0] != "glibc"


def test_a_config_takes_the_network_of_a_model(tmp_path: Path) -> None:
    """Of any size, and what it reads and says; how to train stays."""
    mini, out = Path(__file__).parents[1] / "egs" / "mini" / "conf" / "mini.yaml", tmp_path / "config.yaml"
    take_network(PRETRAINED / "grid-s1-parallel", mini, out)
    made, model, before = load_config(out), load_config(PRETRAINED / "grid-s1-parallel" / CONFIG), load_config(mini)
    assert made.task.network == model.task.network != before.task.network
    assert made.train == before.train != model.train
    with pytest.raises(LipsoundError, match="no model of lips there; wanted: a lip-to-speech model, or a lip reader"):
        take_network(PRETRAINED / "grid-s1-asr", mini, out)
    with pytest.raises(LipsoundError, match="--model nowhere: no such folder"):
        take_network(Path("nowhere"), mini, out)


def test_a_config_takes_the_network_and_the_tokens_of_a_lip_reader(tmp_path: Path) -> None:
    adapt, out, reader = ROOT / "egs/own/conf/adapt_reader.yaml", tmp_path / "config.yaml", PRETRAINED / "grid-s1-vsr"
    take_network(reader, adapt, out, "lr: 1e-4")
    made, model = load_config(out), load_config(reader / CONFIG)
    assert made.task.network == model.task.network
    assert made.train == load_config(adapt).train != model.train
    assert isinstance(made.task, Recognize)
    assert (made.task.settings.tokens, made.task.settings.word_loss_weight) == ("grid-s1-vsr", 0)
    with pytest.raises(LipsoundError, match=r"adapt\.yaml: is of the task 'regress', wanted 'recognize'"):
        take_network(reader, ROOT / "egs/own/conf/adapt.yaml", out)
    with pytest.raises(LipsoundError, match="lrr"):  # before any work
        take_network(reader, adapt, out, "lrr: 1e-4")


def test_tokens_are_those_of_a_model_by_its_name() -> None:
    """As `--init` takes it, in every task that has tokens."""
    stored = load_tokens(PRETRAINED / "grid-s1-vsr")
    assert (
        tokenizer_of("grid-s1-vsr").content == tokenizer_of(str(PRETRAINED / "grid-s1-vsr")).content == stored.content
    )
    assert tokenizer_of("words", ["bin blue"]).encode("bin blue at")[-1] == UNKNOWN
    with pytest.raises(LipsoundError, match=r"tokens: found 'grid-s1-vrs', wanted .*did you mean 'grid-s1-vsr'"):
        tokenizer_of("grid-s1-vrs")
    lm = load_config(ROOT / "egs/grid/conf/lm.yaml", "tokens: grid-s1-vsr").task
    assert lm.inputs(Path("dump")) == [PRETRAINED / "grid-s1-vsr"]  # its fingerprint holds the tokenizer


def test_output_layers_that_begin_anew_are_told() -> None:
    """And how to keep them; a network that takes all of its weights says nothing."""
    run = load_config(ROOT / "egs/own/conf/adapt_reader.yaml")
    few = of_texts("words", ["bin blue", "lay red"])

    def told(source: Path, tokenizer: Tokenizer, run: RunConfig = run) -> str:
        assets = RecognizeAssets(tokenizer, 0, ())
        model = run.task.build(assets)
        return fresh(source, run, assets, model.state_dict(), initialize(model, source, run.train.init_only))

    reader, speech = PRETRAINED / "grid-s1-vsr", PRETRAINED / "grid-s1-parallel"
    assert told(reader, load_tokens(reader)) == ""
    line = told(reader, few)
    assert line.startswith(
        "--init grid-s1-vsr: its 53 tokens are others than the 6 of this training, so begin anew: ctc, "
    )
    assert "decoder" in line.split("anew: ")[1]
    assert line.endswith("; 'tokens: grid-s1-vsr' keeps what it knows of its own")
    assert told(speech, few) == "--init grid-s1-parallel: begin anew, for want of weights of their size: ctc, decoder"
    # Of as many others all weights are taken, and mean something else.
    others = of_texts("words", [" ".join(f"w{number}" for number in range(51))])
    assert len(others) == 53
    assert "its output layers have to unlearn what their rows mean" in told(reader, others)
    only = load_config(ROOT / "egs/own/conf/adapt_reader.yaml", "init_only: [trunk]")
    assert told(reader, few, only) == ""  # as it was asked
