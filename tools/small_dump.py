#!/usr/bin/env python3
"""What one training needs, in one file small enough to carry: its clips, its crops, its mels at a byte a value.

    tools/small_dump.py RECIPE PROTOCOL CONFIG OUT.tar

Of the recipe's dump come the clips of train and valid only, the kinds the config names, and the audio of the validation
clips (scores are computed on it). 850 clips of GRID are 37 MB with mouths, 40 MB with faces.
"""

from __future__ import annotations

import argparse
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lipsound2.audio.kind import audio_kind
from lipsound2.data.archive import Archive, ArchiveWriter
from lipsound2.data.datadir import DataDir, read_table, write_table
from lipsound2.files import atomic_path
from lipsound2.tasks import load_config


def copy_kind(source: Path, out: Path, ids: Iterable[str], compress: bool | str = False) -> None:
    """Copy entries of a kind, with its lengths, and its statistics where there are some."""
    out.mkdir(parents=True)
    shutil.copy(source / "kind.yaml", out)
    frames = read_table(source / "utt2num_frames")
    kept = sorted(name for name in ids if name in frames)
    write_table(out / "utt2num_frames", {name: frames[name] for name in kept})
    entries: Callable[[str], Any] = Archive(source).__getitem__
    copy_archive(entries, out / "feats", kept, compress)
    if (source / "cmvn.scp").exists():
        copy_archive(Archive(source / "cmvn.scp").__getitem__, out / "cmvn", kept)


def copy_archive(
    entries: Callable[[str], np.ndarray], out: Path, ids: Iterable[str], compress: bool | str = False
) -> None:
    """Copy entries to OUT.ark and OUT.scp."""
    with ArchiveWriter(out.with_suffix(".ark"), out.with_suffix(".scp")) as archive:
        for name in ids:
            archive.write(name, entries(name), compress)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("protocol")
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    settings = load_config(options.config).task.settings
    dump, data = options.recipe / "dump", options.recipe / "data" / options.protocol
    sets = {name: DataDir(data / name) for name in ("train", "valid")}
    both = [name for part in sets.values() for name in part.ids]
    with tempfile.TemporaryDirectory(dir=options.out.absolute().parent) as folder:
        top = Path(folder)
        for name, part in sets.items():
            shutil.copytree(part.path, top / "data" / options.protocol / name)
        copy_kind(dump / settings.input, top / "dump" / settings.input, both)
        copy_kind(dump / settings.target, top / "dump" / settings.target, both, compress=True)
        copy_kind(dump / audio_kind(dump), top / "dump" / audio_kind(dump), sets["valid"].ids)
        with atomic_path(options.out) as temporary, tarfile.open(temporary, "w") as archive:
            for child in sorted(top.iterdir()):
                archive.add(child, child.name)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.0f} MB, {len(both)} clips")


if __name__ == "__main__":
    main()
