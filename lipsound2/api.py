"""The Python API: models by name, called with clips.

    import lipsound2

    model = lipsound2.load("grid-s1-parallel")
    speech = model("clip.mp4")
    speech.save("clip.wav")
    text = lipsound2.load("grid-s1-vsr")("clip.mp4")
    print(text.text, text.confidence)

Everything is offered by `lipsound2` itself and loaded when it is first used. Nothing is ever fetched, but by the
recognizers of other projects whose weights come from their own pages (`whisper:NAME`, `torchaudio:NAME`).
"""

from __future__ import annotations

import functools
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args, overload

import numpy as np

from lipsound2 import model_names
from lipsound2.audio.kind import AUDIO
from lipsound2.decoding.search_options import DEFAULT_SEARCH, SearchOptions
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.gpus import check_device
from lipsound2.inference.onnx_folder import READER, is_exported, read_folder
from lipsound2.inference.recognizer_names import check_recognizer, is_own
from lipsound2.inference.speech import ClipVideo, Speech
from lipsound2.inference.synthesizer import FaceChoice, Synthesizer
from lipsound2.inference.transcript import Transcript
from lipsound2.inference.vocoder_names import folder_of, vocoder_of
from lipsound2.model_names import Precision
from lipsound2.model_uses import RECOGNIZER
from lipsound2.timing import FRAME_RATE
from lipsound2.video.cropper import Cropper
from lipsound2.video.detect import DEFAULT_DETECTOR, DetectorName
from lipsound2.video.frame_arrays import check_clip
from lipsound2.video.speaking import check_choice

if TYPE_CHECKING:
    from lipsound2.inference.transcriber import Transcriber
    from lipsound2.inference.vocoders import LoadedVocoder

__all__ = [
    "ClipFailure",
    "ClipVideo",
    "LipsoundError",
    "SearchOptions",
    "Speech",
    "Transcript",
    "crop",
    "load",
    "phrase_reader",
]


_VOCODER, _DETECTOR, _FACE = "auto", DEFAULT_DETECTOR, "largest"
# What comes back, by the task of the model.
_LOADED = {"regress": "a lip-to-speech model", "recognize": "a recognizer", "vocode": "a vocoder"}


@overload
def load(
    name: Literal["grid-s1-parallel"],
    *,
    device: str = "cpu",
    vocoder: str = "auto",
    detector: DetectorName = DEFAULT_DETECTOR,
    face: FaceChoice = "largest",
    asd: str | Path | None = None,
) -> Synthesizer: ...


@overload
def load(
    name: Literal["grid-s1-asr"],
    *,
    device: str = "cpu",
    search: SearchOptions = DEFAULT_SEARCH,
    precision: Precision = "auto",
) -> Transcriber: ...


@overload
def load(
    name: Literal["grid-s1-vsr"],
    *,
    device: str = "cpu",
    detector: DetectorName = DEFAULT_DETECTOR,
    face: FaceChoice = "largest",
    asd: str | Path | None = None,
    search: SearchOptions = DEFAULT_SEARCH,
    precision: Precision = "auto",
) -> Transcriber: ...


@overload
def load(name: Literal["grid-s1-vocos"], *, device: str = "cpu") -> LoadedVocoder: ...


@overload
def load(
    name: str | Path,
    *,
    device: str = "cpu",
    vocoder: str = "auto",
    detector: DetectorName = DEFAULT_DETECTOR,
    face: FaceChoice = "largest",
    asd: str | Path | None = None,
    search: SearchOptions = DEFAULT_SEARCH,
    voice_encoder: str | Path | None = None,
    precision: Precision = "auto",
) -> Synthesizer | Transcriber | LoadedVocoder: ...


def load(
    name: str | Path,
    *,
    device: str = "cpu",
    vocoder: str = "auto",
    detector: DetectorName = DEFAULT_DETECTOR,
    face: FaceChoice = "largest",
    asd: str | Path | None = None,
    search: SearchOptions = DEFAULT_SEARCH,
    voice_encoder: str | Path | None = None,
    precision: Precision = "auto",
) -> Synthesizer | Transcriber | LoadedVocoder:
    """Load a model by its name, or an experiment or pack by its folder.

    What comes back depends on what the model was trained for:

    * lip-to-speech (`grid-s1-parallel`): a `Synthesizer`, called with a video, gives `Speech`;
    * a recognizer of audio (`grid-s1-asr`, `pocketsphinx:grid`) or a lip reader (`grid-s1-vsr`): a `Transcriber`,
      called with speech or audio, or with a video, gives a `Transcript`;
    * a vocoder (`grid-s1-vocos`, `griffin-lim`): a function from a mel (S, bands) to a waveform (S * hop,).

    All of them may be called from several threads; the calls of one model take turns.

    Args:
        name: folder of an experiment or pack, or of an exported recognizer, which needs no torch; name of a model
            (`lipsound2 models` lists them), of a recognizer of another project, or `griffin-lim`.
        device: where the networks run: cpu, cuda, cuda:1, ... or mps.
        vocoder: of a lip-to-speech model: griffin-lim, griffin-lim:ITERATIONS, or the folder or name of a trained one.
            auto is the one that its pack asks for, else griffin-lim.
        detector: face detector, of models that take video: facemesh, mediapipe or dlib.
        face: which face, where there are several: largest, left, right, center or speaking.
        asd: with the face `speaking`: file of LR-ASD's published weights, which tell who speaks.
        search: search options, of recognizers trained with this toolkit.
        voice_encoder: of a lip-to-speech model that speaks in a chosen voice: the weights of the speaker encoder, the
            wheel of resemblyzer or its pretrained.pt; by default those of the installed package.
        precision: likewise, of their linear layers: fp32; bf16, half the memory; int8, a quarter, on CPUs. auto is bf16
            for large models where the device multiplies it faster, else fp32.

    Raises:
        LipsoundError: there is no such model or device; a package is missing; an option does not fit.
    """
    check_device(device)
    name = os.fspath(name)
    exported, hears = is_exported(name), False
    if exported:
        task, hears = "recognize", read_folder(Path(name), READER).input == AUDIO
    elif not is_own(name):
        check_recognizer(name)
        task, hears = "recognize", True
    elif name.partition(":")[0] == "griffin-lim" and not Path(name).exists():
        task = "vocode"
    else:
        task, hears = model_names.task_of(name), model_names.use_of_model(name) == RECOGNIZER
    sees = () if hears else ("regress", "recognize")
    for option, given, takes in (
        ("vocoder", vocoder != _VOCODER, ("regress",)),
        ("detector", detector != _DETECTOR, sees),
        ("face", face != _FACE, sees),
        ("asd", asd is not None, sees),
        ("search", search != DEFAULT_SEARCH, ("recognize",)),
        ("voice encoder", voice_encoder is not None, ("regress",)),
        ("precision", precision != "auto", ("recognize",)),
    ):
        if given and task in _LOADED and task not in takes:
            what = _LOADED[task] + " of audio" * hears
            raise LipsoundError(f"{name}: is {what}, which has no {option}; leave it out")
    if precision not in get_args(Precision):
        raise LipsoundError(f"precision: found {precision!r:.60}, wanted one of: {', '.join(get_args(Precision))}")
    if not isinstance(search, SearchOptions):
        raise LipsoundError(
            f"search: found an object of type {type(search).__name__}, wanted lipsound2.SearchOptions(beam=16), say"
        )
    weights = _weights(face, asd)
    if exported:
        from lipsound2.inference.onnx_reader import OnnxRecognizer
        from lipsound2.inference.transcriber import Transcriber

        if device != "cpu" or precision != "auto":
            raise LipsoundError(
                f"{name}: holds exported networks, which run on the CPU as they were exported; leave out device and "
                "precision"
            )
        return Transcriber(OnnxRecognizer(name, search), detector=detector, face=face, asd=weights)
    if task == "regress":
        from lipsound2.inference.lip_to_speech import load_lip_to_speech

        folder_of(vocoder_of(vocoder, name))
        return Synthesizer(
            load_lip_to_speech(name, vocoder, device),
            detector=detector,
            face=face,
            asd=weights,
            voice_encoder=None if voice_encoder is None else Path(voice_encoder),
        )
    if task == "recognize":
        from lipsound2.inference.recognizers import recognizer
        from lipsound2.inference.transcriber import Transcriber

        reader = recognizer(name, search, device, lips=True, precision=precision)
        return Transcriber(reader, detector=detector, face=face, asd=weights)
    if task == "vocode":
        from lipsound2.inference.vocoders import LoadedVocoder

        return LoadedVocoder(name, device)
    known = ", ".join(f"{task} ({what})" for task, what in _LOADED.items())
    raise LipsoundError(f"{name}: is of the task '{task}'; load takes {known}")


def phrase_reader(
    name: str | Path = "grid-s1-parallel",
    *,
    device: str = "cpu",
    detector: DetectorName = DEFAULT_DETECTOR,
    face: FaceChoice = "largest",
    asd: str | Path | None = None,
) -> Transcriber:
    """Load what ranks your own sentences straight from the lips, by a lip-to-speech model that names words.

        reader = lipsound2.phrase_reader()
        text = reader("clip.mp4", phrases=["bin blue at f two now", "lay red by a one soon"])
        text.text, text.confidence, text.phrases[0].choices, text.phrases[0].none

    Recognizers rank sentences too: `lipsound2.load("grid-s1-asr")(speech, phrases=[...])`, for words that the model
    does not name.

    Args:
        name: experiment or pack, or the name of a model that ships.
        device: where the network runs.
        detector: face detector.
        face: which face, where there are several.
        asd: with the face `speaking`: file of LR-ASD's weights.

    Raises:
        LipsoundError: there is no such model or device, or it names no words.
    """
    check_device(device)
    weights = _weights(face, asd)
    model_names.check_task(name, "regress")
    from lipsound2.inference.lip_words import lip_ranker

    ranker = lip_ranker(name, device, detector=detector, face=face, asd=weights)
    if ranker is None:
        raise LipsoundError(f"{name}: names no words; rank sentences by its speech and a recognizer instead")
    return ranker


def crop(
    clip: str | Path | np.ndarray,
    region: Literal["mouth", "face", "mouth-published"] = "mouth",
    *,
    fps: float | None = None,
    detector: DetectorName = DEFAULT_DETECTOR,
    face: FaceChoice = "largest",
    asd: str | Path | None = None,
) -> np.ndarray:
    """Crop the mouth or the face of who is shown, stabilized over time, at 25 frames a second.

    The detector is kept from call to call. Threads take turns.

    Args:
        clip: video file; or frames (T, H, W, 3) RGB or (T, H, W) full-range gray, uint8.
        region: mouth (S = 96, aligned to the mean face), face (S = 112), or mouth-published (S = 96, as published lip
            readers want it).
        fps: of frames, frames a second; a file has its own clock.
        detector: face detector.
        face: which face, where there are several: largest, left, right, center or speaking.
        asd: with the face `speaking`: file of LR-ASD's published weights, which tell who speaks.

    Returns:
        (T, S, S) uint8, luma from 0 (black) to 255 (white).

    Raises:
        ClipFailure: the clip cannot be used: unreadable, too short, without a face, ...
        LipsoundError: an unknown region, detector or face, or what was given is no clip.
    """
    check_clip(clip, fps)
    cropper = _cropper(region, detector, face, _weights(face, asd))
    with _cropping:
        return cropper(clip, fps=fps or FRAME_RATE).regions[region]


_cropping = threading.Lock()


@functools.lru_cache(maxsize=2)
def _cropper(region: str, detector: str, face: str, asd: Path | None) -> Cropper:
    return Cropper((region,), detector=detector, which_face=face, asd=asd)


def _weights(face: str, asd: str | Path | None) -> Path | None:
    """The file that tells who speaks, checked before anything is loaded."""
    weights = None if asd is None else Path(asd)
    check_choice(face, weights)
    return weights
