"""One file over HTTP: it goes on where it stopped, and what arrives is what was promised or nothing."""

from __future__ import annotations

import hashlib
import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from tqdm import tqdm

import lipsound2
from lipsound2.errors import LipsoundError
from lipsound2.files import sync_folder
from lipsound2.progress import progress

_BLOCK = 1 << 20
_TIMEOUT = 60.0  # seconds without a byte
_TRIES = 6  # in a row without a single new byte
_ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
_GIT = "git-sha1"
BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)
_MOST = 1 << 40  # bytes of a file whose size nobody promised


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch.

    Args:
        name: it gets.
        url: where it lies.
        size: in bytes, None when unknown.
        checksum: `algorithm:hexadecimal`; `git-sha1` is the one by which git knows a file.
        token: to show the server (`Authorization: Bearer`); no other server that it sends us on to gets it.
    """

    name: str
    url: str
    size: int | None
    checksum: str
    token: str = ""


def open_url(url: str, start: int = 0, token: str = "") -> Any:
    """Open an http(s) address, from byte `start` on if the server can.

    Raises:
        LipsoundError: not http or https, or the server refuses for good (4xx).
    """
    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise LipsoundError(f"{url}: only http and https addresses are fetched")
        request = urllib.request.Request(url, headers={"User-Agent": f"lipsound2/{lipsound2.__version__}"})  # noqa: S310
        if start:
            request.add_header("Range", f"bytes={start}-")
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        return _opener().open(request, timeout=_TIMEOUT)
    except ValueError as error:  # UnicodeError among them
        raise LipsoundError(f"{url!a}: no address that can be fetched ({error})") from error
    except urllib.error.HTTPError as error:
        if 400 <= error.code < 500 and error.code not in (408, 416, 429):
            raise LipsoundError(f"{url}: the server answers {error.code} {error.reason}") from error
        raise


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https; a server that sends on to a file, or to anything else, is refused."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        *(urllib.request.ProxyHandler, urllib.request.UnknownHandler, urllib.request.HTTPDefaultErrorHandler),
        *(urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor),
        *(urllib.request.HTTPHandler, urllib.request.HTTPSHandler),
    ):
        opener.add_handler(handler())
    return opener


def fetch(remote: RemoteFile, path: Path, wait: float = 2.0, sleep: Callable[[float], None] = time.sleep) -> None:
    """Fetch one file to `path`; `path.part` beside it keeps what came, also over a kill.

    Args:
        remote: what to fetch.
        path: where to.
        wait: seconds before the second try, doubled each time nothing came.
        sleep: waits; for tests.

    Raises:
        LipsoundError: the transfer keeps breaking, the content is not what was promised, or the disk is full.
    """
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        resumed = part.exists() and part.stat().st_size > 0
        _transfer(remote, part, wait, sleep)
        if matches(remote, part):
            part.replace(path)
            sync_folder(path.parent)
            return
        part.unlink(missing_ok=True)
        if not resumed:
            raise LipsoundError(
                f"{remote.url}: the content is not what was promised ({remote.checksum}); "
                "it was thrown away, try again later"
            )
        # The beginning may stem from another version of the file: once more, from the start.


def _transfer(remote: RemoteFile, part: Path, wait: float, sleep: Callable[[float], None]) -> None:
    """Bring the part file to its full length, through broken connections."""
    failures = 0
    while True:
        have = part.stat().st_size if part.exists() else 0
        if remote.size is not None and have >= remote.size > 0:
            return
        try:
            with open_url(remote.url, have, remote.token) as answer:
                complete = _store(remote, answer, part, have)
            if complete:
                return
            reason = "the connection was closed early"
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing after what is here: the file is whole, or was never this one
                return
            reason = f"the server answers {error.code}"
        except BROKEN as error:
            reason = str(error) or type(error).__name__
        now = part.stat().st_size if part.exists() else 0
        failures = failures + 1 if now <= have else 1
        if failures >= _TRIES:
            raise LipsoundError(
                f"{remote.url}: the transfer breaks off at {now:,} bytes ({reason}); "
                "run the same command again to go on"
            )
        sleep(wait * 2 ** (failures - 1))


def _store(remote: RemoteFile, answer: Any, part: Path, have: int) -> bool:
    """Write an answer behind what is here; whether it came to its end. A server without ranges sends all again."""
    goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    start = have if goes_on else 0
    length = answer.headers.get("Content-Length", "")
    total = start + int(length) if re.fullmatch(r"[0-9]{1,15}", length) else remote.size
    try:
        with (
            part.open("ab" if goes_on else "wb") as file,
            progress(desc=remote.name, total=total, initial=start, unit="byte", unit_scale=True) as bar,
        ):
            _copy(answer, file, bar, (remote.size or total or _MOST) - start)
    except _TooMuch as error:
        part.unlink()
        raise LipsoundError(
            f"{remote.url}: the server sends more than the {remote.size or total or _MOST:,} bytes that were promised; "
            "what came was thrown away"
        ) from error
    except OSError as error:
        if isinstance(error, BROKEN):
            raise
        raise LipsoundError(f"cannot write {part}: {error.strerror or error}") from error
    return total is None or part.stat().st_size >= total


class _TooMuch(Exception):  # noqa: N818 - what the server does
    """More came than was promised."""


def _copy(answer: Any, file: IO[bytes], bar: tqdm[Any], most: int) -> None:
    while block := answer.read1(_BLOCK):
        most -= len(block)
        if most < 0:
            raise _TooMuch
        file.write(block)
        bar.update(len(block))


def matches(remote: RemoteFile, part: Path) -> bool:
    """Whether a file's size and checksum are the promised ones.

    Raises:
        LipsoundError: a kind of checksum that is not known.
    """
    algorithm, _, wanted = remote.checksum.partition(":")
    if algorithm not in (*_ALGORITHMS, _GIT):
        raise LipsoundError(f"{remote.name}: unknown kind of checksum '{remote.checksum}'")
    if not part.exists() or part.stat().st_size != (remote.size or part.stat().st_size):
        return False

    def start() -> Any:
        if algorithm != _GIT:
            return hashlib.new(algorithm, usedforsecurity=False)
        return hashlib.sha1(f"blob {part.stat().st_size}\0".encode(), usedforsecurity=False)

    with part.open("rb") as file:
        found = hashlib.file_digest(file, start)
    return found.hexdigest() == wanted.lower()
