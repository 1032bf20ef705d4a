"""What `speak`, `transcribe` and `import lipsound2` need is there on Windows and macOS too: POSIX is taken away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from helpers.face_corpora import talking_clip

from lipsound2.synthetic.clip import ClipFormat

# What Windows lacks. torch asks for the platform's name before it forks, so that its own part stays.
WITHOUT_POSIX = """
import errno, os, signal, sys
for module in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"):
    sys.modules[module] = None
for name in ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGQUIT", "SIGCHLD", "SIGPIPE", "SIGXCPU"):
    delattr(signal, name)
for name in ("fork", "O_CLOEXEC", "O_NONBLOCK", "O_NOFOLLOW", "O_DIRECTORY", "pathconf", "getuid", "geteuid",
             "statvfs", "sched_getaffinity"):
    delattr(os, name)
for name in ("EREMOTEIO", "EDQUOT", "ESTALE", "EHOSTDOWN", "ETXTBSY"):
    delattr(errno, name)
os.supports_effective_ids.clear()
"""
VERB = f"{WITHOUT_POSIX}\nfrom lipsound2.cli import main\nsys.exit(main(sys.argv[1:]))"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portable") / "clip.mp4"
    talking_clip(path, ["bin", "blue", "at", "f", "two", "now"], form=ClipFormat(sample_rate=16000), seconds=3)
    return path


def run(program: str, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True)


def test_a_clip_is_spoken_and_transcribed(clip: Path, tmp_path: Path) -> None:
    spoken = run(VERB, "speak", clip, "-o", tmp_path / "a.wav", "--video", tmp_path / "a.mp4", "--debug")
    assert spoken.returncode == 0, spoken.stderr
    assert soundfile.info(tmp_path / "a.wav").frames == 48000
    assert (tmp_path / "a.mp4").stat().st_size > clip.stat().st_size / 2
    text = run(VERB, "transcribe", clip, "--debug")
    assert text.returncode == 0, text.stderr
    assert text.stdout.split()


def test_the_api_and_several_clips(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "other.mp4").write_bytes(clip.read_bytes())
    spoken = run(VERB, "speak", clip, tmp_path / "other.mp4", "--output-dir", tmp_path / "out", "--debug")
    assert spoken.returncode == 0, spoken.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"clip.wav", "other.wav"}
    program = f"{WITHOUT_POSIX}\nimport lipsound2\nprint(lipsound2.crop(sys.argv[1]).shape)"
    assert run(program, clip).stdout == "(75, 96, 96)\n"


def test_what_needs_locks_says_so(tmp_path: Path) -> None:
    refused = run(VERB, "generate", tmp_path / "corpus", "--clips", "1", "--speakers", "1", "--nj", "1")
    assert refused.returncode == 1
    assert "this system has no locks for folders" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_mistake_is_still_one_line(tmp_path: Path) -> None:
    refused = run(VERB, "speak", tmp_path / "nothing.mp4", "-o", tmp_path / "a.wav")
    assert refused.returncode == 1
    assert "nothing.mp4: no such file" in refused.stderr
    assert refused.stderr.count("\n") == 1
