"""Fetching a corpus: GRID from its Zenodo record, speaker by speaker, checked and unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urljoin

from lipsound2.arguments import Choices
from lipsound2.corpora.fetch import BROKEN, RemoteFile, fetch, matches, open_url
from lipsound2.corpora.grid import SPEAKERS
from lipsound2.corpora.registry import check_protocol
from lipsound2.corpora.unpack import unpack_zip
from lipsound2.data.json_text import parse_json
from lipsound2.data.shapes import checked
from lipsound2.data.texts import text_of
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock
from lipsound2.outputs import OutputFolder

RECORDS = {"grid": "https://zenodo.org/api/records/3625687"}  # Cooke et al. 2006, CC BY 4.0
ALIGNMENTS = "alignments.zip"
_LONGEST = 1 << 24  # bytes of a record


def download(
    corpus: Annotated[str, Choices(lambda: RECORDS)],
    root: OutputFolder,
    *,
    url: str | None = None,
    speakers: tuple[str, ...] = (),
    files: tuple[str, ...] = (),
    unpack: bool = True,
    keep: bool = False,
    protocol: str | None = None,
) -> None:
    """Fetch a corpus from its public record: with resume, progress and checksums, then unpack it.

    GRID's videos and alignments are some 16 GB. The same command resumes a stopped download, and skips files that are
    there already.

    Args:
        corpus: which one.
        root: folder for the corpus.
        url: of the record's JSON (files with name, size, checksum, link), such as a mirror's; default: Zenodo's.
        speakers: only these, such as s1,s2,s4,s29; by default all 33.
        files: only these files of the record, instead of speakers.
        unpack: unpack the zip files.
        keep: keep the zip files after unpacking.
        protocol: the split that `prepare` will use; an unknown one is refused before the download.

    Raises:
        LipsoundError: unknown protocol or speaker; a file cannot be downloaded, or differs from the record.
    """
    check_protocol(corpus, protocol)
    wanted = _wanted(speakers, files)
    with folder_lock(root, "lipsound2 download"):
        missing = [name for name in wanted if not _is_there(root, name, unpack)]
        if not missing:
            print(f"{root}: all {len(wanted)} files are there, skipped")
            return
        url = url or RECORDS[corpus]
        record = _read_record(url)
        absent = [name for name in missing if name not in record]
        if absent:
            raise LipsoundError(f"{url}: the record has no {', '.join(absent)}; it has {', '.join(sorted(record))}")
        for number, name in enumerate(missing, start=1):
            print(f"{number} of {len(missing)}: {name}")
            _take(record[name], root, unpack, keep)
    print(f"{root}: {len(missing)} files fetched and checked, {len(wanted) - len(missing)} were there")


def _wanted(speakers: tuple[str, ...], files: tuple[str, ...]) -> list[str]:
    """Names of the files to download."""
    unknown = [speaker for speaker in speakers if speaker not in SPEAKERS]
    if unknown:
        raise LipsoundError(f"no videos of {', '.join(unknown)}: the speakers are s1 to s34 without s21")
    strange = [name for name in files if Path(name).name != name or name.startswith(".")]
    if strange:
        raise LipsoundError(f"not the name of a file: {', '.join(strange)}")
    return list(files) or [*(f"{speaker}.zip" for speaker in speakers or SPEAKERS), ALIGNMENTS]


def _is_there(root: Path, name: str, unpack: bool) -> bool:
    """Whether a file was fetched, or was fetched and unpacked: both appear only when whole."""
    if unpack and name.endswith(".zip"):
        return (root / Path(name).stem).is_dir()
    path = root / name
    return path.exists() and (path.suffix != ".zip" or zipfile.is_zipfile(path))


def _read_record(url: str) -> dict[str, RemoteFile]:
    """The files of a Zenodo record, from its JSON."""
    try:
        with open_url(url) as answer:
            content = answer.read(_LONGEST + 1)
    except BROKEN as error:
        raise LipsoundError(f"{url}: cannot be reached ({error}); try later, or give a mirror's --url") from error
    if len(content) > _LONGEST:
        raise LipsoundError(f"{url}: a record of more than {_LONGEST:,} bytes is none")
    where = f"{url}: not the JSON of a record"
    record: _Record = checked(parse_json(text_of(content, url, "give a mirror's --url"), where), _Record, where)
    return {entry.key: _remote(entry, url) for entry in record.files}


@dataclass(frozen=True)
class _Entry:
    """A file of a record."""

    key: str
    checksum: str
    size: int | None = None
    links: Mapping[str, str] | None = None


@dataclass(frozen=True)
class _Record:
    """A record, as far as it is read."""

    files: list[_Entry]


def _remote(entry: _Entry, url: str) -> RemoteFile:
    links = entry.links or {}
    link = links.get("content") or links.get("self") or f"{url.rstrip('/')}/files/{entry.key}/content"
    if entry.size is not None and entry.size < 0:
        raise LipsoundError(f"{url}: '{entry.key}': expected a size of 0 or more, found {entry.size}")
    try:
        return RemoteFile(entry.key, urljoin(url, link), entry.size, entry.checksum)
    except ValueError as error:
        raise LipsoundError(f"{url}: '{entry.key}': no address: {link!a}") from error


def _take(remote: RemoteFile, root: Path, unpack: bool, keep: bool) -> None:
    """Fetch one file and unpack it."""
    path = root / remote.name
    if path.exists() and not matches(remote, path):
        # Copied there by hand and cut, or of another version: what fits of it is kept, the rest fetched.
        path.replace(path.with_name(f"{path.name}.part"))
    if not path.exists():
        fetch(remote, path)
    if unpack and path.suffix == ".zip":
        unpack_zip(path, root)
        if not keep:
            path.unlink()
