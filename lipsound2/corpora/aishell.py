"""AISHELL-1 and AISHELL-2 as they lie on people's disks: read Mandarin.

AISHELL-1: `data_aishell/wav/{train,dev,test}/S0002/BAC009S0002W0122.wav`, all transcripts in
`data_aishell/transcript/aishell_transcript_v0.8.txt`, words parted by blanks. AISHELL-2: `iOS/{data,dev,test}/`, each
with `wav.scp` (`id<TAB>wav/C0001/IC0001W0001.wav`), `trans.txt` (`id<TAB>text`) and `wav/`; the evaluation sets also
exist for the channels Android and Mic, which are left out.

Sources: Bu, Du, Na, Wu, Zheng, "AISHELL-1", O-COCOSDA 2017, OpenSLR 33; Du, Na, Liu, Bu, "AISHELL-2", arXiv 1808.10583.
Utterances of AISHELL-2's dev and test: its README in Kaldi; the other numbers are from memory, AISHELL-1's agree with a
public copy to three digits. Layouts: `tests/layouts/aishell1.txt`, `tests/layouts/aishell2.txt`.
"""

from __future__ import annotations

from pathlib import Path

from lipsound2.corpora.corpus import NO_OPTIONS, Corpus, Options
from lipsound2.corpora.protocols import ByPart
from lipsound2.corpora.recordings import AudioFile, Problem, Recordings, audio_files, read_lines
from lipsound2.data.folders import folders
from lipsound2.errors import LipsoundError
from lipsound2.progress import progress

_PARTS = {  # those held out first: an utterance that lies in two of them is not trained on
    "aishell1-test": 7176,
    "aishell1-dev": 14326,
    "aishell1-train": 120098,
    "aishell2-test": 5000,
    "aishell2-dev": 2500,
    "aishell2-train": 1009223,
}
_TRANSCRIPTS = Path("transcript", "aishell_transcript_v0.8.txt")
_SETS = {"test": "test", "dev": "dev", "data": "train", "train": "train"}  # folder of AISHELL-2 -> set
_CHANNELS = frozenset({"android", "mic"})
_DEPTH = 4  # folders between the one that is given and those with transcripts


def scan(root: Path, options: Options = NO_OPTIONS) -> Recordings:
    """Find and check every utterance of AISHELL-1 or AISHELL-2 (iOS) below `root`.

    Raises:
        LipsoundError: no such folder, neither corpus in it, still packed, or a list missing or damaged.
    """
    if not root.is_dir():
        raise LipsoundError(f"{root}: no such folder; give the folder of AISHELL-1 (data_aishell) or AISHELL-2")
    first, second = [], []
    for folder in folders(root, _DEPTH, ("wav", "transcript")):
        if (folder / _TRANSCRIPTS).is_file():
            first.append(folder)
        elif (folder / "wav.scp").is_file() or (folder / "trans.txt").is_file():
            second.append(folder)
    if not first and not second:
        names = ", ".join(sorted(path.name for path in root.iterdir())[:6]) or "nothing"
        raise LipsoundError(
            f"{root}: no AISHELL found (wanted {_TRANSCRIPTS} of AISHELL-1, or wav.scp and trans.txt of AISHELL-2, "
            f"found {names}); unpack the corpus and give its folder"
        )
    found = Recordings()
    for folder in first:
        _read_first(found, folder)
    order = list(_SETS)
    for folder in sorted(second, key=lambda path: order.index(path.name) if path.name in order else len(order)):
        _read_second(found, folder, root)
    return found


def _read_first(found: Recordings, folder: Path) -> None:
    """Add AISHELL-1."""
    texts = _read(folder / _TRANSCRIPTS, found)
    packed = sorted((folder / "wav").glob("*.tar.gz"))
    unpack = f"unpack them: cd {folder / 'wav'} && for f in *.tar.gz; do tar -xzf $f; done"
    seen: set[str] = set()
    for subset in ("test", "dev", "train"):
        if not (folder / "wav" / subset).is_dir():
            continue
        speakers = [path for path in folders(folder / "wav" / subset, 1) if path.name != subset]
        for speaker in progress(speakers, desc=f"aishell1-{subset}", unit="speaker", leave=False):
            audio = audio_files(speaker, (".wav",), speaker.name)
            seen |= audio.keys()
            found.join(f"aishell1-{subset}", texts, audio, folder / _TRANSCRIPTS)
    if not seen:
        state = (
            f"its speakers are still packed ({packed[0].name}, ...); {unpack}" if packed else "no wav/{train,dev,test}"
        )
        raise LipsoundError(f"{folder}: {state}" + ("" if packed else "; unpack data_aishell.tgz again"))
    left = [path for path in packed if not any((folder / "wav").glob(f"*/{path.name.split('.')[0]}"))]
    if left:
        found.notes.append(f"{len(left)} speakers of AISHELL-1 are still packed ({left[0].name}, ...); {unpack}")
    if len(texts.keys() - seen):
        found.notes.append(f"{len(texts.keys() - seen)} of {len(texts)} transcripts of AISHELL-1 have no audio here")


def _read_second(found: Recordings, folder: Path, root: Path) -> None:
    """Add one of AISHELL-2's folders: its training data, dev or test."""
    channel = {part.lower() for part in folder.relative_to(root).parts} & _CHANNELS
    if channel or folder.name not in _SETS:
        why = f"the channel {min(channel)}" if channel else f"wanted a folder called {', '.join(_SETS)}"
        found.notes.append(f"{folder} is left out: {why}")
        return
    for name, other in (("wav.scp", "trans.txt"), ("trans.txt", "wav.scp")):
        if not (folder / name).is_file():
            raise LipsoundError(
                f"{folder}: {other} is there, {name} is not; both are part of AISHELL-2, unpack it again"
            )
    texts = _read(folder / "trans.txt", found)
    listed = _read(folder / "wav.scp", found)
    audio: dict[str, AudioFile] = {}
    for name, value in progress(listed.items(), desc=f"aishell2-{_SETS[folder.name]}", unit="file", leave=False):
        path = folder / value
        if path.stem != name:
            detail = f"wav.scp names '{value}' for '{name}'"
            found.problems.append(Problem(name, folder / "wav.scp", "other-name", detail))
            continue
        try:
            audio[name] = AudioFile(path, path.stat().st_size, path.parent.name)
        except OSError as error:
            found.problems.append(Problem(name, path, "no-audio-file", f"in wav.scp, but: {error.strerror}"))
    found.join(f"aishell2-{_SETS[folder.name]}", texts, audio, folder / "trans.txt")
    found.without_audio(texts.keys() - listed.keys(), folder / "trans.txt")


def _read(path: Path, found: Recordings) -> dict[str, str]:
    """A table `id value` of the corpus; without it, the rest is worth nothing."""
    values, problems = read_lines(path)
    found.problems += problems
    return values


AISHELL = Corpus(
    title="AISHELL",
    scan=scan,
    protocols={
        name: ByPart(sets={subset: (f"{name}-{subset}",) for subset in ("train", "dev", "test")}, counts=_PARTS)
        for name in ("aishell2", "aishell1")
    },
    parts=_PARTS,
)
