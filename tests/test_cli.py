"""The command line: every verb explains itself; a mistake is one line and the right status."""

from __future__ import annotations

import dataclasses
import errno
import shlex
import subprocess
import sys
import typing
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import soundfile

import lipsound2
from lipsound2 import cli, old_names
from lipsound2.arguments import Within
from lipsound2.errors import ClipFailure, LipsoundError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "lipsound2.cli", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_option_of_every_verb_is_explained(verb):
    function = cli.load(verb)
    parser = cli.verb_parser(verb, function)
    assert parser.description
    assert "(default: )" not in parser.format_help()
    described = {action.dest: action.help for action in parser._actions}
    for parameter in cli.parameters_of(function):
        name = parameter.name
        assert described[name], f"{verb}: the option {name} has no help; name it under Args: in the docstring"


def test_a_reader_that_goes_away_is_no_error():
    """As `lipsound2 --help | head -1`: nothing on stderr, also when Python flushes at its end."""
    child = subprocess.Popen(
        [sys.executable, "-m", "lipsound2", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    child.stdout.close()
    _, said = child.communicate(timeout=180)
    assert (child.returncode, said) == (1, b"")


def test_a_verb_of_two_words_is_found_helped_and_named_in_its_errors(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["models", "get", "--help"])
    assert capsys.readouterr().out.startswith("usage: lipsound2 models get")
    with pytest.raises(SystemExit, match="0"):
        cli.main(["help", "models", "get"])
    assert capsys.readouterr().out.startswith("usage: lipsound2 models get")
    assert cli.main(["models", "get", "vsr-lrs3-19.0"]) == 1
    assert capsys.readouterr().err.startswith("lipsound2 models get: vsr-lrs3-19.0: no known public model; lipsound2")
    assert cli.main(["models get", "x"]) == 2
    assert "unknown verb 'models get'" in capsys.readouterr().err
    assert cli.main(["models", "gte"]) == 2
    assert capsys.readouterr().err == "lipsound2: unknown verb 'models gte'; did you mean 'get'?\n"


def test_overview_and_unknown_verb():
    overview = run("--help")
    assert overview.returncode == 0
    assert all(verb in overview.stdout for verb in cli.VERBS)
    places = [
        overview.stdout.index(word) for word in ("your own clips:", "\n  speak ", "corpora and data dirs:", "python -m")
    ]
    assert places == sorted(places)
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


@dataclasses.dataclass(frozen=True)
class Shared:
    """Options that verbs share.

    Attributes:
        width: how wide.
        name: how called.
    """

    width: Annotated[int, Within(1)] = 3
    name: str = ""


def test_a_dataclass_stands_for_its_fields_before_and_behind_many_arguments(capsys):
    def verb(first: str, *rest: str, shared: Shared = Shared(), last: bool = False) -> list:
        """Do it.

        Args:
            first: of all.
            rest: of them.
            last: at all.
        """
        return [first, rest, shared, last]

    parser = cli.verb_parser("verb", verb)
    assert "how wide. (default: 3)" in " ".join(parser.format_help().split())
    options = vars(parser.parse_args(["a", "b", "c", "--width", "4", "--last"]))
    options.pop("debug")
    assert cli._call(verb, options) == ["a", ("b", "c"), Shared(width=4), True]
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["a", "b", "--width", "0"])
    assert "found '0', wanted a whole number of at least 1" in capsys.readouterr().err


def failing(error, monkeypatch, capsys):
    """What `cli.main` says when a verb meets this error."""

    def verb() -> None:
        """Do it."""
        if callable(error):
            error()
        raise error

    monkeypatch.setattr(cli, "load", lambda name: verb)
    assert cli.main(["validate"]) == 1
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "--debug" not in text, "told as a bug"
    return text.removeprefix("lipsound2 validate: ").strip()


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/mnt/a/x.tsv"), "cannot write /mnt/a/x.tsv: read-only file"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device: free some room"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "x"), "cannot write x: disk quota exceeded; delete what"),
        (OSError(errno.ESTALE, "Stale file handle", "/nfs/a"), "cannot open /nfs/a: stale file handle; the server"),
        (OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"), "cannot write a: invalid cross-device"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "no memory is left"),
        (MemoryError(), "no memory is left"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "no memory is left"),
        (ClipFailure("no-audio", "a.mp4: no audio stream"), "no-audio: a.mp4: no audio stream"),
        (PermissionError(errno.EACCES, "Permission denied", "/nowhere/at/all"), "cannot open /nowhere/at/all: perm"),
        (LipsoundError("a\x1b[31m b\nc"), r"a\x1b[31m b\nc"),
    ],
)
def test_fault_C6_what_the_machine_answers_is_told_in_one_plain_line(error, wanted, monkeypatch, capsys):
    assert wanted.lower() in failing(error, monkeypatch, capsys).lower()


def test_fault_C6_a_file_is_named_whatever_reads_or_writes_it(tmp_path, monkeypatch, capsys):
    missing = tmp_path / "none.wav"
    for act in (lambda: missing.read_text(), lambda: soundfile.read(missing)):
        assert failing(act, monkeypatch, capsys).startswith(f"cannot open {missing}: no such file or folder; is the")
    nowhere = tmp_path / "no" / "a.wav"
    said = failing(lambda: soundfile.write(nowhere, np.zeros(9), 8000), monkeypatch, capsys)
    assert said == f"cannot open {nowhere}: there is no folder {nowhere.parent}; is the name right?"
    assert "is a directory; give the name" in failing(lambda: tmp_path.read_bytes(), monkeypatch, capsys)
    assert "shorter name" in failing(lambda: (tmp_path / ("x" * 300)).write_text(""), monkeypatch, capsys)
    name = b"caf\xe9.mp4".decode("utf-8", "surrogateescape")
    said = failing(lambda: (tmp_path / "list").write_text(name, encoding="utf-8"), monkeypatch, capsys)
    assert said == r"the name 'caf\udce9.mp4' is not UTF-8; rename the file or folder"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["speek", "a.mp4"], "lipsound2: unknown verb 'speek'; did you mean 'speak'?"),
        (["crop", "a", "b", "--lancher", "slurm"], "unknown option '--lancher'; did you mean '--launcher'?"),
        (["compare", "a=b", "c", "-score", "x"], "unknown option '-score'; did you mean '--score'?"),
        (
            ["mel", "a", "b", "--mel", "finne"],
            "found 'finne', wanted one of: fine, paper, speecht5, none; did you mean 'fine'?",
        ),
        (
            ["crop", "a", "b", "--nj", "two"],
            "crop: --nj: found 'two', wanted a whole number of at least 1; see",
        ),
        (["crop", "a", "b", "c"], "unexpected argument 'c'; what is taken without an option: DIR DUMP"),
        (["crop", "a", "b", "--nj"], "lipsound2 crop: --nj: needs a value"),
        (
            ["compare", "exp/a"],
            "compare: exp/a: a second experiment is wanted; write lipsound2 compare exp/a exp/b",
        ),
        (
            ["compare"],
            'write lipsound2 compare exp/a exp/b, or lipsound2 compare "one=exp/a,other=exp/b" exp/both; see',
        ),
        (["pack", "exp/a", "b"], "lipsound2 pack: missing: --knows KNOWS (one line about the voices"),
        (["models", "get"], "missing: MODEL (name of a known public model, such as vsr-lrs3-19.1); see"),
        (["synthesize", "EXP", "DIR"], "missing: OUT (folder to write, with a folder for each system), --dump DUMP ("),
        (["transcribe"], "missing: MEDIA ("),
        (["help", "crp"], "unknown verb 'crp'; did you mean 'crop'?"),
    ],
)
def test_wrong_usage_is_one_line_that_names_what_is_near(words, wanted, capsys):
    try:
        status = cli.main(words)
    except SystemExit as end:
        status = end.code
    assert status == 2
    told = capsys.readouterr().err
    assert wanted in told
    assert told.count("\n") == 1


def options_of_numbers() -> list[tuple[str, str]]:
    """Every option of every verb that is a number, or several."""
    return [
        (verb, parameter.name)
        for verb in cli.VERBS
        for parameter in cli.parameters_of(cli.load(verb))
        if {int, float} & {parameter.hint, *typing.get_args(parameter.hint)}
    ]


@pytest.mark.parametrize(("verb", "option"), options_of_numbers())
def test_fault_G5_every_number_has_a_range_that_is_looked_at_before_any_work(verb, option, capsys):
    if option in ("word_bonus", "best", "last", "prune", "folds", "show") or (verb, option) == ("words", "least"):
        pytest.skip("any number, or looked at by the verb, which depends on others")
    with pytest.raises(SystemExit, match="2"):
        cli.main([*verb.split(), f"--{option.replace('_', '-')}", "-1"])
    told = capsys.readouterr().err
    assert f"found '-1', wanted a{' whole' if 'whole' in told else ''} number" in told, told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["crop", "d", "o", "--min-face-ratio", "2"], "--min-face-ratio: found '2', wanted a number from 0 to 1"),
        (
            ["crop", "d", "o", "--detect-interval", "0"],
            "--detect-interval: found '0', wanted a whole number of at least 1",
        ),
        (["crop", "d", "o", "--crf", "52"], "--crf: found '52', wanted a number from 0 to 51"),
        (["mel", "d", "o", "--max-failures", "5"], "--max-failures: found '5', wanted a number from 0 to 1"),
        (["targets", "d", "o", "--nj", "0"], "--nj: found '0', wanted a whole number of at least 1"),
        (["generate", "c", "--looks", "0,-1"], "found '0,-1', wanted a whole number of at least 0, or several with"),
    ],
)
def test_fault_G5_a_number_out_of_range_is_one_line(words, wanted, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    assert wanted in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["crop", "d", "o", "--min-face-ratio", "nan"], ["mel", "d", "o", "--max-failures", "inf"]]
)
def test_fault_G5_a_number_that_is_none_is_refused(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    assert f"found '{words[-1]}', wanted a number" in capsys.readouterr().err


def test_a_file_whose_name_begins_like_an_option_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-dash.mp4").touch()
    with pytest.raises(SystemExit):
        cli.main(["validate", "-dash.mp4"])
    assert "-dash.mp4: begins as an option does; to name the file, write ./-dash.mp4" in capsys.readouterr().err


def test_values_that_begin_with_a_sign_are_taken():
    def verb(source: str, *, bonus: float = 0.0, override: str = "") -> None:
        """Do it."""

    parser = cli.verb_parser("verb", verb)
    options = vars(parser.parse_args(["-", "--bonus", "-1e-2", "--over", "-a: b"]))
    assert options == {"source": "-", "bonus": -0.01, "override": "-a: b", "debug": False}
    assert vars(parser.parse_args(["--", "-x"]))["source"] == "-x"


def test_fault_E12_the_package_says_what_there_is():
    shown = subprocess.run([sys.executable, "-m", "lipsound2", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"{lipsound2.__version__}\n"
    assert "lipsound2 --help" in (lipsound2.__doc__ or "")
    with pytest.raises(AttributeError, match=r"'convert_pase'; it is lipsound2.cli.load\('convert-pase'\)"):
        lipsound2.convert_pase  # noqa: B018
    assert not hasattr(lipsound2, "nothing")


def test_an_option_is_read_by_the_name_it_had(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Old commands and recipes run; one line says what the option is called now."""
    monkeypatch.setitem(old_names.OPTIONS, "toy", {"old-name": "new-name", "gone": "kept"})
    given = []

    def toy(place: Path, *, new_name: str = "", kept: bool = True) -> None:
        """A toy."""
        given.append((place, new_name, kept))

    monkeypatch.setitem(cli.VERBS, "toy", ("somewhere:toy", "a toy"))
    monkeypatch.setattr(cli, "load", lambda verb: toy)
    assert cli.main(["toy", "a", "--old-name", "x"]) == 0
    assert cli.main(["toy", "--old-name=--gone", "--no-gone", "a"]) == 0
    assert cli.main(["toy", "--new-name", "x", "--", "--gone"]) == 0
    assert given == [(Path("a"), "x", True), (Path("a"), "--gone", False), (Path("--gone"), "x", True)]
    assert capsys.readouterr().err.splitlines() == [
        "lipsound2 toy: --old-name is now called --new-name; the old name is still read",
        "lipsound2 toy: --old-name is now called --new-name; the old name is still read",
        "lipsound2 toy: --no-gone is now called --no-kept; the old name is still read",
    ]


def test_renamed_options_are_options_today():
    for verb, names in old_names.OPTIONS.items():
        flags = set(cli.verb_parser(verb, cli.load(verb))._option_string_actions)
        assert {f"--{name}" for name in names.values()} <= flags
        assert not {f"--{name}" for name in names} & flags


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has /dev/full")
def test_standard_output_that_is_closed_or_full() -> None:
    line = f"exec {sys.executable} -m lipsound2 --version"
    closed = subprocess.run(["bash", "-c", f"{line} >&-"], capture_output=True, text=True)
    assert (closed.returncode, closed.stderr) == (0, "")
    full = subprocess.run(["bash", "-c", f"{line} >/dev/full"], capture_output=True, text=True)
    assert full.returncode == 1
    assert full.stderr == "lipsound2: standard output cannot be written: No space left on device\n"


def test_standard_error_that_is_closed(tmp_path: Path) -> None:
    """No file of ours takes its number: what libraries print would end up in it."""
    code = "import os, sys; from lipsound2 import cli; cli.main(['--version']); print(open(sys.argv[1], 'w').fileno())"
    command = f"exec {sys.executable} -c {shlex.quote(code)} {tmp_path / 'file'} 2>&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0
    assert int(done.stdout.split()[-1]) > 2
