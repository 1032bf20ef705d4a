"""The page of `lipsound2 demo` without a browser: what it takes and refuses; it loses nothing and keeps nothing."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import soundfile
from helpers.demo_page import NEEDS_GRADIO, Page, asked, client, lip_reader, said_clip, serve
from helpers.face_corpora import talking_clip
from helpers.video_making import write_clip

from lipsound2.cli import main
from lipsound2.demo import answers
from lipsound2.demo.limits import Limits
from lipsound2.demo.reading import Answer, Choices, Reader
from lipsound2.synthetic.clip import ClipFormat
from lipsound2.timing import FRAME_RATE
from lipsound2.video.decode import read_video

pytestmark = NEEDS_GRADIO
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated face that says a sentence."""
    return said_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models, with a lip reader `lips`."""
    folder = tmp_path_factory.mktemp("models")
    lip_reader(folder / "lips")
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Page]:
    options = ("--port", "0", "--max-mb", "20", "--max-seconds", "10")
    with serve(tmp_path_factory.mktemp("page"), *options, models=models) as found:
        yield found


def refused(caller: Any, clip: Path, **given: str) -> str:
    from gradio_client.exceptions import AppError

    with pytest.raises(AppError) as error:
        asked(caller, clip, **given)
    line = str(error.value)
    assert "\n" not in line
    assert str(clip.parent) not in line
    return line


def curl(page: Page, data: list[Any]) -> str:
    """Call `read` as docs/demo.md does it with curl: what comes back of it."""
    import httpx

    api = f"{page.address}/gradio_api/call/read"
    call = httpx.post(api, json={"data": data}).json()["event_id"]
    return httpx.get(f"{api}/{call}", timeout=120).text


# What a program gets.


def test_a_program_gets_what_the_verbs_print(page: Page, clip: Path) -> None:
    answer = asked(client(page), clip)
    assert answer["text"] == " ".join(word["text"] for word in answer["words"])
    assert [model["name"] for model in answer["models"]] == ["grid-s1-parallel", "grid-s1-asr"]
    waveform, rate = soundfile.read(io.BytesIO(base64.b64decode(answer["speech"])))
    assert len(waveform) == answer["video"]["frames"] * rate // FRAME_RATE
    # A generated face is none that the model knows, and it says so.
    assert any("unlike" in line for line in answer["warnings"])
    assert page.no_files() == []
    same = Reader(Choices())(clip, "grid-s1-parallel", "largest", [])
    assert same.speech is not None
    assert answer["text"] == same.transcript.text
    assert waveform == pytest.approx(same.speech.waveform, abs=2 / 32768)


def test_real_lips_are_read(page: Page, grid: Path) -> None:
    caller = client(page)
    assert asked(caller, grid / "s1/lwbl6n.mp4")["text"] == "lay white by l six now"
    own = "bin blue at f two now\nlay white by l six now\nset red with k nine soon"
    answer = asked(caller, grid / "s1/lwbl6n.mp4", phrases=own)
    (ranking,) = answer["phrases"]
    assert answer["text"] == ranking["choices"][0]["text"] == "lay white by l six now"
    assert ranking["choices"][0]["probability"] > 0.9
    assert page.no_files() == []


def test_a_lip_reader_writes_words_and_makes_no_speech(
    page: Page, clip: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = client(page)
    answer = asked(caller, clip, model="lips")
    monkeypatch.setenv("LIPSOUND2_MODELS", str(models))
    same = Reader(Choices())(clip, "lips", "largest", [])
    assert same.speech is None
    assert answer["text"] == same.transcript.text != ""
    assert 0 < answer["confidence"] < 1
    assert len({each["text"] for each in answer["alternatives"]}) == len(answer["alternatives"]) > 1
    assert [model["name"] for model in answer["models"]] == ["lips"]
    assert "speech" not in answer
    assert answer["srt"].startswith("1\n00:00:0")
    own = ["bin blue at f two now", "lay white by l six now", "set red with k nine soon"]
    (ranking,) = asked(caller, clip, model="lips", phrases="\n".join(own))["phrases"]
    assert sorted(choice["text"] for choice in ranking["choices"]) == sorted(own)
    assert sum(choice["probability"] for choice in ranking["choices"]) + ranking["none"] == pytest.approx(1, abs=0.01)
    line = refused(caller, clip, model="lips", phrases="lay zebra")
    assert re.match(r"sentence 1: lips cannot write .*'z'.* in 'lay zebra'; it was not trained for this", line)
    assert page.no_files() == []
    # The log names the clip, not the temporary folder that it lay in.
    assert re.search(r"^[0-9:]{8} said\.mp4: \d+ frames", page.log.read_text(), re.MULTILINE)
    assert str(page.home) not in page.log.read_text()


def test_curl_as_the_page_of_the_manual_says(page: Page, clip: Path) -> None:
    """The three commands of docs/demo.md, in a shell."""
    text = (ROOT / "docs/demo.md").read_text(encoding="utf-8")
    commands = text[text.index("    page=http://") :].partition("\n\n")[0]
    commands = re.sub(r"page=\S+", f"page={page.address}", commands).replace("clip.mp4", str(clip))
    done = subprocess.run(["bash", "-ec", commands], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    events = re.findall(r"^event: (\w+)\ndata: (.*)$", done.stdout, re.MULTILINE)
    assert events[-1][0] == "complete"
    assert json.loads(events[-1][1])[0]["text"]


@pytest.mark.slow
def test_fifty_requests_side_by_side_are_all_answered_and_nothing_is_left(page: Page, clip: Path) -> None:
    """All send the same clip, so that its file must not go with the first answer."""
    callers = [client(page) for _ in range(5)]
    with ThreadPoolExecutor(50) as many:
        found = list(many.map(lambda number: asked(callers[number % 5], clip), range(50)))
    assert len(found) == 50
    assert len({answer["text"] for answer in found}) == len({answer["speech"] for answer in found}) == 1
    assert page.no_files() == []


# What it refuses, each in a line.


def test_fault_upload_of_garbage_is_one_line(page: Page, tmp_path: Path) -> None:
    caller = client(page)
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(np.random.default_rng(0).bytes(5000))
    assert refused(caller, garbage).startswith("garbage.mp4: unreadable: ")
    wav = tmp_path / "sound.wav"
    soundfile.write(wav, np.zeros(16000), 16000)
    assert refused(caller, wav) == "sound.wav: no-video: a video of a talking face is wanted"
    page_of_text = tmp_path / "list.m3u8"
    page_of_text.write_text("#EXTM3U\n#EXTINF:10,\n/etc/passwd\n")
    assert refused(caller, page_of_text).startswith("list.m3u8: unreadable: ")
    assert page.no_files() == []


def test_fault_files_that_are_no_video_are_one_line(page: Page, clip: Path, tmp_path: Path) -> None:
    caller = client(page)
    frame = next(iter(read_video(clip)[0]))
    for suffix in ("png", "jpg", "webp"):
        cv2.imwrite(str(tmp_path / f"photo.{suffix}"), frame)
        line = f"photo.{suffix}: no-video: a still image; a video of a talking face is wanted"
        assert refused(caller, tmp_path / f"photo.{suffix}") == line
    (tmp_path / "empty.mp4").touch()
    assert refused(caller, tmp_path / "empty.mp4") == "empty.mp4: unreadable: the file is empty (0 bytes)"
    (tmp_path / "half.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert refused(caller, tmp_path / "half.mp4").startswith("half.mp4: unreadable: cannot be opened: ")
    with av.open(str(tmp_path / "sound.mp4"), "w") as file:
        sound = file.add_stream("aac", rate=16000, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 32000), np.int16), format="s16", layout="mono")
        block.sample_rate = 16000
        file.mux([*sound.encode(block), *sound.encode(None)])
    assert refused(caller, tmp_path / "sound.mp4") == "sound.mp4: no-video: a video of a talking face is wanted"
    assert page.no_files() == []


def test_fault_in_the_dark_it_says_so(page: Page, clip: Path, tmp_path: Path) -> None:
    caller = client(page)
    frames = read_video(clip)[0][:50]
    times = [number / FRAME_RATE for number in range(len(frames))]
    write_clip(tmp_path / "dim.mp4", [(0.1 * frame).astype(np.uint8) for frame in frames], times)
    first = asked(caller, tmp_path / "dim.mp4")["warnings"][0]
    assert re.fullmatch(r"too dark: brightness of the face 1\d of 255; switch on a light before you", first)
    write_clip(tmp_path / "night.mp4", [(0.02 * frame).astype(np.uint8) for frame in frames], times)
    line = refused(caller, tmp_path / "night.mp4")
    assert line.startswith("night.mp4: no-face: no face in 50 frames of 360x288; too dark: brightness ")
    assert line.endswith(" of 255; switch on a light before you")
    assert not any("dark" in line for line in asked(caller, clip)["warnings"])


def test_fault_of_two_faces_one_is_read_and_it_says_which(page: Page, clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mp4"
    talking_clip(other, ["bin", "blue"], look=3, form=ClipFormat(width=360, height=288, sample_rate=16000))
    pairs = zip(read_video(clip)[0], read_video(other)[0], strict=False)
    frames = [np.concatenate(pair, axis=1) for pair in pairs]
    write_clip(tmp_path / "two.mp4", frames, [number / FRAME_RATE for number in range(len(frames))])
    caller = client(page)
    for face, left in (("left", True), ("right", False)):
        answer = asked(caller, tmp_path / "two.mp4", face=face)
        x0, _, x1, _ = answer["video"]["face"]
        assert (x1 < 360, x0 > 360) == (left, not left)
        (line,) = (line for line in answer["warnings"] if "faces" in line)
        taken = f"up to 2 faces at once; the one at x {x0}-{x1} was taken; "
        assert line == f'{taken}choose another under "Which face"'


def test_fault_a_bug_is_one_line(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Answer:
        raise KeyError("x")

    with pytest.raises(answers.NoAnswer, match=r"^this clip was not read because of a bug \(KeyError\); the terminal"):
        answers.read(broken, Limits(), str(clip), "grid-s1-parallel", "largest", "")  # type: ignore[arg-type]


def test_fault_a_clip_that_is_too_long_is_refused_before_work(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "long.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(11 * 25):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        file.mux(stream.encode(None))
    assert refused(client(page), path) == "long.mkv: too-long: longer than the 10 s that are taken; cut it first"


def test_fault_upload_of_two_gigabytes_is_refused_and_leaves_nothing(page: Page, tmp_path: Path) -> None:
    import httpx

    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(2 << 30)
    most = 0
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.02):
            most = max(most, sum(path.stat().st_size for path in page.files() if path.exists()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with large.open("rb") as file:
            answer = httpx.post(f"{page.address}/gradio_api/upload", files={"files": file}, timeout=120)
        assert (answer.status_code, answer.text.count("\n")) == (413, 0)
        assert "maximum allowed size of 20000000 bytes" in answer.text
    except httpx.WriteError:  # it hung up before all was sent, as it may
        pass
    finally:
        ended.set()
        watcher.join()
    assert most < 25_000_000
    assert page.no_files() == []


def test_fault_an_upload_that_is_broken_off_leaves_nothing(page: Page) -> None:
    own = page.address.removeprefix("http://")
    host, _, port = own.partition(":")
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.mp4"\r\n\r\n' + bytes(1_000_000)
    head = f"POST /gradio_api/upload HTTP/1.1\r\nHost: {own}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with socket.create_connection((host, int(port))) as line:
        line.sendall(f"{head}Content-Length: 9000000\r\n\r\n".encode() + part)
        until = time.monotonic() + 20
        while not page.files() and time.monotonic() < until:
            time.sleep(0.05)
        assert page.files()
    assert page.no_files() == []
    assert "Traceback" not in page.log.read_text()


def test_fault_a_path_or_an_address_is_no_clip(page: Page, clip: Path) -> None:
    for place, line in (
        ("/etc/passwd", "was not uploaded"),
        (str(clip), "was not uploaded"),
        ("../../../../etc/passwd", "was not uploaded"),
        ("http://127.0.0.1:1/clip.mp4", "found the address http://127.0.0.1:1/clip.mp4; nothing is fetched"),
    ):
        told = curl(page, [{"path": place, "meta": {"_type": "gradio.FileData"}}, "grid-s1-parallel", "largest", ""])
        assert told.startswith("event: error\n"), told
        assert line in told
    import httpx

    assert httpx.get(f"{page.address}/gradio_api/file=/etc/passwd").status_code == 403


def test_fault_other_web_pages_are_not_answered(page: Page, clip: Path) -> None:
    """Neither by an address of theirs that leads to this machine, nor across origins; programs and the page are."""
    import httpx

    own = page.address.removeprefix("http://")
    name = f"evil.example:{own.partition(':')[2]}"
    for sent, line in (
        ({"Host": name}, f"host: found '{name}', wanted 127.0.0.1 or localhost"),
        ({"Host": name, "Origin": f"http://{name}"}, f"host: found '{name}'"),
        (
            {"Origin": "http://evil.example"},
            f"origin: found 'http://evil.example', wanted this page's own, http://{own}",
        ),
        ({"Origin": "null"}, "origin: found 'null'"),
        ({"Origin": "http://localhost:1"}, "origin: found 'http://localhost:1'"),
    ):
        answer = httpx.post(f"{page.address}/gradio_api/upload", files={"files": clip.read_bytes()}, headers=sent)
        assert (answer.status_code, answer.text.count("\n")) == (403, 0)
        assert answer.text.startswith(line)
    assert page.no_files() == []
    for sent in (
        {"Origin": page.address},
        {"Host": "localhost:1", "Origin": "http://localhost:1"},
        {"Host": "[::1]:1"},
    ):
        assert httpx.get(page.address, headers=sent).status_code == 200


def test_fault_calls_with_wrong_values_are_one_line_and_no_traceback(page: Page, clip: Path) -> None:
    import httpx

    for values in ([], [1], [1, 2, 3, 4], [str(clip), "grid-s1-parallel", "largest", ""], [{}, [], {}, []]):
        told = curl(page, values)
        assert told.startswith('event: error\ndata: {"error": "wanted four values: clip as {'), told
    answer = httpx.post(f"{page.address}/gradio_api/upload", files={"files": ("", b"x")})
    assert (answer.status_code, answer.text.count("\n")) == (500, 0)
    assert answer.text.startswith("this request cannot be answered (TypeError: ")
    assert "Traceback" not in page.log.read_text()


def test_fault_wrong_choices_are_one_line_and_the_clip_goes(page: Page, clip: Path) -> None:
    caller = client(page)
    assert (
        refused(caller, clip, model="/etc") == "model: found '/etc', wanted one of: grid-s1-parallel, grid-s1-vsr, lips"
    )
    assert refused(caller, clip, face="top") == "face: found 'top', wanted one of: largest, left, right, center"
    line = refused(caller, clip, phrases="lay white by l six now\nlay zebra")
    assert line.startswith("sentence 2: grid-s1-asr cannot write 'zebra' in 'lay zebra'; ")
    assert "at most 500 of 300 are taken" in refused(caller, clip, phrases="a\n" * 501)
    assert curl(page, [None, "grid-s1-parallel", "largest", ""]).count("no clip: upload one") == 1
    assert page.no_files() == []


def test_fault_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["demo", "--port", str(port)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"lipsound2 demo: --port {port}: cannot be listened to, another program has it; give another"
    )


def test_fault_gradio_missing_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "gradio.py").write_text("raise ImportError('not here')\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "lipsound2", "demo", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert done.stdout == "loading  the page for grid-s1-parallel ...\n"  # before what is slow to import
    assert line == (
        "lipsound2 demo: the package 'gradio' cannot be imported (not here); install it with: "
        "tools/install.sh --extras demo"
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--model", "grid-s1-paralel"], "did you mean 'grid-s1-parallel'?"),
        (["--model", "grid-s1-vocos"], "grid-s1-vocos: reads no lips; give a lip-to-speech model or a lip reader: "),
        (["--asr", "grid-s1-vocos"], "wanted one of 'recognize'"),
        (["--phrases", "/nowhere.txt"], "there is no file '/nowhere.txt'"),
        (
            ["--phrases", "MANY"],
            "your own sentences: found 501 of up to 3 letters, at most 500 of 300 are taken; make it shorter",
        ),
        (["--asd", "/nowhere.model"], "--asd /nowhere.model: there is no such file"),
    ],
)
def test_fault_a_mistake_is_told_before_anything_is_loaded(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "many.txt").write_text("".join(f"{number}\n" for number in range(501)))
    assert main(["demo", *(str(tmp_path / "many.txt") if word == "MANY" else word for word in words)]) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert line in told


# What it keeps: nothing.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_fault_no_clip_is_left_when_the_page_ends_or_is_killed(
    tmp_path: Path, clip: Path, number: signal.Signals
) -> None:
    import httpx

    with serve(tmp_path / "page", "--port", "0") as page:
        with clip.open("rb") as file:
            httpx.post(f"{page.address}/gradio_api/upload", files={"files": file}).raise_for_status()
        assert [path.name for path in page.files() if path.suffix == ".mp4"] == ["said.mp4"]
        page.process.send_signal(number)
        page.process.wait(60)
        until = time.monotonic() + 20
        while any(page.home.rglob("*.mp4")) and time.monotonic() < until:
            time.sleep(0.1)
        assert not any(page.home.rglob("*.mp4"))
        if number != signal.SIGKILL:
            assert page.process.returncode == 128 + number
            assert page.log.read_text().splitlines()[-1].startswith("lipsound2 demo: ")
