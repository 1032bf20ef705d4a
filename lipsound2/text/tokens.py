"""Tokenizers made of texts, or read from a file; and the verb `tokens`, which makes one."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from lipsound2.arguments import AtLeast1
from lipsound2.data.datadir import DataDir
from lipsound2.errors import LipsoundError, require
from lipsound2.outputs import Output
from lipsound2.text.normalize import normalization
from lipsound2.text.piece_table import PieceTable
from lipsound2.text.tokenizer import UNKNOWN, Characters, Pieces, Tokenizer

log = logging.getLogger(__name__)

_SHOWN = 5

FILES = (Characters.file, Pieces.file, PieceTable.file)
_LOADERS: dict[str, Callable[[Path], Tokenizer]] = {
    Characters.file: Characters.load,
    Pieces.file: Pieces.load,
    PieceTable.file: PieceTable.load,
}
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


def load(path: Path) -> Tokenizer:
    """A tokenizer's file, or the folder it lies in.

    Raises:
        LipsoundError: there is none.
    """
    for name in FILES:
        found = path / name if path.is_dir() else path
        if found.is_file() and found.suffix == Path(name).suffix:
            return _LOADERS[name](found)
    raise LipsoundError(f"{path}: no tokenizer (tokens.txt or tokens.model); make one with: lipsound2 tokens DIR OUT")


def unknown_parts(tokenizer: Tokenizer, text: str) -> list[str]:
    """The words or characters of a text that a tokenizer does not know, each once; none may be unknown by itself."""
    parts = text.split() if tokenizer.whole_words else text.replace(" ", "")
    return [part for part in dict.fromkeys(parts) if UNKNOWN in tokenizer.encode(part)]


def known_words(tokenizer: Tokenizer) -> list[str]:
    """All words that a tokenizer of whole words knows, sorted; empty: it writes in smaller parts."""
    if not tokenizer.whole_words:
        return []
    return sorted(tokenizer.decode([token]) for token in range(UNKNOWN + 1, len(tokenizer)))


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
    language: str = "",
) -> None:
    """Make the tokenizer of a recognizer from the transcripts of a data dir.

    Args:
        dir: data dir with `text`; use the training set.
        out: file to write: OUT.txt for characters, OUT.model for the others.
        kind: characters, words, or sentencepiece's subwords: unigram or bpe.
        size: number of subwords; fewer if the text does not have as many.
        language: normalize the texts first, as recognizers of this language (en, zh) learn them; by default they are
            taken as they are.

    Raises:
        LipsoundError: no texts, an unknown language, or a name of OUT that does not fit the kind.
    """
    rules = normalization(language) if language else None
    texts = DataDir(dir).text
    if not texts:
        raise LipsoundError(f"{dir}: has no 'text'; tokens are made of transcripts")
    wanted = Path(Characters.file if kind == "characters" else Pieces.file).suffix
    if out.suffix != wanted:
        raise LipsoundError(f"{out}: expected a file name that ends in '{wanted}' for --kind {kind}")
    lines = [rules.apply(text) for text in texts.values()] if rules else [*texts.values()]
    subwords = kind in ("unigram", "bpe")
    made = Pieces(_train_pieces(lines, kind, size), str(out)) if subwords else of_texts(kind, lines)
    made.save(out)
    print(f"{out}: {len(made)} tokens, blank and unknown included, from {len(texts)} texts")


def _train_pieces(texts: Iterable[str], kind: str, size: int) -> bytes:
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
