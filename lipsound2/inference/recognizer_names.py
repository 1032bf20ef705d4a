"""Recognizers by name. Torch is not imported, so that a wrong name is reported at once."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from lipsound2 import model_names
from lipsound2.arguments import near
from lipsound2.data.yaml_files import read_yaml
from lipsound2.decoding.pretrained_asr import PRETRAINED_ASR
from lipsound2.decoding.search_options import DEFAULT_SEARCH, Search, SearchOptions, own_search
from lipsound2.errors import LipsoundError
from lipsound2.known_models import known_models

DEFAULT_ASR = "grid-s1-asr"  # of audio
DEFAULT_READER = "grid-s1-vsr"  # of lips


def is_own(name: str) -> bool:
    """Whether the name means an experiment or pack, not a pretrained recognizer."""
    return name.partition(":")[0] not in PRETRAINED_ASR or Path(name).exists()


def ranker_of(model: str, asr: str) -> str:
    """Which of them ranks own sentences, as far as names tell.

    Args:
        model: lip reader or lip-to-speech model; empty: there is audio alone.
        asr: recognizer of audio.
    """
    return model if model and model_names.task_of(model) == "recognize" else asr


def language_of(name: str) -> str:
    """Language in which a recognizer writes, by its config; of pretrained ones English."""
    config = read_yaml(model_names.find(name) / model_names.CONFIG) if is_own(name) else {}
    return str(config.get("language", "en"))


def search_of(name: str, options: SearchOptions) -> Search:
    """How a recognizer searches: as the options say and, where they do not, as its pack does."""
    return options.filled(own_search(model_names.find(name, "recognize")) if is_own(name) else None)


def check_makes_speech(model: str, **given: str) -> None:
    """Check that options about speech are given beside a model that makes some.

    Args:
        model: lip reader or lip-to-speech model.
        given: values of such options by their names; empty: not given.

    Raises:
        LipsoundError: one is given, and the model is a lip reader.
    """
    for option, value in given.items():
        if value and model_names.task_of(model) == "recognize":
            raise LipsoundError(
                f"--{option} {value}: is for speech, and {model} reads the lips without any; leave --{option} out, or "
                "give a lip-to-speech model as --model"
            )


def check_search(name: str, options: SearchOptions) -> None:
    """Check that a recognizer takes the search options that are given: pretrained ones take none.

    Raises:
        LipsoundError: it takes none, and some are given.
    """
    if is_own(name) or options == DEFAULT_SEARCH:
        return
    given = [each.name for each in fields(options) if getattr(options, each.name) != getattr(DEFAULT_SEARCH, each.name)]
    found = ", ".join(f"--{option.replace('_', '-')}" for option in given)
    sphinx = f"pocketsphinx:{options.grammar}"
    grammar = options.grammar == "grid" or Path(options.grammar).is_file()
    hint = f", or give {sphinx} as the recognizer" if grammar and name != sphinx else ""
    raise LipsoundError(
        f"{name}: found {found}, but search options are for recognizers trained with lipsound2; leave them out{hint}"
    )


def is_language_network(lm: Path) -> bool:
    """Whether `--lm` means an experiment, pack or known model, not an ARPA file."""
    named = model_names.found(lm) is not None or str(lm) in known_models()
    return lm.is_dir() or (not lm.exists() and named)


def check_language_model(lm: Path) -> None:
    """Check that a language model exists: an ARPA file, or an experiment or pack of the task *language*.

    Raises:
        LipsoundError: there is none, or it is of another task.
    """
    if is_language_network(lm):
        model_names.check_task(lm, "language")
    elif not lm.exists():
        own = ", ".join(model_names.of_user("language")) or "none"
        near_one = near(str(lm), [*model_names.of_user("language"), *known_models()])
        raise LipsoundError(
            f"--lm {lm}: no such file, and no language model of this name; those on this machine: {own}{near_one}"
        )


def check_recognizer(name: str, *, lips: bool = False) -> None:
    """Check that a recognizer of this name exists.

    Args:
        name: folder, or name; see `decoding.pretrained_asr` for those that need no training.
        lips: whether a lip reader is accepted.

    Raises:
        LipsoundError: there is none.
    """
    kind, colon, _ = name.partition(":")
    known = ", ".join(f"{each}:" for each in PRETRAINED_ASR)
    if colon and is_own(name) and not Path(name).exists():
        raise LipsoundError(f"--asr {name}: no recognizer '{kind}:', known: {known}{near(kind, PRETRAINED_ASR)}")
    if is_own(name):
        try:
            model_names.find(name, "recognize")
        except LipsoundError as error:
            raise error if lips else LipsoundError(f"{error}; recognizers that need no training: {known}") from None
        model_names.check_task(name, "recognize")
