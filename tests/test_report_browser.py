"""The report in Chromium: players, lips that follow, lists, downloads; and a stranger's files, which run nothing."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from helpers.experiments import write_texts
from helpers.report_browser import probed, visited
from helpers.report_pages import HEARD, HOSTILE, SAID, with_videos

from lipsound2.metrics.summary_files import read_clips
from lipsound2.report.report import report

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


@pytest.fixture
def exp(scored_experiment: Path, tmp_path: Path) -> Path:
    """A copy of an experiment of lip-to-speech with speech and scores, to be changed."""
    shutil.copytree(scored_experiment, tmp_path / "copy")
    return tmp_path / "copy/exp/tiny_parallel"


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
