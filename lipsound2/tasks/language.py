"""Task *language*: a language model for the search of a recognizer.

It is trained on the texts of a data dir and, where there is one, on a file of sentences, in the tokens of that
recognizer. Checkpoints are chosen by perplexity.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from lipsound2.data.datadir import DataDir
from lipsound2.data.texts import read_lines
from lipsound2.datasets.sentences import Sentence, Sentences, TextBatch
from lipsound2.models.asr.language_model import LanguageModelConfig, TransformerLM
from lipsound2.tasks.base import Evaluation, Loss, Prepared, Task
from lipsound2.tasks.teacher_forcing import next_token_loss
from lipsound2.tasks.tokens import tokenizer_of, tokenizer_path
from lipsound2.text.normalize import normalize
from lipsound2.text.tokenizer import Tokenizer
from lipsound2.text.tokens import FILES
from lipsound2.text.tokens import load as load_tokens

_EVALUATED = 64  # sentences in a batch of the evaluation


@dataclass(frozen=True)
class LanguageConfig:
    """Keys of this task in a config. Where other tasks count video frames (`batch_frames`), this one counts tokens.

    Attributes:
        text: further training text, a file of one sentence a line; empty: none.
        language: of the texts; decides how they are normalized.
        tokens: `characters` or `words` (those of the training texts), the file of a tokenizer (`lipsound2 tokens`), or
            an experiment, a pack or the name of one that has one: the recognizer's.
    """

    text: str = ""
    language: str = "en"
    tokens: str = "characters"


@dataclass(frozen=True)
class LanguageAssets:
    """What the training set adds to the task's options: the tokenizer."""

    tokenizer: Tokenizer


@dataclass(frozen=True)
class Language(Task[LanguageAssets, TransformerLM, Sentences, TextBatch]):
    """A language model: data, network, loss and evaluation. See `tasks.base.Task`."""

    name: ClassVar[str] = "language"
    files: ClassVar[tuple[str, ...]] = FILES

    settings: LanguageConfig
    network: LanguageModelConfig

    def inputs(self, dump: Path) -> list[Path]:
        """The text file, and the tokenizer where it is not made here; nothing of `dump`."""
        text = Path(self.settings.text) if self.settings.text else None
        return [path for path in (text, tokenizer_path(self.settings.tokens)) if path]

    def prepare(self, train: DataDir, valid: DataDir, dump: Path) -> Prepared[Sentences, LanguageAssets]:
        """Training and validation sentences; the tokenizer is made, or read, first."""
        tokenizer = tokenizer_of(self.settings.tokens, (text for _, text in self._training_texts(train)))
        training, validation = (
            Sentences(((name, tokenizer.encode(text)) for name, text in texts), str(data.path))
            for texts, data in ((self._training_texts(train), train), (self._texts(valid), valid))
        )
        return Prepared(training, validation, LanguageAssets(tokenizer))

    def _training_texts(self, train: DataDir) -> Iterator[tuple[str, str]]:
        """Ids and texts of the training set; the id of a line of the file is its number."""
        yield from self._texts(train)
        if not self.settings.text:
            return
        path = Path(self.settings.text)
        for number, line in read_lines(path):
            yield f"{path.name}:{number}", normalize(line, self.settings.language)

    def _texts(self, data: DataDir) -> Iterator[tuple[str, str]]:
        return ((name, normalize(text, self.settings.language)) for name, text in data.text.items())

    def build(self, assets: LanguageAssets) -> TransformerLM:
        """The network with fresh weights."""
        return TransformerLM(self.network, len(assets.tokenizer))

    def save(self, assets: LanguageAssets, exp: Path) -> None:
        """Write the tokenizer."""
        assets.tokenizer.save(exp / assets.tokenizer.file)

    def restore(self, exp: Path) -> LanguageAssets:
        """Read the tokenizer."""
        return LanguageAssets(load_tokens(exp))

    def describe(self, assets: LanguageAssets) -> dict[str, str]:
        """Input and output, for the card of a pack."""
        return {"Input": "the beginning of a text", "Output": f"what follows, of {len(assets.tokenizer)} tokens"}

    def collate(self, samples: list[Sentence]) -> TextBatch:
        """Pad sentences to the longest."""
        return TextBatch.of(samples)

    def loss(self, model: TransformerLM, batch: TextBatch, assets: LanguageAssets, progress: float) -> Loss:
        """Summed cross entropy of every token, and of the end, after the tokens before it."""
        total = next_token_loss(model, batch.tokens, batch.lengths, model.boundary)
        return Loss(total, float(batch.num_frames))

    def evaluate(
        self, model: TransformerLM, valid: Sentences, assets: LanguageAssets, device: torch.device | str
    ) -> Evaluation:
        """Perplexity per token and per word; in both the end of a sentence counts as one more."""
        total, tokens, words = 0.0, 0, 0
        order = np.argsort(valid.lengths, kind="stable")
        for start in range(0, len(order), _EVALUATED):
            samples = [valid.get(int(index), None) for index in order[start : start + _EVALUATED]]
            words += sum(len(assets.tokenizer.decode(row.tolist()).split()) + 1 for _, row in samples)
            loss = self.loss(model, self.collate(samples).to(device), assets, 1.0)
            total, tokens = total + float(loss.total), tokens + int(loss.weight)
        # A diverged network must not end the training with an overflow.
        numbers = {
            name: math.exp(min(total / count, 700.0))
            for name, count in (("perplexity", tokens), ("word_perplexity", words))
        }
        return Evaluation(-numbers["perplexity"], numbers)
