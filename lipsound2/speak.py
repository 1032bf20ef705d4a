"""Any clip -> speech: whatever a phone or a corpus gives, in one command that says what it did."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from lipsound2 import experiment
from lipsound2.audio.sound import write_wav
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.experiment import Experiment
from lipsound2.video.crop import Cropper, Crops
from lipsound2.video.mux import lay_under
from lipsound2.vocoding import vocoder as find_vocoder

DEFAULT_MODEL = "grid-s1-parallel"
WINDOW = 100  # pictures the model sees at once: training clips are shorter, memory stays bounded
STEPS = ("crops", "model", "vocoder")
OVERLAP = 25  # pictures two windows share; their mels are cross-faded there


def speak(
    clip: Path,
    *,
    output: Path,
    model: str = DEFAULT_MODEL,
    video: Path | None = None,
    vocoder: str = "griffin-lim",
    detector: Literal["mediapipe", "dlib"] = "mediapipe",
    choose: Literal["largest", "left", "right", "center"] = "largest",
    ngpu: int = 0,
) -> None:
    """Speak a silent clip: any length, frame rate and rotation.

    Args:
        clip: video file with a talking face; its own sound, if any, is not listened to.
        output: wav file to write, 16 kHz mono.
        model: experiment or pack, or the name of a model that ships with the toolkit.
        video: also write this video file: the clip's pictures with the speech laid under them.
        vocoder: griffin-lim, griffin-lim:ITERATIONS, or a trained vocoder: its folder, or the name of one that ships.
        detector: what finds faces.
        choose: which face when there are several.
        ngpu: GPUs to use: 0 or 1.
    """
    loaded = experiment.load(model, experiment.device_for(ngpu), "regress")
    said = say(clip, loaded, vocoder=vocoder, detector=detector, choose=choose)
    written = time.perf_counter()
    write_wav(output, said.sound, said.rate)
    if video is not None:
        lay_under(clip, said.sound, said.rate, said.crops.timeline.start, video)
    spent = sum(said.spent.values()) + time.perf_counter() - written
    print(f"picture  {said.crops.report}")
    print(f"model    {loaded.path.name}: {loaded.knows}")
    shares = ", ".join(f"{step} {took:.2f} s" for step, took in said.spent.items())
    print(f"speed    {spent / said.seconds:.2f} s per second of clip ({shares})")
    print(f"speech   {output}: {said.seconds:.2f} s" + (f"; with the picture: {video}" if video else ""))


@dataclass(frozen=True)
class Said:
    """A clip that was spoken.

    Attributes:
        sound: (samples,) float32, as long as the picture.
        rate: of it, in Hz.
        crops: what the model saw, and the report on it.
        seconds: of the clip.
        spent: step -> seconds it took.
    """

    sound: np.ndarray
    rate: int
    crops: Crops
    seconds: float
    spent: dict[str, float]


def say(
    clip: Path,
    loaded: Experiment,
    *,
    vocoder: str = "griffin-lim",
    detector: Literal["mediapipe", "dlib"] = "mediapipe",
    choose: Literal["largest", "left", "right", "center"] = "largest",
) -> Said:
    """Speak the face in a video.

    Args:
        clip: video file.
        loaded: experiment or pack of the task *regress*.
        vocoder: see `speak`.
        detector: what finds faces.
        choose: which face when there are several.

    Raises:
        LipsoundError: no such file, or none that shows a face.
    """
    voice = find_vocoder(vocoder, loaded.task.mel, next(loaded.model.parameters()).device)
    region = loaded.task.settings.input
    clock = [time.perf_counter()]
    crops = crop_of(clip, region, detector, choose)
    clock.append(time.perf_counter())
    mel = generate_long(loaded, crops.regions[region])
    clock.append(time.perf_counter())
    sound = voice(torch.from_numpy(mel)).cpu().numpy()
    clock.append(time.perf_counter())
    spent = {step: later - earlier for step, earlier, later in zip(STEPS, clock, clock[1:], strict=False)}
    return Said(sound, loaded.task.mel.sample_rate, crops, len(crops.regions[region]) / 25, spent)


def crop_of(
    clip: Path,
    region: str,
    detector: Literal["mediapipe", "dlib"] = "mediapipe",
    choose: Literal["largest", "left", "right", "center"] = "largest",
) -> Crops:
    """What a model sees of a video.

    Args:
        clip: video file.
        region: kind of the crops, such as mouth.
        detector: what finds faces.
        choose: which face when there are several.

    Raises:
        LipsoundError: no such file, or none that shows a face.
    """
    if not clip.is_file():
        raise LipsoundError(f"{clip}: no such file")
    try:
        return Cropper((region,), detector=detector, choose=choose)(clip)
    except ClipFailure as failure:
        raise LipsoundError(f"{clip}: {failure}") from failure


def generate_long(loaded: Experiment, pictures: np.ndarray) -> np.ndarray:
    """Natural mel (S, bands) of crops (T, H, W) of any length.

    Clips longer than a window are cut into overlapping windows, whose mels are cross-faded; the sound is then made in
    one pass, so that no seam can be heard in the phase.
    """
    total = len(pictures)
    starts = window_starts(total)
    ratio = loaded.task.ratio
    frames = int(total * ratio)
    device = next(loaded.model.parameters()).device
    mel = np.zeros((frames, loaded.task.mel.bands), np.float32)
    weight = np.zeros((frames, 1), np.float32)
    for start in starts:
        piece = torch.from_numpy(np.ascontiguousarray(pictures[start : start + WINDOW]))[None].to(device)
        result = loaded.model.generate(piece, torch.tensor([piece.shape[1]], device=device))  # type: ignore[operator]
        part = result.features[0, : int(result.frames[0])].float().cpu().numpy()
        first = round(start * ratio)
        part = part[: frames - first]
        fade = _fade(len(part), round(OVERLAP * ratio), start > 0, start + WINDOW < total)
        mel[first : first + len(part)] += part * fade
        weight[first : first + len(part)] += fade
    return mel / np.maximum(weight, 1e-6)


def window_starts(total: int) -> list[int]:
    """First pictures of the windows that cover `total` pictures; the last one ends with the clip."""
    if total <= WINDOW:
        return [0]
    return [*range(0, total - WINDOW, WINDOW - OVERLAP), total - WINDOW]


def _fade(length: int, overlap: int, left: bool, right: bool) -> np.ndarray:
    """(length, 1) weights that rise over `overlap` frames where a neighbour is, and never reach 0."""
    fade = np.ones(length, np.float32)
    ramp = (np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)
    if left:
        fade[:overlap] *= ramp[:length]
    if right:
        fade[-overlap:] *= ramp[::-1][-length:]
    return fade[:, None]
