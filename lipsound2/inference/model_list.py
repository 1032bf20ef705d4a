"""The verb `models`: which models there are, what they know, and how they are used. Torch is not imported."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path

from lipsound2 import model_names
from lipsound2.errors import LipsoundError
from lipsound2.inference.model_words import words_of
from lipsound2.known_models import CAVEAT, KnownModel, known_models
from lipsound2.model_uses import LIP_READER, LIP_TO_SPEECH, RECOGNIZER

log = logging.getLogger(__name__)

_WIDTH = 100  # columns of a terminal that the table fits
_INDENT = "    "
_NOT_SAID = "not said"
_SHORT = 30  # letters of a license in the table
_LEGEND = """hub:  lipsound2 models get NAME fetches it
hand: you fetch the file yourself; lipsound2 models get NAME tells from where, and what to do then"""


@dataclass(frozen=True)
class ModelRecord:
    """A model.

    Attributes:
        name: what `--model`, `--asr`, `--vocoder` or `--lm` takes.
        kind: what it is, in words.
        task: which task it was trained for; empty: of a public model, which is not here yet.
        source: where it comes from: `ships` with the toolkit, is of the `user`, or is `public`: known, and not on this
            machine.
        size: of all its files, bytes; 0: not known.
        parameters: number of weights, in words.
        license: of the weights.
        knows: voices and words it knows; of a public model language and result as published.
        trained_on: its training data.
        use: the command that uses it; of a public model the one that gets it.
        path: its folder; of a public model where it is to be had.
        origin: where a fetched model came from: `hub:OWNER/NAME@COMMIT`.
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
    origin: str = ""


def models(name: str | None = None, *, json: bool = False) -> None:
    """List the models: those that ship, those on this machine, and public ones that others published.

    Of each it tells what it is, its size and license, what it knows, and how to use or to get it.
    `lipsound2 models NAME` tells this of one, with all its words where they are a list. Nothing is fetched:
    `lipsound2 models get NAME` does that. `lipsound2 models push` uploads a pack of yours.

    Args:
        name: show this model alone: its name, or an experiment or a pack.
        json: print a list of records as JSON instead, with size in bytes and the folder of each.
    """
    folder = model_names.find(name) if name else None
    if folder is not None and not json:
        print(_in_detail(folder))
        return
    here = models_here() if folder is None else [_record_here(folder)]
    public = public_models() if folder is None else []
    if json:
        records = [asdict(record) for record in (*here, *map(_public_record, public))]
        print(dumps(records, ensure_ascii=False, indent=2))
        return
    print(as_table(here))
    print(f"\nPublic models that others published:\n\n{public_table(public)}\n\n{_LEGEND}\n")
    print(textwrap.fill(CAVEAT, _WIDTH))
    print(f"Models that you get or convert lie in {model_names.user_folder()}")


def _record_here(folder: Path) -> ModelRecord:
    return record_of(folder, "ships" if folder.parent == model_names.PRETRAINED else "user")


def _in_detail(folder: Path) -> str:
    """A model as the table has it, and below it the words that it knows, where they are a list."""
    shown, words = as_table([_record_here(folder)]), words_of(folder)
    if not words:
        return shown
    return f"{shown}\n\n{textwrap.fill(' '.join(words), _WIDTH, initial_indent=f'its {len(words)} words: ')}"


def models_here() -> list[ModelRecord]:
    """The models that ship with the toolkit, and those in the user's folder."""
    records = [record_of(model_names.PRETRAINED / name, "ships") for name in model_names.shipped()]
    for name in model_names.of_user():
        try:
            records.append(record_of(model_names.user_folder() / name, "user"))
        except LipsoundError as error:  # a damaged one hides no other
            log.warning("%s", error)
    return records


def public_models() -> list[KnownModel]:
    """The known public models that are not on this machine."""
    return [model for name, model in known_models().items() if not model_names.found(name)]


def reads_lips(record: ModelRecord) -> bool:
    """Whether it makes speech or words of video: a lip-to-speech model or a lip reader."""
    return record.kind in (LIP_TO_SPEECH.kind, LIP_READER.kind)


def hears(record: ModelRecord) -> bool:
    """Whether it makes words of audio."""
    return record.kind == RECOGNIZER.kind


def record_of(folder: Path, source: str) -> ModelRecord:
    """What is known of a model in a folder; for `source` see `ModelRecord`."""
    facts, task = model_names.card_facts(folder), model_names.task_of(folder)
    use = model_names.use_of_model(folder)
    return ModelRecord(
        name=folder.name,
        kind=use.kind,
        task=task,
        source=source,
        size=sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
        parameters=facts.get("Size", "").partition(" parameters")[0] or "-",
        license=facts.get("License", _NOT_SAID),
        knows=facts.get("Knows", _NOT_SAID),
        trained_on=facts.get("Trained on", _NOT_SAID),
        use=use.of(model_names.name_of(folder)) or _NOT_SAID,
        path=str(folder),
        origin=model_names.fetched_from(folder),
    )


def _public_record(model: KnownModel) -> ModelRecord:
    return ModelRecord(
        name=model.name,
        kind=model.kind,
        task="",
        source="public",
        size=model.size * 1_000_000,
        parameters="",
        license=model.source.license,
        knows=_known_of(model),
        trained_on="",
        use=f"lipsound2 models get {model.name}",
        path=f"hub:{model.hub.repository}" if model.hub else f"by hand: {model.source.where}",
    )


def _known_of(model: KnownModel) -> str:
    published = f"word error rate as published: {model.published}" if model.published else ""
    return "; ".join(part for part in (model.language, published) if part)


def as_table(records: Sequence[ModelRecord]) -> str:
    """A row for each model, and below it what it knows and how it is used; no line is wider than 100 columns."""
    rows = [("model", "what it is", "size", "weights", "license")]
    for each in records:
        # The license of others' weights can be a sentence; the card has it whole.
        terms = each.license if len(each.license) <= _SHORT else f"{each.license[: _SHORT - 3].rstrip(' ,;:')}..."
        rows.append((each.name, each.kind, f"{each.size / 1e6:.1f} MB", each.parameters, terms))
    lines = _aligned(rows)
    blocks = [lines[0]]
    for line, record in zip(lines[1:], records, strict=True):
        knows = textwrap.fill(f"knows: {record.knows}", _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT * 2)
        came = f"\n{_INDENT}from:  {record.origin}" if record.origin else ""
        blocks.append(f"{line}\n{knows}\n{_INDENT}use:   {record.use}{came}")
    return "\n\n".join(blocks)


def public_table(known: Sequence[KnownModel]) -> str:
    """A row for each public model: what it is, its result as published, and how it is to be had."""
    rows = [("model", "what it is", "lang", "WER as published", "size", "license", "from")]
    for each in known:
        size = f"{each.size} MB" if each.size else "-"
        way = "hub" if each.hub else "hand"
        published = each.published or "-"
        rows.append((each.name, each.kind, each.language or "-", published, size, each.source.terms, way))
    return "\n".join(_aligned(rows))


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
