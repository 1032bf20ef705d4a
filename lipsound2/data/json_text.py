"""JSON files with the shape they should have: types checked, keys once, no NaN, no endless digits or brackets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lipsound2.data.numerals import real, whole
from lipsound2.data.shapes import checked
from lipsound2.data.texts import read_text
from lipsound2.errors import LipsoundError

_LARGEST = 1 << 63


def read_json(path: Path | str, shape: Any, advice: str) -> Any:
    """A JSON file as a type.

    Args:
        path: the file.
        shape: what it should be, as `shapes.checked` takes it.
        advice: how to make it again.

    Raises:
        LipsoundError: not JSON, or of another shape.
        OSError: it cannot be read.
    """
    try:
        return checked(parse_json(read_text(path, advice), str(path)), shape, str(path))
    except LipsoundError as error:
        raise LipsoundError(str(error) if str(error).endswith(advice) else f"{error}; {advice}") from error


def parse_json(text: str, where: str) -> Any:
    """The content of a JSON text.

    Raises:
        LipsoundError: not JSON, a key twice, NaN or infinity, or too deep.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_once, parse_constant=_refuse, parse_int=_whole_number, parse_float=real
        )
    except json.JSONDecodeError as error:
        raise LipsoundError(f"{where}:{error.lineno}: not JSON: {error.msg} (column {error.colno})") from error
    except RecursionError as error:
        raise LipsoundError(f"{where}: not JSON that can be read: too many brackets in each other") from error
    except ValueError as error:
        raise LipsoundError(f"{where}: {error}") from error


def _whole_number(text: str) -> int:
    return whole(text, -_LARGEST, _LARGEST)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{twice[:40]}' stands there twice")
    return content


def _refuse(name: str) -> Any:
    raise ValueError(f"expected a finite number, found {name}")
