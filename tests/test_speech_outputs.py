"""Where `speak` writes: beside the clip, into folders, to standard output; nothing is replaced unasked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from helpers.video_making import write_clip

from lipsound2.cli import main
from lipsound2.errors import LipsoundError, UsageError
from lipsound2.inference.speech_outputs import PlannedSpeech, SpeechPlaces, targets
from lipsound2.media.standard_streams import STANDARD


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    frames = [np.full((48, 64), 60 + i, np.uint8) for i in range(12)]
    return write_clip(tmp_path / "clip.mp4", frames, [i / 25 for i in range(12)])


def plan(*given: Path, **asked: object) -> list[PlannedSpeech]:
    options = {"output": None, "output_dir": None, "suffix": ".wav", "video": None, "subtitles": False}
    return targets(given, SpeechPlaces(**{**options, **asked}))  # type: ignore[arg-type]


def names(found: list[PlannedSpeech]) -> list[tuple[str, str | None]]:
    return [(str(each.speech), None if each.video is None else str(each.video)) for each in found]


def test_speech_lies_beside_the_clip_unless_told_otherwise(tmp_path, clip):
    out, other = tmp_path / "out", tmp_path / "x.flac"
    assert names(plan(clip)) == [(str(tmp_path / "clip.wav"), None)]
    assert names(plan(clip, suffix=".mp3")) == [(str(tmp_path / "clip.mp3"), None)]
    assert names(plan(clip, output=other)) == [(str(other), None)]
    assert names(plan(clip, output_dir=out)) == [(str(out / "clip.wav"), None)]
    assert names(plan(clip, output=STANDARD)) == [("-", None)]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "clip.mp4").write_bytes(clip.read_bytes())
    (tmp_path / "deep" / "clip.mov").write_bytes(clip.read_bytes())
    beside = [tmp_path / "clip.wav", tmp_path / "deep/clip.mov.wav", tmp_path / "deep/clip.mp4.wav"]
    assert [each.speech for each in plan(tmp_path)] == beside


def test_videos_have_names_of_their_own(tmp_path, clip):
    out = tmp_path / "out"
    out.mkdir()
    assert plan(clip, video=out / "x.mkv")[0].video == out / "x.mkv"
    assert plan(clip, video=tmp_path)[0].video == tmp_path / "clip.spoken.mp4"
    assert plan(clip, subtitles=True)[0].video == tmp_path / "clip.spoken.mp4"
    assert plan(clip, output=out / "a.wav", subtitles=True)[0].video == out / "clip.spoken.mp4"
    assert plan(clip, output_dir=out, video=out)[0].video == out / "clip.mp4"
    assert plan(clip, output_dir=out, subtitles=True)[0].video == out / "clip.spoken.mp4"
    with pytest.raises(UsageError, match="--subtitles are put into a video; say into which: --video"):
        plan(clip, output=STANDARD, subtitles=True)
    with pytest.raises(LipsoundError, match="is one of the clips"):
        plan(clip, output_dir=out, video=tmp_path)
    with pytest.raises(LipsoundError, match="is one of the clips, which would be lost"):
        plan(clip, output=out / "a.wav", video=clip)
    (tmp_path / "clip.spoken.mp4").write_bytes(clip.read_bytes())
    with pytest.raises(LipsoundError, match="is one of the clips, which would be lost"):
        plan(clip, tmp_path / "clip.spoken.mp4", subtitles=True)


def test_what_lies_beside_a_clip_is_replaced_only_when_it_is_named(tmp_path, clip):
    mine = tmp_path / "clip.wav"
    mine.write_text("my own recording")
    with pytest.raises(
        LipsoundError, match=r"clip.wav: is there already, and may be your own; to replace it, give -o .*clip.wav"
    ):
        plan(clip)
    with pytest.raises(LipsoundError, match=r"is there already, .* give a folder for all: --output-dir DIR"):
        plan(tmp_path)
    assert plan(clip, output=mine)[0].speech == mine
    assert mine.read_text() == "my own recording"


def test_fault_A1_a_video_whose_name_nobody_gave_replaces_nothing(tmp_path, clip):
    (out := tmp_path / "out").mkdir()
    mine = tmp_path / "clip.spoken.mp4"
    for path in (mine, out / "clip.spoken.mp4"):
        path.write_text("my own film")
    (other := tmp_path / "other.mp4").write_bytes(clip.read_bytes())
    told = r"clip.spoken.mp4: is there already, and may be your own; to replace it, give --video .*clip.spoken.mp4"
    for asked in ({"subtitles": True}, {"video": tmp_path}, {"output": out / "a.wav", "subtitles": True}):
        with pytest.raises(LipsoundError, match=told):
            plan(clip, **asked)
    with pytest.raises(LipsoundError, match=r"may be your own; give a folder for all: --output-dir DIR"):
        plan(clip, other, subtitles=True)
    with pytest.raises(LipsoundError, match=r"may be your own; choose another folder"):
        plan(clip, output_dir=tmp_path, subtitles=True)
    assert plan(clip, video=mine)[0].video == mine
    assert plan(clip, output_dir=out, subtitles=True)[0].video == out / "clip.spoken.mp4"
    assert mine.read_text() == "my own film"


def test_two_places_are_told(tmp_path, clip, capsys):
    assert main(["speak", str(clip), "-o", "x.wav", "--output-dir", str(tmp_path)]) == 2
    assert "give either -o FILE or --output-dir DIR" in capsys.readouterr().err
    assert main(["speak", str(clip), "--asr", "grid-s1-parallel"]) == 2
    assert "recognizes the speech for subtitles; give --subtitles too" in capsys.readouterr().err


@pytest.mark.real
def test_a_clip_comes_by_a_pipe_and_its_speech_goes_by_a_pipe(grid, tmp_path):
    pytest.importorskip("mediapipe")
    clip = min((grid / "s1").glob("*.mp4"))
    command = [sys.executable, "-m", "lipsound2", "speak", "--vocoder", "griffin-lim:2"]
    subprocess.run([*command, str(clip), "-o", str(tmp_path / "a.wav")], check=True, capture_output=True)
    done = subprocess.run([*command, "-", "-o", "-"], input=clip.read_bytes(), check=True, capture_output=True)
    assert done.stdout == (tmp_path / "a.wav").read_bytes()
    told = done.stderr.decode()
    assert "speech   standard output: 3.00 s" in told
    assert "\r" not in told, "no progress bar in a pipe"


@pytest.mark.real
def test_subtitles_are_the_words_of_the_speech(grid, tmp_path, capsys):
    pytest.importorskip("mediapipe")
    pytest.importorskip("sentencepiece")
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(min((grid / "s1").glob("*.mp4")).read_bytes())
    assert main(["speak", str(clip), "--vocoder", "griffin-lim:8", "--subtitles", "soft"]) == 0
    assert "clip.wav: 3.00 s; as a video: " in capsys.readouterr().out
    assert main(["transcribe", str(tmp_path / "clip.wav")]) == 0
    heard = capsys.readouterr().out.replace("[", "").replace("?]", "").split()
    assert len(heard) == 6
    with av.open(str(tmp_path / "clip.spoken.mp4")) as container:
        packets = [bytes(packet)[2:].decode() for packet in container.demux(subtitles=0) if packet.size > 2]
    assert " ".join(packets).split() == heard
    assert soundfile.info(tmp_path / "clip.wav").frames == 48000
