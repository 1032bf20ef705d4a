"""The verb `models`: what ships, without torch, in lines that fit a terminal."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lipsound2 import model_names
from lipsound2.cli import load, main, verb_parser
from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.inference.model_list import ModelRecord, as_table, hears, models_here, reads_lips, record_of
from lipsound2.known_models import known_models
from lipsound2.model_uses import LIP_READER, PRETEXT, STATE_READER, USES, Use
from lipsound2.tasks import TASKS, load_config

ROOT = Path(__file__).resolve().parents[1]


def test_every_model_that_ships_is_listed_with_what_a_user_asks(capsys):
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    for name in model_names.shipped():
        assert f"\n{name} " in shown
        assert f"{name}\n" in shown.partition("use:")[2], "no command with it"
    assert shown.count("CC BY 4.0") == len(model_names.shipped())
    assert "knows: one voice, speaker s1 of GRID" in shown


def test_public_models_are_listed_with_an_honest_word(capsys):
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n{name} " in shown for name in known_models())
    row = next(line for line in shown.splitlines() if line.startswith("vsr-lrs3-19.1 "))
    assert " ".join(row.split()) == "vsr-lrs3-19.1 lip reader en 19.1 % LRS3 1002 MB not commercial hub"
    assert "47 to 74 %" in " ".join(shown.split())


def test_the_table_says_how_each_public_model_is_had(capsys):
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    table = shown.partition("others published:")[2].partition("hub: ")[0].split("\n\n")[1]
    ways = {row.split()[-1] for row in table.splitlines()[1:]}
    assert ways == {"hub", "hand"}
    for way in ways:
        assert re.search(rf"^{way}: +.*lipsound2 models get NAME", shown, re.MULTILINE)


def test_a_model_that_can_be_fetched_is_meant_before_others(capsys):
    for words in (["models", "get", "vsr-lrs3"], ["models", "vsr-lrs3"]):
        assert main(words) == 1
        assert capsys.readouterr().err.endswith("did you mean 'vsr-lrs3-19.1'?\n")


def test_one_model_is_shown_with_its_words(capsys):
    for name in ("grid-s1-asr", "grid-s1-vsr", "grid-s1-parallel"):
        assert main(["models", name]) == 0
        shown = capsys.readouterr().out
        assert f"\n{name} " in shown
        assert "its 51 words: a again at b bin blue by c" in shown
        assert max(map(len, shown.splitlines())) <= 100
    assert main(["models", "grid-s1-vocos"]) == 0
    assert "words:" not in capsys.readouterr().out
    assert main(["models", "grid-s1-vsr", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["grid-s1-vsr"]
    assert main(["models", "grid-s1-paralel"]) == 1
    assert "did you mean 'grid-s1-parallel'?" in capsys.readouterr().err


def test_a_model_of_the_user_is_among_those_here_and_no_longer_among_the_public(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LIPSOUND2_MODELS", str(tmp_path))
    shutil.copytree(model_names.PRETRAINED / "grid-s1-asr", tmp_path / "vsr-grid-1.2")
    (tmp_path / "vsr-grid-1.2" / "card.md").write_text("# x\n\nKnows: little\n\n* License: " + "a long one " * 9)
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\nvsr-grid-1.2 ") == 1
    assert "use:   lipsound2 transcribe CLIP --asr vsr-grid-1.2\n" in shown
    assert str(tmp_path) in shown
    assert max(map(len, shown.replace(str(tmp_path), "").splitlines())) <= 100
    assert main(["models", "--json"]) == 0
    record = next(row for row in json.loads(capsys.readouterr().out) if row["name"] == "vsr-grid-1.2")
    assert (record["source"], record["path"]) == ("user", str(tmp_path / "vsr-grid-1.2"))
    assert record["license"] == ("a long one " * 9).strip()


def test_a_damaged_model_hides_no_other(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.setenv("LIPSOUND2_MODELS", str(tmp_path))
    for name in ("broken", "whole"):
        shutil.copytree(model_names.PRETRAINED / "grid-s1-asr", tmp_path / name)
    (tmp_path / "broken" / "fetched.json").write_text("{")
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "\nwhole " in shown
    assert "\nbroken " not in shown
    assert "broken/fetched.json" in caplog.text


def test_every_known_model_says_how_it_is_had():
    for model in known_models().values():
        verb, file, *words = model.convert.split()[1:]
        options = vars(verb_parser(verb, load(verb)).parse_args([file, *words]))
        assert str(options["file"]) == model.file
        assert not model.hub or all(re.fullmatch("[0-9a-f]{64}", digest) for digest in model.hub.files.values())


def test_json_has_a_record_for_each_with_its_real_size(capsys):
    assert main(["models", "--json"]) == 0
    records = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    here = [name for name, record in records.items() if record["source"] != "public"]
    assert here == model_names.shipped()
    parallel = records["grid-s1-parallel"]
    assert parallel["task"] == "regress"
    assert parallel["source"] == "ships"
    assert parallel["size"] == sum(path.stat().st_size for path in Path(parallel["path"]).iterdir())
    assert all(value for name in here for key, value in records[name].items() if key != "origin")
    assert list(records)[len(here) :] == list(known_models())
    assert all(records[name][key] for name in known_models() for key in ("kind", "source", "license", "use", "path"))


def test_the_commands_it_gives_are_commands(capsys):
    """Each option takes a model of the kind that it is shown with."""

    for record in models_here():
        program, verb, *words = record.use.split()
        assert program == "lipsound2"
        options = vars(verb_parser(verb, load(verb)).parse_args(words))
        assert record.name in options.values()


@pytest.mark.parametrize("use", [*USES.values(), LIP_READER, STATE_READER, PRETEXT], ids=lambda use: use.kind)
def test_the_command_of_every_kind_of_model_is_one(use: Use):
    program, verb, *words = shlex.split(use.of("some-model"))
    assert program == "lipsound2"
    rest = ["--train", "A", "--valid", "B", "--dump", "C", "--exp", "D"] if verb == "train" else []
    options = vars(verb_parser(verb, load(verb)).parse_args([*words, *rest]))
    given = [str(value).removeprefix("pase:") for value in options.values()]
    assert "some-model" in given


def test_every_task_has_a_command():
    ours = {name for name, place in TASKS.items() if place.startswith("lipsound2.")}  # other tests add toys
    assert set(USES) == ours


CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("egs/*/conf/*.yaml"))


@pytest.mark.parametrize("config", CONFIGS)
def test_fault_a_pack_and_the_list_tell_the_same_command(config: str, tmp_path):
    """Whatever the input and target of a config are: `pack` prints the one, `models` the other."""
    found = load_config(ROOT / config)
    write_yaml(tmp_path / "config.yaml", found.mapping())
    assert record_of(tmp_path, "user").use == found.task.usage(tmp_path)


@pytest.mark.parametrize(
    ("config", "kind", "use"),
    [
        ({"task": "classify", "input": "mouth"}, "word classifier", "decode m DIR OUT --dump DUMP"),
        ({"task": "classify", "input": "features-lira"}, "word classifier", "decode m DIR OUT --dump DUMP"),
        ({"task": "recognize", "input": "features-lira"}, "recognizer of trunk states", "decode m DIR OUT --dump DUMP"),
        ({"task": "recognise", "input": "sound"}, "recognizer of audio", "transcribe CLIP --asr m"),
        ({"task": "recognize"}, "recognizer of audio", "transcribe CLIP --asr m"),
        ({"task": "recognize", "input": "mouth-published"}, "lip reader", "transcribe CLIP --model m"),
        ({"task": "regress", "target": "mel-paper"}, "lip-to-speech", "speak CLIP --model m"),
        ({"task": "regress", "target": "targets-pase"}, "pretext of lip reading", "features m DIR DUMP"),
        ({"task": "trunk"}, "trunk", 'train CONFIG --init m --override "init_only: [trunk]"'),
        ({"task": "later"}, "later", ""),
    ],
    ids=str,
)
def test_fault_a_model_is_told_with_the_verb_that_takes_it(config, kind, use, tmp_path, monkeypatch):
    monkeypatch.setenv("LIPSOUND2_MODELS", str(tmp_path))
    write_yaml(tmp_path / "m" / "config.yaml", config)
    found = next(record for record in models_here() if record.name == "m")
    assert (found.kind, found.use) == (kind, f"lipsound2 {use}" if use else "not said")
    assert reads_lips(found) == (kind in ("lip reader", "lip-to-speech"))
    assert hears(found) == (kind == "recognizer of audio")
    with pytest.raises(LipsoundError) as told:
        model_names.check_task("m", "another")
    assert str(told.value).endswith(f"wanted one of 'another'{f'; use it with: {found.use}' if use else ''}")


def test_a_long_line_is_wrapped_and_no_model_is_a_head_alone():
    record = ModelRecord("m", "k", "regress", "ships", 1, "1 M", "MIT", "word " * 60, "t", "u", "p")
    assert max(map(len, as_table([record]).splitlines())) <= 100
    assert as_table([]) == "model  what it is  size  weights  license"


def test_listing_loads_no_torch():
    code = "import sys; from lipsound2.cli import main; main(['models']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
