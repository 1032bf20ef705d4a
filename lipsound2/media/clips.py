"""Which clips a verb was given, looked at before anything is loaded: files, and folders that are searched."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lipsound2.arguments import near_file
from lipsound2.data.folders import entries
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.outputs import check_folder

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_DEPTH = 12  # folders below the one that is given


@dataclass(frozen=True)
class Clip:
    """A file, and what is made of it.

    Attributes:
        path: of the file.
        name: what its outputs are called, without a suffix: relative, and with the folders below the one it was found
            in. No two clips of a call have the same.
    """

    path: Path
    name: str

    def out(self, folder: Path, suffix: str) -> Path:
        """Where one of its outputs goes."""
        return folder / f"{self.name}{suffix}"


def find_clips(given: Sequence[Path], suffixes: Iterable[str]) -> list[Clip]:
    """The clips that are meant, each file once, in the order they are given.

    Args:
        given: files, and folders that are searched.
        suffixes: of the files that are taken from folders, in lower case.

    Raises:
        LipsoundError: a folder without such files, or two clips whose outputs would have one name.
    """
    wanted = frozenset(suffixes)
    found: dict[str, Clip] = {}
    for path in given:
        if path.is_dir():
            inside = _search(path, wanted, _DEPTH, set())
            if not inside:
                names = ", ".join(entry.name for entry in entries(path)[:6]) or "nothing"
                raise LipsoundError(f"{path}: no clips in this folder (wanted {' '.join(suffixes)}; found {names})")
            clips = [Clip(each, str(each.relative_to(path).with_suffix(""))) for each in inside]
        else:
            clips = [Clip(path, path.stem)]
        for clip in clips:
            found.setdefault(os.path.realpath(clip.path), clip)
    return _distinct_names([*found.values()])


def _search(folder: Path, suffixes: frozenset[str], depth: int, seen: set[str]) -> list[Path]:
    """Files below a folder in a fixed order, each real folder once: links to a parent lead nowhere new."""
    real = os.path.realpath(folder)
    if real in seen:
        return []
    seen.add(real)
    found = []
    for entry in entries(folder):
        if entry.is_dir():
            found += _search(Path(entry.path), suffixes, depth - 1, seen) if depth else []
        elif Path(entry.name).suffix.lower() in suffixes and entry.is_file():
            found.append(Path(entry.path))
    return found


def _distinct_names(clips: list[Clip]) -> list[Clip]:
    """The same clips; where several have one name, their suffixes become part of it."""
    counts = Counter(clip.name for clip in clips)
    named = [clip if counts[clip.name] == 1 else Clip(clip.path, clip.name + clip.path.suffix) for clip in clips]
    first: dict[str, Clip] = {}
    for clip in named:
        other = first.setdefault(clip.name, clip)
        if other is not clip:
            raise LipsoundError(
                f"{other.path} and {clip.path}: what is made of them would have one name, '{clip.name}'; give the "
                "folder above them, or one at a time"
            )
    return named


def describe_failure(path: Path, failure: Exception) -> str:
    """Why a clip cannot be used, in one line that names it once, at its beginning."""
    why, begin = str(failure), f"{path}: "
    if isinstance(failure, ClipFailure) and failure.detail.startswith(begin):
        why = f"{failure.reason}: {failure.detail.removeprefix(begin)}"
    return why if why.startswith(begin) else begin + why


def check_results(clips: Sequence[Clip], places: Iterable[tuple[Path, str]]) -> None:
    """Look at all that is to be written into folders, before any work.

    What lies beside a clip under its name is often the user's own: its ground truth, what is said in it.

    Args:
        clips: all of a call.
        places: folders, and the suffix of what is written into each for every clip.

    Raises:
        LipsoundError: nothing can be written there; it would replace a clip, or a file beside the clip it is made of.
    """
    inputs = {os.path.realpath(clip.path) for clip in clips}
    for folder, suffix in places:
        check_folder(folder)
        for clip in clips:
            out = clip.out(folder, suffix)
            if os.path.realpath(out) in inputs:
                raise LipsoundError(f"{out}: is one of the clips; choose another folder")
            if out.exists() and out.parent.samefile(clip.path.parent):
                raise LipsoundError(
                    f"{out}: lies beside {clip.path} already, and would be lost; choose another folder, or remove it"
                )


def check_distinct(clips: Sequence[Clip], outputs: Sequence[Path]) -> None:
    """Refuse one output for two clips: what is made of the first would be lost.

    Args:
        clips: all of a call.
        outputs: one of each, in their order.

    Raises:
        LipsoundError: two of them are one file.
    """
    first: dict[str, Clip] = {}
    for clip, out in zip(clips, outputs, strict=True):
        other = first.setdefault(os.path.realpath(out), clip)
        if other is not clip:
            raise LipsoundError(
                f"{out}: would be made of {other.path} and of {clip.path}; give a folder for all: --output-dir DIR"
            )


def check_is_file(path: Path) -> None:
    """Make sure that a name is one of a file that can be read as a clip.

    Raises:
        LipsoundError: it is not there, an address, standard input, or no regular file.
    """
    if path.is_file():
        return
    if str(path) == "-":
        raise LipsoundError("-: a clip cannot come from standard input, because it is read to and fro; save it first")
    if path.is_dir():
        raise LipsoundError(f"{path}: is a folder, and one file is wanted here")
    if path.exists():
        raise LipsoundError(f"{path}: is no regular file, and a clip is read to and fro; copy it to a file first")
    if path.is_symlink():
        raise LipsoundError(f"{path}: is a link to '{path.readlink()}', which is not there")
    if _ADDRESS.match(str(path)):
        address = str(path).replace(":/", "://", 1)  # a path keeps one slash
        raise LipsoundError(f"{address}: looks like an address; clips are files of this machine: download it first")
    raise LipsoundError(f"{path}: no such file{near_file(path)}")
