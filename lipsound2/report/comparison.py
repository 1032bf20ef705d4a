"""Reads experiments, and compares them on the sets that all of them have scores of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError
from lipsound2.metrics.score import SUMMARY
from lipsound2.metrics.score_text import FOLDER
from lipsound2.old_names import config_of_today
from lipsound2.report.compared import Comparison, Experiment
from lipsound2.report.config_keys import differing
from lipsound2.report.provenance import provenance
from lipsound2.report.set_comparer import SetComparer
from lipsound2.report.view import NAMES
from lipsound2.versions import read_runs


def collect(
    paths: Sequence[Path],
    *,
    name: str = "",
    score: str = "",
    clips: int = 0,
    dump: Path | None = None,
    data: Path | None = None,
    video: bool = True,
) -> Comparison:
    """Read and compare experiments.

    Args:
        paths: their folders, at least two.
        name: the set; empty: all that they have scores of.
        score: by whose difference clips to play are chosen; empty: the primary metric, or word errors.
        clips: to play, of each set.
        dump: where the user says that archives lie.
        data: likewise, the data dir.
        video: whether to show the clips' videos.

    Raises:
        LipsoundError: no experiment there, no scores, or nothing in common.
    """
    experiments = [_experiment(path, label) for path, label in zip(paths, labels(paths), strict=True)]
    notes: list[str] = []
    names = _common_sets(experiments, name, notes)
    made = Comparison(experiments, differing([one.config for one in experiments]), [], notes)
    for each in names:
        comparer = SetComparer(experiments, each, data, notes)
        part = comparer.compare()
        if part.lines:
            part.cards = comparer.cards(score, clips, dump, video)
            made.sets.append(part)
    if not made.sets:
        raise LipsoundError(f"nothing to compare: {' '.join(notes)}")
    return made


def labels(paths: Sequence[Path]) -> list[str]:
    """A name of each folder: its own where no other one, and no system of ours, has the same, else the path."""
    names = [path.resolve().name for path in paths]
    return [
        name if names.count(name) == 1 and name not in NAMES else str(path)
        for name, path in zip(names, paths, strict=True)
    ]


def _experiment(path: Path, label: str) -> Experiment:
    file = path / "config.yaml"
    if not file.exists():
        found = "is not there" if not path.exists() else "is no experiment (it has no config.yaml)"
        raise LipsoundError(f"{path}: {found}; give folders that training wrote, such as exp/a")
    clips = next((run.get("clips") for run in read_runs(path / "versions.yaml")), None)
    return Experiment(label, path, provenance(path), config_of_today(read_yaml(file), str(file)), clips)


def _common_sets(experiments: Sequence[Experiment], name: str, notes: list[str]) -> list[str]:
    """Sets that all have scores of; for others a note.

    Raises:
        LipsoundError: there is none, or not the one that is wanted.
    """
    having = {}
    for one in experiments:
        folders = [path for path in sorted((one.path / "scores").glob("*")) if path.is_dir()]
        having[one.label] = [
            path.name for path in folders if (path / SUMMARY).exists() or [*path.glob(f"{FOLDER}/*/{SUMMARY}")]
        ]
        if not having[one.label]:
            raise LipsoundError(
                f"{one.path}: has no scores to compare; run stage 5 of its recipe, or lipsound2 score and score-text"
            )
        if name and name not in having[one.label]:
            raise LipsoundError(
                f"{one.path}: has no scores of '{name}', but of {', '.join(having[one.label])}; score that set, or "
                "choose another with --set"
            )
    if name:
        return [name]
    common = [each for each in having[experiments[0].label] if all(each in sets for sets in having.values())]
    if not common:
        each = "; ".join(f"{label} of {', '.join(sets)}" for label, sets in having.items())
        raise LipsoundError(f"the experiments have no scored set in common: {each}; score one set of all of them")
    for each in dict.fromkeys(each for sets in having.values() for each in sets if each not in common):
        alone = ", ".join(label for label, sets in having.items() if each in sets)
        notes.append(f"Set {each} is not scored for all of them ({alone} alone), and left out.")
    return common
