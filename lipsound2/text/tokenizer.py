"""Tokenizers of recognizers: characters, subwords or whole words (sentencepiece).

Token 0 is CTC's blank. Token 1 stands for everything the tokenizer does not know, so that an unknown character counts
as an error and does not vanish. A tokenizer is one file in the experiment.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from lipsound2.data.texts import shown, text_of
from lipsound2.errors import LipsoundError, require
from lipsound2.files import atomic_path

BLANK, UNKNOWN = 0, 1
_SPACE = "<space>"  # a blank between words, as it stands in a file of one character a line
_AGAIN = "make it again with: lipsound2 tokens"


class Tokenizer(ABC):
    """Text to tokens and back."""

    file: str  # name of its file in an experiment
    whole_words = False  # whether every token is a whole word

    @abstractmethod
    def __len__(self) -> int:
        """Size of the vocabulary, blank and unknown included."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Tokens of a text; UNKNOWN for unknown parts."""

    def segmentations(self, text: str, count: int) -> list[list[int]]:
        """Ways to cut a text into tokens, the usual one first; `count` at most. None if a part is unknown."""
        usual = self.encode(text)
        return [] if UNKNOWN in usual else [usual]

    @abstractmethod
    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; CTC's blanks are left out, UNKNOWN becomes "\u2047"."""

    @abstractmethod
    def begins_word(self, token: int) -> bool:
        """Whether a new word begins with, or after, this token."""

    @abstractmethod
    def is_blank(self, token: int) -> bool:
        """Whether a token is only the blank between words."""

    @abstractmethod
    def spell(self, word: str, first: bool) -> list[int]:
        """Tokens of a word in a sentence, its leading blank included unless it is the first; UNKNOWN as in `encode`."""

    @property
    @abstractmethod
    def content(self) -> bytes:
        """Content of its file."""

    def save(self, path: Path) -> None:
        """Write its file."""
        with atomic_path(path) as temporary:
            temporary.write_bytes(self.content)


class Characters(Tokenizer):
    """One token a character.

    Args:
        characters: the vocabulary, in the order of the tokens from 2 on.
    """

    file = "tokens.txt"

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters = list(characters)
        self._numbers = {character: number for number, character in enumerate(self.characters, start=2)}

    @classmethod
    def of(cls, texts: Iterable[str]) -> Characters:
        """All characters of some texts.

        Raises:
            LipsoundError: there are none.
        """
        characters = sorted({character for text in texts for character in text})
        if not characters:
            raise LipsoundError("tokens: the texts hold no character at all; look at the data dir's 'text'")
        return cls(characters)

    def __len__(self) -> int:
        return len(self.characters) + 2

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        return [self._numbers.get(character, UNKNOWN) for character in text]

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens."""
        return "".join("\u2047" if token == UNKNOWN else self.characters[token - 2] for token in tokens if token)

    def begins_word(self, token: int) -> bool:
        """After a blank."""
        return self.is_blank(token)

    def is_blank(self, token: int) -> bool:
        """Whether it is the blank."""
        return token >= 2 and self.characters[token - 2] == " "

    def spell(self, word: str, first: bool) -> list[int]:
        """Tokens of a word in a sentence."""
        return self.encode(word if first else f" {word}")

    @property
    def content(self) -> bytes:
        """One character a line."""
        rows = (_SPACE if character == " " else character for character in self.characters)
        return "".join(f"{row}\n" for row in rows).encode()

    @classmethod
    def load(cls, path: Path) -> Characters:
        """Read its file.

        Raises:
            LipsoundError: a line that is not one character.
        """
        rows = text_of(path.read_bytes(), path, _AGAIN).split("\n")[:-1]
        characters = [" " if row == _SPACE else row for row in rows]
        for number, character in enumerate(characters, start=1):
            if len(character) != 1:
                raise LipsoundError(f"{path}:{number}: expected one character or {_SPACE}, found {shown(character)}")
        if not characters or len(set(characters)) < len(characters):
            raise LipsoundError(f"{path}: expected characters, each once, found {len(characters)} lines; {_AGAIN}")
        return cls(characters)


class Pieces(Tokenizer):
    """Tokens of a sentencepiece model: piece n is token n + 1, the unknown piece (0) is UNKNOWN.

    Args:
        content: of the model file.
        where: the file, for messages.
    """

    file = "tokens.model"
    content = b""

    def __init__(self, content: bytes, where: str) -> None:
        spm = require("sentencepiece", "text")
        self.content = content
        try:
            self._pieces = spm.SentencePieceProcessor()
            # Without content the constructor makes a processor that fails at its first use.
            self._pieces.LoadFromSerializedProto(content)
            self._pieces.id_to_piece(0)
        except (RuntimeError, IndexError) as error:
            raise LipsoundError(f"{where}: no sentencepiece model ({error}); {_AGAIN}") from error
        pieces = range(2, len(self))
        self.whole_words = all(self.begins_word(n) for n in pieces if not self._pieces.is_control(n - 1))

    @classmethod
    def load(cls, path: Path) -> Pieces:
        """Read its file."""
        return cls(path.read_bytes(), str(path))

    def __len__(self) -> int:
        return int(self._pieces.vocab_size()) + 1

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        return [piece + 1 for piece in self._pieces.encode(text)]

    def segmentations(self, text: str, count: int) -> list[list[int]]:
        """Ways to cut a text into tokens, the usual one first; only unigram models know more than one."""
        found = super().segmentations(text, count)
        try:
            others = self._pieces.nbest_encode(text, nbest_size=count) if found else []
        except RuntimeError:  # a model of words, or of byte pairs
            others = []
        for pieces in others:
            tokens = [piece + 1 for piece in pieces]
            if tokens not in found and UNKNOWN not in tokens:
                found.append(tokens)
        return found[:count]

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens."""
        return str(self._pieces.decode([int(token) - 1 for token in tokens if token])).replace(" \u2047 ", "\u2047")

    def begins_word(self, token: int) -> bool:
        """With a piece that carries the mark of a blank."""
        return token >= 1 and self._pieces.id_to_piece(token - 1).startswith("\u2581")

    def is_blank(self, token: int) -> bool:
        """Whether a piece is only the mark of a blank, and so no part of a word."""
        return token >= 1 and self._pieces.id_to_piece(token - 1) == "\u2581"

    def spell(self, word: str, first: bool) -> list[int]:
        """Tokens of a word in a sentence: the same wherever it stands."""
        return self.encode(word)
