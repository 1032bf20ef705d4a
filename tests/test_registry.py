"""The registry of models: every line of it stands, and a model is one file and one line (docs/add-a-model.md)."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.written_dump import write_dump

import lipsound2.models
from lipsound2 import experiment
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.models import registry
from lipsound2.tasks import TASKS, find, load_config
from lipsound2.tasks.base import Task
from lipsound2.tasks.regress import Regress
from lipsound2.train_config import FREE, GROWING, TrainConfig
from lipsound2.training.train import train

ROOT = Path(__file__).resolve().parents[1]
TINY = '''
from dataclasses import dataclass

import torch
from torch import nn

from lipsound2.models.modules.regressor import FeatureRegressor, Generated, Prediction


@dataclass
class TinyConfig:
    """Attributes:
        cells: side of the grid a video frame is averaged to.
    """

    cells: int = 4


class Tiny(FeatureRegressor):
    def __init__(self, config, dims=80, ratio=4.0, words=0):
        super().__init__(dims, ratio)
        self.pool = nn.AdaptiveAvgPool2d(config.cells)
        self.leave = nn.Linear(config.cells**2, round(ratio) * dims)

    def forward(self, video, video_lengths, target=None, feature_lengths=None, **_):
        features = self.leave(self.pool(video.float() / 255).flatten(2))
        return Prediction(features.unflatten(2, (-1, self.dims)).flatten(1, 2))

    @torch.no_grad()
    def generate(self, video, video_lengths):
        features = self.denormalize(self(video, video_lengths).features)
        return Generated(features, self.feature_lengths_of(video_lengths))
'''


@pytest.mark.parametrize("model", registry.MODELS, ids=lambda model: model.name)
def test_every_line_names_a_network_and_its_sizes(model):
    assert model.task in TASKS
    assert issubclass(model.network_class(), torch.nn.Module)
    assert dataclasses.is_dataclass(model.config_class())
    told = "\n".join(inspect.getdoc(owner) or "" for owner in model.config_class().__mro__[:-1])
    keys = [field.name for field in dataclasses.fields(model.config_class())]
    assert [key for key in keys if not re.search(rf"\b{key}\b", told)] == []


@pytest.mark.parametrize("task", TASKS)
def test_keys_that_weights_do_not_depend_on_are_keys_of_configs(task):
    """A key under another name in `free` would train a finished experiment again when it changes."""
    cls = find(task, "a.yaml")
    models = [model.name for model in registry.MODELS if model.task == task] or [""]
    owners = [owner for model in models for owner in cls.options({"model": model}, "a.yaml")]
    assert cls.free <= {field.name for owner in owners for field in dataclasses.fields(owner)}
    assert {field.name for field in dataclasses.fields(TrainConfig)} >= FREE | GROWING


def test_names_are_there_once():
    assert len({(model.task, model.name) for model in registry.MODELS}) == len(registry.MODELS)


def test_looking_at_the_registry_imports_no_network():
    code = "import sys, lipsound2.models.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("task", "model", "told"),
    [
        ("regress", "paralel", r"the task 'regress' has no model 'paralel'; did you mean 'parallel'\?"),
        ("recognize", "x", r"the task 'recognize' has no model 'x'; one of: lips, conformer, jasper"),
        ("regress", "hifigan", r"no model 'hifigan'; it is one of the task 'vocode'"),
        ("vocode", ["hifigan"], r"the task 'vocode' has no model '\['hifigan'\]'"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest(task, model, told, tmp_path):
    write_yaml(tmp_path / "c.yaml", {"task": task, "model": model})
    with pytest.raises(LipsoundError, match=rf"c\.yaml: .*{told}") as error:
        load_config(tmp_path / "c.yaml")
    assert "\n" not in str(error.value)


def test_a_model_is_one_file_and_one_line(tmp_path, monkeypatch):
    """Written, named, trained, loaded: docs/add-a-model.md, with the line that stands in it."""
    clips, dump = write_dump(tmp_path / "dump"), tmp_path / "dump"
    (tmp_path / "models").mkdir()
    (tmp_path / "models/tiny.py").write_text(TINY, encoding="utf-8")
    line = re.search(r"^    Model\((.*)\),$", (ROOT / "docs/add-a-model.md").read_text(encoding="utf-8"), re.MULTILINE)
    monkeypatch.setattr(lipsound2.models, "__path__", [*lipsound2.models.__path__, str(tmp_path / "models")])
    monkeypatch.setattr(registry, "MODELS", [*registry.MODELS, registry.Model(*ast.literal_eval(line[1]))])
    kept = ("task", "input", "target", "loss", "lr", "batch_frames")
    mini = {key: value for key, value in read_yaml(ROOT / "egs/mini/conf/mini.yaml").items() if key in kept}
    changes = {"model": "tiny", "cells": 3, "max_epochs": 1, "valid_clips": 1, "valid_iterations": 1, "workers": 0}
    write_yaml(tmp_path / "tiny.yaml", mini | changes | {"tensorboard": False})
    exp = tmp_path / "exp"
    assert train(tmp_path / "tiny.yaml", train=clips.path, valid=clips.path, dump=dump, exp=exp) == 0
    loaded = experiment.load(exp, task=Regress)
    assert type(loaded.model).__name__ == "Tiny"
    video = torch.from_numpy(np.zeros((1, 5, 96, 96), np.uint8))
    assert loaded.model.generate(video, torch.tensor([5])).features.shape == (1, 20, loaded.assets.dims)


def test_options_are_all_that_a_task_holds():
    """A task is frozen, and has nothing but the dataclasses of its config's keys: what data adds are assets."""
    paths = sorted(ROOT.glob("egs/*/conf/*.yaml"))
    assert paths
    for path in paths:
        task = load_config(path).task
        assert isinstance(task, Task)
        assert set(vars(task)) == {field.name for field in dataclasses.fields(task)}
        assert all(dataclasses.is_dataclass(value) for value in vars(task).values())
        with pytest.raises(dataclasses.FrozenInstanceError):
            task.settings = None
