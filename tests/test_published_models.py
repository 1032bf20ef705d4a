"""Published lip readers on our networks, against golden numbers of the code behind them, with small random weights."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lipsound2.models.asr.language_model import LanguageModelConfig, TransformerLM
from lipsound2.models.asr.lip_reader import LipEncoder, LipReaderConfig
from lipsound2.models.asr.recognizer import Recognizer
from lipsound2.published import visual_speech

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "reference" / "published_golden.npz"
CLASSES, WIDTH, HEADS, INSIDE, LAYERS, KERNEL = 41, 64, 4, 128, 2, 31
BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def drawn(key: str, *shape: int) -> Tensor:
    """The tensor of the state dict that the golden numbers were made with."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    x = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("running_var"):
        x = 1 + 0.5 * np.tanh(x)
    elif len(shape) > 1:
        x = x / math.sqrt(math.prod(shape[1:]))
    else:
        x = 0.1 * x if key.endswith(("running_mean", "bias")) else 1 + 0.2 * np.tanh(x)
    return torch.from_numpy(x.astype(np.float32))


def reader_state() -> dict[str, Tensor]:
    """The state dict of a small lip reader, by the names of the published code."""
    state: dict[str, Tensor] = {}

    def add(key: str, *shape: int) -> None:
        state[key] = drawn(key, *shape)

    def linear(key: str, outputs: int, inputs: int) -> None:
        add(f"{key}.weight", outputs, inputs)
        add(f"{key}.bias", outputs)

    def norm(key: str, width: int = WIDTH, batch: bool = False) -> None:
        for name in BATCH_NORM if batch else BATCH_NORM[:2]:
            add(f"{key}.{name}", width)

    add("encoder.frontend.frontend3D.0.weight", 64, 1, 5, 7, 7)
    norm("encoder.frontend.frontend3D.1", 64, batch=True)
    inputs = 64
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            name = f"encoder.frontend.trunk.layer{stage + 1}.{block}"
            add(f"{name}.conv1.weight", width, inputs, 3, 3)
            add(f"{name}.conv2.weight", width, width, 3, 3)
            norm(f"{name}.bn1", width, batch=True)
            norm(f"{name}.bn2", width, batch=True)
            if inputs != width:
                add(f"{name}.downsample.0.weight", width, inputs, 1, 1)
                norm(f"{name}.downsample.1", width, batch=True)
            inputs = width
    linear("encoder.embed.0", WIDTH, 512)
    for number in range(LAYERS):
        name = f"encoder.encoders.{number}"
        for part in ("q", "k", "v", "out"):
            linear(f"{name}.self_attn.linear_{part}", WIDTH, WIDTH)
        add(f"{name}.self_attn.linear_pos.weight", WIDTH, WIDTH)
        for part in ("u", "v"):
            add(f"{name}.self_attn.pos_bias_{part}", HEADS, WIDTH // HEADS)
        for module in ("feed_forward_macaron", "feed_forward"):
            linear(f"{name}.{module}.w_1", INSIDE, WIDTH)
            linear(f"{name}.{module}.w_2", WIDTH, INSIDE)
        for module, shape in (
            ("pointwise_cov1", (2 * WIDTH, WIDTH, 1)),
            ("depthwise_conv", (WIDTH, 1, KERNEL)),
            ("pointwise_cov2", (WIDTH, WIDTH, 1)),
        ):
            add(f"{name}.conv_module.{module}.weight", *shape)
            add(f"{name}.conv_module.{module}.bias", shape[0])
        norm(f"{name}.conv_module.norm", batch=True)
        for which in ("norm_ff_macaron", "norm_mha", "norm_conv", "norm_ff", "norm_final"):
            norm(f"{name}.{which}")
    norm("encoder.after_norm")
    add("decoder.embed.0.weight", CLASSES, WIDTH)
    for number in range(LAYERS):
        name = f"decoder.decoders.{number}"
        for attention in ("self_attn", "src_attn"):
            for part in ("q", "k", "v", "out"):
                linear(f"{name}.{attention}.linear_{part}", WIDTH, WIDTH)
        linear(f"{name}.feed_forward.w_1", 96, WIDTH)
        linear(f"{name}.feed_forward.w_2", WIDTH, 96)
        for which in ("norm1", "norm2", "norm3"):
            norm(f"{name}.{which}")
    norm("decoder.after_norm")
    linear("decoder.output_layer", CLASSES, WIDTH)
    linear("ctc.ctc_lo", CLASSES, WIDTH)
    return state


def language_state() -> dict[str, Tensor]:
    """Likewise, of a small language model."""
    state = {"embed.weight": drawn("embed.weight", CLASSES, 32)}
    shapes = {"encoder.embed.0": (WIDTH, 32), "encoder.embed.1": (WIDTH,), "encoder.after_norm": (WIDTH,)}
    shapes["decoder"] = (CLASSES, WIDTH)
    for number in range(LAYERS):
        name = f"encoder.encoders.{number}"
        shapes |= {f"{name}.self_attn.linear_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "out")}
        shapes |= {f"{name}.feed_forward.w_1": (96, WIDTH), f"{name}.feed_forward.w_2": (WIDTH, 96)}
        shapes |= {f"{name}.norm_mha": (WIDTH,), f"{name}.norm_ff": (WIDTH,)}
    for name, shape in shapes.items():
        state |= {f"{name}.weight": drawn(f"{name}.weight", *shape), f"{name}.bias": drawn(f"{name}.bias", shape[0])}
    return state


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    if not GOLDEN.is_file():
        pytest.skip(f"{GOLDEN.name} is not at hand; it belongs beside the real clips, in shared/reference")
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


def network(legacy: bool) -> Recognizer:
    found = visual_speech.reader(reader_state(), "made up", legacy=legacy)
    config = LipReaderConfig(**found.config)
    model = Recognizer(LipEncoder(config), config, CLASSES - 1)
    model.load_state_dict(found.tensors)
    return model.eval()


def frames() -> Tensor:
    return torch.from_numpy(np.random.default_rng(7).integers(0, 256, (25, 96, 96), np.uint8))[None]


@pytest.mark.parametrize("positions", ["latest", "legacy"])
@torch.no_grad()
def test_states_and_scores_are_the_published_ones(golden: dict[str, np.ndarray], positions: str) -> None:
    model = network(positions == "legacy")
    length = torch.tensor([25])
    assert model.encoder.trunk is not None
    assert np.abs(model.encoder.trunk(frames(), length)[0].numpy() - golden["frontend"]).max() < 1e-4
    output = model(frames(), length)
    assert np.abs(output.states[0].numpy() - golden[f"{positions}_states"]).max() < 1e-4
    assert output.log_probs.shape == (1, 25, CLASSES - 1), "the boundary is never written"
    assert np.abs(output.log_probs[0].numpy() - golden[f"{positions}_ctc"][:, :-1]).max() < 1e-4
    tokens = torch.tensor([[CLASSES - 1, *golden["tokens"].tolist()]])
    assert model.decoder is not None
    scores = model.decoder(tokens, torch.tensor([7]), output.states, length)[0].log_softmax(-1)
    assert np.abs(scores.numpy() - golden[f"{positions}_decoder"]).max() < 1e-4


@torch.no_grad()
def test_the_language_model_is_the_published_one(golden: dict[str, np.ndarray]) -> None:
    found = visual_speech.language_model(language_state(), "made up", heads=HEADS)
    model = TransformerLM(LanguageModelConfig(**found.config), CLASSES - 1)
    model.load_state_dict(found.tensors)
    scores = model.eval()(torch.tensor([[CLASSES - 1, *golden["tokens"].tolist()]]))[0].log_softmax(-1)
    assert np.abs(scores.numpy() - golden["lm"]).max() < 1e-4


@pytest.mark.parametrize("legacy", [False, True])
@torch.no_grad()
def test_states_do_not_depend_on_batch_mates(legacy: bool) -> None:
    model = network(legacy)
    clips = torch.cat([frames(), frames().flip(1)])
    lengths = torch.tensor([25, 9])
    together = model(clips, lengths).states
    for row, length in enumerate(lengths.tolist()):
        alone = model(clips[row : row + 1, :length], lengths[row : row + 1]).states[0]
        assert (together[row, :length] - alone).abs().max() < 1e-5
        assert not together[row, length:].any()
