"""`models push` against a hub on loopback, with the HTTP interface that huggingface_hub speaks."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from test_pack import SAID, make
from test_published_others import hifigan_state

from lipsound2.cli import main
from lipsound2.published.hifigan import convert_hifigan

pytest.importorskip("huggingface_hub")
TOKEN = "hf_madeUpTokenOfATest"


class Hub(ThreadingHTTPServer):
    """A hub: repositories, whether they are private, and their files."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Answers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def reply(self, content: object = None, status: int = 200, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def known(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self.reply({"error": "Invalid username or password."}, 401)
        return False

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(f"GET {path}")
        name = "/".join(path.split("/")[3:5])
        if not self.known():
            return
        if name not in self.server.files:
            self.reply({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        else:
            self.reply(
                {"id": name, "modelId": name, "private": self.server.private[name], "sha": 40 * "a", "siblings": []}
            )

    def do_PUT(self) -> None:
        data = self.body()
        self.server.large[hashlib.sha256(data).hexdigest()] = data
        self.reply({})

    def do_POST(self) -> None:
        path, body = self.path.partition("?")[0], self.body()
        self.server.asked.append(f"POST {path}")
        if path.startswith("/verify") or not self.known():
            if path.startswith("/verify"):
                self.reply({})
            return
        if path == "/api/validate-yaml":
            self.reply({"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.server.files[name], self.server.private[name] = (
                {},
                asked.get("private", asked.get("visibility") == "private"),
            )
            self.reply({"url": f"{self.server.url}/{name}", "id": name, "name": name})
        elif "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = [("lfs" if each["path"].endswith(".safetensors") else "regular", each["path"]) for each in files]
            self.reply(
                {"files": [{"path": p, "uploadMode": mode, "shouldIgnore": False, "oid": None} for mode, p in modes]}
            )
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**each, "actions": {"upload": {"href": f"{self.server.url}/put/{each['oid']}"}}}
                for each in json.loads(body)["objects"]
            ]
            self.reply({"transfer": "basic", "objects": objects}, **{"Content_Type": "application/vnd.git-lfs+json"})
        elif "/commit/" in path:
            name = "/".join(path.split("/")[3:5])
            for line in body.decode().splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    self.server.files[name][row["value"]["path"]] = base64.b64decode(row["value"]["content"])
                elif row["key"] == "lfsFile":
                    self.server.files[name][row["value"]["path"]] = self.server.large[row["value"]["oid"]]
            self.reply({"commitUrl": f"{self.server.url}/{name}/commit/{40 * 'b'}", "commitOid": 40 * "b"})
        else:
            self.reply({"error": path}, 404)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # the protocol that any server speaks
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    exp = make(tmp_path / "a", "2026-01-02 03:04:05")
    assert main(["pack", str(exp), str(tmp_path / "voice"), *SAID, "--hub"]) == 0
    return tmp_path / "voice"


def test_a_pack_is_uploaded_as_it_is_and_privately(hub, folder, capsys):
    for name in (".hidden", "clip.mp4", "[a-z]*.md"):  # the last one is a pattern, too
        (folder / name).write_text("mine")
    assert main(["models", "push", str(folder), "me/voice"]) == 0
    said = capsys.readouterr()
    assert "private" in said.out
    assert TOKEN not in said.out + said.err
    wanted = {path.name: path.read_bytes() for path in folder.iterdir() if path.read_bytes() != b"mine"}
    assert {key: value for key, value in hub.files["me/voice"].items() if key != ".gitattributes"} == wanted
    assert hub.private == {"me/voice": True}
    # Again: the same repository.
    assert main(["models", "push", str(folder), "me/voice"]) == 0
    assert sum("/api/repos/create" in each for each in hub.asked) == 1


def test_what_anybody_sees_has_to_be_asked_for(hub, folder, capsys):
    assert main(["models", "push", str(folder), "me/open", "--public"]) == 0
    assert hub.private == {"me/open": False}
    before = len(hub.asked)
    assert main(["models", "push", str(folder), "me/open"]) == 1
    assert "is public; give --public" in capsys.readouterr().err
    assert not any("commit" in each for each in hub.asked[before:])


def test_weights_of_others_are_not_uploaded_without_permission(hub, folder, tmp_path, capsys):
    torch.save({"generator": hifigan_state("V3")}, tmp_path / "generator_v3")
    convert_hifigan(tmp_path / "generator_v3", tmp_path / "theirs")
    out = tmp_path / "out"
    assert main(["pack", str(tmp_path / "theirs"), str(out), *SAID, "--hub", "--allow-redistribution"]) == 0
    assert main(["models", "push", str(out), "me/theirs"]) == 1
    assert "to upload, get permission" in capsys.readouterr().err
    assert not any("models" in each or "repos" in each for each in hub.asked)
    assert main(["models", "push", str(out), "me/theirs", "--allow-redistribution"]) == 0
    assert "model.safetensors" in hub.files["me/theirs"]


def test_mistakes_are_told_in_one_line_before_anything_is_asked(hub, folder, tmp_path, monkeypatch, capsys):
    for words, why in (
        ([str(tmp_path / "a"), "me/x"], "is no pack for a hub (no README.md)"),
        ([str(folder), "voice"], "expected OWNER/NAME"),
    ):
        assert main(["models", "push", *words]) == 1
        said = capsys.readouterr().err
        assert why in said
        assert said.count("\n") == 1
    assert not any("models" in each or "repos" in each for each in hub.asked)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert main(["models", "push", str(folder), "me/x"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "hf_wrong" not in said
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert main(["models", "push", str(folder), "me/x"]) == 1
    assert "no token for" in capsys.readouterr().err


def test_a_hub_that_is_not_there_is_told(folder, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert main(["models", "push", str(folder), "me/voice"]) == 1
    said = capsys.readouterr().err
    assert "cannot be reached" in said
    assert said.count("\n") == 1
