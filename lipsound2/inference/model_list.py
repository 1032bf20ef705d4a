"""The verb `models`: which models there are, what they know, and how they are used. Torch is not imported."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from json import dumps

from lipsound2 import model_names
from lipsound2.data.yaml_files import read_yaml
from lipsound2.video.align import REGIONS

_WIDTH = 100  # columns of a terminal that the table fits
_INDENT = "    "
# What a model of a task is, and the command that uses it.
_KINDS = {
    "regress": ("lip-to-speech", "lipsound2 speak clip.mp4 --model {}"),
    "recognize": ("recognizer of audio", "lipsound2 transcribe clip.mp4 --asr {}"),
    "vocode": ("vocoder", "lipsound2 speak clip.mp4 --vocoder {}"),
}
_LIPS = ("lip reader", "lipsound2 transcribe clip.mp4 --model {}")


@dataclass(frozen=True)
class ModelRecord:
    """A model.

    Attributes:
        name: what `--model`, `--asr` or `--vocoder` takes.
        kind: what it is, in words.
        task: which task it was trained for.
        source: where it comes from: `ships` with the toolkit.
        size: of all its files, bytes.
        parameters: number of weights, in words.
        license: of the weights.
        knows: voices and words it knows.
        trained_on: its training data.
        use: the command that uses it.
        path: its folder.
    """

    name: str
    kind: str
    task: str
    source: str
    size: int
    parameters: str
    license: str
    knows: str
    trained_on: str
    use: str
    path: str


def models(*, json: bool = False) -> None:
    """List the models that ship with the toolkit: what each is, its size, license, what it knows, and how to use it.

    Args:
        json: print a list of records as JSON instead, with size in bytes and the folder of each.
    """
    found = shipped_models()
    print(dumps([asdict(record) for record in found], ensure_ascii=False, indent=2) if json else as_table(found))


def shipped_models() -> list[ModelRecord]:
    """The models that ship with the toolkit."""
    return [_record(name) for name in model_names.shipped()]


def _record(name: str) -> ModelRecord:
    folder = model_names.find(model_names.PRETRAINED / name)
    facts, task = model_names.card_facts(folder), model_names.task_of(folder)
    lips = task == "recognize" and read_yaml(folder / model_names.CONFIG).get("input") in REGIONS
    kind, use = _LIPS if lips else _KINDS[task]
    return ModelRecord(
        name=name,
        kind=kind,
        task=task,
        source="ships",
        size=sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
        parameters=facts["Size"].partition(" parameters")[0],
        license=facts["License"],
        knows=facts["Knows"],
        trained_on=facts["Trained on"],
        use=use.format(name),
        path=str(folder),
    )


def as_table(records: Sequence[ModelRecord]) -> str:
    """A row for each model, and below it what it knows and how it is used; no line is wider than 100 columns."""
    rows = [("model", "what it is", "size", "weights", "license")]
    rows += [(each.name, each.kind, f"{each.size / 1e6:.1f} MB", each.parameters, each.license) for each in records]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    blocks = [lines[0]]
    for line, record in zip(lines[1:], records, strict=True):
        knows = textwrap.fill(f"knows: {record.knows}", _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT * 2)
        blocks.append(f"{line}\n{knows}\n{_INDENT}use:   {record.use}")
    return "\n\n".join(blocks)
