"""Files of a transcript: subtitles read again by ffmpeg, JSON, and what they say of origin and doubt."""

from __future__ import annotations

import json
import math
from pathlib import Path

import av
import pytest

from lipsound2.decoding.hypothesis import DOUBTFUL, Alternative, Hypothesis, Word, is_doubtful, marked
from lipsound2.decoding.subtitles import as_srt
from lipsound2.errors import LipsoundError
from lipsound2.inference.transcript import FORMATS, Transcript

WORDS = [Word("bin", 0.5, 0.7, 0.99), Word("<b>&", 0.8, 1.0, 0.2), Word("-->", 61.5, 61.75, None)]
MADE = Transcript(
    "bin <b>& -->",
    WORDS,
    -1.0,
    0.6,
    [Alternative("bin blue now", 0.3), Alternative("bin now", 0.05)],
    models={"lips": "one voice --->\n\nand no other", "asr": ""},
    warnings=["the face is small"],
)


def read_again(path: Path) -> list[tuple[float, float, str]]:
    """Start, end and text of every subtitle, as ffmpeg reads them."""
    found = []
    with av.open(str(path)) as container:
        (stream,) = container.streams.subtitles
        assert stream.time_base is not None
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                start, length = (float(ticks * stream.time_base) for ticks in (packet.pts, packet.duration))
                found.append((start, start + length, bytes(packet).decode()))
    return found


@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_subtitles_are_read_by_ffmpeg_with_their_times(tmp_path, suffix):
    MADE.save(tmp_path / f"a{suffix}")
    (first, second) = read_again(tmp_path / f"a{suffix}")
    assert first[:2] == pytest.approx((0.5, 1.0))
    assert second[:2] == pytest.approx((61.5, 61.75))
    said = {".srt": ("bin \u2039b\u203a&", "--\u203a"), ".vtt": ("bin <c.doubtful>&lt;b&gt;&amp;</c>", "--&gt;")}
    assert (first[2], second[2]) == said[suffix]


def test_no_words_make_an_empty_file_of_subtitles(tmp_path):
    assert as_srt(Hypothesis("")) == ""
    Transcript("").save(tmp_path / "a.vtt")
    assert read_again(tmp_path / "a.vtt") == []


def test_webvtt_tells_model_doubt_and_warnings_where_players_do_not_show_them(tmp_path):
    blocks = MADE.render(".vtt").split("\n\n")
    assert blocks[:5] == [
        "WEBVTT",
        "NOTE model lips: one voice -> and no other",
        "NOTE model asr",
        "NOTE confidence 0.60, not calibrated",
        "NOTE warning: the face is small",
    ]


def test_json_holds_all_of_it(tmp_path):
    MADE.save(tmp_path / "a.json", alternatives=1)
    row = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert row["confidence"] == 0.6
    assert [word["confidence"] for word in row["words"]] == [0.99, 0.2, None]
    assert row["alternatives"] == [{"text": "bin blue now", "probability": 0.3}]
    assert [model["name"] for model in row["models"]] == ["lips", "asr"]
    assert row["calibrated"] is False
    assert row["warnings"] == ["the face is small"]


def test_the_suffix_chooses_the_format(tmp_path):
    MADE.save(tmp_path / "a.TXT")
    assert (tmp_path / "a.TXT").read_text(encoding="utf-8") == "bin <b>& -->\n"
    with pytest.raises(LipsoundError, match=r"written as .txt, .srt, .vtt, .json; found '.doc'"):
        MADE.save(tmp_path / "a.doc")
    assert all(MADE.render(suffix) for suffix in FORMATS)


def test_doubtful_words_are_marked_and_nothing_else():
    assert marked(MADE) == "bin [<b>&?] -->"
    assert marked(Hypothesis("two  blanks")) == "two  blanks"
    assert not is_doubtful(Word("a", 0, 1, DOUBTFUL))
    assert is_doubtful(Word("a", 0, 1, math.nextafter(DOUBTFUL, 0)))
