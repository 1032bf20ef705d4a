"""The page of a pack on a model hub: README.md, whose front matter hubs read (license, tags, task, results)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lipsound2.experiment import Experiment
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.registry import SPEECH, TEXT
from lipsound2.metrics.score import SUMMARY
from lipsound2.metrics.score_text import FOLDER
from lipsound2.metrics.summary_files import read_scores
from lipsound2.metrics.wer_summary import read_summary
from lipsound2.model_names import README
from lipsound2.tasks.base import AnyTask
from lipsound2.tasks.recognize import Recognize
from lipsound2.tasks.regress import Regress
from lipsound2.tasks.regress_assets import Features

LIBRARY = "lipsound2"
RESULTS = "results-*.json"  # the summaries of scores in a pack
# Licenses that hubs know by a name of their own; others are `other`, with their text.
_LICENSES = (
    *("apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"),
    *("cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-nd-4.0", "cc-by-3.0", "cc-by-nc-3.0", "gpl-3.0", "unlicense"),
)
# What hubs call a task, and words to search for. They have no name for video to speech.
_TASKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "regress": ("other", ("lip-to-speech", "video-to-speech")),
    "vocode": ("audio-to-audio", ("vocoder",)),
    "classify": ("video-classification", ("lip-reading", "word-classification")),
    "language": ("text-generation", ("language-model",)),
    "pase": ("feature-extraction", ("audio",)),
}
_LIPS = ("automatic-speech-recognition", ("lip-reading", "visual-speech-recognition"))
_AUDIO = ("automatic-speech-recognition", ("speech-recognition",))
_FEATURES = ("feature-extraction", ("lip-reading", "self-supervised"))


def hub_page(
    loaded: Experiment[AnyTask], card: str, name: str, corpus: str, license: str, sets: Mapping[str, Path]
) -> str:
    """README.md: front matter, how the model is used, and its card.

    Args:
        loaded: the experiment.
        card: of the pack; its first line is the heading.
        name: of the pack.
        corpus: what it was trained on.
        license: of the weights, in words.
        sets: name of a set -> folder that `score` wrote.
    """
    task, tags = _task(loaded)
    matter: dict[str, Any] = {**_license(license), "library_name": LIBRARY, "pipeline_tag": task}
    if isinstance(loaded.task, Recognize):
        matter["language"] = [loaded.task.settings.language]
    matter["tags"] = [LIBRARY, *tags]
    if results := _results(task, corpus, sets):
        matter["model-index"] = [{"name": name, "results": results}]
    head, _, rest = card.partition("\n")
    front = yaml.safe_dump(matter, sort_keys=False)
    return f"---\n{front}---\n\n{head}\n\n{_usage(loaded.task, name)}\n{rest}"


def result_files(sets: Mapping[str, Path]) -> dict[str, Path]:
    """The summaries of scores: name in a pack -> the file."""
    found = {}
    for name, folder in sets.items():
        if (folder / SUMMARY).is_file():
            found[RESULTS.replace("*", f"{_slug(name)}-speech")] = folder / SUMMARY
        for path in sorted(folder.glob(f"{FOLDER}/*/{SUMMARY}")):
            found[RESULTS.replace("*", f"{_slug(name)}-{_slug(path.parent.name)}")] = path
    return found


def _task(loaded: Experiment[AnyTask]) -> tuple[str, tuple[str, ...]]:
    task = loaded.task
    if isinstance(task, Recognize):
        return _LIPS if task.sees else _AUDIO
    if isinstance(task, Regress) and isinstance(loaded.assets.target, Features):
        return _FEATURES
    return _TASKS[task.name]


def _license(text: str) -> dict[str, str]:
    """License as hubs want it: an identifier, or `other` with its own words."""
    words = re.split(r"[,;(]", text, maxsplit=1)[0].strip()
    identifier = re.sub(r"\s+", "-", words.lower().removesuffix(" license"))
    if identifier in _LICENSES:
        return {"license": identifier}
    link = re.search(r"https?://[^\s,;)]+", text)
    return {"license": "other", "license_name": _slug(words) or "unknown", "license_link": link[0] if link else README}


def _results(task: str, corpus: str, sets: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Results of all systems, controls included, for each set and way of decoding."""
    short = re.split(r"[,;(]", corpus, maxsplit=1)[0].strip()
    found = []

    def add(split: str, how: str, metrics: list[dict[str, Any]]) -> None:
        dataset = {"name": f"{short}, {split}", "type": _slug(short) or "unknown", "split": split}
        found.append({"task": {"type": task, "name": how}, "dataset": dataset, "metrics": metrics})

    for name, folder in sets.items():
        if (folder / SUMMARY).is_file():
            systems = read_scores(folder / SUMMARY)[0].systems
            add(name, "speech", [m for key, one in systems.items() for m in _metrics(key, one.scores, SPEECH)])
        for path in sorted(folder.glob(f"{FOLDER}/*/{SUMMARY}")):
            texts = read_summary(path)
            add(
                name,
                f"text, {path.parent.name}",
                [m for key, one in texts.items() for m in _metrics(key, one.rates, TEXT)],
            )
    return found


def _metrics(system: str, values: Mapping[str, Interval], known: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Metrics of a system; those in per cent are written so."""
    return [
        {
            "type": name,
            "name": f"{known[name].title}, {system}",
            "value": round(value.mean * (100 if known[name].unit == "%" else 1), 3),
        }
        for name, value in values.items()
        if name in known
    ]


def _usage(task: AnyTask, name: str) -> str:
    """How a model from a hub is used."""
    return "\n".join(
        [
            "With the toolkit LipSound2 (`lipsound2`), after this repository was downloaded:",
            "",
            f"    hf download OWNER/{name} --local-dir {name}",
            f"    {task.usage(name)}",
        ]
    )


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:60]
