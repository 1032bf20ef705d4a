"""Files are whole or absent; folders belong to one run; a stamp knows what it was made from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lipsound2.errors import LipsoundError, require
from lipsound2.files import atomic_path, folder_lock, sha256, write_text
from lipsound2.stamp import Stamp


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.tsv"
    write_text(path, "old")
    with pytest.raises(FileNotFoundError), atomic_path(path) as temporary:  # noqa: PT012 - two steps are the point
        temporary.write_text("half")
        (tmp_path / "absent").read_text()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.tsv"]


def test_a_full_disk_is_one_clear_line(tmp_path):
    path = tmp_path / "out.bin"
    with pytest.raises(LipsoundError, match=r"cannot write .*out\.bin: No space left on device"), atomic_path(path):
        Path("/dev/full").write_bytes(b"x")
    assert list(tmp_path.iterdir()) == []


def test_two_runs_in_one_folder(tmp_path):
    with folder_lock(tmp_path, "the first run"):
        code = (
            "from lipsound2.files import folder_lock\n"
            f"with folder_lock({str(tmp_path)!r}, 'the second run'): print('got in')"
        )
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "got in" not in second.stdout
    assert "is in use by another run (the first run, process" in second.stderr
    with folder_lock(tmp_path, "a third run"):
        pass


def test_a_stamp_is_fresh_until_an_option_or_input_changes(tmp_path):
    source, output = tmp_path / "list", tmp_path / "out"
    output.mkdir()
    source.write_text("a")
    stamp = Stamp(output, "crop", {"size": 96}, [source])
    assert not stamp.fresh()
    stamp.write()
    assert Stamp(output, "crop", {"size": 96}, [source]).fresh()
    assert not Stamp(output, "crop", {"size": 88}, [source]).fresh()
    source.write_text("b")
    assert not Stamp(output, "crop", {"size": 96}, [source]).fresh()


def test_stamps_chain(tmp_path):
    """A folder's digest is its stamp's: a change far up the flow reaches every later stage."""
    first, second, source = tmp_path / "first", tmp_path / "second", tmp_path / "list"
    first.mkdir()
    second.mkdir()
    source.write_text("a")
    Stamp(first, "crop", {}, [source]).write()
    Stamp(second, "train", {}, [first]).write()
    assert Stamp(second, "train", {}, [first]).fresh()
    source.write_text("b")
    Stamp(first, "crop", {}, [source]).write()
    assert not Stamp(second, "train", {}, [first]).fresh()


def test_sha256(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_missing_package_names_the_install_command():
    with pytest.raises(LipsoundError, match=r"'no_such_package' cannot be imported .*tools/install\.sh --extras face"):
        require("no_such_package", "face")


def test_what_killed_processes_left_half_written_goes_with_the_next_run(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, alive, other = (tmp_path / name for name in (f".a.{ended.pid}.tmp.md", f".a.{os.getpid()}.tmp.md", ".a.md"))
    for path in (left, alive, other):
        path.touch()
    with folder_lock(tmp_path, "test"):
        assert not left.exists()
        assert alive.exists(), "its process may still want it"
        assert other.exists()


def test_fault_A16_turns_are_taken_one_after_the_other(tmp_path):
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from lipsound2.files import turn\n"
        "path = Path(sys.argv[1])\n"
        "for _ in range(20):\n"
        "    with turn(path):\n"
        "        count = int(path.read_text())\n"
        "        time.sleep(0.001)\n"
        "        path.write_text(str(count + 1))\n"
    )
    (tmp_path / "count").write_text("0")
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "count")]) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "60"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_fault_A16_tables_of_results_lose_no_row_when_several_are_published_at_once(tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from lipsound2.scoring.results import publish\n"
        "for number in range(15):\n"
        "    publish(Path(sys.argv[1]), [{'experiment': f'{sys.argv[2]}{number}', 'set': 'test'}])\n"
    )
    path = tmp_path / "RESULTS.md"
    runs = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "abc"]
    assert [run.wait() for run in runs] == [0, 0, 0]
    rows = {line.split()[1] for line in path.read_text().splitlines() if line.startswith("| ")}
    assert rows == {"experiment", "---"} | {f"{name}{number}" for name in "abc" for number in range(15)}
