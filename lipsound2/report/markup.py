"""What keeps a page harmless whoever wrote what it shows: one place that escapes, colors by table, and a policy.

The policy (Content-Security-Policy) allows the page's own script and styles by their hashes, pictures and sounds that
lie in it, and nothing else: should a text ever get by the escaping, no script of it runs and nothing is fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence

from lipsound2.report.view import SHORT


def escape(text: object) -> str:
    """Any value as text between tags or in a quoted attribute."""
    return html.escape(str(text), quote=True)


def ink(system: str) -> str:
    """The declaration of a system's color: those that the page names have their own, all others share one."""
    return f"--ink:var(--{system if system in SHORT else 'other'})"


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
