"""The verb `models`: what ships, without torch, in lines that fit a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from lipsound2 import model_names
from lipsound2.cli import load, main, verb_parser
from lipsound2.inference.model_list import ModelRecord, as_table, shipped_models


def test_every_model_that_ships_is_listed_with_what_a_user_asks(capsys):
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    for name in model_names.shipped():
        assert f"\n{name} " in shown
        assert f"{name}\n" in shown.partition("use:")[2], "no command with it"
    assert shown.count("CC BY 4.0") == len(model_names.shipped())
    assert "knows: one voice, speaker s1 of GRID" in shown


def test_json_has_a_record_for_each_with_its_real_size(capsys):
    assert main(["models", "--json"]) == 0
    records = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(records) == model_names.shipped()
    parallel = records["grid-s1-parallel"]
    assert parallel["task"] == "regress"
    assert parallel["source"] == "ships"
    assert parallel["size"] == sum(path.stat().st_size for path in Path(parallel["path"]).iterdir())
    assert all(value for record in records.values() for value in record.values())


def test_the_commands_it_gives_are_commands(capsys):
    """Each option takes a model of the kind that it is shown with."""

    for record in shipped_models():
        program, verb, *words = record.use.split()
        assert program == "lipsound2"
        options = vars(verb_parser(verb, load(verb)).parse_args(words))
        assert record.name in options.values()


def test_a_long_line_is_wrapped_and_no_model_is_a_head_alone():
    record = ModelRecord("m", "k", "regress", "ships", 1, "1 M", "MIT", "word " * 60, "t", "u", "p")
    assert max(map(len, as_table([record]).splitlines())) <= 100
    assert as_table([]) == "model  what it is  size  weights  license"


def test_listing_loads_no_torch():
    code = "import sys; from lipsound2.cli import main; main(['models']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
