"""Beside torchaudio: our mel, MFCC, resampling and Griffin-Lim; its networks, untrained, as ears and targets.

`tools/torchaudio_check.sh` runs these; beside a CPU build of torch torchaudio cannot be imported, and they are skipped.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lipsound2.audio.acoustics import cepstrum, deltas
from lipsound2.audio.griffin_lim import griffin_lim
from lipsound2.audio.io import load_audio, write_wav
from lipsound2.audio.mel import MELS, MelConfig, magnitude_spectrogram, mel_spectrogram
from lipsound2.decoding.pretrained_asr import PRETRAINED_ASR
from lipsound2.features.representations import representation

try:
    import torchaudio
except (ImportError, OSError) as error:  # OSError: its compiled part wants CUDA's libraries
    pytest.skip(f"torchaudio cannot be imported ({error}); run tools/torchaudio_check.sh", allow_module_level=True)

pytestmark = pytest.mark.torchaudio
EVERY = pytest.mark.parametrize("config", MELS.values(), ids=MELS)


def voice(samples: int, rate: int = 16000) -> Tensor:
    """Something like a vowel with vibrato and a little breath."""
    time = torch.arange(samples, dtype=torch.float64) / rate
    turns = 120 * (time + 0.02 * torch.sin(2 * torch.pi * 3 * time))
    waveform = sum(torch.sin(2 * torch.pi * k * turns) / k for k in range(1, 40)) * 0.15
    noise = 0.01 * torch.randn(samples, generator=torch.Generator().manual_seed(1))
    return waveform.float() * (0.6 + 0.4 * torch.sin(2 * torch.pi * 2 * time).float()) + noise


def their_mel(waveform: Tensor, config: MelConfig) -> Tensor:
    """Log-mel (T, bands) by torchaudio, framed as ours."""
    padded = torch.nn.functional.pad(waveform[None], ((config.n_fft - config.hop) // 2,) * 2, mode="reflect")[0]
    transform = torchaudio.transforms.MelSpectrogram(
        sample_rate=config.sample_rate,
        n_fft=config.n_fft,
        win_length=config.window,
        hop_length=config.hop,
        f_min=config.fmin,
        f_max=config.fmax,
        n_mels=config.bands,
        power=1.0,
        center=False,
        norm="slaney",
        mel_scale="slaney",
    )
    return transform(padded).clamp_min(config.floor).log().T


@EVERY
def test_the_mel_is_theirs(config: MelConfig) -> None:
    waveform = voice(50 * 640)
    ours = mel_spectrogram(waveform, config)
    torch.testing.assert_close(ours, their_mel(waveform, config)[: len(ours)], atol=2e-4, rtol=0)


def test_cepstrum_and_slopes_are_theirs() -> None:
    waveform = voice(50 * 640)
    bands = their_mel(waveform, MelConfig(name="400", n_fft=512, window=400, bands=40))
    theirs = bands @ torchaudio.functional.create_dct(13, 40, "ortho")
    ours = deltas(cepstrum(waveform[None], window=400, order=13))[0]
    slopes = torchaudio.functional.compute_deltas(theirs.T, win_length=5)
    expected = torch.cat([theirs.T, slopes, torchaudio.functional.compute_deltas(slopes, win_length=5)]).T
    torch.testing.assert_close(ours, expected[: len(ours)], atol=2e-3, rtol=0)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_is_theirs(tmp_path: Path, rate: int) -> None:
    time = torch.arange(rate, dtype=torch.float64) / rate
    tones = (200.0, 1234.5, 3000.0) if rate < 16000 else (200.0, 1234.5, 3000.0, 6500.0)
    source = sum(0.2 * torch.sin(2 * torch.pi * tone * time) for tone in tones).float()
    write_wav(tmp_path / "a.wav", source.numpy(), rate)
    ours = torch.from_numpy(load_audio(tmp_path / "a.wav"))
    theirs = torchaudio.functional.resample(
        source, rate, 16000, lowpass_filter_width=64, rolloff=0.97, resampling_method="sinc_interp_kaiser", beta=8.0
    )
    middle = slice(1600, 14400)
    assert len(ours) >= 15999
    wrong = (ours[middle] - theirs[middle]).norm() / theirs[middle].norm()
    assert wrong < 1e-3, f"{20 * torch.log10(wrong):.0f} dB"


@EVERY
def test_griffin_lim_converges_as_far_as_theirs(config: MelConfig) -> None:
    waveform = voice(100 * config.hop)
    settings = {"n_fft": config.n_fft, "win_length": config.window, "hop_length": config.hop, "power": 1.0}
    analysis = torchaudio.transforms.Spectrogram(**settings)
    target = analysis(waveform)
    made = torchaudio.transforms.GriffinLim(**settings, n_iter=60, momentum=0.99, length=len(waveform))(target)
    theirs = float((analysis(made) - target).norm() / target.norm())
    target = magnitude_spectrogram(waveform, config)
    made = griffin_lim(target, config, iterations=60)
    ours = float((magnitude_spectrogram(made, config) - target).norm() / target.norm())
    print(f"{config.name}: spectral convergence {ours:.4f}, torchaudio's {theirs:.4f}")
    assert ours < 1.05 * theirs


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles give their networks with weights of no training, so nothing is fetched."""
    from torchaudio.pipelines._wav2vec2 import impl, utils

    def state(bundle: impl.Wav2Vec2Bundle, _: object) -> dict[str, Tensor]:
        torch.manual_seed(0)
        return utils._get_model(bundle._model_type, bundle._params).state_dict()

    for kind in (impl.Wav2Vec2Bundle, impl.Wav2Vec2ASRBundle):
        monkeypatch.setattr(kind, "_get_state_dict", state)


@pytest.mark.parametrize(
    "name", ["hubert:HUBERT_BASE:9", "wav2vec2:WAV2VEC2_BASE", "wavlm:WAVLM_BASE:3", "wavlm:WAVLM_LARGE:2"]
)
def test_bundles_are_targets(fresh: None, name: str) -> None:
    waveform = voice(30 * 640 + 17).numpy()
    found = representation(name)(waveform)
    assert found.shape == (30, 1024 if "LARGE" in name else 768)
    assert np.isfinite(found).all()
    assert found.std(axis=0).mean() > 0  # it hears that the audio changes


@pytest.mark.parametrize("name", ["WAV2VEC2_ASR_BASE_960H", "VOXPOPULI_ASR_BASE_10K_EN"])
def test_bundles_are_ears(fresh: None, name: str) -> None:
    heard = PRETRAINED_ASR["torchaudio"](name).recognize([voice(16000).numpy(), voice(8000).numpy()])
    assert len(heard) == 2
    assert all(set(told.text) <= set(" 'abcdefghijklmnopqrstuvwxyz") for told in heard)
    assert all(0 <= word.start < word.end <= 1.01 for told in heard for word in told.words)
