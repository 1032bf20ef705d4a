"""What is done is skipped: a stamp says what an output was made from.

A stamp holds the verb, its resolved options and a digest of everything it read. It is written last; when it
still matches, the output is whole and nothing it depends on has changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lipsound2.files import sha256, write_text

NAME = ".stamp.json"
_HASHED_BELOW = 16 << 20  # larger files are told apart by size and time of change


def digest(path: Path | str) -> str:
    """Digest of an input: of a stamped folder its stamp, of another folder its plain files, of a file its content."""
    path = Path(path)
    if path.is_dir():
        stamp = path / NAME
        if stamp.exists():
            return sha256(stamp)
        names = sorted(p.name for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        listing = "\n".join(f"{name} {digest(path / name)}" for name in names)
        return hashlib.sha256(listing.encode()).hexdigest()
    if not path.exists():
        return "absent"
    status = path.stat()
    if status.st_size < _HASHED_BELOW:
        return sha256(path)
    return f"{status.st_size}:{status.st_mtime_ns}"


class Stamp:
    """The mark of one finished output.

    Args:
        output: the folder the mark lies in.
        verb: the command that makes it.
        options: everything that changes the result (not the number of workers).
        inputs: files and folders that are read.

    Attributes:
        text: what the mark says: all of the above.
    """

    def __init__(self, output: Path | str, verb: str, options: Mapping[str, Any], inputs: Iterable[Path | str]) -> None:
        self.path = Path(output) / NAME
        self.text = json.dumps(
            {
                "verb": verb,
                "options": {key: str(value) for key, value in sorted(options.items())},
                "inputs": [[Path(path).name, digest(path)] for path in inputs],
            },
            indent=1,
        )

    def fresh(self) -> bool:
        """Whether the output is whole and made from exactly these inputs and options."""
        return self.path.exists() and self.path.read_text(encoding="utf-8") == self.text

    def clear(self) -> None:
        """Take the mark away before the output is touched."""
        self.path.unlink(missing_ok=True)

    def write(self) -> None:
        """Set the mark, once the output is whole."""
        write_text(self.path, self.text)
