"""Recognizers by name: trained ones, of audio or of lips, and pretrained ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lipsound2 import experiment, model_names
from lipsound2.audio.kind import AUDIO
from lipsound2.datasets.audio_to_text import features_of, padded
from lipsound2.decoding.calibration import FILE as CALIBRATION
from lipsound2.decoding.calibration import load as load_calibration
from lipsound2.decoding.calibration import of_unlike_faces
from lipsound2.decoding.joint import DecoderScorer, with_arrays
from lipsound2.decoding.pretrained_asr import PRETRAINED_ASR, SpeechRecognizer
from lipsound2.decoding.search_options import DEFAULT_SEARCH, SearchOptions
from lipsound2.errors import LipsoundError
from lipsound2.inference import familiarity
from lipsound2.inference.face_watch import FaceWatch
from lipsound2.inference.lm_fusion import decoder_scorer, language_model
from lipsound2.inference.lm_fusion import file_of as lm_file
from lipsound2.inference.long_clips import is_long, long_states
from lipsound2.inference.own_recognizer import Facts, Heard, OwnRecognizer
from lipsound2.inference.recognizer_names import check_recognizer, check_search, is_own, search_of
from lipsound2.model_names import Precision
from lipsound2.models.asr.recognizer import RecognizerOutput
from lipsound2.tasks.recognize import Recognize
from lipsound2.timing import FRAME_RATE


class TrainedRecognizer(OwnRecognizer):
    """An experiment, or a pack, of the task *recognize*: of audio, or of lips; see `OwnRecognizer`.

    Args:
        name: its folder, or the name of one.
        options: of the search.
        device: where the network runs.
        precision: of linear layers, its own and the language model's; see `experiment.load`.

    Attributes:
        network: in evaluation mode.
        assets: of its training, the tokenizer among them.
        device: where it runs.
    """

    def __init__(
        self,
        name: str,
        options: SearchOptions = DEFAULT_SEARCH,
        device: torch.device | str = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        self.device = torch.device(device)
        loaded = experiment.load(name, self.device, task=Recognize, precision=precision)
        self._task, self.assets, self.network = loaded.task, loaded.assets, loaded.model
        facts = Facts(
            loaded.path,
            loaded.knows,
            self._task.settings.input,
            self._task.settings.language,
            self.assets.tokenizer,
            self.assets.words,
            self.network.stride / self._task.rate / FRAME_RATE,
            self.network.decoder is not None,
        )
        tokenizer, device = self.assets.tokenizer, self.device
        super().__init__(
            name,
            facts,
            options,
            lambda lm, weight, bonus: language_model(lm, tokenizer, weight, bonus, device, loaded.precision),
            FaceWatch(loaded).face,
        )

    def _run(self, clips: Sequence[np.ndarray]) -> RecognizerOutput:
        features, lengths = padded([*clips] if self._task.sees else [features_of(waveform) for waveform in clips])
        output: RecognizerOutput = self.network(features.to(self.device), lengths.to(self.device))
        return output

    def encode(self, clip: np.ndarray) -> torch.Tensor:
        """States (S, width) of a waveform (samples,), or of crops (T, H, W) uint8; of long ones in windows."""
        if is_long(self.network.encoder, clip):
            return torch.cat([*long_states(self.network.encoder, clip, self.device)])
        output = self._run([clip])
        return output.states[0, : int(output.lengths[0])]

    @torch.no_grad()
    def hear(self, clips: Sequence[np.ndarray]) -> list[Heard]:
        """See `OwnRecognizer`. Each long clip of lips goes through the networks by itself, in windows."""
        long = [is_long(self.network.encoder, clip) for clip in clips]
        short = [clip for clip, alone in zip(clips, long, strict=True) if not alone]
        together = iter(self._hear_together(short) if short else ())
        return [self._hear_long(clip) if alone else next(together) for clip, alone in zip(clips, long, strict=True)]

    def _hear_long(self, clip: np.ndarray) -> Heard:
        """One clip longer than a window. Its text is CTC's: no decoder was trained on texts of such length."""
        log_probs, words = [], []
        self._face.unlike.clear()
        for states in long_states(self.network.encoder, clip, self.device):
            output = self.network.heads(states[None], torch.tensor([len(states)]))
            log_probs.append(output.log_probs[0].cpu().numpy())
            if output.word_scores is not None:
                words.append(output.word_scores[0].float().log_softmax(-1).cpu().numpy())
        unlike = self._face.mostly_unlike
        return Heard(np.concatenate(log_probs), np.concatenate(words) if words else None, unlike=unlike)

    def _hear_together(self, clips: Sequence[np.ndarray]) -> list[Heard]:
        self._face.unlike.clear()
        output = self._run(clips)
        unlike = self._face.unlike or [False] * len(clips)
        words = None if output.word_scores is None else output.word_scores.float().log_softmax(-1).cpu().numpy()
        return [
            Heard(
                output.log_probs[row, :length].cpu().numpy(),
                None if words is None else words[row, :length],
                None if self.network.decoder is None else partial(self._scorer, output.states[row, :length]),
                unlike[row],
            )
            for row, length in enumerate(output.lengths.tolist())
        ]

    def _scorer(self, states: torch.Tensor) -> DecoderScorer:
        assert self.network.decoder is not None
        return with_arrays(decoder_scorer(self.network.decoder, states), self.device)


def recognizer(
    name: str,
    options: SearchOptions = DEFAULT_SEARCH,
    device: torch.device | str = "cpu",
    *,
    lips: bool = False,
    precision: Precision = "fp32",
) -> SpeechRecognizer:
    """A recognizer by name: an experiment or pack of the task *recognize*, or a pretrained one.

    Args:
        name: folder, or name; see `decoding.pretrained_asr` for those that need no training.
        options: search options, for recognizers trained with this toolkit.
        device: where their networks run.
        lips: whether a lip reader is accepted.
        precision: of the linear layers of recognizers trained with this toolkit.

    Raises:
        LipsoundError: there is none of this name, its package or weights are missing, it reads lips and the input is
            audio, or it takes no search options and some are given.
    """
    check_recognizer(name, lips=lips)
    check_search(name, options)
    if is_own(name):
        own = TrainedRecognizer(name, options, device, precision)
        if own.input != AUDIO and not lips:
            raise LipsoundError(f"{name}: reads lips ('{own.input}'), not audio; give a recognizer of audio")
        return own
    kind, _, rest = name.partition(":")
    if precision not in ("auto", "fp32"):
        raise LipsoundError(
            f"{name}: --precision {precision} is for recognizers trained with lipsound2, or converted; leave it out"
        )
    return PRETRAINED_ASR[kind](rest)


def files_of(name: str, options: SearchOptions) -> list[Path]:
    """Files that text and confidences depend on: weights, familiarity and calibration of a trained recognizer, a
    grammar file, the language model."""
    folder = model_names.find(name) if is_own(name) else None
    weights = [] if folder is None else [folder / model_names.WEIGHTS, *familiarity.files_of(folder)]
    way = search_of(name, options).way
    # Faces unlike those of the training set have numbers of their own, which may be the only ones.
    if folder is not None and any(load_calibration(folder, each) for each in (way, of_unlike_faces(way))):
        weights.append(folder / CALIBRATION)
    grammar = [Path(options.grammar)] if Path(options.grammar).is_file() else []
    return [*weights, *grammar, *([lm_file(Path(options.lm))] if options.lm else [])]
