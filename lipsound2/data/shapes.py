"""Plain data of a file, such as YAML's and JSON's, as the types that it should be of."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from lipsound2.arguments import Within
from lipsound2.data.numerals import real
from lipsound2.data.texts import is_writable, shown
from lipsound2.errors import LipsoundError

_LARGEST = 1 << 63  # of a whole number, as arrays hold them


def checked(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint`.

    Args:
        value: text, numbers, truth values, None, lists and mappings of these.
        hint: str, int, float, bool, None, Any, a Literal, a union, list, tuple, or Mapping of these, or a dataclass,
            whose fields are the keys of a mapping. A number may be annotated with the range it lies in, as `Share` is.
        where: file and key, for messages.

    Raises:
        LipsoundError: it is of another type, no finite number, out of range, or text with a zero byte: the message
            names both types, or the range.
    """
    if hint is Any:
        return value
    origin, parameters = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _in_range(checked(value, parameters[0], where), parameters[1], where)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in parameters:
            return None
        return checked(value, next(p for p in parameters if p is not type(None)), where)
    if origin is Literal:
        if isinstance(value, list | dict) or value not in parameters:
            raise LipsoundError(f"{where}: expected one of {', '.join(map(str, parameters))}, found {_shown(value)}")
        return value
    if origin in (tuple, list):
        return origin(_items(value, parameters, where))
    if origin is not None and issubclass(origin, Mapping):
        return _entries(value, parameters[1], where)
    if dataclasses.is_dataclass(hint):
        return _instance(value, typing.cast(type[Any], hint), where)
    return _plain(value, hint, where)


def _in_range(value: float, within: Within, where: str) -> float:
    if not within.least <= value <= within.most:
        raise LipsoundError(f"{where}: expected a number {within}, found {value}")
    return value


def _items(value: Any, parameters: tuple[Any, ...], where: str) -> list[Any]:
    """The elements of a list; `parameters` is the type of all (with or without an ellipsis), or one for each."""
    if not isinstance(value, list | tuple):
        raise LipsoundError(f"{where}: expected a list, found {_shown(value)}")
    hints = [parameters[0]] * len(value) if len(parameters) == 1 or parameters[1] is ... else list(parameters)
    if len(hints) != len(value):
        raise LipsoundError(f"{where}: expected a list of {len(hints)}, found {len(value)}")
    return [checked(item, hint, where) for item, hint in zip(value, hints, strict=True)]


def _entries(value: Any, hint: Any, where: str) -> dict[str, Any]:
    """A mapping with text for keys."""
    if not isinstance(value, Mapping):
        raise LipsoundError(f"{where}: expected 'key: value', found {_shown(value)}")
    return {
        typing.cast(str, _plain(key, str, where)): checked(one, hint, f"{where}: {str(key)[:40]}")
        for key, one in value.items()
    }


def _instance(value: Any, owner: type[Any], where: str) -> Any:
    """A dataclass of a mapping with its fields; other keys, of a later version, are passed over."""
    entries = _entries(value, Any, where)
    hints = typing.get_type_hints(owner, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(owner)}
    needed = {
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    if missing := needed - entries.keys():
        raise LipsoundError(f"{where}: the key '{min(missing)}' is missing; wanted {', '.join(fields)}")
    return owner(**{key: checked(entries[key], hints[key], f"{where}: {key}") for key in fields if key in entries})


def _plain(value: Any, hint: Any, where: str) -> Any:
    """Text, a number or a truth value."""
    if hint is float and isinstance(value, str):
        # YAML 1.1 reads 1e-3 (no dot) as text; nobody means text.
        try:
            return real(value)
        except ValueError:
            pass
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise LipsoundError(f"{where}: expected {hint.__name__}, found {_shown(value)} ({type(value).__name__})")
    if isinstance(value, float) and not math.isfinite(value):
        raise LipsoundError(f"{where}: expected a finite number, found {value}")
    if hint is int and abs(value) >= _LARGEST:
        raise LipsoundError(f"{where}: expected a whole number below 2^63, found one of {value.bit_length()} bits")
    if hint is str and not is_writable(value):
        raise LipsoundError(f"{where}: expected text, found a zero byte or half a character in {shown(value)}")
    return value


def _shown(value: Any) -> str:
    """A value of a stranger in a message: short."""
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, list | tuple | dict):
        return f"{type(value).__name__} of {len(value)}"
    return shown(value) if isinstance(value, str) else repr(value)[:80]
