"""Any clip -> speech: whatever a phone or a corpus gives, in one command that says what it did.

Torch is imported where it is used: exported networks speak without it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from lipsound2.audio.mel_settings import MelConfig
from lipsound2.audio.sound import write_wav
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.video.crop import Cropper, Crops
from lipsound2.video.mux import lay_under

DEFAULT_MODEL = "grid-s1-parallel"
STEPS = ("crops", "model", "vocoder")


def speak(
    clip: Path,
    *,
    output: Path,
    model: str = DEFAULT_MODEL,
    video: Path | None = None,
    vocoder: str = "griffin-lim",
    onnx: tuple[Path, ...] = (),
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
        onnx: what lipsound2 export wrote, instead of a model: the file of a lip-to-speech model, after a comma that of
            a vocoder if there is one; or the folder of both. Torch is not needed then.
        detector: what finds faces.
        choose: which face when there are several.
        ngpu: GPUs to use: 0 or 1.
    """
    voice = _exported(onnx, model, vocoder, ngpu) if onnx else _trained(model, vocoder, ngpu)
    said = say(clip, voice, detector=detector, choose=choose)
    written = time.perf_counter()
    write_wav(output, said.sound, said.rate)
    if video is not None:
        lay_under(clip, [said.sound], said.rate, said.crops.timeline.start, video)
    spent = sum(said.spent.values()) + time.perf_counter() - written
    print(f"picture  {said.crops.report}")
    print(f"model    {voice.name}: {voice.knows}")
    shares = ", ".join(f"{step} {took:.2f} s" for step, took in said.spent.items())
    print(f"speed    {spent / said.seconds:.2f} s per second of clip ({shares})")
    print(f"speech   {output}: {said.seconds:.2f} s" + (f"; with the picture: {video}" if video else ""))


class Voice(Protocol):
    """What turns crops into speech.

    Attributes:
        name: of the model.
        knows: voices and words it knows.
        region: kind of the crops it looks at, such as mouth.
        mel: what it says before it is sound.
    """

    name: str
    knows: str
    region: str
    mel: MelConfig

    def generate(self, pictures: np.ndarray) -> np.ndarray:
        """Natural mel (S, bands) float32 of crops (T, H, W) uint8 of any length."""
        ...

    def sound(self, mel: np.ndarray) -> np.ndarray:
        """(S * hop,) float32 of a mel (S, bands)."""
        ...


def _trained(model: str, vocoder: str, ngpu: int) -> Voice:
    from lipsound2 import experiment
    from lipsound2.speaking.voice import TrainedVoice

    return TrainedVoice(experiment.load(model, experiment.device_for(ngpu), "regress"), vocoder)


def _exported(files: tuple[Path, ...], model: str, vocoder: str, ngpu: int) -> Voice:
    from lipsound2.speaking.onnx_voice import OnnxVoice

    if model != DEFAULT_MODEL or ngpu:
        raise LipsoundError("--onnx stands instead of --model, and runs on the CPU: leave out --model and --ngpu")
    return OnnxVoice(files, vocoder)


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
    voice: Voice,
    *,
    detector: Literal["mediapipe", "dlib"] = "mediapipe",
    choose: Literal["largest", "left", "right", "center"] = "largest",
) -> Said:
    """Speak the face in a video.

    Args:
        clip: video file.
        voice: who speaks.
        detector: what finds faces.
        choose: which face when there are several.

    Raises:
        LipsoundError: no such file, or none that shows a face.
    """
    clock = [time.perf_counter()]
    crops = crop_of(clip, voice.region, detector, choose)
    pictures = crops.regions[voice.region]
    clock.append(time.perf_counter())
    mel = voice.generate(pictures)
    clock.append(time.perf_counter())
    sound = voice.sound(mel)
    clock.append(time.perf_counter())
    spent = {step: later - earlier for step, earlier, later in zip(STEPS, clock, clock[1:], strict=False)}
    return Said(sound, voice.mel.sample_rate, crops, len(pictures) / 25, spent)


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
