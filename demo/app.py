"""The page of `lipsound2 demo` as a Space of the Hugging Face hub; docs/demo.md says how to make one of it.

It listens where the hub wants it (GRADIO_SERVER_NAME, GRADIO_SERVER_PORT). LIPSOUND2_MODEL names another model.
"""

from __future__ import annotations

import os
import time

from lipsound2.demo.limits import Limits
from lipsound2.demo.reading import Choices
from lipsound2.demo.serve import serving
from lipsound2.inference.speak import DEFAULT_MODEL

LIMITS = Limits(megabytes=20, seconds=20, waiting=50)  # a Space has two slow cores for all its visitors


def main() -> None:
    """Serve the page until a signal."""
    choices = Choices(os.environ.get("LIPSOUND2_MODEL", DEFAULT_MODEL))
    choices.check()
    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")  # noqa: S104 - a Space is there for others
    port = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))
    with serving(choices, LIMITS, host=host, port=port) as address:
        print(f"page     {address}", flush=True)
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
