"""Speaker embeddings: the arithmetic of the published encoder, its weights, and what is no reference."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.experiments import synthetic_clips
from helpers.speaker_encoders import write_encoder

from lipsound2.audio import speaker_embedding
from lipsound2.audio.io import load_audio, write_wav
from lipsound2.audio.speaker_embedding import SpeakerEmbedder, find_weights
from lipsound2.errors import ClipFailure, LipsoundError


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("ge2e"))


def plainly(waveform: np.ndarray, state: dict[str, torch.Tensor]) -> np.ndarray:
    """The embedding by the published arithmetic, one step after the other, in float64."""
    get = {name: tensor.double().numpy() for name, tensor in state.items()}
    audio = waveform.astype(np.float64)
    quiet = -30 - 20 * np.log10(np.sqrt(np.mean(audio**2)))
    audio *= 10 ** (max(0.0, quiet) / 20)
    frames = -(-(len(audio) + 1) // 160)
    starts = [*range(0, max(1, frames - 160 + 77 + 1), 77)]
    if len(starts) > 1 and (len(audio) - starts[-1] * 160) / 25600 < 0.75:
        starts.pop()
    audio = np.pad(audio, (200, 26000 + 160 * starts[-1]))
    low, high = 0.0, 15 + np.log(8) * 27 / np.log(6.4)  # 0 and 8 kHz in Slaney's mels
    mels = np.linspace(low, high, 42)
    hertz = np.where(mels < 15, 200 / 3 * mels, 1000 * np.exp(np.log(6.4) / 27 * (mels - 15)))
    bins, bank = np.arange(201) * 40.0, np.zeros((40, 201))
    for band in range(40):
        left, top, right = hertz[band : band + 3]
        bank[band] = np.clip(np.minimum((bins - left) / (top - left), (right - bins) / (right - top)), 0, None)
        bank[band] *= 2 / (right - left)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    total = np.zeros(256)
    for start in starts:
        x = [
            bank @ np.abs(np.fft.rfft(window * audio[160 * s : 160 * s + 400])) ** 2 for s in range(start, start + 160)
        ]
        for layer in range(3):
            hidden, cell = np.zeros(256), np.zeros(256)
            for step, given in enumerate(x):
                gates = get[f"lstm.weight_ih_l{layer}"] @ given + get[f"lstm.bias_ih_l{layer}"]
                gates += get[f"lstm.weight_hh_l{layer}"] @ hidden + get[f"lstm.bias_hh_l{layer}"]
                enter, forget, fresh, leave = gates.reshape(4, 256)
                cell = cell / (1 + np.exp(-forget)) + np.tanh(fresh) / (1 + np.exp(-enter))
                hidden = np.tanh(cell) / (1 + np.exp(-leave))
                x[step] = hidden
        found = np.maximum(0, get["linear.weight"] @ x[-1] + get["linear.bias"])
        total += found / np.linalg.norm(found)
    return total / np.linalg.norm(total)


@pytest.mark.parametrize(("seconds", "gain"), [(1.1, 1.0), (2.0, 0.01), (3.7, 3.0)])
def test_an_embedding_is_that_of_the_published_arithmetic(weights, seconds, gain):
    """Quiet, loud, shorter than a window, with and without a last window."""
    one, other = (clip.waveform for clip in list(synthetic_clips(2).values()))
    waveform = gain * np.concatenate([one, other])[: round(16000 * seconds)]
    state = torch.load(weights, weights_only=True)["model_state"]
    found = SpeakerEmbedder(weights)(waveform)
    assert found == pytest.approx(plainly(waveform, state), abs=2e-4)
    assert np.abs(found - SpeakerEmbedder(weights)(one)).max() > 2e-3 or seconds < 2


def test_long_audio_goes_through_in_pieces(weights, monkeypatch):
    waveform = np.concatenate([clip.waveform for clip in synthetic_clips(4).values()])
    whole = SpeakerEmbedder(weights)(waveform)
    monkeypatch.setattr(speaker_embedding, "_AT_ONCE", 2)
    assert SpeakerEmbedder(weights)(waveform) == pytest.approx(whole, abs=1e-6)


def published() -> Path:
    """The published weights: those that LIPSOUND2_VOICE_ENCODER names, or of the installed package."""
    named = os.environ.get("LIPSOUND2_VOICE_ENCODER")
    try:
        return find_weights(Path(named) if named else None)
    except LipsoundError as missing:
        pytest.skip(str(missing))


def test_real_speakers_are_told_apart(grid):
    """Two clips of one GRID speaker are more alike than clips of two, with the published weights."""
    embed = SpeakerEmbedder(published())
    found = {
        name: [embed(load_audio(path)) for path in sorted((grid / name).glob("*.mp4"))[:2]] for name in ("s1", "s4")
    }
    same = [float(one @ other) for one, other in found.values()]
    others = [float(one @ other) for one in found["s1"] for other in found["s4"]]
    assert min(same) > 0.75 > max(others)


def test_the_wheel_is_read_as_the_file_in_it(weights, tmp_path):
    wheel = tmp_path / "Resemblyzer-0.1.4-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(weights, "resemblyzer/pretrained.pt")
    waveform = synthetic_clips(1)["s1-clip0"].waveform
    assert np.array_equal(SpeakerEmbedder(wheel)(waveform), SpeakerEmbedder(weights)(waveform))


def test_weights_that_are_not_there_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LipsoundError, match=r"missing: pip install --no-deps resemblyzer==0.1.4 .* --voice-encoder"):
        find_weights()
    with pytest.raises(LipsoundError, match=r"gone.whl: no such file; wanted the wheel of resemblyzer"):
        find_weights(tmp_path / "gone.whl")
    torch.save({"lstm.weight_ih_l0": torch.zeros(4, 4)}, tmp_path / "other.pt")
    with pytest.raises(LipsoundError, match=r"other.pt: no weights of GE2E's speaker encoder: 'lstm.weight_ih_l0'"):
        SpeakerEmbedder(tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(LipsoundError, match=r"text.pt: no plain state dict of tensors"):
        SpeakerEmbedder(tmp_path / "text.pt")


def test_what_is_no_reference_is_told(weights, tmp_path):
    embed, rng = SpeakerEmbedder(weights), np.random.default_rng(0)
    with pytest.raises(ClipFailure, match=r"too-short: 0.50 s of audio, at least 1 s"):
        embed(0.1 * rng.standard_normal(8000))
    with pytest.raises(ClipFailure, match="silent"):
        embed(np.zeros(32000, np.float32))
    write_wav(tmp_path / "short.wav", 0.1 * rng.standard_normal(8000).astype(np.float32))
    with pytest.raises(LipsoundError, match=r"short.wav: cannot be the reference of a voice \(too-short.*\); give"):
        embed.of_file(tmp_path / "short.wav")
