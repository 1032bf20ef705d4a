"""The report: one offline page, whole with all there is and with little."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from helpers.experiments import make_recognizer, synthetic_clips, write_heard, write_texts
from helpers.report_pages import HEARD, SAID, Page, with_videos, write
from PIL import Image

from lipsound2.cli import main
from lipsound2.data.archive import Archive, ArchiveWriter
from lipsound2.errors import LipsoundError
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.score import score
from lipsound2.metrics.summary import Row
from lipsound2.metrics.summary_files import read_clips
from lipsound2.metrics.wer_summary import TextLine
from lipsound2.report import charts, images, markup, page, words
from lipsound2.report.choice import choose
from lipsound2.report.report import collect, read_curves, report
from lipsound2.report.results import SPEECH_TABLE


@pytest.fixture
def exp(scored_experiment: Path, tmp_path: Path) -> Path:
    """A copy of an experiment of lip-to-speech with speech and scores, to be changed."""
    shutil.copytree(scored_experiment, tmp_path / "copy")
    return tmp_path / "copy/exp/tiny_parallel"


def test_the_page_holds_everything_and_asks_for_nothing(exp: Path) -> None:
    written = write(exp)
    text = (exp / "report.html").read_text(encoding="utf-8")
    assert len(text) < 6 << 20
    for tag, attributes in written.tags:
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "data:").startswith(("data:", "#")), (tag, name)
    targets = {attributes["id"] for _, attributes in written.tags if "id" in attributes}
    links = {attributes["href"].removeprefix("#") for attributes in written.of("a")}
    assert links <= targets  # the table of contents, and the cards of clips in the list
    assert len(links) == 5 + 4
    assert "http" not in text.replace("http-equiv", "")
    assert re.findall(r"url\((?!data:)", text) == []
    assert not written.of("link")
    for word in (
        "tiny_parallel",
        "YES",
        "Lips are read",
        "0123456789",
        "Example CPU",
        "2.00 h",
        "best of 4",
        "worst of 4",
    ):
        assert word in written.words
    assert "sentence number 2" in written.words
    assert "lipsound2 train conf/parallel.yaml" in written.words
    assert "no clip is left out of a mean" in written.words


def test_players_hold_the_audio_and_images_lie_over_one_another(exp: Path) -> None:
    written = write(exp)
    players = written.of("audio")
    assert len(players) == 4 * 5  # ground truth, model, and three controls on the fold-out
    for player in players:
        data = base64.b64decode(player["src"].removeprefix("data:audio/flac;base64,"))
        waveform, rate = soundfile.read(io.BytesIO(data))
        assert (rate, len(waveform)) == (16000, 32000)
        assert np.abs(waveform).max() > 0.01
    sizes = [
        Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2]))).size
        for image in written.of("img")
        if "Mel" in image["alt"]
    ]
    assert sizes == [(200, 80)] * 20
    cards = [tag for tag in written.of("article") if "clip" in tag["class"]]
    assert len(cards) == 4
    strips = [tag for tag in written.of("div") if tag.get("class", "").split()[:1] == ["crop"]]
    assert len([tag for tag in strips if "width:" in tag["style"]]) == 4 * 6  # 50 images, every eighth


@pytest.mark.parametrize(
    ("gone", "said", "kept"),
    [
        (["scores"], "Set test: no scores yet", "Set test: no word errors yet"),
        (["curves.tsv"], "There are no curves", "Lips are read"),
        (["versions.yaml"], "How it was trained is not recorded", "Lips are read"),
        (["wav/test/origin.yaml"], "The dump was not found", "Model"),
        (["wav/test/mels", "../../dump/face"], "Not found, and so left out: crops, mels of the model", "Ground truth"),
        (["wav/test/alignments"], "", "Model"),
        (["wav", "scores"], "No set was synthesized yet", "Training"),
    ],
)
def test_what_is_missing_is_left_out_and_said(exp: Path, gone: list[str], said: str, kept: str) -> None:
    for name in gone:
        path = exp / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    written = write(exp)
    assert said in written.words
    assert kept in written.words
    if "wav/test/alignments" in gone:
        assert "which video frame each moment" not in written.words


def test_a_folder_with_nothing_to_show_is_one_line(exp: Path) -> None:
    for name in ("wav", "scores", "text", "curves.tsv"):
        path = exp / name
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    with pytest.raises(LipsoundError, match=r"nothing to report: .*first run lipsound2 synthesize EXP DIR"):
        report(exp)
    assert not (exp / "report.html").exists()


def test_attention_of_a_padded_batch_is_cut_to_the_clip(exp: Path) -> None:
    wav = exp / "wav/test"
    weights = np.pad(np.eye(100, 50, dtype=np.float32), ((0, 60), (0, 30)))  # 50 images, 2 steps each, padded to 80
    with ArchiveWriter(wav / "alignments/feats.ark", wav / "alignments/feats.scp") as archive:
        archive.write("s1-clip0", weights)
    clip = next(clip for clip in collect(exp, clips=4).sets[0].clips if clip.id == "s1-clip0")
    assert clip.attention is not None
    assert Image.open(io.BytesIO(clip.attention)).size == (100, 50)


def test_damaged_crops_and_audio_are_left_out(exp: Path) -> None:
    for kind in ("face", "audio"):
        folder = exp.parents[1] / "dump" / kind
        entries = {name: np.array(entry) for name, entry in Archive(folder).items()}
        entries["s1-clip0"] = np.zeros(50, np.uint8)
        with ArchiveWriter(folder / "feats.ark", folder / "feats.scp") as archive:
            for name, entry in entries.items():
                archive.write(name, entry)
    broken = next(clip for clip in collect(exp, clips=4).sets[0].clips if clip.id == "s1-clip0")
    assert broken.crops is None
    assert set(broken.audio) == {"generated", "mismatched", "real_mel", "mean_mel"}
    written = write(exp)
    assert len(written.of("article")) == 4


def test_no_experiment_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 1
    assert "no experiment there" in capsys.readouterr().err


def test_what_stands_in_files_is_text_not_markup(exp: Path) -> None:
    data = exp.parents[1] / "data/tiny/test/text"
    data.write_text(data.read_text().replace("sentence number 0", "<script>alert(1)</script> $title & more"))
    written = write(exp)
    assert len(written.of("script")) == 1
    assert "<script>alert(1)</script> $title & more" in written.words


def test_a_page_beyond_its_budget_keeps_best_median_and_worst(exp: Path) -> None:
    content = collect(exp, clips=4)
    whole = page.render(content, 1 << 30)
    card = (len(whole) - len(page.render(content, 1))) // 3
    small = Page(page.render(content, int(3.5 * card)))
    assert "1 clip was left out" in small.words
    for place in ("best", "median", "worst"):
        assert f"{place} of 4" in small.words
    assert len(small.of("article")) == 3


def test_clips_run_from_best_to_worst_with_the_median_among_them(exp: Path) -> None:
    rows = read_clips(exp / "scores/test/clips.tsv")
    own = [row for row in rows if row.system == "generated"]
    many = [
        Row(f"s1-{index:03d}", "generated", type(own[0].scores)({**own[0].scores.values, "estoi": index / 99}, {}))
        for index in range(100)
    ]
    chosen = choose(many, 8)
    assert len(chosen) == 8
    assert chosen[0] == ("s1-099", "best of 100")
    assert chosen[-1] == ("s1-000", "worst of 100")
    assert ("s1-050", "median of 100") in chosen
    assert [name for name, _ in chosen] == sorted((name for name, _ in chosen), reverse=True)
    assert len(choose(many[:2], 8)) == 2
    assert choose(many[:1], 8) == [("s1-000", "worst of 1")]
    assert choose([], 8) == []


def test_curves_are_read_whatever_their_columns(tmp_path: Path) -> None:
    drawn = charts.curves(
        {
            "update": [1.0, 2.0, 3.0],
            "train_loss": [3.0, 2.0, 1.0],
            "valid_loss": [3.5, None, 2.0],
            "constant": [1.0, 1.0, 1.0],
            "score": [0.1, 0.3, 0.2],
            "estoi": [0.1, 0.3, 0.2],
        }
    )
    # Training and validation share a panel; what never changes and copies are left out.
    assert [panel.title for panel in drawn] == ["loss", "ESTOI"]
    assert json.loads(drawn[0].data)["series"] == {"train": [3.0, 2.0, 1.0], "valid": [3.5, None, 2.0]}
    assert ("best", "M500.0 0.0h0") in drawn[1].lines
    rates = charts.curves({"epoch": [1.0, 2.0, 3.0], "score": [0.3, 0.75, 0.7], "wer": [0.7, 0.25, 0.3]})
    assert [panel.title for panel in rates] == ["WER"]  # the score is 1 minus it
    assert ("best", "M500.0 300.0h0") in rates[0].lines  # the least
    assert charts.curves({}) == []
    assert charts.curves({"update": [1.0], "score": [0.5]}) == []


def test_bars_are_as_long_as_their_numbers() -> None:
    bar = markup.environment().get_template("charts.html").module.bar
    drawn = bar(Interval(0.5, 0.25, 0.75), 0, 1, "generated")
    assert 'style="width:50.00%"' in drawn
    assert 'style="left:25.00%;width:50.00%"' in drawn
    assert 'style="width:0.00%"' in bar(Interval(-0.1, -0.2, 0.0), 0, 1, "mismatched")


def test_images_show_the_numbers() -> None:
    mel = np.full((20, 8), -10.0)
    mel[15:, 0] = 0.0  # late and low
    image = np.asarray(Image.open(io.BytesIO(images.mel_image(mel, -10, 0, 25))).convert("L"))
    assert image.shape == (8, 25)
    assert image[7, 15:20].min() > 200 > image[7, 14]
    assert image[:7].max() == image[7, 24] == image.min()  # padded with the lowest color
    sheet = images.sheet(np.stack([np.full((112, 112), 10 * index, np.uint8) for index in range(23)]), size=16)
    atlas = np.asarray(Image.open(io.BytesIO(sheet.jpeg)))
    assert atlas.shape == (3 * 16, 10 * 16)
    assert (sheet.columns, sheet.rows, sheet.count) == (10, 3, 23)
    assert abs(int(atlas[24, 8 + 3 * 16]) - 130) < 4  # image 13: row 1, column 3


def test_words_stand_beside_the_speech_and_play_the_audio_of_the_cards(exp: Path) -> None:
    systems = {"real": dict(SAID), "generated": HEARD, "mismatched": dict.fromkeys(SAID, "bin red at a one soon")}
    write_texts(exp / "scores/test/text/sphinx-grid", SAID, systems)
    written = write(exp, clips=3)
    assert "Words, recognizer  sphinx-grid" in written.words
    # Of 24 words: t as d; in as with, b as p, again left out; six words of the last clip.
    for said in ("41.7", "3 of 24 words substituted, 7 deleted", "WER of 81 %", "1 utterance without a player"):
        assert said in written.words
    assert "<b>t</b>" in (exp / "report.html").read_text()
    players = {player["id"]: player for player in written.of("audio")}
    assert len(written.of("audio")) == len(players) == 3 * 5  # no more than without the words
    buttons = [button["data-player"] for button in written.of("button")]
    assert len(buttons) == len(set(buttons)) == 3 * 2
    assert set(buttons) < set(players)
    for button in written.of("button"):
        assert button["aria-label"].startswith(("Play Model, s", "Play Ground truth, s"))
    assert len(written.of("del")) == 1 + 4  # the legend; t, in b, again, all of the last


def test_a_hypothesis_tells_its_errors_apart(exp: Path) -> None:
    def look(reference: str, hypothesis: str, by_word: bool = True) -> str:
        marks = {"equal": "", "deleted": "-", "inserted": "+"}
        pieces = words.pieces(TextLine("a-b", reference, hypothesis, 0, 1, by_word))
        return " ".join(marks[kind] + text for kind, text in pieces)

    assert look("bin blue at f", "bin blue at f") == "bin blue at f"
    assert look("bin blue at f", "bin red at") == "bin -blue +red at -f"
    assert look("one two", "one and two") == "one +and two"
    assert look("one two", "") == "-one two"
    assert look("你好吗", "你号吗", by_word=False) == "你 -好 +号 吗"
    write_texts(exp / "scores/test/text/own", {"s1-clip0": "one two"}, {"generated": {"s1-clip0": "one and"}})
    write(exp)
    text = (exp / "report.html").read_text()
    assert '<span>one <del><span class="unseen">reference: </span>two</del> <ins><span class="unseen">' in text
    assert '</span>and</ins> <small class="soft">1 error</small></span>' in text


def test_many_utterances_are_thinned_out_evenly_and_counted(exp: Path) -> None:
    said = {f"s1-{index:03d}": "one two three" for index in range(300)}
    heard = {name: "one two three" if index % 3 else "one two" for index, name in enumerate(said)}
    write_texts(exp / "scores/test/text/sphinx", said, {"generated": heard})
    written = write(exp, clips=1)
    assert "200 utterances more, spread evenly over 292" in written.words
    assert len(written.of("del")) == pytest.approx(1 + (8 + 200) / 3, abs=2)


def test_texts_that_are_incomplete_are_told_and_damaged_ones_are_refused(
    exp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = exp / "scores/test/text"
    write_texts(folder / "whole", SAID, {"real": dict(SAID), "generated": HEARD})
    (folder / "begun").mkdir()
    (folder / "whole/generated.tsv").unlink()
    written = write(exp)
    assert "The word errors by begun are not complete" in written.words
    assert "Texts of generated recognized by whole are absent" in written.words
    for content in ("", "id\treference\n", "id\treference\thypothesis\terrors\twords\na-b\tone\tone\tnone\t1\n"):
        (folder / "whole/generated.tsv").write_text(content)
        assert main(["report", str(exp)]) == 1
        assert re.search(r"generated\.tsv.*expected.*score again\n$", capsys.readouterr().err)


def test_a_recognizer_shows_words_and_curves_and_no_speech(tmp_path: Path) -> None:
    exp = make_recognizer(tmp_path, synthetic_clips(4))
    assert "No set was transcribed yet" in write(exp).words
    write_heard(exp, ["greedy", "grid"], SAID, HEARD)
    target = tmp_path / "RESULTS.md"
    written = write(exp, clips=3, publish=target)
    for gone in ("Scores", "Lips are read", "ESTOI", "Clips  ", "There are no scores", "The dump was not found"):
        assert gone not in written.words
    for said in ("speech to text", "4 clips", "Words, recognizer  greedy", "Words, recognizer  grid", "41.7"):
        assert said in written.words
    players = written.of("audio")
    assert len(players) == 3  # once for both
    assert {button["data-player"] for button in written.of("button")} == {player["id"] for player in players}
    charted = [tag["aria-label"] for tag in written.of("svg")]
    assert charted == ["loss over epochs", "WER over epochs", "CER over epochs"]
    text = target.read_text()
    assert SPEECH_TABLE.begin not in text
    assert re.findall(r"^\| tiny_asr \| test \| (\w+) \| 4 \| (\S+) \[", text, re.MULTILINE) == [
        ("greedy", "41.7"),
        ("grid", "41.7"),
    ]
    shutil.rmtree(tmp_path / "dump")
    silent = write(exp)
    assert "give its dump with --dump" in silent.words
    assert not silent.of("audio") + silent.of("button")


def test_audio_of_a_recognizer_keep_to_the_budget(tmp_path: Path) -> None:
    exp = make_recognizer(tmp_path, synthetic_clips(4))
    write_heard(exp, ["greedy"], SAID, HEARD)
    content = collect(exp, clips=4)
    assert len(Page(page.render(content, 1 << 30)).of("audio")) == 4
    small = Page(page.render(content, 1))
    assert len(small.of("audio")) == 1
    assert "3 clips were left out" in small.words
    assert "3 utterances without a player" in small.words


def test_the_video_of_a_clip_is_small_and_falls_back_on_the_face(exp: Path) -> None:
    with_videos(exp)
    clip = collect(exp, clips=4).sets[0].clips[0]
    assert clip.video is not None
    with av.open(io.BytesIO(clip.video)) as file:
        frames = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]
    assert (len(frames), frames[0].shape) == (50, (144, 256))
    assert frames[0][70, 128] < 20 < 235 < frames[-1][70, 128]
    assert len(clip.video) < 20_000
    assert collect(exp, clips=4, video=False).sets[0].clips[0].video is None
    # A part of a recording has no file of its own.
    segments = exp.parents[1] / "data/tiny/test/segments"
    segments.write_text("".join(f"{name} {name} 1.0 3.0\n" for name in sorted(SAID)))
    assert collect(exp, clips=4).sets[0].clips[0].video is None
    segments.unlink()
    # Without the file, the face in the dump; not where the model is shown the same.
    for path in (exp.parents[1] / "data/tiny/test").glob("*.mp4"):
        path.unlink()
    assert collect(exp, clips=4).sets[0].clips[0].video is None
    shutil.copytree(exp.parents[1] / "dump/face", exp.parents[1] / "dump/mouth")
    origin = exp / "wav/test/origin.yaml"
    origin.write_text(origin.read_text().replace("input: face", "input: mouth"))
    clip = collect(exp, clips=4).sets[0].clips[0]
    assert clip.video is not None
    with av.open(io.BytesIO(clip.video)) as file:
        assert int(next(file.decode(video=0)).to_ndarray(format="gray")[76, 56]) < 60  # the mouth


def test_waveforms_share_one_scale() -> None:
    drawn = charts.waves({"loud": np.r_[np.ones(500), -np.ones(500)], "soft": np.full(500, 0.5), "none": np.zeros(0)})
    assert drawn["loud"].startswith("M0 1V2M4 1V2")
    assert drawn["loud"].endswith("M996 99V100")
    assert drawn["soft"].count("M") == 125  # half as long
    assert drawn["soft"].startswith("M0 26V27")
    assert drawn["none"] == ""
    assert charts.waves({}) == {}


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("speakers/s1/clips", "<img src=x onerror=alert(1)>", "speakers|s1: clips: expected int"),
        ("systems/generated/scores/estoi/mean", float("nan"), "expected a finite number, found NaN"),
        ("systems/generated/scores/estoi/low", float("inf"), "expected a finite number, found Infinity"),
        ("systems/generated/scores/estoi/high", 1e308, "expected a score between"),
        ("systems/generated/scores/estoi", [1, 2, 3], "estoi: expected 'key: value', found list"),
        ("systems/generated/scores/<b>", {"mean": 0, "low": 0, "high": 0}, "no score is called '<b>'"),
        ("systems/..", None, "no name of a folder of speech"),
        ("systems", {}, "expected at least one"),
        ("bootstrap", {}, "the key 'level' is missing"),
    ],
)
def test_fault_G6_numbers_of_a_stranger_s_summary_are_checked(exp: Path, path: str, value: Any, told: str) -> None:
    file = exp / "scores/test/summary.json"
    content = json.loads(file.read_text())
    *above, last = path.split("/")
    place = content
    for key in above:
        place = next(iter(place.values())) if key == "s1" else place[key]
    place[last] = value if value is not None else content["systems"]["generated"]
    file.write_text(json.dumps(content))
    with pytest.raises(LipsoundError, match=told):
        report(exp)


def test_fault_F6_files_of_scores_that_were_cut_are_told(exp: Path) -> None:
    for name in ("scores/test/summary.json", "scores/test/clips.tsv", "model.safetensors"):
        whole = (exp / name).read_bytes() if (exp / name).exists() else bytes(100)
        (exp / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(LipsoundError, match=name):
            report(exp)
        (exp / name).write_bytes(whole)
        if not any(whole):
            (exp / name).unlink()


def test_fault_F6_curves_that_were_cut_are_drawn_as_far_as_they_go(tmp_path: Path) -> None:
    path = tmp_path / "curves.tsv"
    for content, wanted in (
        ("", {}),
        ("update\tloss\n1\t.5\n2\tnan\n3\t", {"update": [1.0, 2.0, 3.0]}),
        ("a\tb\n1", {"a": []}),
    ):
        path.write_text(content)
        assert read_curves(path).items() >= wanted.items()


def test_fault_E11_H34_score_sees_wav_files_whatever_the_case_and_tells_what_one_side_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 24000)
    for name in ("ref/s1-a.WAV", "ref/s1-b.wav", "ref/sub/s1-x.WAV", "hyp/s1-a.wav", "hyp/s1-b.Wav", "hyp/s1-z.WAV"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, noise, 16000, format="WAV")
    with caplog.at_level("WARNING"):
        score(tmp_path / "ref", tmp_path / "hyp", out=tmp_path / "out", nj=1, resamples=50)
    rows = {row.id: row.scores for row in read_clips(tmp_path / "out/clips.tsv")}
    assert sorted(rows) == ["s1-a", "s1-b"]
    assert not any(scores.failures for scores in rows.values())
    assert "1 clips are not among those scored, 's1-z' first" in caplog.text
    assert "1 wav files in its subfolders are ignored" in caplog.text
