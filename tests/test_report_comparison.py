"""Experiments side by side: paired scores, config keys, words that changed, and the page of it all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.experiments import make_experiment, make_recognizer, synthetic_clips, write_heard, write_texts
from helpers.report_browser import probed, visited
from helpers.report_pages import HEARD, HOSTILE, SAID, Page, with_videos

from lipsound2.cli import main
from lipsound2.data.datadir import DataDir
from lipsound2.errors import LipsoundError, UsageError
from lipsound2.metrics import bootstrap, rates
from lipsound2.metrics.alignment import align
from lipsound2.metrics.score import score
from lipsound2.metrics.summary import Row
from lipsound2.metrics.summary_files import read_clips, write_clips
from lipsound2.report import compare_markdown
from lipsound2.report.changed_words import changed_clips, columns
from lipsound2.report.compare import compare
from lipsound2.report.comparison import collect
from lipsound2.report.config_keys import differing
from lipsound2.text.normalize import normalization

BETTER = {**HEARD, "s2-clip1": "lay green in b nine again", "s1-clip0": "bin blue at f now"}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two experiments of one recipe: of b, the speech of the first clip is silent."""
    root = tmp_path_factory.mktemp("experiments")
    a = make_experiment(root, synthetic_clips(4)).rename(root / "exp/a")
    shutil.copytree(a, root / "exp/b")
    (root / "exp/b/wav/test/generated/s1-clip0.wav").write_bytes(
        (root / "exp/b/wav/test/mean_mel/s1-clip0.wav").read_bytes()
    )
    for name, heard in (("a", HEARD), ("b", BETTER)):
        exp = root / "exp" / name
        score(root / "dump/audio", exp / "wav/test", out=exp / "scores/test", nj=1, resamples=200)
        write_texts(exp / "scores/test/text/sphinx-grid", SAID, {"real": dict(SAID), "generated": heard})
    return root


@pytest.fixture
def exps(original: Path, tmp_path: Path) -> tuple[Path, Path]:
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy/exp/a", tmp_path / "copy/exp/b"


def change(path: Path, edit: Callable[[dict], None]) -> None:
    content = yaml.safe_load(path.read_text())
    edit(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def generated(exp: Path) -> dict[str, Row]:
    return {row.id: row for row in read_clips(exp / "scores/test/clips.tsv") if row.system == "generated"}


def test_every_score_has_the_paired_interval_of_its_difference(exps: tuple[Path, Path]) -> None:
    found = collect(exps)
    assert found.notes == []
    (part,) = found.sets
    lines = {(line.metric.title, line.recognizer): line for line in part.lines}
    assert [*lines] == [
        *((title, "") for title in ("STOI", "ESTOI", "PESQ nb", "PESQ wb")),
        *((title, "sphinx-grid") for title in ("WER", "CER", "SER")),
    ]
    a, b = (generated(exp) for exp in exps)
    gains = np.array([[b[clip].scores.values["estoi"] - a[clip].scores.values["estoi"]] for clip in sorted(a)])
    assert np.count_nonzero(gains) == 1
    estoi = lines["ESTOI", ""]
    assert estoi.differences == (None, bootstrap.intervals(gains)[0])
    assert estoi.values[0].mean == pytest.approx(np.mean([row.scores.values["estoi"] for row in a.values()]))
    assert estoi.finding(1) == "unclear"  # one clip of four
    # 10 and 8 errors of 24 words: b has a clip right that a has not, and misses a word of another one.
    wer = lines["WER", "sphinx-grid"]
    (expected,) = rates.differences(np.array([[1], [0], [-3], [0]]), np.full((4, 1), 6))
    assert wer.differences[1] == expected
    assert (24 * wer.values[0].mean, 24 * wer.values[1].mean) == pytest.approx((10, 8))
    assert part.which == "4 clips that all of them have"
    assert [verdict.word for verdict in part.verdicts] == ["YES", "YES"]


def test_a_difference_that_leaves_out_0_is_better_or_worse_as_its_metric_says(exps: tuple[Path, Path]) -> None:
    rows = read_clips(exps[1] / "scores/test/clips.tsv")
    for row in rows:
        if row.system == "generated":
            row.scores.values.update(estoi=0.9, pesq_nb=1.0)
    write_clips(exps[1] / "scores/test/clips.tsv", rows)
    write_texts(exps[0] / "scores/test/text/sphinx-grid", SAID, {"generated": dict.fromkeys(SAID, "")})
    write_texts(exps[1] / "scores/test/text/sphinx-grid", SAID, {"generated": SAID})
    found = {line.metric.title: line.finding(1) for line in collect(exps).sets[0].lines}
    assert found["ESTOI"] == "better"
    assert found["PESQ nb"] == "worse"
    assert found["WER"] == "better"  # fewer errors


def test_intervals_are_about_unseen_speakers_where_none_was_trained_on(exps: tuple[Path, Path]) -> None:
    data = exps[0].parents[1] / "data/tiny"
    DataDir.write(data / "train", utt2spk={"s9-x": "s9"}, video={"s9-x": "x.mp4"})
    part = collect(exps).sets[0]
    assert part.which == "4 clips that all of them have; intervals about people like these 2 speakers"
    a, b = (generated(exp) for exp in exps)
    gains = np.array([[b[clip].scores.values["estoi"] - a[clip].scores.values["estoi"]] for clip in sorted(a)])
    (expected,) = rates.means(gains, [clip[:2] for clip in sorted(a)])
    assert next(line for line in part.lines if line.metric.title == "ESTOI").differences[1] == expected


def test_config_keys_that_differ_are_told_by_todays_names(exps: tuple[Path, Path]) -> None:
    change(exps[0] / "config.yaml", lambda config: config.update(optimiser="adamw", lr=1, same=[1, 2]))
    change(exps[1] / "config.yaml", lambda config: config.update(optimizer="muon", lr=1.0, same=[1, 2], seed=3))
    assert collect(exps).config == [("optimizer", ["adamw", "muon"]), ("seed", ["-", "3"])]
    nested = [{"a": {"b": 1, "c": {"d": True}}, "e": []}, {"a": {"b": 1, "c": {"d": False}}, "e": [0.5]}]
    assert differing(nested) == [("a.c.d", ["true", "false"]), ("e", ["[]", "[0.5]"])]


def test_words_stand_under_one_another() -> None:
    reference = {"x": "bin blue at f now"}
    said = ("red blue at uh f now", "bin blue at er um f", "bin blue at f now please")
    rows = [align(reference, {"x": text}, normalization("en"))[0] for text in said]
    found = columns(rows)
    assert [" ".join(word or "-" for word in (column.reference, *column.words)) for column in found] == [
        "bin red bin bin",
        "blue blue blue blue",
        "at at at at",
        "- uh er -",
        "- - um -",
        "f f f f",
        "now now - now",
        "- - - please",
    ]
    assert [found[0].kind(number) for number in range(3)] == ["substituted", "right", "right"]
    assert [found[3].kind(number) for number in range(3)] == ["inserted", "inserted", "none"]
    assert found[6].kind(1) == "deleted"
    assert [column.changed for column in found] == [True, False, False, True, True, False, True, True]


def test_clips_whose_words_changed_are_ranked_and_counted(exps: tuple[Path, Path]) -> None:
    (words,) = collect(exps).sets[0].words
    assert [(clip.id, clip.change(), clip.errors) for clip in words.clips] == [
        ("s2-clip1", "fewer", (3, 0)),
        ("s1-clip0", "more", (0, 1)),
    ]
    assert words.total == 4
    assert words.count(1) == {"fewer": 1, "more": 1, "same": 0}
    same = align({"x": "one two"}, {"x": "one"}, normalization("en"))[0]
    assert changed_clips([{"x": same}, {"x": same}]) == []


def test_the_page_and_the_markdown_hold_it_all(exps: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    change(exps[1] / "config.yaml", lambda config: config.update(lr=0.5))
    assert main(["compare", str(exps[0]), str(exps[1])]) == 0
    told = capsys.readouterr().out
    file = exps[0].parent / "a-vs-b.html"
    assert told.splitlines()[-1].startswith(f"{file}: ")
    for piece in ("# a vs b", "| WER %, sphinx-grid | 41.7 [", "| lr  | 0.001 | 0.5 |", "Lips are read: a YES, b YES."):
        assert piece in told
    assert "`s2-clip1`, errors 3 / 0:" in told
    assert "| a         | lay | green | **with** | **p** | nine | ~~again~~ |" in told
    assert "more in the page" not in told
    page = Page(file.read_text(encoding="utf-8"))
    players = [tag["aria-label"] for tag in page.of("audio")]
    assert len(players) == 4 * 3
    assert {name.partition(",")[0] for name in players} == {"Ground truth", "a", "b"}
    buttons = [tag["data-player"] for tag in page.of("button")]
    assert len(buttons) == 2 * 3
    assert {*buttons} < {tag["id"] for tag in page.of("audio")}
    links = {tag["href"].removeprefix("#") for tag in page.of("a")}
    assert links <= {tag["id"] for _, tag in page.tags if "id" in tag}
    for piece in ("Words that changed", "Config keys that differ", "0.001", "lipsound2 train conf/parallel.yaml"):
        assert piece in page.words
    assert "http" not in file.read_text(encoding="utf-8").replace("http-equiv", "")

    text, other = exps[0].parent / "c.md", exps[0].parent / "c.html"
    assert main(["compare", *map(str, exps), "--markdown", str(text), "--out", str(other), "--clips", "0"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{text}: scores, words, config keys"
    written = text.read_text(encoding="utf-8")
    assert "`s2-clip1`, errors 3 / 0:" in written
    assert "| reference | lay | green | in       | b     | nine | again     |" in written
    assert "| a         | lay | green | **with** | **p** | nine | ~~again~~ |" in written
    assert not Page(other.read_text(encoding="utf-8")).of("audio")


def test_the_markdown_says_how_many_changed_clips_it_leaves_to_the_page(
    exps: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = collect(exps)
    text = compare_markdown.render(found, clips=1)
    assert "`s2-clip1`, errors 3 / 0:" in text
    assert "`s1-clip0`" not in text
    assert "\n\n... and 1 more in the page.\n\n" in text
    monkeypatch.setattr(compare_markdown, "ON_PAGE", 1)
    assert "\n\n... and 1 more; the page shows 1 of the 2.\n\n" in compare_markdown.render(found, clips=1)


def test_three_experiments_are_compared_with_the_first(exps: tuple[Path, Path]) -> None:
    third = exps[0].parent / "c"
    shutil.copytree(exps[0], third)
    compare(*map(str, (*exps, third)))
    found = collect((*exps, third))
    for line in found.sets[0].lines:
        assert len(line.values) == len(line.differences) == 3
        assert line.values[0] == line.values[2]
        assert line.differences[2].mean == 0
    page = Page((exps[0].parent / "a-vs-b-vs-c.html").read_text(encoding="utf-8"))
    assert "b − a" in page.words
    assert "c − a" in page.words
    assert "b has fewer errors than a in 1, more in 1, as many in 0; c has fewer errors in 0, more" in page.words


def test_what_is_not_alike_is_one_line_each(exps: tuple[Path, Path]) -> None:
    summary = exps[1] / "scores/test/summary.json"
    summary.write_text(summary.read_text().replace('"griffin-lim"', '"hifigan"'))
    rows = [row for row in read_clips(exps[1] / "scores/test/clips.tsv") if row.id != "s2-clip3"]
    write_clips(exps[1] / "scores/test/clips.tsv", rows)
    write_texts(exps[0] / "scores/test/text/free", SAID, {"generated": HEARD})
    shutil.copytree(exps[0] / "scores/test", exps[0] / "scores/dev")
    for exp, asr in zip(exps, ("exp/one", "exp/two"), strict=True):
        folder = exp / "text/test/sphinx-grid/generated"
        folder.mkdir(parents=True)
        (folder / "origin.yaml").write_text(f"asr: {asr}\n")
    found = collect(exps)
    assert found.notes == [
        "Set dev is not scored for all of them (a alone), and left out.",
        "test: other clips with speech scores (a 4, b 3); the 3 they share are compared.",
        "test: other vocoders (a griffin-lim, b hifigan); the differences are of these as well.",
        "test: texts of the recognizer free are not compared, as b has none: lipsound2 decode and score-text.",
        "test: sphinx-grid is not one recognizer (a exp/one, b exp/two); the differences are of these as well.",
    ]
    assert next(line for line in found.sets[0].lines).values[0].mean == pytest.approx(
        np.mean([row.scores.values["stoi"] for name, row in generated(exps[0]).items() if name != "s2-clip3"])
    )


def test_what_cannot_be_compared_is_refused_in_one_line(exps: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = map(str, exps)
    with pytest.raises(UsageError, match="a second experiment is wanted; write lipsound2 compare"):
        compare(a)
    with pytest.raises(LipsoundError, match="is given twice"):
        compare(a, a)
    with pytest.raises(LipsoundError, match="nosuch: is not there; give folders that training wrote"):
        compare(a, str(tmp_path / "nosuch"))
    with pytest.raises(LipsoundError, match="is no experiment"):
        compare(a, str(tmp_path))
    with pytest.raises(LipsoundError, match="has no scores of 'dev', but of test"):
        compare(a, b, set="dev")
    with pytest.raises(
        LipsoundError, match=r"--score loudness: not a score .* one of: stoi, estoi, .* wer:sphinx-grid"
    ):
        compare(a, b, score="loudness")
    (exps[1] / "scores/test").rename(exps[1] / "scores/dev")
    with pytest.raises(LipsoundError, match="no scored set in common: a of test; b of dev"):
        compare(a, b)
    shutil.rmtree(exps[1] / "scores")
    with pytest.raises(LipsoundError, match="has no scores to compare; run stage 5"):
        compare(a, b)
    assert not [*exps[0].parent.glob("*.html")]


def test_fault_A1_a_comparison_replaces_nothing_inside_an_experiment(exps: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = map(str, exps)
    (exps[0] / "RESULTS.md").write_text("what was found")
    (tmp_path / "link").symlink_to(exps[1])
    for place in ({"markdown": exps[0] / "RESULTS.md"}, {"out": exps[1] / "report.html"}):
        with pytest.raises(LipsoundError, match=r"is inside of .*, and may be its own; choose .* such as .*/a-vs-b\."):
            compare(a, b, **place)
    with pytest.raises(LipsoundError, match="is inside of"):
        compare(a, b, markdown=tmp_path / "link/scores/test/table.md")
    assert (exps[0] / "RESULTS.md").read_text() == "what was found"
    assert not (exps[1] / "report.html").exists()
    compare(a, b, out=exps[1] / "a-vs-b.html", clips=0)
    assert (exps[1] / "a-vs-b.html").exists()


def test_clips_are_ranked_by_texts_also_where_one_has_no_speech_score(exps: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = exps
    table = b / "scores/test/clips.tsv"
    write_clips(table, [row for row in read_clips(table) if row.id != "s1-clip0"])
    compare(str(a), str(b), out=tmp_path / "c.html", score="wer:sphinx-grid", clips=4)
    assert "s1-clip0" in (tmp_path / "c.html").read_text(encoding="utf-8")


def test_clips_of_other_sets_share_nothing(exps: tuple[Path, Path]) -> None:
    for name in ("scores/test/clips.tsv", "scores/test/text/sphinx-grid/generated.tsv"):
        path = exps[1] / name
        path.write_text(path.read_text().replace("\ns", "\nt"))
    with pytest.raises(LipsoundError, match=r"nothing to compare: .*they share none"):
        collect(exps)


def test_recognizers_are_compared_by_their_words(tmp_path: Path) -> None:
    clips = dict(zip(SAID, synthetic_clips(4).values(), strict=True))
    one = make_recognizer(tmp_path, clips)
    other = one.with_name("other")
    shutil.copytree(one, other)
    write_heard(one, ["greedy"], SAID, HEARD)
    write_heard(other, ["greedy"], SAID, BETTER)
    (part,) = collect([one, other], clips=2).sets
    assert [line.metric.title for line in part.lines] == ["WER", "CER", "SER"]
    assert part.verdicts == []
    assert part.cards[0].id == "s2-clip1"
    assert [*part.cards[0].audio] == ["real"]
    compare(str(one), str(other))
    assert "Words that changed" in Page((tmp_path / "exp/tiny_asr-vs-other.html").read_text()).words


def test_experiments_of_one_name_are_told_apart(exps: tuple[Path, Path], tmp_path: Path) -> None:
    twin, real = tmp_path / "copy/more/a", tmp_path / "copy/more/real"
    for path in (twin, real):
        shutil.copytree(exps[1], path)
    labels = [one.label for one in collect([exps[0], twin, real]).experiments]
    assert labels == [str(exps[0]), str(twin), str(real)]  # `real` is a system's name


LOOK = """
const wait = ms => new Promise(done => setTimeout(done, ms));
(async () => {
  const button = document.querySelector("[data-player]"), called = document.getElementById(button.dataset.player);
  for (let i = 0; i < 200 && !(called.duration > 0); i++) await wait(20);
  const videos = [...document.querySelectorAll("video")];
  for (let i = 0; i < 200 && !videos.every(one => one.videoWidth); i++) await wait(20);
  button.click();
  for (let i = 0; i < 200 && button.ariaPressed !== "true"; i++) await wait(20);
  const words = document.querySelector("[data-filter]"), show = words.querySelector("[name=show]");
  show.value = "fewer";
  show.dispatchEvent(new Event("change"));
  await fetch("/facts", {method: "POST", body: JSON.stringify({
    pressed: button.ariaPressed, label: button.ariaLabel,
    left: [...words.querySelectorAll("article")].filter(one => !one.hidden).map(one => one.ariaLabel),
    videos: videos.map(one => one.videoWidth),
    title: document.title, nodes: document.querySelectorAll("img[onerror], svg[onload], iframe").length,
    sideways: document.documentElement.scrollWidth - innerWidth, width: innerWidth})});
})();
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1400, 390])
def test_in_chromium_the_page_plays_filters_and_fits(exps: tuple[Path, Path], tmp_path: Path, width: int) -> None:
    with_videos(exps[0])
    change(exps[1] / "config.yaml", lambda config: config.update({"model": HOSTILE, "note": HOSTILE}))
    compare(*map(str, exps))
    page = (exps[0].parent / "a-vs-b.html").read_text(encoding="utf-8")
    facts, asked = visited(probed(page, LOOK), tmp_path, width)
    assert asked == {"/"}
    assert facts["pressed"] == "true"
    assert facts["label"] == "Play ground truth, s2-clip1"
    assert facts["left"] == ["Words of s2-clip1"]
    assert facts["videos"] == [256] * 4
    assert (facts["title"], facts["nodes"]) == ("a vs b · lipsound2", 0)
    assert facts["width"] == width
    assert facts["sideways"] <= 0
