"""The lip reader: LiRA's encoder of mouths under the heads of a recognizer."""

from __future__ import annotations

from dataclasses import dataclass

from lipsound2.arguments import AtLeast0
from lipsound2.models.asr.text_decoder import DecoderConfig
from lipsound2.models.modules.lip_encoder import LipEncoder, LipEncoderConfig

__all__ = ["LipEncoder", "LipReaderConfig"]


@dataclass
class LipReaderConfig(DecoderConfig, LipEncoderConfig):
    """Sizes of the lip reader; the defaults are those of the group that made LiRA."""

    decoder_layers: AtLeast0 = 6
