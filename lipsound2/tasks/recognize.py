"""Task *recognise*: sound, or lips -> tokens, by CTC and, when the model has a decoder, by attention beside it.

LipSound2 reads lips by ear: what it says is heard by a recogniser that was trained on real speech and fine-tuned, at a
tenth of the learning rate, on generated speech. LiRA's sentences are read from the lips directly, by a model on top of
its trunk. Checkpoints are chosen by word errors of greedy decoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.config import build, to_mapping
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.audio_to_text import SOUND, SPEECH, SpeechConfig, Utterance, UtteranceBatch, Utterances
from lipsound2.datasets.augment import AugmentConfig
from lipsound2.datasets.video_to_text import LipUtterances, load_width, save_input, width_of
from lipsound2.datasets.word_alignment import WordTimes, load_words, save_words, vocabulary, word_times
from lipsound2.decoding.ctc import greedy
from lipsound2.errors import LipsoundError, require
from lipsound2.models.asr.recognizer import MODELS, Heard, Recogniser
from lipsound2.models.modules.regressor import mask
from lipsound2.tasks.base import Evaluation, Loss
from lipsound2.text.normalize import normalisation, normalise
from lipsound2.text.tokenizer import Tokenizer, of_texts, report_unknown
from lipsound2.text.tokenizer import load as load_tokens
from lipsound2.timing import FRAME_RATE

Clips = Utterances | LipUtterances


@dataclass(frozen=True)
class RecogniseConfig:
    """Keys of this task in a config.

    Attributes:
        model: which network: `jasper` and `conformer` hear, `lips` sees.
        input: kind of what it is given: `sound`; or for lips crops, such as `mouth`, or the states of a frozen trunk.
        language: of the texts; decides how they are normalised.
        tokens: `characters` or `words` (those of the training texts), or the file of a tokenizer (`lipsound2 tokens`).
        ctc_weight: share of CTC in the loss of a model with a decoder; the rest is the decoder's.
        word_weight: weight of naming the word said at each state, for corpora with `word_times`; 0: not used. There are
            some ten states to a word, each as heavy as a token at 1.
        smoothing: label smoothing of the decoder's loss.
        keep_decoded: gigabytes of decoded crops each process that loads keeps for the next epoch.
        valid_clips: validation clips that are decoded at each evaluation, evenly spread; 0: all.
    """

    model: Literal["jasper", "conformer", "lips"] = "conformer"
    input: str = SOUND
    language: str = "en"
    tokens: str = "characters"
    ctc_weight: float = 0.3
    word_weight: float = 0.0
    smoothing: float = 0.1
    keep_decoded: float = 0.0
    valid_clips: int = 0

    def __post_init__(self) -> None:
        """Refuse a model for ears that is shown pictures, and the other way round."""
        if (self.model == "lips") != (self.input != SOUND):
            wanted = "crops such as 'mouth', or states of a trunk" if self.model == "lips" else "'sound'"
            raise LipsoundError(f"model: {self.model} takes {wanted}, found input: {self.input}")


class Recognise:
    """Sounds to texts: data, network, loss and evaluation. See `tasks.base.Task`."""

    name: ClassVar[str] = "recognise"
    free: ClassVar[frozenset[str]] = frozenset({"valid_clips", "keep_decoded"})
    sample_rate = SPEECH.sample_rate

    def __init__(self, settings: RecogniseConfig, network: Any, augmentation: SpeechConfig | AugmentConfig) -> None:
        self.settings = settings
        self.network = network
        self.augmentation = augmentation
        self._tokenizer: Tokenizer | None = None
        self._width = SPEECH.bands
        self.words: list[str] = []

    @classmethod
    def options(cls, values: Mapping[str, Any], where: str) -> list[type[Any]]:
        """The dataclasses that own this task's keys; `model:` picks two of them."""
        given = {key: value for key, value in values.items() if key in ("model", "input")}
        chosen = build([RecogniseConfig], given, where)[0]
        return [RecogniseConfig, MODELS[chosen.model][1], AugmentConfig if chosen.model == "lips" else SpeechConfig]

    def config(self) -> dict[str, Any]:
        """Every key of `options`, resolved."""
        return to_mapping(self.settings, self.network, self.augmentation)

    def inputs(self, dump: Path) -> list[Path]:
        """The archives that are read."""
        return [dump / self.settings.input]

    @property
    def sees(self) -> bool:
        """Whether it reads lips, and does not hear."""
        return self.settings.model == "lips"

    @property
    def rate(self) -> int:
        """Frames of what it is given in a picture's time."""
        return 1 if self.sees else SPEECH.sample_rate // SPEECH.hop // FRAME_RATE

    @property
    def tokenizer(self) -> Tokenizer:
        """Known once data or an experiment was read."""
        if self._tokenizer is None:
            raise LipsoundError("the task has read neither data nor an experiment yet")
        return self._tokenizer

    def datasets(self, train: DataDir, valid: DataDir, dump: Path) -> tuple[Clips, Clips]:
        """Training and validation utterances; the tokenizer is made, or read, first."""
        learnt, checked = self._texts(train), self._texts(valid)
        if self.settings.tokens in ("characters", "words"):
            self._tokenizer = of_texts(self.settings.tokens, learnt.values())
        else:
            self._tokenizer = load_tokens(Path(self.settings.tokens))
        for data, texts in ((train, learnt), (valid, checked)):
            report_unknown(self.tokenizer, texts, str(data.path))
        times = [word_times(data, self.settings.word_weight) for data in (train, valid)]
        self.words = vocabulary(times[0])
        kind = dump / self.settings.input
        if self.sees:
            self._width = width_of(kind)
        learning, checking = (
            self._clips(data, kind, texts, WordTimes(rows, self.words), training)
            for data, texts, rows, training in ((train, learnt, times[0], True), (valid, checked, times[1], False))
        )
        return learning, checking

    def _clips(self, data: DataDir, kind: Path, texts: dict[str, str], words: WordTimes, training: bool) -> Clips:
        given = self.augmentation
        if isinstance(given, AugmentConfig):
            keep, least = self.settings.keep_decoded, 1 if self._width else self.network.trunk_context
            return LipUtterances(data, kind, self.tokenizer.encode, given, texts, training, words, keep, least)
        return Utterances(data, kind, self.tokenizer.encode, given, texts, training, words)

    def _texts(self, data: DataDir) -> dict[str, str]:
        if not data.text:
            raise LipsoundError(f"{data.path}: has no 'text', which a recogniser learns from")
        texts = {name: normalise(text, self.settings.language) for name, text in data.text.items()}
        empty = [name for name, text in texts.items() if not text]
        if empty:
            raise LipsoundError(
                f"{data.path}/text: {len(empty)} texts hold no word, the first is that of '{empty[0]}'; take them out"
            )
        return texts

    def build(self) -> Recogniser:
        """The network with fresh weights."""
        words = len(self.words) + 1 if self.words else 0
        return Recogniser(self.settings.model, self.network, self._width, len(self.tokenizer), words)

    def save(self, exp: Path) -> None:
        """Write the tokenizer, the words that are named, and what a lip reader is shown."""
        self.tokenizer.save(exp / self.tokenizer.file)
        save_words(exp, self.words)
        if self.sees:
            save_input(exp, self.settings.input, self._width)

    def restore(self, exp: Path) -> None:
        """Read what `save` wrote."""
        self._tokenizer = load_tokens(exp)
        self.words = load_words(exp)
        if self.sees:
            self._width = load_width(exp)

    def describe(self) -> dict[str, str]:
        """What goes in and what comes out."""
        seen = f"`{self.settings.input}`, 25 pictures a second, a sentence at a time"
        return {
            "Input": seen if self.sees else f"sound, {SPEECH.sample_rate} Hz, one voice, a sentence at a time",
            "Output": f"text in '{self.settings.language}', {len(self.tokenizer)} tokens",
        }

    def collate(self, samples: list[Utterance]) -> UtteranceBatch:
        """Pad utterances to the longest."""
        return UtteranceBatch.of(samples, self.rate)

    def loss(self, model: Recogniser, batch: UtteranceBatch, progress: float) -> Loss:
        """Sum over the utterances of the batch, each weighing as many as it has tokens."""
        heard: Heard = model(batch.features, batch.lengths)
        parts = {"ctc": ctc_loss(heard, batch)}
        if model.decoder is not None:
            share = self.settings.ctc_weight
            written = self._decoder_loss(model, heard, batch)
            parts = {"ctc": share * parts["ctc"], "attention": (1 - share) * written}
        weight = float(batch.token_lengths.sum())
        if heard.words is not None:
            at = batch.words[:, model.stride // 2 :: model.stride]  # in the middle of each state
            wrong = F.cross_entropy(heard.words[:, : at.shape[1]].flatten(0, 1).float(), at.flatten(), reduction="sum")
            parts["word"] = self.settings.word_weight * wrong
        total = torch.stack(list(parts.values())).sum()
        return Loss(total, weight, {name: float(part.detach()) / weight for name, part in parts.items()})

    def _decoder_loss(self, model: Recogniser, heard: Heard, batch: UtteranceBatch) -> Tensor:
        """Summed cross entropy of each token, and of the end, after the true tokens before it."""
        assert model.decoder is not None
        end, lengths = model.decoder.boundary, batch.token_lengths + 1
        prefixes = F.pad(batch.tokens, (1, 0), value=end)
        targets = F.pad(batch.tokens, (0, 1)).scatter(1, batch.token_lengths[:, None], end)
        scores = model.decoder(prefixes, lengths, heard.states, heard.lengths)
        valid = mask(lengths, targets.shape[1])
        return F.cross_entropy(
            scores[valid].float(), targets[valid], reduction="sum", label_smoothing=self.settings.smoothing
        )

    def evaluate(self, model: Recogniser, valid: Clips, device: torch.device | str) -> Evaluation:
        """Word and character errors of greedy decoding, and the loss."""
        jiwer = require("jiwer", "metrics")
        count = self.settings.valid_clips or len(valid)
        chosen = np.linspace(0, len(valid) - 1, min(count, len(valid))).round().astype(int)
        references: list[str] = []
        hypotheses: list[str] = []
        total = weight = 0.0
        for start in range(0, len(chosen), 16):
            batch = self.collate([valid.get(int(index), None) for index in chosen[start : start + 16]]).to(device)
            loss = self.loss(model, batch, 1.0)
            total, weight = total + float(loss.total), weight + loss.weight
            heard: Heard = model(batch.features, batch.lengths)
            for log_probs, length in zip(heard.log_probs.cpu().numpy(), heard.lengths.tolist(), strict=True):
                hypotheses.append(self.tokenizer.decode(token.token for token in greedy(log_probs[:length])))
            references += batch.texts
        words, characters = (float(rate(references, hypotheses)) for rate in (jiwer.wer, jiwer.cer))
        chosen_rate = words if normalisation(self.settings.language).unit == "word" else characters
        numbers = {"wer": words, "cer": characters, "valid_loss": total / max(weight, 1)}
        return Evaluation(1 - chosen_rate, numbers)


def ctc_loss(heard: Heard, batch: UtteranceBatch) -> Tensor:
    """Summed CTC loss; an utterance with more tokens than states can hold has none."""
    each = F.ctc_loss(
        heard.log_probs.transpose(0, 1),
        batch.tokens,
        heard.lengths,
        batch.token_lengths,
        reduction="none",
        zero_infinity=True,
    )
    return each.sum()
