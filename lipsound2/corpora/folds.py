"""The verbs `fold`, `subset` and `combine`: a data dir in parts, a share of one, and several data dirs as one.

A model overfits its training clips: the speech it generates for them is better than for any others. To fine-tune a
recognizer on speech as it will be, each part of the training set is synthesized by a model that was not trained on it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

from lipsound2.arguments import AtLeast0, Share
from lipsound2.corpora.protocols import hashed
from lipsound2.data.datadir import DataDir
from lipsound2.data.tables import PARTIAL, TABLES
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock
from lipsound2.outputs import OutputFolder

TRAIN, HELD = "train", "held"


def fold(dir: Path, out: OutputFolder, *, folds: AtLeast0 = 2, by: Literal["clip", "speaker"] = "clip") -> None:
    """Split the clips of a data dir into folds: OUT/<n>/held is fold n, OUT/<n>/train holds all others.

    By clip, each speaker's clips are distributed round robin in the order of their ids, so that folds have equally many
    of each. By speaker, all clips of a speaker are in one fold, and folds have about equally many clips.

    Args:
        dir: data dir.
        out: folder to write.
        folds: number of folds; 0, by speaker: one a speaker, to leave each out once.
        by: what is not torn apart: clip or speaker.
    """
    data = DataDir(dir)
    most, what = (len(data), "clips") if by == "clip" else (len(set(data.utt2spk.values())), "speakers")
    if by == "speaker" and not folds:
        folds = most
    if not 2 <= folds <= most:
        raise LipsoundError(f"--folds: expected 2 to {most}, the {what} of {dir}, found {folds}")
    stale = out / str(folds + 1)
    if stale.exists():
        raise LipsoundError(f"{stale}: is of an earlier fold into more parts; remove {out}, or choose another folder")
    source = f"lipsound2 fold {dir.resolve()}"
    parts = _clips_apart(data, folds) if by == "clip" else _speakers_apart(data, folds)
    with folder_lock(out, "fold"):
        for number, held in enumerate(parts, 1):
            data.subset(held, out / str(number) / HELD, source)
            data.subset(set(data.ids) - held, out / str(number) / TRAIN, source)
    print(f"{out}: {folds} parts of {len(data)} clips")


def _clips_apart(data: DataDir, folds: int) -> list[set[str]]:
    ids = sorted(data.ids, key=lambda name: (data.utt2spk[name], name))
    return [set(ids[number::folds]) for number in range(folds)]


def _speakers_apart(data: DataDir, folds: int) -> list[set[str]]:
    """The speaker with the most clips first, each into the part that has the fewest clips by then."""
    clips: dict[str, list[str]] = {}
    for name in data.ids:
        clips.setdefault(data.utt2spk[name], []).append(name)
    parts: list[set[str]] = [set() for _ in range(folds)]
    for speaker in sorted(clips, key=lambda each: (-len(clips[each]), each)):
        min(parts, key=len).update(clips[speaker])
    return parts


def subset(
    dir: Path,
    out: OutputFolder,
    *,
    clips: AtLeast0 = 0,
    share: Share = 0.0,
    by: Literal["speaker", "text"] = "speaker",
    seed: AtLeast0 = 0,
) -> None:
    """Write a data dir of some clips of another: equally many of each speaker; larger subsets hold the smaller ones.

    For experiments with few labels. The choice depends on the seed and the ids alone.

    Args:
        dir: data dir.
        out: data dir to write.
        clips: number of clips; or give --share.
        share: fraction of the clips, above 0 and at most 1.
        by: balance the clips by speaker, or by text, for single words as classes.
        seed: of the choice.
    """
    data = DataDir(dir)
    if (clips > 0) == (share > 0) or not 0 <= share <= 1:
        raise LipsoundError(f"--clips {clips} --share {share:g}: give one of them, a share at most 1")
    count = clips or max(1, round(share * len(data)))
    if count > len(data):
        raise LipsoundError(f"--clips: {dir} has {len(data)}, found {clips}; give at most as many")
    groups = data.utt2spk if by == "speaker" else data.text
    if not groups:
        raise LipsoundError(f"--by text: {dir} has no table 'text'")
    if by == "text" and count < len(set(groups.values())):
        raise LipsoundError(
            f"{count} clips of {dir} leave some of its {len(set(groups.values()))} classes empty; take more"
        )
    known = [name for name in data.ids if name in groups]
    if count > len(known):
        raise LipsoundError(
            f"--by text: {len(known)} of the {len(data)} clips of {dir} have a text, {count} are wanted"
        )
    # One clip of every group, then a second one of every group, ...: the first so many are balanced at any number.
    places = {name: hashed(seed, name) for name in known}
    seen: Counter[str] = Counter()
    turns: dict[str, int] = {}
    for name in sorted(known, key=places.__getitem__):
        turns[name] = seen[groups[name]]
        seen[groups[name]] += 1
    chosen = sorted(known, key=lambda name: (turns[name], places[name]))[:count]
    data.subset(chosen, out, f"lipsound2 subset {dir.resolve()}")
    print(f"{out}: {count} of {len(data)} clips")


def combine(dirs: tuple[str, ...], out: OutputFolder) -> None:
    """Write one data dir with the clips of several.

    If only some of them have audio files, wav.scp names the videos of the others.

    Args:
        dirs: data dirs, separated by commas; no clip may be in two of them.
        out: data dir to write.
    """
    if not dirs:
        raise LipsoundError("no data dir is named; give several, with commas between: data/one,data/two")
    tables: dict[str, dict[str, str]] = {}
    parts = [DataDir(name) for name in dirs]
    for place, part in enumerate(parts):
        if any(part.path.samefile(other.path) for other in parts[:place]):
            raise LipsoundError(f"{part.path}: stands twice among the data dirs; no clip may be in two of them")
    for name in TABLES:
        rows = {part.path: part.table(name) for part in parts if (part.path / name).exists()}
        if rows and name == "wav.scp":
            rows |= {part.path: part.video for part in parts if part.path not in rows and part.video}
        if rows and len(rows) < len(parts) and name not in PARTIAL:
            without = next(part.path for part in parts if part.path not in rows)
            raise LipsoundError(f"{next(iter(rows))} has the table '{name}', {without} has none; both or neither")
        for path, own in rows.items():
            twice = own.keys() & tables.setdefault(name, {}).keys()
            if twice:
                raise LipsoundError(f"{path}/{name}: '{min(twice)}' is in another of the data dirs too")
            tables[name].update(own)
    video, wav = tables.pop("video.scp", None), tables.pop("wav.scp", None)
    DataDir.write(out, video=video, wav=wav, made_by="lipsound2 combine", **tables)
    print(f"{out}: {len(tables['utt2spk'])} clips of {len(parts)} data dirs")
