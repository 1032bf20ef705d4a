"""What the page asks of the models: the speech and the words of one clip, as `speak` and `transcribe` make them."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path

from lipsound2 import api, model_names
from lipsound2.errors import LipsoundError
from lipsound2.inference.model_list import models_here, reads_lips, record_of
from lipsound2.inference.recognizer_names import DEFAULT_ASR, check_recognizer
from lipsound2.inference.speak import DEFAULT_MODEL
from lipsound2.inference.speech import ClipVideo, Speech
from lipsound2.inference.synthesizer import FaceChoice, Synthesizer
from lipsound2.inference.transcriber import Transcriber
from lipsound2.inference.transcript import Transcript
from lipsound2.inference.vocoder_names import AUTO, folder_of, vocoder_of
from lipsound2.video.detect import DEFAULT_DETECTOR, DetectorName, check_detector

_LOADED = 2  # models that are kept in memory, each for one choice of face


@dataclass(frozen=True)
class Choices:
    """What the verb was given, for all clips.

    Attributes:
        model: name or folder of the model that is chosen first.
        asr: recognizer of the speech that a lip-to-speech model makes.
        vocoder: of lip-to-speech models.
        detector: face detector.
        asd: file of LR-ASD's weights; with it, the face that speaks can be chosen.
        device: where the networks run.
    """

    model: str = DEFAULT_MODEL
    asr: str = DEFAULT_ASR
    vocoder: str = AUTO
    detector: DetectorName = DEFAULT_DETECTOR
    asd: Path | None = None
    device: str = "cpu"

    def check(self) -> None:
        """Look at all of them before anything is loaded.

        Raises:
            LipsoundError: there is no such model, recognizer, vocoder, detector or file.
        """
        if not reads_lips(record_of(model_names.find(self.model), "user")):
            others = ", ".join(self.names()[1:])
            raise LipsoundError(f"{self.model}: reads no lips; give a lip-to-speech model or a lip reader: {others}")
        check_recognizer(self.asr)
        folder_of(vocoder_of(self.vocoder, self.model))
        check_detector(self.detector)
        if self.asd is not None:
            from lipsound2.video.speaking import check_choice

            check_choice("speaking", self.asd)

    def names(self) -> list[str]:
        """Models that can be chosen on the page, the first one first."""
        known = [record.name for record in models_here() if reads_lips(record)]
        return list(dict.fromkeys([self.model, *known]))

    def faces(self) -> list[FaceChoice]:
        """Faces that can be chosen on the page."""
        found: list[FaceChoice] = ["largest", "left", "right", "center"]
        return found if self.asd is None else [*found, "speaking"]

    def knows(self, name: str) -> str:
        """Voices and words that a model knows, and what comes of others; empty: it does not say."""
        return model_names.card_facts(model_names.find(name)).get("Knows", "")


@dataclass(frozen=True)
class Answer:
    """What was made of one clip.

    Attributes:
        transcript: the words.
        video: what was found in the video.
        speech: None: the model writes text and makes no speech.
        warnings: reasons to doubt all this, a line each.
    """

    transcript: Transcript
    video: ClipVideo
    speech: Speech | None
    warnings: list[str] = field(default_factory=list)


class Reader:
    """Reads clips, one at a time; models are loaded when they are first chosen.

    Args:
        choices: see there.
    """

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self._models = functools.lru_cache(_LOADED)(self._load)
        self._rankers = functools.lru_cache(_LOADED)(self._load_ranker)
        self._recognizer = functools.cache(lambda: api.load(choices.asr, device=choices.device))

    def __call__(self, clip: Path, model: str, face: str, phrases: list[str]) -> Answer:
        """Read one clip.

        Args:
            clip: video file.
            model: one of `Choices.names`.
            face: one of `Choices.faces`.
            phrases: own sentences, of which one may have been said; none: any text.

        Raises:
            ClipFailure: the clip cannot be read: unreadable, too short, without a face, ...
            LipsoundError: no such model or face; or a sentence that cannot be written.
        """
        names = self.choices.names()
        if model not in names:
            raise LipsoundError(f"model: found '{model}', wanted one of: {', '.join(names)}")
        chosen = next((each for each in self.choices.faces() if each == face), None)
        if chosen is None:
            raise LipsoundError(f"face: found '{face}', wanted one of: {', '.join(self.choices.faces())}")
        loaded = self._models(model, chosen)
        if isinstance(loaded, Transcriber):
            text = loaded(clip, phrases=phrases or None)
            assert text.video is not None
            return Answer(text, text.video, None, text.warnings)
        assert isinstance(loaded, Synthesizer)
        ranker = self._rankers(model, chosen) if phrases else None
        lips = ranker if ranker is not None and ranker.can_rank(phrases) else None
        recognizer = self._recognizer()
        assert isinstance(recognizer, Transcriber)
        if phrases and lips is None:
            recognizer.check(phrases)  # before the speech is made
        speech = loaded(clip)
        text = recognizer(speech, phrases=phrases or None) if lips is None else lips(clip, phrases=phrases)
        warnings = list(dict.fromkeys([*speech.warnings, *text.warnings]))
        return Answer(text, speech.video, speech, warnings)

    def _load(self, model: str, face: FaceChoice) -> object:
        given = self.choices
        asd = given.asd if face == "speaking" else None
        vocoder = given.vocoder if model_names.task_of(model) == "regress" else AUTO
        return api.load(model, device=given.device, vocoder=vocoder, detector=given.detector, face=face, asd=asd)

    def _load_ranker(self, model: str, face: FaceChoice) -> Transcriber | None:
        """What ranks sentences straight from the lips; None: the model names no words."""
        from lipsound2.inference.lip_words import lip_ranker  # which imports torch

        given = self.choices
        asd = given.asd if face == "speaking" else None
        return lip_ranker(model, given.device, detector=given.detector, face=face, asd=asd)
