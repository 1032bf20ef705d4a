"""The GRID corpus as it lies on people's disks: which clips there are, what is said in them, what is wrong.

Speaker folders `s1`..`s34` may lie anywhere up to three folders below the root, and a speaker's pictures anywhere below
its folder (`s1/*.mpg`, `s1/video/*.mpg`, `s1/video/mpg_6000/*.mpg`, `s1/s1/*.mpg`). Alignments may lie in `s1/align`,
`align/s1`, `alignments/s1` or nowhere. The text of a clip is its file name; alignments confirm it.

Source: Cooke et al. 2006; Zenodo record 3625687, whose alignment folders are attached to the wrong speakers.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from lipsound2.corpora.sentences import PAUSES, read_align, words_of
from lipsound2.errors import LipsoundError

SPEAKERS = tuple(f"s{number}" for number in range(1, 35) if number != 21)  # talker 21 was never filmed
SENTENCES = 1000  # of each speaker
VIDEO_SUFFIXES = frozenset({".mpg", ".mpeg", ".mp4", ".avi", ".mov", ".mkv"})
_SPEAKER = re.compile(r"s([1-9]\d?)", re.IGNORECASE)
_IGNORED = {"__MACOSX", "@eaDir"}


@dataclass(frozen=True)
class Clip:
    """One recorded sentence."""

    speaker: str
    name: str
    video: Path

    @property
    def id(self) -> str:
        return f"{self.speaker}-{self.name}"

    @property
    def text(self) -> str:
        return " ".join(words_of(self.name) or ())


@dataclass(frozen=True)
class Problem:
    """Something about one file that a person should know. `dropped`: the file is not used."""

    id: str
    file: Path
    reason: str
    detail: str
    dropped: bool = True


@dataclass
class Inventory:
    """What was found below a root.

    `names[speaker]` are all sentences the speaker is known to have recorded, from pictures and alignments alike:
    splits are cut on them, so that they do not change when pictures are missing. `word_times[id]` are the words of a
    clip whose alignment agrees with its name, as the table of that name holds them.
    """

    clips: dict[str, Clip] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    word_times: dict[str, str] = field(default_factory=dict)

    @property
    def speakers(self) -> list[str]:
        return sorted({clip.speaker for clip in self.clips.values()}, key=lambda speaker: int(speaker[1:]))


def scan(roots: list[Path]) -> Inventory:
    """Find and check every clip below the roots.

    Raises:
        LipsoundError: a root is no folder, or there is not one clip.
    """
    videos: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    aligns: dict[Path, dict[str, Path]] = defaultdict(dict)
    packed: list[Path] = []
    sound_only: set[str] = set()
    inventory = Inventory()
    for root in roots:
        if not root.is_dir():
            raise LipsoundError(f"{root}: no such folder; give the folder that holds s1, s2, ... of GRID")
        for path in _files(root):
            suffix = path.suffix.lower()
            speaker = _speaker_of(path, root)
            if suffix == ".align":
                aligns[path.parent][path.stem.lower()] = path
            elif suffix in VIDEO_SUFFIXES:
                _take_video(inventory, videos, speaker, path)
            elif suffix == ".zip":
                packed.append(path)
            elif suffix == ".wav" and speaker:
                sound_only.add(speaker)
    _say_packed(inventory, roots, packed, videos)
    for speaker in sorted(videos, key=lambda name: int(name[1:])):
        for name, paths in sorted(videos[speaker].items()):
            clip = Clip(speaker, name, _one_of(paths, f"{speaker}-{name}", inventory))
            inventory.clips[clip.id] = clip
    if "s21" in sound_only and "s21" not in videos:
        inventory.notes.append("s21 has sound only: talker 21 was never filmed, nothing is missing")
    _attach_alignments(inventory, videos, aligns)
    return inventory


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


def _take_video(
    inventory: Inventory, videos: dict[str, dict[str, list[Path]]], speaker: str | None, path: Path
) -> None:
    name = path.stem.lower()
    if speaker is None:
        detail = "no folder above it is named like a speaker (s1 to s34)"
        inventory.problems.append(Problem(path.stem, path, "no-speaker", detail))
    elif words_of(name) is None:
        detail = "the name is not a GRID sentence (six codes such as bbaf2n)"
        inventory.problems.append(Problem(f"{speaker}-{path.stem}", path, "not-a-grid-name", detail))
    else:
        videos[speaker][name].append(path)


def _one_of(paths: list[Path], clip: str, inventory: Inventory) -> Path:
    """The best of several copies of a clip: the largest file."""
    paths = sorted(paths, key=lambda path: (-path.stat().st_size, str(path)))
    for other in paths[1:]:
        detail = f"a larger copy is used: {paths[0]}"
        inventory.problems.append(Problem(clip, other, "second-copy", detail))
    return paths[0]


def _say_packed(
    inventory: Inventory, roots: list[Path], packed: list[Path], videos: dict[str, dict[str, list[Path]]]
) -> None:
    """Archives that still hide clips: told, or when there is nothing else an error with the way out."""
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
    inventory.notes.append(f"{len(hiding)} speakers are still packed ({names}); {hint}")


def _attach_alignments(
    inventory: Inventory, videos: dict[str, dict[str, list[Path]]], aligns: dict[Path, dict[str, Path]]
) -> None:
    """Find each speaker's alignment folder by its file names, and compare what it says with the clips' names."""
    checks = []
    for speaker, names in videos.items():
        inventory.names[speaker] = set(names)
        folder = _alignment_folder(inventory, speaker, set(names), aligns)
        if folder is None:
            continue
        files = {name: path for name, path in aligns[folder].items() if words_of(name) is not None}
        inventory.names[speaker] |= set(files)
        checks += [(f"{speaker}-{name}", path) for name, path in files.items() if name in names]
    for clip, path in tqdm(checks, desc="check transcripts", unit="clip", leave=False):
        found = _words_in(inventory.clips[clip], path)
        if isinstance(found, Problem):
            inventory.problems.append(found)
        else:
            inventory.word_times[clip] = found


def _alignment_folder(
    inventory: Inventory, speaker: str, names: set[str], aligns: dict[Path, dict[str, Path]]
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
        inventory.notes.append(f"the alignments of {speaker} lie in {best} ({label}{beside})")
        return best
    return own if common[own] else None


def _words_in(clip: Clip, path: Path) -> str | Problem:
    """A clip's words and their times; a problem when they are not what the file name says.

    The clip is kept then: its name is the prompt that was read.
    """
    try:
        rows = [row for row in read_align(path.read_text(encoding="utf-8")) if row[2] not in PAUSES]
    except (ValueError, OSError) as error:
        return Problem(clip.id, path, "unreadable-alignment", str(error), dropped=False)
    spoken = [word.lower() for _, _, word in rows]
    if spoken != clip.text.split():
        detail = f"the file name says '{clip.text}', the alignment '{' '.join(spoken)}'"
        return Problem(clip.id, path, "transcript-mismatch", detail, dropped=False)
    return " ".join(f"{start:.7g} {end:.7g} {word.lower()}" for start, end, word in rows)
