"""WaveGlow: the published size, there and back without loss, the determinant, the same noise for the same frames."""

from __future__ import annotations

import pytest
import torch

from lipsound2.audio.mel import MELS
from lipsound2.errors import LipsoundError
from lipsound2.inference import windows
from lipsound2.inference.vocoders import network_vocoder
from lipsound2.models.vocoders.hifigan import fold_norms
from lipsound2.models.vocoders.waveglow import WaveGlow, WaveGlowConfig, flow_loss, noise_of

SMALL = WaveGlowConfig(flows=6, early_every=2, layers=2, channels=8)


def lively(config: WaveGlowConfig, mel: str = "fine") -> WaveGlow:
    """A network whose flows change something: their last layers begin with zeros."""
    torch.manual_seed(0)
    model = WaveGlow(config, MELS[mel]).eval()
    for coupling in model.couplings:
        torch.nn.init.normal_(coupling.last.weight, 0.0, 0.1)
    return model


def test_the_size_is_the_published_one() -> None:
    model = WaveGlow(WaveGlowConfig(), MELS["paper"])
    fold_norms(model)
    assert sum(parameter.numel() for parameter in model.parameters()) == 87_731_816


@pytest.mark.parametrize("mel", MELS)
def test_there_and_back(mel: str) -> None:
    model = lively(SMALL, mel)
    waveform, spectrum = 0.1 * torch.randn(2, 12 * MELS[mel].hop), torch.randn(2, 12, 80)
    noise, _ = model.analyze(waveform, spectrum)
    assert noise.shape == (2, 8, 12 * MELS[mel].hop // 8)
    assert (model.synthesize(noise, spectrum) - waveform).abs().max() < 1e-5
    assert (noise.transpose(1, 2).flatten(1) - waveform).abs().max() > 0.01  # something happened on the way


def test_the_volume_is_the_determinant_of_the_change() -> None:
    model = lively(SMALL).double()
    waveform, spectrum = 0.1 * torch.randn(1, 160, dtype=torch.float64), torch.randn(1, 1, 80, dtype=torch.float64)

    def change(one: torch.Tensor) -> torch.Tensor:
        return model.analyze(one[None], spectrum)[0].flatten()

    wanted = torch.linalg.slogdet(torch.autograd.functional.jacobian(change, waveform[0]))[1]
    noise, volume = model.analyze(waveform, spectrum)
    assert float(volume.detach()) == pytest.approx(float(wanted), rel=1e-4)
    loss = flow_loss(noise, volume, 0.5)
    assert float(loss.detach()) == pytest.approx(2 * float(noise.square().sum().detach()) - float(wanted), rel=1e-4)


def test_a_frame_has_its_noise_wherever_the_piece_begins() -> None:
    whole = noise_of(0, 600, 160)
    assert torch.equal(noise_of(250, 300, 160), whole[250 * 160 : 550 * 160])
    assert 0.98 < float(whole.std()) < 1.02


def test_pieces_are_spoken_like_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively(SMALL)
    spectrum = torch.randn(2, 90, 80)
    with torch.inference_mode():
        whole = model(spectrum)
    assert whole.std() > 0.1
    speak = network_vocoder(model, MELS["fine"])
    for chunk in (windows.CHUNK, 20):
        monkeypatch.setattr(windows, "CHUNK", chunk)
        for mel, wanted in zip(spectrum.numpy(), whole.numpy(), strict=True):
            assert abs(speak.whole(mel) - wanted).max() < 1e-4


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(LipsoundError, match="8 less 2 after every 2 of 12 flows leaves -2"):
        WaveGlowConfig(early_every=2)
    with pytest.raises(LipsoundError, match="the hop of the mel 'fine', 160, is no multiple of 12"):
        WaveGlow(WaveGlowConfig(group=12), MELS["fine"])
