"""The verb `pack`: an experiment as a folder that works elsewhere: config, half-precision weights, card."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import save as serialize
from torch import Tensor

from lipsound2 import experiment, model_names
from lipsound2.converted import origin_of, refuse_converted
from lipsound2.data.datadir import DataDir
from lipsound2.data.texts import read_text
from lipsound2.decoding.calibration import FILE as CALIBRATION
from lipsound2.decoding.calibration import facts as calibration_facts
from lipsound2.decoding.search_options import FILE as SEARCH
from lipsound2.errors import LipsoundError
from lipsound2.files import atomic_path, folder_lock, sha256, told_size, write_bytes, write_text
from lipsound2.hub_card import RESULTS, hub_page, result_files
from lipsound2.inference import familiar_faces, familiarity, vocoder_names
from lipsound2.metrics.score import SUMMARY
from lipsound2.metrics.score_text import FOLDER
from lipsound2.metrics.summary import table
from lipsound2.metrics.summary_files import read_scores
from lipsound2.metrics.wer_summary import further_tables, read_summary
from lipsound2.metrics.wer_summary import table as word_table
from lipsound2.outputs import OutputFolder
from lipsound2.report.provenance import provenance
from lipsound2.tasks.base import AnyTask
from lipsound2.versions import read_runs


def pack(
    exp: Path,
    out: OutputFolder,
    *,
    knows: str,
    corpus: str,
    license: str,
    scores: Path | None = None,
    train: Path | None = None,
    dump: Path | None = None,
    hub: bool = False,
    allow_redistribution: bool = False,
) -> None:
    """Make a pack of an experiment: a folder that works elsewhere.

    Weights that others published, and what was begun from them, are packed with --allow-redistribution alone. With
    --train and --dump the pack of a lip-to-speech model, or of a lip reader, can tell faces that are unlike those it
    learned from, and `speak` and `transcribe` warn of them.

    Args:
        exp: experiment whose training has ended.
        out: folder to write: a new one, an empty one, or an earlier pack of the same experiment.
        knows: one line about the voices and words the model knows; `speak` and `transcribe` show it to their users.
        corpus: what it was trained on.
        license: license of that corpus, and with it of the weights.
        scores: folder that `score` wrote for an earlier pack of these weights; the card then shows the scores of the
            half-precision weights, not those of the experiment.
        train: data dir of the training set, with --dump.
        dump: folder of its crops, with --train.
        hub: also write README.md, with the front matter that model hubs read, and the results as JSON.
        allow_redistribution: pack weights that others published; their license has to allow it.
    """
    knows, corpus, license = (" ".join(text.split()) for text in (knows, corpus, license))  # a line each of the card
    if not allow_redistribution:
        refuse_converted(model_names.find(exp), "pass them on")
    loaded = experiment.load(exp)
    state = _half(loaded)
    faces = _faces(exp, train, dump)
    origin = origin_of(loaded.path)
    sets = _sets(loaded.path, scores)
    text = card(loaded, out.name, knows, corpus, license, scores)
    page = hub_page(loaded, text, out.resolve().name, corpus, license, sets) if hub else ""
    with pack_folder(out, _origin(loaded.path), "pack"):
        # The card first: if this run is killed, it tells the next one whose pack this is. The weights complete it.
        write_text(out / model_names.CARD, text)
        with atomic_path(out / model_names.CONFIG) as temporary:
            shutil.copyfile(loaded.path / model_names.CONFIG, temporary)
        copied = {name: loaded.path / name for name in (CALIBRATION, SEARCH, vocoder_names.FILE)}
        copied = {name: path for name, path in copied.items() if path.exists()} | (result_files(sets) if hub else {})
        # Of an earlier pack, whose weights were others.
        beside = (CALIBRATION, SEARCH, vocoder_names.FILE, familiarity.FILE, model_names.README)
        for old in (*(out / name for name in beside), *out.glob(RESULTS)):
            old.unlink(missing_ok=True)
        for name, path in copied.items():
            with atomic_path(out / name) as temporary:
                shutil.copyfile(path, temporary)
        if page:
            write_text(out / model_names.README, page)
        loaded.task.save(loaded.assets, out)
        if faces is not None:
            faces.save(out / familiarity.FILE)
        notes = {key: json.dumps(value) for key, value in loaded.notes.items()} | (origin.notes() if origin else {})
        write_bytes(out / model_names.WEIGHTS, serialize(state, notes))
    size = sum(file.stat().st_size for file in out.iterdir() if file.is_file())
    print(f"{out}: {told_size(size)}; use it with: {loaded.task.usage(out)}")


def _half(loaded: experiment.Experiment[AnyTask]) -> dict[str, Tensor]:
    """The weights of a pack: integers as they are; half precision is enough for all other tensors.

    Raises:
        LipsoundError: some are no finite numbers in half precision.
    """
    state = {}
    for key, tensor in loaded.model.state_dict().items():
        state[key] = (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        if not bool(state[key].isfinite().all()):
            raise LipsoundError(
                f"{loaded.path}: '{key}' has numbers that are not finite in half precision (65504 at most), so its "
                "pack would say nothing; train again, or average other evaluations: lipsound2 average"
            )
    return state


def _sets(exp: Path, scores: Path | None) -> dict[str, Path]:
    """Folders that `score` wrote, by the names of their sets."""
    folders = [scores] if scores is not None else sorted(exp.glob("scores/*/"))
    return {folder.resolve().name: folder for folder in folders}


def _faces(exp: Path, train: Path | None, dump: Path | None) -> familiarity.Familiarity | None:
    """What tells the faces of the training set from others; None: it was not asked for, and is not there."""
    if (train is None) != (dump is None):
        raise LipsoundError("--train and --dump belong together: the training set, and the folder of its crops")
    if train is not None and dump is not None:
        return familiar_faces.learn(experiment.load(exp), DataDir(train), dump)
    there = model_names.find(exp) / familiarity.FILE
    return familiarity.Familiarity.load(there) if there.exists() else None


@contextmanager
def pack_folder(out: Path, origin: str, verb: str) -> Iterator[None]:
    """Hold the folder of a pack while it is written; of a new pack, a block that fails leaves nothing.

    Args:
        out: the folder.
        origin: the line of the card that names what the pack is made of.
        verb: that writes it.

    Raises:
        LipsoundError: the folder holds something else than an earlier pack of it, or another run holds it.
    """
    _check_folder(out, origin)
    with folder_lock(out, verb):
        new = not any(out.glob("[!.]*"))
        try:
            yield
        except BaseException:
            for path in out.glob("[!.]*") if new else ():
                path.unlink()
            raise
    (out / ".lock").unlink()


def _check_folder(out: Path, origin: str) -> None:
    """Refuse to write over anything but an earlier pack of the same origin."""
    if not out.exists() or all(path.name.startswith(".") for path in out.iterdir()):
        return
    there = out / model_names.CARD
    if not there.is_file():
        raise LipsoundError(f"{out}: holds other files and is no pack; choose a new or an empty folder")
    if origin not in read_text(there).splitlines():
        raise LipsoundError(
            f"{out}: is a pack of another experiment, which would be lost; choose a new or an empty folder"
        )


def _origin(exp: Path) -> str:
    """The line of a card that identifies an experiment, however long it was trained since."""
    runs = read_runs(exp / "versions.yaml") or [{}]
    begun = f"begun {runs[0]['started']}" if "started" in runs[0] else f"config {sha256(exp / model_names.CONFIG)[:16]}"
    return f"* Experiment: {exp.resolve().name}, {begun}"


def card(
    loaded: experiment.Experiment[AnyTask],
    name: str,
    knows: str,
    corpus: str,
    license: str,
    scores: Path | None = None,
) -> str:
    """The card: what the model is and how it scores, controls included.

    Raises:
        LipsoundError: there are no scores in the folder that was given.
    """
    made, others = provenance(loaded.path), origin_of(loaded.path)
    parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
    facts = {
        "Trained on": corpus,
        "License": license,
        **(others.facts() if others else {}),
        "Size": f"{parameters / 1e6:.1f} M parameters, stored in half precision",
        **loaded.task.describe(loaded.assets),
        **calibration_facts(loaded.path),
    }
    if made.command != "-":  # else nothing was trained here
        facts |= {
            # Without folders of this machine.
            "Command": f"`{re.sub(r'(?<= )/[^ ]*/', '', made.command)}`",
            "Commit": made.commit,
            "Date": made.date,
            "Hardware": f"{made.hardware}, {made.hours} hours",
        }
    rows = "\n".join([_origin(loaded.path), *(f"* {key}: {value}" for key, value in facts.items())])
    if scores is not None:
        shown = _shown(scores, "of the pack as it ships")
        if not shown:
            raise LipsoundError(f"{scores}: holds no {SUMMARY}; synthesize or decode with a pack, then lipsound2 score")
    else:
        folders = sorted(loaded.path.glob("scores/*/"))
        shown = [part for folder in folders for part in _shown(folder, f"on `{folder.name}`, of the full weights")]
    how = ["How scores are computed: `docs/scores.md` of the toolkit."] if shown else []
    return "\n\n".join([f"# {name}", f"Knows: {knows}", rows, *shown, *how]) + "\n"


def _shown(folder: Path, what: str) -> list[str]:
    """The tables of a folder that `score` wrote, under headings that name the set."""
    shown = []
    if (folder / SUMMARY).is_file():
        summary, _ = read_scores(folder / SUMMARY)
        shown.append(f"## Scores {what}\n\n{table(summary.systems)}\n\n{summary.verdict.sentence}")
    for path in sorted(folder.glob(f"{FOLDER}/*/{SUMMARY}")):
        texts = read_summary(path)
        shown += [f"## Words {what}, {path.parent.name}", word_table(texts), *further_tables(texts)]
    return shown
