"""Tokenizers of recognizers: characters, subwords or whole words (sentencepiece).

Token 0 is CTC's blank. Token 1 stands for everything the tokenizer does not know, so that an unknown character counts
as an error and does not vanish. A tokenizer is one file in the experiment.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from lipsound2.arguments import AtLeast1
from lipsound2.data.datadir import DataDir
from lipsound2.data.texts import shown, text_of
from lipsound2.errors import LipsoundError, require
from lipsound2.files import atomic_path
from lipsound2.outputs import Output

log = logging.getLogger(__name__)

BLANK, UNKNOWN = 0, 1
_SPACE = "<space>"  # a blank between words, as it stands in a file of one character a line
_SHOWN = 5
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

    def __len__(self) -> int:
        return int(self._pieces.vocab_size()) + 1

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        return [piece + 1 for piece in self._pieces.encode(text)]

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


FILES = (Characters.file, Pieces.file)
MADE_OF_TEXTS = ("characters", "words")


def of_texts(kind: str, texts: Iterable[str]) -> Tokenizer:
    """The tokenizer that knows all `characters`, or all `words`, of some texts.

    Whole words suit a corpus with few words, such as GRID: the letter "b" and the b of "blue" then differ.
    """
    if kind == "characters":
        return Characters.of(texts)
    texts = list(texts)
    count = len({word for text in texts for word in text.split()})
    return Pieces(_train_pieces(texts, "word", count + 1), "words")


def made_or_read(tokens: str, texts: Iterable[str]) -> Tokenizer:
    """The tokenizer that a config's key `tokens` means.

    Args:
        tokens: one of `MADE_OF_TEXTS`, or a tokenizer's file, or the folder it lies in.
        texts: of the training set; read if the tokenizer is made of them.
    """
    return of_texts(tokens, texts) if tokens in MADE_OF_TEXTS else load(Path(tokens))


def load(path: Path) -> Tokenizer:
    """A tokenizer's file, or the folder it lies in.

    Raises:
        LipsoundError: there is none.
    """
    for kind in (Characters, Pieces):
        found = path / kind.file if path.is_dir() else path
        if found.is_file() and found.suffix == Path(kind.file).suffix:
            return Characters.load(found) if kind is Characters else Pieces(found.read_bytes(), str(found))
    raise LipsoundError(f"{path}: no tokenizer (tokens.txt or tokens.model); make one with: lipsound2 tokens DIR OUT")


def report_unknown(tokenizer: Tokenizer, texts: dict[str, str], where: str) -> int:
    """Count and log the characters or words that a tokenizer does not know; returns the number of clips with one."""
    unknown: Counter[str] = Counter()
    clips = []
    for name, text in texts.items():
        if UNKNOWN in tokenizer.encode(text):
            clips.append(name)
            parts = text.split() if tokenizer.whole_words else text.replace(" ", "")
            unknown.update(part for part in parts if UNKNOWN in tokenizer.encode(part))
    if clips:
        shown = ", ".join(f"'{part}' ({count})" for part, count in unknown.most_common(_SHOWN))
        log.warning(
            "%s: %d of %d texts hold %s the tokenizer does not know: %s; the first is %s",
            *(where, len(clips), len(texts), "words" if tokenizer.whole_words else "characters"),
            *(shown or "none by itself", clips[0]),
        )
    return len(clips)


def tokens(
    dir: Path,
    out: Annotated[Path, Output((".txt", ".model"))],
    *,
    kind: Literal["characters", "words", "unigram", "bpe"] = "unigram",
    size: AtLeast1 = 1000,
) -> None:
    """Make the tokenizer of a recognizer from the transcripts of a data dir.

    Args:
        dir: data dir with `text`; use the training set.
        out: file to write: OUT.txt for characters, OUT.model for the others.
        kind: characters, words, or sentencepiece's subwords: unigram or bpe.
        size: number of subwords; fewer if the text does not have as many.
    """
    texts = DataDir(dir).text
    if not texts:
        raise LipsoundError(f"{dir}: has no 'text'; tokens are made of transcripts")
    wanted = Path(Characters.file if kind == "characters" else Pieces.file).suffix
    if out.suffix != wanted:
        raise LipsoundError(f"{out}: expected a file name that ends in '{wanted}' for --kind {kind}")
    made: Tokenizer
    if kind in ("unigram", "bpe"):
        made = Pieces(_train_pieces(texts.values(), kind, size), str(out))
    else:
        made = of_texts(kind, texts.values())
    made.save(out)
    print(f"{out}: {len(made)} tokens, blank and unknown included, from {len(texts)} texts")


def _train_pieces(texts: Iterable[str], kind: str, size: int) -> bytes:
    import io

    spm = require("sentencepiece", "text")
    model = io.BytesIO()
    options: dict[str, Any] = {
        "sentence_iterator": iter(texts),
        "model_writer": model,
        "model_type": kind,
        "vocab_size": size,
        "hard_vocab_limit": False,  # a small text may not have as many
        "character_coverage": 1.0,
        "bos_id": -1,
        "eos_id": -1,
        "minloglevel": 2,
    }
    try:
        spm.SentencePieceTrainer.train(**options)
    except RuntimeError as error:
        raise LipsoundError(
            f"--size {size}: sentencepiece could not make {kind} pieces of this text: {error}"
        ) from error
    return model.getvalue()
