"""What a corpus of sound and text holds: recordings by id, and a verdict for every file or line that cannot be used.

The recogniser's corpora have no pictures; their readers (`librispeech`, `aishell`) find files and transcripts, and this
module puts the two together.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lipsound2.corpora.grid import Problem


@dataclass(frozen=True)
class SpeechCorpus:
    """What is published about a corpus.

    Attributes:
        parts: name -> utterances of the whole part.
        protocols: name -> {set: the parts it is made of}.
    """

    parts: Mapping[str, int]
    protocols: Mapping[str, Mapping[str, tuple[str, ...]]]


@dataclass(frozen=True)
class SoundFile:
    """A sound file: where, how many bytes, who speaks."""

    path: Path
    size: int
    speaker: str


@dataclass(frozen=True)
class Recording:
    """One utterance with its text, as the corpus writes it."""

    part: str
    sound: SoundFile
    text: str


@dataclass
class Recordings:
    """What was found below a root.

    Attributes:
        by_id: utterances that can be used, by the id of data dirs.
        problems: files and lines that cannot, or that contradict each other.
        notes: sentences for the person who prepares the corpus.
        speakers: part -> all its speakers, where the corpus lists them.
    """

    by_id: dict[str, Recording] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    speakers: dict[str, set[str]] = field(default_factory=dict)

    def join(self, part: str, texts: Mapping[str, str], sounds: Mapping[str, SoundFile], source: Path) -> None:
        """Put sounds and texts together by the corpus' own ids. A sound without a text is a problem, not used.

        Args:
            part: of the corpus.
            texts: id -> text; those that no sound has are passed over.
            sounds: id -> file.
            source: the transcripts, for messages.
        """
        for name, sound in sorted(sounds.items()):
            id = name if name.startswith(f"{sound.speaker}-") else f"{sound.speaker}-{name}"
            text = texts.get(name)
            if id in self.by_id:
                detail = f"{self.by_id[id].sound.path} is used, of {self.by_id[id].part}"
                self.problems.append(Problem(id, sound.path, "second-copy", detail))
            elif sound.size == 0:
                self.problems.append(Problem(id, sound.path, "empty-file", "the file has 0 bytes; fetch it again"))
            elif text is None:
                self.problems.append(Problem(id, sound.path, "no-transcript", f"no line '{name} ...' in {source}"))
            elif not text:
                self.problems.append(
                    Problem(id, sound.path, "empty-transcript", f"no words behind '{name}' in {source}")
                )
            else:
                self.by_id[id] = Recording(part, sound, text)

    def without_sound(self, names: Collection[str], source: Path) -> None:
        """Tell ids that have a transcript and no sound."""
        for name in sorted(names):
            self.problems.append(Problem(name, source, "no-sound-file", "a transcript, but no sound file of this name"))


def folders(root: Path, depth: int, closed: Collection[str] = ()) -> Iterator[Path]:
    """`root` and the folders below it in a fixed order; hidden ones, and those below a `closed` name, are left out."""
    yield root
    if depth and root.name not in closed:
        for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
            if not entry.name.startswith((".", "__MACOSX")) and entry.is_dir():
                yield from folders(Path(entry.path), depth - 1, closed)


def sound_files(folder: Path, suffixes: tuple[str, ...], speaker: str) -> dict[str, SoundFile]:
    """Name without suffix -> sound file of a folder; of two with one name, the suffix named first counts."""
    found: dict[str, SoundFile] = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        stem, suffix = Path(entry.name).stem, Path(entry.name).suffix
        if suffix.lower() in suffixes and not stem.startswith(".") and entry.is_file():
            rank = suffixes.index(suffix.lower())
            if stem not in found or rank < suffixes.index(found[stem].path.suffix.lower()):
                found[stem] = SoundFile(Path(entry.path), entry.stat().st_size, speaker)
    return found


def read_lines(path: Path) -> tuple[dict[str, str], list[Problem]]:
    """A table `id value`, the two parted by blanks or a tab; a value may be empty.

    Returns:
        Id -> value, the first where an id stands twice with different values; and a problem for every such line.

    Raises:
        UnicodeDecodeError: not UTF-8.
        OSError: it cannot be read.
    """
    values: dict[str, str] = {}
    problems = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        id, _, value = line.strip().replace("\t", " ", 1).partition(" ")
        if values.setdefault(id, value.strip()) != value.strip():
            detail = f"line {number} says '{value.strip()}', an earlier one '{values[id]}', which is used"
            problems.append(Problem(id, path, "two-lines", detail, dropped=False))
    values.pop("", None)
    return values, problems
