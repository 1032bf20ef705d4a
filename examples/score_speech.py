"""Score your own model's speech against the ground truth: files of the same name in two folders.

python score_speech.py REFERENCES SPEECH

References may be videos: their audio is taken.
"""

import sys
from pathlib import Path

import numpy as np

import lipsound2
from lipsound2.audio.io import load_audio

METRICS = ("stoi", "estoi", "pesq_nb", "pesq_wb")


def main(references: Path, speech: Path) -> None:
    print("clip".ljust(20), *(name.rjust(8) for name in METRICS))
    rows = []
    for generated in sorted(speech.glob("*.wav")):
        reference = next(path for path in sorted(references.glob(f"{generated.stem}.*")))
        waveforms = load_audio(reference), load_audio(generated)  # 16 kHz, one channel, whatever the file has
        rows.append([getattr(lipsound2.metrics, name)(*waveforms) for name in METRICS])
        print(generated.stem.ljust(20), *(f"{value:8.3f}" for value in rows[-1]))
    print("mean".ljust(20), *(f"{value:8.3f}" for value in np.mean(rows, axis=0)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
