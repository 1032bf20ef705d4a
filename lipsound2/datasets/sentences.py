"""Sentences as tokens, for the task *language*."""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lipsound2.datasets.batch import TensorBatch
from lipsound2.errors import LipsoundError
from lipsound2.text.tokenizer import UNKNOWN

log = logging.getLogger(__name__)

Sentence = tuple[str, np.ndarray]  # its id, and its tokens (L,)


@dataclass
class TextBatch(TensorBatch):
    """Sentences padded with zeros to the longest.

    Attributes:
        ids: names, in batch order.
        tokens: (B, L) int64.
        lengths: (B,) int64 tokens of each.
    """

    ids: list[str]
    tokens: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, samples: list[Sentence]) -> TextBatch:
        """Pad sentences to the longest."""
        lengths = torch.tensor([len(tokens) for _, tokens in samples])
        padded = torch.zeros(len(samples), int(lengths.max()), dtype=torch.int64)
        for row, (_, tokens) in enumerate(samples):
            padded[row, : len(tokens)] = torch.from_numpy(tokens.astype(np.int64))
        return cls([name for name, _ in samples], padded, lengths)

    @property
    def num_frames(self) -> int:
        """Tokens in the batch, the end of each sentence included; padding not counted."""
        return int(self.lengths.sum()) + len(self.ids)


class Sentences:
    """Sentences as tokens, all in one array.

    Args:
        sentences: (id, tokens); those without a token are left out.
        where: their source, for messages.

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

    def get(self, index: int, rng: np.random.Generator | None) -> Sentence:
        """Id and tokens of one sentence, always the same."""
        end = self._ends[index]
        return self.ids[index], self._tokens[end - self.lengths[index] + 1 : end]
