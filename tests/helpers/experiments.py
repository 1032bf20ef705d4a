"""A whole experiment folder as training and synthesis leave it; scores and report are tested on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from lipsound2.audio.griffin_lim import mel_to_waveform
from lipsound2.audio.io import encode_flac, write_wav
from lipsound2.audio.mel import mel_config, mel_spectrogram
from lipsound2.data.archive import ArchiveWriter
from lipsound2.data.datadir import DataDir
from lipsound2.metrics.wer import score_texts
from lipsound2.metrics.wer_summary import write_clips, write_summary
from lipsound2.video.encode import encode

RATE, FRAMES, SIZE = 16000, 50, 112
MEL = mel_config("fine")


@dataclass
class Clip:
    """One clip: (N,) float32 audio, (T, S, S) uint8 face crops, transcript."""

    waveform: np.ndarray
    crops: np.ndarray
    text: str


def synthetic_clips(count: int = 4, seed: int = 0) -> dict[str, Clip]:
    """Two voices of buzzing syllables, with a mouth that opens as they audio."""
    clips = {}
    for index in range(count):
        random = np.random.default_rng([seed, index])
        samples = FRAMES * RATE // 25
        time = np.arange(samples) / RATE
        syllables = np.repeat(random.uniform(0.05, 1, 10), samples // 10)
        loudness = gaussian_filter1d(syllables, 400) * np.sin(np.pi * np.clip(time / 0.1, 0, 0.5)) ** 2
        vowels = gaussian_filter1d(np.repeat(random.uniform(300, 2500, (2, 10)), samples // 10, axis=1), 300, axis=1)
        pitch = np.cumsum((110 + 60 * (index % 2)) * (1 + 0.05 * np.sin(2 * np.pi * 2 * time))) / RATE
        waveform = np.zeros(samples)
        for harmonic in range(1, 40):
            frequency = harmonic * (110 + 60 * (index % 2))
            gain = sum(np.exp(-(((frequency - vowel) / 250) ** 2)) for vowel in vowels) + 0.02
            waveform += gain * np.sin(2 * np.pi * harmonic * pitch)
        waveform = 0.3 * loudness * waveform / np.abs(waveform).max() + random.normal(0, 1e-4, samples)
        grid = np.mgrid[:SIZE, :SIZE] - SIZE / 2
        opening = 3 + 25 * loudness[320 :: RATE // 25, None, None]
        inside = ((grid[0] - 20) / opening) ** 2 + (grid[1] / 28) ** 2 < 1
        head = (grid[0] / 54) ** 2 + (grid[1] / 44) ** 2 < 1
        crops = np.where(inside, 30, np.where(head, 190, 90)).astype(np.uint8)
        clips[f"s{1 + index % 2}-clip{index}"] = Clip(waveform.astype(np.float32), crops, f"sentence number {index}")
    return clips


def make_experiment(root: Path, clips: dict[str, Clip], *, attention: bool = True, iterations: int = 8) -> Path:
    """Write data dir, dump and experiment below `root`; returns the experiment. The 'model' blurs the true mel."""
    ids = sorted(clips)
    data, dump, exp = root / "data" / "tiny" / "test", root / "dump", root / "exp" / "tiny_parallel"
    DataDir.write(
        data,
        utt2spk={name: name.partition("-")[0] for name in ids},
        text={name: clips[name].text for name in ids},
        video={name: f"{name}.mp4" for name in ids},
    )
    torch.set_num_threads(1)
    mels = {name: mel_spectrogram(torch.from_numpy(clips[name].waveform), MEL).numpy() for name in ids}
    frames = max(map(len, mels.values()))
    padded = [np.pad(mel, ((0, frames - len(mel)), (0, 0)), constant_values=np.log(MEL.floor)) for mel in mels.values()]
    noise = np.random.default_rng(0)
    spoken = {
        name: gaussian_filter(mel + noise.normal(0, 0.3, mel.shape), (2, 2)).astype(np.float32)
        for name, mel in mels.items()
    }
    turned = dict(zip(ids, ids[len(ids) // 2 :] + ids[: len(ids) // 2], strict=True))
    systems = {
        "generated": spoken,
        "real_mel": mels,
        "mismatched": {name: _fit(spoken[other], len(mels[name])) for name, other in turned.items()},
        "mean_mel": {name: np.mean(padded, axis=0)[: len(mels[name])].astype(np.float32) for name in ids},
    }
    _archive(dump / "audio", {name: encode_flac(clips[name].waveform) for name in ids})
    _archive(dump / "face", {name: encode(clips[name].crops) for name in ids})
    _archive(dump / "mel-fine", mels)
    wav = exp / "wav" / "test"
    for system, features in systems.items():
        _archive(wav / "mels" / system, features)
        for name, mel in features.items():
            waveform = mel_to_waveform(torch.from_numpy(mel), MEL, iterations=iterations)
            write_wav(wav / system / f"{name}.wav", waveform.numpy())
    if attention:
        _archive(wav / "alignments", {name: _alignment(len(clips[name].crops)) for name in ids})
    _yaml(
        wav / "origin.yaml",
        {"data": "data/tiny/test", "dump": "dump", "input": "face", "target": "mel-fine", "vocoder": "griffin-lim"},
    )
    write_records(exp)
    return exp


def write_records(exp: Path) -> None:
    """What training leaves beside the weights."""
    _yaml(
        exp / "config.yaml", {"task": "regress", "model": "parallel", "input": "face", "target": "mel-fine", "lr": 1e-3}
    )
    run = {
        "started": "2026-01-02T03:04:05+00:00",
        "ended": "2026-01-02T05:04:05+00:00",
        "hours": 2.0,
        "command": "lipsound2 train conf/parallel.yaml --train data/tiny/train --valid data/tiny/valid --exp exp/tiny",
        "git": "0123456789abcdef0123456789abcdef01234567",
        "packages": {"torch": "2.9.1", "numpy": "2.2.0"},
        "hardware": {"cpu": "Example CPU @ 2.0 GHz", "cores": 2, "device": "cpu", "processes": 1},
        "updates": 4000,
        "state": "finished",
    }
    _yaml(exp / "versions.yaml", {"hours": 2.0, "runs": [run]})
    lines = ["epoch\tupdate\ttrain_loss\tscore\testoi\tstoi\tmel_l1\tlr"]
    for epoch in range(1, 41):
        decay = np.exp(-epoch / 12)
        score = 0.45 * (1 - decay) - 0.0015 * max(0, epoch - 28)
        row = (0.4 + decay, score, score, score + 0.2, 0.5 + decay / 2, 1e-3 * np.cos(epoch / 26) ** 2)
        lines.append("\t".join([str(epoch), str(100 * epoch), *(f"{value:.6g}" for value in row)]))
    (exp / "curves.tsv").write_text("\n".join(lines) + "\n")


def write_texts(
    folder: Path, references: dict[str, str], heard: dict[str, dict[str, str]], language: str = "en"
) -> None:
    """What scoring leaves of a recognizer: `references` by clip, and by system what it heard in each clip."""
    speakers = {name: name.partition("-")[0] for name in references}
    scores = {system: score_texts(references, texts, speakers, language) for system, texts in heard.items()}
    write_summary(folder / "summary.json", {system: each.summary for system, each in scores.items()})
    for system, each in scores.items():
        write_clips(folder / f"{system}.tsv", each.rows)


def write_heard(exp: Path, names: Sequence[str], references: dict[str, str], texts: dict[str, str]) -> None:
    """What decoding in some ways notes, and scoring leaves, of the set `test`."""
    for name in names:
        _yaml(exp / "text/test" / name / "origin.yaml", {"dump": "dump"})
        write_texts(exp / "scores/test/text" / name, references, {"heard": texts})


def make_recognizer(root: Path, clips: dict[str, Clip]) -> Path:
    """An experiment of the task *recognize* below `root`, with its dump, but without what it recognized."""
    exp = root / "exp" / "tiny_asr"
    _archive(root / "dump" / "audio", {name: encode_flac(clip.waveform) for name, clip in clips.items()})
    write_records(exp)
    _yaml(exp / "config.yaml", {"task": "recognize", "model": "conformer", "language": "en"})
    record = yaml.safe_load((exp / "versions.yaml").read_text())
    record["runs"][0] |= {"command": "lipsound2 train conf/asr.yaml --exp exp/tiny_asr"}
    _yaml(exp / "versions.yaml", record)
    lines = ["update\tepoch\ttrain_loss\tscore\twer\tcer\tvalid_loss"]
    for epoch, wer in enumerate((0.7, 0.25, 0.3), 1):
        lines.append(f"{100 * epoch}\t{epoch}\t{3 / epoch}\t{1 - wer:.6g}\t{wer}\t{wer / 2}\t{2 / epoch}")
    (exp / "curves.tsv").write_text("\n".join(lines) + "\n")
    return exp


def _fit(mel: np.ndarray, frames: int) -> np.ndarray:
    return np.pad(mel[:frames], ((0, max(0, frames - len(mel))), (0, 0)), mode="edge")


def _alignment(video_frames: int) -> np.ndarray:
    steps = np.arange(video_frames)
    weights = np.exp(-0.5 * ((steps[:, None] - steps) / 2.5) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _archive(folder: Path, entries: dict[str, np.ndarray]) -> None:
    with ArchiveWriter(folder / "feats.ark", folder / "feats.scp") as archive:
        for name in sorted(entries):
            archive.write(name, entries[name])


def _yaml(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
