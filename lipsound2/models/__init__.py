"""Networks, one file a block of a paper. Pure: no corpus, no file, no command line; state is passed and returned."""

from __future__ import annotations

import importlib
from typing import Any

_REGRESSION = {
    "parallel": ("lipsound2.models.parallel", "Parallel", "ParallelConfig"),
    "lira": ("lipsound2.models.lira", "Lira", "LiraConfig"),
    "lipsound2": ("lipsound2.models.lipsound2", "LipSound2", "LipSound2Config"),
}


def regression_model(name: str) -> tuple[Any, type[Any]]:
    """Class and config dataclass of a model of the task *regress*, imported when it is asked for."""
    module, network, config = (_REGRESSION[name][0], *_REGRESSION[name][1:])
    found = importlib.import_module(module)
    return getattr(found, network), getattr(found, config)
