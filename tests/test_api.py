"""The Python API on a generated clip: what README shows, what it refuses, threads, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args, get_overloads, get_type_hints

import numpy as np
import pytest
import soundfile
from helpers.face_corpora import talking_clip

import lipsound2
from lipsound2 import api, cli, model_names
from lipsound2.audio.io import load_audio
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.inference.speech import Speech
from lipsound2.inference.synthesizer import Synthesizer
from lipsound2.inference.transcriber import Transcriber
from lipsound2.metrics.speech import measure
from lipsound2.synthetic.clip import ClipFormat
from lipsound2.video.crop import Cropper
from lipsound2.video.decode import read_video


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api") / "clip.mp4"
    talking_clip(path, ["bin", "blue", "at", "f", "two", "now"], form=ClipFormat(sample_rate=16000), seconds=3)
    return path


@pytest.fixture(scope="module")
def frames(clip: Path) -> np.ndarray:
    return read_video(clip)[0]


@pytest.fixture(scope="module")
def model() -> Synthesizer:
    return lipsound2.load("grid-s1-parallel")


@pytest.fixture(scope="module")
def recognizer() -> Transcriber:
    return lipsound2.load("grid-s1-asr")


@pytest.fixture(scope="module")
def speech(model: Synthesizer, clip: Path) -> Speech:
    return model(clip)


def test_a_clip_becomes_speech(speech: Speech, clip: Path) -> None:
    assert (speech.sample_rate, speech.seconds, speech.clip, speech.model) == (16000, 3.0, clip, "grid-s1-parallel")
    assert (speech.waveform.shape, speech.waveform.dtype) == ((48000,), np.float32)
    assert 0.05 < np.abs(speech.waveform).max() <= 1
    assert (speech.mel.shape, speech.mel.dtype) == ((300, 80), np.float32)
    assert np.array_equal(speech.read(1000, 500), speech.waveform[1000:1500])
    video = speech.video
    assert (video.report.num_frames, video.report.faces, video.size, video.fps) == (75, 1, (360, 288), 25.0)
    assert (video.landmarks.shape, video.confidence.shape, video.boxes.shape) == ((75, 68, 2), (75,), (75, 4))
    assert np.abs(np.median(video.boxes, 0) - video.report.box).max() < 3
    assert video.faces is None
    assert "3.00 s" in repr(speech)
    assert "GRID" in speech.knows


def test_the_verb_says_the_same(speech: Speech, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["speak", str(clip), "-o", str(tmp_path / "verb.wav")]) == 0
    speech.save(tmp_path / "api.wav")
    assert (tmp_path / "api.wav").read_bytes() == (tmp_path / "verb.wav").read_bytes()


def test_speech_is_saved_as_its_suffix_says(speech: Speech, tmp_path: Path) -> None:
    for suffix in (".flac", ".mp4"):
        speech.save(str(tmp_path / f"a{suffix}"))
    waveform, rate = soundfile.read(tmp_path / "a.flac")
    assert rate == 16000
    assert np.abs(waveform - speech.waveform).max() < 1e-4
    video, _ = read_video(tmp_path / "a.mp4")
    assert video.shape == (75, 288, 360, 3)
    heard = load_audio(tmp_path / "a.mp4")[:48000]
    assert np.corrcoef(heard, speech.waveform[: len(heard)])[0, 1] > 0.9  # AAC


def test_frames_are_spoken_as_the_file_is(model: Synthesizer, speech: Speech, frames: np.ndarray) -> None:
    spoken = model(frames, fps=25)
    assert spoken.clip is None
    assert np.abs(spoken.mel - speech.mel).mean() < 0.2  # colors were converted to and fro
    # Each frame twice, 50 a second: the same frames on the grid.
    assert np.array_equal(model(np.repeat(frames, 2, 0), fps=50).mel, spoken.mel)
    gray = model(frames[..., 1].copy(), fps=25.0)
    assert gray.mel.shape == spoken.mel.shape


def test_speech_files_and_waveforms_are_recognized(
    recognizer: Transcriber, speech: Speech, clip: Path, tmp_path: Path
) -> None:
    said = recognizer(speech)
    assert said.text
    assert len(said.words) == len(said.text.split())
    assert all(0 <= word.start < word.end <= 3.1 for word in said.words)
    assert [*said.models] == ["grid-s1-parallel", "grid-s1-asr"]
    assert recognizer(speech.waveform, rate=16000).text == said.text
    assert recognizer((speech.waveform * 32767).astype(np.int16), rate=16000).text == said.text
    speech.save(tmp_path / "a.wav")
    from_file = recognizer(tmp_path / "a.wav")
    assert from_file.text == said.text
    assert [*from_file.models] == ["grid-s1-asr"]
    said.save(tmp_path / "a.srt")
    assert said.words[0].text in (tmp_path / "a.srt").read_text()


def test_doubts_about_the_video_reach_speech_and_text(
    model: Synthesizer, recognizer: Transcriber, frames: np.ndarray
) -> None:
    hidden = frames.copy()
    hidden[50:] = 90
    speech = model(hidden, fps=25)
    missing, unlike = speech.warnings
    assert missing == "25 of 75 video frames show no face; what is said there is a guess"
    assert unlike.startswith("this face is unlike those that grid-s1-parallel learned from")  # a generated face
    assert recognizer(speech).warnings == speech.warnings


def test_mouths_and_faces_are_cropped_as_by_the_cropper(clip: Path, frames: np.ndarray) -> None:
    mouths = lipsound2.crop(clip, region="mouth")
    assert (mouths.shape, mouths.dtype) == ((75, 96, 96), np.uint8)
    assert np.array_equal(mouths, Cropper(("mouth",))(clip).regions["mouth"])
    assert lipsound2.crop(frames[:30], "face", fps=25).shape == (30, 112, 112)


def test_vocoders_speak_a_mel(speech: Speech) -> None:
    for name in ("grid-s1-vocos", "griffin-lim:8"):
        vocoder = lipsound2.load(name)
        waveform = vocoder(speech.mel)
        assert (waveform.shape, waveform.dtype, vocoder.sample_rate) == ((48000,), np.float32, 16000)
        assert lipsound2.metrics.estoi(speech.waveform, waveform) > 0.7


def test_metrics_are_those_of_the_tables(speech: Speech, clip: Path) -> None:
    reference = load_audio(clip)
    values = measure(reference, speech.waveform).values
    for name in ("stoi", "estoi", "pesq_nb", "pesq_wb"):
        assert getattr(lipsound2.metrics, name)(reference, speech.waveform) == values[name]
        assert name in dir(lipsound2.metrics)
    estoi = lipsound2.metrics.estoi
    assert "ESTOI" in (estoi.__doc__ or "")
    assert estoi(reference, reference) > 0.999
    assert estoi(reference, np.zeros(48000)) == 0
    with pytest.raises(LipsoundError, match="found 1 of 3 samples not finite"):
        estoi(reference, np.array([0, np.nan, 0]))
    assert estoi(reference[::2], speech.waveform[::2], rate=8000) == pytest.approx(values["estoi"], abs=0.1)


def test_a_metric_of_speech_alone(speech: Speech) -> None:
    pytest.importorskip("speechmos")
    assert 1 <= lipsound2.metrics.dnsmos(speech.waveform) <= 5
    assert callable(lipsound2.metrics.dnsmos)  # what it imports took no place of its name


def test_a_metric_of_video_and_an_unknown_one_are_told() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'lse_c'; it looks at the video too, see lipsound2 score"):
        lipsound2.metrics.lse_c  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'wer_of'; functions: stoi, estoi"):
        lipsound2.metrics.wer_of  # noqa: B018


BAD_FRAMES = {
    "no clock; give its rate": lambda frames: {"clip": frames},
    "fps: found nan": lambda frames: {"clip": frames, "fps": float("nan")},
    "fps: found 0, wanted": lambda frames: {"clip": frames, "fps": 0},
    "fps: found 0.5, wanted frames a second, 1 to 1000": lambda frames: {"clip": frames, "fps": 0.5},
    "fps: found 1001": lambda frames: {"clip": frames, "fps": 1001},
    "fps: found -25": lambda frames: {"clip": frames, "fps": -25.0},
    "fps: found inf": lambda frames: {"clip": frames, "fps": float("inf")},
    "fps: found '25'": lambda frames: {"clip": frames, "fps": "25"},
    "fps: found True": lambda frames: {"clip": frames, "fps": True},
    r"empty array of shape \(0, 288": lambda frames: {"clip": frames[:0], "fps": 25},
    r"empty array of shape \(75, 0": lambda frames: {"clip": frames[:, :0], "fps": 25},
    "values of type float64": lambda frames: {"clip": frames.astype(float), "fps": 25},
    "which is one frame in color": lambda frames: {"clip": frames[0], "fps": 25},
    r"shape \(288, 360\)": lambda frames: {"clip": frames[0, ..., 0], "fps": 25},
    r"shape \(75, 288, 360, 1\)": lambda frames: {"clip": frames[..., :1], "fps": 25},
    "an object of type list": lambda frames: {"clip": [*frames], "fps": 25},
    "an object of type NoneType": lambda frames: {"clip": None},
    "an empty name": lambda frames: {"clip": ""},
    "is a file and has its own clock": lambda frames: {"clip": "a.mp4", "fps": 25},
}


@pytest.mark.parametrize("told", BAD_FRAMES)
def test_what_is_no_clip_is_told_in_one_line(model: Synthesizer, frames: np.ndarray, told: str) -> None:
    given = BAD_FRAMES[told](frames)
    for function in (model, lipsound2.crop):
        with pytest.raises(LipsoundError, match=told) as error:
            function(**given)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["grid-s1-parallel", "grid-s1-vsr"])
def test_what_are_no_landmarks_is_told_in_one_line(name: str, clip: Path) -> None:
    loaded = lipsound2.load(name)
    for landmarks, found in (([1], "list"), (np.array([["a"] * 137] * 75), "values of type <U1")):
        with pytest.raises(LipsoundError, match=rf"landmarks: found {found}, wanted \(T, 137\) float32"):
            loaded(clip, landmarks=landmarks)
    with pytest.raises(ClipFailure, match=r"landmarks: expected \(75, 137\)"):
        loaded(clip, landmarks=np.ones(1))


def test_clips_that_cannot_be_used_are_verdicts(
    model: Synthesizer, recognizer: Transcriber, frames: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(ClipFailure, match="too-short: 2 frames at 25 a second"):
        model(frames[:4], fps=50)
    with pytest.raises(ClipFailure, match="no-face"):
        model(np.zeros((30, 100, 100), np.uint8), fps=25)
    with pytest.raises(ClipFailure, match=r"unreadable: .*nowhere\.mp4: no such file"):
        model(tmp_path / "nowhere.mp4")
    talking_clip(tmp_path / "silent.mp4", ["bin"], silent=True)
    with pytest.raises(ClipFailure, match=r"no-audio: .*; grid-s1-asr recognizes audio, not lips"):
        recognizer(tmp_path / "silent.mp4")


@pytest.mark.parametrize(
    ("told", "given"),
    [
        ("give its rate, samples a second", {"clip": np.ones(16000)}),
        ("rate: found 0", {"clip": np.ones(16000), "rate": 0}),
        ("rate: found nan", {"clip": np.ones(16000), "rate": float("nan")}),
        (r"waveform: found an array of shape \(2, 8000\)", {"clip": np.ones((2, 8000)), "rate": 16000}),
        ("waveform: found values of type int64", {"clip": np.ones(8000, int), "rate": 16000}),
        ("waveform: found no samples", {"clip": np.ones(0), "rate": 16000}),
        ("fps is of frames", {"clip": np.ones(16000), "fps": 25}),
        ("rate: is for waveforms", {"clip": "a.wav", "rate": 16000}),
        ("an object of type NoneType", {"clip": None}),
    ],
)
def test_what_is_no_audio_is_told_in_one_line(recognizer: Transcriber, told: str, given: dict) -> None:
    with pytest.raises(LipsoundError, match=told):
        recognizer(**given)


@pytest.mark.parametrize(
    ("told", "name", "options"),
    [
        ("nothing: no experiment or pack .* models that ship .* grid-s1-asr", "nothing", {}),
        ("device: found 'gpu', wanted cpu, cuda", "grid-s1-parallel", {"device": "gpu"}),
        ("unknown vocoder 'wavenet'", "grid-s1-parallel", {"vocoder": "wavenet"}),
        ("unknown detector 'eyes'", "grid-s1-parallel", {"detector": "eyes"}),
        ("unknown choice of face 'my'", "grid-s1-parallel", {"face": "my"}),
        ("is a recognizer of audio, which has no vocoder", "grid-s1-asr", {"vocoder": "grid-s1-vocos"}),
        ("is a recognizer, which has no vocoder", "grid-s1-vsr", {"vocoder": "grid-s1-vocos"}),
        ("is a recognizer of audio, which has no face", "grid-s1-asr", {"face": "my"}),
        ("is a recognizer of audio, which has no detector", "pocketsphinx:grid", {"detector": "dlib"}),
        ("is a recognizer of audio, which has no asd", "grid-s1-asr", {"asd": "nothing.model"}),
        ("precision: found 'fp16', wanted one of: auto, fp32, bf16, int8", "grid-s1-asr", {"precision": "fp16"}),
        ("is a vocoder, which has no face", "grid-s1-vocos", {"face": "left"}),
        ("search: found an object of type dict, wanted lipsound2.SearchOpt", "grid-s1-asr", {"search": {"beam": 4}}),
        (
            "is a lip-to-speech model, which has no search",
            "grid-s1-parallel",
            {"search": lipsound2.SearchOptions(beam=4)},
        ),
        ("wisper:base: no experiment or pack", "wisper:base", {}),
    ],
)
def test_names_and_options_that_do_not_fit_are_told(told: str, name: str, options: dict) -> None:
    with pytest.raises(LipsoundError, match=told):
        lipsound2.load(name, **options)


def test_search_options_are_used(speech: Speech, recognizer: Transcriber) -> None:
    grid = lipsound2.load("grid-s1-asr", search=lipsound2.SearchOptions(grammar="grid"))
    assert len(grid(speech).text.split()) == 6


def test_threads_take_turns_and_get_their_own_clip(
    model: Synthesizer, recognizer: Transcriber, frames: np.ndarray
) -> None:
    cuts = [frames[:75], frames[5:60], frames[20:75], frames[:40]]

    def work(cut: np.ndarray) -> tuple[np.ndarray, str, np.ndarray]:
        speech = model(cut, fps=25)
        return speech.waveform, recognizer(speech).text, lipsound2.crop(cut, fps=25)

    alone = [work(cut) for cut in cuts]
    with ThreadPoolExecutor(4) as pool:
        together = [*pool.map(work, cuts * 2)]
    for (waveform, text, mouths), (wanted, said, cropped) in zip(together, alone * 2, strict=True):
        assert np.array_equal(waveform, wanted)
        assert text == said
        assert np.array_equal(mouths, cropped)


def test_one_speech_and_one_vocoder_serve_several_threads(recognizer: Transcriber, speech: Speech) -> None:
    vocoder = lipsound2.load("grid-s1-vocos")
    waveform, text, again = speech.waveform, recognizer(speech).text, vocoder(speech.mel)

    def work(number: int) -> bool:
        part = np.array_equal(speech.read(480 * number, 4800), waveform[480 * number : 480 * number + 4800])
        whole = np.array_equal(speech.waveform, waveform) and recognizer(speech).text == text
        return part and whole and np.array_equal(vocoder(speech.mel), again)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(16)))


def test_importing_is_light_and_leaving_is_quiet(clip: Path, tmp_path: Path) -> None:
    script = f"""
        import sys
        import lipsound2
        assert "load" in dir(lipsound2)
        heavy = {{"numpy", "torch", "cv2", "av", "scipy"}} & {{*sys.modules}}
        assert not heavy, heavy
        speech = lipsound2.load("grid-s1-parallel")({str(clip)!r})
        speech.save({str(tmp_path / "a.wav")!r})
        print(lipsound2.crop({str(clip)!r}).shape, lipsound2.load("grid-s1-asr")(speech).text)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert run.stdout.startswith("(75, 96, 96) ")
    assert run.stderr == ""
    assert soundfile.info(tmp_path / "a.wav").frames == 48000


def test_type_checkers_know_every_model_that_ships() -> None:
    """`load` has an overload for each, so that `load("grid-s1-asr")(speech).text` is typed."""
    named = {
        name
        for overload in get_overloads(api.load)
        for name in get_args(get_type_hints(overload, {**vars(api), **_returned()})["name"])
        if isinstance(name, str)
    }
    assert named == {path.parent.name for path in model_names.PRETRAINED.glob("*/config.yaml")}


def _returned() -> dict[str, object]:
    from lipsound2.inference.vocoders import LoadedVocoder

    return {"Transcriber": Transcriber, "LoadedVocoder": LoadedVocoder}
