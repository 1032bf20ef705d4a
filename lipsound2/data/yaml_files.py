"""YAML files of one flat mapping, such as configs and the kind.yaml of an archive; mappings given in a line."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lipsound2.arguments import near_file
from lipsound2.data.shapes import checked
from lipsound2.data.texts import read_text
from lipsound2.data.yaml_text import parse_yaml
from lipsound2.errors import LipsoundError
from lipsound2.files import write_text


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read a flat mapping from a YAML file.

    Raises:
        LipsoundError: no such file, not YAML, not a mapping, or a key that is no text.
        OSError: it cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise LipsoundError(f"{path}: no such config file{near_file(path)}")
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
        known = any(words in str(error) for words in ("twice", "no plain number"))
        raise LipsoundError(f"{wanted} ({error})" if known else wanted) from error
    if any(value.value == "" and value.style is None for _, value in pairs):  # YAML takes "a" for "a: null"
        raise LipsoundError(wanted)
    return checked(content, Mapping[str, Any], where)


def write_yaml(path: Path | str, content: Mapping[str, Any]) -> None:
    """Write a mapping as YAML, in its own order, whole or not at all."""
    # Non-ASCII text is escaped: PyYAML does not read back every line break that it writes plainly.
    write_text(path, yaml.safe_dump(dict(content), sort_keys=False))
