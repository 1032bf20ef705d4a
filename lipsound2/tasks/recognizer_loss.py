"""What a trained recognizer hears, as a loss on log-mels: a deep feature loss (Germain, Chen and Koltun, 2019).

Distances between mels count every band alike. A recognizer has learned what tells phones apart, so speech that it
cannot tell from the ground truth keeps what matters for words. Its weights are frozen. Compared are the states of all
of its blocks, not its words: no transcript is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lipsound2.audio.mel_settings import SPEECH, MelConfig
from lipsound2.errors import LipsoundError
from lipsound2.models.asr.speech_encoder import SpeechConformer
from lipsound2.models.modules.regressor import mask

_SPREAD = 1e-3  # added to standard deviations, as where recognizers read audio


class RecognizerLoss:
    """The loss by one recognizer.

    Args:
        recognizer: a network of the task *recognize* that takes audio.
        mel: that is generated. Its frames and bands must be those that recognizers take; its windows may be longer.

    Raises:
        LipsoundError: the recognizer is no Conformer of audio, or takes other mels.
    """

    def __init__(self, recognizer: nn.Module, mel: MelConfig) -> None:
        encoder = recognizer.get_submodule("encoder")
        if not isinstance(encoder, SpeechConformer):
            raise LipsoundError(
                f"recognizer: wanted a Conformer of audio ('model: conformer'), found {type(encoder).__name__}"
            )
        for key in ("sample_rate", "hop", "bands", "fmin", "fmax"):
            if getattr(mel, key) != getattr(SPEECH, key):
                raise LipsoundError(
                    f"recognizer: hears mels with {key} {getattr(SPEECH, key):g}, the target '{mel.name}' has "
                    f"{getattr(mel, key):g}; predict mel-fine, or leave the key out"
                )
        self._encoder = encoder.requires_grad_(False).eval()

    def __call__(self, prediction: Tensor, target: Tensor, feature_lengths: Tensor) -> Tensor:
        """How far what the recognizer makes of the prediction lies from what it makes of the ground truth.

        Args:
            prediction: (B, S, bands) natural log-mel.
            target: (B, S, bands) the ground truth.
            feature_lengths: (B,) int64 valid mel frames.

        Returns:
            (B,) float32 from 0 on: of each clip the mean distance (L1) of a state, as a share of the states' mean
            magnitude, over states and blocks.
        """
        self._encoder.to(target.device)
        inside = mask(feature_lengths, target.shape[1])[..., None].float()
        target = target.float()
        count = inside.sum(1, keepdim=True).clamp_min(1)
        mean = (target * inside).sum(1, keepdim=True) / count
        spread = ((target - mean).square() * inside).sum(1, keepdim=True).div(count).sqrt() + _SPREAD
        with torch.no_grad():
            true, lengths = self._states((target - mean) / spread * inside, feature_lengths)
        # By the ground truth's statistics, so that bands at a wrong level cost, too.
        found, _ = self._states((prediction.float() - mean) / spread * inside, feature_lengths)
        valid = mask(lengths, true[0].shape[1])[..., None].float()
        total = torch.zeros(len(target), device=target.device)
        for ours, theirs in zip(found, true, strict=True):
            far, size = ((each * valid).sum((1, 2)) for each in ((ours - theirs).abs(), theirs.abs()))
            total = total + far / size.clamp_min(1e-6)
        return total / len(true)

    def _states(self, features: Tensor, feature_lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """(B, S, bands) normalized log-mels to every block's states (B, S', width) float32, of which (B,) count."""
        states: list[Tensor] = []
        with _gathered(self._encoder, states):
            _, lengths = self._encoder(features, feature_lengths)
        return states, lengths


@contextmanager
def _gathered(encoder: SpeechConformer, states: list[Tensor]) -> Iterator[None]:
    """While it is entered, what comes out of the encoder's blocks is gathered, too."""

    def keep(_block: nn.Module, _given: object, state: Tensor) -> None:
        states.append(state.float())

    handles = [block.register_forward_hook(keep) for block in encoder.conformer.blocks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
