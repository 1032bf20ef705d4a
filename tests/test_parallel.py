"""The parallel model: shapes, masking, relative positions, learning."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from lipsound2.errors import LipsoundError
from lipsound2.models.modules.lip_trunk import LipTrunk, TrunkConfig
from lipsound2.models.modules.regressor import postfilter
from lipsound2.models.parallel import Parallel, ParallelConfig

SMALL = ParallelConfig(
    trunk_widths=(8, 16), width=32, layers=2, heads=2, kernel=5, max_relative_position=4, mel_width=16, mel_layers=1
)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def _video(*frames: int) -> tuple[Tensor, Tensor]:
    """Noise everywhere, the padding included: whatever leaks shows."""
    return torch.randint(0, 256, (len(frames), max(frames), 96, 96), dtype=torch.uint8), torch.tensor(frames)


@pytest.mark.parametrize(("ratio", "size"), [(4.0, 44), (2.5, 27), (1.0, 11)])
def test_shapes(ratio, size):
    model = Parallel(SMALL, dims=80, ratio=ratio)
    video, frames = _video(11, 8)
    prediction = model(video, frames)
    assert prediction.features.shape == (2, size, 80)
    assert prediction.features.dtype == torch.float32
    generated = model.eval().generate(video, frames)
    assert generated.feature_lengths.tolist() == [size, int(8 * ratio)]
    assert (prediction.features[1, int(8 * ratio) :] == 0).all()


@pytest.mark.parametrize("ratio", [4.0, 2.5])
def test_a_clip_alone_and_padded_in_a_batch(ratio):
    model = Parallel(SMALL, ratio=ratio).eval()
    # Statistics and biases away from their first values, so that masking has something to protect.
    for name, parameter in model.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    video, frames = _video(9, 14, 5)
    together = model.generate(video, frames)
    for i, n in enumerate(frames.tolist()):
        alone = model.generate(video[i : i + 1, :n], frames[i : i + 1])
        size = int(alone.feature_lengths)
        assert size == int(together.feature_lengths[i])
        torch.testing.assert_close(together.features[i, :size], alone.features[0, :size], atol=1e-5, rtol=1e-5)


def test_batch_statistics_do_not_see_padding():
    video, frames = _video(9, 4)
    trunks = [LipTrunk(TrunkConfig(size=64, trunk_widths=(8, 16), trunk_blocks=1)) for _ in range(2)]
    trunks[1].load_state_dict(trunks[0].state_dict())
    other = video.clone()
    other[1, 4:] = 255
    outputs = [trunk.train()(v, frames) for trunk, v in zip(trunks, (video, other), strict=True)]
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(trunks[0].norm.running_mean, trunks[1].norm.running_mean)


def test_place_in_the_clip_is_not_seen():
    """Away from the ends, a shifted clip gives the shifted result: positions are relative."""
    model = Parallel(SMALL).eval()
    for parameter in model.parameters():
        if parameter.dim() == 2 and parameter.shape[1] == 2 * SMALL.max_relative_position + 1:
            torch.nn.init.normal_(parameter, std=1.0)
    still = torch.full((1, 40, 96, 96), 90, dtype=torch.uint8)
    still[:, 18:22] = torch.randint(0, 256, (1, 4, 96, 96), dtype=torch.uint8)
    moved = torch.roll(still, 3, dims=1)
    n = torch.tensor([40])
    one, two = (model.generate(v, n).features for v in (still, moved))
    middle = slice(60, 100)
    # The edges of the clip still reach the middle through attention, faintly; absolute places would not be faint.
    together = (one[:, middle] - two[:, 72:112]).abs().max()
    apart = (one[:, middle] - two[:, middle]).abs().max()
    assert together < 0.1 * apart


@pytest.mark.parametrize("sizes", [{"trunk_context": 4}, {"trunk_widths": ()}])
def test_a_trunk_without_a_middle_or_a_stage_is_refused(sizes: dict) -> None:
    with pytest.raises(LipsoundError, match=r"trunk_widths, trunk_context: found .*, wanted a stage or more"):
        LipTrunk(TrunkConfig(**sizes))


def test_the_full_resnet_18_is_one_setting():
    trunk = LipTrunk(TrunkConfig())
    weights = sum(p.numel() for p in trunk.parameters())
    # ResNet-18 without its 7x7 stem (9,536 with its norm) and its classifier, and the 5x7x7 stem with its norm.
    assert weights == 11_176_512 - 9_536 + 64 * 5 * 7 * 7 + 128
    video, frames = _video(2)
    assert trunk.eval()(video, frames).shape == (1, 2, 512)


def test_it_learns_one_clip():
    model = Parallel(SMALL, dims=8)
    video, frames = _video(6)
    target = torch.randn(1, 24, 8)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = (model(video, frames, target).features - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_every_weight_gets_a_gradient():
    model = Parallel(ParallelConfig(**{**vars(SMALL), "drop_path": 0.0}))
    video, frames = _video(6, 9)
    model(video, frames).features.square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_sharpening_lifts_what_stands_out():
    features = torch.randn(2, 5, 80)
    assert postfilter(features, 1.0, 0.0) is features
    assert torch.allclose(postfilter(features, 1.3, 0.0), 1.3 * features)
    level = torch.full((1, 4, 80), 0.7)
    assert torch.allclose(postfilter(level, 1.0, 2.0), level, atol=1e-6)  # flat over frequency: nothing stands out
    peak = torch.zeros(1, 1, 80)
    peak[..., 40] = 1
    sharper = postfilter(peak, 1.0, 1.0)
    assert sharper[0, 0, 40] > 1.5
    assert (sharper[0, 0, [38, 39, 41, 42]] < 0).all()
    assert sharper[0, 0, :38].abs().max() == 0


def test_sharpening_is_for_speaking_alone():
    plain, sharp = (Parallel(dataclasses.replace(SMALL, postfilter_gain=c)) for c in (1.0, 1.5))
    sharp.load_state_dict(plain.state_dict())
    video, frames = _video(6)
    with torch.no_grad():
        assert torch.equal(plain.eval()(video, frames).features, sharp.eval()(video, frames).features)
        spoken = [model.generate(video, frames).features for model in (plain, sharp)]
    assert torch.allclose(spoken[1], 1.5 * spoken[0], atol=1e-5)  # the mean of a fresh network's features is 0
