"""Task *language*: what sentences are made of, for a language model beside a recogniser's search.

It learns from the texts of a data dir and, where there is one, from a file of sentences, in the tokens of the
recogniser it will stand beside. Checkpoints are chosen by perplexity.
"""

from __future__ import annotations

import logging
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.config import to_mapping
from lipsound2.data.datadir import DataDir
from lipsound2.data.texts import read_lines
from lipsound2.datasets.batch import Movable
from lipsound2.errors import LipsoundError
from lipsound2.models.asr.language_model import LanguageModelConfig, TransformerLM
from lipsound2.models.modules.regressor import mask
from lipsound2.tasks.base import Evaluation, Loss
from lipsound2.text.normalize import normalise
from lipsound2.text.tokenizer import UNKNOWN, Tokenizer, of_texts
from lipsound2.text.tokenizer import load as load_tokens
from lipsound2.timing import SAMPLE_RATE

log = logging.getLogger(__name__)

_EVALUATED = 64  # sentences at once


@dataclass(frozen=True)
class LanguageConfig:
    """Keys of this task in a config. Where others count pictures (`batch_pictures`), this one counts tokens.

    Attributes:
        text: file of one sentence a line, learnt beside the texts of the training data dir; empty: none.
        language: of the texts; decides how they are normalised.
        tokens: `characters` or `words` (those of the training texts), the file of a tokenizer (`lipsound2 tokens`), or
            an experiment or pack that has one: the recogniser's.
    """

    text: str = ""
    language: str = "en"
    tokens: str = "characters"


@dataclass
class TextBatch(Movable):
    """Sentences padded with zeros to the longest.

    Attributes:
        ids: names, in batch order.
        tokens: (B, L) int64.
        lengths: (B,) int64 tokens of each.
    """

    ids: list[str]
    tokens: Tensor
    lengths: Tensor

    @property
    def frames(self) -> int:
        """Tokens in the batch, and one a sentence for its end; padding not counted."""
        return int(self.lengths.sum()) + len(self.ids)


class Sentences:
    """Sentences as tokens, all in one array.

    Args:
        sentences: (id, tokens); those without a token are passed over.
        where: they come from, for messages.

    Attributes:
        ids: of the sentences.
        lengths: tokens of each, its end included.

    Raises:
        LipsoundError: there are none.
    """

    def __init__(self, sentences: Iterable[tuple[str, list[int]]], where: str) -> None:
        tokens, self.ids, self.lengths = array("i"), list[str](), list[int]()
        unknown = 0
        for name, sentence in sentences:
            if sentence:
                tokens.extend(sentence)
                self.ids.append(name)
                self.lengths.append(len(sentence) + 1)
                unknown += UNKNOWN in sentence
        if not self.ids:
            raise LipsoundError(
                f"{where}: holds no sentence; give a data dir with 'text' (or, to learn from, the key 'text')"
            )
        if unknown:
            log.warning("%s: %d of %d sentences hold what the tokenizer does not know", where, unknown, len(self.ids))
        self._tokens = np.asarray(tokens)
        self._ends = np.cumsum(np.asarray(self.lengths) - 1)

    def __len__(self) -> int:
        return len(self.ids)

    def get(self, index: int, rng: np.random.Generator | None) -> tuple[str, np.ndarray]:
        """Id and tokens of one sentence, always the same."""
        end = self._ends[index]
        return self.ids[index], self._tokens[end - self.lengths[index] + 1 : end]


class Language:
    """Texts to what may follow: data, network, loss and evaluation. See `tasks.base.Task`."""

    name: ClassVar[str] = "language"
    free: ClassVar[frozenset[str]] = frozenset()
    sample_rate = SAMPLE_RATE

    def __init__(self, settings: LanguageConfig, network: LanguageModelConfig) -> None:
        self.settings = settings
        self.network = network
        self._tokenizer: Tokenizer | None = None

    @classmethod
    def options(cls, values: Mapping[str, Any], where: str) -> list[type[Any]]:
        """The dataclasses that own this task's keys."""
        return [LanguageConfig, LanguageModelConfig]

    def config(self) -> dict[str, Any]:
        """Every key of `options`, resolved."""
        return to_mapping(self.settings, self.network)

    def inputs(self, dump: Path) -> list[Path]:
        """The text file, and the tokenizer where it is not made here; nothing of `dump`."""
        own = self.settings.tokens in ("characters", "words")
        return [Path(name) for name in (self.settings.text, "" if own else self.settings.tokens) if name]

    @property
    def tokenizer(self) -> Tokenizer:
        """Known once data or an experiment was read."""
        if self._tokenizer is None:
            raise LipsoundError("the task has read neither data nor an experiment yet")
        return self._tokenizer

    def datasets(self, train: DataDir, valid: DataDir, dump: Path) -> tuple[Sentences, Sentences]:
        """Training and validation sentences; the tokenizer is made, or read, first."""
        if self.settings.tokens in ("characters", "words"):
            texts = (text for _, text in self._learnt(train))
            self._tokenizer = of_texts(self.settings.tokens, texts)
        else:
            self._tokenizer = load_tokens(Path(self.settings.tokens))
        return self._sentences(self._learnt(train), train), self._sentences(self._texts(valid), valid)

    def _sentences(self, texts: Iterable[tuple[str, str]], data: DataDir) -> Sentences:
        encode = self.tokenizer.encode
        return Sentences(((name, encode(text)) for name, text in texts), str(data.path))

    def _learnt(self, train: DataDir) -> Iterator[tuple[str, str]]:
        """Ids and texts to learn from; lines of the file are numbered."""
        yield from self._texts(train)
        if not self.settings.text:
            return
        path = Path(self.settings.text)
        for number, line in read_lines(path):
            yield f"{path.name}:{number}", normalise(line, self.settings.language)

    def _texts(self, data: DataDir) -> Iterator[tuple[str, str]]:
        return ((name, normalise(text, self.settings.language)) for name, text in data.text.items())

    def build(self) -> TransformerLM:
        """The network with fresh weights."""
        return TransformerLM(self.network, len(self.tokenizer))

    def save(self, exp: Path) -> None:
        """Write the tokenizer."""
        self.tokenizer.save(exp / self.tokenizer.file)

    def restore(self, exp: Path) -> None:
        """Read the tokenizer."""
        self._tokenizer = load_tokens(exp)

    def describe(self) -> dict[str, str]:
        """What goes in and what comes out."""
        return {"Input": "the beginning of a text", "Output": f"what follows, of {len(self.tokenizer)} tokens"}

    def collate(self, samples: list[tuple[str, np.ndarray]]) -> TextBatch:
        """Pad sentences to the longest."""
        lengths = torch.tensor([len(tokens) for _, tokens in samples])
        padded = torch.zeros(len(samples), int(lengths.max()), dtype=torch.int64)
        for row, (_, tokens) in enumerate(samples):
            padded[row, : len(tokens)] = torch.from_numpy(tokens.astype(np.int64))
        return TextBatch([name for name, _ in samples], padded, lengths)

    def loss(self, model: TransformerLM, batch: TextBatch, progress: float) -> Loss:
        """Summed cross entropy of every token, and of the end, after the tokens before it."""
        end = model.boundary
        prefixes = F.pad(batch.tokens, (1, 0), value=end)
        targets = F.pad(batch.tokens, (0, 1)).scatter(1, batch.lengths[:, None], end)
        valid = mask(batch.lengths + 1, targets.shape[1])
        total = F.cross_entropy(model(prefixes)[valid].float(), targets[valid], reduction="sum")
        return Loss(total, float(batch.frames))

    def evaluate(self, model: TransformerLM, valid: Sentences, device: torch.device | str) -> Evaluation:
        """Perplexity a token, and a word; in both, the end of a sentence counts as one more."""
        total, tokens, words = 0.0, 0, 0
        order = np.argsort(valid.lengths, kind="stable")
        for start in range(0, len(order), _EVALUATED):
            samples = [valid.get(int(index), None) for index in order[start : start + _EVALUATED]]
            words += sum(len(self.tokenizer.decode(row.tolist()).split()) + 1 for _, row in samples)
            loss = self.loss(model, self.collate(samples).to(device), 1.0)
            total, tokens = total + float(loss.total), tokens + int(loss.weight)
        # A network that learns nothing must not end the training with an overflow.
        numbers = {
            name: math.exp(min(total / count, 700.0))
            for name, count in (("perplexity", tokens), ("word_perplexity", words))
        }
        return Evaluation(-numbers["perplexity"], numbers)
