"""The one way into media files: local files alone, the track that is meant, one clock, and whose fault an error is."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.video_making import levels, numbers_of, write_clip

from lipsound2.errors import ClipFailure
from lipsound2.media import opening
from lipsound2.media.opening import opened
from lipsound2.video.check import has_video
from lipsound2.video.cropper import Cropper
from lipsound2.video.decode import Source
from lipsound2.video.frame_buffer import FrameBuffer


def numbers(path: Path) -> tuple[list[int], Source]:
    source = Source(path)
    return numbers_of([frame.luma() for part in FrameBuffer().parts(source) for frame in part]), source


def clip(path: Path, count: int = 10, first: int = 0) -> Path:
    return write_clip(path, levels(range(first, first + count)), [i / 25 for i in range(count)])


@pytest.mark.parametrize(
    "name", ["10:30:05.mp4", "-dash.mp4", "%03d.mp4", "a*?[b].mp4", "concat:a.mp4", b"caf\xe9.mp4"]
)
def test_fault_C3_a_name_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | bytes) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    clip(tmp_path / "plain.mp4").rename(path)
    assert numbers(path)[0] == list(range(10))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{target}\n#EXT-X-ENDLIST\n"),
        ("concat.mp4", "ffconcat version 1.0\nfile plain.mp4\n"),
        ("concat.txt", "ffconcat version 1.0\nfile {target}\n"),
        ("talk.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"),
    ],
)
def test_fault_C3_a_list_of_other_files_is_refused(tmp_path: Path, name: str, content: str) -> None:
    clip(tmp_path / "plain.mp4")
    path = tmp_path / name
    for target in ("plain.mp4", str(tmp_path / "plain.mp4"), "http://127.0.0.1:9/plain.mp4"):
        path.write_text(content.format(target=target))
        with pytest.raises(ClipFailure, match="unreadable"):
            list(Source(path))


def test_fault_C3_nothing_is_fetched_and_nothing_waits(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        called = threading.Event()
        threading.Thread(target=lambda: (server.accept(), called.set()), daemon=True).start()
        for kind in ("http", "tcp"):
            address = f"{kind}://127.0.0.1:{server.getsockname()[1]}/a.mp4"
            with pytest.raises(ClipFailure, match="addresses are not fetched"), opened(address):
                pass
        assert not called.wait(0.2)
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "folder.mp4").mkdir()
    for path, words in (
        (tmp_path / "pipe.mp4", "a pipe"),
        (tmp_path / "folder.mp4", "a folder"),
        ("/dev/zero", "a device"),
    ):
        with pytest.raises(ClipFailure, match=words), opened(path):
            pass
    with pytest.raises(ClipFailure, match="no name of a file"), opened("a\0b.mp4"):
        pass


def test_fault_A13_an_error_of_the_disk_is_not_the_fault_of_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails, at once or in the middle, is reported as such, and not taken for the end of the file."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(30, 220, (128, 128), dtype=np.uint8) for _ in range(100)]
    path = write_clip(tmp_path / "a.mkv", noise, [i / 25 for i in range(100)])
    good = path.stat().st_size // 2
    limit = [good]
    monkeypatch.setattr(opening, "_READ", 4096)

    class Failing(opening.io.FileIO):  # type: ignore[name-defined]
        def read(self, size: int = -1) -> bytes | None:
            if self.tell() > limit[0]:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size)

    monkeypatch.setattr(opening.io, "FileIO", Failing)
    for limit[0] in (good, -1):
        with pytest.raises(OSError, match="Input/output error") as caught:
            list(Source(path))
        assert caught.value.errno == errno.EIO
    monkeypatch.undo()

    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr(opening.os, "open", full)
    with pytest.raises(OSError, match="Too many open files"):
        list(Source(path))


def test_fault_H23_an_unknown_codec_has_a_verdict(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", levels(range(8)), [i / 25 for i in range(8)], codec="ffv1")
    data = path.read_bytes().replace(b"FFV1", b"QQ42")
    path.write_bytes(data)
    with pytest.raises(ClipFailure, match=r"unreadable: .*a.avi: stream 0: codec .*QQ42.* unknown"):
        list(Source(path))


def several(path: Path, first: Path, second: Path, default: int) -> Path:
    """The videos of two clips as two tracks, one of them the default."""
    with av.open(str(path), "w") as target, av.open(str(first)) as one, av.open(str(second)) as other:
        packets = []
        for number, source in enumerate((one, other)):
            stream = target.add_stream_from_template(source.streams.video[0])
            stream.disposition = av.stream.Disposition.default if number == default else 0
            packets += [(packet, stream) for packet in source.demux(video=0) if packet.size]
        for packet, stream in sorted(packets, key=lambda pair: pair[0].dts):
            packet.stream = stream
            target.mux(packet)
    return path


@pytest.mark.parametrize("default", [0, 1])
def test_fault_A7_the_default_track_of_frames_is_taken_and_others_are_reported(tmp_path: Path, default: int) -> None:
    pair = clip(tmp_path / "0.mp4", 10, 0), clip(tmp_path / "1.mp4", 10, 50)
    path = several(tmp_path / "a.mkv", *pair, default)
    found, source = numbers(path)
    assert found == list(range(50 * default, 50 * default + 10))
    assert source.notes == [
        f"2 video tracks, taken: stream {default} (h264 96x64); not taken: stream {1 - default} (h264 96x64)"
    ]
    assert has_video(path)


def test_fault_A7_a_verdict_tells_the_tracks_that_were_not_taken(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    path = several(tmp_path / "a.mkv", clip(tmp_path / "0.mp4", 10, 0), clip(tmp_path / "1.mp4", 10, 50), 0)
    with pytest.raises(ClipFailure, match=r"no-face: no face in 10 frames .*not taken: stream 1"):
        Cropper()(path)


def test_fault_A7_a_default_track_that_cannot_be_decoded_gives_way(tmp_path: Path) -> None:
    pair = [
        write_clip(tmp_path / f"{at}.avi", levels(range(at, at + 8)), [i / 25 for i in range(8)], codec="ffv1")
        for at in (0, 50)
    ]
    path = several(tmp_path / "a.avi", *pair, 0)
    path.write_bytes(path.read_bytes().replace(b"FFV1", b"QQ42", 2))  # in both headers of the first track
    found, source = numbers(path)
    assert len(found) >= 7
    assert found == list(range(50, 50 + len(found)))
    assert "unknown to this build" in source.notes[0]
    # One whose packets are rubbish is found out by decoding it.
    intra = [
        write_clip(tmp_path / f"{at}.mp4", levels(range(at, at + 8)), [i / 25 for i in range(8)], options={"g": "1"})
        for at in (20, 50)
    ]
    path = several(tmp_path / "b.mkv", *intra, 0)
    with av.open(str(path)) as container:
        spoilt = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    for packet in spoilt:
        data = data.replace(packet, bytes(len(packet)))
    path.write_bytes(data)
    assert numbers(path)[0] == list(range(50, 58))
