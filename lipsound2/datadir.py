"""Data dirs: a set of clips as sorted text tables, Kaldi's contract with `video.scp` beside `wav.scp`.

Ids are `speaker-clip`, so that sorting by id sorts by speaker too. `utt2spk` names the clips; every other table has
the same ids, but for `word_times`, which holds those whose words have known times.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

from lipsound2.checks import fix, validate
from lipsound2.errors import LipsoundError
from lipsound2.tables import MEDIA, PARTIAL, TABLES, read_table, spk2utt, write_table

__all__ = ["DataDir", "fix", "read_table", "validate", "write_table"]


class DataDir:
    """A data dir, its tables read when first asked for.

    Args:
        path: the folder.

    Raises:
        LipsoundError: the folder is absent or has no utt2spk.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not (self.path / "utt2spk").is_file():
            found = "has no utt2spk" if self.path.is_dir() else "does not exist"
            raise LipsoundError(f"{self.path} {found}, so it is not a data dir; make it with: lipsound2 prepare")

    def __len__(self) -> int:
        return len(self.utt2spk)

    @property
    def name(self) -> str:
        """The folder's name, such as `train`."""
        return self.path.resolve().name

    @functools.cached_property
    def ids(self) -> list[str]:
        """The clips, sorted by bytes."""
        return list(self.utt2spk)

    @functools.cached_property
    def utt2spk(self) -> dict[str, str]:
        """Id -> speaker."""
        return self.table("utt2spk")

    @functools.cached_property
    def video(self) -> dict[str, str]:
        """Id -> path of the video; empty when there is no video.scp."""
        return self.table("video.scp")

    @functools.cached_property
    def wav(self) -> dict[str, str]:
        """Id -> path of the sound; empty when the sound is in the video."""
        return self.table("wav.scp")

    @functools.cached_property
    def text(self) -> dict[str, str]:
        """Id -> what is said; empty when there is no transcript."""
        return self.table("text")

    def table(self, name: str) -> dict[str, str]:
        """Any table of the folder; empty when the file is absent."""
        path = self.path / name
        return read_table(path) if path.exists() else {}

    @staticmethod
    def write(
        path: Path | str,
        *,
        utt2spk: Mapping[str, str],
        video: Mapping[str, str] | None = None,
        wav: Mapping[str, str] | None = None,
        text: Mapping[str, str] | None = None,
        **tables: Mapping[str, str],
    ) -> DataDir:
        """Write a data dir, sorted, with spk2utt; tables that are not given are removed.

        Until `utt2spk`, which is written last, the folder is not a data dir.

        Args:
            path: the folder.
            utt2spk: id -> speaker; the ids are `speaker-clip`.
            video: id -> path of the video.
            wav: id -> path of the sound, when it is not in the video.
            text: id -> what is said.
            tables: further tables by file name: utt2num_frames, utt2lang, segments, word_times.

        Raises:
            LipsoundError: no clips, or a table whose ids are not those of utt2spk.
        """
        path = Path(path)
        given = {"video.scp": video, "wav.scp": wav, "text": text, **tables}
        content = {name: table for name, table in given.items() if table is not None}
        content = {name: table for name, table in content.items() if table or name not in PARTIAL}
        if not utt2spk:
            raise LipsoundError(f"{path}: a data dir needs at least one clip")
        for name, table in content.items():
            if name in MEDIA and "segments" in content:
                continue  # these are keyed by recording
            differing = table.keys() - utt2spk.keys() if name in PARTIAL else table.keys() ^ utt2spk.keys()
            if differing:
                odd = min(differing)
                raise LipsoundError(
                    f"{path}/{name}: its {len(table)} ids are not the {len(utt2spk)} of utt2spk; "
                    f"the first that differs is '{odd}'"
                )
        path.mkdir(parents=True, exist_ok=True)
        (path / "utt2spk").unlink(missing_ok=True)
        for name in TABLES:
            if name not in content:
                (path / name).unlink(missing_ok=True)
        for name, table in content.items():
            write_table(path / name, table)
        write_table(path / "spk2utt", spk2utt(utt2spk))
        write_table(path / "utt2spk", utt2spk)
        return DataDir(path)

    def subset(self, ids: Iterable[str], path: Path | str) -> DataDir:
        """Write a data dir of some of the clips, with all tables this one has.

        Raises:
            LipsoundError: an id this data dir does not have.
        """
        wanted = set(ids)
        unknown = wanted - self.utt2spk.keys()
        if unknown:
            raise LipsoundError(
                f"{self.path}: {len(unknown)} of {len(wanted)} ids are not in it, '{min(unknown)}' first"
            )
        tables = {name: self.table(name) for name in TABLES if (self.path / name).exists()}
        keep = dict.fromkeys(tables, wanted)
        if "segments" in tables:
            recordings = {tables["segments"][key].split()[0] for key in wanted}
            keep.update(dict.fromkeys(MEDIA, recordings))
        part = {name: {k: v for k, v in table.items() if k in keep[name]} for name, table in tables.items()}
        video, wav = part.pop("video.scp", None), part.pop("wav.scp", None)
        return DataDir.write(path, video=video, wav=wav, **part)
