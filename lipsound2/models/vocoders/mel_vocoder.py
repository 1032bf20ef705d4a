"""Base of the models of the task *vocode*: a mel-spectrogram in, a waveform out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class MelVocoder(nn.Module, ABC):
    """Base of vocoders, made from their config and the `MelConfig` they speak.

    One whose config is a `DiscriminatorConfig` learns against discriminators; any other one has a loss of its own.

    Attributes:
        receptive_field: mel frames that a sample depends on, to either side.
    """

    receptive_field: int

    @abstractmethod
    def forward(self, mel: Tensor) -> Tensor:
        """Waveforms of mels.

        Args:
            mel: (B, S, bands) natural logarithm.

        Returns:
            (B, S * hop) float32.
        """

    def piece(self, mel: Tensor, first: int) -> Tensor:
        """Waveforms of mels that are pieces of longer ones; vocoders that leave something to chance have their own.

        Args:
            mel: (B, S, bands) natural logarithm.
            first: place of the first frame in its clip.

        Returns:
            (B, S * hop) float32.
        """
        waveform: Tensor = self(mel)
        return waveform

    def loss(self, waveform: Tensor, mel: Tensor) -> Tensor:
        """() float32 loss of a vocoder that learns without discriminators, summed over samples.

        Args:
            waveform: (B, S * hop) float32.
            mel: (B, S, bands) natural logarithm.
        """
        raise NotImplementedError(f"{type(self).__name__} learns against discriminators: it has no loss of its own")
