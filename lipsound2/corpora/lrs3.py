"""LRS3-TED: sentences of talks, `{pretrain,trainval,test}/<talk>/<clip>.mp4` with a text beside each.

There are no lists. AV-HuBERT and later work hold out 1200 clips of trainval, `lrs3-valid.id` (lines
`trainval/<talk>/<clip>`). Given with --lists, or in the corpus' folder, this list is `valid`. Else talks of trainval
are held out by hash. A talk counts as a speaker; ids of pretrain say so, for clips are numbered by part.

Source: Afouras, Chung, Zisserman, "LRS3-TED", arXiv 1809.00496 (counts: table 1 of version 0.4). Layout:
`tests/layouts/lrs3.txt`.
"""

from __future__ import annotations

from pathlib import Path

from lipsound2.corpora.corpus import NO_OPTIONS, Corpus, Options
from lipsound2.corpora.heldout import HeldOutSpeakers
from lipsound2.corpora.lrs import read_text
from lipsound2.corpora.recordings import Recording, Recordings
from lipsound2.data.folders import entries, folders
from lipsound2.data.texts import read_text as read_list
from lipsound2.errors import LipsoundError
from lipsound2.progress import progress

_PARTS = {"test": 1321, "trainval": 31982, "pretrain": 118516}
_LIST = "lrs3-valid.id"
_DEPTH = 2  # folders between the one that is given and the parts
_SHARE = 1200 / _PARTS["trainval"]  # as much as that list


def scan(root: Path, options: Options = NO_OPTIONS) -> Recordings:
    """Find every clip below `root`.

    Raises:
        LipsoundError: no such folder, none of the parts in it, or a list that is absent or damaged.
    """
    if not root.is_dir():
        raise LipsoundError(f"{root}: no such folder; give the folder of LRS3: pretrain, trainval, test")
    tops = [path for path in folders(root, _DEPTH, tuple(_PARTS)) if path.name in _PARTS]
    if not tops:
        names = ", ".join(sorted(path.name for path in root.iterdir())[:6]) or "nothing"
        raise LipsoundError(f"{root}: no LRS3 found (wanted {', '.join(_PARTS)}, found {names}); unpack it there")
    found = Recordings()
    for top in sorted(tops, key=lambda path: list(_PARTS).index(path.name)):
        for talk in progress([entry for entry in entries(top) if entry.is_dir()], desc=top.name, unit="talk"):
            for entry in entries(talk.path):
                name, _, suffix = entry.name.rpartition(".")
                if suffix.lower() != "mp4":
                    continue
                id = _id(top.name, talk.name, name)
                if heard := read_text(id, Path(entry.path).with_suffix(".txt"), found):
                    video = str(Path(entry.path).absolute())
                    text, words = heard
                    size = entry.stat().st_size
                    found.add(id, Recording(talk.name, top.name, video=video, size=size, text=text, words=words))
    _read_held_out(root, options.lists, found)
    return found


def _id(part: str, talk: str, clip: str) -> str:
    return f"{talk}-pretrain-{clip}" if part == "pretrain" else f"{talk}-{clip}"


def _read_held_out(root: Path, given: Path | None, found: Recordings) -> None:
    """The clips of the list, as the list `valid`.

    Raises:
        LipsoundError: a list that was given is absent, or a line is no clip.
    """
    path = given or next((place for place in (root / _LIST, root.absolute().parent / _LIST) if place.is_file()), None)
    if path is None:
        found.notes.append(f"no {_LIST}: talks of trainval are held out by hash as 'valid', not those of the papers")
        return
    path = path / _LIST if path.is_dir() else path
    lines = read_list(path).split("\n")
    ids = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        fields = line.strip().removesuffix(".mp4").split("/")
        if len(fields) != 3 or fields[0] not in _PARTS:
            raise LipsoundError(
                f"--lists {path}:{number}: expected 'trainval/<talk>/<clip>', found '{line.strip()[:80]}'"
            )
        ids.append(_id(*fields))
    found.lists["valid"] = ids


def _protocol(*train: str) -> HeldOutSpeakers:
    return HeldOutSpeakers(
        train=train, test="test", of="trainval", share=_SHARE, valid_list="valid", counts={"test": _PARTS["test"]}
    )


LRS3 = Corpus(
    "LRS3",
    scan,
    {"lrs3": _protocol("pretrain", "trainval"), "lrs3-trainval": _protocol("trainval")},
    parts=_PARTS,
    takes=frozenset({"lists"}),
    language="en",
)
