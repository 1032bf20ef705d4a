"""Fetching a corpus: GRID from its Zenodo record, speaker by speaker, checked and unpacked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin

from lipsound2.corpora.fetch import BROKEN, RemoteFile, fetch, open_url
from lipsound2.corpora.grid import SPEAKERS
from lipsound2.corpora.unpack import unpack_zip
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock
from lipsound2.outputs import OutputFolder

RECORDS = {"grid": "https://zenodo.org/api/records/3625687"}  # Cooke et al. 2006, CC BY 4.0
ALIGNMENTS = "alignments.zip"


def download(
    corpus: Literal["grid"],
    root: OutputFolder,
    *,
    address: str | None = None,
    speakers: tuple[str, ...] = (),
    files: tuple[str, ...] = (),
    unpack: bool = True,
    keep: bool = False,
) -> None:
    """Fetch a corpus from its public record: with resume, progress and checksums, then unpack it.

    GRID's pictures and alignments are some 16 GB. The same command goes on where a stopped download was, and does not
    fetch what is there already.

    Args:
        corpus: grid.
        root: folder to put it in.
        address: of the record's JSON (files with name, size, checksum, link), such as a mirror's; default: Zenodo's.
        speakers: only these, such as s1,s2,s4,s29; none: all 33.
        files: only these files of the record, instead of speakers.
        unpack: unpack the zip files.
        keep: keep the zip files after unpacking.

    Raises:
        LipsoundError: the record or a file cannot be had, or is not what the record promises.
    """
    wanted = _wanted(speakers, files)
    with folder_lock(root, "lipsound2 download"):
        missing = [name for name in wanted if not _is_there(root, name, unpack)]
        if not missing:
            print(f"{root}: all {len(wanted)} files are there, skipped")
            return
        address = address or RECORDS[corpus]
        record = _read_record(address)
        absent = [name for name in missing if name not in record]
        if absent:
            raise LipsoundError(f"{address}: the record has no {', '.join(absent)}; it has {', '.join(sorted(record))}")
        for number, name in enumerate(missing, start=1):
            print(f"{number} of {len(missing)}: {name}")
            _take(record[name], root, unpack, keep)
    print(f"{root}: {len(missing)} files fetched and checked, {len(wanted) - len(missing)} were there")


def _wanted(speakers: tuple[str, ...], files: tuple[str, ...]) -> list[str]:
    """Names of the files to have."""
    unknown = [speaker for speaker in speakers if speaker not in SPEAKERS]
    if unknown:
        raise LipsoundError(f"no pictures of {', '.join(unknown)}: the speakers are s1 to s34 without s21")
    strange = [name for name in files if Path(name).name != name or name.startswith(".")]
    if strange:
        raise LipsoundError(f"not the name of a file: {', '.join(strange)}")
    return list(files) or [*(f"{speaker}.zip" for speaker in speakers or SPEAKERS), ALIGNMENTS]


def _is_there(root: Path, name: str, unpack: bool) -> bool:
    """Whether a file was fetched, or was fetched and unpacked: both appear only when whole."""
    if unpack and name.endswith(".zip"):
        return (root / Path(name).stem).is_dir()
    return (root / name).exists()


def _read_record(address: str) -> dict[str, RemoteFile]:
    """The files of a Zenodo record, from its JSON."""
    try:
        with open_url(address) as answer:
            content = json.loads(answer.read())
    except BROKEN as error:
        raise LipsoundError(
            f"{address}: cannot be reached ({error}); try later, or give a mirror's --address"
        ) from error
    except ValueError as error:
        raise LipsoundError(f"{address}: not the JSON of a record ({error})") from error
    try:
        return {entry["key"]: _remote(entry, address) for entry in content["files"]}
    except (KeyError, TypeError) as error:
        raise LipsoundError(f"{address}: the record lists no files with key, checksum and link ({error!r})") from error


def _remote(entry: dict[str, Any], address: str) -> RemoteFile:
    links = entry.get("links") or {}
    link = links.get("content") or links.get("self") or f"{address.rstrip('/')}/files/{entry['key']}/content"
    size = entry.get("size")
    return RemoteFile(entry["key"], urljoin(address, link), None if size is None else int(size), entry["checksum"])


def _take(remote: RemoteFile, root: Path, unpack: bool, keep: bool) -> None:
    """Fetch one file and unpack it."""
    path = root / remote.name
    if not path.exists():
        fetch(remote, path)
    if unpack and path.suffix == ".zip":
        unpack_zip(path, root)
        if not keep:
            path.unlink()
