"""The page of `lipsound2 demo` in Chromium: uploads, a camera that is fed from a clip, a phone's width, a browser that
goes in the middle."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import jiwer
import numpy as np
import pytest
import soundfile
from helpers.demo_page import Page, clip_that_says, serve

from lipsound2.demo.reading import Choices, Reader
from lipsound2.timing import FRAME_RATE

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.slow

SAID = ["lay", "white", "by", "l", "six", "now"]
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
    return clip_that_says(SAID, tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with serve(tmp_path_factory.mktemp("page"), "--port", "0") as found:
        yield found


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

    def read(self) -> list[str]:
        """Press the button by the keyboard; the words of the answer."""
        self.tab.focus("#start")
        self.tab.keyboard.press("Enter")
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
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
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
    visit: Any, page: Page, clip: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    browser = visit(width, scheme)
    tab = browser.tab
    first = tab.inner_text("#head .knows")
    assert first.startswith("grid-s1-parallel knows one voice, speaker s1 of GRID, and GRID's 51 words")
    assert first.endswith("for any other face or words it produces GRID-like speech that was never said.")
    assert tab.evaluate("document.body.classList.contains('dark')") is (scheme == "dark")
    browser.upload(clip)
    words = browser.read()
    same = Reader(Choices())(clip, "grid-s1-parallel", "largest", [])
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
    browser.tab.wait_for_selector("#words h3:has-text('Your sentences')")
    best = browser.tab.inner_text("#words .bars li:first-child")
    assert best.startswith("lay white by l six now")
    assert browser.tab.inner_text("#words .sentence") == "lay white by l six now"


def test_fault_a_bad_file_gets_its_line_on_the_page(visit: Any, page: Page, tmp_path: Path, clip: Path) -> None:
    browser = visit()
    browser.tab.click("#start")
    browser.tab.wait_for_selector("#failure [role=alert]:has-text('no clip: upload one')")
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(np.random.default_rng(0).bytes(5000))
    browser.upload(garbage)
    browser.tab.click("#start")
    browser.tab.wait_for_selector("#failure [role=alert]:has-text('garbage.mp4: unreadable')")
    assert not browser.tab.is_visible("#answer")
    # And then one that is good.
    browser.tab.click("#clip [aria-label='Clear']")
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
    for pause in (0, 300, 900):
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


@pytest.mark.parametrize("name", ["lwbl6n", "lrwr8n"])
def test_the_words_of_a_camera_come_back(page: Page, grid: Path, tmp_path: Path, chromium: Any, name: str) -> None:
    """A real stream: camera, recorder of the browser, upload. A frame more or less may cost a word, of six."""
    said = next(
        line.split("\t")[2].split() for line in (grid / "lists/test.tsv").read_text().splitlines() if name in line
    )
    write_camera(grid / f"s1/{name}.mp4", tmp_path / "camera.y4m", before=4, after=6)
    flags = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    flags.append(f"--use-file-for-fake-video-capture={tmp_path / 'camera.y4m'}")
    browser = chromium.browser_type.launch(executable_path=shutil.which("chromium") or "", args=flags)
    try:
        context = browser.new_context(viewport={"width": 1400, "height": 1000}, permissions=["camera"])
        visit = Visit(context.new_page(), page)
        visit.tab.click("#clip [aria-label='Capture from camera']")
        visit.tab.click("text=Click to Access Webcam")
        visit.tab.click("#clip button:has-text('Record')")
        visit.tab.wait_for_timeout(9000)
        visit.tab.click("#clip button:has-text('Stop')")
        visit.tab.wait_for_selector("#clip video[src*='gradio_api/file']")
        read = visit.read()
        assert visit.errors == []
    finally:
        browser.close()
    assert len(said) * jiwer.wer(" ".join(said), " ".join(read)) <= 1.01, f"said {said}, read {read}"
    assert page.no_files() == []
