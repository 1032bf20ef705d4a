"""What keeps a page harmless whoever wrote what it shows: templates that escape, colors by table, and a policy.

The policy (Content-Security-Policy) allows the page's own script and styles by their hashes, images and audio that
lie in it, and nothing else: should a text ever get by the escaping, no script of it runs and nothing is fetched.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
from collections.abc import Iterable, Sequence

import jinja2
import yaml
from markupsafe import Markup

from lipsound2.report.view import EXPLAINED, NAMES

_TEMPLATES = "templates"


@functools.cache
def environment() -> jinja2.Environment:
    """The templates: they escape every value, and a name that nobody gave them is an error."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, _TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(ink=ink, data_uri=data_uri, yaml=_yaml)
    made.globals.update(names=NAMES, explained=EXPLAINED, anchor=anchor, percent=percent, plural=plural)
    return made


def render(template: str, **values: object) -> Markup:
    """A template, filled in."""
    return Markup(environment().get_template(template).render(values))  # noqa: S704 - the template has escaped them


def source(name: str) -> Markup:
    """A style or script of the package, as it stands in its file."""
    folder = importlib.resources.files(__package__).joinpath(_TEMPLATES)
    return Markup(folder.joinpath(name).read_text(encoding="utf-8"))  # noqa: S704 - the package's own


def ink(system: str) -> str:
    """The declaration of a system's color: those that the page names have their own, all others share one."""
    return f"--ink:var(--{system if system in NAMES else 'other'})"


def data_uri(content: bytes, kind: str) -> str:
    """The content of a file as an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def anchor(*names: str) -> str:
    """An id, and name of a class, out of any names: different names, different ids."""
    return "at-" + "--".join("".join(c if c.isalnum() else f"-{ord(c):x}-" for c in name) for name in names)


def percent(value: float, low: float, high: float) -> float:
    """Where `value` lies between `low` and `high`, 0 to 100."""
    return 100 * min(1.0, max(0.0, (value - low) / (high - low)))


def plural(count: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{count} {noun}{'s' * (count != 1)}"


def _yaml(values: object) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def policy(script: str, styles: Iterable[str]) -> str:
    """The content of the page's policy.

    Args:
        script: content of its one script.
        styles: content of each of its style elements.
    """
    rules: dict[str, Sequence[str]] = {
        "default-src": ["'none'"],
        "script-src": [_hash(script)],
        "style-src": ["'unsafe-inline'"],  # of browsers that do not know the two below
        "style-src-elem": list(dict.fromkeys(map(_hash, styles))),
        "style-src-attr": ["'unsafe-inline'"],  # places and widths in numbers, and `ink`
        "img-src": ["data:"],
        "media-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    return "; ".join(f"{name} {' '.join(values)}" for name, values in rules.items())


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
