"""Task *classify*: lips -> one word of a closed list. LiRA's word level, on LRW's 500 words or any other list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch.nn import functional as F

from lipsound2.arguments import NotNegative, Share
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.augment import AugmentConfig
from lipsound2.datasets.video_to_text import INPUT_FILE, load_width, save_input, width_of
from lipsound2.datasets.word_alignment import WORDS_FILE, load_words, save_words
from lipsound2.datasets.word_windows import Window, WindowBatch, WordWindows
from lipsound2.errors import LipsoundError
from lipsound2.models.asr.word_classifier import WordClassifier, WordClassifierConfig
from lipsound2.tasks.base import Evaluation, Loss, Prepared, Task

TOP = 5
_EVALUATED = 32  # windows in a batch of the evaluation


@dataclass(frozen=True)
class ClassifyConfig:
    """Keys of this task in a config.

    Attributes:
        input: kind of the crops, or of the states of a frozen trunk.
        window: video frames of the input, centered on the word; LRW's clips have 29.
        mixup: two clips of a batch are mixed in shares drawn from Beta(mixup, mixup); 0: never. The word-level recipe
            of LiRA's authors has 0.4.
        smoothing: label smoothing.
        cache_gb: gigabytes of decoded crops that each loading process keeps for the next epoch.
    """

    input: str = "mouth"
    window: int = 29
    mixup: NotNegative = 0.4
    smoothing: Share = 0.0
    cache_gb: NotNegative = 0.0

    def __post_init__(self) -> None:
        """Refuse a window without a video frame."""
        if self.window < 1:
            raise LipsoundError(f"window: expected 1 video frame or more, found {self.window}")


@dataclass(frozen=True)
class ClassifyAssets:
    """What the training set adds to the task's options.

    Attributes:
        words: the classes.
        width: of the input, when it is a trunk's states; 0: video frames.
    """

    words: tuple[str, ...]
    width: int


@dataclass(frozen=True)
class Classify(Task[ClassifyAssets, WordClassifier, WordWindows, WindowBatch]):
    """Words of a closed list: data, network, loss and evaluation. See `tasks.base.Task`."""

    name: ClassVar[str] = "classify"
    free: ClassVar[frozenset[str]] = frozenset({"cache_gb"})
    files: ClassVar[tuple[str, ...]] = (INPUT_FILE, WORDS_FILE)

    settings: ClassifyConfig
    network: WordClassifierConfig
    augmentation: AugmentConfig

    def check_training(self) -> None:
        """See `Task`."""
        self.augmentation.check(uncut="into the word")

    def inputs(self, dump: Path) -> list[Path]:
        """The archives that are read."""
        return [dump / self.settings.input]

    def prepare(self, train: DataDir, valid: DataDir, dump: Path) -> Prepared[WordWindows, ClassifyAssets]:
        """Training and validation words; the classes are the words of the training set."""
        for data in (train, valid):
            if not data.text:
                raise LipsoundError(f"{data.path}: has no 'text', which holds the word of each clip")
        words = tuple(sorted(set(train.text.values())))
        many = next((word for word in words if " " in word), "")
        if many:
            raise LipsoundError(
                f"{train.path}/text: expected one word a clip, found '{many}'; cut sentences with: lipsound2 words"
            )
        assets = ClassifyAssets(words, width_of(dump / self.settings.input))
        training = self.windows(train, dump, words, training=True)
        return Prepared(training, self.windows(valid, dump, words), assets)

    def windows(self, data: DataDir, dump: Path, words: Sequence[str], training: bool = False) -> WordWindows:
        """The words of a data dir; for training they are augmented."""
        classes = {word: number for number, word in enumerate(words)}
        settings, kind = self.settings, dump / self.settings.input
        return WordWindows(data, kind, classes, settings.window, self.augmentation, training, settings.cache_gb)

    def build(self, assets: ClassifyAssets) -> WordClassifier:
        """The network with fresh weights."""
        return WordClassifier(self.network, len(assets.words), assets.width)

    def save(self, assets: ClassifyAssets, exp: Path) -> None:
        """Write the classes, and the kind and width of the input."""
        save_words(exp, assets.words)
        save_input(exp, self.settings.input, assets.width)

    def restore(self, exp: Path) -> ClassifyAssets:
        """Read what `save` wrote."""
        return ClassifyAssets(load_words(exp), load_width(exp))

    def describe(self, assets: ClassifyAssets) -> dict[str, str]:
        """Input and output, for the card of a pack."""
        return {
            "Input": f"`{self.settings.input}`, {self.settings.window} video frames around a word, 25 a second",
            "Output": f"one of {len(assets.words)} words",
        }

    def collate(self, samples: list[Window]) -> WindowBatch:
        """Pad windows to the longest."""
        return WindowBatch.of(samples)

    def loss(self, model: WordClassifier, batch: WindowBatch, assets: ClassifyAssets, progress: float) -> Loss:
        """Summed cross entropy, in training with mixup (Zhang et al., "mixup", 2018)."""
        video, inside, labels = batch.video, batch.inside, batch.labels
        other, share = labels, 1.0
        if model.training and self.settings.mixup > 0:
            # Drawn from torch's global generator, whose state checkpoints hold.
            share = float(torch.distributions.Beta(self.settings.mixup, self.settings.mixup).sample())
            order = torch.randperm(len(labels)).to(labels.device)
            video = share * video.float() + (1 - share) * video[order].float()
            inside = share * inside + (1 - share) * inside[order]
            other = labels[order]
        scores = model(video, batch.video_lengths, inside).float()
        smoothing = self.settings.smoothing if model.training else 0.0
        first, second = (
            F.cross_entropy(scores, wanted, reduction="sum", label_smoothing=smoothing) for wanted in (labels, other)
        )
        total = share * first + (1 - share) * second
        return Loss(total, float(len(labels)), {"word": float(total.detach()) / len(labels)})

    def evaluate(
        self, model: WordClassifier, valid: WordWindows, assets: ClassifyAssets, device: torch.device | str
    ) -> Evaluation:
        """Top-1 and top-5 accuracy, and the loss."""
        total = 0.0
        ranks: list[int] = []
        for start in range(0, len(valid), _EVALUATED):
            chosen = range(start, min(start + _EVALUATED, len(valid)))
            batch = self.collate([valid.get(index, None) for index in chosen]).to(device)
            scores = model(batch.video, batch.video_lengths, batch.inside).float()
            total += float(F.cross_entropy(scores, batch.labels, reduction="sum"))
            ranks += ranks_of(scores, batch.labels)
        numbers = {**accuracy(ranks), "valid_loss": total / len(valid)}
        return Evaluation(numbers["top1"], numbers)


def ranks_of(scores: torch.Tensor, labels: torch.Tensor) -> list[int]:
    """Rank of the right class in each row of scores (B, classes): how many others do not score lower; 0 is the best.

    So ties count against the network, and so do scores that are no numbers. Otherwise one that has collapsed would
    look perfect.
    """
    right = scores.gather(1, labels[:, None])
    return [int(rank) for rank in (~(scores < right)).sum(1) - 1]


def accuracy(ranks: list[int]) -> dict[str, float]:
    """Top-1 and top-5 accuracy from the ranks of the right classes."""
    return {f"top{top}": float(np.mean([rank < top for rank in ranks])) for top in (1, TOP)}
