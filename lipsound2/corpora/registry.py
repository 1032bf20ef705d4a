"""The corpora by name."""

from __future__ import annotations

from lipsound2.corpora.aishell import AISHELL
from lipsound2.corpora.corpus import Corpus
from lipsound2.corpora.grid import GRID
from lipsound2.corpora.librispeech import LIBRISPEECH

CORPORA: dict[str, Corpus] = {
    "grid": GRID,
    "mini": GRID,  # generated faces in the same layout
    "librispeech": LIBRISPEECH,
    "aishell": AISHELL,
}
