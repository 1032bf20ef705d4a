"""What lies in a shared experiment: `share.json`, which lists the other files with their digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lipsound2.data.json_text import read_json
from lipsound2.data.names import no_file_name
from lipsound2.errors import LipsoundError
from lipsound2.files import sha256
from lipsound2.metrics.score import CLIPS, SUMMARY
from lipsound2.metrics.score_text import FOLDER
from lipsound2.model_names import CONFIG, WEIGHTS
from lipsound2.sharing.unpack import odd_place

SHARE, SETS, SCORES, VOCODER = "share.json", "sets", "scores", "vocoder"
FORMAT = 1
MOST_RESAMPLES, MOST_SEED = 100_000, 2**32 - 1


@dataclass(frozen=True)
class SharedSet:
    """How the scores of a set were made.

    Attributes:
        resamples: of the bootstrap.
        seed: of the bootstrap.
        unseen: whether intervals generalize to new speakers.
        vocoder: by which speech was made: a name that ships, or a folder of the archive; empty: there is no speech.
        systems: what was scored, the model's speech and the controls.
        unseen_text: recognizer or way of decoding -> whether its intervals generalize to new speakers.
    """

    resamples: int = 0
    seed: int = 0
    unseen: bool = False
    vocoder: str = ""
    systems: tuple[str, ...] = ()
    unseen_text: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """`share.json`.

    Attributes:
        format: of this file.
        name: of the experiment.
        task: that it was trained for.
        version: of the toolkit that shared it.
        commands: by which it was trained, without folders of a machine.
        packages: package -> version, of the last training.
        sets: set -> how its scores were made.
        files: file -> SHA-256, of all others.
    """

    format: int
    name: str
    task: str
    version: str
    commands: tuple[str, ...]
    packages: Mapping[str, str]
    sets: Mapping[str, SharedSet]
    files: Mapping[str, str]


def read_contents(folder: Path) -> Contents:
    """Read `share.json`, and compare every file with its digest.

    Raises:
        LipsoundError: it is not there, of a later format, or says what cannot be; a file is missing, was changed, lies
            elsewhere, or is not listed.
    """
    if not (folder / SHARE).is_file():
        raise LipsoundError(f"{folder}: no shared experiment (no {SHARE}); make one with: lipsound2 share exp/NAME")
    found: Contents = read_json(folder / SHARE, Contents, "share the experiment again")
    if found.format > FORMAT:
        raise LipsoundError(f"{folder}: shared by a later version ({found.version!r}); update the toolkit")
    if found.format < 1:
        raise LipsoundError(f"{folder / SHARE}: no format {found.format}; expected 1 to {FORMAT}")
    for what, text in (("name", found.name), ("task", found.task)):
        if odd := no_file_name(text) or _unseen_mark(text):
            raise LipsoundError(f"{folder / SHARE}: no {what}: {text[:80]!r}: {odd}")
    _check_files(folder, found.files)
    if not found.sets:
        raise LipsoundError(f"{folder / SHARE}: no set is in it; share the experiment again")
    for name, one in found.sets.items():
        _check_set(folder, name, one, found.files)
    return found


def check_bootstrap(resamples: int, seed: int, where: str) -> None:
    """Refuse what would take for ever, or gives no intervals.

    Raises:
        LipsoundError: it is outside of what is taken.
    """
    for what, number, least, most in (("resamples", resamples, 1, MOST_RESAMPLES), ("seed", seed, 0, MOST_SEED)):
        if not least <= number <= most:
            raise LipsoundError(f"{where}: {number} as {what}; expected {least} to {most}")


def _check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Those that are listed are those that are there, with the digests of the list."""
    for name, digest in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or name in (".", SHARE) or odd_place(name):
            raise LipsoundError(f"{folder / SHARE}: {name[:80]!r} would lie outside of the folder, or is no such name")
        file = folder / name
        if not file.is_file() or not file.resolve().is_relative_to(folder.resolve()) or sha256(file) != digest:
            what = "is missing" if not file.exists() else "is not the file that was shared"
            raise LipsoundError(f"{file}: {what}; get the archive again")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
    if others := sorted(there - files.keys() - {SHARE}):
        raise LipsoundError(f"{folder}: {others[0]!r} is not among the files of {SHARE}; get the archive again")
    for name in (CONFIG, WEIGHTS):
        _listed(folder, name, files)


def _check_set(folder: Path, name: str, one: SharedSet, files: Mapping[str, str]) -> None:
    """The names of a set are parts of files' names, its files are there, and its numbers can be computed with."""
    where = f"{folder / SHARE}: the set {name[:80]!r}"
    vocoder = one.vocoder.removeprefix(f"{VOCODER}/")
    named = [("its name", name), *(("a system", each) for each in one.systems)]
    named += [("a recognizer", each) for each in one.unseen_text] + [("the vocoder", vocoder)] * bool(one.vocoder)
    for what, text in named:
        if odd := no_file_name(text) or _unseen_mark(text):
            raise LipsoundError(f"{where}: {what} cannot be {text[:80]!r}: {odd}")
    _listed(folder, f"{SETS}/{name}/utt2spk", files)
    if vocoder != one.vocoder:
        _listed(folder, f"{one.vocoder}/{CONFIG}", files)
    scored = f"{SCORES}/{name}/{SUMMARY}" in files
    if scored or one.systems:
        check_bootstrap(one.resamples, one.seed, where)
        for file in (SUMMARY, CLIPS):
            _listed(folder, f"{SCORES}/{name}/{file}", files)
    top = PurePosixPath(SCORES, name, FOLDER)
    texts = {path.parts[3] for path in map(PurePosixPath, files) if path.match(f"{top}/*/{SUMMARY}")}
    if texts != one.unseen_text.keys() or not (scored or texts):
        raise LipsoundError(f"{where}: its recognizers are not those whose scores lie there; share it again")


def _listed(folder: Path, name: str, files: Mapping[str, str]) -> None:
    if name not in files:
        raise LipsoundError(f"{folder / SHARE}: {name!r} is not among its files; share the experiment again")


def _unseen_mark(text: str) -> str:
    return "" if text.isprintable() else "it has a mark in it that cannot be seen"
