"""Video of a talking face to speech and words: LipSound2 and LiRA.

Use it from the command line: `lipsound2 --help`, or `python -m lipsound2 --help` if that command is not on the path
(`. .venv/bin/activate`). Or from Python:

    import lipsound2
    model = lipsound2.load("grid-s1-parallel")
    speech = model("clip.mp4")  # .waveform, .mel, .video, .warnings
    speech.save("clip.wav")
    text = lipsound2.load("grid-s1-vsr")("clip.mp4")  # .text, .words, .confidence, .alternatives
    text = lipsound2.load("grid-s1-asr")(speech)  # likewise, of speech
    mouths = lipsound2.crop("clip.mp4", region="mouth")  # (T, 96, 96) uint8

Each verb is also a function with the same options: `lipsound2.cli.load("speak")(...)`.
"""

from typing import Any

__version__ = "0.2.0"

# What `lipsound2.api` offers. It is imported when one of them is first used: `import lipsound2` takes no time.
_API = (
    "ClipFailure",
    "ClipVideo",
    "LipsoundError",
    "SearchOptions",
    "Speech",
    "Transcript",
    "crop",
    "load",
    "phrase_reader",
)


def __getattr__(name: str) -> Any:
    """A part of the Python API; of a verb, where it is.

    Raises:
        AttributeError: there is no such thing.
    """
    import importlib

    if name in _API:
        return getattr(importlib.import_module("lipsound2.api"), name)
    if name == "metrics":
        return importlib.import_module("lipsound2.metrics")
    from lipsound2.verbs import VERBS

    verb = name.replace("_", "-")
    hint = f"; it is lipsound2.cli.load('{verb}'), or `lipsound2 {verb}` at a prompt" if verb in VERBS else ""
    raise AttributeError(f"module 'lipsound2' has no attribute '{name}'{hint}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_API, "metrics"])
