"""CMLR as it lies on people's disks: Mandarin sentences of eleven hosts of a news programme.

`video/s1/20170121/section_1_000.80_002.91.mp4`, its audio in `audio/.../*.wav` and its text in `text/.../*.txt`: the
sentence in Hanzi, then a line `start end word` in seconds for each word. Some copies repeat the date in the file's
name, some have the audio in the video. `train.csv`, `val.csv` and `test.csv` hold the official split, a line a clip:
`s1/20170121_section_1_000.80_002.91`.

Source: Zhao, Xu, Song, "A Cascade Sequence-to-Sequence Model for Chinese Mandarin Lip Reading", ACM MM Asia 2019
(arXiv 1908.04917). Layout: `tests/layouts/cmlr.txt`.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from lipsound2.corpora.corpus import NO_OPTIONS, Corpus, Options
from lipsound2.corpora.protocols import ByList, BySpeaker, by_speakers
from lipsound2.corpora.recordings import Problem, Recording, Recordings
from lipsound2.data.folders import VIDEO_SUFFIXES, entries, folders
from lipsound2.data.tables import parse_words
from lipsound2.data.texts import read_text
from lipsound2.errors import LipsoundError, install_command, require
from lipsound2.progress import progress

SPEAKERS = tuple(f"s{number}" for number in range(1, 12))
_LISTS = {"train": "train.csv", "valid": "val.csv", "test": "test.csv"}
_COUNTS = {"train": 71448, "valid": 10206, "test": 20418}
_DATE = re.compile(r"\d{8}")
_LISTED = re.compile(r"(s\d{1,2})/(\d{8})[/_](section_\S+)")
_PINYIN = "pinyin"
_DEPTH = 2  # folders between the one that is given and `video`


def scan(root: Path, options: Options = NO_OPTIONS) -> Recordings:
    """Find every clip below `root`, the folder with `video`, `audio` and `text` or one above it.

    The split lists are looked for there, or in the folder `options.lists`.

    Raises:
        LipsoundError: no such folder, or no `video/s1/<date>` in it.
    """
    if not root.is_dir():
        raise LipsoundError(f"{root}: no such folder; give the folder of CMLR, which holds video, audio and text")
    top = next((folder for folder in folders(root, _DEPTH, ("video",)) if (folder / "video").is_dir()), None)
    if top is None:
        names = ", ".join(entry.name for entry in entries(root)[:6]) or "nothing"
        raise LipsoundError(
            f"{root}: no folder video (wanted video/s1/20170121/section_1_000.80_002.91.mp4 or the like, "
            f"found {names}); unpack CMLR and give its folder"
        )
    found = Recordings()
    days = [day for day in folders(top / "video", 2) if _DATE.fullmatch(day.name) and day.parent.name in SPEAKERS]
    for day in progress(days, desc="read clips", unit="day", leave=False):
        _read_day(found, day, top)
    if not found.by_id:
        raise LipsoundError(f"{top / 'video'}: no clip in folders named like video/s1/20170121; unpack CMLR again")
    found.leave_out_without_text("no sentence in the folder text")
    for name, file in _LISTS.items():
        places = [options.lists] if options.lists else list(dict.fromkeys((top, root)))
        if path := next((place / file for place in places if (place / file).is_file()), None):
            found.lists[file] = _read_list(path, found)
        else:
            found.notes.append(f"no {file} in {places[0]}: the set {name} of the official split is not known")
    _add_pinyin(found)
    return found


def _read_day(found: Recordings, day: Path, top: Path) -> None:
    """Add the clips that one host read on one day."""
    speaker, date = day.parent.name, day.name
    audio = _files(top / "audio" / speaker / date, date, (".wav",))
    texts = _files(top / "text" / speaker / date, date, (".txt",))
    for entry in entries(day):
        if not entry.name.lower().endswith(VIDEO_SUFFIXES):
            continue
        name = _name(entry.name, date)
        id = f"{speaker}-{date}_{name}"
        text, words = _read_text(id, texts[name], found) if name in texts else ("", "")
        wav = str(audio[name].absolute()) if name in audio else ""
        video = str(Path(entry.path).absolute())
        found.add(id, Recording(speaker, video=video, wav=wav, size=entry.stat().st_size, text=text, words=words))


def _files(folder: Path, date: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Name of the clip -> file beside it; empty where there is no such folder."""
    if not folder.is_dir():
        return {}
    return {_name(entry.name, date): Path(entry.path) for entry in entries(folder) if entry.name.endswith(suffixes)}


def _name(file: str, date: str) -> str:
    """`section_1_000.80_002.91` of a file's name, which may begin with the date."""
    return file.rpartition(".")[0].removeprefix(f"{date}_")


def _read_text(id: str, path: Path, found: Recordings) -> tuple[str, str]:
    """A clip's sentence, and its words as the table `word_times` has them; empty, and a problem, where they are not."""
    first, *rows = (found.read(id, path, "unreadable-text") or "").split("\n")
    words = " ".join(" ".join(row.split()) for row in rows if row.strip())
    try:
        parse_words(words)
    except ValueError as error:
        found.problems.append(
            Problem(id, path, "no-word-times", f"wanted lines 'start end word': {error}", dropped=False)
        )
        words = ""
    return " ".join(first.split()), words


def _read_list(path: Path, found: Recordings) -> list[str]:
    """Ids of a split list; further columns, parted by tabs, blanks or commas, are passed over."""
    ids = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        if match := _LISTED.match(line.strip().split("\t")[0].split(",")[0]):
            ids.append(f"{match[1]}-{match[2]}_{match[3]}")
        else:
            detail = f"line {number}: wanted s1/20170121_section_1_000.80_002.91, found '{line.strip()[:80]}'"
            found.problems.append(Problem(path.stem, path, "not-a-listed-clip", detail))
    if twice := len(ids) - len(set(ids)):
        found.notes.append(f"{path}: {twice} clips are listed twice")
    return ids


def _add_pinyin(found: Recordings) -> None:
    """The table `pinyin`: syllables with the number of their tone (5: none), parted by blanks, after the Hanzi."""
    if not all(recording.text for recording in found.by_id.values()):
        return
    if find_spec("pypinyin") is None:
        found.notes.append(f"no table of pinyin: that needs the package pypinyin ({install_command('mandarin')})")
        return
    pypinyin = require("pypinyin", "mandarin")
    found.tables[_PINYIN] = {
        id: " ".join(pypinyin.lazy_pinyin(recording.text, style=pypinyin.Style.TONE3, neutral_tone_with_five=True))
        for id, recording in progress(found.by_id.items(), desc="pinyin", unit="clip", leave=False)
    }


def _unseen(test: tuple[str, ...]) -> BySpeaker:
    return BySpeaker(
        speakers=SPEAKERS,
        assign=by_speakers(test),
        note="a share of the other nine speakers' clips is held out as 'valid'; the papers print no counts",
    )


CMLR = Corpus(
    title="CMLR",
    scan=scan,
    protocols={
        "official": ByList(
            sets=_LISTS,
            counts=_COUNTS,
            where="in the corpus' folder, or that of --lists",
        ),
        "unseen": _unseen(("s1", "s6")),  # LipSound2
        "unseen-s2-s6": _unseen(("s2", "s6")),  # LipFormer and those who compare with it
    },
    takes=frozenset({"lists"}),
    language="zh",
)
