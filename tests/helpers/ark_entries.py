"""One entry of an ark, read through an index as everything is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lipsound2.data.archive import Archive


def read_entry(ark: Path, offset: int) -> np.ndarray:
    """The array at byte `offset` of an ark; an index with the suffix `.one.scp` is written beside it."""
    index = ark.with_suffix(".one.scp")
    index.write_text(f"one {ark.name}:{offset}\n", encoding="utf-8")
    return Archive(index)["one"]
