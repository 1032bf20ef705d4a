"""The command line: every verb explains itself; a mistake is one line and the right status."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from lipsound2 import cli


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "lipsound2.cli", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_option_of_every_verb_is_explained(verb):
    function = cli.load(verb)
    parser = cli.verb_parser(verb, function)
    assert parser.description
    described = {action.dest: action.help for action in parser._actions}
    for name in inspect.signature(function).parameters:
        assert described[name], f"{verb}: the option {name} has no help; name it under Args: in the docstring"


def test_overview_and_unknown_verb():
    overview = run("--help")
    assert overview.returncode == 0
    assert all(verb in overview.stdout for verb in cli.VERBS)
    wrong = run("sing")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("lipsound2: unknown verb 'sing'; one of: ")


def test_usage_errors_have_status_2_and_mistakes_have_status_1(tmp_path):
    assert run("validate").returncode == 2
    missing = run("crop", str(tmp_path / "nowhere"), str(tmp_path / "dump"))
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1
    assert "nowhere" in missing.stderr


def test_options_come_from_the_signature(capsys):
    def verb(source: str, *, size: int = 3, names: tuple[str, ...] = ("a", "b"), fast: bool = False) -> None:
        """Do it.

        Args:
            source: what to read.
            size: how large,
                in pixels.
            names: which.
            fast: hurry.
        """

    parser = cli.verb_parser("verb", verb)
    options = vars(parser.parse_args(["x", "--size", "4", "--names", "c,d", "--fast"]))
    assert options == {"source": "x", "size": 4, "names": ("c", "d"), "fast": True, "debug": False}
    text = " ".join(parser.format_help().split())
    assert "how large, in pixels. (default: 3)" in text
    assert "which. (default: a,b)" in text
