"""What is damaged, emptied or deleted of a verb's output is made again by the same command."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest
from helpers.experiments import make_experiment, synthetic_clips
from helpers.written_dump import write_kind

from lipsound2.data.datadir import DataDir
from lipsound2.inference.synthesize import synthesize
from lipsound2.metrics.audio_sources import find_systems
from lipsound2.metrics.score import score
from lipsound2.video.encode import encode

ACTS: list[Callable[[Path], None]] = [
    lambda path: os.truncate(path, path.stat().st_size // 2),
    lambda path: os.truncate(path, 0),
    Path.unlink,
]


def all_made_again(folder: Path, make: Callable[[], None], names: list[str], told: pytest.CaptureFixture[str]) -> None:
    """Damage each file in another way; the same command mends it, and skips when nothing is wrong."""
    make()
    whole = {name: (folder / name).read_bytes() for name in names}
    told.readouterr()
    make()
    assert "; skipped" in told.readouterr().out
    for name, act in zip(names, cycle(ACTS), strict=False):
        act(folder / name)
        make()
        assert (folder / name).read_bytes() == whole[name], name


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data dir, dump and speech of two clips, with what the shipped model looks at."""
    folder = tmp_path_factory.mktemp("made")
    clips = synthetic_clips(2)
    make_experiment(folder, clips, iterations=1)
    frames = {name: encode(clip.crops[:, 8:104, 8:104]) for name, clip in clips.items()}
    write_kind(folder / "dump/mouth", frames, {name: len(clip.crops) for name, clip in clips.items()}, {"size": 96})
    return folder


def test_fault_A14_speech_is_made_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = root / "spoken"

    def make() -> None:
        options = {"dump": root / "dump", "vocoder": "griffin-lim:1", "controls": ("real_mel",)}
        synthesize(Path("grid-s1-parallel"), root / "data/tiny/test", out, **options)

    names = [
        "generated/s1-clip0.wav",
        "real_mel/s2-clip1.wav",
        "mels/generated/feats.scp",
        "data/wav.scp",
        "data/real_mel/wav.scp",
    ]
    all_made_again(out, make, names, capsys)
    # An earlier version listed the generated speech alone: what it spoke is listed without being spoken again.
    for system in ("generated", "real_mel"):
        shutil.rmtree(out / "data" / system)
    rows = (out / ".sizes").read_text().splitlines(keepends=True)
    (out / ".sizes").write_text(
        "".join(row for row in rows if "data/generated/" not in row and "data/real_mel/" not in row)
    )
    capsys.readouterr()
    make()
    assert "; skipped" in capsys.readouterr().out
    assert sorted(DataDir(out / "data" / "real_mel").wav) == ["s1-clip0", "s2-clip1"]


def test_speech_of_an_earlier_model_does_not_stay_beside_that_of_another(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`score` takes every folder of speech. What the verb did not make stays, whatever its name."""
    out = root / "retrained"

    def make(*controls: str) -> None:
        options = {"dump": root / "dump", "vocoder": "griffin-lim:1", "controls": controls}
        synthesize(Path("grid-s1-parallel"), root / "data/tiny/test", out, **options)

    make("real_mel")
    for own in ("mismatched", "recorded", "data/recorded", "mels/recorded"):  # there are no mels of `mismatched`
        shutil.copytree(out / "generated", out / own)
    assert list(find_systems(out)) == ["generated", "real_mel", "mismatched", "recorded"]
    make()
    assert not [*out.rglob("real_mel")]
    assert list(find_systems(out)) == ["generated", "mismatched", "recorded"]
    for own in ("data/recorded", "mels/recorded"):
        assert (out / own / "s1-clip0.wav").exists()
    # Also where nothing is to be made, as after an earlier version; what a link leads to stays.
    shutil.copytree(out / "generated", root / "elsewhere")
    (out / "mean_mel").symlink_to(root / "elsewhere")
    shutil.copytree(out / "data/generated", out / "data/mean_mel")
    capsys.readouterr()
    make()
    assert "; skipped" in capsys.readouterr().out
    assert list(find_systems(out)) == ["generated", "mismatched", "recorded"]
    assert (root / "elsewhere/s1-clip0.wav").exists()


def test_fault_A14_scores_are_made_again(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = root / "scores"

    def make() -> None:
        score(root / "dump/audio", root / "exp/tiny_parallel/wav/test", out=out, nj=1, resamples=50)

    all_made_again(out, make, ["clips.tsv", "summary.json", "table.md"], capsys)
