"""Completion: what the scripts offer is what the parsers take, and a shell that reads them offers it."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from lipsound2 import cli
from lipsound2.completion import options_of


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("verb", cli.VERBS)
def test_options_and_choices_are_those_of_the_parser(verb: str):
    actions = cli.verb_parser(verb, cli.load(verb))._actions
    wanted = {flag: action for action in actions for flag in action.option_strings if flag != "-h"}
    found = {option.flag: option for option in options_of(verb)}
    assert found.keys() == wanted.keys()
    for flag, action in wanted.items():
        assert found[flag].takes_value == (action.nargs != 0), flag
        if action.choices and found[flag].choices:
            assert list(found[flag].choices) == list(action.choices)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sp"], ["speak"]),
        (["speak", "clip.mp4", "--form"], ["--format"]),
        (["speak", "--format", ""], ["wav", "flac", "ogg", "mp3"]),
        (["speak", "--subtitles", "b"], ["burn"]),
        (["speak", "--vocoder", "gr"], ["griffin-lim", "grid-s1-vocos"]),
        (["transcribe", "a.wav", "--asr", ""], ["grid-s1-asr"]),
        (["transcribe", "--model", ""], ["grid-s1-parallel", "grid-s1-vsr"]),
        (["transcribe", "--ctc"], ["--ctc-weight"]),
        (["crop", "d", "dump", "--no-"], []),
        (["completion", "f"], []),
        (["models", ""], ["get", "push"]),
        (["models", "--js"], ["--json"]),
        (["models", "get", "--de"], ["--debug"]),
        (["speak", "get", "--js"], []),
    ],
)
def test_bash_offers_them(words: list[str], offered: list[str], capsys):
    code = script("bash", capsys)
    line = " ".join(f"'{word}'" for word in ["lipsound2", *words])
    code += f'\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _lipsound2; printf "%s\\n" "${{COMPREPLY[@]}}"\n'
    done = subprocess.run(["bash", "-euc", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == offered
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_reads_its_script(shell: str, capsys):
    text = script(shell, capsys)
    assert all(word in text for verb in cli.VERBS for word in verb.split())
    assert "griffin-lim grid-s1-vocos" in text
    if shutil.which(shell):  # else what it holds is looked at alone
        subprocess.run([shell, "-n", "-c" if shell == "zsh" else "/dev/stdin"], input=text, text=True, check=True)


def test_writing_it_loads_no_torch():
    code = "import sys; from lipsound2.cli import main; main(['completion', 'bash']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_shell_that_is_none_is_told(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["completion", "tcsh"])
    assert "wanted one of: bash, zsh, fish" in capsys.readouterr().err
