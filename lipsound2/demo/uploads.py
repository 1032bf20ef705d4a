"""What the page takes from outside: files that were sent to it by its own visitors, and nothing else.

Gradio alone would also fetch a clip from an address that a request names, and would keep one file for all who send
equal ones, so that none of them could be deleted. It would also answer any web page that is open in a browser of this
machine.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import gradio as gr
from gradio import route_utils
from gradio.data_classes import FileData
from gradio.exceptions import InvalidPathError
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lipsound2.error_messages import message_for, plain

log = logging.getLogger(__name__)

# The browser shows what this page sends, fetches nothing from elsewhere and sends nothing there.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; worker-src 'self' blob:; connect-src 'self' blob: data:; form-action 'self'; "
    "base-uri 'self'; frame-ancestors 'self'"
)

# By other names it is called by web pages that were given this machine's address (DNS rebinding).
_THIS_MACHINE = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
_UPLOADED = "send it to /gradio_api/upload, and give the path that is answered"
_FOUR = 'clip as {"path": PATH, "meta": {"_type": "gradio.FileData"}}, model, face, phrases'


def clip_input(**options: Any) -> gr.Video:
    """A video that is sent as it is: no conversion, no mirroring, and from no address.

    It is no class of its own, because Gradio writes a file beside each class that is derived from its own.
    """
    clip = gr.Video(**options)
    take = clip.async_move_resource_to_block_cache

    async def taken(url_or_file_path: str | Path | None) -> str | None:
        if "://" in str(url_or_file_path or ""):
            line = f"clip: found the address {url_or_file_path}; nothing is fetched: send the file itself"
            raise gr.Error(line, print_exception=False)
        return await take(url_or_file_path)

    clip.async_move_resource_to_block_cache = taken  # type: ignore[method-assign]
    clip.preprocess = _path_of
    return clip


def _path_of(payload: FileData | None) -> str | None:
    return None if payload is None else payload.path


class _OwnUpload(route_utils.GradioUploadFile):
    """A file that is sent, in a folder that no other shares."""

    def __init__(self, file: BinaryIO, **options: Any) -> None:
        super().__init__(file, **options)
        self.sha.update(secrets.token_bytes(32))  # the folder is named after it


class _OwnParser(route_utils.GradioMultiPartParser):
    """Takes what is sent; the part of a file that came goes at once if its sender hangs up, or the disk is full."""

    async def parse(self) -> FormData:
        try:
            return await super().parse()
        except (ClientDisconnect, OSError):
            for file in self._files_to_close_on_error:
                with contextlib.suppress(OSError):  # what it still holds does not fit on the disk either
                    file.close()
                Path(file.name).unlink(missing_ok=True)
            raise


def keep_uploads_apart() -> None:
    """Give each file that is sent a folder of its own, also if the same was sent before; keep no half one."""
    route_utils.GradioUploadFile = _OwnUpload  # type: ignore[misc]
    route_utils.GradioMultiPartParser = _OwnParser  # type: ignore[misc]


def refuse_in_a_line(page: gr.Blocks) -> None:
    """Have a call with wrong values told as a bad clip is: in a line, and without a traceback in the terminal."""
    take = page.preprocess_data

    async def taken(*given: Any, **options: Any) -> Any:
        try:
            return await take(*given, **options)
        except gr.Error:
            raise
        except InvalidPathError as error:
            line = f"clip: this path was not uploaded here, or its name begins with a dot; {_UPLOADED}"
            raise gr.Error(line, print_exception=False) from error
        except ValueError as error:  # too few of them, or other kinds of values
            raise gr.Error(f"wanted four values: {_FOUR}", print_exception=False) from error

    page.preprocess_data = taken  # type: ignore[method-assign]


class NothingElsewhere:
    """Middleware that answers this machine alone, and tells its browsers to fetch nothing from elsewhere.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        begun = False

        async def answer(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                policy = (b"content-security-policy", _POLICY.encode())
                message = {**message, "headers": [*message["headers"], policy, (b"referrer-policy", b"no-referrer")]}
            await send(message)

        if scope["type"] == "http" and (why := stranger(scope["headers"])):
            await PlainTextResponse(why, 403)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:  # nobody is there to be told
            return
        except Exception as error:  # Gradio fails at it, such as at an upload without a name: one line, not fifty
            if begun or scope["type"] != "http":
                raise
            line = message_for(error) or f"this request cannot be answered ({type(error).__name__}: {error})"
            log.warning("%s: %s", plain(scope["path"]), plain(line))
            await PlainTextResponse(plain(line), 500)(scope, receive, send)


def stranger(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Why a request is not of this machine's programs and of the page itself; empty: it is.

    Args:
        headers: of the request, names in lower case.
    """
    sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    host, origin = sent.get("host", ""), sent.get("origin", "")
    if not _THIS_MACHINE.fullmatch(host):
        return plain(f"host: found '{host}', wanted 127.0.0.1 or localhost: this page is for this machine alone")
    if origin and origin.partition("://")[2] != host and sent.get("sec-fetch-site") != "same-origin":
        return plain(
            f"origin: found '{origin}', wanted this page's own, http://{host}: other web pages are not answered"
        )
    return ""
