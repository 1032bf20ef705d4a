"""`transcribe --correct`: a program of the user's beside the text that was read; never instead of it."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path

import pytest
from test_transcribe_outputs import SAID, clip, status_of  # noqa: F401 - clip is a fixture

from lipsound2.cli import main
from lipsound2.errors import LipsoundError
from lipsound2.inference.correction import LARGEST, Corrector
from lipsound2.inference.transcript import Transcript

WHAT = Transcript.of(SAID, {"same": "three words"}, calibrated=True)
FIX = "import json, sys; what = json.load(sys.stdin); "


def program(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def test_a_program_is_given_everything_and_its_text_stands_beside_ours():
    code = FIX + "print(what['text'], what['words'][1]['confidence'], what['alternatives'][0]['text'], what['models'])"
    made = Corrector(program(code))(WHAT)
    assert made.text == SAID.text
    assert made.corrected == f"{SAID.text} 0.4 bin red now [{{'name': 'same', 'knows': 'three words'}}]"
    assert made.to_json()["corrected"] == made.corrected
    assert made.warnings == []
    for suffix in (".txt", ".srt"):
        assert made.render(suffix) == WHAT.render(suffix)
    assert "corrected by a program" in made.render(".vtt")


def test_what_it_writes_is_one_line_that_a_terminal_shows_as_it_is():
    code = r"print('bin\n  blue \x1b[31m now\t!')"
    assert Corrector(program(code))(WHAT).corrected == "bin blue [31m now !"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import sys; print('no model', file=sys.stderr); sys.exit(3)", "ended with status 3: 'no model'"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended with status -11"),
        ("pass", "wrote nothing"),
        ("print('x' * 70000)", "wrote more than 64 KiB"),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')", "wrote what is no UTF-8"),
    ],
)
def test_a_program_that_fails_leaves_the_text_and_one_line(code, why):
    made = Corrector(program(code))(WHAT)
    assert made.corrected is None
    assert made.text == SAID.text
    assert len(made.warnings) == 1
    assert made.warnings[0].startswith("not corrected: ")
    assert made.warnings[0].endswith(why)


def test_its_time_is_limited_and_so_is_that_of_what_it_starts(tmp_path):
    mark = tmp_path / "mark"
    child = f"import time, pathlib; time.sleep(2); pathlib.Path({str(mark)!r}).touch()"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    begun = time.monotonic()
    made = Corrector(program(code), seconds=1)(WHAT)
    assert made.warnings[0].endswith("took more than 1 s")
    assert time.monotonic() - begun < 30
    time.sleep(2)
    assert not mark.exists()


def test_what_it_leaves_running_is_not_waited_for():
    code = "import subprocess; subprocess.Popen(['sleep', '60']); print('bin blue')"
    begun = time.monotonic()
    made = Corrector(program(code), seconds=30)(WHAT)
    assert (made.corrected, made.warnings) == ("bin blue", [])
    assert time.monotonic() - begun < 25


def test_a_program_may_write_much_to_standard_error_and_need_not_read():
    code = f"import sys; sys.stderr.write('x' * {4 * LARGEST}); print('bin blue now')"
    assert Corrector(program(code))(WHAT).corrected == "bin blue now"


def test_no_shell_runs_it(tmp_path):
    made = Corrector(program("import sys; print(sys.argv[1:])") + f" '$HOME' ; touch {tmp_path / 'mark'}")(WHAT)
    assert made.corrected == f"['$HOME', ';', 'touch', '{tmp_path / 'mark'}']"
    assert not (tmp_path / "mark").exists()


def test_a_text_without_words_is_not_given_to_it():
    silent = Transcript("")
    assert Corrector(program("print('made up')"))(silent) is silent


@pytest.mark.parametrize("command", ["no-such-program-1x", "", "python3 'x"])
def test_a_program_that_is_not_there_is_told_before_any_work(command):
    with pytest.raises(LipsoundError, match="--correct: "):
        Corrector(command)


def test_the_command_line_shows_both_texts_and_files_say_which(clip: Path, capsys):  # noqa: F811
    fix = Path("fix.py")
    fix.write_text(FIX + "print(what['text'].replace('<blue>', 'blue'))")
    words = ["transcribe", str(clip), "--correct", f"{shlex.quote(sys.executable)} fix.py"]
    assert main(words) == 0
    assert capsys.readouterr().out == "bin <blue> now\n  corrected  bin blue now\n"
    assert main([*words, "--txt", "a.txt", "--json", "a.json"]) == 0
    assert Path("a.txt").read_text() == "bin <blue> now\n"
    row = json.loads(Path("a.json").read_text())
    assert (row["text"], row["corrected"]) == ("bin <blue> now", "bin blue now")
    fix.write_text("raise SystemExit('out of memory')")
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out.endswith("bin <blue> now\n")
    assert "corrected  " not in said.out.splitlines()[-1]


def test_it_does_not_go_with_sentences_of_ones_own(clip: Path, capsys):  # noqa: F811
    Path("own.txt").write_text("bin blue\n")
    assert status_of(f"{clip} --correct cat --phrases own.txt") == 1
    assert "--correct: with --phrases" in capsys.readouterr().err
    assert status_of(f"{clip} --correct no-such-program-1x") == 1
    assert "--correct: no program 'no-such-program-1x'" in capsys.readouterr().err
