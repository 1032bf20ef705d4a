"""The corpora by name."""

from __future__ import annotations

from lipsound2.corpora.aishell import AISHELL
from lipsound2.corpora.cmlr import CMLR
from lipsound2.corpora.corpus import Corpus
from lipsound2.corpora.grid import GRID
from lipsound2.corpora.librispeech import LIBRISPEECH
from lipsound2.corpora.lrs2 import LRS2
from lipsound2.corpora.lrs3 import LRS3
from lipsound2.corpora.lrw import LRW
from lipsound2.corpora.own import OWN
from lipsound2.corpora.tcd_timit import TCD_TIMIT
from lipsound2.corpora.voxceleb2 import VOXCELEB2
from lipsound2.errors import LipsoundError

LISTS = "lists"  # the protocol of one's own lists

CORPORA: dict[str, Corpus] = {
    "grid": GRID,
    "mini": GRID,  # generated faces in the same layout
    "tcd_timit": TCD_TIMIT,
    "cmlr": CMLR,
    "voxceleb2": VOXCELEB2,
    "lrw": LRW,
    "lrs2": LRS2,
    "lrs3": LRS3,
    "own": OWN,  # a heap of videos
    "librispeech": LIBRISPEECH,
    "aishell": AISHELL,
}


def check_protocol(corpus: str, protocol: str | None) -> None:
    """Refuse a protocol that a corpus does not have.

    Raises:
        LipsoundError: which ones it has.
    """
    known = (*CORPORA[corpus].protocols, LISTS)
    if protocol is not None and protocol not in known:
        raise LipsoundError(f"unknown protocol '{protocol}' of {corpus}; one of: {', '.join(known)}")
