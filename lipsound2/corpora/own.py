"""Your own videos, in any folders: `<speaker>/.../<clip>.mp4`, and beside it `<clip>.txt` with what is said.

The first folder below the root is the speaker. Files in the root itself are those of one speaker. File names may hold
blanks and letters of every script, and may repeat in other folders. The ids made of them suit every table, file system
and shell; a problem notes each id that differs from the file's name. Texts are optional. Each real folder and file
counts once, however many links lead there. Files that are no videos are left out and counted.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from lipsound2.corpora.corpus import NO_OPTIONS, Corpus, Options
from lipsound2.corpora.heldout import HeldOutClips
from lipsound2.corpora.recordings import Problem, Recording, Recordings
from lipsound2.data.folders import VIDEO_SUFFIXES, entries
from lipsound2.errors import LipsoundError
from lipsound2.progress import progress

_NOBODY = "speaker"  # who speaks in the files of the root itself
_DIGITS = 6  # of the hash that tells duplicates apart
_SPELLED = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"}
)
_TEXT = ".txt"
_LONGEST = 80  # letters of a name: file systems take 255 bytes, and a suffix follows


def scan(root: Path, options: Options = NO_OPTIONS) -> Recordings:
    """Find every video below `root`, and the text beside it.

    Raises:
        LipsoundError: no such folder, or not one video in it.
    """
    if not root.is_dir():
        raise LipsoundError(f"{root}: no such folder; give the folder of the videos")
    found = Recordings()
    top = root.absolute()
    walk = _Walk()
    with progress(desc="videos", unit="file", leave=False) as bar:
        walk(top, bar)
    if not walk.videos:
        names = ", ".join(sorted(path.name for path in root.iterdir())[:6]) or "nothing"
        raise LipsoundError(f"{root}: no video found (wanted {' '.join(VIDEO_SUFFIXES)}, found {names})")
    texts = _Texts(walk.texts)
    for path, size in sorted(walk.videos.items()):
        inside = path.relative_to(top).with_suffix("")
        speaker, id = _name(inside, path, found)
        beside = texts.beside(path)
        text = _text(id, beside, found) if beside else ""
        found.add(id, Recording(speaker, video=str(path), size=size, text=text))
    found.problems += [
        Problem(path.stem, path, "second-copy", f"a link to {real}, which is used") for path, real in walk.duplicates
    ]
    found.notes += [*walk.notes(), *texts.notes()]
    return found


@dataclass
class _Walk:
    """What is below a folder. Real folders are gone through before links, and none twice: links may lead in circles.

    Attributes:
        videos: path -> bytes.
        texts: paths.
        duplicates: links to videos that were found already, and where.
        circles: links to folders that were gone through already, or that hold the one where it began.
        others: suffix -> files that are neither video nor text.
    """

    videos: dict[Path, int] = field(default_factory=dict)
    texts: list[Path] = field(default_factory=list)
    duplicates: list[tuple[Path, Path]] = field(default_factory=list)
    circles: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    _files: dict[tuple[int, int], Path] = field(default_factory=dict)
    _folders: set[tuple[int, int]] = field(default_factory=set)

    def __call__(self, top: Path, bar: tqdm) -> None:
        """Go through a folder."""
        above = {_identity(parent.stat()) for parent in top.resolve().parents}
        folders: list[Path] = [top]
        links: list[Path] = []
        files: list[Path] = []
        while folders or links:
            folder = folders.pop() if folders else links.pop(0)
            which = _identity(folder.stat())
            if which in self._folders or which in above:
                self.circles.append(folder)
                continue
            self._folders.add(which)
            for entry in entries(folder):
                path = Path(entry.path)
                if path.is_dir():  # unlike the entry's own method, no error where a link leads to itself
                    (links if entry.is_symlink() else folders).append(path)
                elif entry.is_symlink():
                    files.append(path)
                else:
                    self._file(path, bar)
        for path in sorted(files):
            self._file(path, bar)

    def _file(self, path: Path, bar: tqdm) -> None:
        bar.update()
        suffix = path.suffix.lower()
        if not path.is_file():
            self.others["links to nothing" if path.is_symlink() else "no files"] += 1
        elif suffix == _TEXT:
            self.texts.append(path)
        elif suffix not in VIDEO_SUFFIXES:
            self.others[suffix or "without a suffix"] += 1
        else:
            state = path.stat()
            used = self._files.setdefault(_identity(state), path)
            if used == path:
                self.videos[path] = state.st_size
            else:
                self.duplicates.append((path, used))

    def notes(self) -> list[str]:
        """What was passed over, for a person."""
        notes = []
        if self.circles:
            first = _shown(self.circles)
            notes.append(f"{len(self.circles)} links to folders that are read already are passed over ({first} first)")
        if self.others:
            counts = ", ".join(f"{number} {suffix}" for suffix, number in sorted(self.others.items()))
            notes.append(f"{self.others.total()} files that are no videos are left out: {counts}")
        return notes


def _identity(state: os.stat_result) -> tuple[int, int]:
    """What tells one real file or folder from all others."""
    return state.st_dev, state.st_ino


class _Texts:
    """Texts by the name that they share with a video, whatever its letters' case and how accents are written.

    Args:
        paths: of the texts.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._exact = {path.with_suffix(""): path for path in sorted(paths, reverse=True)}
        self._alike: dict[tuple[Path, str], list[Path]] = {}
        for path in sorted(paths):
            self._alike.setdefault(_plain(path), []).append(path)
        self._unused = set(paths)

    def beside(self, video: Path) -> Path | None:
        """The text of a video; None where there is none, or several and none of exactly its name."""
        alike = self._alike.get(_plain(video), [])
        text = self._exact.get(video.with_suffix("")) or (alike[0] if len(alike) == 1 else None)
        self._unused.discard(text or video)
        return text

    def notes(self) -> list[str]:
        """Texts that no video asked for."""
        if not self._unused:
            return []
        return [f"{len(self._unused)} texts have no video of their name beside them ({_shown(self._unused)} first)"]


def _plain(path: Path) -> tuple[Path, str]:
    return path.parent, unicodedata.normalize("NFC", path.stem).casefold()


def _shown(paths: Iterable[Path]) -> str:
    return min(paths).name.encode("utf-8", "backslashreplace").decode()


def _name(inside: Path, path: Path, found: Recordings) -> tuple[str, str]:
    """Speaker and id of a video; an id that is taken gets digits of its path's hash, whatever else comes or goes."""
    folders, stem = inside.parts[:-1], inside.parts[-1]
    speaker = _safe(folders[0]).replace("-", "_") if folders else _NOBODY
    name = "_".join(_safe(part) for part in (*folders[1:], stem))[:_LONGEST]
    id = f"{speaker}-{name}"
    digits = hashlib.sha256(str(inside).encode("utf-8", "surrogateescape") + path.suffix.encode()).hexdigest()[:_DIGITS]
    if id in found.by_id:
        detail = f"{found.by_id[id].video} has the id {id}, so this one is {id}_{digits}"
        id = f"{id}_{digits}"
        found.problems.append(Problem(id, path, "double-name", detail, dropped=False))
    elif name != "_".join((*folders[1:], stem)) or (folders and speaker != folders[0]):
        detail = f"an id has no blanks and plain letters only: '{inside}' is {id}"
        found.problems.append(Problem(id, path, "other-name", detail, dropped=False))
    return speaker, id


def _safe(name: str) -> str:
    """A name in plain letters, digits, `_`, `-`, `.`: accents are taken off, what is left over is `_`."""
    plain = unicodedata.normalize("NFKD", name.translate(_SPELLED).encode("utf-8", "replace").decode())
    letters = "".join(mark for mark in plain if not unicodedata.combining(mark))
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", letters).strip("._-") or "x"


def _text(id: str, path: Path, found: Recordings) -> str:
    """What is said, on one line; a file that cannot be read or holds nothing becomes a problem."""
    text = found.read(id, path, "unreadable-text")
    if text is not None and not text.split():
        found.problems.append(Problem(id, path, "empty-text", "no words in it", dropped=False))
    return " ".join((text or "").split())


OWN = Corpus(
    "videos of your own",
    scan,
    {"own": HeldOutClips(test=0.1, valid=0.1, note="clips by hash, not speakers: the test set's voices are known")},
)
