"""The verb `mel`: audio under the video frames, mels, sums, rejections, and what is not done twice."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from lipsound2.audio.check import check_audio, load_checked
from lipsound2.audio.dump import MelFactory, mel
from lipsound2.audio.io import decode_flac, encode_flac
from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.audio.segment import Segment, cut_audio
from lipsound2.audio.statistics import statistics, sums
from lipsound2.config import to_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.fingerprint import note_sizes


def noise(seconds: float, seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 44100))).astype(np.float32)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three clips of one second; the third is silent. Their `video` is an audio file: mel looks at nothing else."""
    paths = {}
    for number in range(3):
        path = tmp_path / f"clip {number}.wav"
        soundfile.write(path, noise(1.0, number) * (number < 2), 44100)
        paths[f"s1-clip{number}"] = str(path)
    DataDir.write(tmp_path / "data", utt2spk=dict.fromkeys(paths, "s1"), video=paths)
    DataDir.write(tmp_path / "audio_only", utt2spk=dict.fromkeys(paths, "s1"), wav=paths)
    return tmp_path


def write_timeline(dump: Path, lines: dict[str, tuple[float, int]]) -> None:
    (dump / "landmarks").mkdir(parents=True, exist_ok=True)
    rows = [f"{name}\t{start}\t{frames}\t25.0\t360\t288\t{frames}\n" for name, (start, frames) in lines.items()]
    (dump / "landmarks" / "timeline.tsv").write_text("".join(rows))


@pytest.mark.parametrize("left", [b"", b"s1-clip0\t0.0\t25\t25.0\t360\t288\t25\n"])
def test_fault_A14_a_damaged_timeline_stops_the_verb(corpus: Path, left: bytes) -> None:
    dump = corpus / "dump"
    write_timeline(dump, {"s1-clip0": (0.0, 25), "s1-clip1": (0.0, 25)})
    note_sizes(dump / "landmarks", ["timeline.tsv"])
    (dump / "landmarks" / "timeline.tsv").write_bytes(left)
    with pytest.raises(LipsoundError, match=r"timeline.tsv: has another size .*; run lipsound2 crop DIR .*dump again$"):
        mel(corpus / "data", dump)
    assert not (dump / "audio").exists()


def test_audio_lies_under_the_frames(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    dump = corpus / "dump"
    with pytest.raises(LipsoundError, match=r"timeline.tsv: no timeline of the video frames; run stage 1 first"):
        mel(corpus / "data", dump)
    write_timeline(dump, {"s1-clip0": (0.1, 22), "s1-clip1": (0.0, 25)})
    mel(corpus / "data", dump, nj=1)
    assert "1 clips have no timeline" in caplog.text

    audio, mels = Archive(dump / "audio"), Archive(dump / "mel-fine")
    assert audio.num_frames() == {"s1-clip0": 22 * 640, "s1-clip1": 25 * 640}
    assert mels.num_frames() == {"s1-clip0": 88, "s1-clip1": 100}
    assert mels.meta == to_mapping(MELS["fine"])
    waveform = decode_flac(audio["s1-clip0"])
    wanted = cut_audio(Segment(str(corpus / "clip 0.wav"), 0.1, 22), 16000)
    assert np.abs(waveform - wanted).max() <= 0.51 / 32768
    np.testing.assert_array_equal(mels["s1-clip0"], mel_spectrogram(torch.from_numpy(waveform), MELS["fine"]).numpy())

    mean, std = statistics(dump / "mel-fine", ["s1-clip0", "s1-clip1"])
    rows = np.concatenate([mels["s1-clip0"], mels["s1-clip1"]]).astype(np.float64)
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(std, rows.std(0), rtol=1e-5)
    with pytest.raises(LipsoundError, match="no statistics of the clip 's1-clip2'"):
        statistics(dump / "mel-fine", ["s1-clip2"])

    kept = {p.name: p.stat().st_mtime_ns for p in (dump / "audio" / "shards").iterdir()}
    caplog.clear()
    mel(corpus / "data", dump, nj=1)
    assert "are there already: skipped" in caplog.text
    mel(corpus / "data", dump, mel="paper", nj=1)  # another mel of the same audio
    assert Archive(dump / "mel-paper").num_frames() == {"s1-clip0": 55, "s1-clip1": 62}
    assert kept == {p.name: p.stat().st_mtime_ns for p in (dump / "audio" / "shards").iterdir()}


def test_clips_of_audio_alone_and_a_silent_one(corpus: Path) -> None:
    dump = corpus / "dump"
    with pytest.raises(LipsoundError, match="1 of 3 clips failed"):
        mel(corpus / "audio_only", dump, nj=1)
    mel(corpus / "audio_only", dump, nj=1, max_failures=0.4)
    assert Archive(dump / "audio").num_frames() == {"s1-clip0": 16000, "s1-clip1": 16000}
    assert Archive(dump / "mel-fine").ids == ["s1-clip0", "s1-clip1"]
    assert "s1-clip2\taudio\tsilent\t1.00 s of zeros" in (dump / "failures.tsv").read_text()


def test_audio_without_mels(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All that a recognizer reads; a mel can be made of it later."""
    caplog.set_level(logging.INFO)
    mel(corpus / "audio_only", corpus / "dump", mel="none", nj=1, max_failures=0.5)
    assert [path.parent.name for path in (corpus / "dump").glob("*/feats.scp")] == ["audio"]
    mel(corpus / "audio_only", corpus / "dump", mel="none", nj=1, max_failures=0.5)
    assert "audio is there already: skipped" in caplog.text
    mel(corpus / "audio_only", corpus / "dump", nj=1, max_failures=0.5)
    assert len(Archive(corpus / "dump" / "mel-fine").ids) == 2


def test_clips_that_are_not_in_the_data_dir_do_not_go_in_silence(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dump, few = corpus / "dump", DataDir(corpus / "audio_only").subset(["s1-clip1"], corpus / "few").path
    mel(corpus / "audio_only", dump, nj=1, max_failures=0.4)
    mel(corpus / "audio_only", dump, nj=1, max_failures=0.4)
    assert "removed" not in caplog.text
    mel(few, dump, nj=1)
    for kind in ("audio", "mel-fine"):
        assert f"{dump / kind}: 1 clips are not in {few} and are removed, 's1-clip0' first; to keep " in caplog.text
        assert list(Archive(dump / kind).ids) == ["s1-clip1"]


def test_a_further_clip_leaves_the_shards_of_others(corpus: Path) -> None:
    """Where a clip lies in its file counts for its own shard."""
    dump, places = corpus / "dump", {"s1-clip0": (0.1, 22)}
    whole = [dump / kind / "shards/00000.done" for kind in ("audio", "mel-fine")]
    write_timeline(dump, places)
    mel(corpus / "data", dump, nj=1, shard_size=1)
    before = [path.stat().st_mtime_ns for path in whole]
    write_timeline(dump, {**places, "s1-clip1": (0.0, 25)})
    mel(corpus / "data", dump, nj=1, shard_size=1)
    assert [path.stat().st_mtime_ns for path in whole] == before
    assert Archive(dump / "mel-fine").num_frames() == {"s1-clip0": 88, "s1-clip1": 100}
    write_timeline(dump, {"s1-clip0": (0.0, 25), "s1-clip1": (0.0, 25)})
    mel(corpus / "data", dump, nj=1, shard_size=1)
    assert Archive(dump / "mel-fine").num_frames()["s1-clip0"] == 100


def test_a_damaged_timeline_is_named(corpus: Path) -> None:
    write_timeline(corpus / "dump", {"s1-clip0": (0.0, 25)})
    with (corpus / "dump" / "landmarks" / "timeline.tsv").open("a") as file:
        file.write("s1-clip1 0.0 25\n")
    with pytest.raises(LipsoundError, match=r"timeline.tsv, line 2: expected id, start, frames"):
        mel(corpus / "data", corpus / "dump")


def test_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(2.9, 0), 44100)
    assert len(cut_audio(Segment(str(path), 0.0, 75), 16000)) == 48000  # 0.1 s short: padded
    for segment, detail in {
        Segment(str(path), 0.0, 80): "the audio ends 0.30 s before the video, at most 0.2 s wanted",
        Segment(str(path), -0.5, 20): "the audio begins 0.50 s after the video",
        Segment(str(path), 5.0, 20): "ends 0.80 s before the video",
    }.items():
        with pytest.raises(ClipFailure, match=detail) as caught:
            cut_audio(segment, 16000)
        assert caught.value.reason == "short-audio"


def test_audio_too_short_for_a_frame(tmp_path: Path) -> None:
    from lipsound2.data.archive import ArchiveWriter

    with ArchiveWriter(tmp_path / "audio" / "a.ark", tmp_path / "audio" / "feats.scp") as writer:
        writer.write("a", encode_flac(np.full(300, 0.1, np.float32)))
    with pytest.raises(ClipFailure, match="too-short: 300 samples of audio, at least 385 wanted"):
        MelFactory(tmp_path / "audio", MELS["paper"])()("a")


def test_sums_have_kaldis_layout() -> None:
    table = sums(np.array([[1.0, 2.0], [3.0, 5.0]], np.float32))
    np.testing.assert_array_equal(table, [[4.0, 7.0, 2.0], [10.0, 29.0, 0.0]])


def test_statistics_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(LipsoundError, match=r"cmvn.scp: no statistics of this kind; run: lipsound2 mel"):
        statistics(tmp_path, ["a"])


@pytest.mark.parametrize(
    ("waveform", "reason"),
    [
        (np.zeros(16000), "silent"),
        (np.full(16000, 0.3), "silent"),  # a constant level
        (np.random.default_rng(0).integers(-2, 3, 16000) / 32768, "silent"),  # dither
        (np.full(16000, np.nan), "not-finite"),
        (np.full(100, 0.1), "too-short"),
    ],
)
def test_fault_A10_nothing_to_be_heard_is_one_verdict(tmp_path: Path, waveform: np.ndarray, reason: str) -> None:
    with pytest.raises(ClipFailure) as caught:
        check_audio(waveform.astype(np.float32), 16000)
    assert caught.value.reason == reason
    path = tmp_path / "a.wav"
    soundfile.write(path, waveform, 16000, subtype="FLOAT")
    for load in (lambda: load_checked(path, 16000), lambda: cut_audio(Segment(str(path), None, None), 16000)):
        with pytest.raises(ClipFailure) as caught:
            load()
        assert caught.value.reason == reason


def test_fault_A10_a_quiet_voice_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "quiet.wav"
    soundfile.write(path, 0.005 * noise(1.0, 0), 44100)
    assert len(load_checked(path, 16000)) == 16000


def test_fault_A10_dither_is_no_audio_to_the_stage(corpus: Path) -> None:
    dither = np.random.default_rng(0).integers(-1, 2, 44100) / 32768
    soundfile.write(corpus / "clip 1.wav", dither, 44100)
    mel(corpus / "audio_only", corpus / "dump", nj=1, max_failures=0.7)
    assert Archive(corpus / "dump" / "mel-fine").ids == ["s1-clip0"]
    assert "s1-clip1\taudio\tsilent\t1.00 s of audio, nowhere louder" in (corpus / "dump" / "failures.tsv").read_text()
