"""Fetching a corpus, against a server on loopback that breaks, lies, or knows no ranges."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipsound2.corpora import fetch as fetch_module
from lipsound2.corpora.download import download
from lipsound2.corpora.fetch import RemoteFile, fetch
from lipsound2.corpora.unpack import unpack_zip
from lipsound2.errors import LipsoundError
from lipsound2.files import temporary_of

RANDOM = np.random.default_rng(0).bytes(200_000)


class Record(ThreadingHTTPServer):
    """A record of files as Zenodo serves it. Faults are switched on by attributes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content: dict[str, bytes] = {}
        self.checksums: dict[str, str] = {}
        self.ranges = True
        self.break_after: list[int] = []  # bytes to send before hanging up, one per request
        self.asked: list[tuple[str, str | None]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api/records/3625687"

    def listing(self) -> bytes:
        files = [
            {
                "key": name,
                "size": len(content),
                "checksum": self.checksums.get(name, "md5:" + hashlib.md5(content).hexdigest()),
                "links": {"self": f"{self.address}/files/{name}/content"},
            }
            for name, content in self.content.items()
        ]
        return json.dumps({"id": 3625687, "files": files}).encode()

    def remote(self, name: str) -> RemoteFile:
        entry = next(e for e in json.loads(self.listing())["files"] if e["key"] == name)
        return RemoteFile(name, entry["links"]["self"], entry["size"], entry["checksum"])


class Handler(BaseHTTPRequestHandler):
    server: Record

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        if self.path == "/api/records/3625687":
            self._answer(200, server.listing())
            return
        name = self.path.split("/")[-2]
        server.asked.append((name, self.headers.get("Range")))
        if name not in server.content:
            self.send_error(404)
            return
        content, start = server.content[name], 0
        if server.ranges and self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                self.send_error(416)
                return
        self._answer(206 if start else 200, content[start:], start, len(content))

    def _answer(self, status: int, body: bytes, start: int = 0, total: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        limit = self.server.break_after.pop(0) if self.server.break_after and total else len(body)
        self.wfile.write(body[:limit])
        if limit < len(body):
            self.close_connection = True


@pytest.fixture
def record() -> Iterator[Record]:
    server = Record()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def fill(record: Record) -> None:
    for speaker in ("s1", "s2"):
        record.content[f"{speaker}.zip"] = packed({f"{speaker}/bbaf2n.mpg": RANDOM, "__MACOSX/x": b""})
    record.content["alignments.zip"] = packed({"alignments/s1/bbaf2n.align": b"0 10 sil\n"})
    record.content["jasagrid.pdf"] = b"%PDF"


def no_wait(_: float) -> None:
    pass


def test_speakers_are_fetched_checked_and_unpacked(record: Record, tmp_path: Path) -> None:
    fill(record)
    root = tmp_path / "grid"
    download("grid", root, url=record.address, speakers=("s1", "s2"))
    assert (root / "s1" / "bbaf2n.mpg").read_bytes() == RANDOM
    assert (root / "alignments" / "s1" / "bbaf2n.align").exists()
    assert sorted(p.name for p in root.iterdir() if p.name != ".lock") == ["alignments", "s1", "s2"]
    asked = len(record.asked)
    download("grid", root, url="http://127.0.0.1:1/nothing", speakers=("s1", "s2"))
    assert len(record.asked) == asked


def test_fault_D4_a_protocol_that_is_none_is_told_before_anything_is_fetched(record: Record, tmp_path: Path) -> None:
    with pytest.raises(LipsoundError, match=r"unknown protocol '4speaker' of grid; one of: .*4speakers"):
        download("grid", tmp_path / "grid", url=record.address, protocol="4speaker")
    assert not record.asked
    assert not (tmp_path / "grid").exists()


def test_files_by_name_are_kept_packed_when_told(record: Record, tmp_path: Path) -> None:
    fill(record)
    download("grid", tmp_path, url=record.address, files=("jasagrid.pdf", "s1.zip"), unpack=False)
    assert (tmp_path / "jasagrid.pdf").read_bytes() == b"%PDF"
    assert (tmp_path / "s1.zip").read_bytes() == record.content["s1.zip"]
    asked = len(record.asked)
    download("grid", tmp_path, url=record.address, files=("s1.zip",), keep=True)
    assert (tmp_path / "s1" / "bbaf2n.mpg").exists()
    assert (tmp_path / "s1.zip").exists()
    assert len(record.asked) == asked


def test_a_broken_transfer_goes_on_where_it_was(record: Record, tmp_path: Path) -> None:
    record.content["a.bin"] = RANDOM
    record.break_after = [70_000, 50_000]
    fetch(record.remote("a.bin"), tmp_path / "a.bin", sleep=no_wait)
    assert (tmp_path / "a.bin").read_bytes() == RANDOM
    assert record.asked == [("a.bin", None), ("a.bin", "bytes=70000-"), ("a.bin", "bytes=120000-")]
    assert not (tmp_path / "a.bin.part").exists()


def test_a_killed_download_goes_on(record: Record, tmp_path: Path) -> None:
    record.content["a.bin"] = RANDOM
    (tmp_path / "a.bin.part").write_bytes(RANDOM[:1234])
    fetch(record.remote("a.bin"), tmp_path / "a.bin", sleep=no_wait)
    assert (tmp_path / "a.bin").read_bytes() == RANDOM
    assert record.asked == [("a.bin", "bytes=1234-")]


def test_a_server_without_ranges_starts_over(record: Record, tmp_path: Path) -> None:
    record.content["a.bin"] = RANDOM
    record.ranges = False
    record.break_after = [70_000]
    fetch(record.remote("a.bin"), tmp_path / "a.bin", sleep=no_wait)
    assert (tmp_path / "a.bin").read_bytes() == RANDOM
    assert len(record.asked) == 2


@pytest.mark.parametrize("left", [RANDOM[:99] + b"?", RANDOM + b"too long", bytes(len(RANDOM))])
def test_a_strange_beginning_is_thrown_away(record: Record, tmp_path: Path, left: bytes) -> None:
    record.content["a.bin"] = RANDOM
    (tmp_path / "a.bin.part").write_bytes(left)
    fetch(record.remote("a.bin"), tmp_path / "a.bin", sleep=no_wait)
    assert (tmp_path / "a.bin").read_bytes() == RANDOM


def test_a_wrong_checksum_is_refused(record: Record, tmp_path: Path) -> None:
    fill(record)
    record.checksums["s1.zip"] = "md5:" + "0" * 32
    with pytest.raises(LipsoundError, match="not what was promised"):
        download("grid", tmp_path, url=record.address, speakers=("s1",))
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]
    assert len(record.asked) == 1


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_checksums(record: Record, tmp_path: Path, algorithm: str) -> None:
    record.content["a.bin"] = RANDOM
    record.checksums["a.bin"] = f"{algorithm}:{hashlib.new(algorithm, RANDOM).hexdigest().upper()}"
    fetch(record.remote("a.bin"), tmp_path / "a.bin")
    record.checksums["a.bin"] = "crc32:123"
    with pytest.raises(LipsoundError, match="unknown kind of checksum"):
        fetch(record.remote("a.bin"), tmp_path / "b.bin")


def test_a_server_that_always_breaks_is_given_up(record: Record, tmp_path: Path) -> None:
    record.content["a.bin"] = RANDOM
    record.break_after = [5000, *[0] * 50]
    waits: list[float] = []
    with pytest.raises(LipsoundError, match=r"breaks off at 5,000 bytes.*run the same command again"):
        fetch(record.remote("a.bin"), tmp_path / "a.bin", wait=1.0, sleep=waits.append)
    assert waits == [1, 2, 4, 8, 16]
    assert (tmp_path / "a.bin.part").read_bytes() == RANDOM[:5000]


def test_messages(record: Record, tmp_path: Path) -> None:
    fill(record)
    with pytest.raises(LipsoundError, match=r"has no s3\.zip; it has alignments\.zip"):
        download("grid", tmp_path, url=record.address, speakers=("s3",))
    with pytest.raises(LipsoundError, match="without s21"):
        download("grid", tmp_path, url=record.address, speakers=("s21",))
    with pytest.raises(LipsoundError, match="not the name of a file"):
        download("grid", tmp_path, url=record.address, files=("../x.zip",))
    with pytest.raises(LipsoundError, match="cannot be reached"):
        download("grid", tmp_path, url="http://127.0.0.1:1/api/records/1")
    with pytest.raises(LipsoundError, match="only http"):
        download("grid", tmp_path, url=Path(__file__).as_uri())
    with pytest.raises(LipsoundError, match="404"):
        download("grid", tmp_path, url=record.address.replace("api", "files/x"))


def test_a_full_disk_is_one_clear_line(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record.content["a.bin"] = RANDOM

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch_module, "_copy", full)
    with pytest.raises(LipsoundError, match="No space left on device"):
        fetch(record.remote("a.bin"), tmp_path / "a.bin", sleep=no_wait)


def test_a_damaged_archive_is_not_half_unpacked(record: Record, tmp_path: Path) -> None:
    record.content["s1.zip"] = packed({"s1/bbaf2n.mpg": RANDOM})[:-40]
    record.content["alignments.zip"] = packed({"x": b""})
    with pytest.raises(LipsoundError, match="not a whole zip"):
        download("grid", tmp_path, url=record.address, speakers=("s1",))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "s1.zip"]


@pytest.mark.parametrize("lying", ["cut", "other", "longer"])
def test_fault_C5_a_zip_that_lies_there_and_is_not_whole_is_fetched_again(
    record: Record, tmp_path: Path, lying: str
) -> None:
    fill(record)
    whole = record.content["s1.zip"]
    wrong = {"cut": whole[: len(whole) // 2], "other": bytes(len(whole)), "longer": whole + b"more"}
    (tmp_path / "s1.zip").write_bytes(wrong[lying])
    download("grid", tmp_path, url=record.address, files=("s1.zip",))
    assert (tmp_path / "s1" / "bbaf2n.mpg").read_bytes() == RANDOM
    (tmp_path / "s2.zip").write_bytes(record.content["s2.zip"][:50])
    download("grid", tmp_path, url=record.address, files=("s2.zip",), unpack=False)
    assert (tmp_path / "s2.zip").read_bytes() == record.content["s2.zip"]


def test_fault_C5_what_a_killed_run_was_unpacking_is_swept(record: Record, tmp_path: Path) -> None:
    fill(record)
    killed = temporary_of(tmp_path / "s1").name.replace(f".{os.getpid()}-", ".999999999-")
    (tmp_path / killed / "s1").mkdir(parents=True)
    (tmp_path / killed / "s1" / "half.mpg").write_bytes(b"half")
    download("grid", tmp_path, url=record.address, files=("s1.zip",))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "s1"]


def test_fault_C5_a_server_that_sends_more_than_it_promised_is_cut_off(record: Record, tmp_path: Path) -> None:
    record.content["a.bin"] = RANDOM
    promised = record.remote("a.bin")
    record.content["a.bin"] = RANDOM * 5
    with pytest.raises(LipsoundError, match="sends more than the 200,000 bytes that were promised"):
        fetch(promised, tmp_path / "a.bin", sleep=no_wait)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("listing", "told"),
    [
        ('{"files": [{"key": "s1.zip", "size": 1e400, "checksum": "md5:0"}]}', "expected a number"),
        ('{"files": [{"key": "s1.zip", "size": "x", "checksum": "md5:0"}]}', "size: expected int"),
        ('{"files": [{"key": "s1.zip", "size": -4, "checksum": "md5:0"}]}', "size of 0 or more, found -4"),
        ('{"files": [{"key": ["a"], "checksum": "md5:0"}]}', "key: expected str"),
        ('{"files": [{"key": "s1.zip", "checksum": 5}]}', "checksum: expected str"),
        ('{"files": [{"key": "s1.zip", "checksum": "md5:0", "links": ["a"]}]}', "links: expected 'key: value'"),
        ('{"files": [{"key": "s1.zip", "checksum": "md5:0", "links": {"self": "http://[::1"}}]}', "no address"),
        ('{"files": [{"key": "s1.zip", "checksum": "md5:0", "links": {"self": "http://\\u0394/"}}]}', "http"),
        ('{"files": [{"key": "s1.zip", "checksum": "md5:0", "links": {"self": "file:///etc"}}]}', "only http and"),
        ('{"files": 7}', "files: expected a list"),
        ("[" * 100_000, "brackets"),
        ("\ud800", "expected UTF-8"),
        ("null", "expected 'key: value'"),
    ],
)  # fmt: skip
def test_fault_C5_a_hostile_record_is_one_line(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listing: str, told: str
) -> None:
    monkeypatch.setattr(Record, "listing", lambda self: listing.encode("utf-8", "surrogatepass"))
    monkeypatch.setattr(fetch_module.time, "sleep", no_wait)
    with pytest.raises(LipsoundError, match=told):
        download("grid", tmp_path, url=record.address, files=("s1.zip",))


def test_fault_C5_archives_that_swell_or_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(100_000_000))
    with pytest.raises(LipsoundError, match="would become 100,000,000, more than any corpus"):
        unpack_zip(path, tmp_path)
    content = bytearray(packed({"a/x": RANDOM[:2000]}))
    for place in range(0, len(content), 3):
        (tmp_path / "flip.zip").write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        with contextlib.suppress(LipsoundError):
            shutil.rmtree(unpack_zip(tmp_path / "flip.zip", tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bomb.zip", "flip.zip"]
