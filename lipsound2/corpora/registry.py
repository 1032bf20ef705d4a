"""The corpus registry. A new corpus is a module and a line here; see `docs/add-a-corpus.md`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from lipsound2.corpora.corpus import Corpus
from lipsound2.errors import LipsoundError

LISTS = "lists"  # the protocol of one's own lists

# Name -> module:corpus. A module is imported when its corpus is asked for.
CORPORA: Mapping[str, str] = {
    "grid": "lipsound2.corpora.grid:GRID",
    "mini": "lipsound2.corpora.grid:GRID",  # generated faces in the same layout
    "tcd_timit": "lipsound2.corpora.tcd_timit:TCD_TIMIT",
    "cmlr": "lipsound2.corpora.cmlr:CMLR",
    "voxceleb2": "lipsound2.corpora.voxceleb2:VOXCELEB2",
    "lrw": "lipsound2.corpora.lrw:LRW",
    "lrs2": "lipsound2.corpora.lrs2:LRS2",
    "lrs3": "lipsound2.corpora.lrs3:LRS3",
    "own": "lipsound2.corpora.own:OWN",  # a heap of videos
    "librispeech": "lipsound2.corpora.librispeech:LIBRISPEECH",
    "aishell": "lipsound2.corpora.aishell:AISHELL",
}


def names() -> list[str]:
    """The names of all corpora."""
    return [*CORPORA]


def load(name: str) -> Corpus:
    """The corpus of a name in `CORPORA`."""
    module, _, corpus = CORPORA[name].partition(":")
    found: Corpus = getattr(importlib.import_module(module), corpus)
    return found


def check_protocol(corpus: str, protocol: str | None) -> None:
    """Refuse a protocol that a corpus does not have.

    Raises:
        LipsoundError: which ones it has.
    """
    known = (*load(corpus).protocols, LISTS)
    if protocol is not None and protocol not in known:
        raise LipsoundError(f"unknown protocol '{protocol}' of {corpus}; one of: {', '.join(known)}")
