"""YAML as data and nothing else: safe, keys once, bounded in size and depth, every complaint with its line."""

from __future__ import annotations

import itertools
import re
from typing import Any

import yaml

from lipsound2.errors import LipsoundError

_LONGEST = 8 << 20  # characters
_DEEPEST = 30  # collections in each other
_OPEN = 200  # brackets that are not closed yet, those in texts among them
_BRACKETS = re.compile(r"[\[\]{}]")
_MOST = 1_000_000  # values, those that an alias repeats counted each time
_SHOWN = 60
# What YAML 1.1 reads as 8 or as 5400, and a person does not mean so.
_OTHER_BASE = re.compile(r"[-+]?(0[0-9_]+|[0-9_]+(:[0-9]+)+\.?[0-9_]*)")


def parse_yaml(text: str, where: str) -> Any:
    """The content of a YAML text: None, text, numbers, truth values, dates, lists and mappings with plain keys.

    Raises:
        LipsoundError: not YAML, a key twice, code, too large or too deep: file and line.
    """
    if len(text) > _LONGEST:
        raise LipsoundError(f"{where}: {len(text):,} characters are too many for a YAML file (at most {_LONGEST:,})")
    # The loader takes quadratic time on brackets that nothing closes.
    open_now = itertools.accumulate(1 if mark in "[{" else -1 for mark in _BRACKETS.findall(text))
    if max(open_now, default=0) > _OPEN:
        raise LipsoundError(f"{where}: not a YAML file: more than {_OPEN} brackets in each other")
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of the safe one
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise LipsoundError(f"{where}{line}: not a YAML file: {problem}") from error
    except yaml.YAMLError as error:
        raise LipsoundError(f"{where}: not a YAML file: {' '.join(str(error).split())}") from error


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses what it would trip over."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node of the text, unless it lies too deep or its aliases multiply."""
        if self._depth > _DEEPEST:
            raise yaml.MarkedYAMLError(
                problem=f"more than {_DEEPEST} levels", problem_mark=self.peek_event().start_mark
            )
        alias = self.peek_event() if self.check_event(yaml.AliasEvent) else None
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if alias is None:
            self._sizes[id(node)] = self._size(node)
        elif id(node) not in self._sizes:
            raise yaml.MarkedYAMLError(problem="an alias of what it is part of", problem_mark=alias.start_mark)
        return node

    def _size(self, node: Any) -> int:
        """Values in a node whose own parts were counted before."""
        if isinstance(node, yaml.ScalarNode):
            return 1
        parts = [part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,))]
        size = 1 + sum(self._sizes[id(part)] for part in parts)
        if size > _MOST:
            raise yaml.MarkedYAMLError(problem=f"more than {_MOST:,} values", problem_mark=node.start_mark)
        return size

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """The value of a node; one of another kind is an error, whatever the constructor makes of it."""
        if (
            isinstance(node, yaml.ScalarNode)
            and node.style is None
            and str(node.tag).rpartition(":")[2] in ("int", "float")
            and _OTHER_BASE.fullmatch(node.value)
        ):
            how = (
                "a number that begins with 0 counts by eights" if ":" not in node.value else "a colon counts by sixties"
            )
            raise yaml.MarkedYAMLError(
                problem=f"{node.value[:_SHOWN]!r} is no plain number ({how} in YAML); write it in decimal digits",
                problem_mark=node.start_mark,
            )
        try:
            return super().construct_object(node, deep)
        except (ValueError, AttributeError, KeyError, TypeError, IndexError, OverflowError) as error:
            found = repr(node.value)[:_SHOWN] if isinstance(node.value, str) else f"a {node.id}"
            kind = str(node.tag).rpartition(":")[2]
            raise yaml.MarkedYAMLError(problem=f"{found} is no {kind}", problem_mark=node.start_mark) from error

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping whose keys stand there once; `<<` takes those of another, which its own replace."""
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.tag == "tag:yaml.org,2002:merge" or not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"the key '{key.value[:_SHOWN]}' twice", problem_mark=key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)
