"""Flat, typed configs: one YAML file a run, every key owned by exactly one dataclass.

A config is data: a safe loader reads it (`data.yaml_files`), and nothing in it names code to run. An unknown key is
refused with the nearest known name, a value of another type with both types, a number out of range with its range
(`data.shapes`).
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from lipsound2.data.shapes import checked
from lipsound2.errors import LipsoundError

T = TypeVar("T")


def build(
    owners: Sequence[type[Any]],
    values: Mapping[str, Any],
    where: str,
    known: Sequence[str] = (),
    explain: Callable[[str], str] = lambda key: "",
) -> list[Any]:
    """Share the keys of one flat mapping out among dataclasses.

    Args:
        owners: dataclasses; no key may be a field of two of them.
        values: the flat mapping.
        where: the file, for messages.
        known: further keys that are allowed and left alone.
        explain: what is known of an unknown key, for the message; empty: nothing, and the nearest key is named.

    Returns:
        One instance per owner, in order.

    Raises:
        LipsoundError: an unknown key (with the nearest known one), a missing one, or a value of another type or
            out of range.
    """
    fields = {field.name: owner for owner in owners for field in dataclasses.fields(owner)}
    for key in values:
        if key not in fields and key not in known:
            near = difflib.get_close_matches(str(key), [*fields, *known], n=1, cutoff=0.6)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(fields))}"
            raise LipsoundError(f"{where}: unknown key '{key}'; {explain(str(key)) or hint}")
    instances = []
    for owner in owners:
        hints = typing.get_type_hints(owner, include_extras=True)
        arguments = {}
        for field in dataclasses.fields(owner):
            if field.name in values:
                arguments[field.name] = checked(values[field.name], hints[field.name], f"{where}: {field.name}")
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise LipsoundError(f"{where}: the key '{field.name}' is missing")
        instances.append(owner(**arguments))
    return instances


def from_mapping(owner: type[T], values: Mapping[str, Any], where: str) -> T:
    """`build` for a single dataclass."""
    return typing.cast(T, build([owner], values, where)[0])


def to_mapping(*instances: Any) -> dict[str, Any]:
    """The flat mapping of several dataclass instances, tuples as lists: the inverse of `build`."""
    flat: dict[str, Any] = {}
    for instance in instances:
        for key, value in dataclasses.asdict(instance).items():
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat
