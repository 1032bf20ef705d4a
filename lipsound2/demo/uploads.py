"""What the page takes from outside: files that were sent to it, and nothing else.

Gradio alone would also fetch a clip from an address that a request names, and would keep one file for all who send
equal ones, so that none of them could be deleted.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, BinaryIO

import gradio as gr
from gradio import route_utils
from gradio.data_classes import FileData
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The browser shows what this page sends, fetches nothing from elsewhere and sends nothing there.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; worker-src 'self' blob:; connect-src 'self' blob: data:; form-action 'self'; "
    "base-uri 'self'; frame-ancestors 'self'"
)


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


def keep_uploads_apart() -> None:
    """Give each file that is sent a folder of its own, also if the same was sent before."""
    route_utils.GradioUploadFile = _OwnUpload  # type: ignore[misc]


class NothingElsewhere:
    """Middleware that tells browsers to fetch nothing from elsewhere (Content-Security-Policy).

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _POLICY.encode())
                message = {**message, "headers": [*message["headers"], policy, (b"referrer-policy", b"no-referrer")]}
            await send(message)

        await self._app(scope, receive, answer)
