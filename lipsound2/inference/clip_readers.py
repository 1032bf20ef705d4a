"""What reads the clips of `transcribe`: loaded models, or exported networks. Only the former load torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lipsound2.decoding.search_options import SearchOptions
from lipsound2.errors import LipsoundError
from lipsound2.inference.recognizer_names import DEFAULT_ASR

if TYPE_CHECKING:
    from lipsound2.inference.phrases import Phrases
    from lipsound2.inference.synthesizer import FaceChoice, Synthesizer
    from lipsound2.inference.transcriber import Transcriber
    from lipsound2.inference.transcript import Transcript
    from lipsound2.model_names import Precision
    from lipsound2.video.detect import DetectorName

log = logging.getLogger(__name__)


class ClipReaders(NamedTuple):
    """What transcribes the lips in a video file, and the audio of a file."""

    lips: Callable[[Path], Transcript]
    audio: Callable[[Path], Transcript]


@dataclass(frozen=True)
class Reading:
    """How clips are read.

    Attributes:
        search: search options of trained recognizers.
        device: where networks run; exported ones run on the CPU.
        precision: of recognizers; exported ones have their own.
        detector: face detector.
        face: which face, where there are several.
        asd: file of LR-ASD's weights, for the face `speaking`.
        phrases: own sentences, or None.
        many: whether a line tells how far many clips are, so that none does for a single one.
    """

    search: SearchOptions
    device: str
    precision: Precision
    detector: DetectorName
    face: FaceChoice
    asd: Path | None
    phrases: Phrases | None
    many: bool


def load(model: str, asr: str, how: Reading, *, audio: bool) -> ClipReaders:
    """Load the models.

    Args:
        model: lip-to-speech model or lip reader; empty: there is audio only.
        asr: recognizer of audio; empty: `DEFAULT_ASR`, unless the lips are read without one.
        how: clips are read.
        audio: whether the recognizer of audio is needed even if `model` reads lips.

    Raises:
        LipsoundError: a model is absent or of another task.
    """
    from lipsound2.inference.recognizers import recognizer
    from lipsound2.inference.transcriber import Transcriber

    reader = _lip_reader(model, asr, how) if model else None
    lips = None if reader is None else _asked(reader, how.phrases)
    if lips is not None and not audio:
        return ClipReaders(lips, lips)
    recognize = Transcriber(recognizer(asr or DEFAULT_ASR, how.search, how.device, precision=how.precision))
    heard = _asked(recognize, how.phrases)
    if recognize.knows:
        log.info("%s knows: %s", recognize.name, recognize.knows)
    if lips is not None or not model:
        return ClipReaders(lips or heard, heard)
    if how.phrases is not None and not asr:
        log.info("%s does not name all words of the sentences; they are ranked by its speech", model)
    from lipsound2.inference.lip_to_speech import load_lip_to_speech
    from lipsound2.inference.synthesizer import Synthesizer

    speaks = load_lip_to_speech(model, device=how.device)
    synthesize = Synthesizer(speaks, detector=how.detector, face=how.face, asd=how.asd)
    return ClipReaders(_cascade(synthesize, recognize, how), heard)


def check_exported(given: Sequence[Path], kinds: set[str]) -> tuple[str, str]:
    """Check that exported networks fit together and read what is given, before any is opened.

    Returns:
        What reads the lips, a reader or a lip-to-speech model, empty if nothing does; and the recognizer of audio.

    Raises:
        LipsoundError: they do not.
    """
    from lipsound2.audio.kind import AUDIO
    from lipsound2.inference.onnx_folder import READER, read_folder

    folder, speaks = _exported_parts(given)
    shown, reads = f"--onnx {','.join(map(str, given))}", read_folder(folder, READER).input
    if reads != AUDIO and ("audio" in kinds or speaks):
        what = "no audio; give videos, and leave out --audio" if "audio" in kinds else "and takes no further files"
        raise LipsoundError(f"{shown}: reads lips ('{reads}'), {what}")
    if reads == AUDIO and "lips" in kinds and not speaks:
        raise LipsoundError(
            f"{shown}: recognizes audio, not lips; give --audio, or a lip-to-speech model too: "
            f"--onnx LIPS.onnx,{folder}"
        )
    if reads != AUDIO:
        return str(folder), ""
    return str(speaks[0]) if "lips" in kinds else "", str(folder)


def _exported_parts(given: Sequence[Path]) -> tuple[Path, list[Path]]:
    """The folder of the recognizer, and the files of a lip-to-speech model and its vocoder.

    Raises:
        LipsoundError: there is not one folder.
    """
    from lipsound2.inference.onnx_folder import is_exported

    if len(given) == 1 and given[0].suffix.lower() != ".onnx":
        return given[0], []  # what is wrong with it, its reader tells
    speaks = [path for path in given if path.suffix.lower() == ".onnx" or (path.is_dir() and not is_exported(path))]
    folders = [path for path in given if path not in speaks]
    if len(folders) != 1:
        raise LipsoundError(
            f"--onnx {','.join(map(str, given))}: expected one folder that lipsound2 export wrote of a recognizer, "
            f"found {len(folders)}"
        )
    return folders[0], speaks


def load_exported(given: Sequence[Path], how: Reading) -> ClipReaders:
    """Open exported networks; see `load`."""
    from lipsound2.inference.onnx_reader import OnnxRecognizer
    from lipsound2.inference.transcriber import Transcriber

    folder, speaks = _exported_parts(given)
    reader = Transcriber(OnnxRecognizer(folder, how.search), detector=how.detector, face=how.face, asd=how.asd)
    asked = _asked(reader, how.phrases)
    log.info("%s knows: %s", reader.name, reader.knows)
    if not speaks:
        return ClipReaders(asked, asked)
    from lipsound2.inference.onnx import OnnxLipToSpeech
    from lipsound2.inference.synthesizer import Synthesizer

    synthesize = Synthesizer(OnnxLipToSpeech(speaks), detector=how.detector, face=how.face, asd=how.asd)
    return ClipReaders(_cascade(synthesize, reader, how), asked)


def _cascade(synthesize: Synthesizer, recognize: Transcriber, how: Reading) -> Callable[[Path], Transcript]:
    """What makes speech of the lips and recognizes it."""
    synthesize.progress = not how.many
    log.info("%s knows: %s", synthesize.name, synthesize.knows)

    def cascade(clip: Path) -> Transcript:
        speech = synthesize(clip)
        log.info("%s: %s", clip, speech.video.report)
        return recognize(speech, phrases=how.phrases)

    return cascade


def _lip_reader(model: str, asr: str, how: Reading) -> Transcriber | None:
    """What reads lips without making speech: a lip reader, or the word head of a lip-to-speech model that knows all
    words of the own sentences, unless a recognizer of its speech is given; else None.

    Raises:
        LipsoundError: a recognizer of audio was given.
    """
    from lipsound2.inference.lip_words import lip_ranker
    from lipsound2.inference.recognizers import recognizer
    from lipsound2.inference.transcriber import Transcriber
    from lipsound2.model_names import task_of

    if task_of(model) != "recognize":
        reader = None
        if how.phrases is not None and not asr:
            reader = lip_ranker(model, how.device, how.phrases, detector=how.detector, face=how.face, asd=how.asd)
    else:
        recognize = recognizer(model, how.search, how.device, lips=True, precision=how.precision)
        reader = Transcriber(recognize, detector=how.detector, face=how.face, asd=how.asd)
        if not reader.reads_lips:
            raise LipsoundError(f"{model}: reads 'audio', not face or mouth crops; give a recognizer of audio as --asr")
    if reader is not None:
        log.info("%s knows: %s", model, reader.knows)
    return reader


def _asked(transcriber: Transcriber, phrases: Phrases | None) -> Callable[[Path], Transcript]:
    """A transcriber that is asked for own sentences, if there are any.

    Raises:
        LipsoundError: it cannot write one of them.
    """
    if phrases is not None:
        transcriber.check(phrases)
    return partial(transcriber, phrases=phrases)
