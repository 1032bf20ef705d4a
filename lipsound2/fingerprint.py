"""Fingerprints of outputs: work whose inputs and options have not changed is skipped.

A fingerprint holds the verb, its resolved options and a digest of everything the verb read. It is written last. While
it matches, nothing the output depends on has changed. The sizes of the output files lie beside it: if a file is missing
or has another size, the output is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lipsound2.files import sha256, sweep, write_bytes, write_text
from lipsound2.old_names import options_of_today

NAME = ".stamp.json"
SIZES = ".sizes"  # no part of a folder's digest: it adds nothing to the fingerprint and the files
_HASHED_BELOW = 16 << 20  # larger files are told apart by size and time of change

log = logging.getLogger(__name__)


def digest(path: Path | str) -> str:
    """Digest of an input: of a folder its fingerprint if it has one, else its plain files; of a file its content."""
    path = Path(path)
    if path.is_dir():
        fingerprint = path / NAME
        if fingerprint.exists():
            return sha256(fingerprint)
        names = sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        listing = "\n".join(f"{name} {digest(path / name)}" for name in names)
        return hashlib.sha256(listing.encode()).hexdigest()
    if not path.exists():
        return "absent"
    status = path.stat()
    if status.st_size < _HASHED_BELOW:
        return sha256(path)
    return f"{status.st_size}:{status.st_mtime_ns}"


def note_sizes(folder: Path, outputs: Iterable[str]) -> None:
    """Note the sizes of files, for `changed`.

    Args:
        folder: they lie in; the note is its `.sizes`.
        outputs: names of files, and of folders whose files count, hidden ones excepted; one that is absent is left out.
    """
    names = sorted({name for output in outputs for name in _files(folder, output)})
    _write(folder, ((str(os.stat(folder / name).st_size), name) for name in names))  # noqa: PTH116 - see `changed`


def note_sizes_again(folder: Path, begin: str = "") -> None:
    """Note the sizes of a folder's files again whose names begin with `begin`, since a verb has changed them."""
    if not (folder / SIZES).exists():
        return
    rows = []
    for size, name in _noted(folder):
        if not name.startswith(begin):
            rows.append((size, name))
        elif (folder / name).exists():
            rows.append((str((folder / name).stat().st_size), name))
    _write(folder, rows)


def _write(folder: Path, rows: Iterable[tuple[str, str]]) -> None:
    """Write a note: size and name of each file."""
    write_bytes(folder / SIZES, os.fsencode("".join(f"{size} {name}\n" for size, name in rows)))


def _noted(folder: Path) -> list[tuple[str, str]]:
    """Size and name of each file of a note."""
    rows = os.fsdecode((folder / SIZES).read_bytes()).splitlines()
    return [(size, name) for size, _, name in (row.partition(" ") for row in rows)]


def _files(folder: Path, output: str) -> Iterable[str]:
    path = folder / output
    if not path.is_dir():
        return [output] if path.exists() else []
    visible = (each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
    return (str(each.relative_to(folder)) for each in visible)


def changed(folder: Path, begin: str = "") -> str:
    """The first file, of those whose names begin with `begin`, that is missing or has another size than noted.

    Empty if there is none, or no note.
    """
    if not (folder / SIZES).exists():
        return ""
    for size, name in _noted(folder):
        if not name.startswith(begin):
            continue
        try:
            found = os.stat(f"{folder}/{name}").st_size  # noqa: PTH116 - there may be a million, and Path is slow
        except (FileNotFoundError, NotADirectoryError):
            return name
        if str(found) != size:
            return name or SIZES
    return ""


def _by_todays_names(text: bytes) -> str:
    """A fingerprint of an earlier version by today's names; empty if it is damaged."""
    try:
        content = json.loads(text)
        content["options"] = options_of_today(content["options"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # damaged
        return ""
    return json.dumps(content, indent=1)


class Fingerprint:
    """The fingerprint of one finished output.

    Args:
        output: the folder it lies in.
        verb: the command that makes the output.
        options: everything that changes the result (not the number of workers).
        inputs: files and folders that are read.
        outputs: names of the output files and folders in the folder; empty if the verb notes their sizes itself.
        perhaps: further ones, which need not exist.

    Attributes:
        text: its content.
    """

    def __init__(
        self,
        output: Path | str,
        verb: str,
        options: Mapping[str, Any],
        inputs: Iterable[Path | str],
        outputs: Iterable[str] = (),
        perhaps: Iterable[str] = (),
    ) -> None:
        self.path = Path(output) / NAME
        self._outputs, self._perhaps = list(outputs), list(perhaps)
        self.text = json.dumps(
            {
                "verb": verb,
                "options": {key: str(value) for key, value in sorted(options.items())},
                "inputs": [[Path(path).name, digest(path)] for path in inputs],
            },
            indent=1,
        )

    def same(self) -> bool:
        """Whether inputs and options are unchanged; output files may be damaged."""
        if not self.path.exists():
            return False
        found = self.path.read_bytes()
        return found == self.text.encode("utf-8") or _by_todays_names(found) == self.text

    def up_to_date(self) -> bool:
        """Whether inputs, options and the sizes of the output files are unchanged.

        Where an earlier version noted no sizes, the files only have to exist.
        """
        folder = self.path.parent
        if not self.same():
            return False
        lost = changed(folder)
        if not lost and not (folder / SIZES).exists():
            lost = next((name for name in self._outputs if not (folder / name).exists()), "")
        if lost:
            log.warning("%s is missing or has another size than when it was made: made again", folder / lost)
        return not lost

    def clear(self) -> None:
        """Remove the fingerprint before the output is touched."""
        self.path.unlink(missing_ok=True)

    def write(self) -> None:
        """Write the fingerprint once the output is whole; remove temporary files of killed processes."""
        sweep(self.path.parent)
        if self._outputs:
            note_sizes(self.path.parent, [*self._outputs, *self._perhaps])
        write_text(self.path, self.text)
