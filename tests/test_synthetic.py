"""Generated talking faces: audio as the alignment says, mouths as the audio says, files as GRID's."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.signal import lfilter

from lipsound2 import corpora
from lipsound2.corpora.grid import scan
from lipsound2.corpora.sentences import read_align
from lipsound2.errors import LipsoundError
from lipsound2.files import sha256
from lipsound2.synthetic.appearance import APPEARANCES, appearance_of
from lipsound2.synthetic.articulation import Articulation, articulate, measure
from lipsound2.synthetic.clip import ClipFormat, write_clip
from lipsound2.synthetic.corpus import _make_all, generate
from lipsound2.synthetic.face import Motion, TalkingFace, motion
from lipsound2.synthetic.speech import VOICES, Voice, say
from lipsound2.video.face_networks import Window, faces, mesh, window_of

RATE = 16000


def vowel(f1: float, f2: float, seconds: float = 0.6) -> np.ndarray:
    """A buzz of 110 Hz through three resonances."""
    waveform = np.zeros(int(seconds * RATE))
    waveform[:: RATE // 110] = 1.0
    for frequency in (f1, f2, 2900.0):
        radius, angle = np.exp(-np.pi * 80 / RATE), 2 * np.pi * frequency / RATE
        waveform = lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], waveform)
    return waveform / np.abs(waveform).max() / 2


def still(video_frames: int) -> Motion:
    return Motion(np.zeros((video_frames, 2)), np.zeros(video_frames), np.ones(video_frames))


def mouths(*openings: float, width: float = 0.0) -> Articulation:
    opening = np.array(openings, np.float32)
    zero = np.zeros_like(opening)
    return Articulation(opening, zero + width, zero, zero + 0.5, zero)


@pytest.mark.parametrize(("f1", "f2"), [(300, 2300), (730, 1100), (500, 1500), (400, 1200)])
def test_formants_are_heard(f1: float, f2: float) -> None:
    heard = measure(vowel(f1, f2), RATE)
    middle = slice(20, 40)
    assert np.median(heard.f1[middle]) == pytest.approx(f1, abs=90)
    assert np.median(heard.f2[middle]) == pytest.approx(f2, abs=250)
    assert heard.hiss[middle].max() < 0.05


def test_the_mouth_follows_energy_formants_and_hiss() -> None:
    hiss = lfilter([1, -1], [1], np.random.default_rng(0).normal(size=int(0.6 * RATE))) * 0.05
    silence = np.zeros(int(0.6 * RATE))
    waveform = np.concatenate([silence, vowel(730, 1200), vowel(300, 2300), vowel(330, 900), hiss, silence])
    drawn = articulate(waveform, RATE, 90)
    assert len(drawn) == 90
    quiet, ah, ee, oo, ss, end = (slice(15 * part + 4, 15 * part + 11) for part in range(6))
    assert drawn.opening[quiet].max() < 0.02
    assert drawn.opening[end].max() < 0.02
    assert drawn.opening[ah].min() > 0.7
    assert 0.1 < drawn.opening[ee].mean() < 0.5
    assert drawn.width[ee].min() > 0.5
    assert drawn.width[oo].max() < -0.5
    assert drawn.teeth[ss].min() > 0.8
    assert drawn.teeth[ah].max() < 0.1
    louder = articulate(np.concatenate([vowel(500, 1500) * 0.05, vowel(500, 1500)]), RATE, 30)
    assert louder.opening[20:28].mean() > 1.5 * louder.opening[4:12].mean()


def test_speech_is_the_same_in_any_order_and_its_words_lie_where_it_says() -> None:
    words = ["set", "blue", "with", "a", "seven", "please"]
    first = say(words, VOICES[0])
    other = say(words, VOICES[1])
    again = say(words, VOICES[0])
    assert np.array_equal(first.waveform, again.waveform)
    assert len(first.waveform) != len(other.waveform)
    assert [word for _, _, word in first.words] == words
    edges = [first.words[0][0], *(end for _, end, _ in first.words)]
    assert all(a < b for a, b in itertools.pairwise(edges))
    assert edges[-1] <= len(first.waveform) / first.rate
    heard = measure(first.waveform, first.rate)

    hisses = [heard.hiss[round(start * 100) :][:7].mean() > 0.4 for start, _, _ in first.words]
    assert hisses == [True, False, False, False, True, False]  # set and seven begin with an s
    assert say(words, VOICES[0], pace=1.4).words[-1][1] < 0.85 * edges[-1]


def test_the_letter_a_is_no_article() -> None:
    heard = [measure(say(["by", letter, "two"], VOICES[1]).waveform, 22050) for letter in ("a", "uh")]
    assert heard[0].f2.max() > 2000 > np.median(heard[1].f2)


def test_missing_packages_and_voices_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LipsoundError, match="knows no voice 'xx-nothing'"):
        say(["bin"], Voice("xx-nothing"))
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(LipsoundError, match="--extras mini"):
        say(["bin"], VOICES[0])


@pytest.mark.parametrize(("width", "height"), [(360, 288), (720, 576), (128, 128)])
def test_only_the_lower_face_moves_with_the_mouth(width: int, height: int) -> None:
    face = TalkingFace(APPEARANCES[0], width, height)
    shut, ajar, wide = (video_frame.astype(int) for video_frame in face.frames(mouths(0, 0.3, 1), still(3)))
    assert shut.shape == (height, width, 3)
    moved = np.abs(wide - shut).max(2) > 8
    rows, columns = np.nonzero(moved)
    assert 0.55 * height < rows.min()
    assert np.abs(columns - width / 2).max() < 0.25 * height
    assert np.abs(wide - shut).sum() > 1.5 * np.abs(ajar - shut).sum() > 0
    (round_one,) = face.frames(mouths(0.5, width=-1), still(1))
    (spread,) = face.frames(mouths(0.5, width=1), still(1))
    assert not np.array_equal(round_one, spread)


def test_movements() -> None:
    drawn = motion(mouths(*[0.3] * 250), np.random.default_rng(0))
    assert 0.3 < np.abs(drawn.roll).max() < 8
    assert np.abs(np.diff(drawn.sway, axis=0)).max() < 0.01


def test_looks_differ() -> None:
    first, second, third, again = (
        next(TalkingFace(appearance_of(index), 90, 72).frames(mouths(0), still(1))).astype(int)
        for index in (0, 1, 2, 2)
    )
    assert np.abs(first - second).mean() > 20
    assert np.abs(second - third).mean() > 10
    assert np.array_equal(third, again)


def read(path: Path) -> tuple[list[float], np.ndarray, float, int]:
    """Times of the video frames, the audio, its start and its rate."""
    with av.open(str(path)) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        waveform = np.concatenate([frame.to_ndarray().astype(float).mean(0) for frame in frames])
        return times, waveform, float(frames[0].pts * frames[0].time_base), frames[0].sample_rate


@pytest.mark.parametrize(
    "form",
    [
        ClipFormat(width=90, height=72),
        ClipFormat(width=96, height=64, fps=30.0, sample_rate=48000, audio_codec="mp2"),
        ClipFormat(width=96, height=64, video_codec="mpeg1video", audio_codec="mp2", suffix=".mpg"),
    ],
)
def test_clips_are_whole_in_step_and_the_same_bytes(tmp_path: Path, form: ClipFormat) -> None:
    rng = np.random.default_rng(0)
    seconds = 2
    video_frames = [
        np.full((form.height, form.width, 3), value, np.uint8)
        for value in rng.integers(0, 255, int(form.fps * seconds))
    ]
    waveform = np.zeros(form.sample_rate * seconds, np.float32)
    waveform[form.sample_rate :][:400] = 0.8 * np.sin(np.arange(400) * 0.3)
    paths = [tmp_path / f"{name}{form.suffix}" for name in ("a", "b")]
    for path in paths:
        write_clip(path, video_frames, waveform, form)
    assert sha256(paths[0]) == sha256(paths[1])
    times, heard, start, rate = read(paths[0])
    assert len(times) == len(video_frames)
    assert times[-1] - times[0] == pytest.approx((len(video_frames) - 1) / form.fps, abs=2e-3)
    assert rate == form.sample_rate
    pulse = np.abs(np.correlate(heard, waveform[form.sample_rate :][:400])).argmax() / rate + start - times[0]
    assert pulse == pytest.approx(1.0, abs=0.002)


@pytest.mark.slow
def test_a_generated_corpus_is_grid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "corpus"
    generate(root, clips=2, nj=1)
    before = {path: sha256(path) for path in root.glob("s*/*.mp4")}
    assert len(before) == 2
    victim = sorted(before)[0]
    victim.unlink()
    (victim.parent / ".bbaf2n.1.tmp.mp4").touch()
    generate(root, clips=4, nj=2)
    assert "4 clips of 2 speakers, 3 made" in capsys.readouterr().out
    now = {path: sha256(path) for path in root.glob("s*/*.mp4")}
    assert before.items() <= now.items()
    assert len(now) == 4
    assert not list(root.glob("s*/.*"))
    generate(root, clips=4)
    assert "done, skipped" in capsys.readouterr().out
    with pytest.raises(LipsoundError, match=r"made with other options \(seed\)"):
        generate(root, clips=4, seed=1)

    found = scan(root)
    assert [bool(clip.words) for clip in found.by_id.values()] == [True] * 4
    assert found.problems == []
    for path in now:
        times, waveform, start, rate = read(path)
        assert len(times) == 75
        assert times[-1] == pytest.approx(2.96, abs=1e-3)
        assert rate == 44100
        assert abs(len(waveform) / rate - 3) < 0.03
        rows = read_align((root / "align" / path.parent.name / f"{path.stem}.align").read_text())
        assert len(rows) == 8
        energy = measure(waveform, rate).energy
        first, last = rows[1][0], rows[-2][1]
        assert energy[: round((first - start) * 100) - 5].max() < -25
        assert energy[round((first - start) * 100) :][:40].max() > -10
        assert energy[round((last - start) * 100) + 8 :].max() < -25
    corpora.prepare("mini", root, tmp_path / "data", protocol="mini")
    assert sum(1 for _ in (tmp_path / "data" / "all" / "video.scp").open()) == 4


@pytest.mark.slow
def test_a_detector_finds_the_face_and_the_mouth_moves_with_the_audio(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    generate(tmp_path, clips=2, seed=3, nj=1)
    paths = sorted(tmp_path.glob("s*/*.mp4"))
    assert len(paths) == 2
    for path in paths:
        openings = []
        window: Window | None = None
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                rgb = frame.to_ndarray(format="rgb24")
                points = mesh(rgb, window or faces(rgb)[0].window)
                assert points is not None, f"no face in {path.name} at {frame.time}"
                window = window_of(points)
                lips, eyes = np.linalg.norm(points[13] - points[14]), np.linalg.norm(points[33] - points[263])
                openings.append(lips / eyes)
        _, waveform, _, rate = read(path)
        wanted = articulate(waveform, rate, len(openings))
        assert np.corrcoef(openings, wanted.opening)[0, 1] > 0.85
        assert np.corrcoef(openings, wanted.energy)[0, 1] > 0.5
        assert np.ptp(openings) > 0.1


def test_a_folder_without_clips_is_not_held_to_options_that_made_none(tmp_path: Path) -> None:
    for voices in (("xx-nothing",), ("yy-nothing",)):
        with pytest.raises(LipsoundError, match=f"knows no voice '{voices[0]}'"):
            generate(tmp_path / "corpus", clips=1, speakers=1, voices=voices)
    assert not (tmp_path / "corpus").exists()


def die(*_: str) -> None:
    os._exit(9)


def test_numbers_that_cannot_be_and_killed_workers(tmp_path: Path) -> None:
    for options in ({"clips": 1}, {"speakers": 21}, {"nj": 0}, {"looks": (1, 2, 3)}, {"voices": ("en-us",)}):
        with pytest.raises(LipsoundError):
            generate(tmp_path, **options)  # type: ignore[arg-type]
    with pytest.raises(LipsoundError, match="worker was killed"):
        _make_all([("s1", "bbaf2n"), ("s1", "bbaf3n")], die, 2)
