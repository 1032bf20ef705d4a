"""The files of the page: which visit a clip or an answer belongs to, and when it goes.

All lie in one temporary folder. What a visit left goes when its page is closed or it brings another clip; what nobody
asks for, after an hour; everything when the page ends, and also after a kill.
"""

from __future__ import annotations

import contextlib
import gc
import shutil
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lipsound2.inference.freed_memory import give_back

_OLDEST = 3600.0  # seconds
_ROUND = 60.0  # seconds between two looks for what is old


class Shelf:
    """Clips and answers by visit. Any thread may call it.

    Args:
        home: temporary folder of all of them.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._lock = threading.Lock()
        self._clips: dict[str, Path] = {}
        self._answers: dict[str, Path] = {}
        self._making: Counter[str] = Counter()
        self._closed: set[str] = set()

    def hold(self, visit: str, clip: Path | None) -> None:
        """A visit brings a clip, or takes it back (None); the one before goes, and so does its answer."""
        with self._lock:
            self._closed.discard(visit)
            before = self._clips.pop(visit, None)
            if clip is not None:
                self._clips[visit] = clip
            if before != clip:
                _remove(before)
                _remove(self._answers.pop(visit, None))

    @contextlib.contextmanager
    def answering(self, visit: str) -> Iterator[Path]:
        """A new folder for the answer to a visit, which is made in the block; the one before goes.

        If the block fails, or the page was closed meanwhile, the new one goes too.
        """
        folder = self.home / f"answer-{uuid.uuid4().hex}"
        folder.mkdir(mode=0o700)
        with self._lock:
            _remove(self._answers.pop(visit, None))
            self._making[visit] += 1
        kept = False
        try:
            yield folder
            kept = True
        finally:
            with self._lock:
                self._making[visit] -= 1
                if not self._making[visit]:
                    del self._making[visit]
                if kept and visit not in self._closed:
                    self._answers[visit] = folder
                else:
                    _remove(folder)
                    if visit not in self._making:
                        self._closed.discard(visit)

    def close(self, visit: str) -> None:
        """A page was closed: what it left goes, and later what is being made for it."""
        with self._lock:
            if visit in self._making:
                self._closed.add(visit)
            _remove(self._clips.pop(visit, None))
            _remove(self._answers.pop(visit, None))

    def remove(self, clip: Path) -> None:
        """A clip that belongs to no visit goes, with its folder."""
        _remove(clip)

    def sweep(self, oldest: float = _OLDEST) -> None:
        """Remove files that nothing was written to for so many seconds, and folders that are empty by then."""
        limit = time.time() - oldest
        for path in sorted(self.home.rglob("*"), reverse=True):  # what lies in a folder before the folder
            with contextlib.suppress(OSError):  # it went meanwhile, or is not empty
                if path.lstat().st_ctime < limit:
                    path.rmdir() if path.is_dir() else path.unlink()


@contextlib.contextmanager
def swept(shelf: Shelf) -> Iterator[None]:
    """Remove what is old, again and again, in the block: files, and objects that only each other know.

    Frames of videos and sockets are such objects. Left to itself, Python looks for them when there are a quarter as
    many new ones as there are objects of torch and Gradio, which is hundreds of clips later. What they held goes back
    to the system.
    """
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(_ROUND):
            shelf.sweep()
            gc.collect()
            give_back()

    thread = threading.Thread(target=work, name="sweep", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def removed_after_a_kill(folder: Path) -> Iterator[None]:
    """A folder that goes at once even if this process is killed in the block.

    A shell waits at the other end of a pipe, which the system closes when this process ends, however it does. Without
    one (Windows), the folder goes with the next command that uses temporary files.
    """
    shell = shutil.which("sh")
    if shell is None:
        yield
        return
    waits = subprocess.Popen(
        [shell, "-c", 'cat >/dev/null; rm -rf -- "$1"', "sh", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a signal to this process' group is not for it
    )
    try:
        yield
    finally:
        assert waits.stdin is not None
        waits.stdin.close()
        waits.wait()


def _remove(path: Path | None) -> None:
    """A folder, or a file and the folder of its own that it was uploaded into."""
    if path is None:
        return
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
        return
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it holds something else
        path.parent.rmdir()
