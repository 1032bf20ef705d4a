"""Subwords with the numbers that a published model gives them, which are not sentencepiece's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lipsound2.data.texts import read_lines, shown, text_of
from lipsound2.errors import LipsoundError
from lipsound2.text.tokenizer import UNKNOWN, Tokenizer

_MARK = "\u2581"  # begins a word, as in sentencepiece
_UNKNOWN_PIECE = "<unk>"
_ADVICE = "wanted a line 'piece number' for every piece, such as unigram5000_units.txt of auto_avsr has them"


class PieceTable(Tokenizer):
    """Tokens of a table of pieces.

    A table tells nothing of how likely its pieces are. So a word is written with the fewest that spell it, the longest
    first. In a table of capitals, words are written in capitals.

    Args:
        pieces: the vocabulary, in the order of the tokens from 2 on.
    """

    file = "tokens.pieces"

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = list(pieces)
        self._numbers = {piece: number for number, piece in enumerate(self.pieces, start=2)}
        self._longest = max(map(len, self.pieces), default=0)
        self._capitals = not any(character.islower() for piece in self.pieces for character in piece)

    def __len__(self) -> int:
        return len(self.pieces) + 2

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        text = text.upper() if self._capitals else text
        return [token for word in text.split() for token in self._spelled(_MARK + word)]

    def _spelled(self, text: str) -> list[int]:
        """The fewest pieces; what no piece can write is UNKNOWN, once for each character."""
        # cost[n], last[n]: of the first n characters, and the piece that ends there; what is unknown costs most.
        cost, last = [0.0], [(0, UNKNOWN)]
        for end in range(1, len(text) + 1):
            options = [(cost[end - 1] + len(text) + 1, -1, UNKNOWN)]
            for length in range(1, min(self._longest, end) + 1):
                token = self._numbers.get(text[end - length : end])
                if token is not None:
                    options.append((cost[end - length] + 1, -length, token))
            best = min(options)
            cost.append(best[0])
            last.append((-best[1], best[2]))
        tokens, end = [], len(text)
        while end:
            length, token = last[end]
            tokens.append(token)
            end -= length
        return tokens[::-1]

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens."""
        pieces = ("\u2047" if token == UNKNOWN else self.pieces[token - 2] for token in tokens if token)
        return "".join(pieces).replace(_MARK, " ").strip()

    def begins_word(self, token: int) -> bool:
        """With a piece that carries the mark of a word."""
        return token >= 2 and self.pieces[token - 2].startswith(_MARK)

    def is_blank(self, token: int) -> bool:
        """Whether a piece is only the mark."""
        return token >= 2 and self.pieces[token - 2] == _MARK

    def spell(self, word: str, first: bool) -> list[int]:
        """Tokens of a word in a sentence: the same wherever it stands."""
        return self.encode(word)

    @property
    def content(self) -> bytes:
        """One piece a line."""
        return "".join(f"{piece}\n" for piece in self.pieces).encode()

    @classmethod
    def load(cls, path: Path) -> PieceTable:
        """Read its file.

        Raises:
            LipsoundError: a line is empty, or stands there twice.
        """
        pieces = text_of(path.read_bytes(), path).split("\n")[:-1]
        for number, piece in enumerate(pieces, start=1):
            if not piece or piece.split() != [piece]:
                raise LipsoundError(f"{path}:{number}: expected one piece, found {shown(piece)}; copy the pack again")
        if not pieces or len(set(pieces)) < len(pieces):
            raise LipsoundError(f"{path}: expected pieces, each once, found {len(pieces)} lines; copy the pack again")
        return cls(pieces)

    @classmethod
    def read_units(cls, path: Path) -> PieceTable:
        """Read a published table: a line `piece number` for every piece, `<unk> 1` the first.

        Raises:
            LipsoundError: it is no such table.
        """
        pieces: list[str] = []
        for line, text in read_lines(path):
            parts = text.split()
            if len(parts) != 2 or not (parts[1].isascii() and parts[1].isdigit() and len(parts[1]) < 8):
                raise LipsoundError(f"{path}:{line}: found {shown(text)}; {_ADVICE}")
            if int(parts[1]) != len(pieces) + 1:
                raise LipsoundError(
                    f"{path}:{line}: found the number {shown(parts[1])}, wanted {len(pieces) + 1}; {_ADVICE}"
                )
            pieces.append(parts[0])
        if not pieces or pieces[0] != _UNKNOWN_PIECE:
            raise LipsoundError(f"{path}: does not begin with '{_UNKNOWN_PIECE} 1'; {_ADVICE}")
        if len(set(pieces)) < len(pieces):
            raise LipsoundError(f"{path}: holds a piece twice; {_ADVICE}")
        return cls(pieces[1:])
