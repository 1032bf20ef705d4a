"""LRS2: sentences of British television, `mvlrs_v1/{main,pretrain}/<programme>/<clip>.mp4` with a text beside each.

Lists (`train.txt`, `val.txt`, `test.txt`) beside the folders or above them tell which clip of `main` belongs to which
set. Their lines are `6330311066473698535/00011`, with or without a flag behind it. Both folders number their clips from
00001, so an id names the folder: `6330311066473698535-main-00011`. Who speaks is not known: a programme counts as a
speaker.

Source: Afouras, Chung, Senior, Vinyals, Zisserman, "Deep Audio-Visual Speech Recognition", arXiv 1809.02108 (counts:
the corpus' page). Layout: `tests/layouts/lrs2.txt`.
"""

from __future__ import annotations

from pathlib import Path

from lipsound2.corpora.corpus import NO_OPTIONS, Corpus, Options
from lipsound2.corpora.lrs import read_text
from lipsound2.corpora.protocols import ByPart
from lipsound2.corpora.recordings import Problem, Recording, Recordings
from lipsound2.data.folders import entries, folders
from lipsound2.data.texts import read_text as read_list
from lipsound2.errors import LipsoundError
from lipsound2.progress import progress

_PARTS = {"test": 1243, "val": 1082, "train": 45839, "pretrain": 96318}
_FOLDER = {"test": "main", "val": "main", "train": "main", "pretrain": "pretrain"}  # of each list
_DEPTH = 3  # folders between the one that is given and main, pretrain


def scan(root: Path, options: Options = NO_OPTIONS) -> Recordings:
    """Find every clip below `root` that a list names.

    Raises:
        LipsoundError: no such folder, no main or pretrain in it, or no list.
    """
    if not root.is_dir():
        raise LipsoundError(f"{root}: no such folder; give the folder of LRS2, which holds mvlrs_v1 and the lists")
    tops = [path for path in folders(root, _DEPTH, ("main", "pretrain")) if path.name in ("main", "pretrain")]
    if not tops:
        names = ", ".join(sorted(path.name for path in root.iterdir())[:6]) or "nothing"
        raise LipsoundError(f"{root}: no LRS2 found (wanted mvlrs_v1/main, mvlrs_v1/pretrain, found {names})")
    places = [options.lists] if options.lists else [tops[0].parent, *tops[0].absolute().parents[1:3], root]
    listed = _read_lists(places)
    if not listed:
        looked = ", ".join(str(place) for place in dict.fromkeys(places))
        raise LipsoundError(
            f"{root}: none of {', '.join(f'{part}.txt' for part in _PARTS)} found in {looked}; fetch the lists from "
            "the corpus' page and give their folder with --lists"
        )
    found = Recordings()
    unlisted = 0
    for top in tops:
        for programme in progress([entry for entry in entries(top) if entry.is_dir()], desc=top.name, unit="folder"):
            for entry in entries(programme.path):
                name, _, suffix = entry.name.rpartition(".")
                if suffix.lower() != "mp4":
                    continue
                id = _id(top.name, programme.name, name)
                part = listed.pop(id, "")
                unlisted += not part
                if part and (heard := read_text(id, Path(entry.path).with_suffix(".txt"), found)):
                    video = str(Path(entry.path).absolute())
                    text, words = heard
                    size = entry.stat().st_size
                    found.add(id, Recording(programme.name, part, video=video, size=size, text=text, words=words))
    if unlisted:
        found.notes.append(f"{unlisted} clips are in no list and are left out")
    for id, part in listed.items():
        found.problems.append(Problem(id, f"{part}.txt", "not-in-corpus", f"listed in {part}.txt, no such video"))
    return found


def _id(folder: str, programme: str, clip: str) -> str:
    return f"{programme}-{folder}-{clip}"


def _read_lists(places: list[Path]) -> dict[str, str]:
    """Id -> part of all lists; each is taken from the first of the folders that has it.

    Raises:
        LipsoundError: a list that cannot be read, or a line that is no clip.
    """
    listed: dict[str, str] = {}
    for part, folder in _FOLDER.items():  # test first: a clip that two lists name is not trained on
        path = next((place / f"{part}.txt" for place in places if (place / f"{part}.txt").is_file()), None)
        if path is None:
            continue
        lines = read_list(path).split("\n")
        for number, line in enumerate(lines, start=1):
            if not (fields := line.split(maxsplit=1)):
                continue
            programme, _, clip = fields[0].removesuffix(".mp4").removeprefix(f"{folder}/").partition("/")
            if not clip or "/" in clip:
                raise LipsoundError(
                    f"{path}:{number}: expected '<programme>/<clip>', such as 6330311066473698535/00011, found "
                    f"'{line.strip()[:80]}'"
                )
            listed.setdefault(_id(folder, programme, clip), part)
    return listed


def _protocol(*train: str) -> ByPart:
    return ByPart(sets={"train": train, "valid": ("val",), "test": ("test",)}, counts=_PARTS)


LRS2 = Corpus(
    "LRS2",
    scan,
    {"lrs2": _protocol("pretrain", "train"), "lrs2-main": _protocol("train")},
    parts=_PARTS,
    takes=frozenset({"lists"}),
    language="en",
)
