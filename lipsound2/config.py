"""Flat, typed configs: one YAML file a run, every key owned by exactly one dataclass.

A config is data. It is read with a safe loader (`data.yaml_text`), an unknown key is refused with the nearest known
name, a value of another type with both types (`data.shapes`), and nothing in it names code to run.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from lipsound2.data.shapes import checked
from lipsound2.data.texts import read_text
from lipsound2.data.yaml_text import parse_yaml
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text

T = TypeVar("T")


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read a flat mapping from a YAML file.

    Raises:
        LipsoundError: no such file, not YAML, not a mapping, or a key that is no text.
        OSError: it cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise LipsoundError(f"{path}: no such config file")
    content = parse_yaml(read_text(path), str(path))
    if not isinstance(content, dict):
        raise LipsoundError(f"{path}: expected 'key: value' lines, found {type(content).__name__}")
    return checked(content, Mapping[str, Any], str(path))


def parse_flow(text: str, where: str) -> dict[str, Any]:
    """The mapping that a line such as "lr: 1e-4, crop: 80" names: YAML between braces that need not be typed.

    Raises:
        LipsoundError: not YAML, or a key without a value.
    """
    wanted = f"{where}: expected 'key: value, key: value', found '{text}'"
    try:
        content = parse_yaml(f"{{{text}}}", where)
        pairs = typing.cast(yaml.MappingNode, yaml.compose(f"{{{text}}}", Loader=yaml.SafeLoader)).value
    except (LipsoundError, yaml.YAMLError) as error:
        told = any(words in str(error) for words in ("twice", "no plain number"))
        raise LipsoundError(f"{wanted} ({error})" if told else wanted) from error
    if any(value.value == "" and value.style is None for _, value in pairs):  # YAML takes "a" for "a: null"
        raise LipsoundError(wanted)
    return checked(content, Mapping[str, Any], where)


def write_yaml(path: Path | str, content: Mapping[str, Any]) -> None:
    """Write a mapping as YAML, in its own order, whole or not at all."""
    # Non-ASCII text is escaped: PyYAML does not read back every line break that it writes plainly.
    write_text(path, yaml.safe_dump(dict(content), sort_keys=False))


def build(owners: Sequence[type[Any]], values: Mapping[str, Any], where: str, known: Sequence[str] = ()) -> list[Any]:
    """Share the keys of one flat mapping out among dataclasses.

    Args:
        owners: dataclasses; no key may be a field of two of them.
        values: the flat mapping.
        where: the file, for messages.
        known: further keys that are allowed and left alone.

    Returns:
        One instance per owner, in order.

    Raises:
        LipsoundError: an unknown key (with the nearest known one), a missing one, or a value of another type.
    """
    fields = {field.name: owner for owner in owners for field in dataclasses.fields(owner)}
    for key in values:
        if key not in fields and key not in known:
            near = difflib.get_close_matches(str(key), [*fields, *known], n=1, cutoff=0.5)
            hint = f"; did you mean '{near[0]}'?" if near else f"; known keys: {', '.join(sorted(fields))}"
            raise LipsoundError(f"{where}: unknown key '{key}'{hint}")
    instances = []
    for owner in owners:
        hints = typing.get_type_hints(owner)
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
