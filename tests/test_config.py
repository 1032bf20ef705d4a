"""Configs are flat, typed and owned; mistakes are told with the nearest right answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipsound2.config import build, from_mapping, to_mapping
from lipsound2.data.yaml_files import parse_flow, read_yaml, write_yaml
from lipsound2.errors import LipsoundError


@dataclass(frozen=True)
class Trainer:
    learning_rate: float = 1e-3
    epochs: int = 3
    betas: tuple[float, ...] = (0.9, 0.98)


@dataclass(frozen=True)
class Network:
    width: int
    kind: Literal["small", "large"] = "small"
    bias: bool = True
    name: str | None = None


def test_keys_go_to_their_owners():
    trainer, network = build([Trainer, Network], {"width": 8, "epochs": 5, "task": "x"}, "c.yaml", known=["task"])
    assert trainer == Trainer(epochs=5)
    assert network == Network(width=8)


def test_an_unknown_key_is_refused_with_the_nearest_name():
    with pytest.raises(LipsoundError, match=r"c\.yaml: unknown key 'learning_rat'; did you mean 'learning_rate'\?"):
        build([Trainer, Network], {"learning_rat": 1.0, "width": 1}, "c.yaml")


def test_a_missing_key_is_named():
    with pytest.raises(LipsoundError, match="the key 'width' is missing"):
        build([Network], {}, "c.yaml")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("width", "8", "expected int, found '8'"),
        ("width", True, "expected int, found True"),
        ("bias", 1, "expected bool, found 1"),
        ("kind", "medium", "expected one of small, large, found 'medium'"),
    ],
)
def test_a_value_of_another_type_is_refused(key, value, told):
    with pytest.raises(LipsoundError, match=f"c.yaml: {key}: {told}"):
        build([Network], {"width": 1, key: value}, "c.yaml")


def test_numbers_as_people_write_them(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("learning_rate: 1e-3\nbetas: [0, 0.5]\n", encoding="utf-8")
    assert from_mapping(Trainer, read_yaml(path), str(path)) == Trainer(1e-3, 3, (0.0, 0.5))


@given(
    st.builds(
        Network,
        width=st.integers(-(2**63) + 1, 2**63 - 1),
        kind=st.sampled_from(["small", "large"]),
        bias=st.booleans(),
        name=st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, network):
    path = tmp_path_factory.mktemp("config") / "c.yaml"
    write_yaml(path, to_mapping(network))
    assert from_mapping(Network, read_yaml(path), str(path)) == network


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "!!python/object/apply:os.getcwd []\n"])
def test_a_file_that_is_no_config_is_one_line(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LipsoundError) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_keys_given_on_the_command_line():
    assert parse_flow("", "--override") == {}
    assert parse_flow("a: 1, b: [1, 2], c: 1.5, d: null", "--override") == {"a": 1, "b": [1, 2], "c": 1.5, "d": None}


@pytest.mark.parametrize(
    "text", ["a", "a:", "ba: 1, a", "a 1", "a: {", "a: 1}, {b: 2", "a: !!python/object/apply:os.getcwd []"]
)
def test_keys_given_badly_are_one_line(text):
    with pytest.raises(LipsoundError, match=r"--override: .*expected 'key: value, key: value'"):
        parse_flow(text, "--override")


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("learning_rate: 1e-3", r"unknown key 'learning_rate'; here it is called 'lr'"),
        ("epochs: 10", "unknown key 'epochs'; here it is called 'max_epochs'"),
        ("grad_clip: 1", "here it is called 'clip_grad'"),
        ("d_model: 256", "unknown key 'd_model'; here it is called 'width'"),
        ("residual: pairs", r"is a key of other models: hifigan \(task vocode\); remove it"),
        ("critic_width: 0.1", "'discriminator_width'; written 'critic_width', its old name: it is a key of other mo"),
        ("max_epoks: 3", "unknown key 'max_epoks'; did you mean 'max_epochs'"),
    ],
)
def test_a_key_of_another_model_or_toolkit_is_told_by_its_name_here(tmp_path, written, wanted):
    from lipsound2.tasks import load_config

    (tmp_path / "c.yaml").write_text(f"task: regress\nmodel: parallel\n{written}\n")
    with pytest.raises(LipsoundError, match=wanted) as error:
        load_config(tmp_path / "c.yaml")
    assert "\n" not in str(error.value)
