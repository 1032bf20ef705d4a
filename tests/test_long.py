"""Clips of any length: mel and audio come in pieces that are one, and what is held does not grow."""

from __future__ import annotations

import errno
import tempfile
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers.experiments import make_experiment, synthetic_clips
from helpers.written_dump import write_kind

from lipsound2 import error_messages, experiment
from lipsound2.audio import check, griffin_lim, griffin_lim_numpy, io, waveform_buffer
from lipsound2.audio.io import write_wav
from lipsound2.audio.mel import mel_spectrogram
from lipsound2.audio.mel_settings import MELS
from lipsound2.data.archive import Archive
from lipsound2.decoding.hypothesis import Hypothesis
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.inference import synthesize, transcriber, vocoders
from lipsound2.inference.array_store import ArrayStore
from lipsound2.inference.face_watch import FaceWatch
from lipsound2.inference.lip_to_speech import windows_of
from lipsound2.inference.windows import OVERLAP, WINDOW, ChunkedVocoder, VocoderStream, Windows
from lipsound2.models.parallel import Parallel
from lipsound2.tasks.regress import Regress
from lipsound2.video import mouth
from lipsound2.video.encode import decode, encode, iter_frames

FINE = MELS["fine"]


def voiced(seconds: float) -> np.ndarray:
    """A voice that glides, swells and hisses: harmonics of a pitch that never stands still, and noise."""
    time = np.arange(int(16000 * seconds)) / 16000
    turns = np.cumsum(110 + 25 * np.sin(2 * np.pi * 0.7 * time)) / 16000
    formant = 900 + 500 * np.sin(2 * np.pi * 1.9 * time)
    parts = (np.exp(-(((k * 110 - formant) / 400) ** 2)) * np.sin(2 * np.pi * k * turns) for k in range(1, 60))
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(time))
    return (0.3 * (sum(parts) + noise) * (1.1 + np.sin(2 * np.pi * 3 * time)) / 4).astype(np.float32)


def distance(waveform: np.ndarray, mel: np.ndarray) -> np.ndarray:
    """Log-spectral distance (S,) of audio to the mel it was made of, dB."""
    found = mel_spectrogram(torch.from_numpy(waveform), FINE).numpy()
    distances: np.ndarray = 8.686 * np.sqrt(((found - mel) ** 2).mean(1))
    return distances


@pytest.mark.parametrize("plain", [False, True], ids=["torch", "plain"])
def test_fault_D2_griffin_lim_in_pieces_has_no_seam_that_can_be_heard(plain: bool):
    mel = mel_spectrogram(torch.from_numpy(voiced(8)), FINE).numpy()
    if plain:
        whole = griffin_lim_numpy.mel_to_waveform(mel, FINE, 30)
        speaker = ChunkedVocoder(
            FINE, lambda m, _, *said: griffin_lim_numpy.mel_to_waveform(m, FINE, 30, *said), 50, 100
        )
    else:
        whole = griffin_lim.mel_to_waveform(torch.from_numpy(mel), FINE, iterations=30).numpy()
        found = vocoders.vocoder("griffin-lim:30", FINE)
        speaker = ChunkedVocoder(FINE, found.speak, found.receptive_field, 100)
    waveform = speaker.whole(mel)
    assert waveform.shape == whole.shape == (8 * 16000,)
    seams = np.arange(100, len(mel), 100)
    at = np.zeros(len(mel), bool)
    for seam in seams:
        at[seam - 4 : seam + 4] = True
    found_at, rest = distance(waveform, mel)[at], distance(waveform, mel)[~at]
    assert found_at.mean() < rest.mean() + 0.5
    assert np.median(found_at) < np.percentile(rest, 95)
    assert abs(rest.mean() - distance(whole, mel)[~at].mean()) < 0.2
    # Nor does the wave jump there.
    jump = np.abs(np.diff(waveform, 2))
    assert jump[seams * FINE.hop - 1].max() < np.percentile(jump, 99.9)


def test_fault_D2_short_clips_sound_as_they_did():
    mel = mel_spectrogram(torch.from_numpy(voiced(1)), FINE)
    whole = griffin_lim.mel_to_waveform(mel, FINE, iterations=4)
    assert np.array_equal(vocoders.vocoder("griffin-lim:4", FINE).whole(mel.numpy()), whole.numpy())


def test_fault_D2_the_mel_comes_while_the_frames_come_and_little_is_held():
    total = 1010
    windows = Windows(
        total, 4.0, 3, lambda crops: np.repeat(crops.mean((1, 2), keepdims=True)[:, 0], 4, 0).repeat(3, 1)
    )
    given, most = [], 0
    for number in range(total):
        mel = windows.add(np.full((2, 2), number % 251, np.uint8))
        given.append(mel)
        most = max(most, len(windows._mel))
        assert sum(map(len, given)) >= 4 * (number - WINDOW - OVERLAP)
    assert most <= 4 * 2 * WINDOW
    assert np.concatenate(given)[:, 0] == pytest.approx(np.repeat(np.arange(total) % 251, 4), abs=1e-3)


def test_fault_D2_the_audio_comes_while_the_mel_comes_and_little_is_held():
    """Whatever the sizes it comes in, a vocoder's audio is that of the whole mel."""

    def speak(mel: np.ndarray, first: int, said: np.ndarray, kept: int) -> np.ndarray:
        smooth = np.convolve(np.pad(mel[:, 0], 2, mode="edge"), np.ones(5) / 5, "valid")
        return np.repeat(smooth + first + np.arange(len(mel)), FINE.hop).astype(np.float32)

    mel = np.random.default_rng(0).normal(size=(500, 80)).astype(np.float32)
    whole = speak(mel, 0, mel[:0, 0], 0)
    pieces, audio, at = VocoderStream(ChunkedVocoder(FINE, speak, 3, 64), 500), [], 0
    for size in (1, 7, 200, 3, 64, 225):
        audio.append(pieces.add(mel[at : at + size]))
        at += size
        assert len(pieces._mel) <= 64 + 2 * 3
    assert np.abs(np.concatenate(audio) - whole).max() < 1e-3


def test_a_piece_that_is_no_number_is_reported():
    pieces = VocoderStream(ChunkedVocoder(FINE, partial(lambda *given: given[0]), 3, 64), 500)
    with pytest.raises(LipsoundError, match="are no numbers"):
        pieces.add(np.full((5, 80), np.nan, np.float32))


def long_audio(path: Path, seconds: float) -> None:
    """A file of 44.1 kHz in stereo: noise of two seconds, silence of one, and so on."""
    with soundfile.SoundFile(path, "w", 44100, 2) as file:
        rng = np.random.default_rng(0)
        for second in range(round(seconds)):
            file.write((0.0001 if second % 3 == 2 else 0.1) * rng.standard_normal((44100, 2)))


def peak_of(work: Callable[[], object]) -> int:
    """Most bytes that Python and numpy held while something was done."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rate", [16000, 24000, 44100])
def test_fault_D2_audio_in_stretches_is_the_audio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int):
    long_audio(tmp_path / "a.wav", 3)
    monkeypatch.setattr(io, "_STRETCH", 5000)
    blocks = [*io.audio_in_blocks(tmp_path / "a.wav", rate)]
    assert len(blocks) > 8
    assert np.array_equal(np.concatenate(blocks), io.load_audio(tmp_path / "a.wav", rate=rate))


def test_fault_D2_long_audio_is_recognized_without_being_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    long_audio(tmp_path / "a.flac", 60)
    whole = io.load_audio(tmp_path / "a.flac")  # and what is imported is imported
    heard: list[np.ndarray] = []

    class Recognizer:
        name = "own"

        def recognize(self, audio: Sequence[np.ndarray]) -> list[Hypothesis]:
            heard.extend(audio)
            return [Hypothesis("", [], 0.0) for _ in audio]

    monkeypatch.setattr(waveform_buffer, "_HELD", 1 << 20)
    transcribe = transcriber.Transcriber(Recognizer())
    held = peak_of(lambda: transcribe(tmp_path / "a.flac")) - sum(map(len, heard)) * 4
    assert np.array_equal(np.concatenate(heard), whole)
    assert all(each.flags.writeable for each in heard)
    assert held < 9e6, held  # decoded it takes 10.6 MB, and was held thrice


def test_fault_D2_long_silent_audio_gets_the_same_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", 0.25 + rng.integers(-2, 3, 64000) / 32768, 16000)
    monkeypatch.setattr(check, "_BLOCK", 1000)
    with pytest.raises(ClipFailure, match=r"silent.*4\.00 s of audio, nowhere louder"):
        check.load_checked(tmp_path / "a.wav", 16000)


def test_a_waveform_buffer_is_read_to_and_fro_in_memory_and_on_the_disk(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(waveform_buffer, "_HELD", 1000)
    whole = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    kept = waveform_buffer.WaveformBuffer()
    for part in np.split(whole, [3, 3, 200, 640]):
        kept.add(part)
        assert np.array_equal(kept.read(1, 40), whole[1 : min(len(kept), 41)])
    assert np.array_equal(np.concatenate([*kept.blocks(300)]), whole)
    assert np.array_equal(kept.read(990, 50), whole[990:])
    assert not len(kept.read(1000, 50))
    assert not len(kept.read(2000, 50))
    assert kept.loudest == np.abs(whole).max()


def test_fault_D2_where_the_mouth_is_in_a_long_clip_is_reported_without_a_grid_of_every_frame():
    matrices = np.tile(np.array([[1.0, 0, 100], [0, 1, 100]]), (6000, 1, 1))
    matrices[::7, 0, 2] = -60
    lost: list[np.ndarray] = []
    assert peak_of(lambda: lost.append(mouth.outside(matrices, (360, 288)))) < 10e6  # all at once: 31 MB
    assert np.array_equal(np.flatnonzero(lost[0]), np.arange(0, 6000, 7))


def test_fault_D2_synthesize_takes_a_long_clip_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Clips of usual length are shown whole, as ever; a long one comes out as `speak` would say it."""
    made = synthetic_clips(2)
    make_experiment(tmp_path, made, iterations=1)
    short, long = made
    crops = {name: clip.crops[:, 8:104, 8:104] for name, clip in made.items()}
    crops[long] = np.tile(crops[long], (5, 1, 1))
    lengths = {name: len(each) for name, each in crops.items()}
    streams = {name: encode(each) for name, each in crops.items()}
    write_kind(tmp_path / "dump/mouth", streams, lengths, {"size": 96})
    monkeypatch.setattr(synthesize, "_WHOLE", 120)
    most: list[int] = []
    generate = Parallel.generate
    monkeypatch.setattr(
        Parallel, "generate", lambda self, video, lengths: most.append(video.shape[1]) or generate(self, video, lengths)
    )
    options = {"dump": tmp_path / "dump", "vocoder": "grid-s1-vocos", "controls": ("mismatched",)}
    synthesize.synthesize(Path("grid-s1-parallel"), tmp_path / "data/tiny/test", tmp_path / "out", **options)
    assert max(most) == WINDOW
    assert lengths[short] in most

    loaded = experiment.load("grid-s1-parallel", torch.device("cpu"), task=Regress)
    FaceWatch(loaded)
    mels = Archive(tmp_path / "out/mels/generated")
    assert np.array_equal(mels[long], windows_of(loaded, lengths[long]).whole(decode(streams[long])))
    whole = loaded.model.generate(torch.from_numpy(decode(streams[short]))[None], torch.tensor([lengths[short]]))
    assert np.array_equal(mels[short], whole.features[0].numpy())
    for name in made:
        write_wav(tmp_path / "a.wav", vocoders.vocoder("grid-s1-vocos", FINE).whole(mels[name]))
        assert (tmp_path / "out/generated" / f"{name}.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()


def test_arrays_come_from_the_shelf_as_they_were_put_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(waveform_buffer, "_HELD", 1000)
    rng = np.random.default_rng(0)
    arrays = {f"c{n}": rng.normal(size=(n, 80)).astype(np.float32) for n in range(4)}
    shelf = ArrayStore()
    assert not shelf
    shelf.put(arrays)
    assert list(shelf) == list(arrays)
    assert all(np.array_equal(shelf[name], array) and shelf[name].flags.writeable for name, array in arrays.items())


def test_fault_D2_a_stream_of_crops_is_decoded_one_by_one():
    crops = np.random.default_rng(0).integers(100, 140, (40, 96, 96), np.uint8)
    stream = encode(crops)
    assert np.array_equal(np.stack([*iter_frames(stream)]), decode(stream))
    with pytest.raises(ClipFailure, match="damaged-crop"):
        list(iter_frames(stream[len(stream) // 2 : -9]))


def test_a_full_disk_under_a_waveform_buffer_is_reported_with_its_folder(monkeypatch: pytest.MonkeyPatch):
    kept = waveform_buffer.WaveformBuffer()

    def full(_: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(kept._file, "write", full, raising=False)
    with pytest.raises(OSError, match="No space left") as caught:
        kept.add(np.zeros(5))
    assert error_messages.message_for(caught.value).startswith(
        f"cannot write {tempfile.gettempdir()}: no space left on device; free"
    )
