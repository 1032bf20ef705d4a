"""The golden clip: ids, lengths, framing and bytes that dumps, experiments and other people's files rely on.

A change here is a change of a contract: say so in docs/design.md, and expect dumps and models of before not to fit.
"""

from __future__ import annotations

import hashlib

import av
import numpy as np
import pytest
import torch

from lipsound2.audio.io import decode_flac, encode_flac, load_audio
from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.corpora.sentences import words_of
from lipsound2.data.archive import ArchiveWriter
from lipsound2.synthetic.clip import ClipFormat, write_clip
from lipsound2.video.decode import read_video
from lipsound2.video.encode import decode, encode

FRAMES, RATE = 75, 16_000
# Mean and spread of the whole mel, and three of its values.
GOLDEN_MEL = {"fine": [-3.18, 1.05, 0.95, -3.51, -2.88], "paper": [-2.93, 0.94, 0.84, -3.05, -2.59]}
GOLDEN_CROP = "1ec70522a414f2a8"
GOLDEN_ARK = "fd32c946d77d6d67"


def video_frames(size: int = 96) -> np.ndarray:
    """A disc that wanders over a soft ramp: the same bytes on every machine, whole numbers only."""
    y, x = np.mgrid[:size, :size]
    frames = []
    for t in range(FRAMES):
        inside = (x - 30 - t // 2) ** 2 + (y - 48) ** 2 < 300
        frames.append(np.where(inside, 220 - t, (x + y + t) // 2 + 20))
    return np.array(frames, np.uint8)


def waveform() -> np.ndarray:
    """Three seconds of rising square wave on the 16-bit grid."""
    phase = np.cumsum(200 + np.arange(FRAMES * 640) // 64)
    return np.where(phase % RATE < RATE // 2, 8192, -8192).astype(np.float32) / 32768


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def test_ids_and_words_of_grid():
    assert " ".join(words_of("bbaf2n")) == "bin blue at f two now"
    assert " ".join(words_of("swwzzs")) == "set white with z zero soon"


def test_a_clip_of_75_frames_gives_48000_samples_and_300_or_187_mel_frames(tmp_path):
    path = tmp_path / "s1" / "bbaf2n.mp4"
    path.parent.mkdir()
    color = np.repeat(video_frames()[..., None], 3, axis=3)
    write_clip(path, list(color), waveform(), ClipFormat(width=96, height=96, sample_rate=RATE))
    frames, timeline = read_video(path)
    assert len(frames) == timeline.num_frames == FRAMES
    assert (timeline.width, timeline.height) == (96, 96)
    samples = torch.from_numpy(load_audio(path, start=timeline.start, seconds=FRAMES / 25))
    assert len(samples) == FRAMES * 640
    assert mel_spectrogram(samples, MELS["fine"]).shape == (4 * FRAMES, 80)
    assert mel_spectrogram(samples, MELS["paper"]).shape == (int(2.5 * FRAMES), 80)


@pytest.mark.parametrize("name", ["fine", "paper"])
def test_mel_values(name):
    """Quantized to a hundredth, so that another FFT library does not matter and another definition does."""
    mel = mel_spectrogram(torch.from_numpy(waveform()), MELS[name]).numpy()
    found = [round(float(value), 2) for value in (mel.mean(), mel.std(), mel[10, 5], mel[100, 40], mel[-1, 79])]
    assert found == pytest.approx(GOLDEN_MEL[name], abs=0.011)


def test_the_audio_survives_flac():
    assert np.array_equal(decode_flac(encode_flac(waveform())), waveform())


@pytest.mark.skipif(av.__version__ != "18.1.0", reason="the bytes belong to the pinned encoder")
def test_bytes_of_a_crop():
    assert digest(encode(video_frames()).tobytes()) == GOLDEN_CROP


def test_a_crop_is_read_back_close_to_what_it_was():
    back = decode(encode(video_frames()))
    error = np.mean((back.astype(float) - video_frames()) ** 2)
    assert back.shape == (FRAMES, 96, 96)
    assert 10 * np.log10(255**2 / error) > 40


def test_bytes_of_an_archive(tmp_path):
    with ArchiveWriter(tmp_path / "feats.ark", tmp_path / "feats.scp") as writer:
        writer.write("s1-bbaf2n", np.arange(6, dtype=np.float32).reshape(2, 3))
        writer.write("s1-bbaf3s", np.arange(4, dtype=np.uint8))
    assert (tmp_path / "feats.scp").read_text() == "s1-bbaf2n feats.ark:10\ns1-bbaf3s feats.ark:59\n"
    assert digest((tmp_path / "feats.ark").read_bytes()) == GOLDEN_ARK
