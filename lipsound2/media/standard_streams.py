"""`-` for a clip or for an output: standard input and standard output of the command.

A clip is read to and fro, and a WAV file's head tells its length. So bytes from standard input go to a file first, and
what goes to standard output is made as a file.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from lipsound2.errors import ClipFailure, LipsoundError, UsageError
from lipsound2.files import temporary_folder

STANDARD = Path("-")
_NAME = "stdin"  # of the file, and so of what is made of it in a folder


@contextlib.contextmanager
def received(clips: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """The clips of a call; `-` is read whole into a temporary file, which goes when the block ends.

    Args:
        clips: as they were given.

    Raises:
        UsageError: standard input is a terminal, or `-` stands beside other clips.
        LipsoundError: nothing came; and whatever the block says of the file, by its name on the command line,
            as it is in the log.
    """
    if STANDARD not in clips:
        yield clips
        return
    if len(clips) > 1:
        raise UsageError("-: a clip from standard input is the only one of a call; leave out '-' or the others")
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("-: standard input is a terminal; give it a clip, as in: lipsound2 ... - < clip.mp4")
    with temporary_folder() as folder:
        path = folder / _NAME
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        if not path.stat().st_size:
            raise LipsoundError("-: no bytes came from standard input; give it a clip, as in: cat clip.mp4 | ...")
        try:
            with _logged_as_given(path):
                yield [path]
        except LipsoundError as error:
            raise type(error)(str(error).replace(str(path), str(STANDARD))) from error
        except ClipFailure as failure:
            raise ClipFailure(failure.reason, failure.detail.replace(str(path), str(STANDARD))) from failure


@contextlib.contextmanager
def _logged_as_given(path: Path) -> Iterator[None]:
    """Let the log call a file `-`."""

    def rename(record: logging.LogRecord) -> bool:
        record.msg, record.args = record.getMessage().replace(str(path), str(STANDARD)), ()
        return True

    handlers = [*logging.getLogger().handlers]
    for handler in handlers:
        handler.addFilter(rename)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(rename)


@contextlib.contextmanager
def standard_output(wanted: str) -> Iterator[BinaryIO]:
    """Standard output for bytes alone: whatever else is printed in the block goes to standard error.

    That holds for compiled code too, which writes to the file descriptor.

    Args:
        wanted: what is written, for the message.

    Raises:
        UsageError: it is a terminal.
    """
    if sys.stdout is None or sys.stdout.isatty():
        raise UsageError(f"-o -: standard output is a terminal, which {wanted} would garble; add > FILE or | PROGRAM")
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr), os.fdopen(os.dup(kept), "wb") as out:
            yield out
    finally:
        os.dup2(kept, 1)
        os.close(kept)
