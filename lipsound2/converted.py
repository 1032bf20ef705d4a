"""Weights that others published: where they come from, kept through packs and trainings. Torch is not imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from lipsound2.errors import LipsoundError
from lipsound2.model_names import WEIGHTS, card_facts
from lipsound2.versions import read_runs

UNKNOWN = "not noted; ask those who published the weights"
_RECORD = "versions.yaml"
_KEYS = ("origin", "license", "source", "sha256")  # the last two alone in earlier packs


@dataclass(frozen=True)
class Origin:
    """Where converted weights come from.

    Attributes:
        origin: the published file: what converted it, its name, its digest.
        license: of its weights.
    """

    origin: str
    license: str = UNKNOWN

    def notes(self) -> dict[str, str]:
        """It as metadata of a file of weights."""
        return {key: json.dumps(value) for key, value in asdict(self).items()}

    def facts(self) -> dict[str, str]:
        """It as lines of a card."""
        return {"Origin": f"weights of others: {self.origin}", "Origin license": self.license}


def origin_of(path: Path) -> Origin | None:
    """Where the weights of an experiment, a pack or a file of weights come from; None: they are not known as converted.

    An experiment that was begun from converted weights with `--init` counts, too, however long it was trained.

    Args:
        path: folder, or file of weights in it.

    Raises:
        LipsoundError: a record of the training is damaged.
    """
    return _found(path, set())


def refuse_converted(path: Path, verb: str) -> None:
    """Refuse to pass on converted weights.

    Args:
        path: experiment or pack.
        verb: what would be done with them, in words.

    Raises:
        LipsoundError: they are converted.
    """
    if origin := origin_of(path):
        raise LipsoundError(
            f"{path}: its weights are those of others ({origin.origin}), or began from them; license: "
            f"{origin.license}; to {verb}, get permission, then give --allow-redistribution"
        )


def _found(path: Path, seen: set[Path]) -> Origin | None:
    folder = path if path.is_dir() else path.parent
    if not path.exists() or folder.resolve() in seen:
        return None
    seen.add(folder.resolve())
    noted = _noted(path if path.is_file() and path.suffix == ".safetensors" else folder / WEIGHTS)
    if noted is not None:
        license = str(noted.get("license") or card_facts(folder).get("License") or UNKNOWN)
        return Origin(str(noted.get("origin") or f"{noted['source']}, SHA-256 of the file {noted['sha256']}"), license)
    record = folder / _RECORD if (folder / _RECORD).exists() else folder.parent / _RECORD  # a checkpoint's is above it
    for run in read_runs(record):
        if run.get("origin"):
            return Origin(str(run["origin"]), str(run.get("license") or UNKNOWN))
        # Earlier versions noted the path alone.
        if run.get("init") and (before := _found(Path(run["init"]), seen)):
            return before
    return None


def _noted(weights: Path) -> Mapping[str, Any] | None:
    """Metadata of converted weights; None: of others, or of no readable file, which is told where it is read."""
    try:
        with safe_open(weights, framework="numpy") as file:
            found = {key: json.loads(value) for key, value in (file.metadata() or {}).items() if key in _KEYS}
    except (OSError, SafetensorError, ValueError):
        return None
    return found if "origin" in found or {"source", "sha256"} <= found.keys() else None
