"""`docs/reproduce.md` names recipes, configs, protocols and options that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lipsound2.cli import load, verb_parser
from lipsound2.corpora.registry import load as load_corpus

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
OF_RECIPE = {"aishell2": "aishell"}  # recipe -> corpus of another name
# A command of the page on one line, wherever it is broken.
COMMANDS = re.findall(r"(?:\./run\.sh|lipsound2 [a-z]+) [^`\n|]+", PAGE.replace("\\\n", " "))


def test_rows_name_recipes_and_protocols_that_exist():
    rows = re.findall(r"\| (\w+), `([\w-]+)`(?: and `([\w-]+)`)?", PAGE)
    assert {recipe for recipe, *_ in rows} == {"grid", "librispeech", "aishell2", "tcd_timit", "cmlr", "lrw", "lrs2"}
    for recipe, *protocols in rows:
        assert set(filter(None, protocols)) <= set(load_corpus(OF_RECIPE.get(recipe, recipe)).protocols), recipe
        for config in re.findall(rf"\| {recipe}, `[^|]+ \| `(conf/\w+\.yaml)` \|", PAGE):
            assert (ROOT / "egs" / recipe / config).is_file()
    for recipe, row in re.findall(r"\| (lrw|lrs2), `\w+` (\|.*)", PAGE):
        for config in re.findall(r"conf/\w+\.yaml", row):
            assert (ROOT / "egs" / recipe / config).is_file()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_have_options_that_exist(command):
    given = set(re.findall(r"--[a-z-]+", command))
    if command.startswith("./run.sh"):
        script = (ROOT / "utils" / "options.sh").read_text(encoding="utf-8")
        known = {f"--{name.replace('_', '-')}" for name in re.findall(r"^([a-z_]+)=.* # ", script, re.MULTILINE)}
    else:
        verb = command.split()[1]
        known = {flag for action in verb_parser(verb, load(verb))._actions for flag in action.option_strings}
    assert given <= known
