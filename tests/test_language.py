"""The task *language*: texts to a Transformer language model, and that model beside both searches."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.task_losses import check_losses_add_up
from test_beam import summed, uniform

from lipsound2 import model_names
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.decoding.beam import search
from lipsound2.decoding.joint import joint_search
from lipsound2.decoding.ngram import estimate
from lipsound2.errors import LipsoundError
from lipsound2.inference.lm_fusion import NetworkModel, decoder_scorer, file_of, language_model
from lipsound2.models.asr.language_model import LanguageModelConfig, TransformerLM
from lipsound2.models.asr.text_decoder import DecoderConfig, TextDecoder
from lipsound2.pack import pack
from lipsound2.tasks import load_config
from lipsound2.text.tokenizer import Characters
from lipsound2.text.tokens import load
from lipsound2.training.train import train

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(ROOT.glob("egs/*/conf/lm*.yaml"))
TEXTS = {"s1-a": "bin blue", "s1-b": "lay red at", "s1-c": "set"}
TOKENS = Characters.of(["ab "])


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return DataDir.write(tmp_path / "data", utt2spk=dict.fromkeys(TEXTS, "s1"), text=TEXTS)


@pytest.fixture
def network() -> TransformerLM:
    torch.manual_seed(0)
    made = TransformerLM(LanguageModelConfig(width=16, layers=2), len(TOKENS))
    for parameter in made.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return made.eval()


def tiny(folder: Path, **changes: object) -> Path:
    """The recipe's config, smaller, with changes."""
    small = {"width": 16, "layers": 1, "heads": 2, "max_epochs": 2, "warmup": 1, "tensorboard": False}
    write_yaml(folder / "c.yaml", read_yaml(CONFIGS[0]) | {"tokens": "characters"} | small | changes)
    return folder / "c.yaml"


def whole(network: TransformerLM, text: tuple[int, ...], ends: bool = True) -> float:
    """Natural log-probability of a text and its end, all tokens at once."""
    row = torch.tensor([[network.boundary, *text]])
    with torch.no_grad():
        follows = network(row)[0].log_softmax(-1)
    said = [*text, *([network.boundary] if ends else [])]
    return float(follows[range(len(said)), said].sum())


# Training


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parents[1].name}/{path.stem}")
def test_every_config_takes_an_update(path, data, tmp_path):
    task = load_config(path, "tokens: characters").task
    training, _, assets = task.prepare(data, data, tmp_path)
    torch.manual_seed(0)
    model = task.build(assets).train()
    loss = task.loss(model, task.collate([training.get(index, None) for index in range(3)]), assets, 0.5)
    assert loss.weight == sum(map(len, TEXTS.values())) + 3
    (loss.total / loss.weight).backward()
    assert all(parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_losses_add_up(data, tmp_path):
    task = load_config(tiny(tmp_path)).task
    _, dataset, assets = task.prepare(data, data, tmp_path)
    check_losses_add_up(task, dataset, assets, rel=1e-5)


def test_it_learns_three_sentences_by_heart(data, tmp_path):
    """A third chance for each of three sentences, and none for anything else, is the least perplexity there is."""
    task = load_config(tiny(tmp_path, width=32, dropout=0.0)).task
    _, dataset, assets = task.prepare(data, data, tmp_path)
    torch.manual_seed(0)
    model = task.build(assets).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    batch = task.collate([dataset.get(index, None) for index in range(3)])
    for _ in range(120):
        loss = task.loss(model, batch, assets, 0.0)
        optimizer.zero_grad()
        (loss.total / loss.weight).backward()
        optimizer.step()
    with torch.no_grad():
        found = task.evaluate(model.eval(), dataset, assets, "cpu")
    assert found.numbers["perplexity"] == pytest.approx(3 ** (3 / (len("".join(TEXTS.values())) + 3)), rel=0.02)
    assert found.numbers["word_perplexity"] == pytest.approx(3 ** (3 / (6 + 3)), rel=0.1)
    assert found.score == -found.numbers["perplexity"]


def test_sentences_come_from_a_file_too(data, tmp_path, caplog):
    (tmp_path / "more.txt").write_text("Set blue!\n\n  lay é  \n", encoding="utf-8")
    task = load_config(tiny(tmp_path, text=str(tmp_path / "more.txt"))).task
    training, checked, assets = task.prepare(data, data, tmp_path)
    assert training.ids == [*TEXTS, "more.txt:1", "more.txt:3"]
    assert assets.tokenizer.decode(training.get(3, None)[1].tolist()) == "set blue"
    assert training.lengths[3] == len("set blue") + 1
    assert len(checked) == 3
    assert task.inputs(tmp_path) == [tmp_path / "more.txt"]
    Characters.of("aybceltuds ").save(tmp_path / "few.txt")
    with caplog.at_level("WARNING"):
        load_config(tiny(tmp_path, text=str(tmp_path / "more.txt"), tokens=str(tmp_path / "few.txt"))).task.prepare(
            data, data, tmp_path
        )
    assert "of 5 sentences hold what the tokenizer does not know" in caplog.text


def test_mistakes_are_one_line(data, tmp_path):
    bare = DataDir.write(tmp_path / "bare", utt2spk={"s1-a": "s1"})
    with pytest.raises(LipsoundError, match="bare: holds no sentence"):
        load_config(tiny(tmp_path)).task.prepare(data, bare, tmp_path)
    with pytest.raises(LipsoundError, match=r"none\.txt: no such file"):
        load_config(tiny(tmp_path, text=str(tmp_path / "none.txt"))).task.prepare(data, data, tmp_path)


# Beside a search


def test_a_step_is_the_last_column_of_the_whole(network):
    texts = [(2, 3), (), (4, 2, 2, 3)]
    model = NetworkModel(network, 1.0, 0.0)
    states = []
    for text in texts:
        state = model.start()
        for token in text:
            state, _ = model.extend(state, token)
            model.select([state])
        states.append(state)
    # All three once more, in one batch of unequal lengths.
    grown = [model.extend(state, 3)[0] for state in states]
    model.select(grown)
    for text, state in zip(texts, grown, strict=True):
        with torch.no_grad():
            expected = network(torch.tensor([[network.boundary, *text, 3]]))[0, -1].log_softmax(-1)
        assert np.allclose(state.follows, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_ctc_search_weighs_every_text(network, seed):
    log_probs = np.log(np.random.default_rng(seed).dirichlet(np.ones(len(TOKENS)), 5)).astype(np.float32)
    texts = summed(log_probs)
    for tokens, score in search(log_probs, NetworkModel(network, 0.7, 0.3), beam=2000)[:20]:
        assert score == pytest.approx(texts[tokens] + 0.7 * whole(network, tokens) + 0.3 * (len(tokens) + 1), abs=1e-3)


def test_joint_search_weighs_every_text(network):
    log_probs = np.log(np.random.default_rng(1).dirichlet(np.ones(len(TOKENS)), 4)).astype(np.float32)
    texts = summed(log_probs)

    def expected(text: tuple[int, ...]) -> float:
        ends = len(text) < 4  # what fills all frames has to end, and nobody is asked
        said = len(text) + ends
        attention = -said * math.log(len(TOKENS) + 1)
        return 0.5 * attention + 0.5 * texts[text] + 0.7 * whole(network, text, ends) + 0.1 * said

    tokens, score = joint_search(
        uniform(len(TOKENS)),
        torch.from_numpy(log_probs),
        beam=500,
        ctc_weight=0.5,
        model=NetworkModel(network, 0.7, 0.1),
    )
    assert score == pytest.approx(max(map(expected, texts)), abs=1e-3)
    assert expected(tuple(tokens)) == pytest.approx(score, abs=1e-3)


def test_the_network_is_asked_once_a_frame(network, monkeypatch):
    sizes: list[int] = []
    step = network.step

    def counted(tokens, past, lengths):
        sizes.append(len(tokens))
        return step(tokens, past, lengths)

    monkeypatch.setattr(network, "step", counted)
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(len(TOKENS)), 12)).astype(np.float32)
    search(log_probs, NetworkModel(network, 0.5, 0.0), beam=6)
    assert len(sizes) <= 12 + 1
    assert max(sizes) <= 6
    assert sum(sizes) > len(sizes)


def test_a_decoder_is_followed_as_it_scores_whole_texts():
    """Joint search by attention alone, against the decoder's scores of every text of up to four tokens."""
    torch.manual_seed(3)
    decoder = TextDecoder(len(TOKENS), 16, 4, 0.0, DecoderConfig(decoder_layers=2)).eval()
    states = torch.randn(4, 16)
    log_probs = np.log(np.random.default_rng(2).dirichlet(np.ones(len(TOKENS)), 4)).astype(np.float32)
    tokens, score = joint_search(decoder_scorer(decoder, states), torch.from_numpy(log_probs), beam=500, ctc_weight=0.0)

    def expected(text: tuple[int, ...]) -> float:
        row = torch.tensor([[decoder.boundary, *text]])
        with torch.no_grad():
            follows = decoder(row, torch.tensor([row.shape[1]]), states[None], torch.tensor([4]))[0].log_softmax(-1)
        said = [*text, *([decoder.boundary] if len(text) < 4 else [])]  # all frames filled: it has to end
        return float(follows[range(len(said)), said].sum())

    best = max(map(expected, summed(log_probs)))
    assert score == pytest.approx(best, abs=1e-4)
    assert expected(tuple(tokens)) == pytest.approx(score, abs=1e-4)


def test_a_trained_one_stands_beside_a_recognizer(data, tmp_path):
    exp = tmp_path / "exp"
    assert train(tiny(tmp_path), train=data.path, valid=data.path, dump=tmp_path, exp=exp) == 0
    recognizer = load(exp)
    model = language_model(exp, recognizer, 0.5, 0.0)
    assert isinstance(model, NetworkModel)
    assert file_of(exp) == exp / model_names.WEIGHTS
    text = recognizer.encode("set")
    log_probs = np.full((len(text), len(recognizer)), -20.0, np.float32)
    log_probs[np.arange(len(text)), text] = 0
    assert list(search(log_probs, model)[0][0]) == text
    pack(exp, tmp_path / "packed", knows="three sentences", corpus="made up", license="none")
    log_odds = model.extend(model.start(), text[0])[1]
    packed = language_model(tmp_path / "packed", recognizer, 0.5, 0.0)
    assert packed.extend(packed.start(), text[0])[1] == pytest.approx(log_odds, abs=0.01)
    with pytest.raises(LipsoundError, match=r"exp: its 15 tokens are not the 5 of the recognizer; take the one"):
        language_model(exp, TOKENS, 0.5, 0.0)


def test_an_arpa_file_is_still_one(tmp_path):
    estimate([["ab", "a"]], 2).write(tmp_path / "x.arpa")
    assert language_model(tmp_path / "x.arpa", TOKENS, 0.5, 0.0).start()
    assert file_of(tmp_path / "x.arpa") == tmp_path / "x.arpa"
    with pytest.raises(LipsoundError, match=r"y\.arpa: No such file"):
        language_model(tmp_path / "y.arpa", TOKENS, 0.5, 0.0)
    with pytest.raises(LipsoundError, match="no experiment or pack"):
        language_model(tmp_path, TOKENS, 0.5, 0.0)
