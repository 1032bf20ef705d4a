"""Tiny corpora of real speech in the layouts of LibriSpeech and AISHELL, and the layout trees they are held against."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

from lipsound2.synthetic.speech import VOICES, Voice, say

LAYOUTS = Path(__file__).parents[1] / "layouts"
RATE = 16000
_MARK = re.compile(r"(> )?(.+?) ## (verified|from memory): (.+)")

# Subset, speaker, chapter -> sentences.
ENGLISH = {
    ("train-clean-100", 19, 198): ("THE OLD MAN'S BOAT", "A LIGHT IN THE WINDOW", "SHE TOLD HIM SO"),
    ("train-clean-100", 27, 123349): ("HE WENT HOME", "THE LIGHT WAS OUT", "AN OLD HOUSE"),
    ("dev-clean", 1272, 128104): ("THE HOUSE WAS OLD", "HE TOLD HER"),
    ("test-clean", 121, 121726): ("A BOAT IN THE LIGHT", "SHE WENT OUT"),
}
# Set, speaker -> sentences, words parted by blanks.
MANDARIN = {
    ("train", 1): ("厨房 用具", "电 蒸 锅", "换 一 首 歌"),
    ("train", 2): ("调低 五 度", "厨房 用 电", "一 首 歌"),
    ("dev", 724): ("换 电 锅", "调低 一 度"),
    ("test", 764): ("换 厨房 用具", "五 首 歌"),
}


@dataclass
class Layout:
    """A tree of `tests/layouts`: every file, and the lines of the text files."""

    files: dict[str, list[str]] = field(default_factory=dict)
    marks: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def read(cls, name: str) -> Layout:
        layout = cls()
        for number, row in enumerate((LAYOUTS / f"{name}.txt").read_text(encoding="utf-8").splitlines(), start=1):
            if row.startswith("#"):
                continue
            match = _MARK.fullmatch(row)
            assert match, f"{name}.txt:{number}: no mark behind ' ## '"
            if match[1]:
                layout.files[list(layout.files)[-1]].append(match[2].replace("{tab}", "\t"))
            else:
                layout.files[match[2]] = []
            layout.marks.append((match[3], match[4]))
        return layout

    def write(self, root: Path) -> None:
        """Lay the tree out: audio are a tone, text files have their lines."""
        for name, lines in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix in (".wav", ".flac"):
                soundfile.write(path, 0.1 * np.sin(np.arange(RATE // 10) / 5), RATE)
            else:
                path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def shape(path: str) -> str:
    """A path or id without what differs from corpus part to corpus part: numbers, and LibriSpeech's subsets."""
    return re.sub(r"\d+", "#", re.sub(r"(dev|test|train)-(clean|other)(-\d+)?", "SUBSET", path))


def row_shape(row: str) -> str:
    """The id of a transcript's line, and what parts it from the text."""
    match = re.match(r"(\S+)(\s+)", row)
    assert match, row
    return shape(match[1]) + match[2]


def speak(words: list[str], voice: Voice, path: Path) -> None:
    """Write one utterance, 16 kHz."""
    spoken = [say([word.lower()], voice) for word in words]
    waveform = np.concatenate([part.waveform for part in spoken])
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, resample_poly(waveform, RATE, spoken[0].rate).clip(-1, 1), RATE)


def make_librispeech(root: Path) -> Path:
    """ROOT/LibriSpeech with four speakers; returns it."""
    top = root / "LibriSpeech"
    rows = [";ID  |SEX| SUBSET           |MINUTES| NAME\n"]
    for number, ((subset, speaker, chapter), sentences) in enumerate(ENGLISH.items()):
        rows.append(f"{speaker:<4} | F | {subset:<16} |  0.10 | A Reader | of Books\n")
        folder = top / subset / str(speaker) / str(chapter)
        transcripts = ""
        for index, sentence in enumerate(sentences):
            name = f"{speaker}-{chapter}-{index:04}"
            speak(sentence.split(), VOICES[number], folder / f"{name}.flac")
            transcripts += f"{name} {sentence}\n"
        (folder / f"{speaker}-{chapter}.trans.txt").write_text(transcripts, encoding="utf-8")
    (top / "SPEAKERS.TXT").write_text("".join(rows), encoding="utf-8")
    return top


def make_aishell1(root: Path) -> Path:
    """ROOT/data_aishell with four speakers; returns it."""
    top = root / "data_aishell"
    transcripts = ""
    for (subset, speaker), sentences in MANDARIN.items():
        for index, sentence in enumerate(sentences, start=121):
            name = f"BAC009S{speaker:04}W{index:04}"
            path = top / "wav" / subset / f"S{speaker:04}" / f"{name}.wav"
            speak(list(sentence.replace(" ", "")), Voice("cmn", pitch=40 + speaker % 20), path)
            transcripts += f"{name} {sentence}\n"
    (top / "transcript").mkdir()
    (top / "transcript" / "aishell_transcript_v0.8.txt").write_text(transcripts, encoding="utf-8")
    return top


def make_aishell2(root: Path) -> Path:
    """ROOT with the training data and the evaluation sets of AISHELL-2, the test set for two channels; returns it."""
    for (subset, speaker), sentences in MANDARIN.items():
        folder = root / "AISHELL-2" / "iOS" / {"train": "data"}.get(subset, subset)
        if subset == "test":
            folder = root / "AISHELL-DEV-TEST-SET" / "iOS" / "test"
        letter = {"train": "C", "dev": "D", "test": "T"}[subset]
        folders = [("I", folder)]
        if subset == "test":
            folders.append(("A", folder.parents[1] / "Android" / "test"))
        for channel, place in folders:
            for index, sentence in enumerate(sentences, start=1):
                name = f"{channel}{letter}{speaker:04}W{index:04}"
                inside = f"wav/{letter}{speaker:04}/{name}.wav"
                text = sentence.replace(" ", "")
                speak(list(text), Voice("cmn", pitch=40 + speaker % 20), place / inside)
                append(place / "wav.scp", f"{name}\t{inside}\n")
                append(place / "trans.txt", f"{name}\t{text}\n")
    return root


def append(path: Path, text: str) -> None:
    """Add to a text file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
