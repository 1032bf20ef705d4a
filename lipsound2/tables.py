"""Kaldi's text tables: UTF-8, one `key value` a line, keys unique and sorted by bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from lipsound2.errors import LipsoundError
from lipsound2.files import write_text

MEDIA = ("video.scp", "wav.scp")
TABLES = (*MEDIA, "text", "utt2spk", "utt2num_frames", "utt2lang", "segments", "word_times")  # of a data dir, by id
PARTIAL = frozenset({"word_times"})  # those that need not know every clip
BLANKS = " \t\r"
_BREAKS = (" ", "\t", "\n", "\r", "\v", "\f")


def rows(path: Path, *, strict: bool = True) -> Iterator[tuple[int, str, str]]:
    """Line number, key and value of each line, in the file's order. The value is all after the first blank.

    Args:
        path: the table.
        strict: refuse bytes that are not UTF-8; else they come as lone surrogates, see `is_text`.

    Raises:
        LipsoundError: no such file; when strict, not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LipsoundError(f"{path}: {error.strerror or error}") from error
    # Only the line feed ends a line: str.splitlines would also cut at marks that may stand in a path.
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8", "strict" if strict else "surrogateescape").strip(BLANKS)
        except UnicodeDecodeError as error:
            raise LipsoundError(
                f"{path}:{number}: expected UTF-8 text, found {line[:80]!r}; "
                f"repair it with: lipsound2 fix {path.parent}"
            ) from error
        key = text.split(" ", 1)[0].split("\t", 1)[0]
        yield number, key, text[len(key) :].strip(BLANKS)


def is_text(text: str) -> bool:
    """Whether a key or value that was not read strictly is proper UTF-8."""
    return not any("\ud800" <= mark <= "\udfff" for mark in text)


def is_pipe(value: str) -> bool:
    """Whether Kaldi would run the value as a command."""
    return value.startswith("|") or value.endswith("|")


def read_table(path: Path | str) -> dict[str, str]:
    """Read a table, strictly.

    Returns:
        Key -> value, in the file's order, which is the order of the keys' bytes.

    Raises:
        LipsoundError: no such file, not UTF-8, a line without a value, a key twice or out of order, a `|` in an scp.
    """
    path = Path(path)
    table: dict[str, str] = {}
    repair = f"repair it with: lipsound2 fix {path.parent}"
    last = ""
    for number, key, value in rows(path):
        where = f"{path}:{number}"
        if not value:
            raise LipsoundError(f"{where}: expected 'key value', found '{key}'; {repair}")
        # Strings compare by code point, which is the order of their UTF-8 bytes.
        if key <= last:
            wrong = "twice" if key in table else f"after '{last}'; lines must be sorted by bytes (LC_ALL=C)"
            raise LipsoundError(f"{where}: the key '{key}' stands {wrong}; {repair}")
        if path.suffix == ".scp" and is_pipe(value):
            raise LipsoundError(f"{where}: '{key}' is a command ('{value}'); only files are read, nothing is executed")
        table[key] = value
        last = key
    return table


def write_table(path: Path | str, mapping: Mapping[str, str]) -> None:
    """Write a table sorted by bytes, whole or not at all.

    Raises:
        LipsoundError: a key with a blank in it, an empty value, a value of several lines, a `|` in an scp.
    """
    path = Path(path)
    for key, value in mapping.items():
        if not key or any(mark in key for mark in _BREAKS):
            raise LipsoundError(f"{path}: a key must be one word, found {key!r}")
        if not value or value != value.strip(BLANKS) or "\n" in value:
            raise LipsoundError(
                f"{path}: the value of '{key}' must be one line without blanks around it, found {value!r}"
            )
        if path.suffix == ".scp" and is_pipe(value):
            raise LipsoundError(
                f"{path}: the value of '{key}' is a command ('{value}'); only files may stand in an scp"
            )
    write_text(path, "".join(f"{key} {mapping[key]}\n" for key in sorted(mapping)))


def parse_words(times: str) -> list[tuple[float, float, str]]:
    """Start and end in seconds, and the word, of a value of `word_times`: "0.69 0.9 bin 0.9 1.08 blue".

    Raises:
        ValueError: it is not of this form.
    """
    fields = times.split()
    if len(fields) % 3:
        raise ValueError(f"expected 'start end word ...', found {len(fields)} fields")
    rows = [(float(start), float(end), word) for start, end, word in zip(*[iter(fields)] * 3, strict=True)]
    if any(not 0 <= start <= end for start, end, _ in rows):
        raise ValueError("a word ends before it starts")
    return rows


def spk2utt(utt2spk: Mapping[str, str]) -> dict[str, str]:
    """Speaker -> its ids, sorted, with blanks between: the inverse of utt2spk."""
    clips: dict[str, list[str]] = {}
    for key in sorted(utt2spk):
        clips.setdefault(utt2spk[key], []).append(key)
    return {speaker: " ".join(keys) for speaker, keys in clips.items()}
