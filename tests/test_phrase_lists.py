"""Lists of own sentences as people write them, mistakes in them, and sentences that look alike."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.video_making import write_clip

from lipsound2.audio.io import write_wav
from lipsound2.decoding.hypothesis import Hypothesis
from lipsound2.decoding.look_alikes import look_alikes, visemes_of
from lipsound2.decoding.phrases import PhraseCalibration
from lipsound2.errors import LipsoundError
from lipsound2.inference.clip_readers import ClipReaders
from lipsound2.inference.phrases import Phrases
from lipsound2.inference.transcribe import _choice, transcribe
from lipsound2.inference.transcript import Transcript
from lipsound2.text.tokenizer import Characters

PLAIN = PhraseCalibration(1.0, 1.0)


def test_lists_as_people_write_them(tmp_path, caplog):
    path = tmp_path / "mine.txt"
    path.write_bytes("\ufeffBin blue at F2, now!\r\n\r\n  bin blue at f two now\n  Lay red. \n".encode())
    found = Phrases.read(path)
    assert found.texts == ["Bin blue at F2, now!", "Lay red."]
    assert found.normal == ["bin blue at f two now", "lay red"]
    assert found.places == [f"{path}:1", f"{path}:4"]
    assert f"1 sentence stands there twice and counts once: {path}:3 says what {path}:1 says" in caplog.text
    assert Phrases.of(["a b", "c"]).places == ["phrases[0]", "phrases[1]"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no sentence; write one a line"),
        (b"\n \n", "holds no sentence; write one a line"),
        (b"bin blue\nsch\xf6n\n", "mine.txt:2: expected UTF-8 text, found"),
        ("bin blue\n".encode("utf-16"), "found UTF-16"),
        (b"bin blue\n...\n", r"mine.txt:2: expected a sentence, found no word in '...'"),
    ],
)
def test_a_list_that_is_none_is_one_line(tmp_path, content, told):
    (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(LipsoundError, match=told):
        Phrases.read(tmp_path / "mine.txt")


@pytest.mark.parametrize("name", ["nothing.txt", "bin blue at f two now", "bin blue at f two now " * 20])
def test_a_sentence_in_place_of_the_file_is_told_with_the_option(name):
    wanted = f"--phrases: wants a file with one sentence a line; there is no file '{name[:60]}"
    with pytest.raises(LipsoundError, match=wanted):
        Phrases.read(Path(name))


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("nothing.txt", "--phrases: wants a file with one sentence a line; there is no file 'nothing.txt'"),
        (".", "--phrases: wants a file with one sentence a line; '.' is a folder"),
        ("empty.txt", "empty.txt: holds no sentence; write one a line"),
        ("latin.txt", "latin.txt:2: expected UTF-8 text, found"),
    ],
)
def test_a_mistake_in_the_list_is_told_before_torch_is_loaded(tmp_path, file, told):
    write_wav(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32))
    (tmp_path / "empty.txt").touch()
    (tmp_path / "latin.txt").write_bytes(b"bin blue\nsch\xf6n\n")
    program = (
        "import sys; from lipsound2.cli import main; "
        f"status = main(['transcribe', 'a.wav', '--phrases', {file!r}]); "
        "sys.exit(9 if 'torch' in sys.modules else status)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert told in done.stderr
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_how_sure_a_choice_is_counts_its_sentences():
    assert _choice("bin blue", 0.998, 20) == "99.8 % among 20 sentences"
    assert _choice("bin blue", 1.0, 1) == "100 % among 1 sentence"
    assert _choice("", 0.9999, 20) == "likeliest: none of these 20 sentences, 100 %"
    assert _choice("", 0.75, 1) == "likeliest: not this one, 75 %"


def test_a_list_in_python_is_checked():
    with pytest.raises(LipsoundError, match="expected a list of sentences, found the text 'bin blue'"):
        Phrases.of("bin blue")
    with pytest.raises(LipsoundError, match=r"phrases\[1\]: expected a text, found int"):
        Phrases.of(["bin", 7])  # type: ignore[list-item]


def test_words_a_reader_cannot_write_are_told_with_their_line(tmp_path):
    (tmp_path / "mine.txt").write_text("ab ba\nba zab\nqqq\n")
    letters = Characters.of(["ab "])
    with pytest.raises(LipsoundError, match=r"mine.txt:2: reader cannot write 'z' in 'ba zab', nor all of line 3; "):
        Phrases.read(tmp_path / "mine.txt").spelled(
            lambda text: letters.segmentations(text, 4), lambda text: sorted({*text} - {*"ab "}), "reader"
        )


def test_the_words_a_reader_knows_are_told_where_they_are_few():
    def told(known: list[str]) -> str:
        with pytest.raises(LipsoundError) as error:
            Phrases.of(["z"]).spelled(lambda text: [], lambda text: ["z"], "reader", known)
        return str(error.value)

    assert "use words that it knows (bin blue), or another model" in told(["bin", "blue"])
    assert "use words that it knows, or another model" in told([])
    assert "use words that it knows, or another model" in told([f"w{number}" for number in range(101)])


def test_all_sentences_a_reader_cannot_write_are_told_shortly(tmp_path):
    (tmp_path / "mine.txt").write_text("".join(f"z{letter}\n" for letter in "abcdefghi"))
    with pytest.raises(LipsoundError, match=r"nor all of lines 2, 3, 4, 5, 6 and 3 more; .*lipsound2 models get"):
        Phrases.read(tmp_path / "mine.txt").spelled(lambda text: [], lambda text: ["z"], "reader")
    with pytest.raises(LipsoundError, match=r"nor all of phrases\[1\], phrases\[2\]; "):
        Phrases.of(["a", "b", "c"]).spelled(lambda text: [], lambda text: ["z"], "reader")


def test_nothing_is_announced_of_sentences_that_no_model_can_rank(tmp_path, caplog):
    pytest.importorskip("sentencepiece")
    write_clip(tmp_path / "a.mp4", [np.zeros((64, 64), np.uint8)] * 5, [each / 25 for each in range(5)])
    (tmp_path / "mine.txt").write_text("bin blue at f two now\nopen the door\n")
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(
            LipsoundError, match=r"mine.txt:2: grid-s1-asr cannot write 'open', 'the', 'door' in .*\(a again .* zero\)"
        ),
    ):
        transcribe(tmp_path / "a.mp4", phrases=tmp_path / "mine.txt")
    assert not [each for each in caplog.records if each.levelno == logging.INFO]


def test_without_a_dictionary_look_alikes_are_said_to_be_unchecked(monkeypatch, caplog):
    monkeypatch.setattr("lipsound2.decoding.pronunciations.find_spec", lambda name: None)
    Phrases.of(["pat it"]).warn_of_look_alikes()
    assert caplog.text == ""
    Phrases.of(["pat it", "bat it"]).warn_of_look_alikes()
    assert "not checked whether sentences look alike: " in caplog.text
    assert len(caplog.records) == 1


def test_look_alikes_have_the_same_visemes(caplog):
    pytest.importorskip("pocketsphinx")
    sentences = [
        "place red by b two",
        "place red by p two",
        "place red by f two",
        "place red by v two",
        "zq xk",
        "zq xk",
    ]
    visemes = visemes_of({word for sentence in sentences for word in sentence.split()})
    assert look_alikes(sentences, visemes) == [[0, 1]]  # the names of f and v differ in their vowels
    assert look_alikes(
        ["fat", "vat", "pat", "bat", "mat", "cat"], visemes_of(["fat", "vat", "pat", "bat", "mat", "cat"])
    ) == [
        [0, 1],
        [2, 3, 4],
    ]
    phrases = Phrases.of(["Pat it", "Bat it", "Cat it"])
    assert phrases.like("Pat it") == ["Bat it"]
    assert phrases.like("Cat it") == []
    assert phrases.told_of_look_alikes() == [*phrases.doubt("Pat it"), *phrases.doubt("Bat it")]
    with caplog.at_level(logging.WARNING):
        phrases.warn_of_look_alikes()
    assert "look alike on the lips: 'Pat it', 'Bat it'" in caplog.text


def test_look_alikes_are_told_once(tmp_path, monkeypatch, caplog):
    pytest.importorskip("pocketsphinx")
    write_clip(tmp_path / "a.mp4", [np.zeros((64, 64), np.uint8)] * 5, [each / 25 for each in range(5)])
    (tmp_path / "mine.txt").write_text("pat it\nbat it\n")
    doubt = Phrases.read(tmp_path / "mine.txt").doubt("pat it")
    what = Transcript.of(Hypothesis("pat it"), {}, calibrated=False, warnings=[*doubt, "another"])
    monkeypatch.setattr("lipsound2.inference.clip_readers.load", lambda *_, **__: ClipReaders(*[lambda clip: what] * 2))
    transcribe(tmp_path / "a.mp4", phrases=tmp_path / "mine.txt")
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert warnings == ["look alike on the lips: 'pat it', 'bat it'", f"{tmp_path / 'a.mp4'}: another"]
