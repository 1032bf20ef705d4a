"""Damage that `fuzz.py` does to files: bits, cuts, odd numbers, lines that repeat, and files that are none at all."""

from __future__ import annotations

import random
import re

_NUMBER = re.compile(rb"-?\d+\.?\d*(?:e-?\d+)?")
_ODD_NUMBERS = (
    *(
        b"nan",
        b"inf",
        b"-inf",
        b"NaN",
        b"Infinity",
        b"1e308",
        b"-1e308",
        b"1e999",
        b"1_000",
        b"0x10",
        b"-1",
        b"0",
        b".nan",
        b".inf",
    ),
    *(
        b"9" * 19,
        b"9" * 4301,
        b"1" + b"0" * 12,
        b"2147483648",
        b"9223372036854775808",
        b"1e20",
        b"0b_",
        b"2026-13-45",
        b"''",
        b"",
    ),
    *(
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'"x"',
        b"[1]",
        b"!!int x",
        b"!!timestamp x",
        b"!!python/name:os.system",
        b"*x",
        b"&x 1",
    ),
)
_PIECES = (
    *(
        b"\0",
        b"\xff",
        b"\xe9",
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\r",
        b"\t",
        b"\t\t",
        b" ",
        b"|",
        b"\\",
        b"'",
        b'"',
        b"\x1b[31m",
        b"\xc2\x85",
    ),
    *(
        b"\xed\xa0\x80",
        b"\xe2\x80\xa8",
        b"../../..",
        b"/",
        b":",
        b": ",
        b"- ",
        b"#",
        b"[" * 5000,
        b"{" * 2000,
        b"(" * 3000,
        b'{"a":' * 3000,
    ),
    *(
        b"<script>",
        b"x" * 5000,
        b"9" * 5000,
        b"\\ud800",
        b"\\u0000",
        b"ngram 1=99999999999",
        b"NPY\xff",
        b"\0BCM ",
        b"\x80\x04.",
    ),
)


def mutate(rng: random.Random, content: bytes) -> bytes:
    """A file with one to four faults."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        content = rng.choice(_FAULTS)(rng, content)
    return content


def _flip(rng: random.Random, content: bytes) -> bytes:
    if not content:
        return content
    found = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _drop(rng: random.Random, content: bytes) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + content[start + rng.choice((1, 2, 5, 40)) :]


def _insert(rng: random.Random, content: bytes) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.choice(_PIECES) + content[place:]


def _swap(rng: random.Random, content: bytes) -> bytes:
    a, b = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:a] + content[b:] + content[a:b]


def _number(rng: random.Random, content: bytes) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return content
    chosen = rng.choice(found)
    return content[: chosen.start()] + rng.choice(_ODD_NUMBERS) + content[chosen.end() :]


def _line(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    place = rng.randrange(len(lines))
    line = lines.pop(place)
    fields = line.split(b"\t") if b"\t" in line else line.split(b" ")
    made = {
        "gone": [],
        "twice": [line, line],
        "shorter": [(b"\t" if b"\t" in line else b" ").join(fields[:-1])],
        "longer": [line + (b"\t" if b"\t" in line else b" ") + b"9"],
        "empty": [b""],
        "latin": [line.decode("utf-8", "replace").replace("e", "\xe9").encode("latin-1", "replace")],
    }
    lines[place:place] = made[rng.choice(list(made))]
    return b"\n".join(lines)


def _whole(rng: random.Random, content: bytes) -> bytes:
    """The file as another program would save it, or not the file at all."""
    text = content.decode("utf-8", "replace")
    return rng.choice(
        [
            *(
                b"",
                b"\0" * 100,
                content * 2,
                b"\xef\xbb\xbf" + content,
                content.replace(b"\n", b"\r\n"),
                text.encode("utf-16"),
            ),
            *(
                content.rstrip(b"\n"),
                b"null",
                b"[]",
                b"{}",
                b"[" * 20000,
                rng.randbytes(64),
                content.replace(b" ", b"\t"),
            ),
        ]
    )


_FAULTS = (_flip, _flip, _cut, _drop, _insert, _insert, _swap, _number, _number, _number, _line, _line, _whole)
