"""The verbs `fold` and `combine`: a data dir in parts and what is left without each, and several data dirs as one.

A model has learnt its training clips by heart: what it says of them is better than what it will say of any other. To
fine-tune a recogniser on speech as it will be, each part of the training set is spoken by a model that never saw it.
"""

from __future__ import annotations

from pathlib import Path

from lipsound2.datadir import DataDir
from lipsound2.errors import LipsoundError
from lipsound2.tables import PARTIAL, TABLES

TRAIN, HELD = "train", "held"


def fold(dir: Path, out: Path, *, folds: int = 2) -> None:
    """Share the clips of a data dir out among parts: OUT/<n>/held is part n, OUT/<n>/train all others.

    Every speaker's clips are dealt out in turn, in the order of their ids, so that the parts hold as many of each.

    Args:
        dir: data dir.
        out: folder to write.
        folds: number of parts.
    """
    data = DataDir(dir)
    if not 2 <= folds <= len(data):
        raise LipsoundError(f"--folds: expected 2 to {len(data)}, the clips of {dir}, found {folds}")
    by_speaker = sorted(data.ids, key=lambda name: (data.utt2spk[name], name))
    for number in range(folds):
        held = set(by_speaker[number::folds])
        data.subset(held, out / str(number + 1) / HELD)
        data.subset(set(data.ids) - held, out / str(number + 1) / TRAIN)
    print(f"{out}: {folds} parts of {len(data)} clips")


def combine(dirs: tuple[str, ...], out: Path) -> None:
    """Write one data dir that holds the clips of several.

    Args:
        dirs: data dirs, separated by commas; no clip may be in two of them.
        out: data dir to write.
    """
    tables: dict[str, dict[str, str]] = {}
    parts = [DataDir(name) for name in dirs]
    for name in TABLES:
        having = [part for part in parts if (part.path / name).exists()]
        if having and len(having) < len(parts) and name not in PARTIAL:
            without = next(part for part in parts if part not in having)
            raise LipsoundError(f"{having[0].path} has the table '{name}', {without.path} has none; both or neither")
        for part in having:
            rows = part.table(name)
            twice = rows.keys() & tables.setdefault(name, {}).keys()
            if twice:
                raise LipsoundError(f"{part.path}/{name}: '{min(twice)}' is in another of the data dirs too")
            tables[name].update(rows)
    video, wav = tables.pop("video.scp", None), tables.pop("wav.scp", None)
    DataDir.write(out, video=video, wav=wav, **tables)
    print(f"{out}: {len(tables['utt2spk'])} clips of {len(parts)} data dirs")
