"""Videos of one's own, in any folders: `<speaker>/.../<clip>.mp4`, and beside it `<clip>.txt` with what is said.

The first folder below the root is the speaker; what lies in the root itself is one speaker's. File names are people's
own, with blanks and letters of every script, and the same name in many folders: ids are made of them that every table,
file system and shell takes, and each that is not the name itself is told. Texts are optional.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from lipsound2.corpora.corpus import NO_OPTIONS, Corpus, Options
from lipsound2.corpora.heldout import HeldOutClips
from lipsound2.corpora.recordings import VIDEO_SUFFIXES, Problem, Recording, Recordings, entries
from lipsound2.errors import LipsoundError

_DEPTH = 12  # folders below the one that is given; also ends a circle of links
_NOBODY = "speaker"  # who speaks in the files of the root itself
_DIGITS = 6  # of the hash that tells doubles apart
_SPELLED = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"}
)
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
    texts: set[Path] = set()
    used: set[Path] = set()
    videos: list[tuple[Path, int]] = []
    for path, size in tqdm(_walk(top, _DEPTH), desc="videos", unit="file", leave=False):
        if path.suffix.lower() == ".txt":
            texts.add(path)
        else:
            videos.append((path, size))
    if not videos:
        names = ", ".join(sorted(path.name for path in root.iterdir())[:6]) or "nothing"
        raise LipsoundError(f"{root}: no video found (wanted {' '.join(VIDEO_SUFFIXES)}, found {names})")
    for path, size in videos:
        inside = path.relative_to(top).with_suffix("")
        speaker, id = _name(inside, path, found)
        beside = path.with_suffix(".txt")
        text = _text(id, beside, found) if beside in texts else ""
        used.add(beside)
        found.add(id, Recording(speaker, video=str(path), size=size, text=text))
    if alone := texts - used:
        first = min(alone).name.encode("utf-8", "backslashreplace").decode()
        found.notes.append(f"{len(alone)} texts have no video of their name beside them ({first} first)")
    return found


def _walk(folder: Path, depth: int) -> Iterator[tuple[Path, int]]:
    """Every video and text, and its bytes, in a fixed order."""
    for entry in entries(folder):
        if entry.is_dir():
            if depth:
                yield from _walk(Path(entry.path), depth - 1)
        elif Path(entry.name).suffix.lower() in (*VIDEO_SUFFIXES, ".txt") and entry.is_file():
            yield Path(entry.path), entry.stat().st_size


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
    """What is said, on one line; a file that cannot be read or holds nothing is told."""
    text = found.read(id, path, "unreadable-text")
    if text is not None and not text.split():
        found.problems.append(Problem(id, path, "empty-text", "no words in it", dropped=False))
    return " ".join((text or "").split())


OWN = Corpus(
    "videos of your own",
    scan,
    {"own": HeldOutClips(test=0.1, valid=0.1, note="clips by hash, not speakers: the test set's voices are known")},
)
