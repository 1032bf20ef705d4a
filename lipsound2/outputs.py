"""Checks of outputs before any work: an output that cannot be written, or would destroy an input, is refused at once.

A verb declares its outputs in its signature, and the command line checks them before the verb begins:

    def export(exp: str, out: Annotated[Path, Output((".onnx",))]) -> None:

Everything else in a signature that names a file or a folder is an input. A verb that makes up the names of its
outputs calls `check_file`, `check_folder` and `check_apart`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lipsound2.errors import LipsoundError
from lipsound2.files import open_flags, temporary_of, written_to

_LONGEST_NAME = 255  # bytes, where the file system does not say
_LONGEST_PATH = 4000  # bytes of all names together; what is written inside of a folder needs some too


@dataclass(frozen=True)
class Output:
    """Declares that a parameter of a verb is an output.

    Attributes:
        suffixes: suffixes a file may have, such as `.onnx`, in lower case; empty: any.
        folder: whether it is a folder to write into, which may exist already; with suffixes, where its name has none
            of them.
    """

    suffixes: tuple[str, ...] = ()
    folder: bool = False


OutputFolder = Annotated[Path, Output(folder=True)]


def check_outputs(outputs: Iterable[tuple[Path, Output]], inputs: Iterable[Path | str]) -> None:
    """Check all outputs of a verb, before any work.

    Args:
        outputs: each with its declaration.
        inputs: every file and folder that is read; other names, and absent files, are ignored.

    Raises:
        LipsoundError: see `check_file`, `check_folder`, `check_apart`.
    """
    outputs, inputs = list(outputs), list(inputs)
    for path, declared in outputs:
        if declared.folder and path.suffix.lower() not in declared.suffixes:
            check_folder(path, inputs)
        else:
            check_file(path, inputs, declared.suffixes)
    check_apart([path for path, _ in outputs])


def check_file(path: Path, inputs: Iterable[Path | str] = (), suffixes: Sequence[str] = ()) -> None:
    """Check a file that is to be written, before any work; an existing file is not touched.

    A symbolic link is written through to the file it names, as `open` does. Missing folders may be made later.

    Args:
        path: the file.
        inputs: files that are read; `path` must be none of them, by whatever name or link.
        suffixes: suffixes it may have, such as `.wav`, in lower case; empty: any.

    Raises:
        LipsoundError: it is an input; it has another suffix; it is a folder, device, pipe or socket; it is write
            protected; the file system cannot take its name, or nothing can be written there.
    """
    _check_name(path)
    target = written_to(path)
    _check_input(path, inputs)
    if suffixes and path.suffix.lower() not in suffixes:
        known = " or ".join(suffixes) if len(suffixes) < 3 else f"one of {', '.join(suffixes)}"
        raise LipsoundError(f"{path}: expected a file name that ends in {known}, found '{path.suffix or path.name}'")
    if target.exists() and not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise LipsoundError(f"cannot write {path}: it is write-protected; choose another name, or chmod u+w it")
    _check_place(path, target.parent, target.name)


def check_folder(path: Path, inputs: Iterable[Path | str] = ()) -> None:
    """Check a folder that is to be written into, before any work; nothing in it is touched.

    Args:
        path: the folder; it may be absent, and so may folders above it.
        inputs: folders that are read; `path` must be none of them, by whatever name or link.

    Raises:
        LipsoundError: it is an input; it is no folder; the file system cannot take its name, or nothing can be written
            there.
    """
    _check_name(path)
    if path.is_symlink() and not path.exists():
        raise LipsoundError(f"cannot write into {path}: it is a link to '{path.readlink()}', which is not there")
    _check_input(path, inputs)
    _check_place(path, path, "x")


def check_inputs(paths: Iterable[Path], inputs: Sequence[Path]) -> None:
    """Refuse outputs that are files which are read.

    Raises:
        LipsoundError: one is, by whatever name or link.
    """
    for path in paths:
        if path.exists():
            _check_input(path, inputs)


def check_apart(paths: Sequence[Path]) -> None:
    """Refuse outputs that are the same file.

    Raises:
        LipsoundError: two of them are, by whatever name or link.
    """
    seen: set[str | tuple[int, int]] = set()
    for path in paths:
        names: set[str | tuple[int, int]] = {os.path.realpath(path)}
        with suppress(OSError):
            found = path.stat()  # of links as well
            names.add((found.st_dev, found.st_ino))
        if names & seen:
            raise LipsoundError(f"{path}: two outputs have this name; give each its own")
        seen |= names


def _check_name(path: Path) -> None:
    """Refuse names that no file system takes, or no terminal shows."""
    text = str(path)
    if "\0" in text:
        raise LipsoundError(f"cannot write {text!r}: a name must not hold a zero byte")
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise LipsoundError(
            f"cannot write {text[:80]}...: a path of {len(text)} letters is too long; choose another one"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise LipsoundError(f"cannot write {text!r}: the name is not UTF-8; choose another one") from None


def _check_input(path: Path, inputs: Iterable[Path | str]) -> None:
    for given in inputs:
        if _same(path, Path(given)):
            named = "the input" if str(given) == str(path) else f"the same as the input {given}"
            raise LipsoundError(f"{path}: is {named}, which would be lost; choose another name for the output")


def _same(path: Path, other: Path) -> bool:
    """Whether both exist and are the same file."""
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # one of them is absent or out of reach, or no name of a file at all
        return False


def _check_place(shown: Path, folder: Path, name: str) -> None:
    """Whether a file `name` could be made in a folder that may have to be made first.

    Args:
        shown: what the user called the output.
        folder: where it goes.
        name: of the file; a temporary one is made, and removed again, in the nearest folder that stands.
    """
    parts = [name]
    try:
        while not os.path.lexists(folder):
            parts.append(folder.name)
            folder = folder.parent
        if not folder.is_dir():
            what = "is a link that leads nowhere" if not folder.exists() else "is a file"
            raise LipsoundError(f"cannot write {shown}: {folder} {what}, not a folder")
        longest = _longest_name(folder)
        for part in parts:
            if len(os.fsencode(part)) > longest:
                raise LipsoundError(
                    f"cannot write {shown}: a name of {len(os.fsencode(part))} bytes, and the file system takes "
                    f"{longest}; choose a shorter one"
                )
        probe = temporary_of(folder / name)
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | open_flags("O_CLOEXEC")))
        probe.unlink(missing_ok=True)
    except OSError as error:
        where = f" (in {folder})" if folder != shown else ""
        raise LipsoundError(f"cannot write {shown}: {error.strerror or error}{where}; choose another place") from error


def _longest_name(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):  # Windows has no such function
        return _LONGEST_NAME
