"""The GRID corpus as it lies on people's disks: which clips there are, what is said in them, what is wrong.

Speaker folders `s1`..`s34` may lie anywhere up to three folders below the root, and a speaker's videos anywhere
below its folder (`s1/*.mpg`, `s1/video/*.mpg`, `s1/video/mpg_6000/*.mpg`, `s1/s1/*.mpg`). Alignments may lie in
`s1/align`, `align/s1`, `alignments/s1` or nowhere. The text of a clip is its file name; alignments confirm it.

Source: Cooke et al. 2006; Zenodo record 3625687, whose alignment folders are attached to the wrong speakers. Which 255
sentences of a speaker the papers drew for testing is not reproduced, only how many.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lipsound2.corpora.corpus import NO_OPTIONS, Corpus, Options
from lipsound2.corpora.pairs import derange, most_shared
from lipsound2.corpora.protocols import VALID_SHARE, Assign, BySpeaker, by_speakers, shares
from lipsound2.corpora.recordings import Problem, Recording, Recordings
from lipsound2.corpora.sentences import PAUSES, read_align, words_of
from lipsound2.corpora.unpack import unpack_zip
from lipsound2.data.folders import VIDEO_SUFFIXES
from lipsound2.errors import LipsoundError
from lipsound2.progress import progress

SPEAKERS = tuple(f"s{number}" for number in range(1, 35) if number != 21)  # talker 21 was never filmed
SENTENCES = 1000  # of each speaker
_SPEAKER = re.compile(r"s([1-9]\d?)", re.IGNORECASE)
_IGNORED = {"__MACOSX", "@eaDir"}


_OVERLAPPED_TEST = 255 / SENTENCES
_OF_TRAIN = f"{VALID_SHARE:.0%} of the training clips are held out as 'valid', which the papers do not have"
_CLOSE = 0.015  # public copies of GRID and published lists differ by up to this much
_SLACK = len(SPEAKERS) / SENTENCES  # sets of a few hundred clips: one clip a speaker


def _named(numbers: str) -> tuple[str, ...]:
    return tuple(f"s{number}" for number in numbers.split())


def _protocol(
    speakers: tuple[str, ...], assign: Assign, *published: tuple[str, Mapping[str, int]], note: str = ""
) -> BySpeaker:
    return BySpeaker(
        speakers=speakers, assign=assign, whole=SENTENCES, published=published, note=note, close=_CLOSE, slack=_SLACK
    )


PROTOCOLS: dict[str, BySpeaker] = {
    "4speakers": _protocol(
        _named("1 2 4 29"),
        shares(0.05, 0.05),
        ("Mira et al.", {"train": 3576, "valid": 210, "test": 210}),
        ("VCA-GAN", {"train": 3586, "valid": 199, "test": 200}),
        ("SLTS", {"train": 3600, "valid": 200, "test": 200}),
    ),
    "lipsound2-sd": _protocol(_named("1 2 3 4"), shares(0.05, 0.05), note="the paper prints no counts"),
    "33seen": _protocol(SPEAKERS, shares(0.05, 0.05), ("Mira et al.", {"train": 29584, "valid": 1642, "test": 1641})),
    "overlapped": _protocol(
        SPEAKERS,
        shares(_OVERLAPPED_TEST, VALID_SHARE * (1 - _OVERLAPPED_TEST)),
        ("LipNet", {"train": 24331, "test": 8415}),
        ("VIPL", {"train": 24408, "test": 8415}),
        ("mpc001", {"train": 24455, "test": 8415}),
        note=_OF_TRAIN,
    ),
    "unseen": _protocol(
        SPEAKERS,
        by_speakers(_named("1 2 20 22")),
        ("LipNet", {"train": 28775, "test": 3971}),
        ("VIPL", {"train": 28837, "test": 3986}),
        ("mpc001", {"train": 28870, "test": 4000}),
        note=_OF_TRAIN,
    ),
    "unseen-vougioukas": _protocol(
        SPEAKERS,
        by_speakers(_named("2 4 11 13 15 18 19 25 31 33"), _named("9 20 23 27 29 30 34")),
        ("VCA-GAN", {"train": 15888, "valid": 7000, "test": 9982}),
    ),
    # Generated faces are a whole corpus at any size, so places are ranks.
    "mini": BySpeaker(assign=shares(0.1, 0.1), whole=0),
}


def scan(root: Path, options: Options = NO_OPTIONS) -> Recordings:
    """Find and check every clip below the root, and below the folder its archives are unpacked to.

    Raises:
        LipsoundError: the root is no folder, or there is not one clip.
    """
    roots = [root, *_unpacked(root, options.unpack)]
    videos: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    aligns: dict[Path, dict[str, Path]] = defaultdict(dict)
    packed: list[Path] = []
    audio_only: set[str] = set()
    found = Recordings()
    for root in roots:
        if not root.is_dir():
            raise LipsoundError(f"{root}: no such folder; give the folder that holds s1, s2, ... of GRID")
        for path in _files(root):
            suffix = path.suffix.lower()
            speaker = _speaker_of(path, root)
            if suffix == ".align":
                aligns[path.parent][path.stem.lower()] = path
            elif suffix in VIDEO_SUFFIXES:
                _take_video(found, videos, speaker, path)
            elif suffix == ".zip":
                packed.append(path)
            elif suffix == ".wav" and speaker:
                audio_only.add(speaker)
    _say_packed(found, roots, packed, videos)
    for speaker in sorted(videos, key=lambda name: int(name[1:])):
        for name, paths in sorted(videos[speaker].items()):
            id = f"{speaker}-{name}"
            video, size = _one_of(paths, id, found)
            text = " ".join(words_of(name) or ())
            found.add(id, Recording(speaker, video=str(video.absolute()), size=size, text=text))
    if "s21" in audio_only and "s21" not in videos:
        found.notes.append("s21 has audio only: speaker 21 was never filmed, nothing is missing")
    _attach_alignments(found, videos, aligns)
    return found


def _unpacked(root: Path, folder: Path | None) -> list[Path]:
    """Unpack the speakers' archives and the alignments of `root` into `folder`."""
    if folder is None:
        return []
    for archive in sorted(root.glob("*.zip")):
        if is_speaker_archive(archive) or archive.stem.startswith("align"):
            unpack_zip(archive, folder)
    return [folder] if folder.is_dir() else []


def is_speaker_archive(path: Path) -> bool:
    """Whether a zip file is named as those that hold one speaker: `s1.zip`, `s1.mpg_vcd.zip`."""
    return path.suffix.lower() == ".zip" and _SPEAKER.fullmatch(path.name.split(".")[0]) is not None


def _files(root: Path) -> list[Path]:
    """All files below `root` in a fixed order, without hidden ones and what operating systems strew."""
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if name not in _IGNORED and not name.startswith("."))
        if Path(folder).relative_to(root).parts[6:]:
            folders.clear()  # also ends a circle of links
        found += [Path(folder, name) for name in sorted(names) if not name.startswith(".")]
    return found


def _speaker_of(path: Path, root: Path) -> str | None:
    """The innermost folder named like a speaker, `root` itself included."""
    for part in [*reversed(path.relative_to(root).parts[:-1]), root.name]:
        match = _SPEAKER.fullmatch(part)
        if match and 1 <= int(match.group(1)) <= 34:
            return f"s{int(match.group(1))}"
    return None


def _take_video(found: Recordings, videos: dict[str, dict[str, list[Path]]], speaker: str | None, path: Path) -> None:
    name = path.stem.lower()
    if speaker is None:
        detail = "no folder above it is named like a speaker (s1 to s34)"
        found.problems.append(Problem(path.stem, path, "no-speaker", detail))
    elif words_of(name) is None:
        detail = "the name is not a GRID sentence (six codes such as bbaf2n)"
        found.problems.append(Problem(f"{speaker}-{path.stem}", path, "not-a-grid-name", detail))
    else:
        videos[speaker][name].append(path)


def _one_of(paths: list[Path], id: str, found: Recordings) -> tuple[Path, int]:
    """The best of several copies of a clip, the largest file, and its bytes."""
    sizes = {path: path.stat().st_size for path in paths}
    paths = sorted(paths, key=lambda path: (-sizes[path], str(path)))
    for other in paths[1:]:
        found.problems.append(Problem(id, other, "second-copy", f"a larger copy is used: {paths[0]}"))
    return paths[0], sizes[paths[0]]


def _say_packed(
    found: Recordings, roots: list[Path], packed: list[Path], videos: dict[str, dict[str, list[Path]]]
) -> None:
    """Archives that still hide clips: a note, or an error with the way out where there is nothing else."""
    hiding = [path for path in packed if is_speaker_archive(path) and path.name.split(".")[0].lower() not in videos]
    if not hiding:
        if not videos:
            names = ", ".join(sorted(path.name for path in roots[0].iterdir())[:6]) or "nothing"
            raise LipsoundError(
                f"{roots[0]}: no GRID clip found (wanted s1/bbaf2n.mpg or the like, found {names}); "
                "give the folder that holds s1, s2, ..."
            )
        return
    names = ", ".join(path.name for path in hiding[:4]) + (" ..." if len(hiding) > 4 else "")
    hint = "give --unpack DIR to unpack them there"
    if not videos:
        raise LipsoundError(f"{roots[0]}: the corpus is still packed ({names}); {hint}")
    found.notes.append(f"{len(hiding)} speakers are still packed ({names}); {hint}")


def _attach_alignments(
    found: Recordings, videos: dict[str, dict[str, list[Path]]], aligns: dict[Path, dict[str, Path]]
) -> None:
    """Find each speaker's alignment folder by its file names, and compare what it says with the clips' names."""
    checks = []
    for speaker, names in videos.items():
        found.names[speaker] = set(names)
        folder = _alignment_folder(found, speaker, set(names), aligns)
        if folder is None:
            continue
        files = {name: path for name, path in aligns[folder].items() if words_of(name) is not None}
        found.names[speaker] |= set(files)
        checks += [(f"{speaker}-{name}", path) for name, path in files.items() if f"{speaker}-{name}" in found.by_id]
    for id, path in progress(checks, desc="check transcripts", unit="clip", leave=False):
        if words := _words_in(id, found, path):
            found.by_id[id] = replace(found.by_id[id], words=words)


def _alignment_folder(
    found: Recordings, speaker: str, names: set[str], aligns: dict[Path, dict[str, Path]]
) -> Path | None:
    """The folder whose file names are this speaker's.

    Every speaker has sentences of his own, so a foreign folder shares about 2 % of the names. A folder that bears
    the speaker's name is believed as long as no other one holds at least half of the sentences and more of them.
    """
    if not aligns:
        return None
    common = {folder: len(names & files.keys()) for folder, files in aligns.items()}
    named = [folder for folder in aligns if speaker in (part.lower() for part in folder.parts[-2:])]
    best = max(common, key=lambda folder: (common[folder], folder in named, str(folder)))
    own = max(named, key=lambda folder: (common[folder], str(folder)), default=None)
    if own is None or (common[best] > common[own] and common[best] * 2 >= len(names)):
        if common[best] * 2 < len(names):
            return None
        label = f"{common[best]} of {len(names)} names are equal"
        beside = f"; in {own} only {common[own]}" if own else ""
        found.notes.append(f"the alignments of {speaker} lie in {best} ({label}{beside})")
        return best
    return own if common[own] else None


def _words_in(id: str, found: Recordings, path: Path) -> str:
    """A clip's words and their times; empty, and a problem, when they are not what the file name says.

    The clip is kept then: its name is the prompt that was read.
    """
    wanted = found.by_id[id].text
    content = found.read(id, path, "unreadable-alignment")
    if content is None:
        return ""
    try:
        rows = [row for row in read_align(content) if row[2] not in PAUSES]
    except ValueError as error:
        found.problems.append(Problem(id, path, "unreadable-alignment", str(error), dropped=False))
        return ""
    spoken = [word.lower() for _, _, word in rows]
    if spoken != wanted.split():
        detail = f"the file name says '{wanted}', the alignment '{' '.join(spoken)}'"
        found.problems.append(Problem(id, path, "transcript-mismatch", detail, dropped=False))
        return ""
    return " ".join(f"{start:.7g} {end:.7g} {word.lower()}" for start, end, word in rows)


def _pairs(recordings: Mapping[str, Recording], seed: int) -> dict[str, str]:
    """GRID's pairs: fewest shared words, with a note where that is not none."""
    pairs = derange(recordings, seed)
    if shared := most_shared(pairs):
        print(f"mismatched pairs share up to {shared} of 6 words; the set is too small for none")
    return pairs


GRID = Corpus(
    title="GRID",
    scan=scan,
    protocols=PROTOCOLS,
    takes=frozenset({"unpack"}),
    pairs=_pairs,
)
