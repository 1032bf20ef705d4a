"""Weights on disk: evaluated ones, their average, and the table that says which are best."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from safetensors import SafetensorError
from safetensors.torch import load as parse
from safetensors.torch import save as serialize
from torch import Tensor

from lipsound2.decoding.calibration import FILE as CALIBRATION
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock, sha256, write_bytes
from lipsound2.fingerprint import note_sizes_again
from lipsound2.old_names import weights_of_today
from lipsound2.outputs import Output, OutputFolder, check_file
from lipsound2.training import checkpoint

log = logging.getLogger(__name__)

MODEL, CONFIG = "model.safetensors", "config.yaml"


@dataclass(frozen=True)
class Evaluated:
    """One evaluation of a training.

    Attributes:
        update: updates made by then.
        epoch: epochs made by then.
        score: what the task's evaluation gave.
    """

    update: int
    epoch: int
    score: float

    @property
    def file(self) -> str:
        """Name of its weights below `checkpoints/`."""
        return f"weights-{self.update:08d}.safetensors"


def best(table: Sequence[Evaluated], count: int) -> list[Evaluated]:
    """The `count` highest scores, best first; of equal ones the earlier."""
    return sorted(table, key=lambda row: (-row.score, row.update))[:count]


def last(table: Sequence[Evaluated], count: int) -> list[Evaluated]:
    """The `count` latest, latest first."""
    return sorted(table, key=lambda row: -row.update)[:count]


def worth_keeping(table: Sequence[Evaluated], count: int) -> set[str]:
    """Files of the best `count` and the last `count`."""
    return {row.file for row in [*best(table, count), *last(table, count)]}


def to_rows(table: Sequence[Evaluated]) -> list[dict[str, Any]]:
    """Plain types, for a checkpoint."""
    return [asdict(row) for row in table]


def write_weights(path: Path, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a state dict as safetensors.

    Args:
        path: file to write, whole or not at all.
        weights: tensors by name; tied ones are written once each.
        facts: what the weights are, kept as JSON in one entry of the file's metadata. Several entries would be stored
            in no fixed order, and equal weights shall be equal files.
    """
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
    write_bytes(path, serialize(tensors, metadata={"lipsound2": json.dumps(facts, sort_keys=True)}))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        LipsoundError: absent or damaged.
    """
    try:
        return weights_of_today(parse(path.read_bytes()))
    except FileNotFoundError as error:
        raise LipsoundError(f"{path}: no such file") from error
    except SafetensorError as error:
        raise LipsoundError(f"{path}: not a whole safetensors file ({error}); make it again") from error


def mean_weights(files: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of the floats of several weight files, buffers included; counters are the first file's.

    Raises:
        LipsoundError: a file is absent or damaged, or holds other tensors than the first.
    """
    first = read_weights(files[0])
    shapes = {name: tensor.shape for name, tensor in first.items()}
    sums = {name: tensor.double() for name, tensor in first.items() if tensor.is_floating_point()}
    for path in files[1:]:
        weights = read_weights(path)
        found = {name: tensor.shape for name, tensor in weights.items()}
        if other := sorted(name for name in {*shapes, *found} if shapes.get(name) != found.get(name)):
            raise LipsoundError(
                f"{path}: holds other tensors than {files[0]} ({len(other)}, '{other[0]}' first), so they have no "
                "mean; remove the file that is not of this training, or train in a new folder"
            )
        for name, total in sums.items():
            total += weights[name]
    means = {name: (total / len(files)).to(first[name].dtype) for name, total in sums.items()}
    return {name: means.get(name, tensor) for name, tensor in first.items()}


def average(
    exp: OutputFolder,
    *,
    best: int | None = None,
    last: int | None = None,
    output: Annotated[Path, Output((".safetensors",))] | None = None,
) -> None:
    """Average the weights of an experiment's evaluations into its model.safetensors.

    Args:
        exp: the experiment's folder.
        best: number of the best evaluations (default: 5).
        last: number of the last evaluations, instead of the best.
        output: file to write instead.
    """
    if best is not None and last is not None:
        raise LipsoundError("--best and --last exclude each other; give one")
    if not exp.is_dir():
        raise LipsoundError(f"{exp}: no such experiment; give the folder that training wrote")
    with folder_lock(exp, "average"):
        state = checkpoint.newest(exp / checkpoint.FOLDER)
        table = [Evaluated(**row) for row in state["table"]] if state else []
        if not table:
            raise LipsoundError(f"{exp}: no evaluated weights to average; train for at least one evaluation first")
        wanted = best if last is None else last
        which = "best" if last is None else "last"
        rows = choose(table, which, 5 if wanted is None else wanted)
        present = [row for row in rows if (exp / checkpoint.FOLDER / row.file).exists()]
        if not present:
            raise LipsoundError(
                f"{exp / checkpoint.FOLDER}: weights of the {which} evaluations are missing, all {len(rows)} of them; "
                "copy them back, or train in a new folder"
            )
        if wanted is not None and len(present) < wanted:
            raise LipsoundError(
                f"{exp}: {wanted} evaluations asked for, the weights of {len(present)} are kept; "
                "ask for fewer, or train with a larger 'keep_best'"
            )
        if output is not None:
            check_file(output, weight_files(exp, rows))
            if (output.parent / CONFIG).exists() and not output.parent.samefile(exp):
                raise LipsoundError(f"{output}: {output.parent} is another experiment, whose weights would be lost")
        write_average(exp, present, output or exp / MODEL)
        note_sizes_again(exp, MODEL)


def choose(table: Sequence[Evaluated], which: str, count: int) -> list[Evaluated]:
    """The `best` or the `last` `count` evaluations.

    Raises:
        LipsoundError: `count` is not positive.
    """
    if count < 1:
        raise LipsoundError(f"an average needs 1 evaluation or more, {count} asked for")
    return (best if which == "best" else last)(table, count)


def write_average(exp: Path, rows: Sequence[Evaluated], path: Path) -> None:
    """Write the mean weights of some evaluations of an experiment."""
    weights = mean_weights(weight_files(exp, rows))
    calibration = path.with_name(CALIBRATION)
    former = sha256(path) if path.name == MODEL and path.exists() and calibration.exists() else ""
    write_weights(path, weights, {"averaged": to_rows(rows)})
    if former and sha256(path) != former:
        calibration.unlink()
        log.warning("%s: removed, it was made for the former weights; run lipsound2 calibrate again", calibration)
    scores = ", ".join(f"{row.score:.4f} (epoch {row.epoch})" for row in rows)
    log.info("%s: mean of %d evaluated weights, scores %s", path, len(rows), scores)


def weight_files(exp: Path, rows: Sequence[Evaluated]) -> list[Path]:
    """Where the weights of some evaluations lie."""
    return [exp / checkpoint.FOLDER / row.file for row in rows]
