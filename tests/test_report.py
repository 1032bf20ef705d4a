"""The report: one offline page, whole with all there is and with little; rows of results; a look at it in Chromium."""

from __future__ import annotations

import base64
import csv
import http.server
import io
import json
import os
import re
import shutil
import signal
import subprocess
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import yaml
from helpers.experiments import make_experiment, make_recognizer, synthetic_clips, write_heard, write_texts
from PIL import Image

from lipsound2.cli import main
from lipsound2.data.archive import Archive, ArchiveWriter
from lipsound2.errors import LipsoundError
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.score import score
from lipsound2.metrics.summary import Row
from lipsound2.metrics.summary_files import read_clips
from lipsound2.metrics.wer_summary import TextLine
from lipsound2.report import charts, images, markup, page, provenance, words
from lipsound2.report.choice import choose
from lipsound2.report.clip_video import small_video
from lipsound2.report.marked_table import MarkedTable
from lipsound2.report.report import collect, read_curves, report
from lipsound2.report.results import SPEECH_TABLE, WORD_TABLE

# What needs no end tag, in HTML and, where it ends itself, in SVG.
VOID = {"meta", "img", "path", "br", "input"}


class Page(HTMLParser):
    """Checks nesting, and collects what a test asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words += f" {data}"

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


SAID = {
    "s1-clip0": "bin blue at f two now",
    "s1-clip2": "set red by t five soon",
    "s2-clip1": "lay green in b nine again",
    "s2-clip3": "place white with z zero please",
}
HEARD = {
    "s1-clip0": "bin blue at f two now",
    "s1-clip2": "set red by d five soon",
    "s2-clip1": "lay green with p nine",
    "s2-clip3": "",
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("experiment")
    exp = make_experiment(root, synthetic_clips(4))
    score(root / "dump/audio", exp / "wav/test", out=exp / "scores/test", nj=1, resamples=500)
    return root


@pytest.fixture
def exp(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy/exp/tiny_parallel"


def write(exp: Path, **options: object) -> Page:
    report(exp, **options)
    return Page((exp / "report.html").read_text(encoding="utf-8"))


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
        (["scores"], "There are no scores of test yet", "There are no word errors of test yet"),
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


def test_results_are_put_between_the_markers_and_replaced(exp: Path, tmp_path: Path) -> None:
    target = tmp_path / "RESULTS.md"
    target.write_text("# GRID\n\nWritten by hand.\n")
    write(exp, publish=target)
    first = target.read_text()
    assert first.startswith("# GRID\n\nWritten by hand.\n")
    target.write_text(first + "\nBelow, by hand too.\n")
    row = next(line for line in first.splitlines() if line.startswith("| tiny_parallel"))
    for cell in (
        "test",
        "4",
        "YES",
        "0123456789",
        "Example CPU @ 2.0 GHz, 2 cores",
        "2.00",
        "2026-01-02",
        "`lipsound2 train",
    ):
        assert cell in row
    other = exp.with_name("other_model")
    exp.rename(other)
    write(other, publish=target)
    versions = other / "versions.yaml"
    versions.write_text(versions.read_text().replace("2026-01-02T05", "2026-02-03T05"))
    write(other, publish=target)
    text = target.read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")][2:]
    assert [line.split("|")[1].strip() for line in rows] == ["tiny_parallel", "other_model"]
    assert rows[0] == row
    assert "2026-02-03" in rows[1]
    assert text.startswith("# GRID\n\nWritten by hand.\n")
    assert text.endswith("\nBelow, by hand too.\n")
    assert "| other_model | test |" in (other / "RESULTS.md").read_text()


def test_a_finished_training_that_was_called_again_made_nothing(exp: Path) -> None:
    path = exp / "versions.yaml"
    record = yaml.safe_load(path.read_text())
    again = record["runs"][0] | {"command": "lipsound2 train again", "git": "f" * 40}
    record["runs"][0]["updates"] = again["updates"] = 300
    path.write_text(yaml.safe_dump(record | {"runs": [record["runs"][0], again]}))
    assert provenance.provenance(exp).commit == "0123456789"
    again["updates"] = 400
    path.write_text(yaml.safe_dump(record | {"runs": [record["runs"][0], again]}))
    assert provenance.provenance(exp).command == "lipsound2 train again"


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


def test_word_errors_have_a_table_of_their_own(exp: Path, tmp_path: Path) -> None:
    target = tmp_path / "RESULTS.md"
    target.write_text("# GRID\n\nWritten by hand.\n")
    texts = exp / "scores/test/text"
    free = {"s1-clip0": "any words at all"}
    write_texts(texts / "truth", free, {"real": free})  # of the model's nothing was heard
    write_texts(texts / "free", free, {"generated": free})
    write(exp, publish=target)
    assert "slot" not in target.read_text()
    write_texts(texts / "sphinx-grid", SAID, {"real": dict(SAID), "generated": HEARD})
    write(exp, publish=target)
    text = target.read_text()
    assert text.startswith("# GRID\n\nWritten by hand.\n")
    assert text.index(SPEECH_TABLE.end) < text.index("## Word errors") < text.index(WORD_TABLE.begin)
    block = text[text.index(WORD_TABLE.begin) : text.index(WORD_TABLE.end)]
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines() if "|" in line]
    found = [dict(zip(head, row, strict=True)) for row in rows]
    assert [row["recognizer"] for row in found] == ["free", "sphinx-grid"]
    assert found[0]["letter slot %"] == "-"
    row = found[1]
    assert row["letter slot %"] == "75.0"
    assert row["WER %"].startswith("41.7 [")
    assert row["SER %"].startswith("75.0 [")
    assert row["WER % of ground truth / copy-synthesis / mismatched video / mean mel"] == "0.0 / - / - / -"
    assert row["command"].startswith("`lipsound2 train conf/parallel.yaml")
    assert (row["date"], row["commit"]) == ("2026-01-02", "0123456789")
    assert "WER of 81 %" in block
    write_texts(texts / "sphinx-grid", SAID, {"real": dict(SAID), "generated": dict(SAID)})
    write(exp, publish=target)
    again = target.read_text()
    assert len(again.splitlines()) == len(text.splitlines())
    assert "41.7" not in again
    assert again.count("## Word errors") == 1


def test_a_column_that_nobody_knows_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "RESULTS.md"
    target.write_text("<b>\n| name | mine | score |\n| --- | --- | --- |\n| a | by hand | 1 |\n<e>\n")
    table = MarkedTable("<b>", "<e>", ["name", "score", "other"], keys=1)
    table.put(target, [{"name": "a", "score": "2"}, {"name": "b", "score": "3|4"}], "Results")
    assert target.read_text() == ("<b>\n\n| name | score |\n| --- | --- |\n| a | 2 |\n| b | 3/4 |\n\n<e>\n")
    target.write_text("<b>\n| name | mine | score |\n| --- | --- | --- |\n| a | by hand | 1 |\n<e>\n")
    table.put(target, [{"name": "b", "score": "2"}], "Results")
    assert "| name | score | mine |" in target.read_text()
    assert "| a | 1 | by hand |\n| b | 2 | - |" in target.read_text()


def test_rows_of_older_tables_are_kept_under_the_names_columns_have_now(tmp_path: Path) -> None:
    target = tmp_path / "RESULTS.md"
    target.write_text(
        f"{SPEECH_TABLE.begin}\n| experiment | set | ESTOI | ESTOI of ceiling / another sentence / mean mel |\n"
        f"| --- | --- | --- | --- |\n| a | test | 0.4 | 0.9 / 0.0 / 0.1 |\n{SPEECH_TABLE.end}\n"
        f"{WORD_TABLE.begin}\n| experiment | set | recogniser | WER % | colour slot % |\n"
        "| --- | --- | --- | --- | --- |\n"
        f"| a | test | own | 41.7 | 25.0 |\n| a | test | other | 50.0 | 30.0 |\n{WORD_TABLE.end}\n"
    )
    SPEECH_TABLE.put(target, [{"experiment": "b", "set": "test", "ESTOI": "0.5"}], "Results")
    WORD_TABLE.put(target, [{"experiment": "a", "set": "test", "recognizer": "own", "color slot %": "5.0"}], "Results")
    text = target.read_text()
    assert "| experiment | set | ESTOI | ESTOI of copy-synthesis / mismatched video / mean mel |" in text
    assert "| a | test | 0.4 | 0.9 / 0.0 / 0.1 |\n| b | test | 0.5 | - |" in text
    assert "| experiment | set | recognizer | WER % | color slot % |" in text
    assert "| a | test | own | - | 5.0 |\n| a | test | other | 50.0 | 30.0 |" in text


def test_damaged_markers_are_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    target = tmp_path / "RESULTS.md"
    target.write_text(f"text\n{SPEECH_TABLE.end}\n")
    with pytest.raises(LipsoundError, match="markers are damaged"):
        SPEECH_TABLE.put(target, [], "Results")
    assert target.read_text() == f"text\n{SPEECH_TABLE.end}\n"


def test_no_path_of_this_machine_is_published() -> None:
    for command in ("/home/me/env/bin/lipsound2 train c.yaml", "/x/lipsound2/cli.py train c.yaml"):
        assert provenance._command(command) == "lipsound2 train c.yaml"
    assert provenance._commit("a" * 40 + "+dirty") == "a" * 10 + " with changes"
    assert provenance._hardware({"cpu": "C", "cores": 2, "gpu": "G", "processes": 4}) == "4 x G"


PROBE = """
const errors = [], wait = ms => new Promise(done => setTimeout(done, ms));
addEventListener("error", event => errors.push(event.message));
(async () => {
  const players = [...document.querySelectorAll("audio")];
  for (const player of players) for (let i = 0; i < 200 && !(player.duration > 0); i++) await wait(20);
  const videos = [...document.querySelectorAll("video")];
  for (let i = 0; i < 200 && !videos.every(one => one.videoWidth && one.duration > 0); i++) await wait(20);
  const clip = document.querySelector(".clip"), live = clip.querySelector(".live");
  const look = () => [clip.querySelector(".track u").style.left, live.style.backgroundPosition];
  players[0].currentTime = 1;
  for (let i = 0; i < 200 && look()[0] !== "50%"; i++) await wait(20);
  const sought = look();
  await players[0].play();
  await players[1].play();
  for (let i = 0; i < 200 && players[1].currentTime < 0.3; i++) await wait(20);
  const button = document.querySelector("[data-player]"), called = document.getElementById(button.dataset.player);
  button.click();
  for (let i = 0; i < 200 && button.ariaPressed !== "true"; i++) await wait(20);
  const pressed = [button.ariaPressed, called.paused, players[1].paused || players[1] === called];
  button.click();
  for (let i = 0; i < 200 && button.ariaPressed !== "false"; i++) await wait(20);
  await fetch("/facts", {method: "POST", body: JSON.stringify({
    errors, sought, pressed, released: called.paused,
    durations: players.map(player => player.duration), played: players[1].currentTime,
    alone: players[0].paused, images: [...document.images].map(image => image.naturalWidth),
    sideways: document.documentElement.scrollWidth - innerWidth, width: innerWidth,
    watched: videos.map(one => [one.videoWidth, one.videoHeight, one.duration]),
    seen: clip.querySelector("video").currentTime,
    outputs: [...document.querySelectorAll(".chart output")].map(output => output.textContent)})});
})();
"""


def probed(page: str, script: str) -> str:
    """A page with one more script, which its policy lets run and report."""
    page = page.replace("script-src ", f"connect-src 'self'; script-src {markup._hash(script)} ", 1)
    return page.replace("</body>", f"<script>{script}</script></body>")


def visited(text: str, profile: Path, width: int = 1200) -> tuple[Any, set[str]]:
    """What a page reports from a real browser, and the paths that were asked for."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here; on Debian: apt-get install chromium")
    visit = Visit(text)
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [browser, *quiet.split(), "--disable-component-update", "--disable-sync", f"--window-size={width},2400"]
    command += [f"--user-data-dir={profile / 'profile'}", "--autoplay-policy=no-user-gesture-required"]
    visit.width = width
    with (profile / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"http://127.0.0.1:{visit.server_port}/frame"], stdout=log, stderr=log, start_new_session=True
        )
        try:
            assert visit.told.wait(90), (profile / "log").read_text()[-2000:]
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            visit.shutdown()
    return visit.facts, {path for path in visit.asked if path not in ("/favicon.ico", "/frame")}


class Visit(http.server.ThreadingHTTPServer):
    """Serves one page to a browser and waits for what the page reports.

    The page stands in a frame: no window of a browser is narrower than some 500 pixels, a frame may be.
    """

    def __init__(self, text: str) -> None:
        self.text, self.asked, self.facts, self.width = text, [], None, 1200
        self.told = threading.Event()
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(http.server.BaseHTTPRequestHandler):
    server: Visit

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        frame = (
            f'<body style="margin:0"><iframe src="/" style="border:0;width:{self.server.width}px;height:2300px" '
            'allow="autoplay">'
        )
        answer = {"/": self.server.text, "/frame": frame}.get(self.path)
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write((answer or "").encode())

    def do_POST(self) -> None:
        self.server.facts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.told.set()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def with_videos(exp: Path) -> None:
    """A video file of every clip, where its data dir says."""
    data = exp.parents[1] / "data/tiny/test"
    for line in (data / "video.scp").read_text().splitlines():
        name = line.split()[0]
        frames = np.full((50, 180, 320, 3), 90, np.uint8)
        frames[:, 40:140, 100:220] = np.linspace(0, 255, 50, dtype=np.uint8)[:, None, None, None]
        (data / f"{name}.mp4").write_bytes(small_video(frames))
    (data / "video.scp").write_text(
        "".join(
            f"{line.split()[0]} {data / line.split()[1]}\n" for line in (data / "video.scp").read_text().splitlines()
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 390])
def test_in_chromium_audio_play_and_the_lips_follow_them(exp: Path, tmp_path: Path, width: int) -> None:
    write_texts(exp / "scores/test/text/sphinx-grid", SAID, {"real": dict(SAID), "generated": HEARD})
    with_videos(exp)
    report(exp)
    facts, asked = visited(probed((exp / "report.html").read_text(encoding="utf-8"), PROBE), tmp_path, width)
    assert facts["errors"] == []
    assert facts["durations"] == pytest.approx([2.0] * 20, abs=0.01)
    assert min(facts["images"]) > 0
    head, lips = facts["sought"]
    assert head == "50%"
    across, down = (float(part.strip("%")) for part in lips.split())
    assert (across, down) == pytest.approx((100 * 5 / 9, 100 * 2 / 4), abs=0.01)  # image 25: row 2 of 5, column 5 of 10
    assert facts["played"] >= 0.3
    assert facts["alone"]
    assert facts["pressed"] == ["true", False, True]
    assert facts["released"]
    assert facts["sideways"] <= 0
    assert facts["width"] == width
    assert facts["watched"] == [pytest.approx([256, 144, 2.0], abs=0.05)] * 4
    assert facts["seen"] == pytest.approx(facts["played"], abs=0.25)
    assert all(" at epoch 40" in output for output in facts["outputs"])
    assert asked == {"/"}


HANDLE = """
const wait = ms => new Promise(done => setTimeout(done, ms));
(async () => {
  const blobs = [], make = URL.createObjectURL, names = [];
  URL.createObjectURL = blob => { blobs.push(blob); return make(blob); };
  HTMLAnchorElement.prototype.click = function () { names.push(this.download); };
  const table = document.querySelector("[data-leads]"), scope = table.closest("[data-filter]");
  const ids = () => [...table.tBodies[0].rows].filter(row => !row.hidden).map(row => row.dataset.clip);
  const cards = () => [...scope.querySelectorAll("article")].filter(one => !one.hidden).map(one => one.dataset.clip);
  const told = () => scope.querySelector("output").textContent;
  const seen = {begin: [ids(), cards(), told()]};
  const head = table.tHead.rows[0].cells[0], press = head.querySelector("button");
  press.focus();
  seen.focused = document.activeElement === press;
  press.click();
  seen.ascending = [ids(), cards(), head.getAttribute("aria-sort")];
  press.click();
  seen.descending = [ids(), cards(), head.getAttribute("aria-sort")];
  const order = scope.querySelector("[name=sort]");
  order.value = [...table.tHead.rows[0].cells].findIndex(cell => cell.textContent.startsWith("errors"));
  order.dispatchEvent(new Event("change"));
  seen.errors = [...table.tBodies[0].rows].map(row => row.cells[order.value].textContent);
  const choose = (name, value) => {
    const field = scope.querySelector(`[name=${name}]`);
    field.value = value;
    field.dispatchEvent(new Event(name === "search" ? "input" : "change"));
  };
  choose("speaker", "s1");
  seen.speaker = [ids().sort(), cards().sort(), told()];
  choose("show", "correct");
  seen.correct = [ids(), told()];
  const button = table.closest(".wide").previousElementSibling;
  button.click();
  choose("show", ""); choose("speaker", ""); choose("search", "NUMBER 3");
  seen.search = [ids(), cards(), told()];
  for (const other of document.querySelectorAll("button.csv")) if (other !== button) other.click();
  await fetch("/facts", {method: "POST", body: JSON.stringify({
    ...seen, names, label: button.ariaLabel, files: await Promise.all(blobs.map(blob => blob.text())),
    unnamed: [...document.querySelectorAll("input, select, button, audio, video, nav, [role=region]")]
      .filter(one => !(one.ariaLabel || one.textContent.trim() || (one.labels && one.labels.length)))
      .map(one => one.outerHTML.slice(0, 90)),
    sideways: document.documentElement.scrollWidth - innerWidth, width: innerWidth})});
})();
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 390])
def test_in_chromium_clips_are_sorted_filtered_and_downloaded(exp: Path, tmp_path: Path, width: int) -> None:
    said = {**SAID, "s1-clip2": '=1+1, "red"'}
    write_texts(exp / "scores/test/text/sphinx-grid", SAID, {"real": dict(SAID), "generated": HEARD})
    text = exp.parents[1] / "data/tiny/test/text"
    text.write_text(text.read_text().replace("sentence number 0", said["s1-clip2"]))
    report(exp)
    facts, asked = visited(probed((exp / "report.html").read_text(encoding="utf-8"), HANDLE), tmp_path, width)
    assert asked == {"/"}
    clips = sorted(SAID)
    assert sorted(facts["begin"][0]) == clips
    assert facts["begin"][1:] == [facts["begin"][0], "4 of 4"]
    assert facts["focused"]
    assert facts["ascending"] == [clips, clips, "ascending"]
    assert facts["descending"] == [clips[::-1], clips[::-1], "descending"]
    assert facts["errors"] == ["6", "3", "1", "0"]
    assert facts["speaker"] == [["s1-clip0", "s1-clip2"], ["s1-clip0", "s1-clip2"], "2 of 4"]
    assert facts["correct"] == [["s1-clip0"], "1 of 4"]
    assert facts["search"] == [["s2-clip3"], ["s2-clip3"], "1 of 4"]
    # What was shown then, after a mark of UTF-8; a text that begins as a formula stays a text.
    (head, row) = csv.reader(io.StringIO(facts["files"][0].removeprefix("\ufeff")))
    assert head == ["clip", "speaker", "words", "STOI", "ESTOI", "PESQ nb", "PESQ wb", "errors"]
    assert row[:3] == ["s1-clip0", "s1", "'" + said["s1-clip2"]]
    own = next(
        row for row in read_clips(exp / "scores/test/clips.tsv") if (row.id, row.system) == (clips[0], "generated")
    )
    assert [float(cell) for cell in row[3:7]] == pytest.approx([*own.scores.values.values()], rel=1e-4)
    assert facts["names"][0] == "tiny_parallel-clips-test.csv"
    scores = next(file for file in facts["files"] if "ESTOI low" in file)
    assert scores.removeprefix("\ufeff").splitlines()[0].startswith("system,STOI,STOI low,STOI high,ESTOI,")
    assert len(scores.splitlines()) == 5
    assert facts["label"] == "Download as CSV: clips test"
    assert facts["unnamed"] == []
    assert facts["width"] == width
    assert facts["sideways"] <= 0


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


HOSTILE = """<script>fetch("/script")</script><img src="/picture" onerror="fetch('/handler')">
<style>h1 {background: url(/style)}</style><div style="background: url(/attribute)">x</div>
<svg onload="document.title='run'"></svg><a href="/link">x</a><iframe src="/frame"></iframe><base href="/base">"""
LOOK = """
setTimeout(() => fetch("/facts", {method: "POST", body: JSON.stringify({
  title: document.title, nodes: document.querySelectorAll("img[onerror], svg[onload], iframe").length,
  inks: [...document.querySelectorAll("[style*=ink]")].map(one => getComputedStyle(one).backgroundImage)})}), 1500);
"""


@pytest.mark.slow
def test_fault_C1_a_stranger_s_files_run_no_script_and_fetch_nothing(exp: Path, tmp_path: Path) -> None:
    name = "x);background:url(ink);--y:("
    folder = exp / "scores/test"
    content = json.loads((folder / "summary.json").read_text())
    content["systems"][name] = content["systems"]["generated"]
    content["systems"][name]["failures"] = {HOSTILE: 3}
    content["speakers"] = {HOSTILE: next(iter(content["speakers"].values())), "b": {"clips": 3}}
    content["clips"], content["rule"], content["verdict"]["sentence"] = HOSTILE, [HOSTILE], HOSTILE
    content["measured_with"] = {HOSTILE: HOSTILE}
    (folder / "summary.json").write_text(json.dumps(content))
    rows = (folder / "clips.tsv").read_text()
    (folder / "clips.tsv").write_text(rows + rows.partition("\n")[2].replace("\tgenerated\t", f"\t{name}\t"))
    report(exp)
    page = (exp / "report.html").read_text(encoding="utf-8")
    facts, asked = visited(probed(page, LOOK), tmp_path)
    assert asked == {"/"}
    assert facts["nodes"] == 0, "something was not escaped"
    assert set(facts["inks"]) == {"none"}
    # Were something not escaped one day, the policy would still hold.
    (tmp_path / "two").mkdir()
    facts, asked = visited(probed(page.replace("<main>", f"<main>{HOSTILE}"), LOOK), tmp_path / "two")
    assert asked == {"/"}
    assert facts["title"].endswith("lipsound2")
    assert facts["nodes"] > 0


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
