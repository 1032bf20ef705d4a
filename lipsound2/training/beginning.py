"""What a training begins from: whether the weights mean here what they meant there.

Some keys of a config change what weights compute and no tensor tells them, such as the trunk's activation. They are
compared before any work. Bare files of weights have no config, and are taken as they are.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lipsound2.arguments import near_file
from lipsound2.config import to_mapping
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.model_names import CONFIG, found, name_of
from lipsound2.tasks import RunConfig, load_config
from lipsound2.tasks.recognize import Recognize
from lipsound2.tasks.regress import Regress
from lipsound2.text.tokenizer import Tokenizer
from lipsound2.text.tokens import FILES
from lipsound2.text.tokens import load as load_tokens
from lipsound2.training import checkpoint
from lipsound2.training.init import Loaded

log = logging.getLogger(__name__)

# Keys by the modules that they belong to. Of trunks of one size the tensors fit, whatever the rest says.
_SIZE = ("trunk_widths", "trunk_blocks", "trunk_context")
_SEEN = ("crop", "size", "trunk_pool", "trunk_grid")
_SHOWN = 6  # modules in a line
_TRUNK, _CONFORMER, _DECODER = ("trunk", "encoder"), ("conformer", "encoder"), ("decoder",)
_MEANINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("positions", _CONFORMER),
    ("feed_forward_activation", _CONFORMER),
    ("decoder_positions", _DECODER),
)


def check_exists(source: Path) -> None:
    """Check that there is something to begin from.

    Raises:
        LipsoundError: there is no such file or folder.
    """
    if not source.exists():
        raise LipsoundError(
            f"--init {source}: no such file or folder{near_file(source)} Wanted: an experiment, a pack, a .safetensors "
            "file or a checkpoint"
        )


def check_source(source: Path, run: RunConfig) -> None:
    """Check before any work that there is something to begin from, and that it means the same here.

    Args:
        source: what `--init` names.
        run: the config of the training.

    Raises:
        LipsoundError: there is no such file or folder, a key that no tensor tells is another there, or `init_only` asks
            for a trunk that does not fit.
    """
    check_exists(source)
    only, mine, theirs = run.train.init_only, run.task.config(), _config(source)
    if "trunk" in only and "trunk_widths" not in mine:
        raise LipsoundError(
            f"init_only: [trunk]: the network of this config has no trunk that --init {source} could fill; take a "
            "model with one: parallel, lira, lips"
        )
    size, activation = _differing(_SIZE, theirs, mine), _differing(("trunk_activation",), theirs, mine)
    if "trunk" in only and size:
        keys = [*size, *activation]
    else:
        # Of another size tensors do not fit, which is told when they are taken.
        keys = activation if _reached(only, _TRUNK) and not size else []
        keys += [] if _differing(("width",), theirs, mine) else _meanings(only, theirs, mine)
    if keys:
        wanted = ", ".join(f"{key}: {_yaml(theirs[key])}" for key in keys)
        raise LipsoundError(
            f"--init {source}: its weights were trained with {wanted}; found {_said(keys, mine)}, with which they "
            f'compute something else; to take them: --override "{wanted}"'
        )


def differences(source: Path, run: RunConfig) -> list[str]:
    """What a trunk that fits saw otherwise, in lines for a person: other crops, or another part of them."""
    mine, theirs = run.task.config(), _config(source)
    if not _reached(run.train.init_only, _TRUNK) or any("trunk_widths" not in each for each in (theirs, mine)):
        return []
    told, (seen, region) = [], (str(each["input"]) for each in (theirs, mine))
    if seen != region and not any(each.startswith("features-") for each in (seen, region)):
        told.append(
            f"its trunk saw crops '{seen}', and this training reads '{region}', which show another part of the face; "
            f"'input: {seen}' reads what it saw"
        )
    if _differing(_SEEN, theirs, mine) and not _differing(_SIZE, theirs, mine):
        told.append(f"its trunk saw video frames of {_said(_SEEN, theirs)}; here they are of {_said(_SEEN, mine)}")
    return [f"--init {source}: {line}" for line in told]


def fresh(source: Path, run: RunConfig, assets: Any, names: Iterable[str], loaded: Loaded) -> str:
    """Which modules begin anew for want of weights, in a line for a person, and how to keep them; empty: none does.

    Args:
        source: what `--init` names.
        run: the config of the training.
        assets: of the training, such as a tokenizer.
        names: all tensors of the network.
        loaded: what became of them.
    """
    if run.train.init_only:  # it says itself what shall not be filled
        return ""
    anew = _whole_modules([*names], {*loaded.missing, *(name for name, _, _ in loaded.other_shape)})
    told = f"--init {name_of(source)}: "
    own, folder = getattr(assets, "tokenizer", None), _folder(source)
    theirs = _tokenizer(folder) if folder else None
    if own is not None and folder and theirs is not None and own.content != theirs.content:
        told += f"its {len(theirs)} tokens are others than the {len(own)} of this training, "
        told += f"so begin anew: {anew}" if anew else "so its output layers have to unlearn what their rows mean"
        return f"{told}; 'tokens: {name_of(folder)}' keeps what it knows of its own"
    return f"{told}begin anew, for want of weights of their size: {anew}" if anew else ""


def _whole_modules(names: Sequence[str], anew: set[str]) -> str:
    """Tensors as the largest modules that hold none but them: `decoder`, or `decoder.embedding`."""
    # Batch norm counts its updates in a scalar, which fits whatever the size of its layer: it is nothing that was kept.
    kept = [name for name in names if name not in anew and not name.endswith(".num_batches_tracked")]
    found: dict[str, None] = {}
    for name in names:
        if name in anew:
            parts = name.split(".")
            modules = (".".join(parts[:depth]) for depth in range(1, len(parts)))
            whole = (module for module in modules if not any(other.startswith(f"{module}.") for other in kept))
            found[next(whole, name)] = None
    shown = [*found][:_SHOWN]
    return ", ".join(shown) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def _tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of an experiment or pack; None: it has none."""
    return load_tokens(folder) if any((folder / name).is_file() for name in FILES) else None


def trunk_of(source: Path) -> str:
    """The keys that give a config the trunk of `source` and the crops that it saw, as `--override` takes them.

    Raises:
        LipsoundError: there is no experiment or pack with a trunk.
    """
    config = _config(source)
    if "trunk_widths" not in config or str(config["input"]).startswith("features-"):
        why = "no model with a trunk there;" if source.exists() else f"no such folder{near_file(source)}"
        raise LipsoundError(
            f"--pack {source}: {why} wanted: a converted lip reader, or an experiment of parallel, lira or lips"
        )
    keys = ("input", *_SEEN, *_SIZE, "trunk_activation")
    return ", ".join(f"{key}: {_yaml(config[key])}" for key in keys)


def take_network(source: Path, config: Path, out: Path, override: str = "") -> None:
    """Write a config whose network is that of `source`, and with it what it reads and says.

    Args:
        source: experiment or pack of lip-to-speech, or of a lip reader.
        config: what says how to train.
        out: YAML file.
        override: keys that the training will be given other values of, for a check.

    Raises:
        LipsoundError: there is no such model, or the config does not suit it.
    """
    folder = _folder(source)
    task = load_config(folder / CONFIG).task if folder else None
    if isinstance(task, Regress):
        keys = ["input", "target", "speaker"]
    elif isinstance(task, Recognize) and task.sees:
        keys = ["input", "language"]
    else:
        why = "no model of lips there;" if source.exists() else f"no such folder{near_file(source)}"
        raise LipsoundError(f"--model {source}: {why} wanted: a lip-to-speech model, or a lip reader")
    theirs = task.config()
    if str(theirs["input"]).startswith("features-"):
        raise LipsoundError(
            f"--model {source}: reads the states of a frozen trunk ({theirs['input']}), wanted one that reads crops"
        )
    network = {"task": task.name, **{key: theirs[key] for key in ("model", *keys, *to_mapping(task.network))}}
    if isinstance(task, Recognize):
        network["tokens"] = name_of(source)
    written = read_yaml(config)
    if (asked := written.get("task", task.name)) != task.name:
        raise LipsoundError(f"--config {config}: is of the task '{asked}', wanted '{task.name}', that of {source}")
    write_yaml(out, {**written, **network})
    load_config(out, override)


def _folder(source: Path) -> Path | None:
    """The experiment or pack that weights belong to; None: they are a file by itself."""
    places = [source, source.parent, *([source.parents[1]] if source.parent.name == checkpoint.FOLDER else [])]
    return next((place for place in places if (place / CONFIG).is_file()), None)


def _config(source: Path) -> Mapping[str, Any]:
    """Every key of the config that weights were trained with; empty: there is none, or it cannot be read."""
    folder = _folder(source)
    if folder is None:
        return {}
    try:
        return load_config(folder / CONFIG).task.config()
    except LipsoundError as error:
        log.warning("--init %s: whether its weights mean the same here was not checked: %s", source, error)
        return {}


def _meanings(only: Sequence[str], theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> list[str]:
    """Keys behind the trunk that no tensor tells, and that differ; learned positions have tensors of their own."""
    return [
        key
        for key, modules in _MEANINGS
        if _reached(only, modules) and _differing((key,), theirs, mine) and "learned" not in (theirs[key], mine[key])
    ]


def _differing(keys: Sequence[str], theirs: Mapping[str, Any], mine: Mapping[str, Any]) -> list[str]:
    return [key for key in keys if key in theirs and key in mine and theirs[key] != mine[key]]


def _reached(only: Sequence[str], modules: Sequence[str]) -> bool:
    """Whether `--init` fills one of the modules."""
    return not only or any(module in only for module in modules)


def _said(keys: Sequence[str], config: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_yaml(config[key])}" for key in keys)


def _yaml(value: object) -> str:
    """A value as a config writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":  # of recipes, whose networks take the size of a pack's trunk, or are those of a model
    try:
        given = Path(sys.argv[1])
        pack = found(given) or given
        if sys.argv[2:]:
            take_network(pack, Path(sys.argv[2]), Path(sys.argv[3]), *sys.argv[4:])
        else:
            print(trunk_of(pack))
    except LipsoundError as error:
        sys.exit(str(error))
