"""What a training takes of a model it begins from: its network, its tokens, its output layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipsound2.errors import LipsoundError
from lipsound2.model_names import CONFIG, PRETRAINED
from lipsound2.tasks import RunConfig, load_config
from lipsound2.tasks.recognize import Recognize, RecognizeAssets
from lipsound2.tasks.tokens import tokenizer_of
from lipsound2.text.tokenizer import UNKNOWN, Tokenizer
from lipsound2.text.tokens import load as load_tokens
from lipsound2.text.tokens import of_texts
from lipsound2.training.beginning import fresh, take_network
from lipsound2.training.init import initialize

ROOT = Path(__file__).resolve().parents[1]


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
    line = "--init grid-s1-parallel: begin anew, for want of weights of their size: "
    assert told(speech, few) == line + "ctc, decoder"
    larger = load_config(ROOT / "egs/own/conf/adapt_reader.yaml", "trunk_widths: [32, 64, 128, 256]")
    assert told(speech, few, larger) == line + "encoder.trunk, encoder.enter.0.weight, ctc, decoder"
    # Of as many others all weights are taken, and mean something else.
    others = of_texts("words", [" ".join(f"w{number}" for number in range(51))])
    assert len(others) == 53
    assert "its output layers have to unlearn what their rows mean" in told(reader, others)
    only = load_config(ROOT / "egs/own/conf/adapt_reader.yaml", "init_only: [trunk]")
    assert told(reader, few, only) == ""  # as it was asked
