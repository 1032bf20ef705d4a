"""What is said in a clip, from the lips alone: words with times and confidences, and what else it could be.

python read_lips.py CLIP
"""

import argparse
import sys

import lipsound2


def main(clip: str) -> None:
    reader = lipsound2.load("grid-s1-vsr", search=lipsound2.SearchOptions(beam=16))
    text = reader(clip)
    print(text.text)
    for word in text.words:
        sure = "" if word.confidence is None else f"{word.confidence:.0%}"
        print(f"    {word.start:5.2f} to {word.end:5.2f} s  {word.text:<10}{sure:>5}")
    likely = [other for other in text.alternatives if other.probability >= 0.01]
    for other in likely[:3]:
        print(f"or, with {other.probability:.0%}: {other.text}")
    for warning in text.warnings:
        print(f"warning: {warning}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What is said in a clip, from the lips alone.")
    parser.add_argument("clip", metavar="CLIP", help="video of a talking face")
    try:
        main(parser.parse_args().clip)
    except (lipsound2.LipsoundError, lipsound2.ClipFailure) as error:
        sys.exit(f"read_lips.py: {error}")
