"""Weights of other projects, which their own packages fetch."""

from __future__ import annotations

import sys
from typing import Any

from lipsound2.errors import LipsoundError


def fetched(load: Any, asked: str, what: str, place: str) -> Any:
    """Load a model that may have to be downloaded first; without a network, tell where its files go.

    Args:
        load: loads it.
        asked: the option as it was typed, for messages.
        what: name of its files, for messages.
        place: where its files can be copied from.

    Raises:
        LipsoundError: it is not here and cannot be downloaded.
    """
    print(f"{asked}: {what} are downloaded now unless they are here already", file=sys.stderr)
    try:
        return load()
    except (OSError, RuntimeError) as error:
        raise LipsoundError(
            f"{asked}: {what} cannot be downloaded ({error}); offline, copy them from {place}"
        ) from error
