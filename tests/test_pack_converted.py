"""Weights of others are not passed on unawares, and packs for a model hub."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from helpers import toy_task
from helpers.experiments import write_texts
from helpers.published_weights import reader_state
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_pack import SAID, contents, make
from test_published_others import hifigan_state

import lipsound2
from lipsound2 import experiment
from lipsound2.cli import main
from lipsound2.converted import Origin, origin_of
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.summary import Summary, System, Verdict
from lipsound2.metrics.summary_files import to_json
from lipsound2.model_names import card_facts
from lipsound2.published.hifigan import convert_hifigan
from lipsound2.training.train import train

FRONT = re.compile(r"---\n(.*?)\n---\n\n# ", re.DOTALL)


@pytest.fixture
def converted(tmp_path: Path) -> Path:
    torch.save({"generator": hifigan_state("V3")}, tmp_path / "generator_v3")
    convert_hifigan(tmp_path / "generator_v3", tmp_path / "theirs")
    return tmp_path / "theirs"


def test_converted_weights_are_packed_with_permission_alone(converted, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["pack", str(converted), str(out), *SAID]) == 1
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "those of others (convert-hifigan generator_v3, SHA-256 of the file " in told
    assert "--allow-redistribution" in told
    assert not out.exists()
    assert main(["pack", str(converted), str(out), *SAID, "--allow-redistribution"]) == 0
    facts = card_facts(out)
    assert facts["Origin"].startswith("weights of others: convert-hifigan generator_v3, SHA-256 ")
    assert facts["Origin license"] == "MIT (github.com/jik876/hifi-gan)"
    assert facts["License"] == "none"  # as --license says
    # The pack of the pack is as careful.
    assert main(["pack", str(out), str(tmp_path / "again"), *SAID]) == 1
    assert "convert-hifigan generator_v3" in capsys.readouterr().err
    assert origin_of(out) == origin_of(converted)


def test_a_packed_lip_reader_is_used_as_one_and_its_card_tells_what_is_known(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save(reader_state(), "reader.pth")
    pieces = "".join(f"{piece} {number}\n" for number, piece in enumerate(["<unk>", *"abcdefghijklmnopqrstuvwxyz"], 1))
    Path("units.txt").write_text(pieces + "".join(f"{number} {number + 28}\n" for number in range(12)))
    assert main(["convert-avsr", "reader.pth", "theirs", "--tokens", "units.txt"]) == 0
    assert card_facts(Path("theirs"))["Size"] == "11.5 M parameters"
    capsys.readouterr()
    assert main(["pack", "theirs", "out", *SAID, "--allow-redistribution"]) == 0
    assert "use it with: lipsound2 transcribe CLIP --model out" in capsys.readouterr().out
    assert not {"Command", "Commit", "Date", "Hardware"} & card_facts(Path("out")).keys(), "nothing was trained here"


def test_the_license_of_packs_that_noted_none_comes_from_their_card(converted):
    with safe_open(converted / "model.safetensors", framework="numpy") as file:
        notes = {key: value for key, value in file.metadata().items() if key in ("source", "sha256")}
    save_file(load_file(converted / "model.safetensors"), converted / "model.safetensors", notes)
    assert origin_of(converted).license == "MIT (github.com/jik876/hifi-gan)"
    (converted / "card.md").unlink()
    assert "ask those who published" in origin_of(converted).license


def test_a_training_that_began_from_converted_weights_notes_it(tmp_path):
    torch.set_num_threads(1)
    toy_task.write_data(tmp_path, train=6, valid=2)
    config = {"task": "toy", "max_epochs": 1, "workers": 0, "tensorboard": False, "precision": "fp32"}
    write_yaml(tmp_path / "toy.yaml", config)
    data = {"train": tmp_path / "train", "valid": tmp_path / "valid", "dump": tmp_path}

    def trained(name: str, init: str | None = None) -> Path:
        exp = tmp_path / name
        assert train(tmp_path / "toy.yaml", exp=exp, init=tmp_path / init if init else None, **data) == 0
        return exp

    first = trained("first")
    assert origin_of(first) is None
    origin = Origin("convert-avsr vsr.pth", "for benchmarks alone")
    save_file(load_file(first / "model.safetensors"), first / "model.safetensors", origin.notes())
    second = trained("second", "first")
    assert read_yaml(second / "versions.yaml")["runs"][0]["license"] == "for benchmarks alone"
    for path in first.iterdir():
        path.rename(tmp_path / f"old-{path.name}")
    first.rmdir()
    assert origin_of(second) == origin
    assert origin_of(trained("third", "second")) == origin
    checkpoint = next((second / "checkpoints").glob("*.pt"))
    assert origin_of(checkpoint) == origin


def test_an_experiment_of_an_earlier_version_is_followed_to_what_it_began_from(converted, tmp_path, capsys):
    exp = make(tmp_path / "a", "2026-01-02 03:04:05")
    record = read_yaml(exp / "versions.yaml")
    record["runs"][0]["init"] = str(converted)
    write_yaml(exp / "versions.yaml", record)
    assert main(["pack", str(exp), str(tmp_path / "out"), *SAID]) == 1
    assert "convert-hifigan generator_v3" in capsys.readouterr().err
    record["runs"][0]["init"] = str(exp)  # a circle
    write_yaml(exp / "versions.yaml", record)
    assert main(["pack", str(exp), str(tmp_path / "out"), *SAID]) == 0


def scored(exp: Path) -> Path:
    """An experiment with scores of speech and text on its set `test`."""
    half = Interval(0.5, 0.4, 0.6)
    systems = {name: System(50, {"estoi": half}) for name in ("generated", "mismatched")}
    summary = {**to_json(Summary(systems, {}, Verdict(None, None, "it is not known"))), "clips": "all", "rule": []}
    (exp / "scores/test").mkdir(parents=True)
    summary |= {"verdict_rule": "none", "bootstrap": {"level": 0.95}}
    (exp / "scores/test/summary.json").write_text(json.dumps(summary))
    write_texts(exp / "scores/test/text/greedy", {"s1-a": "bin blue"}, {"heard": {"s1-a": "bin red"}})
    return exp


def front_matter(folder: Path) -> dict:
    return yaml.safe_load(FRONT.match((folder / "README.md").read_text())[1])


def test_a_pack_for_a_hub_has_front_matter_and_results_and_loads(tmp_path, capsys):
    exp = scored(make(tmp_path / "a", "2026-01-02 03:04:05"))
    said = ["--knows", "nobody", "--corpus", "GRID (Cooke et al.), 800 clips", "--license", "CC BY 4.0, as the corpus"]
    out = tmp_path / "vocoder"
    assert main(["pack", str(exp), str(out), *said, "--hub"]) == 0
    matter = front_matter(out)
    assert (matter["license"], matter["library_name"], matter["pipeline_tag"]) == (
        "cc-by-4.0",
        "lipsound2",
        "audio-to-audio",
    )
    assert "vocoder" in matter["tags"]
    speech, text = matter["model-index"][0]["results"]
    assert speech["dataset"] == {"name": "GRID, test", "type": "grid", "split": "test"}
    assert {each["name"]: each["value"] for each in speech["metrics"]} == {
        "ESTOI, generated": 0.5,
        "ESTOI, mismatched": 0.5,
    }
    assert {each["type"]: each["value"] for each in text["metrics"]}["wer"] == 50.0
    summary = (exp / "scores/test/summary.json").read_bytes()
    assert (out / "results-test-speech.json").read_bytes() == summary
    assert (out / "results-test-greedy.json").is_file()
    assert (out / "card.md").read_text().partition("\n")[2] in (out / "README.md").read_text()
    assert str(tmp_path) not in (out / "README.md").read_text()
    experiment.load(out)
    assert callable(lipsound2.load(out))
    # It is written over itself, and without --hub nothing of the page is left.
    before = contents(out)
    assert main(["pack", str(exp), str(out), *said, "--hub"]) == 0
    assert contents(out) == before
    assert main(["pack", str(exp), str(out), *said]) == 0
    assert sorted(before.keys() - contents(out).keys()) == [
        "README.md",
        "results-test-greedy.json",
        "results-test-speech.json",
    ]


def test_hubs_read_the_results(tmp_path):
    repocard_data = pytest.importorskip("huggingface_hub.repocard_data")
    exp = scored(make(tmp_path / "a", "2026-01-02 03:04:05"))
    assert main(["pack", str(exp), str(tmp_path / "out"), *SAID, "--hub"]) == 0
    name, results = repocard_data.model_index_to_eval_results(front_matter(tmp_path / "out")["model-index"])
    assert name == "out"
    assert [(each.metric_type, each.dataset_split) for each in results][:2] == [("estoi", "test")] * 2


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("MIT (github.com/x)", {"license": "mit"}),
        ("Apache-2.0", {"license": "apache-2.0"}),
        (
            "own terms; see https://example.org/terms",
            {"license": "other", "license_name": "own-terms", "license_link": "https://example.org/terms"},
        ),
        ("none", {"license": "other", "license_name": "none", "license_link": "README.md"}),
    ],
)
def test_the_license_is_one_that_hubs_know_or_its_own_words(said, written, tmp_path):
    exp = make(tmp_path / "a", "2026-01-02 03:04:05")
    options = ["--knows", "nobody", "--corpus", "none", "--license", said, "--hub"]
    assert main(["pack", str(exp), str(tmp_path / "out"), *options]) == 0
    matter = front_matter(tmp_path / "out")
    assert {key: value for key, value in matter.items() if key.startswith("license")} == written
    assert "model-index" not in matter
