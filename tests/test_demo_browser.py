"""The page of `lipsound2 demo` in Chromium: uploads, a camera that is fed from a clip, a phone's width, a browser that
goes in the middle."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import cv2
import jiwer
import numpy as np
import pytest
import soundfile
from helpers.demo_page import NEEDS_GRADIO, SAID, Page, lip_reader, said_clip, serve
from helpers.video_making import write_clip

from lipsound2.demo.reading import Answer, Choices, Reader
from lipsound2.timing import FRAME_RATE

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [pytest.mark.slow, NEEDS_GRADIO]

WAIT = 120_000.0  # ms for an answer, on a busy machine
# What a screen reader would call nothing.
UNNAMED = """() => [...document.querySelectorAll("button, a[href], input, textarea, select, img, video, audio")]
  .filter(one => one.checkVisibility() && !one.closest("[aria-hidden=true]"))
  .filter(one => !(one.ariaLabel || one.title || one.alt || one.labels?.length || one.innerText?.trim()
    || one.getAttribute("aria-labelledby") || one.closest("[aria-label]")))
  .map(one => one.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
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
    with serve(tmp_path_factory.mktemp("page"), "--port", "0", models=models) as found:
        yield found


@pytest.fixture(scope="module")
def wanted(clip: Path) -> Answer:
    """What the verbs make of the clip."""
    return Reader(Choices())(clip, "grid-s1-parallel", "largest", [])


class Visit:
    """A browser at the page.

    Args:
        tab: of the browser.
        page: that is visited.

    Attributes:
        tab: the same.
        hosts: that the browser asked.
        errors: of scripts, and what the page's policy blocked.
    """

    def __init__(self, tab: Any, page: Page) -> None:
        self.tab, self.hosts, self.errors = tab, set(), []
        tab.set_default_timeout(WAIT)
        tab.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        tab.on("pageerror", lambda error: self.errors.append(str(error)))
        tab.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        tab.goto(page.address)
        tab.wait_for_selector("#start")

    def upload(self, path: Path) -> None:
        """Bring a clip, and wait until it is there."""
        self.tab.set_input_files("#clip input[type=file]", str(path))
        self.tab.wait_for_selector("#clip video")

    def read(self, name: str = "") -> list[str]:
        """Press the button by the keyboard; its words. With a name, the page must say meanwhile that it reads it."""
        self.tab.focus("#start")
        self.tab.keyboard.press("Enter")
        if name:
            self.tab.wait_for_selector(f"#working [role=status]:has-text('Reading the lips of {name} ...')")
        self.tab.wait_for_selector("#words .answer")
        words: list[str] = self.tab.evaluate(
            "[...document.querySelectorAll('#words .word')].map(w => w.firstChild.data.trim())"
        )
        return words

    def download(self, name: str, folder: Path) -> Path:
        """Press a button that downloads."""
        with self.tab.expect_download() as begun:
            self.tab.click(f"#{name}")
        path = folder / begun.value.suggested_filename
        begun.value.save_as(path)
        return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium here; on Debian: apt-get install chromium")
    # It leaves folders in /tmp. The paths of its sockets have to be short.
    with tempfile.TemporaryDirectory() as kept, playwright.sync_playwright() as driver:
        own = {**os.environ, "TMPDIR": kept}
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"], env=own)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, page: Page) -> Iterator[Any]:
    """A function that visits the page with a window of some width."""
    opened = []

    def new(width: int = 1400, scheme: str = "light") -> Visit:
        opened.append(chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        return Visit(opened[-1].new_page(), page)

    yield new
    for context in opened:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_a_clip_is_read_and_nothing_leaves_the_machine(
    visit: Any, page: Page, clip: Path, wanted: Answer, tmp_path: Path, width: int, scheme: str
) -> None:
    browser = visit(width, scheme)
    tab = browser.tab
    first = tab.inner_text("#head .knows")
    assert first.startswith("grid-s1-parallel knows one voice, speaker s1 of GRID, and GRID's 51 words")
    assert first.endswith("for any other face or words it produces GRID-like speech that was never said.")
    assert tab.evaluate("document.body.classList.contains('dark')") is (scheme == "dark")
    assert tab.is_visible("h1")
    assert not tab.locator("footer").is_visible()
    browser.upload(clip)
    words = browser.read("said.mp4")
    # The answer is in the window, at its top or below the button.
    tab.wait_for_selector("#working", state="hidden")
    tab.wait_for_function("(box => box.top >= 0 && box.bottom <= innerHeight)(words.getBoundingClientRect())")
    same = wanted
    assert same.speech is not None
    assert words == [word.text for word in same.transcript.words]
    assert "unlike those" in tab.inner_text("#words .warnings")
    assert tab.locator("#words .bars li").count() == min(5, len(same.transcript.alternatives))
    # The video and the speech can be played, and last as long as the clip.
    seconds = same.video.report.num_frames / FRAME_RATE
    tab.wait_for_function("document.querySelector('#video video')?.duration > 0")
    assert tab.evaluate("document.querySelector('#video video').duration") == pytest.approx(seconds, abs=0.1)
    assert tab.evaluate("document.querySelector('#mel img').naturalWidth") == len(same.speech.mel)
    waveform, rate = soundfile.read(browser.download("wav", tmp_path))
    assert rate == same.speech.sample_rate
    assert waveform == pytest.approx(same.speech.waveform, abs=2 / 32768)
    assert browser.download("srt", tmp_path).read_text() == same.transcript.render(".srt")
    with av.open(str(browser.download("mp4", tmp_path))) as file:
        assert {stream.type for stream in file.streams} == {"video", "audio", "subtitle"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["said.mp4", "said.srt", "said.wav"]
    # For a phone, for a screen reader, and for nobody else.
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(UNNAMED) == []
    assert tab.locator("h1").count() == 1
    assert browser.hosts == {urlsplit(page.address).netloc, ""}  # without a host: what lies in the page
    assert browser.errors == []
    assert page.files()
    tab.close()
    assert page.no_files() == []


def test_real_lips_and_own_sentences(visit: Any, grid: Path) -> None:
    browser = visit()
    browser.upload(grid / "s1/lwbl6n.mp4")
    assert browser.read() == SAID
    assert browser.tab.locator("#words .warnings").count() == 0
    browser.tab.fill("#sentences textarea", "bin blue at f two now\nlay white by l six now\n")
    browser.tab.click("#start")
    browser.tab.wait_for_selector("#words h3:has-text('Your own sentences')")
    best = browser.tab.inner_text("#words .bars li:first-child")
    assert best.startswith("lay white by l six now")
    assert browser.tab.inner_text("#words .sentence") == "lay white by l six now"
    assert browser.tab.is_visible("#speech")
    # Where none of them was said, there is no speech to play.
    browser.tab.fill("#sentences textarea", "bin blue at f two now\nset red with k nine soon\n")
    browser.tab.click("#start")
    browser.tab.wait_for_selector("#words .sentence:has-text('(none of these)')")
    assert "no use" in browser.tab.inner_text("#words")
    for name, there in (("speech", 0), ("mel", 0), ("wav", 0), ("mp4", 0), ("srt", 1), ("video", 1)):
        assert browser.tab.is_visible(f"#{name}") == bool(there), name
    # Its files go with the clip, and so must the answer.
    browser.tab.click("#clip [aria-label='Clear']")
    browser.tab.wait_for_selector("#answer", state="hidden")
    assert browser.tab.is_visible("#hint")


def test_a_lip_reader_writes_words_and_there_is_no_player(visit: Any, page: Page, clip: Path, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file

    same = Client(page.address, verbose=False, httpx_kwargs={"timeout": 600.0}).predict(
        handle_file(str(clip)), "lips", api_name="/read"
    )
    browser = visit()
    tab = browser.tab
    tab.click("#model input")
    tab.click("[role=option]:has-text('lips')")
    tab.wait_for_selector("#head .knows:has-text('lips')")
    browser.upload(clip)
    assert browser.read() == [word["text"] for word in same["words"]] != []
    assert "sure of the sentence" in tab.inner_text("#words .sum")
    assert tab.locator("#words .bars li").count() == min(5, len(same["alternatives"])) > 1
    assert tab.inner_text("#words .sum:last-child") == "by lips"
    for name, there in (("speech", 0), ("mel", 0), ("wav", 0), ("mp4", 0), ("srt", 1), ("video", 1)):
        assert tab.is_visible(f"#{name}") == bool(there), name
    assert browser.download("srt", tmp_path).read_text() == same["srt"]
    assert tab.get_attribute("#video video", "aria-label") == "your clip with a box about the mouth"
    tab.fill("#sentences textarea", "bin blue at f two now\nlay white by l six now\n")
    tab.click("#start")
    tab.wait_for_selector("#words h3:has-text('Your own sentences')")
    assert tab.locator("#words .bars li").count() == 3  # and none of them
    assert browser.errors == []


def test_fault_a_bad_file_gets_its_line_on_the_page(visit: Any, page: Page, tmp_path: Path, clip: Path) -> None:
    browser = visit()
    browser.tab.click("#start")
    browser.tab.wait_for_selector("#failure [role=alert]:has-text('no clip: upload one')")
    dark = [np.zeros((96, 128, 3), np.uint8)] * 61
    bad = {
        "garbage.mp4: unreadable: ": lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
        "empty.mp4: unreadable: the file is empty": lambda path: path.touch(),
        "long.mp4: too-long: longer than the 60 s": lambda path: write_clip(path, [*dark, *dark], [*range(122)]),
        "night.mp4: no-face: no face in 61 frames of 128x96; too dark: ": lambda path: write_clip(
            path, dark, [number / FRAME_RATE for number in range(61)]
        ),
    }
    for line, make in bad.items():
        path = tmp_path / line.partition(":")[0]
        make(path)
        browser.upload(path)
        browser.tab.click("#start")
        browser.tab.wait_for_selector(f"#failure [role=alert]:has-text('{line}')")
        assert not browser.tab.is_visible("#answer")
        browser.tab.click("#clip [aria-label='Clear']")
    # What is no video by its name is refused by the browser.
    cv2.imwrite(str(tmp_path / "photo.png"), dark[0])
    soundfile.write(tmp_path / "sound.wav", np.zeros(16000), 16000)
    for name in ("photo.png", "sound.wav"):
        browser.tab.set_input_files("#clip input[type=file]", str(tmp_path / name))
        browser.tab.wait_for_selector(f"text=Invalid file type: {name}. Only video")
    # And then one that is good.
    browser.upload(clip)
    assert browser.read()
    assert not browser.tab.is_visible("#failure")


def test_fault_a_large_file_is_refused_by_the_browser_at_once(visit: Any, page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.mp4"
    with large.open("wb") as file:
        file.truncate(2 << 30)
    browser = visit()
    browser.tab.set_input_files("#clip input[type=file]", str(large))
    browser.tab.wait_for_selector("text=/maximum.*size|size.*maximum|too large/i")
    assert page.no_files() == []


def test_fault_a_browser_that_is_closed_in_the_middle_leaves_nothing(
    visit: Any, page: Page, clip: Path, tmp_path: Path
) -> None:
    for pause in (0, 900):
        browser = visit()
        browser.upload(clip)
        browser.tab.click("#start")
        browser.tab.wait_for_timeout(pause)
        browser.tab.close()
    assert page.no_files(60) == []
    browser = visit()  # and the next one is served
    browser.upload(clip)
    assert browser.read()


def write_camera(clip: Path, out: Path, before: float, after: float) -> None:
    """A clip as a raw stream for Chromium's fake camera, which shows it again and again.

    Before it and after it the face waits for so many seconds.
    """
    with av.open(str(clip)) as file:
        frames = [frame.to_ndarray(format="yuv420p") for frame in file.decode(video=0)]
    rows, width = frames[0].shape
    padded = [frames[0]] * round(25 * before) + frames + [frames[-1]] * round(25 * after)
    with out.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{rows * 2 // 3} F25:1 Ip A1:1 C420\n".encode())
        for frame in padded:
            file.write(b"FRAME\n" + frame.tobytes())


def test_the_words_of_a_camera_come_back(page: Page, clip: Path, grid: Path, tmp_path: Path, chromium: Any) -> None:
    """A real stream: camera, recorder of the browser, upload. A frame more or less may cost a word, of six."""
    write_camera(grid / "s1/lwbl6n.mp4", tmp_path / "camera.y4m", before=4, after=6)
    flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    flags.append(f"--use-file-for-fake-video-capture={tmp_path / 'camera.y4m'}")
    browser = chromium.browser_type.launch(executable_path=shutil.which("chromium") or "", args=flags)
    try:
        context = browser.new_context(viewport={"width": 1400, "height": 1000}, permissions=["camera"])
        visit = Visit(context.new_page(), page)
        visit.upload(clip)  # goes when the camera is chosen
        visit.tab.click("#source label:has-text('Record with the camera')")
        visit.tab.wait_for_selector("#clip", state="hidden")
        assert page.no_files() == []
        visit.tab.click("text=Click to Access Webcam")
        visit.tab.click("#camera button:has-text('Record')")
        visit.tab.wait_for_timeout(9000)
        visit.tab.click("#camera button:has-text('Stop')")
        visit.tab.wait_for_selector("#camera video[src*='gradio_api/file']")
        read = visit.read("your recording")
        assert visit.tab.evaluate(UNNAMED) == []
        assert visit.errors == []
    finally:
        browser.close()
    assert len(SAID) * jiwer.wer(" ".join(SAID), " ".join(read)) <= 1.01, f"read {read}"
    assert page.no_files() == []
