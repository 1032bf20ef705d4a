"""Types what was read where the cursor is, in any program."""

from __future__ import annotations

from typing import Any

from lipsound2.errors import LipsoundError, require


class Typist:
    """Types texts by the package `pynput`.

    Raises:
        LipsoundError: it is not installed, or there is no desktop to type in.
    """

    def __init__(self) -> None:
        keyboard: Any = require("pynput.keyboard", "type")
        self._keyboard = keyboard.Controller()
        self._refused = keyboard.Controller.InvalidCharacterException, keyboard.Controller.InvalidKeyException

    def type(self, text: str) -> None:
        """Type a text and a blank.

        Raises:
            LipsoundError: a character cannot be typed.
        """
        try:
            self._keyboard.type(f"{text} ")
        except self._refused as error:
            raise LipsoundError(f"'{text}' cannot be typed: {error}") from error
