"""LSE-C, LSE-D and UTMOS: by the published rules, safely loaded; what is missing is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.video_making import write_clip

from lipsound2.audio.mfcc import mfcc
from lipsound2.data.archive import ArchiveWriter
from lipsound2.data.datadir import DataDir
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.metrics import lse
from lipsound2.metrics.requested import compute, requested, scorer
from lipsound2.metrics.syncnet import SyncNet

FRAMES = 9


@pytest.fixture(scope="module")
def network() -> SyncNet:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return SyncNet().eval()


def test_layers_carry_the_published_names_and_sizes(network: SyncNet) -> None:
    sizes = {key: tuple(value.shape) for key, value in network.state_dict().items() if value.ndim > 1}
    heard = {0: (64, 1, 3, 3), 4: (192, 64, 3, 3), 8: (384, 192, 3, 3), 11: (256, 384, 3, 3), 14: (256, 256, 3, 3)}
    seen = {0: (96, 3, 5, 7, 7), 4: (256, 96, 1, 5, 5), 18: (512, 256, 1, 6, 6)}
    seen |= dict.fromkeys((8, 11, 14), (256, 256, 1, 3, 3))
    joined = {"0": (512, 512), "3": (1024, 512)}
    assert sizes == {
        **{f"netcnnaud.{place}.weight": size for place, size in (heard | {18: (512, 256, 5, 4)}).items()},
        **{f"netcnnlip.{place}.weight": size for place, size in seen.items()},
        **{f"{half}.{place}.weight": size for half in ("netfcaud", "netfclip") for place, size in joined.items()},
    }


# Of python_speech_features 0.6 on this audio as 16-bit numbers: the first, a middle and the last of 99 frames.
CEPSTRA = {
    0: [15.52725, 24.26279, 16.21745, 11.05878],
    50: [17.13791, 22.83727, 3.30665, -14.85019],
    -1: [17.31954, 10.44606, -17.38647, -32.89506],
}


def test_cepstra_are_those_of_the_package() -> None:
    time = np.arange(16000) / 16000
    waveform = 0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time) * np.sin(2 * np.pi * 3 * time)
    found = mfcc((waveform * 32767).astype(np.int16) / 32768)
    assert found.shape == (99, 13)
    for frame, wanted in CEPSTRA.items():
        assert found[frame, :4] == pytest.approx(wanted, abs=1e-4)


def test_silence_has_cepstra_too() -> None:
    assert mfcc(np.zeros(4000))[0] == pytest.approx([np.log(np.finfo(float).eps)] + [0] * 12, abs=1e-9)


def test_the_rule_on_vectors_that_belong_together() -> None:
    """At the right shift vectors meet themselves; elsewhere the distance is that of strangers."""
    vectors = torch.randn(60, 1024, generator=torch.Generator().manual_seed(0))
    confidence, distance = lse.lip_sync_error(vectors[5:55], vectors[2:52])  # the speech comes three video frames later
    assert distance == pytest.approx(3 / 50 * 32, abs=0.3)  # three windows lie beyond the end, where speech is zero
    assert confidence == pytest.approx(43.5 - distance, abs=1.5)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, network: SyncNet) -> Path:
    """A video whose video frame gets brighter, its data dir, its landmarks, and weights."""
    root = tmp_path_factory.mktemp("lse")
    shade = np.linspace(0, 90, 160)[None, :, None]
    frames = [np.full((120, 160, 3), 30 + 8 * number) + shade for number in range(FRAMES)]
    video = write_clip(root / "a.mp4", [frame.astype(np.uint8) for frame in frames], np.arange(FRAMES) / 25)
    DataDir.write(root / "data", utt2spk={"a": "a"}, video={"a": str(video)})
    points = np.random.default_rng(0).uniform((60, 40), (100, 80), (FRAMES, 68, 2)).astype(np.float32)
    points[:, 0], points[:, 1] = (60, 40), (100, 80)  # corners that stay
    (root / "dump/landmarks").mkdir(parents=True)
    with ArchiveWriter(root / "dump/landmarks/a.ark", root / "dump/landmarks/feats.scp") as writer:
        writer.write("a", np.concatenate([points.reshape(FRAMES, 136), np.ones((FRAMES, 1), np.float32)], axis=1))
    torch.save(network.state_dict(), root / "weights.model")
    return root


def test_faces_are_cut_around_the_landmarks(clip: Path) -> None:
    landmarks = np.concatenate([np.tile([[60, 40], [100, 80]], (34, 1)).reshape(-1), [1]])
    faces = list(lse.cut_faces(clip / "a.mp4", np.tile(landmarks, (FRAMES, 1)).astype(np.float32)))
    assert len(faces) == FRAMES
    assert faces[0].shape == (224, 224, 3)
    # The box: 40 wide, 60 high with the brow, so half its side is 30; it reaches 42 to the sides of x = 80.
    shade = np.linspace(0, 90, 160)
    assert faces[4].mean(axis=(0, 2))[[0, -1]] == pytest.approx(62 + shade[[38, 121]], abs=4)
    with pytest.raises(ClipFailure, match="7 video frames have landmarks, found 8 or more"):
        list(lse.cut_faces(clip / "a.mp4", np.tile(landmarks, (7, 1)).astype(np.float32)))


def test_a_clip_goes_through_at_once_as_its_windows_do(network: SyncNet) -> None:
    video_frames = torch.rand(3, 6, 224, 224, generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        whole = network.video_vectors(video_frames)
        assert whole.shape == (2, 1024)
        assert torch.allclose(whole[1], network.video_vectors(video_frames[:, 1:])[0], atol=1e-4)


def test_it_is_asked_for_by_its_weights(clip: Path) -> None:
    wanted = requested([f"lse:{clip / 'weights.model'}"], clip / "data", clip / "dump/landmarks")
    assert [path.name for path in wanted[0].inputs] == ["weights.model", "video.scp", "landmarks"]
    speech = np.random.default_rng(0).normal(0, 0.1, FRAMES * 640)
    found = compute(wanted, "a", speech, speech)
    assert not found.failures
    assert found.values["lse_d"] > 0
    assert found.values["lse_c"] >= 0
    unknown = compute(wanted, "b", speech, speech)
    assert (unknown.values, unknown.failures) == ({}, {"lse_c": "no-video", "lse_d": "no-video"})


class Harmful:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("harm"),)


def test_weights_that_are_none_are_told_and_run_nothing(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"netcnnaud.0.weight": Harmful()}, "bad.model")
    torch.save({"other": torch.zeros(1)}, "other.model")
    Path("text.model").write_text("weights")
    places = (clip / "data", clip / "dump/landmarks")
    for name in ("bad", "other", "text", "absent"):
        with pytest.raises(LipsoundError, match=rf"{name}.model: expected SyncNet's published weights"):
            requested([f"lse:{name}.model"], *places)
    assert not Path("harm").exists()
    with pytest.raises(
        LipsoundError, match=r"one of: estoi_speech, aligned, dnsmos, utmos\[:FOLDER\], secs\[:WEIGHTS\], lse:W"
    ):
        requested(["lse"], *places)
    with pytest.raises(LipsoundError, match="give their data dir"):
        requested([f"lse:{clip / 'weights.model'}"])


HUB = """
import torch
class Loudness(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(1))
    def forward(self, wave, rate):
        assert wave.ndim == 2 and rate == 16000
        return 1 + self.gain * wave.abs().mean(dim=1)
def utmos22_strong(pretrained=True):
    assert not pretrained
    return Loudness()
"""


def test_utmos_is_loaded_from_a_folder_where_there_is_no_net(tmp_path: Path) -> None:
    """Its place is taken by a network that tells the loudness: what is tested is how it is found, loaded and asked."""
    (tmp_path / "hubconf.py").write_text(HUB)
    with pytest.raises(LipsoundError, match="network or weights cannot be had"):
        requested([f"utmos:{tmp_path}"])
    torch.save({"gain": torch.full((1,), 10.0)}, tmp_path / "utmos22_strong_step7459_v1.pt")
    found = scorer(requested([f"utmos:{tmp_path}"])[0])("a", np.full(1600, 0.1), np.zeros(1600))
    assert found == pytest.approx({"utmos": 2.0})


def test_utmos_without_its_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(LipsoundError, match=r"without a net put both into one folder and give utmos:FOLDER"):
        requested([f"utmos:{tmp_path / 'absent'}"])
