"""What every model of the task *recognise* is: frames in, scores of tokens out, by CTC and maybe by a decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from lipsound2.models.asr.jasper import Jasper, JasperConfig
from lipsound2.models.asr.speech_encoder import SpeechConformer, SpeechConformerConfig, TextDecoder
from lipsound2.models.modules.lip_encoder import LipEncoder, LipEncoderConfig


@dataclass
class LipReaderConfig(LipEncoderConfig):
    """Sizes of the lip reader; the defaults are those of the group that made LiRA.

    Attributes:
        decoder_layers: layers of the Transformer decoder; 0: CTC alone.
    """

    decoder_layers: int = 6


Encoder = Jasper | SpeechConformer | LipEncoder
MODELS: dict[str, tuple[Callable[..., Encoder], type[Any]]] = {
    "jasper": (Jasper, JasperConfig),
    "conformer": (SpeechConformer, SpeechConformerConfig),
    "lips": (LipEncoder, LipReaderConfig),
}


@dataclass
class Heard:
    """States of a batch and CTC's view of them.

    Attributes:
        states: (B, T, width).
        lengths: (B,) int64 states of each clip.
        log_probs: (B, T, tokens) float32 natural log-probabilities, token 0 CTC's blank.
        words: (B, T, words) scores of the word said at each state, when the model was built to name them.
    """

    states: Tensor
    lengths: Tensor
    log_probs: Tensor
    words: Tensor | None = None


class Recogniser(nn.Module):
    """An encoder with a CTC head, and a text decoder when its config asks for one.

    Args:
        model: name of the encoder.
        config: its sizes.
        bands: feature dimensions; 0: pictures come.
        tokens: number of tokens.
        words: number of words it also names, silence included; 0: none.
    """

    def __init__(self, model: str, config: Any, bands: int, tokens: int, words: int = 0) -> None:
        super().__init__()
        self.encoder: Encoder = MODELS[model][0](config, bands)
        self.ctc = nn.Linear(self.encoder.width, tokens)
        self.words = nn.Linear(self.encoder.width, words) if words else None
        self.decoder: TextDecoder | None = None
        if getattr(config, "decoder_layers", 0):
            self.decoder = TextDecoder(tokens, self.encoder.width, config.decoder_layers, config.heads, config.dropout)

    @property
    def stride(self) -> int:
        """Feature frames a state."""
        return self.encoder.stride

    def forward(self, features: Tensor, frames: Tensor) -> Heard:
        """(B, S, bands) features or (B, T, H, W) uint8 pictures, zero where padded, and (B,) int64 their numbers."""
        states, lengths = self.encoder(features, frames)
        words = None if self.words is None else self.words(states)
        return Heard(states, lengths, self.ctc(states).float().log_softmax(-1), words)
