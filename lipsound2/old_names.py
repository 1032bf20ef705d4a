"""Names that earlier versions wrote into files, and what they are called today.

Options, configs, stamps and checkpoints of before are read with these tables; nothing is written by an old name.
`docs/renames.tsv` lists all renames, for people.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

from lipsound2.errors import LipsoundError

log = logging.getLogger(__name__)

T = TypeVar("T")
_LOGGED: set[str] = set()

# Keys of configs.
CONFIG_KEYS: dict[str, str] = {
    "optimiser": "optimizer",
    "batch_pictures": "batch_frames",
    "feedback": "scheduled_sampling",
    "feedback_start": "scheduled_sampling_start",
    "keep_decoded": "cache_gb",
    "augment_window": "crop_frames",
    "augment_focus": "crop_loud_prob",
    "augment_splice": "augment_cutmix",
    "augment_turn": "augment_rotate",
    "augment_light": "augment_brightness",
    "augment_freeze": "augment_time_mask",
    "augment_freeze_size": "augment_time_mask_size",
    "word_weight": "word_loss_weight",
    "contrast": "postfilter_gain",
    "peaks": "postfilter_sharpness",
    "reach": "max_relative_position",
    "critic_width": "discriminator_width",
    "frame_width": "mel_width",
    "frame_layers": "mel_layers",
    "pictures": "chunk_frames",
}
# Values of a key.
CONFIG_VALUES: dict[str, dict[str, str]] = {"task": {"recognise": "recognize"}, "input": {"sound": "audio"}}
# Keys that stamps of earlier versions lack: a key they have beside it -> the new ones and what they were worth.
NEW_KEYS: dict[str, dict[str, str]] = {
    "estoi_weight": {"speaker": "none", "recognizer": "", "recognizer_weight": "0.0"}
}
# Keys of a checkpoint, and of its discriminator.
CHECKPOINT_KEYS: dict[str, str] = {"optimiser": "optimizer", "critic": "discriminator"}

# Options by the names they had: verb -> old name -> name today, both without dashes. Old commands run, with a notice.
OPTIONS: dict[str, dict[str, str]] = {
    "download": {"address": "url"},
    "crop": {"every": "detect-interval", "choose": "face", "least": "min-face-ratio"},
    "models get": {"accept-licence": "accept-license"},  # as the British write it
    "pack": {"licence": "license"},
    "score": {"also": "metrics"},
    "speak": {"choose": "face", "ngpu": "device"},
    "transcribe": {"choose": "face", "sound": "audio", "ngpu": "device"},
}
# Values of an option by its old name, and what they are called today.
OPTION_VALUES: dict[str, dict[str, str]] = {"ngpu": {"0": "cpu", "1": "cuda"}}
# Steps in LIPSOUND2_SBATCH_<STEP>: name today -> the name it had.
SBATCH_STEPS: dict[str, str] = {"AUDIO": "SOUND"}
# Keys of a summary of word errors, and GRID's slots in it.
SUMMARY_KEYS: dict[str, str] = {"normalisation": "normalization"}
GRID_SLOTS: dict[str, str] = {"colour": "color"}
# Facts on the card of a pack.
CARD_FACTS: dict[str, str] = {"Licence": "License"}
# Columns of curves.tsv.
CURVES: dict[str, str] = {"words_named": "word_accuracy"}
# Columns of the tables of results.
SPEECH_CONTROLS = "ESTOI of ceiling / another sentence / mean mel"
WORD_CONTROLS = "WER % of true sound / true mel / another sentence / mean mel"
WORD_COLUMNS: dict[str, str] = {"recogniser": "recognizer", "colour slot %": "color slot %"}
# Parts of the names of tensors of a network.
TENSOR_PARTS: dict[str, str] = {"name_word": "word_head", "verdict": "output", "told": "condition"}
# Tensors that weights of earlier versions lack, where they have the one beside it: of its shape, and zero.
NEW_TENSORS: dict[str, str] = {"voice.center": "voice.mean"}
# The kind of a dump that holds its audio, in dumps of earlier versions.
AUDIO_KIND = "sound"
# A key of kind.yaml in dumps of every version: it is part of what their shards are known by, so it stays.
NORMALIZED_ON = "normalised_on"


def config_of_today(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A config's mapping by today's names; old ones are named in one line of the log.

    Raises:
        LipsoundError: a key stands there by both of its names.
    """
    renamed, old = {}, []
    for key, value in values.items():
        name = CONFIG_KEYS.get(key, key)
        if name in renamed or (name != key and name in values):
            raise LipsoundError(f"{where}: '{key}' is the old name of '{name}', and both are there; remove one of them")
        today = value_of_today(name, value)
        if name != key:
            old.append(f"{key} (today {name})")
        elif today != value:
            old.append(f"{key}: {value} (today {today})")
        renamed[name] = today
    if old and where not in _LOGGED:
        _LOGGED.add(where)  # a file may be read more than once
        log.info("%s: old names are read: %s", where, ", ".join(old))
    return renamed


def value_of_today(key: str, value: Any) -> Any:
    """A value that a config of an earlier version has for a key, by today's name."""
    return CONFIG_VALUES.get(key, {}).get(value, value) if isinstance(value, str) else value


def keys_of_today(values: Mapping[str, T], names: Mapping[str, str]) -> dict[str, T]:
    """A mapping by today's names, as a table of this module has them; a value that has both keeps today's.

    Args:
        values: as read.
        names: old name -> name today.
    """
    return {names.get(key, key): value for key, value in values.items() if key not in names or names[key] not in values}


def options_of_today(options: Mapping[str, str]) -> dict[str, str]:
    """Options of a stamp that an earlier version wrote, by today's names and in their order."""
    found = {CONFIG_KEYS.get(key, key): value_of_today(key, value) for key, value in options.items()}
    for beside, new in NEW_KEYS.items():
        if beside in found:
            found = {**new, **found}
    return dict(sorted(found.items()))


def checkpoint_of_today(state: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's content by today's names."""
    renamed: dict[str, Any] = {}
    for key, value in state.items():
        name = CHECKPOINT_KEYS.get(key, key)
        if name in ("model", "average") and isinstance(value, dict):
            value = weights_of_today(value)
        elif name == "discriminator" and isinstance(value, dict):  # it has a model and an optimizer of its own
            value = checkpoint_of_today(value)
        renamed[name] = value
    return renamed


def tensors_of_today(state: Mapping[str, T]) -> dict[str, T]:
    """A network's tensors, or whatever belongs to them, by today's names."""
    return {".".join(TENSOR_PARTS.get(part, part) for part in key.split(".")): tensor for key, tensor in state.items()}


def lacking_tensors(state: Mapping[str, Any]) -> dict[str, str]:
    """Tensors that a network of today has and these do not, zero in networks of then -> one of the same shape."""
    return {name: beside for name, beside in NEW_TENSORS.items() if beside in state and name not in state}


def weights_of_today(state: Mapping[str, Any]) -> dict[str, Any]:
    """A network's tensors by today's names, with those that earlier versions did not have."""
    today = tensors_of_today(state)
    return {**today, **{name: 0 * today[beside] for name, beside in lacking_tensors(today).items()}}
