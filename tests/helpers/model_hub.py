"""A model hub on loopback: the answers of huggingface.co that fetching a model needs, and faults to switch on."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class ModelHub(ThreadingHTTPServer):
    """Repositories of files. Weights lie elsewhere, as on the real hub: the server sends on to `/store/`.

    Attributes:
        repositories: OWNER/NAME -> name of a file -> its content.
        licenses: OWNER/NAME -> license.
        tables: path -> content, of a plain web server.
        break_after: bytes of weights to send before hanging up, one for each request.
        spoilt: names of files whose content arrives with another last byte.
        token: that has to be shown; empty: none.
        asked: path and range of every request, and whether it showed a token.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.licenses: dict[str, str] = {}
        self.tables: dict[str, bytes] = {}
        self.break_after: list[int] = []
        self.spoilt: set[str] = set()
        self.token = ""
        self.asked: list[tuple[str, str | None, bool]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        return thread

    def listing(self, name: str) -> dict[str, Any]:
        """What the hub says of a repository, with the metadata of files."""
        siblings = []
        for file, content in self.repositories[name].items():
            blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            entry: dict[str, Any] = {"rfilename": file, "size": len(content), "blobId": blob}
            if _is_large(file):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        card = {"license": self.licenses[name]} if name in self.licenses else {}
        return {"id": name, "modelId": name, "sha": COMMIT, "tags": [], "siblings": siblings, "cardData": card}


def _is_large(file: str) -> bool:
    return file.endswith((".pth", ".safetensors"))


class _Handler(BaseHTTPRequestHandler):
    server: ModelHub

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server, path = self.server, unquote(urlsplit(self.path).path)
        shown = self.headers.get("Authorization")
        if path != "/api/agent-harnesses":  # huggingface_hub asks once a day what names programs of agents have
            server.asked.append((path, self.headers.get("Range"), shown is not None))
        parts = path.strip("/").split("/")
        if path in server.tables:
            self._send(server.tables[path], parts[-1])
        elif parts[0] == "store":
            self._send(server.repositories["/".join(parts[1:3])]["/".join(parts[3:])], parts[-1])
        elif server.token and shown != f"Bearer {server.token}":
            self._refuse(401, "GatedRepo")
        elif parts[:2] == ["api", "models"]:
            self._describe("/".join(parts[2:4]), parts[5] if len(parts) > 5 else "main")
        elif len(parts) > 4 and parts[2] == "resolve" and parts[3] in ("main", COMMIT):
            self._resolve("/".join(parts[:2]), "/".join(parts[4:]))
        else:
            self._refuse(404, "EntryNotFound")

    def _describe(self, name: str, revision: str) -> None:
        if name not in self.server.repositories:
            self._refuse(401 if self.server.token else 404, "RepoNotFound")
        elif revision not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        else:
            body = json.dumps(self.server.listing(name)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _resolve(self, name: str, file: str) -> None:
        content = self.server.repositories.get(name, {}).get(file)
        if content is None:
            self._refuse(404, "EntryNotFound")
        elif _is_large(file):
            self.send_response(302)
            # Another server, as far as tokens are concerned.
            self.send_header("Location", f"{self.server.url.replace('127.0.0.1', 'localhost')}/store/{name}/{file}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(content, file)

    def _send(self, content: bytes, file: str) -> None:
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            self._refuse(416, "")
            return
        if file in self.server.spoilt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        body = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        limit = self.server.break_after.pop(0) if self.server.break_after and _is_large(file) else len(body)
        self.wfile.write(body[:limit])
        self.close_connection = self.close_connection or limit < len(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()
