"""LibriSpeech as it lies on people's disks: read English, from audiobooks.

`LibriSpeech/<subset>/<speaker>/<chapter>/<speaker>-<chapter>-<utterance>.flac`, and for every chapter its transcripts
in `<speaker>-<chapter>.trans.txt`: `<id> TEXT IN CAPITALS`. `SPEAKERS.TXT` says which subset a speaker belongs to.

Sources: Panayotov, Chen, Povey, Khudanpur, "Librispeech: an ASR corpus based on public domain audio books", ICASSP
2015; OpenSLR 12; numbers of utterances: the card of OpenSLR's copy for the package `datasets`. Layout:
`tests/layouts/librispeech.txt`.
"""

from __future__ import annotations

from pathlib import Path

from lipsound2.corpora.corpus import NO_OPTIONS, Corpus, Options
from lipsound2.corpora.protocols import ByPart
from lipsound2.corpora.recordings import Problem, Recordings, audio_files, read_lines
from lipsound2.data.folders import folders
from lipsound2.errors import LipsoundError
from lipsound2.progress import progress

_CLEAN, _OTHER = ("train-clean-100", "train-clean-360"), "train-other-500"
_HELD_OUT = {name: (name,) for name in ("dev-clean", "dev-other", "test-clean", "test-other")}
_PARTS = {  # those held out first: an utterance that lies in two of them is not trained on
    "test-clean": 2620,
    "test-other": 2939,
    "dev-clean": 2703,
    "dev-other": 2864,
    "train-clean-100": 28539,
    "train-clean-360": 104014,
    "train-other-500": 148688,
}
_SUFFIXES = (".flac", ".wav")  # as published, and as some people keep it
_SPEAKERS = "SPEAKERS.TXT"
_DEPTH = 2  # folders between the one that is given and the subsets


def scan(root: Path, options: Options = NO_OPTIONS) -> Recordings:
    """Find and check every utterance below `root`: the folder `LibriSpeech`, one above it, or a single subset.

    Raises:
        LipsoundError: no such folder, or not one subset in it.
    """
    if not root.is_dir():
        raise LipsoundError(
            f"{root}: no such folder; give the folder LibriSpeech, which holds dev-clean, test-clean, ..."
        )
    subsets = [folder for folder in folders(root, _DEPTH, tuple(_PARTS)) if folder.name in _PARTS]
    if not subsets:
        names = ", ".join(sorted(path.name for path in root.iterdir())[:6]) or "nothing"
        raise LipsoundError(
            f"{root}: no subset of LibriSpeech found (wanted dev-clean, train-clean-100, ..., found {names}); "
            "unpack the .tar.gz files and give the folder LibriSpeech"
        )
    found = Recordings()
    belongs = _read_speakers(sorted({subset.parent / _SPEAKERS for subset in subsets}), found)
    order = list(_PARTS)
    for subset in sorted(subsets, key=lambda folder: order.index(folder.name)):
        for speaker in progress(list(_numbered(subset)), desc=subset.name, unit="speaker", leave=False):
            if belongs.get(speaker.name, subset.name) != subset.name:
                detail = f"{_SPEAKERS} says {belongs[speaker.name]}, the folder {subset.name}"
                found.problems.append(Problem(speaker.name, speaker, "other-subset", detail, dropped=False))
            for chapter in _numbered(speaker):
                _read_chapter(found, subset.name, chapter)
    return found


def _numbered(folder: Path) -> list[Path]:
    """The folders in `folder` whose names are numbers, as those of speakers and chapters are."""
    return [path for path in folders(folder, 1) if path != folder and path.name.isdecimal()]


def _read_chapter(found: Recordings, subset: str, folder: Path) -> None:
    """Add the utterances of one chapter."""
    speaker = folder.parent.name
    prefix = f"{speaker}-{folder.name}"
    transcripts = folder / f"{prefix}.trans.txt"
    audio = audio_files(folder, _SUFFIXES, speaker)
    for name in [name for name in audio if not name.startswith(f"{prefix}-")]:
        detail = f"the name is not {prefix}-<utterance>, as the folders say"
        found.problems.append(Problem(name, audio.pop(name).path, "other-name", detail))
    texts: dict[str, str] = {}
    try:
        if transcripts.exists():  # else its audio files are noted one by one
            texts, problems = read_lines(transcripts)
            found.problems += problems
    except LipsoundError as error:
        found.problems.append(Problem(prefix, transcripts, "unreadable-transcripts", str(error)))
    found.join(subset, texts, audio, transcripts)
    found.without_audio(texts.keys() - audio.keys(), transcripts)


def _read_speakers(files: list[Path], found: Recordings) -> dict[str, str]:
    """Speaker -> subset, of lines `ID | SEX | SUBSET | MINUTES | NAME`; a semicolon begins a comment."""
    belongs = {}
    for path in files:
        if not path.is_file():
            found.notes.append(f"{path} is absent, so it is not checked which speakers are missing")
            continue
        # Names of readers are free text: a byte that is not UTF-8 must not hide the rest.
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            fields = [part.strip() for part in line.split("|", 4)]
            if len(fields) == 5 and not line.startswith(";"):
                belongs[fields[0]] = fields[2]
                found.speakers.setdefault(fields[2], set()).add(fields[0])
    return belongs


LIBRISPEECH = Corpus(
    title="LibriSpeech",
    scan=scan,
    protocols={
        name: ByPart(sets={"train": parts, **_HELD_OUT}, counts=_PARTS)
        for name, parts in {"960h": (*_CLEAN, _OTHER), "460h": _CLEAN, "100h": _CLEAN[:1]}.items()
    },
    parts=_PARTS,
)
