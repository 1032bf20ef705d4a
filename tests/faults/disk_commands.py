"""Commands that `disks.py` runs, each in a process of its own, and the material they are given."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipsound2 import cli
from lipsound2.data.yaml_files import write_yaml

_BROKEN = 99  # status of a command that raised
LONGEST = 180  # seconds a command may take


@dataclass
class Place:
    """Where a command of a case reads and writes.

    Attributes:
        material: what was made once for all cases; only read.
        folder: on the disk that is going to fail.
    """

    material: Path
    folder: Path

    @property
    def out(self) -> Path:
        """The output, without a suffix."""
        return self.folder / "out"


Arguments = Callable[[Place], list[Any]]

# Verb -> its arguments. What it writes is below `place.folder`.
COMMANDS: dict[str, Arguments] = {
    "generate": lambda at: [at.out, "--clips", 1, "--speakers", 1, "--nj", 1],
    "prepare": lambda at: ["mini", at.material / "corpus", at.out, "--protocol", "mini"],
    "fix": lambda at: [at.folder / "unsorted"],
    "fold": lambda at: [at.material / "data/all", at.out],
    "subset": lambda at: [at.material / "data/all", at.out, "--clips", 2],
    "combine": lambda at: [f"{at.material / 'one'},{at.material / 'two'}", at.out],
    "words": lambda at: [at.material / "data/all", at.out],
    "tokens": lambda at: [at.material / "data/all", at.out.with_suffix(".txt"), "--kind", "characters"],
    "ngram": lambda at: [at.material / "data/all", at.out.with_suffix(".arpa"), "--order", 2],
    "crop": lambda at: [at.material / "one", at.out, "--regions", "mouth", "--nj", 1],
    "mel": lambda at: [at.material / "one", at.folder / "crops", "--nj", 1],
    "score": lambda at: [at.material / "dump/audio", at.material / "wav", "--out", at.out, "--nj", 1],
    "report": lambda at: [at.folder / "exp", "--publish", at.folder / "RESULTS.md"],
    "average": lambda at: [at.folder / "exp", "--last", 1],
    "pack": lambda at: [at.material / "voice", at.out, "--knows", "a", "--corpus", "b", "--license", "c"],
    "speak": lambda at: [at.material / "clip.mp4", "-o", at.out.with_suffix(".wav"), "--vocoder", "griffin-lim:1"],
}
# Verbs that write one file, which may have stood there before.
FILES = {"tokens": ".txt", "ngram": ".arpa", "speak": ".wav"}
# Verbs whose output lies beside what they read.
BESIDE = {"fix": "unsorted", "mel": "crops", "report": "exp", "average": "exp"}
HEAVY = frozenset({"crop", "generate", "mel", "report", "score", "speak"})  # these need or take seconds


def execute(arguments: list[str], inside: Callable[[], None]) -> tuple[int, str]:
    """Run a command in a process of its own: its status, -1 where it hung, and what it said on standard error."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = _BROKEN
        try:
            os.setsid()
            os.close(reading)
            os.dup2(writing, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            inside()
            status = cli.main(arguments)
            sys.stderr.flush()
        finally:
            if status == _BROKEN:
                traceback.print_exc()
                sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    said: list[bytes] = []
    previous = signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
    signal.alarm(LONGEST)
    try:
        while part := os.read(reading, 1 << 16):
            said.append(part)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        os.close(reading)
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended), b"".join(said).decode(errors="replace")


def furnish(at: Place, verb: str) -> None:
    """What a command finds beside its output."""
    if verb in BESIDE:
        shutil.copytree(at.material / BESIDE[verb], at.folder / BESIDE[verb], symlinks=True)


def make(*arguments: object) -> None:
    """Run a command that has to succeed."""
    status, said = execute([str(argument) for argument in arguments], lambda: None)
    if status:
        raise SystemExit(f"the material cannot be made: {arguments[0]} ended with {status}: {said[-500:]}")


def make_material(folder: Path, heavy: bool) -> Path:
    """A corpus of a few made-up clips, its data dirs, two small experiments; for heavy verbs crops, audio, scores."""
    import torch
    from safetensors.torch import save_file

    from lipsound2.audio.mel_settings import MELS
    from lipsound2.data.datadir import DataDir
    from lipsound2.tasks import load_config
    from lipsound2.tasks.vocode import VocodeAssets
    from lipsound2.training import checkpoint
    from lipsound2.training.average import Evaluated, write_weights

    make("generate", folder / "corpus", "--clips", 4 if heavy else 2, "--speakers", 1, "--nj", 1)
    make("prepare", "mini", folder / "corpus", folder / "data", "--protocol", "mini")
    data = DataDir(folder / "data/all")
    data.subset(list(data.ids)[:1], folder / "one")
    data.subset(list(data.ids)[1:], folder / "two")
    shutil.copytree(folder / "one", folder / "unsorted")
    (folder / "unsorted/spk2utt").write_text("nobody none\n")
    voice = folder / "voice"
    voice.mkdir()
    write_yaml(voice / "config.yaml", {"task": "vocode", "model": "hifigan", "channels": 16})
    task = load_config(voice / "config.yaml").task
    assets = VocodeAssets(MELS["fine"])
    task.save(assets, voice)
    state = {name: value.contiguous() for name, value in task.build(assets).state_dict().items()}
    save_file(state, voice / "model.safetensors")
    shutil.copytree(voice, folder / "exp")
    row = Evaluated(1, 1, 0.5)
    write_weights(folder / "exp/checkpoints" / row.file, {"w": torch.ones(2)}, {})
    content = {"update": 1, "table": [vars(row)], "average": None, "model": {"w": torch.ones(2)}}
    checkpoint.save(folder / "exp/checkpoints", content)
    if heavy:
        make_audio(folder)
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    return folder


def make_audio(folder: Path) -> None:
    """Crops with and without audio beside them, speech and its scores, a clip."""
    from lipsound2.audio.io import decode_flac, write_wav
    from lipsound2.data.archive import Archive
    from lipsound2.data.datadir import DataDir

    data = DataDir(folder / "data/all")
    make("crop", data.path, folder / "crops", "--regions", "mouth", "--nj", 1)
    shutil.copytree(folder / "crops", folder / "dump")
    make("mel", data.path, folder / "dump", "--nj", 1)
    audio = Archive(folder / "dump/audio")
    for name in data.ids:
        write_wav(folder / "wav/generated" / f"{name}.wav", decode_flac(audio[name]))
    shutil.copy(next(iter(data.video.values())), folder / "clip.mp4")
    make("score", folder / "dump/audio", folder / "wav", "--out", folder / "exp/scores/test", "--nj", 1)
