"""NumPy's .npy format, read without trust: plain values only, nothing of the header is evaluated."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from lipsound2.errors import LipsoundError

MAGIC = b"\x93NUMPY"
_HEADS = {1: 10, 2: 12, 3: 12}  # major version -> bytes before the header's text
_LONGEST = 1 << 12  # bytes of a header's text
_SIZE = re.compile(r"[0-9]{1,18}")
_FIELD = {
    "descr": re.compile(r"'descr'\s*:\s*'([<>|=]?[biufcSUmM]\d{1,9}(?:\[\d{0,9}[a-zA-Z]{1,2}\])?)'"),
    "fortran_order": re.compile(r"'fortran_order'\s*:\s*(True|False)"),
    "shape": re.compile(r"'shape'\s*:\s*\(([0-9L, ]{0,800})\)"),
}


def parse_npy(body: np.ndarray) -> np.ndarray:
    """The array of a .npy file's bytes.

    Args:
        body: (N,) uint8; the array that comes back shares its memory.

    Raises:
        ValueError: the bytes are no .npy file, not all of one, or hold anything but plain values.
    """
    head = body[: _LONGEST + 12].tobytes()
    start = _HEADS.get(head[6], 0) if head.startswith(MAGIC) and len(head) > 12 else 0
    if not start:
        raise ValueError(f"expected the beginning of a .npy file, found the bytes {head[:8]!r}")
    length = int.from_bytes(head[8:start], "little")
    text = head[start : start + length].decode("latin-1")
    if length > _LONGEST or len(text) < length:
        raise ValueError(f"its header should be {length} bytes, found {len(text)}")
    found = {name: field.findall(text) for name, field in _FIELD.items()}
    if any(len(values) != 1 for values in found.values()) or text.count(":") != len(_FIELD):
        shown = text[:120].strip()
        raise ValueError(f"expected a header with one plain type and shape (objects are never read), found {shown!r}")
    try:
        dtype = np.dtype(found["descr"][0])
    except TypeError as error:
        raise ValueError(f"no type of NumPy's: {found['descr'][0]!r}") from error
    sizes = [size.removesuffix("L") for size in re.split(r"[ ,]+", found["shape"][0]) if size]
    if not all(_SIZE.fullmatch(size) for size in sizes):
        raise ValueError(f"expected a shape, found {found['shape'][0][:80]!r}")
    shape = list(map(int, sizes))
    count = math.prod(shape)
    have = len(body) - start - length
    if not dtype.itemsize or count * dtype.itemsize > have or len(shape) > 32:
        raise ValueError(f"{count} values of type {dtype} do not fit the {have} bytes behind the header")
    array = np.frombuffer(body, dtype, count, start + length)
    return array.reshape(shape, order="F" if found["fortran_order"][0] == "True" else "C")


def read_npy(path: Path | str, advice: str) -> np.ndarray:
    """The array of a .npy file.

    Raises:
        LipsoundError: it is none, damaged, or cut.
        OSError: it cannot be read.
    """
    try:
        return parse_npy(np.frombuffer(bytearray(Path(path).read_bytes()), np.uint8))
    except ValueError as error:
        raise LipsoundError(f"{path}: {error}; {advice}") from error
