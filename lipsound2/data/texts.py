"""The user's text files: UTF-8 with or without a byte-order mark, and a clear error where they are something else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lipsound2.errors import LipsoundError

BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # UTF-16, as some editors save "Unicode"
_SHOWN = 60


def read_text(path: Path | str, advice: str = "") -> str:
    """A whole text file, lines ended by "\\n" alone.

    Args:
        path: the file.
        advice: what to do where it is no text; empty: to save it as UTF-8.

    Raises:
        LipsoundError: no such file; it is not UTF-8, or holds zero bytes: which line, and what stands there.
        OSError: it cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise LipsoundError(f"{path}: no such file" + (f"; {advice}" if advice else "")) from error
    return text_of(content, path, advice).replace("\r\n", "\n").replace("\r", "\n")


def text_of(content: bytes, where: Path | str, advice: str = "", line: int = 1) -> str:
    """Bytes as text, without the byte-order mark.

    Args:
        content: of a file, or a part of one.
        where: the file, for messages.
        advice: what to do; empty: to save it as UTF-8.
        line: number of its first line.

    Raises:
        LipsoundError: it is not UTF-8, or holds zero bytes.
    """
    if content.startswith(_WIDE):
        raise LipsoundError(f"{where}: expected UTF-8 text, found UTF-16; {advice or 'save it as UTF-8'}")
    content = content.removeprefix(BOM) if line == 1 else content
    try:
        text = content.decode("utf-8")
        place = content.find(b"\0")
    except UnicodeDecodeError as error:
        place = error.start
    if place < 0:
        return text
    line += content.count(b"\n", 0, place)
    start = max(content.rfind(b"\n", 0, place) + 1, place - _SHOWN // 2)
    found = content[start : start + _SHOWN].partition(b"\n")[0]
    raise LipsoundError(f"{where}:{line}: expected UTF-8 text, found {found!r}; {advice or 'save it as UTF-8'}")


def read_lines(path: Path | str) -> Iterator[tuple[int, str]]:
    """Number and text of each line of a file that may be large, one by one, without what ends them.

    Raises:
        LipsoundError: as `read_text`.
        OSError: it cannot be read.
    """
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - closed below
    except FileNotFoundError as error:
        raise LipsoundError(f"{path}: no such file") from error
    with file:
        number = 0
        for line in file:
            for part in text_of(line, path, line=number + 1).rstrip("\r\n").split("\r"):  # \r alone: of old Macs
                number += 1
                yield number, part


def shown(text: str) -> str:
    """A piece of somebody's text as messages quote it: short, in quotes, odd marks as escapes."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def is_writable(text: str) -> bool:
    """Whether a text can stand in a UTF-8 file or be the name of one: no zero byte, no half of a character."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= mark <= "\udfff" for mark in text))
