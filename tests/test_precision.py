"""Readers in a lower precision, and weights that are mapped: against the published golden numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.published_weights import SMALL, SMALL_LM, language_state, reader_state
from torch import nn

import lipsound2
from lipsound2 import SearchOptions, experiment
from lipsound2.errors import LipsoundError
from lipsound2.models import processor
from lipsound2.models.modules.lowered import HalfLinear, Int8Linear
from lipsound2.published.avsr import convert_avsr
from lipsound2.tasks.recognize import Recognize

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "reference" / "published_golden.npz"
# The largest difference of states and log-probabilities; found: 2e-6, 0.018 and 0.067.
CLOSE = {"fp32": 1e-4, "bf16": 0.04, "int8": 0.15}


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("packs")
    units = ["<unk>", *(f"\u2581X{number}" for number in range(SMALL.classes - 3))]
    (folder / "units.txt").write_text("".join(f"{piece} {n}\n" for n, piece in enumerate(units, start=1)))
    (folder / "lm.json").write_text(f'{{"head": {SMALL_LM.heads}}}')
    for name, state in (("reader", reader_state()), ("lm", language_state())):
        torch.save(state, folder / f"{name}.pth")
        config = None if name == "reader" else folder / "lm.json"
        convert_avsr(folder / f"{name}.pth", folder / name, tokens=folder / "units.txt", config=config)
    return folder / "reader", folder / "lm"


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_golden_numbers_in_each_precision(packs: tuple[Path, Path], precision: str) -> None:
    if not GOLDEN.is_file():
        pytest.skip(f"{GOLDEN.name} is not at hand; it belongs beside the real clips, in shared/reference")
    with np.load(GOLDEN) as golden:
        reader = lipsound2.load(packs[0], search=SearchOptions(lm=packs[1]), precision=precision)
        clip = np.random.default_rng(7).integers(0, 256, (25, 96, 96), np.uint8)
        states, tokens = reader.encode(clip), golden["tokens"].tolist()
        found = {
            "states": states,
            "ctc": reader.ctc_log_probs(states),
            "decoder": reader.decoder_log_probs(states, tokens),
        }
        for name, values in found.items():
            assert np.abs(values.numpy() - golden[f"latest_{name}"]).max() < CLOSE[precision], name
        assert np.abs(reader.lm_log_probs(tokens).numpy() - golden["lm"]).max() < CLOSE[precision]
        # The texts of random weights are nearly equal in score, so that only those which weigh CTC most are the same.
        tokens, score = reader.search(states, 5, 0.5)
        assert tokens == [token for token in golden["latest_beam_ctc"].tolist() if token != SMALL.classes - 1]
        assert score == pytest.approx(float(golden["latest_beam_ctc_score"]), abs=CLOSE[precision])


def test_rows_of_int8_do_not_depend_on_each_other() -> None:
    torch.manual_seed(1)
    linear = nn.Linear(96, 200)
    x = torch.randn(3, 5, 96) * torch.tensor([1.0, 100.0, 0.01])[:, None, None]
    for lowered, close in ((HalfLinear(linear.weight, linear.bias), 0.01), (Int8Linear(linear.weight, None), 0.02)):
        wanted = linear(x) if lowered.bias is not None else x @ linear.weight.T
        assert ((lowered(x) - wanted).norm(dim=2) / wanted.norm(dim=2)).max() < close
    assert torch.equal(lowered(x)[1, 2], lowered(x[1:2, 2:3])[0, 0])
    assert not lowered(torch.zeros(1, 96)).any()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists what is mapped")
def test_weights_are_mapped_or_lowered(packs: tuple[Path, Path]) -> None:
    for precision in ("fp32", "bf16", "int8"):
        network = experiment.load(packs[0], task=Recognize, precision=precision).model
        mapped = str(packs[0] / "model.safetensors") in Path("/proc/self/maps").read_text()
        assert mapped == (precision == "fp32")
        assert any(isinstance(module, nn.Linear) for module in network.modules()) == (precision == "fp32")


def test_auto_is_for_large_models_where_the_processor_is_fast(
    packs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "bf16_speed", lambda: 2.0)
    assert experiment.load(packs[0], precision="auto").precision == "fp32", "it is small"
    monkeypatch.setattr(experiment, "_LARGE", 1000)
    assert experiment.load(packs[0], precision="auto").precision == "bf16"
    monkeypatch.setattr(processor, "bf16_speed", lambda: 0.1)
    assert experiment.load(packs[0], precision="auto").precision == "fp32"


def test_precisions_that_do_not_fit_are_refused(packs: tuple[Path, Path]) -> None:
    with pytest.raises(LipsoundError, match="precision int8: is for processors, not for 'cuda'"):
        experiment.load(packs[0], "cuda", precision="int8")
    with pytest.raises(LipsoundError, match="is a lip-to-speech model, which has no precision"):
        lipsound2.load("grid-s1-parallel", precision="bf16")
    with pytest.raises(LipsoundError, match=r"--precision bf16 is for recognizers trained with lipsound2"):
        lipsound2.load("pocketsphinx:grid", precision="bf16")
