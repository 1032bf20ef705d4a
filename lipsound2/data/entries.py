"""The bytes of one archive entry: Kaldi's float matrices and vectors, its compressed matrices, and NPY for the rest.

Layouts, all little-endian:

* ``\\0BFM \\4<rows>\\4<cols><float32...>`` and DM (float64), FV, DV (vectors with one size);
* ``\\0BCM <min><range><rows><cols>``, four uint16 percentiles a column, then a byte a value, column by column;
* ``\\0BCM2 `` the same header, then uint16 values row by row; ``\\0BCM3 `` with bytes;
* ``NPY<n><length in n bytes>`` and a .npy file, the layout kaldiio writes for any other array. Never a pickle.
"""

from __future__ import annotations

import io
import math
import os
import struct

import numpy as np

from lipsound2.data.npy import parse_npy

_PLAIN = {b"FM": ("<f4", 2), b"DM": ("<f8", 2), b"FV": ("<f4", 1), b"DV": ("<f8", 1)}
_COMPRESSED = {b"CM": 1, b"CM2": 2, b"CM3": 1}  # bytes a value
_LARGEST = 3.4e38  # of a float32
_HEAD = 64  # longer than the fixed part of every layout

# Kaldi's compression methods: token, and (min, range) where they do not come from the matrix.
COMPRESSIONS: dict[str, tuple[bytes, tuple[float, float] | None]] = {
    "speech-feature": (b"CM", None),
    "two-byte": (b"CM2", None),
    "two-byte-signed-integer": (b"CM2", (-32768.0, 65535.0)),
    "one-byte": (b"CM3", None),
    "one-byte-unsigned-integer": (b"CM3", (0.0, 255.0)),
    "one-byte-zero-one": (b"CM3", (0.0, 1.0)),
}


class EntryError(Exception):
    """The bytes are no entry, or not all of one. The archive adds file, id and offset."""


def encode(array: np.ndarray, compress: bool | str = False) -> bytes:
    """The bytes of `array`.

    Args:
        array: float32 or float64 with one or two axes is written as Kaldi does; anything else as an NPY entry.
        compress: for matrices (rows, cols): True chooses as Kaldi does (a byte a value, two with 8 rows or fewer),
            or one of `COMPRESSIONS`.

    Raises:
        EntryError: an array of Python objects, or a matrix that cannot be compressed.
    """
    plain = array.dtype.kind == "f" and array.dtype.itemsize in (4, 8)
    if compress and array.size:
        if not (plain and array.ndim == 2):
            raise EntryError(f"only float matrices can be compressed, found {array.dtype} {array.shape}")
        return _compress(array.astype("<f4"), _method(compress, len(array)))
    if plain and array.ndim in (1, 2):
        token = ("F" if array.dtype.itemsize == 4 else "D") + "VM"[array.ndim - 1]
        sizes = b"".join(b"\4" + struct.pack("<i", size) for size in array.shape)
        return b"\0B" + token.encode() + b" " + sizes + array.astype(array.dtype.newbyteorder("<")).tobytes()
    if array.dtype.hasobject:
        raise EntryError("an array of Python objects cannot be stored")
    if array.dtype.names is not None:
        raise EntryError("an array with named fields cannot be stored")
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    body = file.getvalue()
    width = (len(body).bit_length() + 7) // 8
    return b"NPY" + bytes([width]) + len(body).to_bytes(width, "little") + body


def decode(descriptor: int, offset: int) -> np.ndarray:
    """Read the entry at byte `offset` of an open file, without moving the file's position.

    Returns:
        A writable array: float32 or float64 (rows, cols) or (n,), or whatever the NPY entry holds.

    Raises:
        EntryError: the file ends before the entry does, or there is no entry at this place.
    """
    head = os.pread(descriptor, _HEAD, offset)
    try:
        if head[:2] == b"\0B":
            token = head[2:6].partition(b" ")[0]
            if token in _PLAIN:
                return _decode_plain(descriptor, offset, head, *_PLAIN[token])
            if token in _COMPRESSED:
                return _decode_compressed(descriptor, offset, head, token)
        elif head[:3] == b"NPY":
            width = head[3]
            size = int.from_bytes(head[4 : 4 + width], "little")
            return _decode_npy(_exactly(descriptor, offset + 4 + width, size))
    except (struct.error, IndexError) as error:
        raise EntryError(f"the file ends after {len(head)} bytes of the entry's header") from error
    if not head:
        raise EntryError(f"the file ends at byte {os.fstat(descriptor).st_size}")
    raise EntryError(f"expected a binary Kaldi matrix or an NPY entry, found the bytes {head[:8]!r}")


def _exactly(descriptor: int, start: int, size: int) -> np.ndarray:
    """`size` bytes from `start` as a writable uint8 array."""
    end = os.fstat(descriptor).st_size
    # Asked before the memory is: the size may come from a damaged header.
    if size < 0 or start + size > end:
        raise EntryError(
            f"the file is truncated: the entry reaches to byte {start + size}, the file ends at byte {end}"
        )
    buffer = np.empty(size, np.uint8)
    done = 0
    while done < size:
        count = os.preadv(descriptor, [buffer.data[done:]], start + done)
        if count == 0:
            raise EntryError(f"the file is truncated: it ended at byte {start + done} while being read")
        done += count
    return buffer


def _decode_plain(descriptor: int, offset: int, head: bytes, dtype: str, rank: int) -> np.ndarray:
    sizes = [struct.unpack_from("<Bi", head, 5 + 5 * axis) for axis in range(rank)]
    shape = [size for _, size in sizes]
    if any(mark != 4 or size < 0 for mark, size in sizes):
        raise EntryError(f"damaged matrix header {head[: 5 + 5 * rank]!r}")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return _exactly(descriptor, offset + 5 + 5 * rank, size).view(dtype).reshape(shape)


def _decode_npy(body: np.ndarray) -> np.ndarray:
    try:
        return parse_npy(body)
    except ValueError as error:
        raise EntryError(f"damaged NPY entry: {error}") from error


def _method(compress: bool | str, rows: int) -> str:
    if compress is True or compress == "auto":
        return "speech-feature" if rows > 8 else "two-byte"
    if compress not in COMPRESSIONS:
        raise EntryError(f"unknown compression '{compress}'; one of: auto, {', '.join(COMPRESSIONS)}")
    return str(compress)


def _compress(matrix: np.ndarray, method: str) -> bytes:
    """A float32 matrix (rows, cols) as Kaldi's CompressedMatrix, rounding as Kaldi does."""
    if not np.isfinite(matrix).all():
        raise EntryError("a matrix with infinite values or NaN cannot be compressed")
    token, given = COMPRESSIONS[method]
    if given is None:
        low, high = np.float32(matrix.min()), np.float32(matrix.max())
        span = high - low if high > low else np.float32(1.0) + abs(low)
    else:
        low, span = np.float32(given[0]), np.float32(given[1])
    head = b"\0B" + token + b" " + struct.pack("<ffii", low, span, *matrix.shape)
    if token == b"CM":
        points = _percentiles(_quantize(matrix, low, span, 65535, "<u2"))
        return head + points.T.astype("<u2").tobytes() + _to_bytes(matrix, _level(points, low, span)).T.tobytes()
    top, dtype = (65535, "<u2") if token == b"CM2" else (255, "u1")
    return head + _quantize(matrix, low, span, top, dtype).tobytes()


def _quantize(values: np.ndarray, low: np.float32, span: np.float32, top: int, dtype: str) -> np.ndarray:
    share = np.clip((values - low) / span, 0.0, 1.0)
    return (share * np.float32(top) + 0.499).astype(dtype)  # .499 as in Kaldi


def _level(points: np.ndarray, low: np.float32, span: np.float32) -> np.ndarray:
    """16-bit steps back as float32 values."""
    return (low + span * (1 / 65535) * points.astype(np.float64)).astype(np.float32)


def _percentiles(steps: np.ndarray) -> np.ndarray:
    """The 0, 25, 75 and 100 % points (4, cols) of each column of 16-bit steps, strictly increasing."""
    rows = len(steps)
    quarter = rows // 4
    places = [0, quarter, 3 * quarter, rows - 1] if rows >= 5 else [min(place, rows - 1) for place in range(4)]
    points = np.sort(steps, axis=0)[places].astype(np.int64)
    points[0] = np.minimum(points[0], 65532)
    for place in (1, 2, 3):
        points[place] = np.minimum(np.maximum(points[place], points[place - 1] + 1), 65532 + place)
    return points


def _to_bytes(matrix: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Each value (rows, cols) as a byte on its column's piecewise line through `levels` (4, cols)."""
    p0, p25, p75, p100 = levels
    first = np.clip(np.floor((matrix - p0) / (p25 - p0) * 64 + 0.5), 0, 64)
    middle = np.clip(np.floor((matrix - p25) / (p75 - p25) * 128 + 0.5) + 64, 64, 192)
    last = np.clip(np.floor((matrix - p75) / (p100 - p75) * 63 + 0.5) + 192, 192, 255)
    return np.where(matrix < p25, first, np.where(matrix < p75, middle, last)).astype(np.uint8)


def _decode_compressed(descriptor: int, offset: int, head: bytes, token: bytes) -> np.ndarray:
    start = 3 + len(token)
    low, span, rows, cols = struct.unpack_from("<ffii", head, start)
    if rows < 0 or cols < 0 or not math.isfinite(low) or not abs(low) + abs(span) < _LARGEST:
        raise EntryError(f"damaged matrix header {head[: start + 16]!r}")
    points_size = 8 * cols if token == b"CM" else 0
    body = _exactly(descriptor, offset + start + 16, points_size + rows * cols * _COMPRESSED[token])
    if token == b"CM2":
        return np.float32(low) + body.view("<u2").reshape(rows, cols) * np.float32(span / 65535)
    if token == b"CM3":
        return np.float32(low) + body.reshape(rows, cols) * np.float32(span / 255)
    points = body[:points_size].view("<u2").reshape(cols, 4).T
    p0, p25, p75, p100 = _level(points, np.float32(low), np.float32(span))[..., None]
    # What each of the 256 bytes means in each column, looked up.
    byte = np.arange(256, dtype=np.float32)
    meaning = np.empty((cols, 256), np.float32)
    meaning[:, :65] = p0 + (p25 - p0) * (byte[:65] / 64)
    meaning[:, 65:193] = p25 + (p75 - p25) * ((byte[65:193] - 64) / 128)
    meaning[:, 193:] = p75 + (p100 - p75) * ((byte[193:] - 192) / 63)
    codes = body[points_size:].reshape(cols, rows).T
    return meaning.ravel()[codes + 256 * np.arange(cols)]
