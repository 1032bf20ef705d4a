"""The shell helpers of the recipes: options declared once, mistakes stopped, resuming told."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.recipe_copies import copy_recipes

ROOT = Path(__file__).resolve().parents[1]
RECIPES = sorted(ROOT.glob("egs/*/run*.sh"))

SCRIPT = f"""#!/usr/bin/env bash
# A recipe for a test.
set -euo pipefail
root={ROOT}
# options
stage=0          # first stage
stop_stage=2     # last stage
fail=no          # fail in stage 1
greeting=        # what to say
# end of options
. "$root/utils/parse_options.sh"
. "$root/utils/stages.sh"
if stage 0 "greet"; then
  echo "zero $greeting"
fi
if stage 1 "work"; then
  [ "$fail" = no ]
  echo one
fi
if stage 2 "end"; then
  echo two
fi
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "run.sh"
    path.write_text(SCRIPT, encoding="utf-8")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", str(path), *arguments], capture_output=True, text=True)

    return run


def test_help_shows_the_declarations(recipe):
    text = recipe("--help").stdout
    assert "A recipe for a test." in text
    assert "--stop-stage" in text
    assert "last stage (default: 2)" in text
    assert "what to say\n" in text


@pytest.mark.parametrize("script", RECIPES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_recipe_explains_itself_before_any_set_up(script, tmp_path):
    recipe = copy_recipes(tmp_path, script.parent.name) / script.parent.name
    (recipe.parents[1] / "tools" / "install.sh").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    for command, folder in ((f"./{script.name}", recipe), (f"{recipe.name}/{script.name}", recipe.parent)):
        told = subprocess.run([command, "--nj", "3", "--help"], cwd=folder, capture_output=True, text=True, check=True)
        assert "--nj" in told.stdout
        assert told.stderr == ""
    asked = [f"./{script.name}", *(["--target", "logmel"] if script.parent.name == "lrs3" else [])]
    asked += ["--stage", "1"] if script.name == "run.sh" else []  # stage 0 looks for the corpus first
    asked += ["--corpus", "."] if script.name in ("run_adapt.sh", "run_transcripts.sh") else []  # so do all of these
    assert subprocess.run(asked, cwd=recipe, capture_output=True).returncode == 1  # the set-up failed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--stge", "1"], "unknown option '--stge'"),
        (["--stage"], "option '--stage' needs a value"),
        (["--stge=1"], "unknown option '--stge'; did you mean '--stage'?"),
        (["--stage=three"], "--stage: found 'three', wanted a stage: 0 to 2"),
        (["1"], "unexpected argument '1'"),
    ],
)
def test_wrong_usage_stops_before_any_stage(recipe, arguments, told):
    result = recipe(*arguments)
    assert result.returncode == 2
    assert told in result.stderr
    assert "zero" not in result.stdout


def test_stages_are_chosen(recipe):
    out = recipe("--stage", "1", "--stop-stage", "1").stdout
    assert "one" in out
    assert "zero" not in out
    assert "two" not in out


def test_a_value_may_stand_behind_an_equals_sign(recipe):
    done = recipe("--stop-stage=0", "--greeting=a = b")
    assert "zero a = b" in done.stdout
    assert "--greeting 'a = b' --stage 1" in done.stdout
    assert "zero \n" in recipe("--greeting=", "--stop-stage=0").stdout


def test_values_keep_blanks_and_letters_of_any_language(recipe):
    assert "zero grüß gott" in recipe("--greeting", "grüß gott", "--stop-stage", "0").stdout


def test_a_stage_says_how_to_go_on(recipe, tmp_path):
    called = tmp_path / "run.sh"  # as it was called, wherever from
    done = recipe("--stop-stage", "0", "--greeting", "x").stdout
    assert f"to go on from here: {called} --greeting x --stage 1" in done
    for value, typed in (("lr: 1e-4, b: [1, 2]", "'lr: 1e-4, b: [1, 2]'"), ("", "''"), ("it's", "'it'\\''s'")):
        done = recipe("--greeting", value, "--stop-stage", "0").stdout
        assert f"to go on from here: {called} --greeting {typed} --stage 1" in done
        assert subprocess.run(["bash", "-c", f"printf %s {typed}"], capture_output=True, text=True).stdout == value
    failed = recipe("--fail", "yes", "--stage", "1")
    assert failed.returncode == 1
    assert "stage 1 failed" in failed.stderr
    assert f"Once what is said above is mended: {called} --fail yes --stage 1" in failed.stderr
    assert "two" not in failed.stdout


def test_fault_E14_what_tests_compare_with_is_installed_by_their_command():
    """Every package a test does without when it is absent is in an extra that `tools/test.sh` sets up."""
    command = (ROOT / "tools/test.sh").read_text(encoding="utf-8")
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = re.search(r"--extras (\S+)", command)[1].split(",")
    brought = {"mediapipe"}  # by tools/install.sh itself, without what it declares
    for extra in extras:
        lines = config["options.extras_require"][extra].splitlines()
        brought |= {re.split(r"[ <>=]", line)[0].replace("_", "-") for line in lines if line}
    named = {"dlib": "dlib-bin", "kenlm": "ufal-kenlm"}
    texts = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    wanted = set(re.findall(r"importorskip\(\"(\w+)", texts)) - {"torchaudio"}  # tools/torchaudio_check.sh has its own
    assert "kenlm" in wanted
    assert {named.get(module, module.replace("_", "-")) for module in wanted} - brought == set()


def test_fault_E13_the_marker_of_gpu_check_collects_tests():
    """`tools/gpu_check.sh checks` passes none over, and none has the marker without a reason."""
    using = [path for path in sorted(ROOT.glob("tests/test_*.py")) if "mark.cuda\n" in path.read_text(encoding="utf-8")]
    chosen = re.search(r"grep -l '(.*)' \"\$root\"/tests", (ROOT / "tools/gpu_check.sh").read_text(encoding="utf-8"))[1]
    assert all(re.search(chosen, path.read_text(encoding="utf-8"), re.MULTILINE) for path in using)
    command = [sys.executable, "-m", "pytest", "-m", "cuda", "--collect-only", "-q", "-p", "no:cacheprovider"]
    found = subprocess.run([*command, *map(str, using)], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    assert found.stdout.count("tests/test_") >= len(using) >= 3


@pytest.mark.parametrize("path", sorted(ROOT.glob("egs/*/run.sh")), ids=lambda path: path.parent.name)
def test_every_recipe_folder_is_complete(path):
    folder = path.parent
    for name in ("conf", "README.md"):
        assert (folder / name).exists(), f"{folder.name}: no {name}"
    assert path.read_text(encoding="utf-8").endswith('. "$root/utils/pipeline.sh"\n')


MAKES = """#!/usr/bin/env bash
# An interpreter that makes an environment with itself inside, and writes down what it is asked for.
echo "$*" >>"$LOG"
case $* in
  "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  *install*--editable*) [ -z "${BREAK:-}" ] ;;
esac
"""


@pytest.fixture
def checked_beside_torchaudio(tmp_path):
    """`tools/torchaudio_check.sh` with an interpreter that only notes: what it asked for, and the whole outcome."""
    (tmp_path / "python").write_text(MAKES, encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "df").write_text("#!/bin/sh\necho Avail; echo 99G\n", encoding="utf-8")
    (tmp_path / "df").chmod(0o755)

    def run(*arguments: str, **more: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
        log = tmp_path / "log"
        log.write_text("")
        settings = {"PYTHON": str(tmp_path / "python"), "LOG": str(log), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        command = [str(ROOT / "tools/torchaudio_check.sh"), *arguments]
        environment = os.environ | settings | more
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        return log.read_text().splitlines(), done

    return run


def test_the_environment_beside_torchaudio_is_made_once_and_wholly(checked_beside_torchaudio, tmp_path):
    asked, done = checked_beside_torchaudio("there", BREAK="yes")
    assert done.returncode == 1
    assert not any(line.startswith("-m pytest") for line in asked)
    asked, done = checked_beside_torchaudio("there")  # begun again, because the first did not end; a relative name
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in asked if line.startswith("-m")] == ["venv", "pip", "pip", "pytest"]
    torch = re.search(r"^torch==(.*)$", (ROOT / "tools/constraints.txt").read_text(), re.MULTILINE)[1]
    assert any(f"torch==={torch} torchaudio" in line for line in asked)
    assert "torchaudio==" in (tmp_path / "there/constraints.txt").read_text()
    asked, done = checked_beside_torchaudio("there")
    assert [line.split()[1] for line in asked if line.startswith("-m")] == ["pytest"]


def test_a_folder_of_something_else_gets_no_environment(checked_beside_torchaudio, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    asked, done = checked_beside_torchaudio("photos")
    assert (asked, done.returncode) == ([], 1)
    assert "photos holds something else" in done.stderr


PLAYS = """#!/usr/bin/env bash
# An interpreter for which every check takes no time and one fails.
echo "$*" >>"$LOG"
case $* in
  *bench_decoder*) echo "no such kernel" >&2; exit 1 ;;
  *lipsound2.cli*compiled*)
    while [ "$1" != --exp ]; do shift; done
    mkdir -p "$2"; echo "going on after update 2" >"$2/train.log" ;;
esac
"""


@pytest.mark.parametrize("minutes", ["9", "0"])
def test_fault_E13_every_check_of_a_gpu_is_tried_and_told(tmp_path, minutes):
    """One that fails stops no other, time that is over is told, and the outcome lies in two files."""
    (tmp_path / "python").write_text(PLAYS, encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    settings = {"PYTHON": str(tmp_path / "python"), "LOG": str(tmp_path / "log"), "NGPU": "0", "MINUTES": minutes}
    command = [str(ROOT / "tools/gpu_check.sh"), "checks", "out"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == 1
    ends = dict(
        re.match(r"(\S+) +\d+ s  (.*)", line).groups()
        for line in (tmp_path / "out/summary.txt").read_text().splitlines()
    )
    steps = ["tests", "nccl", "compiled-2", "compiled-3", "resumed", "decoder", "trunk", "configs", "vocoder"]
    expected = dict.fromkeys(steps, "ok") | {"decoder": "FAILED with status 1"}
    assert ends == (expected if minutes == "9" else dict.fromkeys(steps, "not begun: time is over"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["checks.txt", "summary.txt"]
    if minutes == "9":
        assert "no such kernel" in (tmp_path / "out/checks.txt").read_text()
        some = os.environ | settings | {"STEPS": "vocoder trunk"}
        assert subprocess.run(command, cwd=tmp_path, env=some, capture_output=True).returncode == 0
        again = (tmp_path / "out/summary.txt").read_text().splitlines()
        assert [line.split()[0] for line in again] == ["trunk", "vocoder"]
        none = os.environ | settings | {"STEPS": "vocodr"}
        assert subprocess.run(command, cwd=tmp_path, env=none, capture_output=True).returncode == 2


def test_what_gpu_check_gives_the_benchmarks_is_known_to_them():
    """`bench_griffin_lim.py --device` was an option that it never had."""
    text = (ROOT / "tools/gpu_check.sh").read_text(encoding="utf-8").replace("\\\n", " ")
    told = re.findall(r"\$bench/(bench_\w+\.py)\"(.*)", text)
    assert {name for name, _ in told} == {"bench_configs.py", "bench_decoder.py", "bench_vocoder.py", "bench_trunk.py"}
    for name, options in told:
        source = (ROOT / "tests/benchmarks" / name).read_text(encoding="utf-8")
        known = set(re.findall(r"add_argument\(\"--([a-z-]+)", source)) | {
            option.replace("_", "-") for option in re.findall(r"\"(\w+)\": \d+", source)
        }
        assert set(re.findall(r"--([a-z-]+)", options)) <= known, name
