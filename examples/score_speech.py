"""Score your own model's speech against the ground truth: files of the same name in two folders.

python score_speech.py REFERENCES SPEECH

References may be videos: their audio is taken.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import lipsound2
from lipsound2.audio.io import load_audio
from lipsound2.data.folders import AUDIO_SUFFIXES, VIDEO_SUFFIXES

METRICS = ("stoi", "estoi", "pesq_nb", "pesq_wb")


def reference_of(generated: Path, references: Path) -> Path:
    """The audio, or else the video, of the same name."""
    for suffixes in (AUDIO_SUFFIXES, VIDEO_SUFFIXES):
        for path in sorted(references.iterdir()):
            if path.stem == generated.stem and path.suffix.lower() in suffixes:
                return path
    raise lipsound2.ClipFailure("no-reference", f"no audio or video called {generated.stem} in {references}")


def main(references: Path, speech: Path) -> None:
    for folder in (references, speech):
        if not folder.is_dir():
            raise lipsound2.LipsoundError(f"{folder}: no such folder")
    print("clip".ljust(20), *(name.rjust(8) for name in METRICS))
    rows = []
    for generated in sorted(speech.glob("*.wav")):
        try:
            reference = reference_of(generated, references)
            waveforms = load_audio(reference), load_audio(generated)  # 16 kHz, one channel, whatever the file has
        except lipsound2.ClipFailure as failure:
            print(f"{generated.name}: left out, {failure}")
            continue
        rows.append([getattr(lipsound2.metrics, name)(*waveforms) for name in METRICS])
        print(generated.stem.ljust(20), *(f"{value:8.3f}" for value in rows[-1]))
    if not rows:
        raise lipsound2.LipsoundError(f"{speech}: no .wav file in it that can be scored")
    print("mean".ljust(20), *(f"{value:8.3f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score speech against files of the same name.")
    parser.add_argument("references", metavar="REFERENCES", type=Path, help="folder of audio or video files")
    parser.add_argument("speech", metavar="SPEECH", type=Path, help="folder of .wav files")
    given = parser.parse_args()
    try:
        main(given.references, given.speech)
    except lipsound2.LipsoundError as error:
        sys.exit(f"score_speech.py: {error}")
