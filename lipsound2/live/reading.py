"""From what was recorded to words and speech: the models, asked through the Python API."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lipsound2 import api, model_names
from lipsound2.inference.phrases import Phrases
from lipsound2.inference.recognizer_names import DEFAULT_ASR
from lipsound2.inference.synthesizer import Synthesizer
from lipsound2.inference.transcriber import Transcriber
from lipsound2.inference.transcript import Transcript
from lipsound2.live.tracker import Recording
from lipsound2.timing import FRAME_RATE
from lipsound2.video.detect import DetectorName
from lipsound2.video.mean_face import MEAN_FACE

MOST = 9  # own sentences that are offered: number keys choose among them
_FEW, _UNLIKELY = 5, 0.01  # other texts, and the probability below which they are not
_WARM = 2 * FRAME_RATE  # frames by which the models are tried out before the first sentence


@dataclass
class Answer:
    """What was read.

    Attributes:
        text: the most probable; empty: no words, or none of the given sentences.
        confidence: its probability; None: the recognizer does not say.
        choices: texts with their probabilities: what was read, then the others, the most probable first.
        speech: (samples,) float32; None: the model makes none.
        rate: of the speech, samples a second.
        seconds: length of what was recorded.
        warnings: reasons to doubt it.
        spent: step -> seconds it took.
    """

    text: str = ""
    confidence: float | None = None
    choices: list[tuple[str, float]] = field(default_factory=list)
    speech: np.ndarray | None = None
    rate: int = 0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)


class Reader:
    """Reads what was recorded.

    Args:
        model: lip-to-speech model, or a lip reader.
        asr: recognizer of its speech; empty: `DEFAULT_ASR`, unless the sentences are ranked straight from the lips.
        vocoder: of the lip-to-speech model.
        device: where the networks run.
        detector: face detector.
        phrases: sentences of which one is said; None: any words.

    Raises:
        LipsoundError: there is no such model, or it cannot read the sentences.
    """

    def __init__(
        self, model: str, asr: str, vocoder: str, device: str, detector: DetectorName, phrases: Phrases | None
    ) -> None:
        if model_names.task_of(model) == "regress":
            loaded = api.load(model, device=device, detector=detector, vocoder=vocoder)
        else:
            loaded = api.load(model, device=device)
        assert isinstance(loaded, Synthesizer | Transcriber)  # the verb has looked whether it reads lips
        self._synthesizer = loaded if isinstance(loaded, Synthesizer) else None
        if self._synthesizer is not None:
            self._synthesizer.progress = False  # a bar would be drawn over what is shown
        self._lips = loaded if isinstance(loaded, Transcriber) else None
        self.name, self.knows = loaded.name, loaded.knows
        self.phrases = phrases
        if self._synthesizer is not None and self.phrases is not None and not asr:
            from lipsound2.inference.lip_words import lip_ranker  # which imports torch

            self._lips = lip_ranker(model, device, self.phrases, detector=detector)
        self._asr = None
        if self._lips is None:
            recognizer = api.load(asr or DEFAULT_ASR, device=device)
            assert isinstance(recognizer, Transcriber)
            self._asr = recognizer
        if self.phrases is not None:
            (self._lips or self._asr).check(self.phrases)  # type: ignore[union-attr]

    @property
    def speaks(self) -> bool:
        """Whether it makes speech."""
        return self._synthesizer is not None

    def warm_up(self) -> None:
        """Run the models once: the first sentence would wait for what is set up in the first run."""
        noise = np.random.default_rng(0).integers(0, 255, (_WARM, 96, 96), np.uint8)
        landmarks = np.ones((_WARM, 137), np.float32)
        landmarks[:, :136] = (MEAN_FACE * 24 + 48).reshape(-1)
        if self._synthesizer is not None:
            speech = self._synthesizer(noise, fps=FRAME_RATE, landmarks=landmarks)
            if self._asr is not None:
                self._asr(speech)
        if self._lips is not None:
            self._lips(noise, fps=FRAME_RATE, phrases=self.phrases, landmarks=landmarks)

    def read(self, recording: Recording, on_speech: Callable[[Answer], None] = lambda _: None) -> Answer:
        """Words and speech of a recording.

        Args:
            recording: one or more frames.
            on_speech: is called as soon as there is speech, before its words are recognized.

        Raises:
            ClipFailure: it cannot be read: too short, no face, ...
        """
        answer = Answer(seconds=len(recording) / FRAME_RATE)
        clock = _Clock(answer.spent)
        landmarks = recording.landmarks()
        clock.lap("track")
        if self._lips is not None and self.phrases is not None:
            self._fill(answer, self._lips(recording.video, fps=FRAME_RATE, phrases=self.phrases, landmarks=landmarks))
            clock.lap("words")
        speech = None
        if self._synthesizer is not None:
            speech = self._synthesizer(recording.video, fps=FRAME_RATE, landmarks=landmarks)
            clock.take(speech.spent)
            answer.speech, answer.rate = speech.waveform, speech.sample_rate
            answer.warnings += [line for line in speech.warnings if line not in answer.warnings]
            on_speech(answer)
            clock.lap("play")
        if self._asr is not None and speech is not None:
            self._fill(answer, self._asr(speech, phrases=self.phrases))
            clock.lap("words")
        elif self._lips is not None and self.phrases is None:
            self._fill(answer, self._lips(recording.video, fps=FRAME_RATE, landmarks=landmarks))
            clock.lap("words")
        return answer

    def _fill(self, answer: Answer, what: Transcript) -> None:
        answer.text, answer.confidence = what.text, what.confidence
        answer.warnings += [line for line in what.warnings if line not in answer.warnings]
        if what.phrases:
            answer.choices = [(each.text, each.probability) for each in what.phrases[0].choices[:MOST]]
            return
        if what.text:
            answer.choices = [(what.text, what.confidence or 0.0)]
        likely = [(each.text, each.probability) for each in what.alternatives if each.probability >= _UNLIKELY]
        answer.choices += [choice for choice in likely if choice[0]][: _FEW - 1]


class _Clock:
    """Seconds from one step to the next."""

    def __init__(self, spent: dict[str, float]) -> None:
        self._spent, self._last = spent, time.perf_counter()

    def lap(self, step: str) -> None:
        """The step that is done now."""
        now = time.perf_counter()
        self._spent[step] = self._spent.get(step, 0.0) + now - self._last
        self._last = now

    def take(self, steps: dict[str, float]) -> None:
        """Steps that were measured elsewhere and are done now."""
        self._spent.update(steps)
        self._last = time.perf_counter()
