"""LRW: 500 words of British television, `lipread_mp4/ABOUT/{train,val,test}/ABOUT_00001.mp4`, 29 video frames a clip.

The word is the folder's, and lies in the middle of the clip; the text file beside it says how long it lasts
(`Duration: 0.53 seconds`). Who speaks is not known, so all are one speaker, `lrw`. Each set numbers a word's clips from
00001: an id names the set.

Source: Chung, Zisserman, "Lip Reading in the Wild", ACCV 2016 (counts: the corpus' page). Layout:
`tests/layouts/lrw.txt`.
"""

from __future__ import annotations

import re
from pathlib import Path

from lipsound2.corpora.corpus import NO_OPTIONS, Corpus, Options
from lipsound2.corpora.protocols import ByPart
from lipsound2.corpora.recordings import Problem, Recording, Recordings
from lipsound2.data.folders import entries, folders
from lipsound2.data.numerals import seconds
from lipsound2.errors import LipsoundError
from lipsound2.progress import progress
from lipsound2.timing import FRAME_RATE

_PARTS = {"test": 25000, "val": 25000, "train": 488763}
_WORDS = 500
_SPEAKER = "lrw"
_MIDDLE = 29 / FRAME_RATE / 2  # seconds: the word is in the middle of 29 video frames
_DURATION = re.compile(r"^Duration:\s*([\d.]+)", re.MULTILINE)
_DEPTH = 2  # folders between the one that is given and the words


def scan(root: Path, options: Options = NO_OPTIONS) -> Recordings:
    """Find every clip below `root`.

    Raises:
        LipsoundError: no such folder, or no words in it.
    """
    if not root.is_dir():
        raise LipsoundError(f"{root}: no such folder; give the folder lipread_mp4 of LRW")
    words = [path for path in folders(root, _DEPTH) if any((path / part).is_dir() for part in _PARTS)]
    if not words:
        names = ", ".join(sorted(path.name for path in root.iterdir())[:6]) or "nothing"
        raise LipsoundError(f"{root}: no LRW found (wanted lipread_mp4/ABOUT/train, ..., found {names})")
    found = Recordings()
    untimed = 0
    for folder in progress(words, desc="lrw", unit="word"):
        for part in _PARTS:
            if not (folder / part).is_dir():
                continue
            listed = entries(folder / part)
            texts = {entry.name for entry in listed if entry.name.endswith(".txt")}
            for entry in listed:
                name, _, suffix = entry.name.rpartition(".")
                if suffix.lower() != "mp4":
                    continue
                word, _, number = name.rpartition("_")
                id = f"{_SPEAKER}-{folder.name}-{part}-{number}"
                if word != folder.name:
                    detail = f"the name is not {folder.name}_<number>, as the folder says"
                    found.problems.append(Problem(id, entry.path, "other-name", detail))
                    continue
                times = ""
                if f"{name}.txt" in texts:
                    times = _times(id, Path(entry.path).with_suffix(".txt"), word, found)
                untimed += not times
                video, size = str(Path(entry.path).absolute()), entry.stat().st_size
                found.add(id, Recording(_SPEAKER, part, video=video, size=size, text=word, words=times))
    if untimed:
        found.notes.append(f"{untimed} of {len(found.by_id)} clips have no duration, so no word times")
    if len(words) != _WORDS:
        found.notes.append(f"{len(words)} of {_WORDS} words are here")
    return found


def _times(id: str, path: Path, word: str, found: Recordings) -> str:
    """The word's start and end, a value of `word_times`; empty, and a problem, where the file does not say."""
    text = found.read(id, path, "unreadable-duration")
    if text is None:
        return ""
    match = _DURATION.search(text)
    try:
        half = seconds(match[1]) / 2 if match else 0.0
    except ValueError as error:
        found.problems.append(Problem(id, path, "unreadable-duration", str(error), dropped=False))
        return ""
    if not half:
        detail = "no line 'Duration: <seconds> seconds' above 0"
        found.problems.append(Problem(id, path, "unreadable-duration", detail, dropped=False))
        return ""
    # A long word may be said to begin before the clip does.
    return f"{max(0.0, _MIDDLE - half):.4g} {min(2 * _MIDDLE, _MIDDLE + half):.4g} {word}"


LRW = Corpus(
    "LRW",
    scan,
    {"lrw": ByPart(sets={"train": ("train",), "valid": ("val",), "test": ("test",)}, counts=_PARTS)},
    parts=_PARTS,
    language="en",
)
