"""Full, read-only, foreign and failing disks: real commands meet them, and must end with status 1 and one plain line.

    python tests/faults/disks.py --count 120 --seed 0

Each case is a command, a fault and what stood at the output's place before. The command must fail in one line that is
not the one for bugs, leave what stood there as it was, leave nothing half written, and succeed when the disk is well
again. A fault that the command does not meet (it was done before) is counted as such. Ends with its counts, and with
status 1 where a case went wrong. As root it mounts small file systems; else it does what it can without.
"""

from __future__ import annotations

import argparse
import builtins
import contextlib
import errno
import io
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lipsound2 import cli
from lipsound2.data.yaml_files import write_yaml

ROOT = os.geteuid() == 0
NOBODY = 65534
ERRORS = (
    *(errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.EACCES, errno.EPERM),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT, errno.EBUSY),
)
_BROKEN = 99  # status of a command that raised
LONGEST = 180  # seconds a command may take
ROOM = 16  # MiB of the small file system
MINE = "the user's own\n"


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


@dataclass
class Fault:
    """What is wrong with the disk during one command.

    Attributes:
        name: of the kind.
        about: the kind's particulars.
        before: done to the disk first.
        inside: done in the process of the command.
        after: makes the disk well again.
    """

    name: str
    about: str = ""
    before: Callable[[], None] = lambda: None
    inside: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None


Maker = Callable[[Place, random.Random], Fault]


@dataclass
class Verdicts:
    """What the cases came to."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


# Faults


def full(at: Place, draw: random.Random) -> Fault:
    """A disk with little or no room left."""
    room = draw.choice((0, 0, 4, 16, 64)) << 10
    filler = at.folder.parent / "filler"

    def fill() -> None:
        state = os.statvfs(at.folder)
        with contextlib.suppress(OSError):
            filler.write_bytes(bytes(max(0, state.f_bavail * state.f_frsize - room)))

    return Fault("full", f"{room} bytes left", before=fill, after=filler.unlink)


def no_inodes(at: Place, draw: random.Random) -> Fault:
    """A disk that takes no further files."""
    left = draw.choice((0, 0, 1, 2, 4))
    folder = at.folder.parent / "many"

    def fill() -> None:
        folder.mkdir()
        for number in range(max(0, os.statvfs(at.folder).f_favail - left)):
            (folder / str(number)).touch()

    return Fault("inodes", f"{left} left", before=fill, after=lambda: shutil.rmtree(folder))


def read_only(at: Place, draw: random.Random) -> Fault:
    """A disk that was mounted to be read."""

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", at.folder.parent], check=True)

    return Fault("read-only", before=lambda: remount("ro"), after=lambda: remount("rw"))


def foreign(at: Place, draw: random.Random) -> Fault:
    """A folder of somebody else."""

    def become_nobody() -> None:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)

    return Fault("foreign", inside=become_nobody)


def short_files(at: Place, draw: random.Random) -> Fault:
    """A limit on the size of files (ulimit -f)."""
    size = draw.choice((0, 1, 100, 1000))
    return Fault("file size", f"{size} bytes", inside=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))


def few_handles(at: Place, draw: random.Random) -> Fault:
    """A limit on open files (ulimit -n)."""
    more = draw.choice((0, 0, 1, 2))

    def limit() -> None:
        free = os.dup(0)  # the lowest that is free
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, free + more))

    return Fault("handles", f"{more} more", inside=limit)


def little_memory(at: Place, draw: random.Random) -> Fault:
    """A limit on memory (ulimit -v)."""
    more = draw.choice((0, 1, 4)) << 20

    def limit() -> None:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))

    return Fault("memory", f"{more} bytes more", inside=limit)


def in_the_way(at: Place, draw: random.Random) -> Fault:
    """A file, or a link that leads nowhere or in a circle, where a folder should be."""
    what = draw.choice(("file", "dead link", "circle"))
    aside = at.folder.with_name("aside")

    def put() -> None:
        at.folder.rename(aside)
        if what == "file":
            at.folder.write_text(MINE)
        else:
            at.folder.symlink_to("absent" if what == "dead link" else at.folder.name)

    def undo() -> None:
        at.folder.unlink()
        aside.rename(at.folder)

    return Fault("in the way", what, before=put, after=undo)


def failing(at: Place, draw: random.Random) -> Fault:
    """A disk that answers with an error, from some call on."""
    number, call, first = draw.choice(ERRORS), draw.choice(("open", "fsync", "replace", "mkdir", "read")), 1
    if call != "mkdir":
        first = draw.choice((1, 1, 2, 3, 5))

    def break_it() -> None:
        below = at.material if call == "read" else at.folder
        left = [first]

        def check(path: object) -> None:
            where = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else str(path)  # noqa: PTH115
            if where.startswith(str(below)):
                left[0] -= 1
                if left[0] <= 0:
                    raise OSError(number, os.strerror(number), where)

        def wrap(module: Any, name: str, wanted: Callable[..., bool] = lambda *_, **__: True) -> None:
            real = getattr(module, name)

            def broken(path: object, *more: Any, **options: Any) -> Any:
                if not (name == "open" and isinstance(path, int)) and wanted(*more, **options):
                    check(path)
                return real(path, *more, **options)

            setattr(module, name, broken)

        if call in ("open", "read"):

            def writes(mode: str = "r", *_: Any, **__: Any) -> bool:
                return any(mark in mode for mark in "wax+") == (call == "open")

            for module in (io, builtins):
                wrap(module, "open", writes)
        else:
            wrap(os, call)

    return Fault("errno", f"{errno.errorcode[number]} of {call} {first}", inside=break_it)


ANYWHERE = (short_files, few_handles, little_memory, in_the_way, failing, failing)
MOUNTED = (full, full, no_inodes, read_only, foreign)  # these need a file system of their own, or to be root


# Running


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


def fault_of(said: str, verb: str) -> str:
    """Why a failed command did not say it well; empty where it did."""
    lines = [line for line in said.replace("\r", "\n").split("\n") if line.strip()]
    told = [line for line in lines if line.startswith(f"lipsound2 {verb}: ")]
    if "--debug for the traceback" in said:
        return "the line for bugs"
    if "Traceback" in said or "Exception ignored" in said:
        return "a traceback"
    if len(told) != 1 or lines[-1] != told[0]:
        return f"{len(told)} lines, or not the last"
    return "" if len(told[0]) > len(f"lipsound2 {verb}: ") + 10 else "no words"


@contextlib.contextmanager
def disk(root: Path, mounted: bool) -> Iterator[Path]:
    """A folder to write in, on a small file system of its own or not."""
    top = root / "disk"
    top.mkdir()
    if mounted:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}m,nr_inodes=600,mode=755", "disk", top], check=True)
    try:
        (top / "folder").mkdir()
        yield top / "folder"
    finally:
        if mounted:
            subprocess.run(["umount", "-l", top], check=True)
        shutil.rmtree(top)


def furnish(at: Place, verb: str) -> None:
    """What a command finds beside its output."""
    if verb in BESIDE:
        shutil.copytree(at.material / BESIDE[verb], at.folder / BESIDE[verb], symlinks=True)


def names(folder: Path) -> set[str]:
    """The files below a folder, locks left out."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.endswith(".lock") and "/.locks/" not in f"/{name}"}


def run_case(verb: str, make: Maker, draw: random.Random, at: Place) -> tuple[str, str]:
    """One case: a word to count it by, and what went wrong."""
    furnish(at, verb)
    (at.folder / "mine").write_text(MINE)
    stood = at.out.with_suffix(FILES[verb]) if verb in FILES and draw.random() < 0.5 else None
    if stood:
        stood.write_text(MINE)
    before = names(at.folder)
    fault = make(at, draw)
    arguments = [verb, *map(str, COMMANDS[verb](at))]
    fault.before()
    try:
        status, said = execute(arguments, fault.inside)
    finally:
        fault.after()
    case = f"{verb}, {fault.name} ({fault.about})" if fault.about else f"{verb}, {fault.name}"
    if status not in (0, 1):
        return "wrong", f"{case}: status {status}: {said[-300:]}"
    if status == 1:
        if why := fault_of(said, verb):
            return "wrong", f"{case}: {why}: {said[-400:]}"
        if stood and stood.read_text() != MINE:
            return "wrong", f"{case}: what stood there is lost"
        if left := [name for name in names(at.folder) - before if ".tmp" in name or name.endswith(".turn")]:
            return "wrong", f"{case}: left {left}"
    if (at.folder / "mine").read_text() != MINE:
        return "wrong", f"{case}: a file beside it was changed"
    again, said_again = execute(arguments, lambda: None)
    if again:
        return "wrong", f"{case}: status {again} on the well disk: {said_again[-300:]} (before: {said[-200:]})"
    return ("told", "") if status else ("not met", "")


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


def rounds(count: int, draw: random.Random, share: float) -> Iterator[tuple[str, Maker, bool]]:
    """Verb, fault and whether a file system is mounted for it, in a mixed order; such a share of heavy verbs."""
    faults = [(make, False) for make in ANYWHERE] + ([(make, True) for make in MOUNTED] if ROOT else [])
    light = [verb for verb in COMMANDS if verb not in HEAVY]
    for _ in range(count):
        make, mounted = draw.choice(faults)
        # Somebody else may not read our Python, and compiled libraries take an end of memory in their own ways.
        heavy = make not in (foreign, little_memory) and draw.random() < share
        yield draw.choice(sorted(HEAVY) if heavy else light), make, mounted


def run_cases(count: int, seed: int, work: Path, share: float) -> Verdicts:
    """Run so many cases, drawn by a seed, with such a share of verbs that take seconds."""
    import torch

    torch.set_num_threads(1)  # threads of this process are not there in the commands, which would wait for them
    work.chmod(0o755)
    for verb in COMMANDS if share else set(COMMANDS) - HEAVY:
        cli.load(verb)  # once, so that a command is a fork
    material = make_material(work / "material", heavy=share > 0)
    draw, verdicts = random.Random(seed), Verdicts()
    for number, (verb, make, mounted) in enumerate(rounds(count, draw, share), start=1):
        with disk(work, mounted) as folder:
            began = time.monotonic()
            word, what = run_case(verb, make, draw, Place(material, folder))
        verdicts.counts[word] += 1
        if what:
            verdicts.wrong.append(what)
        print(f"{number:4} {time.monotonic() - began:5.1f} s {verb:9} {make.__name__:12} {word} {what}")
    return verdicts


def main() -> int:
    """Run the command; 1 where a case went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=120, help="cases")
    parser.add_argument("--seed", type=int, default=0, help="which")
    parser.add_argument("--quick", action="store_true", help="only commands that take less than a second")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="disks-") as folder:
        verdicts = run_cases(options.count, options.seed, Path(folder), 0 if options.quick else 0.15)
    told = ", ".join(f"{verdicts.counts[word]} {word}" for word in ("told", "not met", "wrong"))
    print(f"{options.count} cases in {time.monotonic() - began:.0f} s: {told}")
    return 1 if verdicts.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
