"""Clips of any length: windows cover them, mels are joined without a seam; pairs of the control are fixed."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lipsound2.audio.mel_settings import MELS
from lipsound2.corpora.pairs import mismatched_pairs
from lipsound2.data.datadir import DataDir
from lipsound2.inference.lip_to_speech import windows_of
from lipsound2.inference.windows import OVERLAP, WINDOW, window_starts
from lipsound2.models.modules.regressor import Generated


class Local(torch.nn.Module):
    """Says of every video frame its mean brightness, in four frames, whatever stands beside it."""

    def __init__(self, drift: float = 0.0, said: float = 1.0) -> None:
        super().__init__()
        self.said = said  # share of a window after which it ends
        self.drift = torch.nn.Parameter(torch.tensor(drift))

    def generate(self, video, frames):
        place = torch.arange(4 * video.shape[1]) / 4
        level = video.float().mean(dim=(2, 3)).repeat_interleave(4, dim=1) + self.drift.detach() * place
        ends = (4 * frames * self.said).long()
        return Generated(level[:, : int(ends.max()), None].repeat(1, 1, 80), ends)


def experiment(drift: float = 0.0, said: float = 1.0) -> SimpleNamespace:
    assets = SimpleNamespace(ratio=4.0, mel=MELS["fine"])
    return SimpleNamespace(assets=assets, model=Local(drift, said), device=torch.device("cpu"))


@given(st.integers(1, 2000))
def test_windows_cover_a_clip_of_any_length_and_overlap(total):
    starts = window_starts(total)
    assert starts[0] == 0
    assert starts[-1] + WINDOW >= total
    for first, second in itertools.pairwise(starts):
        assert 0 < second - first <= WINDOW - OVERLAP
        assert second + WINDOW <= total


@pytest.mark.parametrize("total", [5, WINDOW, WINDOW + 1, 333])
def test_windows_that_agree_are_joined_without_a_trace(total):
    video_frames = np.random.default_rng(0).integers(0, 255, (total, 4, 4), np.uint8)
    mel = windows_of(experiment(), total).whole(video_frames)
    assert mel.shape == (4 * total, 80)
    assert mel[:, 0] == pytest.approx(np.repeat(video_frames.mean(axis=(1, 2)), 4), abs=1e-3)


@pytest.mark.parametrize("total", [WINDOW, 333])
def test_a_window_that_ends_early_is_silent_from_there_on(total):
    mel = windows_of(experiment(said=0.25), total).whole(np.full((total, 4, 4), 3, np.uint8))
    assert mel.shape == (4 * total, 80)
    assert mel[:WINDOW, 0] == pytest.approx(3)
    assert mel[WINDOW : 4 * (WINDOW - OVERLAP), 0] == pytest.approx(MELS["fine"].silence)
    assert mel[-2 * WINDOW :, 0] == pytest.approx(MELS["fine"].silence)


def test_windows_that_disagree_are_faded_into_one_another():
    """A model that drifts within a window jumps back by 75 at each seam; faded, no step is near that."""
    mel = windows_of(experiment(drift=1.0), 300).whole(np.zeros((300, 4, 4), np.uint8))
    assert np.abs(np.diff(mel[:, 0])).max() < 2.0


def test_pairs_come_from_the_data_dir_or_from_a_fixed_turn(tmp_path: Path):
    ids = [f"{speaker}-c{number}" for speaker in ("s1", "s2") for number in range(5)]
    data = DataDir.write(tmp_path / "d", utt2spk={name: name[:2] for name in ids})
    pairs = mismatched_pairs(data, ids)
    assert set(pairs) == set(ids)
    assert sorted(pairs.values()) == sorted(ids)
    assert all(name != other and name[:2] == other[:2] for name, other in pairs.items())
    (tmp_path / "d" / "mismatched").write_text("s1-c0 s1-c3\ns1-c1 s1-gone\n")
    assert mismatched_pairs(DataDir(tmp_path / "d"), ids) == {"s1-c0": "s1-c3"}
