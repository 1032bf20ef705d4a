"""The verb `selftest`: whether this installation works, what it has, and what more could be installed."""

from __future__ import annotations

import importlib.util
import platform
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

import lipsound2
from lipsound2.data.shapes import checked
from lipsound2.data.yaml_files import read_yaml
from lipsound2.errors import LipsoundError, install_command
from lipsound2.inference.speech import Speech
from lipsound2.inference.transcript import Transcript
from lipsound2.model_names import PRETRAINED

FOLDER = PRETRAINED / "selftest"
CLIP, STORED = FOLDER / "clip.mp4", FOLDER / "selftest.yaml"
# Extra -> the module by which it is known, and what it gives.
EXTRAS = {
    "face": ("ai_edge_litert", "faces in video, for speak and transcribe"),
    "metrics": ("pesq", "scores: PESQ and word errors"),
    "asr": ("pocketsphinx", "a recognizer of English: --asr pocketsphinx:grid"),
    "whisper": ("whisper", "recognizers: --asr whisper:base"),
    "faster-whisper": ("faster_whisper", "recognizers: --asr faster-whisper:base"),
    "torchaudio": ("torchaudio", "recognizers: --asr torchaudio:NAME"),
    "onnx": ("onnxruntime", "export, and models without torch"),
    "demo": ("gradio", "the page of lipsound2 demo"),
    "live": ("sounddevice", "loudspeaker and microphone of lipsound2 live and record"),
    "hub": ("huggingface_hub", "models from a hub and to it"),
    "dnsmos": ("speechmos", "quality of speech without a reference"),
    "mandarin": ("pypinyin", "Mandarin as pinyin"),
    "mini": ("espeakng_loader", "generated corpora"),
    "mediapipe": ("mediapipe", "--detector mediapipe"),
    "dlib": ("dlib", "--detector dlib"),
}
_BANDS, _STEPS = 8, 20  # into which the mel is averaged: of its bands, and mel frames
_MEL_OFF = 0.1  # of a mean log-mel, natural logarithm. Processors differ by 1e-5; detectors by more.
_SURE, _WORD_OFF = 0.7, 0.1  # confidence of words that have to be the same, and how far it may be off


@dataclass(frozen=True)
class Stored:
    """What the clip gave when it was stored.

    Attributes:
        video_frames: of the clip.
        mel: (15, 8), means of the log-mel.
        words: that were read -> confidence.
    """

    video_frames: int
    mel: list[list[float]]
    words: dict[str, float]


def selftest() -> int:
    """Speak and read a stored clip, a generated one, and compare with stored numbers; tell what is installed.

    It takes some seconds. The exit status is 0 if all is right, else 1. When something does not work, paste what it
    prints into your issue.
    """
    begun = time.perf_counter()
    print("\n".join(environment()), flush=True)
    spent = {"start": time.perf_counter() - begun}

    def timed(name: str, work: Any) -> Any:
        before = time.perf_counter()
        done = work()
        spent[name] = time.perf_counter() - before
        return done

    speaker, reader = timed("load", lambda: (lipsound2.load("grid-s1-parallel"), lipsound2.load("grid-s1-asr")))
    speech = timed("speak", lambda: speaker(CLIP))
    text = timed("read", lambda: reader(speech))
    found = differences(stored(), speech, text)
    print(f"\nclip        {len(speech.video.landmarks)} video frames, a generated face")
    print(f"speech      {speech.seconds:.2f} s by {speech.model}")
    print(f"text        {text.text}")
    whole = time.perf_counter() - begun
    print(f"time        {whole:.1f} s: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in spent.items()))
    for line in found:
        print(f"DIFFERENT   {line}")
    print(
        f"\n{'All is as it should be.' if not found else 'Something is wrong: please open an issue with these lines.'}"
    )
    return int(bool(found))


def environment() -> list[str]:
    """What there is: versions, processor, detector, extras; a line each."""
    import torch

    from lipsound2.models.processor import bf16_speed
    from lipsound2.training.record import cores, cpu_model

    speed = bf16_speed()
    fast = f"bf16 ({speed:.1f} times as fast as fp32)" if speed > 1 else f"fp32 (bf16 has {speed:.2f} of its speed)"
    there = [name for name, (module, _) in EXTRAS.items() if importlib.util.find_spec(module)]
    lines = [
        f"lipsound2   {lipsound2.__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"processor   {cpu_model()}, {cores()} cores; multiplies fastest in {fast}",
        f"torch       {torch.__version__}, {torch.get_num_threads()} threads; GPU: {_gpu(torch)}",
        f"packages    {', '.join(f'{name} {_version(name)}' for name in ('numpy', 'av', 'opencv-python-headless'))}",
        f"detector    facemesh: {_version('ai-edge-litert')}",
        f"extras      {' '.join(there) or 'none'}",
    ]
    missing = [name for name in EXTRAS if name not in there]
    lines += [f"  missing   {name}: {EXTRAS[name][1]}" for name in missing]
    return lines + ([f"  install   {install_command(missing[0])}, or another of them"] if missing else [])


def differences(wanted: Stored, speech: Speech, text: Transcript) -> list[str]:
    """What is not as it was stored, a line each."""
    lines = []
    if (count := len(speech.video.landmarks)) != wanted.video_frames:
        lines.append(f"{count} video frames, wanted {wanted.video_frames}")
    if unseen := int((speech.video.confidence == 0).sum()):
        lines.append(f"no face in {unseen} video frames")
    mel, stored_mel = mean_mel(speech.mel), np.array(wanted.mel)
    if mel.shape != stored_mel.shape:
        lines.append(f"a mel of {mel.shape} means, wanted {stored_mel.shape}")
    elif not (off := float(np.abs(mel - stored_mel).max())) <= _MEL_OFF:  # also if it is no number
        lines.append(f"the mel is off by {off:.3f}, wanted at most {_MEL_OFF}")
    waveform = speech.waveform
    if not np.isfinite(waveform).all() or waveform.std() < 0.01:
        lines.append("the speech is silent, or holds what is no number")
    words = {word.text: word.confidence or 0.0 for word in text.words}
    for word, confidence in wanted.words.items():
        if confidence >= _SURE and not abs(words.get(word, 0.0) - confidence) <= _WORD_OFF:
            lines.append(f"'{word}' with confidence {words.get(word, 0.0):.2f}, wanted {confidence:.2f}")
    return lines


def mean_mel(mel: np.ndarray) -> np.ndarray:
    """Means (S / 20, 8) of a log-mel (S, bands), to a few digits the same on every processor."""
    frames = len(mel) // _STEPS * _STEPS
    return mel[:frames].reshape(-1, _STEPS, _BANDS, mel.shape[1] // _BANDS).mean((1, 3))


def stored() -> Stored:
    """The stored numbers.

    Raises:
        LipsoundError: the installation lacks them.
    """
    if not STORED.is_file() or not CLIP.is_file():
        raise LipsoundError(f"{FOLDER}: holds no stored clip; install lipsound2 again")
    found: Stored = checked(read_yaml(STORED), Stored, str(STORED))
    return found


def _gpu(torch: Any) -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
