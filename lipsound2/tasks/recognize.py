"""Task *recognize*: audio or lips to tokens, by CTC and, when the model has a decoder, by attention too.

LipSound2's lip reading is a cascade: lip-to-speech, then a recognizer of audio. That one is trained on recorded speech
and fine-tuned on generated speech at a tenth of the learning rate. LiRA reads sentences from the lips directly, by a
model on top of its trunk. Checkpoints are chosen by the word error rate of greedy decoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.arguments import AtLeast0, NotNegative, Share
from lipsound2.audio.kind import AUDIO, kind_folder
from lipsound2.audio.mel_settings import SPEECH
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.audio_to_text import SpeechConfig, Utterance, UtteranceBatch, Utterances
from lipsound2.datasets.augment import AugmentConfig
from lipsound2.datasets.video_to_text import INPUT_FILE, LipUtterances, load_width, save_input, width_of
from lipsound2.datasets.word_alignment import (
    WORDS_FILE,
    Rows,
    WordTimes,
    load_words,
    save_words,
    vocabulary,
    word_times,
)
from lipsound2.decoding.ctc import greedy
from lipsound2.errors import LipsoundError, require
from lipsound2.models.asr.recognizer import Recognizer, RecognizerOutput
from lipsound2.models.modules.lip_trunk import TrunkConfig
from lipsound2.models.registry import find as find_model
from lipsound2.tasks.base import Evaluation, Loss, Prepared, Task
from lipsound2.tasks.teacher_forcing import next_token_loss
from lipsound2.tasks.tokens import tokenizer_of
from lipsound2.text.normalize import normalization, normalize
from lipsound2.text.tokenizer import Tokenizer
from lipsound2.text.tokens import FILES as TOKEN_FILES
from lipsound2.text.tokens import load as load_tokens
from lipsound2.text.tokens import report_unknown
from lipsound2.timing import FRAME_RATE

Clips = Utterances | LipUtterances


@dataclass(frozen=True)
class RecognizeConfig:
    """Keys of this task in a config.

    Attributes:
        model: which network: `jasper` and `conformer` take audio, `lips` takes video.
        input: kind of the input: `audio`; for lips crops, such as `mouth`, or the states of a frozen trunk.
        language: of the texts; decides how they are normalized.
        tokens: `characters` or `words` (those of the training texts), or the file of a tokenizer (`lipsound2 tokens`),
            or an experiment, a pack or the name of one, whose tokenizer is taken.
        ctc_weight: share of CTC in the loss of a model with a decoder; the rest is the decoder's.
        word_loss_weight: weight of the word loss, the cross entropy of the word at each state, for corpora with
            `word_times`; 0: not used. At 1 each state weighs as much as a token, and a word has some ten states.
        smoothing: label smoothing of the decoder's loss in training.
        cache_gb: gigabytes of decoded crops that each loading process keeps for the next epoch.
        valid_clips: validation clips that are decoded at each evaluation, evenly spread; 0: all.
    """

    model: str = "conformer"
    input: str = AUDIO
    language: str = "en"
    tokens: str = "characters"
    ctc_weight: Share = 0.3
    word_loss_weight: NotNegative = 0.0
    smoothing: Share = 0.1
    cache_gb: NotNegative = 0.0
    valid_clips: AtLeast0 = 0

    def __post_init__(self) -> None:
        """Refuse a model of audio with an input of video, and the other way round."""
        sees = find_model("recognize", self.model).reads == "video"
        if sees != (self.input != AUDIO):
            wanted = "crops such as 'mouth', or states of a trunk" if sees else "'audio'"
            raise LipsoundError(f"model: {self.model} takes {wanted}, found input: {self.input}")


@dataclass(frozen=True)
class RecognizeAssets:
    """What the training set adds to the task's options.

    Attributes:
        tokenizer: texts to tokens and back.
        width: of the input: feature dimensions, or the width of a trunk's states; 0: video frames.
        words: classes of the word head; empty for a model without one.
    """

    tokenizer: Tokenizer
    width: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class Recognize(Task[RecognizeAssets, Recognizer, Clips, UtteranceBatch]):
    """Audio or lips to text: data, network, loss and evaluation. See `tasks.base.Task`."""

    name: ClassVar[str] = "recognize"
    free: ClassVar[frozenset[str]] = frozenset({"valid_clips", "cache_gb"})
    files: ClassVar[tuple[str, ...]] = (*TOKEN_FILES, WORDS_FILE, INPUT_FILE)

    settings: RecognizeConfig
    network: object
    augmentation: SpeechConfig | AugmentConfig

    @classmethod
    def options(cls, values: Mapping[str, Any], where: str) -> list[type[Any]]:
        """The dataclasses that own this task's keys; `model:` picks two of them."""
        settings, network, _ = super().options(values, where)
        reads = find_model(cls.name, values.get("model", RecognizeConfig.model), where).reads
        return [settings, network, AugmentConfig if reads == "video" else SpeechConfig]

    def inputs(self, dump: Path) -> list[Path]:
        """The archives that are read."""
        return [kind_folder(dump, self.settings.input)]

    @property
    def sees(self) -> bool:
        """Whether the input is video, and not audio."""
        return self.settings.input != AUDIO

    @property
    def rate(self) -> int:
        """Frames of the input per video frame."""
        return 1 if self.sees else SPEECH.sample_rate // SPEECH.hop // FRAME_RATE

    def check_training(self) -> None:
        """See `Task`."""
        require("jiwer", "metrics")  # each evaluation needs it
        if isinstance(self.augmentation, AugmentConfig):
            self.augmentation.check(uncut="the sentence, and its text stays whole")

    def prepare(self, train: DataDir, valid: DataDir, dump: Path) -> Prepared[Clips, RecognizeAssets]:
        """Training and validation utterances; the tokenizer is made, or read, first."""
        train_texts, valid_texts = self._texts(train), self._texts(valid)
        tokenizer = tokenizer_of(self.settings.tokens, train_texts.values())
        for data, texts in ((train, train_texts), (valid, valid_texts)):
            report_unknown(tokenizer, texts, str(data.path))
        times = [word_times(data, self.settings.word_loss_weight) for data in (train, valid)]
        width = width_of(kind_folder(dump, self.settings.input)) if self.sees else SPEECH.bands
        assets = RecognizeAssets(tokenizer, width, vocabulary(times[0]))
        training, validation = (
            self._clips(data, dump, texts, rows, assets, training)
            for data, texts, rows, training in (
                (train, train_texts, times[0], True),
                (valid, valid_texts, times[1], False),
            )
        )
        return Prepared(training, validation, assets)

    def _clips(
        self,
        data: DataDir,
        dump: Path,
        texts: dict[str, str],
        rows: Mapping[str, Rows],
        assets: RecognizeAssets,
        training: bool,
    ) -> Clips:
        augmentation, kind = self.augmentation, kind_folder(dump, self.settings.input)
        encode, words = assets.tokenizer.encode, WordTimes(rows, assets.words)
        if isinstance(augmentation, SpeechConfig):
            return Utterances(data, kind, encode, augmentation, texts, training, words)
        # Video frames that the trunk's first convolution needs; states have passed it already.
        min_frames = self.network.trunk_context if isinstance(self.network, TrunkConfig) and not assets.width else 1
        cache_gb = self.settings.cache_gb
        return LipUtterances(data, kind, encode, augmentation, texts, training, words, cache_gb, min_frames)

    def _texts(self, data: DataDir) -> dict[str, str]:
        if not data.text:
            raise LipsoundError(f"{data.path}: has no 'text', which a recognizer is trained with")
        texts = {name: normalize(text, self.settings.language) for name, text in data.text.items()}
        empty = [name for name, text in texts.items() if not text]
        if empty:
            raise LipsoundError(
                f"{data.path}/text: {len(empty)} texts hold no word, the first is that of '{empty[0]}'; take them out"
            )
        return texts

    def build(self, assets: RecognizeAssets) -> Recognizer:
        """The network with fresh weights."""
        words = len(assets.words) + 1 if assets.words else 0
        encoder = find_model(self.name, self.settings.model).network_class()(self.network, assets.width)
        return Recognizer(encoder, self.network, len(assets.tokenizer), words)

    def save(self, assets: RecognizeAssets, exp: Path) -> None:
        """Write the tokenizer, the classes of the word head, and a lip reader's input."""
        assets.tokenizer.save(exp / assets.tokenizer.file)
        save_words(exp, assets.words)
        if self.sees:
            save_input(exp, self.settings.input, assets.width)

    def restore(self, exp: Path) -> RecognizeAssets:
        """Read what `save` wrote."""
        return RecognizeAssets(load_tokens(exp), load_width(exp) if self.sees else SPEECH.bands, load_words(exp))

    def describe(self, assets: RecognizeAssets) -> dict[str, str]:
        """Input and output, for the card of a pack."""
        seen = f"`{self.settings.input}`, 25 frames a second, a sentence at a time"
        return {
            "Input": seen if self.sees else f"audio, {SPEECH.sample_rate} Hz, one voice, a sentence at a time",
            "Output": f"text in '{self.settings.language}', {len(assets.tokenizer)} tokens",
        }

    def collate(self, samples: list[Utterance]) -> UtteranceBatch:
        """Pad utterances to the longest."""
        return UtteranceBatch.of(samples, self.rate)

    def loss(self, model: Recognizer, batch: UtteranceBatch, assets: RecognizeAssets, progress: float) -> Loss:
        """Summed over the utterances of the batch; the weight of an utterance is its number of tokens."""
        return self._loss_of(model, model(batch.features, batch.feature_lengths), batch)

    def _loss_of(self, model: Recognizer, output: RecognizerOutput, batch: UtteranceBatch) -> Loss:
        """The loss of what the network said of a batch."""
        parts = {"ctc": ctc_loss(output, batch)}
        if model.decoder is not None:
            share = self.settings.ctc_weight
            attention = self._decoder_loss(model, output, batch)
            parts = {"ctc": share * parts["ctc"], "attention": (1 - share) * attention}
        weight = float(batch.token_lengths.sum())
        if output.word_scores is not None:
            words = batch.words[:, model.stride // 2 :: model.stride]  # in the middle of each state
            scores = output.word_scores[:, : words.shape[1]].flatten(0, 1).float()
            parts["word"] = self.settings.word_loss_weight * F.cross_entropy(scores, words.flatten(), reduction="sum")
        total = torch.stack(list(parts.values())).sum()
        return Loss(total, weight, {name: float(part.detach()) / weight for name, part in parts.items()})

    def _decoder_loss(self, model: Recognizer, output: RecognizerOutput, batch: UtteranceBatch) -> Tensor:
        """Summed cross entropy of the tokens and the end, with teacher forcing."""
        decoder, smoothing = model.decoder, self.settings.smoothing if model.training else 0.0
        assert decoder is not None

        def score(prefixes: Tensor) -> Tensor:
            return decoder(prefixes, batch.token_lengths + 1, output.states, output.lengths)

        return next_token_loss(score, batch.tokens, batch.token_lengths, decoder.boundary, smoothing)

    def evaluate(
        self, model: Recognizer, valid: Clips, assets: RecognizeAssets, device: torch.device | str
    ) -> Evaluation:
        """Word and character error rates of greedy decoding, and the loss."""
        jiwer = require("jiwer", "metrics")
        count = self.settings.valid_clips or len(valid)
        chosen = np.linspace(0, len(valid) - 1, min(count, len(valid))).round().astype(int)
        references: list[str] = []
        hypotheses: list[str] = []
        total = weight = 0.0
        for start in range(0, len(chosen), 16):
            batch = self.collate([valid.get(int(index), None) for index in chosen[start : start + 16]]).to(device)
            output: RecognizerOutput = model(batch.features, batch.feature_lengths)
            loss = self._loss_of(model, output, batch)
            total, weight = total + float(loss.total), weight + loss.weight
            for log_probs, length in zip(output.log_probs.cpu().numpy(), output.lengths.tolist(), strict=True):
                hypotheses.append(assets.tokenizer.decode(token.token for token in greedy(log_probs[:length])))
            references += batch.texts
        words, characters = (float(rate(references, hypotheses)) for rate in (jiwer.wer, jiwer.cer))
        chosen_rate = words if normalization(self.settings.language).unit == "word" else characters
        numbers = {"wer": words, "cer": characters, "valid_loss": total / max(weight, 1)}
        return Evaluation(1 - chosen_rate, numbers)


def ctc_loss(output: RecognizerOutput, batch: UtteranceBatch) -> Tensor:
    """Summed CTC loss; it is 0 for an utterance with too few states for its tokens."""
    each = F.ctc_loss(
        output.log_probs.transpose(0, 1),
        batch.tokens,
        output.lengths,
        batch.token_lengths,
        reduction="none",
        zero_infinity=True,
    )
    return each.sum()
