"""Files are whole or absent; folders belong to one run; a stamp knows what it was made from."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lipsound2.errors import ClipFailure, LipsoundError, is_machine_error, names_machine_error, require
from lipsound2.files import atomic_path, folder_lock, sha256, sweep, temporary_of, told_size, write_text
from lipsound2.fingerprint import NAME, Fingerprint


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
    stamp = Fingerprint(output, "crop", {"size": 96}, [source])
    assert not stamp.up_to_date()
    stamp.write()
    assert Fingerprint(output, "crop", {"size": 96}, [source]).up_to_date()
    assert not Fingerprint(output, "crop", {"size": 88}, [source]).up_to_date()
    source.write_text("b")
    assert not Fingerprint(output, "crop", {"size": 96}, [source]).up_to_date()


def test_stamps_chain(tmp_path):
    """A folder's digest is its stamp's: a change far up the flow reaches every later stage."""
    first, second, source = tmp_path / "first", tmp_path / "second", tmp_path / "list"
    first.mkdir()
    second.mkdir()
    source.write_text("a")
    Fingerprint(first, "crop", {}, [source]).write()
    Fingerprint(second, "train", {}, [first]).write()
    assert Fingerprint(second, "train", {}, [first]).up_to_date()
    source.write_text("b")
    Fingerprint(first, "crop", {}, [source]).write()
    assert not Fingerprint(second, "train", {}, [first]).up_to_date()


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
        "from lipsound2.report.results import SPEECH_TABLE\n"
        "for number in range(15):\n"
        "    row = {'experiment': f'{sys.argv[2]}{number}', 'set': 'test'}\n"
        "    SPEECH_TABLE.put(Path(sys.argv[1]), [row], 'Results')\n"
    )
    path = tmp_path / "RESULTS.md"
    runs = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "abc"]
    assert [run.wait() for run in runs] == [0, 0, 0]
    rows = {line.split()[1] for line in path.read_text().splitlines() if line.startswith("| ")}
    assert rows == {"experiment", "---"} | {f"{name}{number}" for name in "abc" for number in range(15)}


def test_fault_C8_what_a_process_of_another_host_writes_is_not_swept(tmp_path, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr(os, "getpid", lambda: ended.pid)
    own = temporary_of(tmp_path / "own.md")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(socket, "gethostname", lambda: "another")
        fresh, old = temporary_of(tmp_path / "fresh.ark"), temporary_of(tmp_path / "old.ark")
    for path in (own, fresh, old):
        path.touch()
    os.utime(old, (0, 0))
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [fresh], "not of this host, and written to within the week"


def test_fault_C8_a_mark_that_is_set_sweeps_what_killed_processes_left_beside_it(tmp_path, monkeypatch):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with monkeypatch.context() as there:
        there.setattr(os, "getpid", lambda: ended.pid)
        temporary_of(tmp_path / NAME).touch()
    Fingerprint(tmp_path, "prepare", {}, []).write()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_fault_C8_a_lock_that_is_a_link_is_not_emptied(tmp_path):
    kept, lock = tmp_path / "thesis.tex", tmp_path / "out" / ".lock"
    lock.parent.mkdir()
    for target in (kept, tmp_path):
        kept.write_text("years of work")
        lock.symlink_to(target)
        with pytest.raises(LipsoundError, match=r"\.lock is no plain file"), folder_lock(lock.parent, "a run"):
            pass
        assert kept.read_text() == "years of work"
        lock.unlink()
    os.mkfifo(lock)
    with pytest.raises(LipsoundError, match=r"\.lock is no plain file"), folder_lock(lock.parent, "a run"):
        pass
    lock.unlink()
    with folder_lock(lock.parent, "a long purpose"):
        pass
    with folder_lock(lock.parent, "short"):
        assert lock.read_text().startswith("short, process")


def test_fault_a_disk_without_room_for_a_lock_is_told_with_its_folder(tmp_path):
    """The kernel's own refusal to write: no file of this process may grow any more."""
    script = (
        "import resource, signal, sys\n"
        "from lipsound2.error_messages import message_for\n"
        "from lipsound2.files import folder_lock\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try:\n"
        "    with folder_lock(sys.argv[1], 'pack'):\n"
        "        pass\n"
        "except OSError as error:\n"
        "    print(message_for(error))\n"
    )
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", script, str(out)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {out}/.lock: file too large; raise the limit")
    assert not out.exists()


@pytest.mark.parametrize("name", ["ENOMEM", "EMFILE", "ENFILE", "EIO", "ESTALE", "EACCES", "ENOSPC", "ENOTCONN"])
def test_fault_A13_errors_of_the_machine_are_known_by_their_number(name):
    import av.error

    number = getattr(errno, name)
    plain = OSError(number, os.strerror(number), "clip.mp4")
    with pytest.raises((OSError, MemoryError)) as caught:
        av.error.err_check(-number, "clip.mp4")
    for error in (plain, caught.value):
        assert is_machine_error(error)
        assert names_machine_error(f"clip.mp4: {error}")
    failure = ClipFailure("unreadable", "clip.mp4")
    assert not is_machine_error(failure)
    failure.__cause__ = plain
    assert is_machine_error(failure)


def test_fault_A13_errors_of_the_machine_are_known_by_their_words():
    import cv2
    import soundfile

    for error in (
        MemoryError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        cv2.error("OpenCV(4.11.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 6220800 bytes"),
        soundfile.LibsndfileError(2),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
    ):
        assert is_machine_error(error), error
    for error in (
        ValueError("bad"),
        RuntimeError("shape"),
        FileNotFoundError(2, "absent"),
        soundfile.LibsndfileError(1),
    ):
        assert not is_machine_error(error), error


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 bytes"),
        (400, "400 bytes"),
        (38_400, "38 kB"),
        (999_600, "1.0 MB"),
        (15_800_000, "15.8 MB"),
        (1_200_000_000, "1.2 GB"),
    ],
)
def test_sizes_are_told_in_the_unit_that_shows_them(count, told):
    assert told_size(count) == told
