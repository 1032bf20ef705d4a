"""Own sentences straight from the lips, by the word head of a lip-to-speech model: no speech is made.

The word head names the word at each video frame. Two things help with faces it has not seen: the trunk takes the
batch statistics of the clip itself, and the mirrored clip counts as well (docs/results/phrases.md has what each gives).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lipsound2 import experiment
from lipsound2.decoding.hypothesis import Hypothesis
from lipsound2.decoding.phrases import PhraseCalibration
from lipsound2.errors import LipsoundError
from lipsound2.experiment import Experiment
from lipsound2.inference.face_watch import with_clip_statistics
from lipsound2.inference.familiar_faces import familiarity_of
from lipsound2.inference.familiarity import LEAST, WatchedFace
from lipsound2.inference.phrases import Phrases, Texts, ranked
from lipsound2.inference.synthesizer import FaceChoice
from lipsound2.inference.transcriber import Transcriber
from lipsound2.models.parallel import Parallel
from lipsound2.tasks.regress import Regress
from lipsound2.timing import FRAME_RATE
from lipsound2.video.detect import DEFAULT_DETECTOR, DetectorName

# Of faces that the model knows, and of others; fitted on GRID's `valid`, and on its unseen speakers.
KNOWN, UNKNOWN = PhraseCalibration(0.223, 0.52), PhraseCalibration(0.058, 1.57)


class LipWordReader:
    """Ranks sentences by the word head of a lip-to-speech model.

    Args:
        loaded: the model, which has a word head over lips.

    Attributes:
        name: of the model.
        knows: voices and words it knows.
        input: feature type of its crops.
        language: of its words.
        calibration: of what it writes; it only ranks.
    """

    language = "en"
    calibration = None

    def __init__(self, loaded: Experiment[Regress]) -> None:
        model = loaded.model
        assert isinstance(model, Parallel)
        assert model.word_head is not None
        self.name, self.knows = loaded.path.name, loaded.knows
        self.input = loaded.task.settings.input
        self._face = WatchedFace(familiarity_of(loaded), self.name)
        self._words = {word: number for number, word in enumerate(loaded.assets.words, start=1)}
        self._device, self._encoder, self._head = loaded.device, model.encoder, model.word_head
        assert model.encoder.trunk is not None
        self._trunk = model.encoder.trunk
        self._own_trunk = with_clip_statistics(self._trunk)

    def begin(self) -> None:
        """A new clip begins, perhaps with another face."""
        self._face.begin()

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt what was ranked since `begin`."""
        return self._face.warnings

    def recognize(self, audio: Sequence[np.ndarray]) -> list[Hypothesis]:
        """It does not write texts of its own.

        Raises:
            LipsoundError: always.
        """
        raise LipsoundError(f"{self.name}: ranks given sentences straight from the lips; give them as phrases")

    def texts_of(self, phrases: Phrases) -> Texts:
        """The sentences as classes of the word head.

        Raises:
            LipsoundError: a word that is no class.
        """
        return phrases.spelled(self._write, self._unknown, self.name, [*self._words])

    def _write(self, sentence: str) -> list[list[int]]:
        words = sentence.split()
        return [[self._words[word] for word in words]] if all(word in self._words for word in words) else []

    def _unknown(self, sentence: str) -> list[str]:
        return [word for word in dict.fromkeys(sentence.split()) if word not in self._words]

    @torch.no_grad()
    def log_probs(self, crops: np.ndarray) -> np.ndarray:
        """Words at each video frame.

        Args:
            crops: (T, H, W) uint8.

        Returns:
            (T, words + 1) float32 natural log-probabilities, class 0 silence.
        """
        video = torch.from_numpy(np.ascontiguousarray(crops))[None].to(self._device)
        lengths = torch.tensor([len(crops)], device=self._device)

        trunk = self._own_trunk if len(crops) >= LEAST else self._trunk

        def read(shown: Tensor) -> Tensor:
            states = self._encoder.behind_trunk(trunk(shown, lengths), lengths)
            return self._head(states)[0].float().log_softmax(-1)

        both = read(video) + read(video.flip(3))
        found: np.ndarray = (both / 2).log_softmax(-1).cpu().numpy()
        return found

    @torch.no_grad()
    def rank(self, clip: np.ndarray, phrases: Phrases, texts: Texts) -> Hypothesis:
        """Which sentence was said: crops (T, H, W) uint8."""
        how = UNKNOWN if self._is_unlike(clip) else KNOWN
        return ranked(self.log_probs(clip), 1 / FRAME_RATE, phrases, texts, how)

    def _is_unlike(self, clip: np.ndarray) -> bool:
        """Whether the face is; no, where it cannot be told."""
        if self._face.known is None:
            return False
        video = torch.from_numpy(np.ascontiguousarray(clip))[None].to(self._device)
        states = self._trunk(video, torch.tensor([len(clip)], device=self._device))
        self._face.look(states[0].cpu().numpy())
        return self._face.unlike[-1]


def lip_ranker(
    model: str | Path,
    device: str,
    phrases: Phrases | None = None,
    *,
    detector: DetectorName = DEFAULT_DETECTOR,
    face: FaceChoice = "largest",
    asd: Path | None = None,
) -> Transcriber | None:
    """What ranks sentences straight from the lips; None: the model names no words, or not all of them.

    Args:
        model: of lip to speech: experiment or pack, or the name of one.
        device: where the network runs.
        phrases: sentences, all of whose words it must name; None: any words.
        detector: face detector.
        face: which face, where there are several.
        asd: with the face `speaking`: file of LR-ASD's weights.

    Raises:
        LipsoundError: there is no such model or device.
    """
    loaded = experiment.load(model, device, task=Regress)
    if not isinstance(loaded.model, Parallel) or loaded.model.word_head is None:
        return None
    ranker = Transcriber(LipWordReader(loaded), detector=detector, face=face, asd=asd)
    return ranker if phrases is None or ranker.can_rank(phrases) else None
