"""Which clips a model can be adapted with, told before hours of work: speech needs audio, a lip reader texts.

    python local/usable.py CONFIG DATA OUT LEAST [OVERRIDE]

OUT gets the data dir of these clips. Fewer than LEAST of them are refused in one line.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from lipsound2.audio.check import load_checked
from lipsound2.data.datadir import DataDir
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.inference.recognizer_names import DEFAULT_READER
from lipsound2.tasks import load_config
from lipsound2.tasks.recognize import Recognize, RecognizeConfig
from lipsound2.tasks.tokens import tokenizer_of, tokenizer_path
from lipsound2.text.normalize import normalize
from lipsound2.text.tokenizer import Tokenizer
from lipsound2.text.tokens import known_words, unknown_parts
from lipsound2.timing import SAMPLE_RATE

_SHOWN = 5  # unknown words
_WHOLE = 100  # words of a tokenizer that are all told


def without_audio(data: DataDir) -> dict[str, str]:
    """What each clip that speech cannot be learned from has, or lacks."""
    return {name: "no audio, which speech is learned from" for name in data.ids if _silent(data.video[name])}


def _silent(path: str) -> bool:
    try:
        load_checked(path, SAMPLE_RATE)
    except ClipFailure as failure:  # of others the stages tell
        return failure.reason in ("no-audio", "silent")
    return False


def unwritable(data: DataDir, settings: RecognizeConfig) -> dict[str, str]:
    """What each clip that a lip reader cannot be learned from has, or lacks."""
    found = {name: "no text (talk.txt beside talk.mp4)" for name in data.ids if name not in data.text}
    if tokenizer_path(settings.tokens) is None:  # made of these very texts
        return found
    tokenizer = tokenizer_of(settings.tokens)
    texts = {name: normalize(text, settings.language) for name, text in data.text.items()}
    unknown = {name: parts for name, text in texts.items() if (parts := unknown_parts(tokenizer, text))}
    counts = Counter(part for parts in unknown.values() for part in parts)
    shown = ", ".join(f"'{part}' ({count})" for part, count in counts.most_common(_SHOWN))
    shown += f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    what = "words" if tokenizer.whole_words else "characters"
    why = f"{what} in the text that {settings.tokens} cannot write: {shown}{_known(tokenizer)}"
    return found | dict.fromkeys(unknown, why)


def _known(tokenizer: Tokenizer) -> str:
    """The words that can be written, where they are few."""
    words = known_words(tokenizer)
    return f"; it knows: {' '.join(words)}" if 0 < len(words) <= _WHOLE else ""


def check(data: DataDir, useless: Mapping[str, str], least: int, advice: str) -> str:
    """What is left out, in a line for each reason; empty: nothing.

    Raises:
        LipsoundError: too few clips are left.
    """
    reasons = [
        f"{count} of {len(data)} clips {'has' if count == 1 else 'have'} {what}"
        for what, count in Counter(useless.values()).items()
    ]
    left = len(data) - len(useless)
    if left < least:
        here = "1 clip is" if left == 1 else f"{left} clips are"
        raise LipsoundError(f"--corpus: {'; '.join(reasons)}. {here} left, wanted {least} or more: {advice}")
    return "\n".join(f"left out: {reason}" for reason in reasons)


def main(config: str, folder: str, out: str, least: str, override: str = "") -> None:
    """Check the clips, and write those that can be used."""
    task, data = load_config(config, override).task, DataDir(folder)
    if isinstance(task, Recognize):
        useless = unwritable(data, task.settings)
        advice = "record sentences of its words, or learn words of your own with --override 'tokens: words'"
    else:
        useless = without_audio(data)
        advice = f"record with a microphone; for silent clips adapt a lip reader, --model {DEFAULT_READER}"
    if told := check(data, useless, int(least), advice):
        print(told)
    kept = [name for name in data.ids if name not in useless]
    data.subset(kept, out, f"local/usable.py {Path(folder).resolve()}")


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    try:
        main(*sys.argv[1:])
    except LipsoundError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
