"""Words with times of clips, one after the other: models are loaded once, and a clip may have any length."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from lipsound2 import experiment, model_names
from lipsound2.audio.check import check_audio, load_checked
from lipsound2.audio.writing import Spool
from lipsound2.decoding.hypothesis import Hypothesis, joined
from lipsound2.decoding.pretrained_asr import SpeechRecognizer
from lipsound2.decoding.search_options import DEFAULT_SEARCH, SearchOptions
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.inference.lip_to_speech import TorchLipToSpeech
from lipsound2.inference.pauses import FAMILIAR, LEVELS, LONGEST, first_cut, levels_of, stretches
from lipsound2.inference.recognizers import TrainedRecognizer, recognizer
from lipsound2.inference.synthesizer import BUDGET, Detect, FaceChoice, Synthesizer
from lipsound2.inference.transcript import Transcript
from lipsound2.metrics.speech import to_rate
from lipsound2.tasks.regress import Regress
from lipsound2.timing import FRAME_RATE, SAMPLE_RATE
from lipsound2.video.align import REGIONS
from lipsound2.video.cropper import Cropper
from lipsound2.video.scenes import differences, find_scenes, thumbnail

log = logging.getLogger(__name__)


class Transcriber:
    """Transcribes clips: loaded once, called for each clip.

    Args:
        model: lip-to-speech model or lip reader; empty: there is audio only.
        asr: recognizer of audio.
        audio: load the recognizer of audio even if `model` reads lips.
        search: search options of trained recognizers.
        detector: face detector.
        face: which face, where there are several.
        ngpu: GPUs to use: 0 or 1.

    Raises:
        LipsoundError: a model is absent or of another task.
    """

    def __init__(
        self,
        model: str,
        asr: str,
        *,
        audio: bool = True,
        search: SearchOptions = DEFAULT_SEARCH,
        detector: Detect = "mediapipe",
        face: FaceChoice = "largest",
        ngpu: int = 0,
    ) -> None:
        task = model_names.task_of(model) if model else ""
        self._reader: TrainedRecognizer | None = None
        self._recognizer: SpeechRecognizer | None = None
        self._synthesizer: Synthesizer | None = None
        self._models: dict[str, str] = {}  # what each model knows that text of lips comes from
        if task == "recognize":
            self._reader = _reader(model, search, ngpu)
            self._cropper = Cropper((self._reader.input,), detector=detector, which_face=face, budget=BUDGET)
        if audio or self._reader is None:
            self._recognizer = recognizer(asr, search, ngpu)
            if isinstance(self._recognizer, TrainedRecognizer):
                log.info("%s knows: %s", asr, self._recognizer.knows)
        if model and self._reader is None:
            loaded = experiment.load(model, experiment.device_for(ngpu), task=Regress)
            log.info("%s knows: %s", loaded.path.name, loaded.knows)
            self._models[loaded.path.name] = loaded.knows
            self._synthesizer = Synthesizer(TorchLipToSpeech(loaded), detector=detector, face=face)

    def audio(self, media: Path) -> Transcript:
        """Recognize the audio of a file.

        Raises:
            ClipFailure: there is no audio, or it is silent.
        """
        track = load_checked(media, SAMPLE_RATE)
        found = self._recognize(
            levels_of(track.blocks(), SAMPLE_RATE), SAMPLE_RATE, lambda first, end: track.read(first, end - first)
        )
        return self._transcript(found, {}, self._recognizer)

    def lips(self, media: Path) -> Transcript:
        """Recognize the lips in a video.

        Raises:
            ClipFailure: they cannot be read.
        """
        if self._reader is not None:
            reader = self._reader
            taken: list[_Reading] = []

            def store(shape: tuple[int, int, int]) -> _Reading:
                taken.append(_Reading(shape[0], lambda crops: reader.recognize([crops])[0]))
                return taken[0]

            log.info("%s: %s", media, self._cropper(media, store=store).report)
            return self._transcript(joined(taken[0].found), self._models, reader)
        assert self._synthesizer is not None
        rate = self._synthesizer.model.mel.sample_rate
        with Spool(rate) as spool:
            result = self._synthesizer(media, spool.add)
            log.info("%s: %s", media, result.report)
            scenes = [round(first / FRAME_RATE * LEVELS) for first, _ in result.report.scenes[1:]]
            levels = levels_of(spool.blocks(), rate)
            found = self._recognize(levels, rate, lambda first, end: spool.read(first, end - first), scenes)
        return self._transcript(found, self._models, self._recognizer)

    def _recognize(
        self, levels: np.ndarray, rate: int, audio: Callable[[int, int], np.ndarray], scenes: Sequence[int] = ()
    ) -> Hypothesis:
        """Recognize audio stretch by stretch.

        Args:
            levels: of the audio.
            rate: of the audio.
            audio: function from first sample and end to the samples.
            scenes: levels at which another scene begins.
        """
        assert self._recognizer is not None
        found: list[tuple[float, Hypothesis]] = []
        cuts = stretches(levels, LEVELS, scenes, sentences=isinstance(self._recognizer, TrainedRecognizer))
        for number, (first, end) in enumerate(cuts):
            begin = first * rate // LEVELS
            # Samples after the last whole level belong to the last stretch.
            stop = end * rate // LEVELS if number + 1 < len(cuts) else end * rate // LEVELS + rate
            waveform = np.asarray(to_rate(audio(begin, stop), rate, SAMPLE_RATE), np.float32)
            if len(cuts) == 1 or _is_usable(waveform):
                found.append((begin / rate, self._recognizer.recognize([waveform])[0]))
        return joined(found)

    def _transcript(
        self, found: Hypothesis, models: Mapping[str, str], recognizer: SpeechRecognizer | None
    ) -> Transcript:
        """A hypothesis with its origin: models that made what was recognized, and the recognizer."""
        assert recognizer is not None
        own = recognizer if isinstance(recognizer, TrainedRecognizer) else None
        origin = {**models, recognizer.name: own.knows if own else ""}
        return Transcript.of(found, origin, calibrated=own is not None and own.calibration is not None)


class _Reading:
    """Recognizes the crops of one clip as they come, stretch by stretch.

    Args:
        total: number of crops that will come.
        read: function from crops (T, S, S) uint8 to a hypothesis.

    Attributes:
        found: for each stretch, the second at which it begins and its hypothesis.
    """

    def __init__(self, total: int, read: Callable[[np.ndarray], Hypothesis]) -> None:
        self._read = read
        self._sentences = total > FAMILIAR * FRAME_RATE
        self._crops: list[np.ndarray] = []
        self._moves: list[float] = []  # of each crop to the next
        self._begin = 0
        self.found: list[tuple[float, Hypothesis]] = []

    def add(self, frame: np.ndarray) -> None:
        """The next crop."""
        if len(self._crops) > int(LONGEST * FRAME_RATE):
            self._read_stretch(self._next_cut())
        if self._crops:
            self._moves += differences([thumbnail(self._crops[-1]), thumbnail(frame)]).tolist()
        self._crops.append(frame)

    def whole(self) -> np.ndarray:
        """End the clip. Returns the crops, none of which are kept: (0,)."""
        while cut := self._next_cut():
            self._read_stretch(cut)
        self._read_stretch(len(self._crops))
        return np.empty(0, np.uint8)

    def _next_cut(self) -> int:
        """Where the first stretch of the waiting crops ends; 0: all of them are one stretch."""
        if not self._moves:
            return 0
        moves = np.array([*self._moves, self._moves[-1]])
        scenes = [first for first, _ in find_scenes(np.array(self._moves))[1:]]
        return first_cut(np.log(moves + 0.1), FRAME_RATE, scenes, sentences=self._sentences)

    def _read_stretch(self, end: int) -> None:
        self.found.append((self._begin / FRAME_RATE, self._read(np.stack(self._crops[:end]))))
        self._crops, self._moves, self._begin = self._crops[end:], self._moves[end:], self._begin + end


def _is_usable(audio: np.ndarray) -> bool:
    """Whether a stretch holds usable audio."""
    try:
        check_audio(audio, SAMPLE_RATE)
    except ClipFailure:
        return False
    return True


def _reader(model: str, search: SearchOptions, ngpu: int) -> TrainedRecognizer:
    reader = recognizer(model, search, ngpu, lips=True)
    assert isinstance(reader, TrainedRecognizer)
    log.info("%s knows: %s", model, reader.knows)
    if reader.input not in REGIONS:
        raise LipsoundError(
            f"{model}: reads '{reader.input}', not {' or '.join(REGIONS)} crops; give a recognizer of audio as "
            "--asr; a recognizer of stored trunk states runs with lipsound2 decode"
        )
    return reader
