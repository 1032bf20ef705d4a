"""Folders of exported recognizers and language models: what is in them, checked before anything runs.

Beside the networks a folder holds the files of the pack that name tokens, search, calibration, license and origin.
Torch is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lipsound2 import model_names
from lipsound2.config import from_mapping
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.files import sha256
from lipsound2.inference.familiarity import FILE as FAMILIARITY
from lipsound2.model_names import EXPORT

ENCODER, MEMORY, DECODER, LANGUAGE = "encoder.onnx", "memory.onnx", "decoder.onnx", "language.onnx"
# Where unlike faces are told: the trunk by itself, and by the statistics of the clip. ENCODER is then what follows.
TRUNK, UNLIKE = "trunk.onnx", "unlike.onnx"
READER, LANGUAGE_MODEL = "recognizer", "language model"
_AGAIN = "write it again with: lipsound2 export EXP FOLDER"


@dataclass(frozen=True)
class ExportedFolder:
    """The content of export.yaml.

    Attributes:
        kind: what was exported.
        name: of the experiment or pack.
        source: SHA-256 of its weights.
        precision: of the linear layers.
        difference: largest difference from torch's log-probabilities, natural logarithm, found when it was exported.
        files: SHA-256 of every other file of the folder.
        knows: voices and words a recognizer knows.
        input: of a recognizer: feature type of what it reads.
        language: likewise: of its texts.
        side: of a lip reader: side of its crops in pixels; 0: it hears audio.
        seconds: of a recognizer: length of a state.
        boundary: the token that begins and ends a text; -1: there is no decoder.
        memory: layers, heads and channels a head of the decoder, or of the language model.
    """

    kind: Literal["recognizer", "language model"]
    name: str
    source: str
    precision: Literal["fp32", "int8"]
    difference: float
    files: Mapping[str, str]
    knows: str = ""
    input: str = ""
    language: str = "en"
    side: int = 0
    seconds: float = 0.0
    boundary: int = -1
    memory: tuple[int, int, int] = (0, 0, 0)


def is_exported(folder: Path | str) -> bool:
    """Whether a folder holds an exported recognizer or language model."""
    return (Path(folder) / EXPORT).is_file()


def read_folder(folder: Path, kind: str) -> ExportedFolder:
    """What is in a folder, all of whose files are there.

    Raises:
        LipsoundError: it is no such folder, of another kind, or a file is absent.
    """
    if not is_exported(folder):
        if not folder.exists() and model_names.found(folder):
            raise LipsoundError(
                f"{folder}: is the name of a pack, wanted the folder of an exported {kind}; write it with: "
                f"lipsound2 export {folder} FOLDER"
            )
        found = "no such folder" if not folder.exists() else f"holds no {EXPORT}, so it is no exported {kind}"
        raise LipsoundError(f"{folder}: {found}; {_AGAIN}")
    made = from_mapping(ExportedFolder, read_yaml(folder / EXPORT), str(folder / EXPORT))
    if made.kind != kind:
        raise LipsoundError(f"{folder}: is an exported {made.kind}, wanted a {kind}")
    needed = [ENCODER] if kind == READER else [LANGUAGE]
    needed += [MEMORY, DECODER] if kind == READER and made.boundary >= 0 else []
    needed += [TRUNK, UNLIKE] if FAMILIARITY in made.files else []
    for name in (*needed, *made.files):
        if name not in made.files or Path(name).name != name or not (folder / name).is_file():
            raise LipsoundError(f"{folder / name}: is missing; {_AGAIN}, or copy the folder again")
    return made


def check_files(folder: Path, made: ExportedFolder) -> None:
    """Check that the files of a folder are those that were written.

    Raises:
        LipsoundError: one is another.
    """
    for name, wanted in made.files.items():
        if sha256(folder / name) != wanted:
            raise LipsoundError(
                f"{folder / name}: is not the file that was exported (another SHA-256 than in {EXPORT}); {_AGAIN}, or "
                "copy the folder again"
            )
