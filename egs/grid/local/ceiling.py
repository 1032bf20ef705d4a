"""What ESTOI could be: of recordings whose audio is not quite together with the video, and has noise that no lips tell.

    lipsound2 sync grid-s1-parallel data/lists/valid dump       # removes the offsets of other sets
    python local/ceiling.py data/lists/valid dump

Each row is what a model could say, against the recording, and the same time-aligned. A model sees neither the offset
between audio and video (`lipsound2 sync` estimates it) nor the noise around the words. So it could say the recording
where words are and what it generates elsewhere, with the offset taken out. Smoothed over time this loses less by the
offset.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from lipsound2 import experiment
from lipsound2.audio.io import decode_flac
from lipsound2.audio.kind import audio_kind
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.av_offsets import AV_OFFSET, offsets_of
from lipsound2.datasets.word_alignment import WordTimes, vocabulary, word_times
from lipsound2.errors import LipsoundError
from lipsound2.inference.synthesize import GeneratorFactory
from lipsound2.inference.vocoders import vocoder
from lipsound2.metrics.aligned_scorer import aligned
from lipsound2.metrics.bootstrap import intervals
from lipsound2.metrics.speech import estoi, fit
from lipsound2.model_names import find
from lipsound2.progress import progress
from lipsound2.tasks.regress import Regress
from lipsound2.timing import SAMPLE_RATE

GENERATED, WORDS, RECORDING = "generated", "recording where words are, generated elsewhere", "recording"
SHIFTS = (10, 20, 40)  # milliseconds
SMOOTH = 0.01  # seconds, standard deviation; of 10, 15, 20 and 30 ms the best


class Sayings:
    """What could be said of a clip.

    Args:
        data: the clips.
        dump: folder of their archives, offsets among them.
        model: a lip-to-speech model.
    """

    def __init__(self, data: DataDir, dump: Path, model: str) -> None:
        loaded = experiment.load(model, task=Regress)
        self._mel, kinds = loaded.assets.mel, loaded.task.settings
        self._generate = GeneratorFactory(find(model), dump, 0)()
        self._vocoder = vocoder("griffin-lim", self._mel)
        self._audio, self._mels, self._offsets = (
            Archive(dump / kind) for kind in (audio_kind(dump), kinds.target, AV_OFFSET)
        )
        rows = word_times(data, 1.0)
        self._words = WordTimes(rows, vocabulary(rows))

    def of(self, name: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The recording of a clip (N,), and what could be said instead, each (N,)."""
        recording = decode_flac(self._audio[name]).astype(np.float64)
        late = round(float(self._offsets[name][0, 0]) * SAMPLE_RATE)
        generated, true = self._generate([name]).mels[name], np.asarray(self._mels[name], np.float32)
        seconds = (np.arange(len(generated)) + 0.5) * self._mel.hop / self._mel.sample_rate
        spoken = self._words.during(name, seconds)[:, None] > 0
        mixed = np.where(spoken, true[: len(generated)], generated)
        said = {
            GENERATED: self._speech(generated, len(recording)),
            WORDS: self._speech(mixed, len(recording)),
            RECORDING: recording,
        }
        said |= {f"{what}, offset taken out": np.roll(said[what], -late) for what in (WORDS, RECORDING)}
        frames = SMOOTH * self._mel.sample_rate / self._mel.hop
        smooth = self._speech(np.log(gaussian_filter1d(np.exp(mixed), frames, axis=0)), len(recording))
        said[f"{WORDS}, offset taken out, smoothed"] = np.roll(smooth, -late)
        said |= {f"{RECORDING}, {shift} ms later": np.roll(recording, shift * SAMPLE_RATE // 1000) for shift in SHIFTS}
        return recording, said

    def _speech(self, mel: np.ndarray, samples: int) -> np.ndarray:
        return fit(self._vocoder.whole(mel).astype(np.float64), samples)


def scored(sayings: Sayings, names: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    """What could be said -> its ESTOI and time-aligned ESTOI of every clip."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name in progress(names, desc="scoring", unit="clip"):
        recording, said = sayings.of(name)
        for what, speech in said.items():
            scores = estoi(recording, speech), estoi(recording, aligned(speech, recording))
            found.setdefault(what, []).append(scores)
    return found


def main() -> int:
    """Print the table; 1: something is missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dir", type=Path, help="data dir of the clips, with word_times")
    parser.add_argument("dump", type=Path, help="folder of the archives")
    parser.add_argument("--model", default="grid-s1-parallel", help="lip-to-speech model (default: %(default)s)")
    given = parser.parse_args()
    try:
        data = DataDir(given.dir)
        known, _ = offsets_of(data, data.ids, given.dump)
        if not known.all():
            print(f"{len(data.ids) - known.sum()} of {len(data.ids)} clips have no offset: left out", file=sys.stderr)
        names = [name for name, there in zip(data.ids, known, strict=True) if there]
        found = scored(Sayings(data, given.dump, given.model), names)
    except LipsoundError as error:
        print(error, file=sys.stderr)
        return 1
    print("| what is said | ESTOI | time-aligned |\n| --- | --- | --- |")
    for what, scores in found.items():
        plain, moved = (each.format() for each in intervals(np.array(scores)))
        print(f"| {what} | {plain} | {moved} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
