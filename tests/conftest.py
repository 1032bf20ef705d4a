"""Fixtures every test may use: real GRID clips when they are at hand, and few threads."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parents[1]

# The suite gives the same answer twice, so what hypothesis draws is fixed. New draws: `--hypothesis-profile random`.
# Machines are slow now and then: no deadline.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.load_profile("fixed")

# What a script starts in the background ignores Ctrl-C, and so does all that it starts: some tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# What torch.compile keeps for other runs is not told apart by an emulated processor, and computes NaN on another.
_PROCESSOR = os.environ.get("ATEN_CPU_CAPABILITY", "native")
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", f"{tempfile.gettempdir()}/lipsound2-tests-inductor-{_PROCESSOR}")

# The models of whoever runs the tests are none of theirs.
os.environ["LIPSOUND2_MODELS"] = str(ROOT / "tests" / "no-models")


def _corpus(name: str, variable: str) -> Path:
    path = Path(os.environ.get(variable, ROOT.parent / "shared" / name))
    if not path.is_dir():
        pytest.skip(f"real clips are not at hand; set {variable} to a folder like {path}")
    return path


@pytest.fixture(scope="session")
def grid() -> Path:
    """Folder of real GRID clips: `s1/*.mp4`, `align/`, `lists/`."""
    return _corpus("grid", "LIPSOUND2_GRID")


@pytest.fixture(scope="session")
def grid_original() -> Path:
    """Folder of real GRID clips as distributed: `s1/*.mpg`, `align/`, `damaged/`."""
    return _corpus("grid_original", "LIPSOUND2_GRID_ORIGINAL")


@pytest.fixture(scope="session")
def media() -> Path:
    """Folder of real clips that are not GRID; its README says what each shows."""
    return _corpus("media", "LIPSOUND2_MEDIA")


@pytest.fixture(scope="session")
def weights() -> Path:
    """Folder of small public weights; its README says what each is."""
    return _corpus("weights", "LIPSOUND2_WEIGHTS")


@pytest.fixture(scope="session")
def scored_experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an experiment of lip-to-speech, `exp/tiny_parallel`, with speech and scores; not to be changed."""
    from helpers.experiments import make_experiment, synthetic_clips

    from lipsound2.metrics.score import score

    root = tmp_path_factory.mktemp("experiment")
    exp = make_experiment(root, synthetic_clips(4))
    score(root / "dump/audio", exp / "wav/test", out=exp / "scores/test", nj=1, resamples=500)
    return root


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that side by side no process is left with a long one at the end.

    `-m fault` takes every test named for a fault that was once found: test_fault_<row>_<what is right>.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        if item.name.startswith("test_fault_"):
            item.add_marker(pytest.mark.fault)
