"""What a corpus holds: recordings by id, and a problem for every file or line that cannot be used.

Every corpus has a module that looks for its files and fills `Recordings`; what is done with them is the same for all
(`preparation`). A recording has a video, an audio file, or both; text and word times where the corpus knows them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lipsound2.data.folders import entries
from lipsound2.data.names import no_file_name
from lipsound2.data.tables import BLANKS, is_pipe, is_text
from lipsound2.data.texts import read_text
from lipsound2.errors import LipsoundError, is_machine_error


@dataclass(frozen=True)
class Problem:
    """A problem with one file or line. `dropped`: it is not used."""

    id: str
    file: Path | str
    reason: str
    detail: str
    dropped: bool = True


@dataclass(frozen=True, slots=True)
class Recording:
    """One clip or utterance. Paths are strings, because a corpus may hold a million of them.

    Attributes:
        speaker: with which the id begins.
        part: of the corpus, such as `train-clean-100`.
        video: absolute path; empty where there is no video.
        wav: absolute path of an audio file; empty where the audio is in the video.
        size: bytes of the video, or of the audio where there is none; None if it was not measured.
        text: transcript, as the corpus writes it; empty if unknown.
        words: word times, a value of the table `word_times`; empty if unknown.
        language: ISO 639; empty: the corpus'.
    """

    speaker: str
    part: str = ""
    video: str = ""
    wav: str = ""
    size: int | None = None
    text: str = ""
    words: str = ""
    language: str = ""

    @property
    def file(self) -> str:
        """The video, or the audio where there is none."""
        return self.video or self.wav


@dataclass(frozen=True)
class AudioFile:
    """An audio file: where, how many bytes, who speaks."""

    path: Path
    size: int
    speaker: str


@dataclass
class Recordings:
    """What was found below a root.

    Attributes:
        by_id: recordings that can be used, by the id of data dirs: `speaker-name`.
        problems: files and lines that cannot, or that contradict each other.
        notes: sentences for the person who prepares the corpus.
        speakers: part -> all its speakers, where the corpus lists them.
        names: speaker -> names of all its recordings, present or not, where the corpus lists them. Splits are cut on
            these, so that they do not change when files are missing.
        lists: name -> ids of the split lists that the package or the corpus brings.
        tables: further tables of the data dirs: file name -> id -> value, for every recording.
    """

    by_id: dict[str, Recording] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    speakers: dict[str, set[str]] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)
    lists: dict[str, Collection[str]] = field(default_factory=dict)
    tables: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, id: str, recording: Recording) -> bool:
        """Take a recording in, unless a table could not hold it, its file is empty, or its id is taken.

        Returns:
            Whether it was taken; if not, a problem was noted.
        """
        problem = None
        if not id or id.split() != [id] or not is_text(id):
            problem = ("not-an-id", f"the id would be {id!a}; an id has no blanks and is UTF-8: rename the file")
        elif why := no_file_name(id) or no_file_name(recording.speaker):
            problem = ("not-an-id", f"the id '{id}' of '{recording.speaker}' cannot name a file: {why}; rename it")
        elif not all(_fits_table(path) for path in (recording.video, recording.wav)):
            problem = (
                "not-a-path",
                "a line break, a blank at an end, '|' at an end or no UTF-8 in it: rename the file",
            )
        elif recording.size == 0:
            problem = ("empty-file", "the file has 0 bytes; fetch it again")
        elif id in self.by_id:
            used = self.by_id[id]
            problem = ("second-copy", f"{used.file} is used{', of ' + used.part if used.part else ''}")
        if problem:
            self.problems.append(Problem(id, recording.file, *problem))
            return False
        self.by_id[id] = recording
        return True

    def read(self, id: str, path: Path, reason: str, *, dropped: bool = False) -> str | None:
        """The text file of a clip, which may be anything.

        Args:
            id: of the clip.
            path: the file.
            reason: of the problem that is noted where it is no text, or cannot be opened.
            dropped: whether the clip is then not used.

        Returns:
            None, and a problem, where there is no text.

        Raises:
            OSError: an error of the machine, which says nothing about the file.
        """
        try:
            return read_text(path)
        except (LipsoundError, OSError) as error:
            if is_machine_error(error):
                raise
            detail = error.strerror if isinstance(error, OSError) else str(error)
            self.problems.append(Problem(id, path, reason, str(detail), dropped=dropped))
            return None

    def join(self, part: str, texts: Mapping[str, str], audio: Mapping[str, AudioFile], source: Path) -> None:
        """Put audio and texts together by the corpus' own ids. Audio without a text is a problem, not used.

        Args:
            part: of the corpus.
            texts: id -> text; texts without audio are ignored.
            audio: id -> file.
            source: the transcripts, for messages.
        """
        for name, file in sorted(audio.items()):
            id = name if name.startswith(f"{file.speaker}-") else f"{file.speaker}-{name}"
            text = texts.get(name)
            if text or id in self.by_id or file.size == 0:
                wav = str(file.path.absolute())
                self.add(id, Recording(file.speaker, part, wav=wav, size=file.size, text=text or ""))
            elif text is None:
                self.problems.append(Problem(id, file.path, "no-transcript", f"no line '{name} ...' in {source}"))
            else:
                self.problems.append(
                    Problem(id, file.path, "empty-transcript", f"no words behind '{name}' in {source}")
                )

    def leave_out_without_text(self, why: str) -> None:
        """Where some recordings have a text, leave out those that have none: a data dir has the text of all or of none.

        Args:
            why: there may be none, for the problem.
        """
        without = [id for id, recording in self.by_id.items() if not recording.text]
        if len(without) < len(self.by_id):
            self.problems += [Problem(id, self.by_id.pop(id).file, "no-transcript", why) for id in without]

    def without_audio(self, names: Collection[str], source: Path) -> None:
        """Note ids that have a transcript and no audio as problems."""
        for name in sorted(names):
            self.problems.append(Problem(name, source, "no-audio-file", "a transcript, but no audio file of this name"))


def _fits_table(path: str) -> bool:
    """Whether a path can be the value of a table."""
    return is_text(path) and "\n" not in path and path == path.strip(BLANKS) and not is_pipe(path)


def audio_files(folder: Path, suffixes: tuple[str, ...], speaker: str) -> dict[str, AudioFile]:
    """Name without suffix -> audio file of a folder; of two with one name, the suffix named first counts."""
    found: dict[str, AudioFile] = {}
    for entry in entries(folder):
        stem, suffix = Path(entry.name).stem, Path(entry.name).suffix
        if suffix.lower() in suffixes and entry.is_file():
            rank = suffixes.index(suffix.lower())
            if stem not in found or rank < suffixes.index(found[stem].path.suffix.lower()):
                found[stem] = AudioFile(Path(entry.path), entry.stat().st_size, speaker)
    return found


def read_lines(path: Path) -> tuple[dict[str, str], list[Problem]]:
    """A table `id value`, the two parted by blanks or a tab; a value may be empty.

    Returns:
        Id -> value, the first where an id stands twice with different values; and a problem for every such line.

    Raises:
        LipsoundError: not UTF-8.
        OSError: it cannot be read.
    """
    values: dict[str, str] = {}
    problems = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        id, _, value = line.strip().replace("\t", " ", 1).partition(" ")
        if values.setdefault(id, value.strip()) != value.strip():
            detail = f"line {number} says '{value.strip()}', an earlier one '{values[id]}', which is used"
            problems.append(Problem(id, path, "two-lines", detail, dropped=False))
    values.pop("", None)
    return values, problems
