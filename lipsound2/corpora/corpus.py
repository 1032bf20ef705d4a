"""What the toolkit knows of a corpus: how its files are found, its published counts, and its splits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lipsound2.corpora.pairs import derange_by_length
from lipsound2.corpora.protocols import Protocol
from lipsound2.corpora.recordings import Recording, Recordings

Pairs = Callable[[Mapping[str, Recording], int], dict[str, str]]  # recordings of a set, seed -> {id: other id}


@dataclass(frozen=True)
class Options:
    """What `prepare` was given beside the root; a corpus names in `takes` those its scan reads.

    Attributes:
        lists: file or folder of lists.
        listing: file that lists the corpus' files.
        prompts: file of sentences.
        unpack: folder to unpack archives into.
    """

    lists: Path | None = None
    listing: Path | None = None
    prompts: Path | None = None
    unpack: Path | None = None


NO_OPTIONS = Options()


@dataclass(frozen=True)
class Corpus:
    """A corpus.

    Attributes:
        title: as people call it.
        scan: (root, options) -> what is there.
        protocols: splits by name.
        parts: part -> clips of the whole part, as published; held-out parts first.
        takes: fields of `Options` that `scan` reads.
        language: ISO 639, for the table utt2lang; empty: unknown, no table.
        pairs: pairs of clips for the control `mismatched`.
    """

    title: str
    scan: Callable[[Path, Options], Recordings]
    protocols: Mapping[str, Protocol]
    parts: Mapping[str, int] = field(default_factory=dict)
    takes: frozenset[str] = frozenset()
    language: str = ""
    pairs: Pairs = derange_by_length
