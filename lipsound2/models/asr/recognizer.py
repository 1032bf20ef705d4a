"""Recognizers: an encoder of audio or video, a CTC head and, when the config asks for one, an attention decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from lipsound2.models.asr.text_decoder import DecoderConfig, TextDecoder


class Encoder(Protocol):
    """The encoder of a recognizer: a module made from its config and the width of its input.

    A `DecoderConfig` with the keys `heads`, `dropout` and `norm_eps` may add a text decoder to the CTC head.

    Attributes:
        width: of the states.
        stride: feature frames a state.
    """

    @property
    def width(self) -> int: ...
    @property
    def stride(self) -> int: ...

    def __call__(self, features: Tensor, feature_lengths: Tensor, /) -> tuple[Tensor, Tensor]:
        """Features (B, S, bands), or video frames (B, T, H, W) uint8, to states (B, S', width); (B,) int64 lengths."""


@dataclass
class RecognizerOutput:
    """Encoder states of a batch and the outputs of its heads.

    Attributes:
        states: (B, T, width).
        lengths: (B,) int64 valid states of each clip.
        log_probs: (B, T, tokens) float32 natural log-probabilities of the CTC head; token 0 is the blank.
        word_scores: (B, T, words) logits of the word head at each state, when the model has one.
    """

    states: Tensor
    lengths: Tensor
    log_probs: Tensor
    word_scores: Tensor | None = None


class Recognizer(nn.Module):
    """An encoder with a CTC head, and a text decoder when its config asks for one.

    Args:
        encoder: features, or video frames, to states.
        config: the encoder's, which has the decoder's sizes too.
        tokens: number of tokens.
        words: classes of the word head, silence included; 0: no word head.
    """

    def __init__(self, encoder: Encoder, config: Any, tokens: int, words: int = 0) -> None:
        super().__init__()
        self.encoder, self.tokens = encoder, tokens
        heads = config if isinstance(config, DecoderConfig) else DecoderConfig()
        self.ctc = nn.Linear(self.encoder.width, tokens + int(heads.ctc_boundary))
        self.words = nn.Linear(self.encoder.width, words) if words else None
        self.decoder: TextDecoder | None = None
        if heads.decoder_layers:
            width = self.encoder.width
            self.decoder = TextDecoder(tokens, width, config.heads, config.dropout, heads, config.norm_eps)

    @property
    def stride(self) -> int:
        """Feature frames a state."""
        return self.encoder.stride

    def forward(self, features: Tensor, feature_lengths: Tensor) -> RecognizerOutput:
        """(B, S, bands) features or (B, T, H, W) uint8 video frames, zero where padded, and their (B,) int64
        lengths."""
        return self.heads(*self.encoder(features, feature_lengths))

    def heads(self, states: Tensor, lengths: Tensor) -> RecognizerOutput:
        """What the heads say of the encoder's states (B, S, width), of which (B,) int64 are valid."""
        word_scores = None if self.words is None else self.words(states)
        log_probs = self.ctc(states).float().log_softmax(-1)[..., : self.tokens]
        return RecognizerOutput(states, lengths, log_probs, word_scores)
