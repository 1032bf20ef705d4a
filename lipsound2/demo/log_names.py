"""The log names a clip as its visitor does: without the long temporary folder that it lies in."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path

_SLASH = r"[/\\]"  # of Linux, of Windows


@contextlib.contextmanager
def clips_by_name(home: Path) -> Iterator[None]:
    """Leave the folders of clips out of all that is logged in the block.

    Args:
        home: temporary folder, in which each clip has a folder of its own.
    """
    folder = re.compile(rf"{re.escape(str(home))}{_SLASH}[^/\\\s]+{_SLASH}")

    def shorten(record: logging.LogRecord) -> bool:
        record.msg, record.args = folder.sub("", record.getMessage()), ()
        return True

    # A filter of a logger does not see the lines of those below it; that of a handler sees all.
    handlers = [*logging.getLogger().handlers]
    for each in handlers:
        each.addFilter(shorten)
    try:
        yield
    finally:
        for each in handlers:
            each.removeFilter(shorten)
