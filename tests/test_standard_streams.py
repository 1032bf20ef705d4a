"""Standard input as a clip, standard output for speech: nothing but the bytes, and messages by the name `-`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lipsound2.arguments import named_path
from lipsound2.errors import ClipFailure, UsageError
from lipsound2.media.standard_streams import STANDARD, received, standard_output


def ran(code: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, check=True)


def test_what_comes_is_a_file_while_it_is_needed():
    code = """
import sys
from pathlib import Path
from lipsound2.media.standard_streams import received
with received([Path("-")]) as (clip,):
    print(clip.name, clip.read_bytes() == bytes(range(256)) * 9000)
print(clip.exists(), clip.parent.exists())
"""
    assert ran(code, bytes(range(256)) * 9000).stdout.split() == b"stdin True False False".split()


def test_whatever_prints_standard_output_holds_the_bytes_alone():
    code = """
import os
from lipsound2.media.standard_streams import standard_output
print("before")
with standard_output("sound") as out:
    print("hello")
    os.write(1, b"from C\\n")
    out.write(b"RIFF")
print("after")
"""
    done = ran(code)
    assert done.stdout == b"before\nRIFFafter\n"
    assert sorted(done.stderr.split(b"\n")) == [b"", b"from C", b"hello"]


def test_nothing_and_company_and_a_terminal_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = "from lipsound2.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, "transcribe", "-"], input=b"", capture_output=True)
    assert done.stderr == b"lipsound2 transcribe: -: no bytes came from standard input; give it a clip, as in: " + (
        b"cat clip.mp4 | ...\n"
    )
    assert done.returncode == 1
    with pytest.raises(UsageError, match="is the only one of a call"), received([STANDARD, tmp_path]):
        pass

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(UsageError, match="standard input is a terminal"), received([STANDARD]):
        pass
    monkeypatch.setattr(sys, "stdout", Terminal())
    with pytest.raises(UsageError, match="-o -: standard output is a terminal"), standard_output("sound"):
        pass


@pytest.mark.parametrize(
    ("kind", "wanted"), [("LipsoundError(", b"-: nobody\n"), ("ClipFailure('no-face', ", b"no-face: -: nobody\n")]
)
def test_what_is_wrong_with_it_is_told_by_the_name_that_was_given(kind: str, wanted: bytes):
    code = f"""
from pathlib import Path
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.media.standard_streams import received
try:
    with received([Path("-")]) as (path,):
        raise {kind}f"{{path}}: nobody")
except (LipsoundError, ClipFailure) as error:
    print(error)
"""
    assert ran(code, b"x").stdout == wanted


def test_the_log_too_calls_it_so():
    code = """
import logging
from pathlib import Path
from lipsound2.media.standard_streams import received
logging.basicConfig(level=logging.INFO, format="%(message)s")
with received([Path("-")]) as (clip,):
    logging.getLogger("lipsound2.x").info("%s: 75 frames", clip)
logging.getLogger("lipsound2.x").info("%s: still itself", clip.name)
"""
    assert ran(code, b"x").stderr == b"-: 75 frames\nstdin: still itself\n"


@pytest.mark.skipif(os.name == "nt", reason="there, no process is asked whether it lives")
def test_what_a_killed_command_left_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    code = """
import os, signal
from pathlib import Path
from lipsound2.media.standard_streams import received
with received([Path("-")]):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], input=b"x", check=False)
    home = tmp_path / f"lipsound2-{os.getuid()}"
    assert len([*home.rglob("stdin")]) == 1
    ran(code.replace("os.kill(os.getpid(), signal.SIGKILL)", "pass"), b"x")
    assert not [*home.iterdir()]


def test_a_file_called_so_is_no_stream():
    assert named_path("-") == STANDARD
    assert named_path("./-") == Path("-").absolute()
    assert named_path("./a") == Path("a")


def test_other_clips_and_their_errors_pass_through(tmp_path: Path):
    with received([tmp_path, tmp_path]) as given:
        assert given == [tmp_path, tmp_path]
    with pytest.raises(ClipFailure, match="no-face: b"), received([tmp_path]):
        raise ClipFailure("no-face", "b")
