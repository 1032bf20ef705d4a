"""Rooms import downwards only: read from the imports themselves, those inside functions among them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lipsound2

PACKAGE = Path(lipsound2.__file__).parent
# From the ground up. A room may import what stands on a floor below its own, and itself.
FLOORS = (
    ("errors", "verbs", "arguments", "stopping", "timing", "progress"),
    ("__init__", "files", "old_names", "gpus", "error_messages", "train_config", "models/modules"),
    ("outputs", "fingerprint", "jobs/slurm", "models/tacotron", "models/asr"),
    ("data", "models"),
    ("config", "corpora", "text", "versions", "media", "known_models", "model_uses"),
    ("jobs", "decoding", "model_names"),
    ("audio", "converted"),
    ("video", "synthetic"),
    ("datasets", "metrics", "models/pase", "models/vocoders"),
    ("tasks", "report"),
    ("experiment",),
    ("training", "inference", "hub_card"),
    ("pack", "completion", "sharing"),
    ("features", "published", "api"),
    ("hub", "selftest", "demo", "live"),
    ("cli",),
    ("__main__",),
)


def room_of(path: Path) -> str:
    """The folder a module lies in; of a module at the top its own name."""
    inside = path.relative_to(PACKAGE)
    return inside.stem if len(inside.parts) == 1 else inside.parent.as_posix()


def imported(path: Path) -> set[Path]:
    """The project's files that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [node.module]
        for name in names:
            top, *parts = name.split(".")
            place = PACKAGE.joinpath(*parts)
            if top != "lipsound2":
                continue
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.is_file():
                    found.add(file)
                    break
    return found - {path}


FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted({room_of(path) for path in FILES})


def test_every_room_has_its_floor():
    assert sorted(room for floor in FLOORS for room in floor) == ROOMS


@pytest.mark.parametrize("room", ROOMS)
def test_no_import_runs_up_or_sideways(room):
    floor = {name: height for height, names in enumerate(FLOORS) for name in names}
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {other.relative_to(PACKAGE)}"
        for path in FILES
        if room_of(path) == room
        for other in imported(path)
        if room_of(other) != room and floor[room_of(other)] >= floor[room]
    ]
    assert not wrong


def test_no_circle_inside_a_room():
    """Importing one file must not lead back to it, whatever the functions inside import."""
    graph = {path: imported(path) for path in FILES}
    done: set[Path] = set()

    def visit(path: Path, trail: tuple[Path, ...]) -> None:
        assert path not in trail, " -> ".join(p.name for p in (*trail[trail.index(path) :], path))
        if path in done:
            return
        for other in graph[path]:
            visit(other, (*trail, path))
        done.add(path)

    for path in FILES:
        visit(path, ())


def test_the_rates_are_written_once():
    """25 frames a second, 16 kHz and 640 samples a frame: as names, so that a reader finds where they are decided."""
    names = ("FRAME_RATE", "SAMPLE_RATE", "SAMPLES_PER_FRAME", "PICTURE_RATE", "SAMPLES_PER_PICTURE")
    again = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in FILES
        if path.name != "timing.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id.strip("_") in names)
        or (isinstance(node, ast.Constant) and not isinstance(node.value, bool) and node.value == 16_000)
    ]
    assert not again
