"""LipSound2: its sizes, independence of batch mates, the loop's gradients, scheduled sampling, priors and stopping."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lipsound2.errors import LipsoundError
from lipsound2.models.lipsound2 import LipSound2, LipSound2Config
from lipsound2.models.modules.face_encoder import FaceEncoder, with_period
from lipsound2.models.modules.layers import MaskedBatchNorm, packed
from lipsound2.models.tacotron.attention import energy_bias
from lipsound2.models.tacotron.attention_loop import AttentionMemory, LoopWeights, attention_loop

CONF = Path(__file__).resolve().parents[1] / "egs" / "grid" / "conf"
SMALL = LipSound2Config(
    face_size=72,
    encoder_channels=(4, 8, 8),
    encoder_lstm=8,
    attention_lstm=24,
    attention_width=12,
    location_channels=4,
    location_kernel=7,
    prenet=(16, 12),
    decoder_lstm=20,
    postnet_channels=16,
)
DIMS = 5


@pytest.fixture(autouse=True)
def few_threads() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def network(ratio: float = 2.5, **changes: object) -> LipSound2:
    """A small network whose batch norms have seen something."""
    model = LipSound2(dataclasses.replace(SMALL, **changes), dims=DIMS, ratio=ratio)
    for module in model.modules():
        if isinstance(module, MaskedBatchNorm):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


def clips(model: LipSound2, *lengths: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random clips padded with rubbish."""
    frames = torch.tensor(lengths)
    video = torch.randint(0, 256, (len(lengths), max(lengths), 72, 72), dtype=torch.uint8)
    sizes = model.feature_lengths_of(frames)
    return video, frames, torch.randn(len(lengths), int(sizes.max()), DIMS), sizes


def test_the_paper_s_sizes() -> None:
    model = LipSound2(LipSound2Config())
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert counts == {"encoder": 1_515_360, "decoder": 16_190_352, "postnet": 4_346_016}  # about 22.1 M in all
    states, places = model.eval().encoder(torch.zeros(1, 3, 112, 112, dtype=torch.uint8), torch.tensor([3]))
    assert states.shape == (1, 4, 256)  # the visual period is the fourth
    assert places.tolist() == [4]


@pytest.mark.parametrize(("ratio", "reduction"), [(2.5, 1), (4.0, 4), (2.5, 3)])
def test_a_clip_alone_equals_the_clip_in_a_batch(ratio: float, reduction: int) -> None:
    model = network(ratio, reduction=reduction, attention_prior_sigma=3.0)
    video, frames, target, sizes = clips(model, 11, 6, 3)
    taught, spoken = model(video, frames, target, sizes), model.generate(video, frames)
    assert spoken.feature_lengths.tolist() == sizes.tolist()
    for b, (n, size) in enumerate(zip(frames.tolist(), sizes.tolist(), strict=True)):
        alone = video[b : b + 1, :n], frames[b : b + 1]
        single = model(*alone, target[b : b + 1, :size], sizes[b : b + 1])
        torch.testing.assert_close(single.features[0], taught.features[b, :size], atol=1e-5, rtol=0)
        torch.testing.assert_close(single.before_postnet[0], taught.before_postnet[b, :size], atol=1e-5, rtol=0)
        assert taught.features[b, size:].abs().sum() == 0
        speech = model.generate(*alone)
        torch.testing.assert_close(speech.features[0], spoken.features[b, :size], atol=1e-5, rtol=0)
        steps = -(-size // reduction)
        assert len(spoken.attention(b)) == len(speech.attention(0)) == steps
        torch.testing.assert_close(speech.alignment[0], spoken.alignment[b, :steps, : n + 1], atol=1e-5, rtol=0)


def test_speaking_is_teaching_with_its_own_output() -> None:
    model = network(4.0, reduction=4)
    video, frames, _, sizes = clips(model, 6, 6)
    spoken = model.generate(video, frames)
    states, bias, _ = model._encode(video, frames, 6)
    own = model.decoder.generate(states, bias)[0].features
    taught = model(video, frames, own, sizes)
    torch.testing.assert_close(taught.before_postnet, own, atol=1e-5, rtol=0)
    torch.testing.assert_close(taught.features, spoken.features, atol=1e-5, rtol=0)


def test_a_padded_batch_trains_like_its_clips_alone() -> None:
    # No dropout, so that what is left of training mode is batch norm: its statistics must not see padding.
    quiet = {"encoder_dropout": 0.0, "prenet_dropout": 0.0, "decoder_dropout": 0.0, "postnet_dropout": 0.0}
    model = network(4.0, **quiet).train()
    video, frames, target, sizes = clips(model, 7, 7)
    fresh = network(4.0, **quiet).train()
    fresh.load_state_dict(model.state_dict())
    rubbish = torch.randint(0, 256, (2, 3, 72, 72), dtype=torch.uint8)
    padded = fresh(torch.cat([video, rubbish], 1), frames, torch.cat([target, torch.ones(2, 12, DIMS)], 1), sizes)
    exact = model(video, frames, target, sizes).features
    torch.testing.assert_close(padded.features[:, :28], exact, atol=1e-4, rtol=0)
    norms = [[m.running_mean for m in which.modules() if isinstance(m, MaskedBatchNorm)] for which in (model, fresh)]
    torch.testing.assert_close(norms[0], norms[1], atol=1e-5, rtol=0)


def test_masked_batch_norm_is_batch_norm_of_what_is_valid() -> None:
    ours, theirs = MaskedBatchNorm(3), nn.BatchNorm1d(3)
    x = torch.randn(2, 3, 5, requires_grad=True)
    valid = torch.tensor([[True] * 5, [True, True, False, False, False]])
    theirs_out = theirs(x.transpose(1, 2)[valid])
    out = ours(x, valid)
    torch.testing.assert_close(out.transpose(1, 2)[valid], theirs_out)
    assert out[1, :, 2:].abs().sum() == 0
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    (out * torch.randn_like(out)).sum().backward()
    assert x.grad[1, :, 2:].abs().sum() == 0


def test_gradients_of_the_attention_loop() -> None:
    T, B, P, H, E, A, K = 3, 2, 5, 2, 3, 3, 3
    shapes = [(T, B, 4 * H), (4 * H, H + E), (A, H), (A, 2, K), (A,), (B, P, E), (B, P, A)]
    arguments = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    bias = energy_bias(torch.tensor([5, 3]), P, T, 1.0, sigma=2.0).double()

    def call(gates: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, states: Tensor, keys: Tensor) -> object:
        return attention_loop(gates, LoopWeights(a, b, c, d), AttentionMemory(states, keys, bias))

    assert torch.autograd.gradcheck(call, arguments)
    with torch.no_grad():
        kept_less = call(*arguments)
    torch.testing.assert_close(kept_less, tuple(x.detach() for x in call(*arguments)))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_recorded_loop_gives_the_same_gradients() -> None:
    model = network(4.0, reduction=4, decoder_dropout=0.0, encoder_dropout=0.0, prenet_dropout=0.0).cuda().train()
    found: dict[bool, list[list[Tensor]]] = {False: [], True: []}
    for length in (6, 4, 6):  # recorded, recorded, replayed
        batch = [tensor.cuda() for tensor in clips(model, length, length - 1)]
        for recorded in found:
            model.decoder.cuda_graph = recorded
            model.zero_grad()
            model(*batch).before_postnet.square().sum().backward()
            found[recorded].append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(found[True], found[False], atol=1e-4, rtol=1e-4)


def test_every_parameter_learns_and_takes_part_in_half_precision() -> None:
    model = network(4.0, reduction=2).train()
    video, frames, target, sizes = clips(model, 6, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        prediction = model(video, frames, target, sizes, scheduled_sampling=0.5)
    prediction.features.float().square().sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_feedback_mixes_own_output_in() -> None:
    model = network(4.0, prenet_dropout=0.0, decoder_dropout=0.0, encoder_dropout=0.0, postnet_dropout=0.0).train()
    video, frames, target, sizes = clips(model, 6, 6)
    fed: list[Tensor] = []
    model.decoder.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[2].detach()))
    chance = torch.Generator().manual_seed(1)
    model(video, frames, target, sizes, scheduled_sampling=0.5, generator=chance)
    true, mixed = fed
    taken = (true != mixed).any(2)
    assert not taken[0].any()  # step 0 is fed nothing either way
    assert 0.25 < taken[1:].float().mean() < 0.75
    prediction = model(video, frames, target, sizes)
    model(video, frames, target, sizes, scheduled_sampling=1.0)
    torch.testing.assert_close(fed[4], model.decoder.previous(prediction.before_postnet), atol=1e-5, rtol=0)
    model.eval()(video, frames, target, sizes, scheduled_sampling=1.0)
    assert len(fed) == 6  # outside training nothing but the truth is fed
    torch.testing.assert_close(fed[5], true)


def test_the_visual_period_follows_the_last_frame() -> None:
    video, frames = with_period(torch.zeros(2, 4, 72, 72, dtype=torch.uint8), torch.tensor([4, 2]))
    assert frames.tolist() == [5, 3]
    assert video[:, :, 0, 0].tolist() == [[0, 0, 0, 0, 255], [0, 0, 255, 0, 0]]
    encoder = FaceEncoder((4, 4, 4), 8, size=72, visual_period=False).eval()
    assert encoder(video, frames)[0].shape == (2, 5, 16)


def test_the_prior_is_centered_on_the_step_s_frame() -> None:
    frames = torch.tensor([8, 5])
    one_to_one = energy_bias(frames, 8, 8, 1.0, sigma=3.0)
    assert one_to_one[:, 0].argmax(1).tolist() == list(range(8))
    assert torch.all(one_to_one[:, 1, 5:] < -1e8)
    torch.testing.assert_close(one_to_one[2, 0, 5], torch.tensor(-0.5))  # one sigma away
    paper = energy_bias(frames, 8, 20, 1 / 2.5, sigma=3.0)
    assert paper[:5, 0].argmax(1).tolist() == [
        0,
        0,
        0,
        1,
        1,
    ]  # mel frame 2 lies half in either; its middle in video frame 0.5
    window = energy_bias(frames, 8, 8, 1.0, window=2)
    assert (window[4, 0] > -1e8).tolist() == [False, False, True, True, True, True, True, False]


def test_a_fading_prior_is_as_strong_in_speaking_as_in_training() -> None:
    model = network(4.0, reduction=4, attention_prior_sigma=1.0, attention_prior_until=0.5).train()
    video, frames, target, sizes = clips(model, 8)
    spread = []
    for progress in (0.0, 0.4, 0.5, 1.0):
        model.train()(video, frames, target, sizes, progress=progress)
        alignment = model.eval().generate(video, frames).alignment[0]
        place = torch.arange(9.0)
        middle = (alignment * place).sum(1, keepdim=True)
        spread.append(float((alignment * (place - middle) ** 2).sum(1).mean()))
    assert spread[0] < spread[1] < spread[2]
    assert spread[2] == pytest.approx(spread[3], rel=0.2)
    assert float(model.state_dict()["progress"]) == 1.0


def test_stopping_where_attention_rests_on_the_visual_period() -> None:
    # A very narrow prior forces the attention: one step a video frame, then it rests on the period for lack of choice.
    model = network(4.0, reduction=4, stop="period", max_steps=9, attention_prior_sigma=0.1)
    video, frames, _, _ = clips(model, 6, 4)
    spoken = model.generate(video, frames)
    assert spoken.feature_lengths.tolist() == [6 * 4, 4 * 4]
    assert spoken.features.shape[1] == 24
    # The steps that show that attention rests are no speech.
    assert [len(spoken.attention(clip)) for clip in (0, 1)] == [6, 4]
    endless = network(4.0, reduction=4, stop="period", max_steps=5)
    assert endless.generate(video, frames).feature_lengths.max() <= 20


@pytest.mark.parametrize(("ratio", "reduction"), [(2.5, 1), (4.0, 1), (4.0, 4), (2.5, 3)])
def test_a_clip_never_ends_before_the_features_of_one_video_frame(
    ratio: float, reduction: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less is no audio: a vocoder refuses a mel that is shorter than its window reaches."""

    def at_rest(places: Tensor, states: int, steps: int, *_: float) -> Tensor:
        last = torch.arange(states) == places[:, None] - 1
        return torch.where(last, 0.0, -1e9).expand(steps, -1, -1)

    monkeypatch.setattr("lipsound2.models.lipsound2.energy_bias", at_rest)
    for max_steps in (1, 20):
        model = network(ratio, reduction=reduction, stop="period", max_steps=max_steps)
        spoken = model.generate(*clips(model, 6, 4)[:2])
        least = -(-ratio // reduction) * reduction
        assert spoken.feature_lengths.tolist() == [least, least]
        assert spoken.features.shape[1] == least


def test_what_cannot_work_is_refused() -> None:
    model = network()
    video, frames, target, sizes = clips(model, 4)
    with pytest.raises(LipsoundError, match="generate"):
        model(video, frames)
    with pytest.raises(LipsoundError, match="wanted 72x72"):
        model(video[..., :70], frames, target, sizes)
    with pytest.raises(LipsoundError, match="visual_period"):
        LipSound2Config(stop="period", visual_period=False)
    with pytest.raises(LipsoundError, match="three numbers"):
        LipSound2Config(encoder_channels=(1, 2))
    with pytest.raises(LipsoundError, match="odd"):
        LipSound2Config(location_kernel=30)
    with pytest.raises(LipsoundError, match="face_size"):
        LipSound2Config(face_size=60)


def test_a_product_laid_out_beforehand() -> None:
    weight, x = torch.randn(33, 17), torch.randn(5, 17)
    torch.testing.assert_close(packed(weight, 5)(x), x @ weight.t(), atol=1e-5, rtol=1e-5)
    assert packed(weight.t(), 5)(torch.randn(5, 33)).shape == (5, 17)


@pytest.mark.parametrize("name", ["lipsound2", "lipsound2_small"])
def test_the_configs_build(name: str) -> None:
    from lipsound2.tasks import load_config

    network = load_config(CONF / f"{name}.yaml").task.network
    if name == "lipsound2":
        assert network == LipSound2Config()
    else:
        assert network.reduction == 4
        assert sum(p.numel() for p in LipSound2(network, ratio=4.0).parameters()) < 8e6
