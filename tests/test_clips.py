"""Many clips in one call, and what is told about those that cannot be read, before anything is loaded."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.video_making import write_clip

from lipsound2.audio.io import write_wav
from lipsound2.audio.writing import Spool, audio_suffixes
from lipsound2.cli import main
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.inference.each_clip import each_clip
from lipsound2.media.clips import Clip, find_clips

NAMES = (".mp4", ".mkv")


def told(capsys: pytest.CaptureFixture[str], *words: str | Path, status: int = 1) -> str:
    """The one line a call ends with."""
    assert main([*map(str, words)]) == status
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video without a face."""
    return write_clip(
        tmp_path / "noise.mp4", [np.full((48, 64), 100 + i, np.uint8) for i in range(8)], np.arange(8) / 25
    )


def test_fault_E1_a_folder_given_as_a_clip_is_told(tmp_path, clip, capsys):
    assert "--output-dir" in told(capsys, "speak", tmp_path, "-o", tmp_path / "x.wav")
    (tmp_path / "empty").mkdir()
    line = told(capsys, "speak", tmp_path / "empty", "--output-dir", tmp_path / "o")
    assert "no clips in this folder" in line
    assert "no such file" not in line


def test_fault_H33_several_clips_for_one_file_an_address_and_standard_input_are_told(
    tmp_path, clip, capsys, monkeypatch
):
    assert "--output-dir" in told(capsys, "speak", clip, clip, "-o", tmp_path / "x.wav")
    assert "https://example.org/a.mp4: looks" in told(
        capsys, "speak", "https://example.org/a.mp4", "-o", tmp_path / "x.wav"
    )
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    assert "standard input" in told(capsys, "speak", "-", "-o", tmp_path / "x.wav")
    assert "standard input" in told(capsys, "transcribe", "-")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "no regular file" in told(capsys, "speak", tmp_path / "pipe.mp4", "-o", tmp_path / "x.wav")


def test_fault_E10_standard_output_gets_no_file_and_no_terminal_is_garbled(tmp_path, clip, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["speak", str(clip), "-o", "-"]) == 2
    assert "-o -: standard output is a terminal, which audio would garble" in capsys.readouterr().err
    assert not Path("-").exists()


def test_fault_H35_a_file_whose_name_begins_with_a_dash_is_told_how_to_give(tmp_path, clip, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clip.rename("-dash.mp4")
    with pytest.raises(SystemExit, match="2"):
        main(["speak", "-dash.mp4", "-o", "x.wav"])
    assert "write ./-dash.mp4" in capsys.readouterr().err


def test_fault_A1_files_beside_a_clip_are_not_written_over(tmp_path, clip, capsys):
    (tmp_path / "noise.txt").write_text("what was really said")
    write_wav(tmp_path / "noise.wav", np.ones(1600, np.float32) / 2)
    (tmp_path / "noise.srt").write_text("a film's own")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path.parent / f"{tmp_path.name}-link").symlink_to(tmp_path)
    for words in (
        ("speak", clip, "--output-dir", tmp_path),
        ("transcribe", clip, "--output-dir", tmp_path),
        ("transcribe", tmp_path, "--srt", tmp_path.parent / f"{tmp_path.name}-link"),
    ):
        if words[1] == tmp_path:
            (tmp_path / "noise.wav").unlink()  # else names are told apart by their suffixes
        assert "lies beside" in told(capsys, *words)
    assert all(path.read_bytes() == content for path, content in before.items() if path.exists())
    assert "ends in .srt" in told(capsys, "transcribe", clip, "--srt", tmp_path / "other.mp4")


def test_fault_A1_clips_of_one_name_in_one_folder_do_not_share_a_file(tmp_path, clip, capsys):
    (folder := tmp_path / "d/x").mkdir(parents=True)
    one, other = folder / "a.mp4", folder / "a.mkv"
    for path in (one, other):
        path.write_bytes(clip.read_bytes())
    for verb, suffix in (("speak", ""), ("transcribe", "--srt"), ("transcribe", "--txt")):
        line = told(capsys, verb, one, folder.parent, *([suffix] if suffix else []))
        assert f"would be made of {one} and of {other}; give a folder for all: --output-dir DIR" in line
    assert sorted(path.name for path in folder.iterdir()) == ["a.mkv", "a.mp4"]


def test_fault_A1_an_empty_name_is_not_this_folder(tmp_path, clip, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (("speak", str(clip), "--output-dir", ""), ("speak", "", "-o", "x.wav"), ("prepare", "own", "", "d")):
        with pytest.raises(SystemExit, match="2"):
            main([*words])
        assert "found an empty name" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["speak", str(clip), "-o", "x.wav", "--onnx", ","])
    assert "found ','" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == [clip]


def test_fault_D4_mistakes_are_told_before_torch_is_there(tmp_path, clip):
    (tmp_path / "a.txt").write_text("no video")
    write_wav(tmp_path / "a.wav", np.ones(1600, np.float32) / 2)
    program = (
        "import sys; from lipsound2.cli import main; status = main(sys.argv[1:]); "
        "print(status, 'torch' in sys.modules, 'ai_edge_litert' in sys.modules, 'scipy.signal' in sys.modules)"
    )
    out = str(tmp_path / "o.wav")
    for words, status, message in (
        (["speak", str(tmp_path / "noize.mp4"), "-o", out], 1, "did you mean"),
        (["speak", str(clip), "-o", out, "--output-dir", str(tmp_path / "d")], 2, "either -o FILE or --output-dir"),
        (["speak", str(tmp_path / "a.txt"), "-o", out], 1, "unreadable"),
        (["speak", str(tmp_path / "a.wav"), "-o", out], 1, "no-video"),
        (["speak", str(clip), "-o", str(clip)], 1, "noise.mp4"),
        (["speak", str(clip), "-o", str(tmp_path / "a.txt" / "x.wav")], 1, "cannot write"),
        (["speak", str(clip), "-o", out, "--video", str(tmp_path / "x.gif")], 1, "expected a file name that ends in"),
        (["transcribe", str(tmp_path / "noize.mp4")], 1, "no such file"),
    ):
        begun = time.process_time()
        done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
        assert done.stdout.split() == [str(status), "False", "False", "False"], done.stderr
        assert message in done.stderr
        assert time.process_time() - begun < 1


@pytest.mark.parametrize("name", ["x.webm", "x.avi", "x.gif", "x.wav", "x"])
def test_fault_H27_the_suffix_of_a_video_is_looked_at_first(tmp_path, clip, capsys, name):
    line = told(capsys, "speak", clip, "-o", tmp_path / "o.wav", "--video", tmp_path / name)
    assert f"{tmp_path / name}: expected a file name that ends in one of .mp4," in line
    assert list(tmp_path.iterdir()) == [clip]


def test_fault_A18_the_suffix_says_what_is_written(tmp_path, clip, capsys):
    assert audio_suffixes() == (".wav", ".flac", ".ogg", ".mp3")
    wave = 0.4 * np.sin(np.arange(40_000) / 5)
    for suffix, kind in zip(audio_suffixes(), ("WAV", "FLAC", "OGG", "MP3"), strict=True):
        with Spool(16000) as spool:
            for block in np.array_split(wave, 7):
                spool.add(block)
            spool.write(tmp_path / f"x{suffix}")
        info = soundfile.info(tmp_path / f"x{suffix}")
        assert (info.format, info.samplerate, info.channels) == (kind, 16000, 1)
        found, _ = soundfile.read(tmp_path / f"x{suffix}")
        assert abs(len(found) - len(wave)) < 3000
        assert np.abs(found).max() == pytest.approx(0.4, abs=0.05)
    assert "ends in one of .wav, .flac, .ogg, .mp3" in told(capsys, "speak", clip, "-o", tmp_path / "x.aiff")


def test_what_is_too_loud_is_turned_down_as_a_whole(tmp_path):
    with Spool(16000) as spool:
        spool.add(np.full(100, 0.5))
        spool.add(np.full(100, -2.0))
        spool.write(tmp_path / "a.wav")
        with pytest.raises(LipsoundError, match="1 samples of the speech are not finite"):
            spool.add(np.array([np.nan, 1]))
    assert soundfile.read(tmp_path / "a.wav")[0][[0, 150]] == pytest.approx([0.25, -1], abs=1e-4)


def test_fault_D4_folders_are_searched_and_names_are_told_apart(tmp_path):
    for name in ("a/x.mp4", "b/x.mp4", "b/y.MP4", "b/y.mkv", "b/.hidden.mp4", "b/z.txt", "c/deep/q.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "c" / "loop").symlink_to(tmp_path)
    found = find_clips([tmp_path], NAMES)
    assert [clip.name for clip in found] == ["a/x", "b/x", "b/y.MP4", "b/y.mkv", "c/deep/q"]
    assert found[2].out(Path("out"), ".wav") == Path("out/b/y.MP4.wav")
    twice = find_clips([tmp_path / "a/x.mp4", tmp_path / "a", tmp_path / "c"], NAMES)
    assert [clip.name for clip in twice][:1] == ["x"]
    assert sum(clip.path.name == "x.mp4" and clip.path.parent.name == "a" for clip in twice) == 1
    with pytest.raises(LipsoundError, match=r"would have one name, 'x.mp4'; give the folder above them"):
        find_clips([tmp_path / "a/x.mp4", tmp_path / "b/x.mp4"], NAMES)
    with pytest.raises(LipsoundError, match="no clips in this folder"):
        find_clips([tmp_path / "b"], [".avi"])


def test_fault_D4_a_bad_clip_does_not_end_the_others(capsys):
    def work(clip: Clip) -> str:
        if clip.name == "b":
            raise ClipFailure("no-face", "none")
        if clip.name == "c":
            raise ValueError("a bug")
        return f"{clip.name} was done"

    clips = [Clip(Path(f"{name}.mp4"), name) for name in "abcd"]
    assert each_clip(clips, work, "speak") == 1
    shown = capsys.readouterr()
    assert "a was done" in shown.out
    assert "d was done" in shown.out
    assert (
        "done     2 of 4 clips, failed:\n         b.mp4: no-face: none\n         c.mp4: ValueError: a bug" in shown.err
    )
    assert each_clip(clips[:1], work, "speak") == 0
    with pytest.raises(OSError, match="full"):
        each_clip(clips, lambda clip: (_ for _ in ()).throw(OSError(28, "full")), "speak")


def test_fault_D4_results_alone_are_on_standard_output(tmp_path, capsys):
    pytest.importorskip("pocketsphinx")
    rng = np.random.default_rng(0)
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", rng.normal(0, 0.1, 16000).astype(np.float32), 16000)
    soundfile.write(tmp_path / "c.wav", np.zeros(0, np.float32), 16000)
    assert main(["transcribe", str(tmp_path), "--asr", "pocketsphinx:grid", "--json"]) == 1
    shown = capsys.readouterr()
    told = [json.loads(line) for line in shown.out.splitlines()]
    assert [Path(each["clip"]).name for each in told] == ["a.wav", "b.wav"]
    summary = shown.err.partition("done     2 of 3 clips, failed:")[2]
    assert summary.count("c.wav") == 1


def test_fault_D4_subtitles_of_several_clips_are_a_folder(tmp_path, capsys):
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", np.full(16000, 0.1, np.float32), 16000)
    assert main(["transcribe", str(tmp_path), "--srt", str(tmp_path / "all.srt")]) == 1
    assert "is one file, for one clip; for several clips give a folder: --srt DIR" in capsys.readouterr().err
    assert main(["transcribe", str(tmp_path / "a.wav"), "--srt", str(tmp_path / "a.txt")]) == 1
    assert "expected a file name that ends in .srt, found '.txt'" in capsys.readouterr().err
    assert not (tmp_path / "all.srt").exists()


@pytest.mark.real
def test_fault_D4_real_clips_are_spoken_in_one_call(grid, tmp_path, capsys):
    pytest.importorskip("ai_edge_litert")
    one, two = sorted((grid / "s1").glob("*.mp4"))[:2]
    (tmp_path / "bad.mp4").write_text("no video")
    out = tmp_path / "out"
    words = ["speak", one, tmp_path / "bad.mp4", two, "--vocoder", "griffin-lim:2", "--format", "flac"]
    assert main([*map(str, words), "--output-dir", str(out), "--video", str(out / "seen")]) == 1
    shown = capsys.readouterr()
    assert "done     2 of 3 clips, failed:" in shown.err
    assert "\r" not in shown.err, "no progress bar in a file"
    for clip in (one, two):
        assert soundfile.info(out / f"{clip.stem}.flac").frames == 48000
        assert (out / "seen" / f"{clip.stem}.mp4").stat().st_size > 1000
    assert main(["transcribe", str(one), str(two), "--audio", "--output-dir", str(out), "--srt", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{one}\t")
    assert len((out / f"{two.stem}.txt").read_text().split()) == 6
    assert "-->" in (out / f"{two.stem}.srt").read_text()
