"""The tokenizer that a config's key `tokens` means: made of texts, or read from a file, or that of a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lipsound2.arguments import near
from lipsound2.errors import LipsoundError
from lipsound2.model_names import of_user, path_of, shipped
from lipsound2.text.tokenizer import Tokenizer
from lipsound2.text.tokens import MADE_OF_TEXTS, load, of_texts


def tokenizer_path(tokens: str) -> Path | None:
    """Where the tokenizer lies; None: it is made of texts.

    Args:
        tokens: one of `MADE_OF_TEXTS`, or a tokenizer's file, or the folder it lies in, or the name of a model.
    """
    return None if tokens in MADE_OF_TEXTS else path_of(Path(tokens))


def tokenizer_of(tokens: str, texts: Iterable[str] = ()) -> Tokenizer:
    """The tokenizer that is meant.

    Args:
        tokens: see `tokenizer_path`.
        texts: of the training set; read if the tokenizer is made of them.

    Raises:
        LipsoundError: there is none.
    """
    path = tokenizer_path(tokens)
    if path is None:
        return of_texts(tokens, texts)
    if not path.exists():
        raise LipsoundError(
            f"tokens: found '{tokens}', wanted {', '.join(MADE_OF_TEXTS)}, a tokenizer's file or folder, or a model's "
            f"name{near(tokens, [*MADE_OF_TEXTS, *shipped(), *of_user()])}; make one with: lipsound2 tokens DIR OUT"
        )
    return load(path)
