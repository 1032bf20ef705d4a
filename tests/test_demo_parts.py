"""The parts of the page of `lipsound2 demo`: what lies on its shelf, what it shows, its limits, and its Space."""

from __future__ import annotations

import base64
import configparser
import gc
import io
import logging
import re
import socket
import time
import weakref
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.demo_page import NEEDS_GRADIO, asked, client, said_clip, serve

from lipsound2.decoding.hypothesis import Word
from lipsound2.demo import answers, cards
from lipsound2.demo import shelf as shelf_module
from lipsound2.demo.limits import Limits, sentences_of
from lipsound2.demo.log_names import clips_by_name
from lipsound2.demo.reading import Answer, Choices, Reader
from lipsound2.demo.shelf import Shelf, swept
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.inference.transcript import Transcript

pytestmark = NEEDS_GRADIO
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated face that says a sentence."""
    return said_clip(tmp_path_factory.mktemp("clip"))


def test_what_a_visit_left_goes_when_it_ends_or_brings_another_clip(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)

    def sent(name: str) -> Path:
        path = tmp_path / name / "clip.mp4"
        path.parent.mkdir()
        path.write_bytes(b"x")
        return path

    first, second, other = sent("1"), sent("2"), sent("3")
    shelf.hold("a", first)
    shelf.hold("b", other)
    with shelf.answering("a") as answer:
        (answer / "speech.wav").write_bytes(b"x")
    assert answer.exists()
    shelf.hold("a", first)  # the same again
    assert first.exists()
    assert answer.exists()
    shelf.hold("a", second)
    assert not first.parent.exists()
    assert not answer.exists()
    shelf.close("a")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [other]
    # The page is closed while the answer is made.
    with shelf.answering("b") as answer:
        shelf.close("b")
    with pytest.raises(OSError, match="full"), shelf.answering("c"):
        raise OSError("full")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not [*tmp_path.glob("answer-*")]


def test_what_nobody_asks_for_goes_after_its_time(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/clip.mp4").write_bytes(b"x")
    shelf.sweep(60)
    assert (tmp_path / "a/b/clip.mp4").exists()
    time.sleep(0.05)
    shelf.sweep(0.01)
    assert not (tmp_path / "a/b/clip.mp4").exists()


def test_objects_that_only_each_other_know_go_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Node:
        pass

    monkeypatch.setattr(shelf_module, "_ROUND", 0.05)
    node = Node()
    node.itself = node  # type: ignore[attr-defined]
    alive = weakref.ref(node)
    gc.disable()
    try:
        del node
        assert alive() is not None
        with swept(Shelf(tmp_path)):
            until = time.monotonic() + 20
            while alive() is not None and time.monotonic() < until:
                time.sleep(0.05)
        assert alive() is None
    finally:
        gc.enable()


# What it shows.


def test_texts_are_escaped_and_doubt_is_shown(clip: Path) -> None:
    answer = Reader(Choices())(clip, "grid-s1-parallel", "largest", [])
    words = [Word("<script>alert(1)</script>", 0.0, 0.5, 0.3), Word("now", 0.5, 1.0, 0.999)]
    said = Transcript("<script>alert(1)</script> now", words, confidence=0.2, models={"a&b": ""}, calibrated=True)
    page = cards.words(Answer(said, answer.video, answer.speech, ["<b>doubt</b>"]))
    assert "<script>" not in page
    assert "&lt;b&gt;doubt&lt;/b&gt;" in page
    assert page.count('class="word doubtful"') == 1
    assert "1 of 2 words doubtful" in page
    assert "20 % sure of the sentence" in page
    assert "<i>" not in cards.head("m", "<i>all</i>", local=True)
    assert "<i>" not in cards.failure("<i>")
    assert "<i>" not in cards.working("<i>")
    assert "Reading the lips of <strong>your recording</strong> ..." in cards.working("")
    image = base64.b64decode(re.findall(r"base64,([^\"]+)", cards.mel(answer))[0])
    assert image.startswith(b"\x89PNG")


def test_speech_without_words_is_told_and_not_played(clip: Path) -> None:
    answer = Reader(Choices())(clip, "grid-s1-parallel", "largest", [])
    assert answer.transcript.text
    assert answers.worth_playing(answer) is answer
    assert "no use" not in cards.words(answer)
    others = Reader(Choices())(clip, "grid-s1-parallel", "largest", ["set red with k nine soon"])
    silent = replace(others, transcript=replace(others.transcript, text="", words=[]))
    assert answers.worth_playing(silent).speech is None
    page = cards.words(silent)
    assert '<p class="sentence none">(none of these)</p>' in page
    assert "Speech without a word is of no use" in page
    assert "no use" not in cards.words(replace(silent, speech=None))  # of a lip reader


def test_the_log_names_clips_without_their_folder(tmp_path: Path) -> None:
    handler = logging.StreamHandler(io.StringIO())
    logging.getLogger().addHandler(handler)
    try:
        with clips_by_name(tmp_path):
            logging.getLogger("a.b").warning("%s: 5 %% of %s", tmp_path / "0f" / "clip.mp4", tmp_path)
        logging.getLogger("a.b").warning("%s", tmp_path / "0f" / "clip.mp4")
    finally:
        logging.getLogger().removeHandler(handler)
    assert handler.stream.getvalue() == f"clip.mp4: 5 % of {tmp_path}\n{tmp_path}/0f/clip.mp4\n"


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100 %"), (0.999, "> 99 %"), (0.5, "50 %"), (0.001, "< 1 %"), (0.0, "0 %")]
)
def test_probabilities_do_not_pretend_to_be_certain(share: float, text: str) -> None:
    assert cards.percent(share) == text


def test_the_head_says_what_the_page_does_and_what_the_model_knows() -> None:
    line = cards.head("grid-s1-parallel", Choices().knows("grid-s1-parallel"), local=True)
    assert line.startswith("<h1>lipsound2: speech and words from lips</h1>")
    assert re.search(r"<p class=\"knows\"><strong>grid-s1-parallel</strong> knows one voice, speaker s1 of GRID", line)
    assert "for any other face or words it produces GRID-like speech that was never said.</p>" in line
    assert "does not say" in cards.head("mine", "", local=True)
    assert "Nothing leaves this machine" not in cards.head("mine", "", local=False)


def test_the_preview_shows_the_mouth_and_lasts_as_long_as_the_clip(clip: Path, tmp_path: Path) -> None:
    from lipsound2.demo.preview import write_preview
    from lipsound2.video.mouth_box import mouth_boxes

    answer = Reader(Choices())(clip, "grid-s1-parallel", "largest", [])
    write_preview(clip, answer, tmp_path / "preview.mp4")
    with av.open(str(tmp_path / "preview.mp4")) as file, av.open(str(clip)) as source:
        shown = [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]
        plain = [frame.to_ndarray(format="rgb24").astype(int) for frame in source.decode(video=0)]
        assert file.streams.audio
    assert len(shown) == answer.video.report.num_frames == len(plain)
    x0, y0, x1, y1 = mouth_boxes(answer.video.landmarks)[20].round().astype(int)
    change = np.abs(shown[20] - plain[20]).sum(2)
    assert change[y0 : y1 + 1, x0].mean() > 4 * change[: y0 - 10].mean()
    assert 0.15 < (x1 - x0) / (answer.video.boxes[20][2] - answer.video.boxes[20][0]) < 0.9
    assert [path.name for path in tmp_path.iterdir()] == ["preview.mp4"]


def test_limits_are_looked_at(clip: Path, tmp_path: Path) -> None:
    Limits().check(clip)
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(1_000_000))
    with pytest.raises(ClipFailure, match="too-large: 1 MB, at most 0 MB"):
        Limits(megabytes=0).check(large)
    with pytest.raises(ClipFailure, match="longer than the 1 s"):
        Limits(seconds=1).check(clip)
    assert sentences_of(" a b \n\n c\n") == ["a b", "c"]
    with pytest.raises(LipsoundError, match="found 1 of up to 301 letters"):
        sentences_of("a" * 301)


# The same page as a Space.


def test_the_space_has_what_the_page_needs_at_the_tested_versions() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = setup["options.extras_require"]
    declared = [setup["options"]["install_requires"], extras["face"], extras["demo"]]
    wanted = {re.split(r"[ <>=]", line)[0].lower() for text in declared for line in text.splitlines() if line}
    pins = set((ROOT / "tools/constraints.txt").read_text(encoding="utf-8").splitlines())
    lines = (ROOT / "demo/requirements.txt").read_text(encoding="utf-8").splitlines()[1:]
    assert {line.partition("==")[0].lower() for line in lines} == wanted
    assert set(lines) - pins == set()
    (version,) = (line.partition("==")[2] for line in lines if line.startswith("gradio=="))
    assert f"`sdk_version: {version}`" in (ROOT / "docs/demo.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_space_serves_the_same_page(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("GRADIO_SERVER_PORT", str(port))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with serve(tmp_path / "space", command=(str(ROOT / "demo/app.py"),)) as page:
        assert "Nothing leaves this machine" not in httpx.get(f"http://127.0.0.1:{port}/").text
        page.address = f"http://127.0.0.1:{port}"
        assert asked(client(page), clip)["text"]
        assert page.no_files() == []
