"""Speech of every clip in a folder: CLIPS/name.mp4 becomes OUT/name.wav, and OUT/name.mp4 with the speech in it.

python speak_folder.py CLIPS OUT
"""

import argparse
import sys
from pathlib import Path

import lipsound2


def main(folder: Path, out: Path) -> None:
    clips = sorted(folder.glob("*.mp4"))
    if not clips:
        raise lipsound2.LipsoundError(f"{folder}: {'no .mp4 file in it' if folder.is_dir() else 'no such folder'}")
    model = lipsound2.load("grid-s1-parallel")
    print(f"{model.name} knows {model.knows}")
    for clip in clips:
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
    parser = argparse.ArgumentParser(description="Speech of every clip in a folder.")
    parser.add_argument("clips", metavar="CLIPS", type=Path, help="folder of .mp4 files")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder for the speech")
    given = parser.parse_args()
    try:
        main(given.clips, given.out)
    except lipsound2.LipsoundError as error:
        sys.exit(f"speak_folder.py: {error}")
