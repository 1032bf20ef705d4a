"""Speech of every clip in a folder: CLIPS/name.mp4 becomes OUT/name.wav, and OUT/name.mp4 with the speech in it.

python speak_folder.py CLIPS OUT
"""

import sys
from pathlib import Path

import lipsound2


def main(clips: Path, out: Path) -> None:
    model = lipsound2.load("grid-s1-parallel")
    print(f"{model.name} knows {model.knows}")
    for clip in sorted(clips.glob("*.mp4")):
        try:
            speech = model(clip)
        except lipsound2.ClipFailure as failure:
            print(f"{clip.name}: left out, {failure}")
            continue
        speech.save(out / f"{clip.stem}.wav")
        speech.save(out / clip.name)
        print(f"{clip.name}: {speech.seconds:.2f} s")
        for warning in speech.warnings:
            print(f"    {warning}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
