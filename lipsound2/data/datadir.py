"""Data dirs: a set of clips as sorted text tables, Kaldi's contract with `video.scp` beside `wav.scp`.

Ids are `speaker-clip`, so that sorting by id sorts by speaker too. `utt2spk` names the clips, and other tables have the
same ids. Only `text` and `word_times` may lack clips, whose words or times are not known.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

from lipsound2.data.checks import fix, validate
from lipsound2.data.names import Names
from lipsound2.data.tables import MEDIA, PARTIAL, TABLES, Table, as_table, read_table, spk2utt, write_table
from lipsound2.data.texts import read_text
from lipsound2.errors import LipsoundError
from lipsound2.files import sweep, turn, write_text

_MADE_BY = ".made_by"
_OWN = frozenset({*TABLES, "spk2utt", "mismatched"})

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
            found = "is a file" if self.path.is_file() else "does not exist"
            found = "has no utt2spk" if self.path.is_dir() else found
            below = sorted(self.path.parent.glob(f"*/{self.path.name}/utt2spk"))
            hint = f"did you mean {below[0].parent}?" if below else "make it with: lipsound2 prepare"
            raise LipsoundError(f"{self.path} {found}, so it is not a data dir; {hint}")

    def __len__(self) -> int:
        return len(self.utt2spk)

    @property
    def name(self) -> str:
        """The folder's name, such as `train`."""
        return self.path.resolve().name

    @functools.cached_property
    def ids(self) -> Names:
        """The clips, sorted by bytes."""
        return self.utt2spk.names

    @functools.cached_property
    def utt2spk(self) -> Table:
        """Id -> speaker."""
        return self.table("utt2spk")

    @functools.cached_property
    def video(self) -> Table:
        """Id -> path of the video; empty when there is no video.scp."""
        return self.table("video.scp")

    @functools.cached_property
    def wav(self) -> Table:
        """Id -> path of the audio; empty when the audio is in the video."""
        return self.table("wav.scp")

    @functools.cached_property
    def text(self) -> Table:
        """Id -> what is said; empty when there is no transcript."""
        return self.table("text")

    def table(self, name: str) -> Table:
        """Any table of the folder; empty when the file is absent.

        Raises:
            LipsoundError: it cannot be read; a key, from which files are named, that cannot be part of a file's name.
        """
        path = self.path / name
        table = read_table(path) if path.exists() else as_table(path, {})
        for key, why in table.names.odd():
            raise LipsoundError(
                f"{path}: '{key}' cannot name a file: {why}; drop the clip with: lipsound2 fix {self.path}"
            )
        return table

    @staticmethod
    def write(
        path: Path | str,
        *,
        utt2spk: Mapping[str, str],
        video: Mapping[str, str] | None = None,
        wav: Mapping[str, str] | None = None,
        text: Mapping[str, str] | None = None,
        made_by: str = "",
        **tables: Mapping[str, str],
    ) -> DataDir:
        """Write a data dir, sorted, with spk2utt; tables that are not given are removed.

        Until `utt2spk`, which is written last, the folder is not a data dir.

        Args:
            path: the folder.
            utt2spk: id -> speaker; the ids are `speaker-clip`.
            video: id -> path of the video.
            wav: id -> path of the audio, when it is not in the video.
            text: id -> what is said.
            made_by: command and input, as kept in PATH/.made_by. A folder with other files in it is refused then, and
                so is a data dir of other clips that something else made. Empty: nothing is refused.
            tables: further tables by file name: utt2num_frames, utt2lang, segments, word_times.

        Raises:
            LipsoundError: no clips, a table whose ids are not those of utt2spk, or the folder is another's.
        """
        path = Path(path)
        given = {"video.scp": video, "wav.scp": wav, "text": text, **tables}
        present = {name: table for name, table in given.items() if table is not None}
        content = {n: as_table(path / n, table) for n, table in present.items() if table or n not in PARTIAL}
        if not utt2spk:
            raise LipsoundError(f"{path}: a data dir needs at least one clip")
        speakers = as_table(path / "utt2spk", utt2spk)
        for name, why in speakers.names.odd():
            raise LipsoundError(f"{path / 'utt2spk'}: the id '{name}' cannot name a file: {why}; choose another id")
        for name, table in content.items():
            if name in MEDIA and "segments" in content:
                continue  # these are keyed by recording
            places = speakers.names.places(table.names)
            if (places < 0).any() or (len(table) < len(speakers) and name not in PARTIAL):
                odd = min(set(table) - set(speakers) if name in PARTIAL else set(table) ^ set(speakers))
                raise LipsoundError(
                    f"{path}/{name}: its {len(table)} ids are not the {len(speakers)} of utt2spk; "
                    f"the first that differs is '{odd}'"
                )
        with turn(path / "utt2spk"):
            if made_by:
                check_own(path, speakers.names, made_by)
                write_text(path / _MADE_BY, f"{made_by}\n")
            sweep(path)
            (path / "utt2spk").unlink(missing_ok=True)
            for name in TABLES:
                if name not in content:
                    (path / name).unlink(missing_ok=True)
            for name, table in content.items():
                write_table(path / name, table)
            write_table(path / "spk2utt", spk2utt(speakers))
            write_table(path / "utt2spk", speakers)
        return DataDir(path)

    def subset(self, ids: Iterable[str], path: Path | str, made_by: str = "") -> DataDir:
        """Write a data dir of some of the clips, with all tables this one has; `made_by` as in `write`.

        Raises:
            LipsoundError: an id this data dir does not have.
        """
        wanted = ids if isinstance(ids, Names) else Names.of(ids)
        places = self.ids.places(wanted)
        if (places < 0).any():
            unknown = wanted.keys[places < 0]
            raise LipsoundError(
                f"{self.path}: {len(unknown)} of {len(wanted)} ids are not in it, '{Names(unknown)[0]}' first"
            )
        tables = {name: self.table(name) for name in TABLES if (self.path / name).exists()}
        keep = dict.fromkeys(tables, wanted)
        if "segments" in tables:
            recordings = Names.of(value.split()[0] for value in tables["segments"].take(wanted).values())
            keep.update(dict.fromkeys(MEDIA, recordings))
        part = {
            name: table.at(places) if keep[name] is wanted and table.names == self.ids else table.take(keep[name])
            for name, table in tables.items()
        }
        video, wav = part.pop("video.scp", None), part.pop("wav.scp", None)
        return DataDir.write(path, video=video, wav=wav, made_by=made_by, **part)


def check_own(path: Path, ids: Names, made_by: str) -> None:
    """Refuse to write a data dir over what its user may miss.

    Args:
        path: the folder.
        ids: of the clips to be written there.
        made_by: see `DataDir.write`.

    Raises:
        LipsoundError: there are other files than a data dir's, or a data dir of other clips that another command made.
    """
    if not path.is_dir():
        return
    there = read_text(path / _MADE_BY).strip() if (path / _MADE_BY).exists() else ""
    if not (path / "utt2spk").exists():
        # What a run left that was killed is tables alone.
        other = min((file.name for file in path.iterdir() if file.name not in _OWN and file.name[0] != "."), default="")
        if other:
            raise LipsoundError(f"{path}: is no data dir and holds '{other}'; choose a new or an empty folder")
    elif there != made_by and read_table(path / "utt2spk").names != ids:
        was = f"made by '{there}'" if there else "not made by this command"
        raise LipsoundError(f"{path}: a data dir of other clips, {was}, would be lost; remove it or choose another")
