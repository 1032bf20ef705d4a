"""Shards over worker processes: whatever happens on the way, the bytes of a run that nothing disturbed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.shard_workers import IDS, KINDS, MACHINE, Maker, content, run, tried

from lipsound2.data.archive import Archive
from lipsound2.errors import LipsoundError
from lipsound2.files import temporary_of
from lipsound2.jobs import jobs
from lipsound2.jobs.jobs import StepSummary
from lipsound2.jobs.shards import Failure, Shard, compute_shard


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dump of a run in one worker process that nothing disturbed."""
    folder = tmp_path_factory.mktemp("unbroken")
    maker = Maker(folder / "log")
    assert run(folder / "dump", maker, nj=1) == StepSummary(24, 0, 0)
    assert tried(maker) == sorted(IDS)
    return folder / "dump"


# ---- what a dump is ------------------------------------------------------------------------------------------------


def test_dump_holds_what_the_workers_returned(unbroken: Path) -> None:
    mel, face = Archive(unbroken / "mel"), Archive(unbroken / "face")
    assert mel.ids == face.ids == sorted(IDS)
    wanted = Maker(Path(os.devnull)).work("s1-c13")
    np.testing.assert_allclose(mel["s1-c13"], np.asarray(wanted["mel"]), atol=0.1)
    np.testing.assert_array_equal(face["s1-c13"], np.asarray(wanted["face"]))
    np.testing.assert_array_equal(Archive(unbroken / "mel" / "cmvn.scp")["s1-c13"], np.asarray(wanted["mel/cmvn"]))
    assert mel.num_frames()["s1-c13"] == 22
    assert face.num_frames()["s1-c13"] == 5
    assert mel.meta == KINDS["mel"]
    assert (unbroken / "face" / "timeline.tsv").read_text().startswith("s0-c00\t0.0\t2\ns0-c03\t0.0\t3\n")
    assert (unbroken / "mel" / "feats.scp").read_text().startswith("s0-c00 shards/00000.ark:7\n")
    assert (unbroken / "failures.tsv").read_text() == ""


def test_number_of_workers_does_not_matter(unbroken: Path, tmp_path: Path) -> None:
    maker = Maker(tmp_path / "log")
    assert run(tmp_path / "dump", maker, nj=3, ids=IDS[::-1]) == StepSummary(24, 0, 0)
    assert content(tmp_path / "dump") == content(unbroken)
    assert len(maker.log.with_suffix(".processes").read_text().split()) == 3  # each kept for its whole life


# ---- steps that fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("acts", "message"),
    [
        ({"start": "error"}, "crop: the package 'mediapipe' cannot be imported; whole shards are kept"),
        ({"start": "exit"}, "crop: a worker process ended while it started: exit status 3"),
        ({"s1-c22": "full"}, "crop: cannot write /tmp/x: No space left on device"),
        ({"full-shard": "mel/shards/00004.ark"}, r"cannot write .*00004\.ark: No space left on device"),
    ],
)
def test_what_stops_a_step_is_one_line_and_nothing_is_half_written(
    unbroken: Path, tmp_path: Path, acts: dict[str, str], message: str
) -> None:
    dump = tmp_path / "dump"
    acts = {key: f"{dump}/{value}" if key.startswith("full-") else value for key, value in acts.items()}
    with pytest.raises(LipsoundError, match=message) as caught:
        run(dump, Maker(tmp_path / "log", acts), nj=1 + ("full" in acts.values()))
    assert "\n" not in str(caught.value)
    left = content(dump)
    # All that stands there is whole, and an index stands only in a kind that is.
    done = content(unbroken)
    assert {name: done[name] for name in left} == left
    assert "face/feats.scp" not in left
    assert not any(".tmp" in name for name in left)
    summary = run(dump, Maker(tmp_path / "log2"))
    assert summary.skipped == sum(
        len(IDS[i : i + 5]) for i in range(0, 24, 5) if f"face/shards/0000{i // 5}.done" in left
    )
    assert content(dump) == done


def test_disk_that_fills_up_while_tables_are_joined(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = jobs._merge

    def full(folder: Path, kind: str, shards: list[Shard]) -> None:
        if kind == "face":
            temporary_of(folder / "timeline.tsv").symlink_to("/dev/full")
        merge(folder, kind, shards)

    dump = tmp_path / "dump"
    monkeypatch.setattr(jobs, "_merge", full)
    with pytest.raises(LipsoundError, match=r"cannot write .*timeline\.tsv: No space left on device"):
        run(dump, Maker(tmp_path / "log"))
    assert not (dump / "face" / "feats.scp").exists()
    assert content(dump).items() <= content(unbroken).items()
    monkeypatch.undo()
    assert run(dump, Maker(tmp_path / "log")) == StepSummary(0, 24, 0)
    assert content(dump) == content(unbroken)


# ---- runs that are killed ------------------------------------------------------------------------------------------

STAGE = """
import sys
from pathlib import Path
from helpers.shard_workers import Maker, run
run(Path(sys.argv[1]), Maker(Path(sys.argv[2]), sleep=0.15))
"""


def test_killed_stage_goes_on_and_a_second_run_is_refused(unbroken: Path, tmp_path: Path) -> None:
    dump, log = tmp_path / "dump", tmp_path / "log"
    command = [sys.executable, "-c", STAGE, str(dump), str(log)]
    stage = subprocess.Popen(command, cwd=Path(__file__).parent, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 60
        while not list(dump.glob("face/shards/*.done")) and time.monotonic() < limit:
            time.sleep(0.05)
        with pytest.raises(LipsoundError, match="in use by another run") as caught:
            run(dump, Maker(tmp_path / "second"))
        assert f"process {stage.pid}" in str(caught.value)
        assert not (tmp_path / "second").exists()
    finally:
        stage.kill()
        stage.wait()
    workers = [int(pid) for pid in log.with_suffix(".processes").read_text().split()]
    limit = time.monotonic() + 20
    while any(_runs(pid) for pid in workers) and time.monotonic() < limit:
        time.sleep(0.05)  # workers notice with their next clip that nobody waits for it
    assert not any(_runs(pid) for pid in workers)
    assert not (dump / "mel" / "feats.scp").exists()
    whole = len(list(dump.glob("face/shards/*.done")))
    assert 1 <= whole < 5
    maker = Maker(tmp_path / "rest")
    summary = run(dump, maker)
    assert summary.skipped >= 5 * whole - 1
    assert len(tried(maker)) == summary.done == 24 - summary.skipped
    assert content(dump) == content(unbroken)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_shard_is_computed_from_a_picklable_description(unbroken: Path, tmp_path: Path) -> None:
    shard = Shard(tmp_path, 1, tuple(sorted(IDS)[5:10]), KINDS, dict.fromkeys(KINDS, "0"))
    lost = {shard.ids[1]: Failure(shard.ids[1], "timeout", "")}
    places: list[tuple[int, int]] = []
    failures = compute_shard(shard, Maker(tmp_path / "log").work, lost, lambda *place: places.append(place))
    assert failures == list(lost.values())
    assert places == [(0, 0), (1, 0), (2, 1), (3, 1), (4, 1)]
    assert shard.failures() == failures
    assert list(shard.rows("mel")["cmvn.scp"]) == [shard.ids[0], *shard.ids[2:]]


# ---- errors of the machine are no clip's ---------------------------------------------------------------------------


@pytest.mark.parametrize("act", [*MACHINE, "hidden"])
def test_fault_A13_what_the_machine_failed_is_lost_by_no_clip(unbroken: Path, tmp_path: Path, act: str) -> None:
    dump, acts = tmp_path / "dump", {"s1-c04": act, "s2-c05": "no-face"}
    for _ in range(2):
        with pytest.raises(
            LipsoundError, match=r"the machine failed 1 of 24 clips, the first one 's1-c04'.*run the same"
        ):
            run(dump, Maker(tmp_path / "log", acts))
        assert len(Archive(dump / "mel")) == 22
    rest = Maker(tmp_path / "rest")
    assert run(dump, rest) == StepSummary(5, 18, 1)
    assert len(tried(rest)) == 5
    assert "s1-c04" in Archive(dump / "mel")


def test_fault_A13_a_machine_that_fails_every_clip_stops_the_step(unbroken: Path, tmp_path: Path) -> None:
    maker = Maker(tmp_path / "log", dict.fromkeys(IDS, "memory"))
    with pytest.raises(LipsoundError, match=r"failed 5 clips in a row.*MemoryError.*run the same command again"):
        run(tmp_path / "dump", maker)
    assert len(set(tried(maker))) == 5
    assert not (tmp_path / "dump" / "failures.tsv").exists()
    assert run(tmp_path / "dump", Maker(tmp_path / "rest")) == StepSummary(24, 0, 0)
    assert content(tmp_path / "dump") == content(unbroken)


def test_fault_A13_verdicts_of_earlier_versions_that_were_the_machines_are_tried_again(
    unbroken: Path, tmp_path: Path
) -> None:
    dump, acts = tmp_path / "dump", dict.fromkeys(["s0-c03", "s1-c22"], "no-face")
    run(dump, Maker(tmp_path / "log", acts))
    for path in dump.glob("*/shards/*.done"):
        head, rows = path.read_text().split("\n")
        before = {key: value for key, value in json.loads(head).items() if key in ("hash", "failures")}
        for row in before["failures"]:
            row[1:] = ["unreadable", "clip.mp4: [Errno 12] Cannot allocate memory: 'clip.mp4'"]
        path.write_text(f"{json.dumps(before)}\n{rows}")
    assert run(dump, Maker(tmp_path / "rest")) == StepSummary(10, 14, 0)
    assert set(Archive(dump / "mel").ids) == set(IDS)


# ---- what was damaged since it was made ----------------------------------------------------------------------------


def older(dump: Path) -> None:
    """Make a dump as earlier versions left it: no sizes anywhere."""
    for path in dump.glob("*/shards/*.done"):
        head, rows = path.read_text().split("\n")
        content = {key: value for key, value in json.loads(head).items() if key in ("hash", "failures")}
        path.write_text(f"{json.dumps(content)}\n{rows}")
    for path in dump.glob("*/.sizes"):
        path.unlink()


@pytest.mark.parametrize("act", ["half", "empty", "gone"])
@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("face/shards/00002.ark", 5),
        ("mel/shards/00004.cmvn.ark", 4),
        ("mel/shards/00001.done", 5),
        ("mel/feats.scp", 0),
        ("mel/cmvn.scp", 0),
        ("mel/utt2num_frames", 0),
        ("face/timeline.tsv", 0),
        ("face/kind.yaml", 0),
        ("face/shards.sha256", 0),
    ],
)
def test_fault_A14_what_is_damaged_is_made_again(
    unbroken: Path, tmp_path: Path, name: str, made: int, act: str
) -> None:
    dump = tmp_path / "dump"
    shutil.copytree(unbroken, dump)
    damage(dump / name, act)
    assert run(dump, Maker(tmp_path / "log")) == StepSummary(made, 24 - made, 0)
    assert content(dump) == content(unbroken)
    # Of earlier versions what is absent is missed, and the rest believed.
    older(dump)
    before = {path: path.stat().st_mtime_ns for path in dump.rglob("feats.scp")}
    assert run(dump, Maker(tmp_path / "log")) == StepSummary(0, 24, 0)
    assert before == {path: path.stat().st_mtime_ns for path in dump.rglob("feats.scp")}
    older(dump)
    damage(dump / name, "gone")
    assert run(dump, Maker(tmp_path / "log")) == StepSummary(
        made * (".cmvn" not in name), 24 - made * (".cmvn" not in name), 0
    )


def test_fault_C8_what_a_killed_step_left_of_its_verdicts_goes(unbroken: Path, tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    shutil.copytree(unbroken, dump)
    (dump / "face/shards.sha256").unlink()  # a step that was killed before its end
    left = dump / f".failures.{2**22 + 1}.tmp.tsv"  # more than a process can be numbered
    left.touch()
    run(dump, Maker(tmp_path / "log"))
    assert content(dump) == content(unbroken)
    assert not left.exists()


def test_fault_C8_what_a_step_left_that_was_killed_over_its_last_note_goes(unbroken: Path, tmp_path: Path) -> None:
    dump = tmp_path / "dump"
    shutil.copytree(unbroken, dump)
    (dump / "face/.sizes").unlink()  # all else was written
    left = dump / f"face/..sizes.{2**22 + 1}.tmp"
    left.touch()
    run(dump, Maker(tmp_path / "log"))
    assert content(dump) == content(unbroken)
    assert not left.exists()


def damage(path: Path, act: str) -> None:
    if act == "gone":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size // 2 if act == "half" else 0)


@pytest.mark.parametrize(
    "head",
    [
        *("[]", "7", "null", '"x"', "{}", "{", "[" * 20_000, '{"hash": ' + "1" * 5000 + "}"),
        *('{"hash": HASH}', '{"hash": HASH, "failures": 5}', '{"hash": HASH, "failures": [["a"]]}'),
        *('{"hash": HASH, "failures": [[1, 2, 3]]}', '{"hash": HASH, "failures": [], "sizes": 3}'),
        *('{"hash": HASH, "failures": [], "sizes": {"00001.ark": "x"}}', '{"hash": HASH, "failures": [], "rows": "x"}'),
        '{"hash": HASH, "failures": {}}',
    ],
)
@pytest.mark.parametrize("rest", ["ROWS", "", "{}", "[]", '{"feats.scp": 3}', "{"])
def test_fault_F7_a_done_file_of_another_shape_means_the_shard_is_computed_again(
    unbroken: Path, tmp_path: Path, head: str, rest: str
) -> None:
    shard = Shard(tmp_path, 1, tuple(sorted(IDS)[5:10]), KINDS, dict.fromkeys(KINDS, "ab"))
    compute_shard(shard, Maker(tmp_path / "log").work, {}, lambda *place: None)
    assert shard.failures() == []
    assert shard.is_readable()
    path = shard.path("mel", ".done")
    rows = path.read_text().split("\n")[1]
    path.write_text(f"{head.replace('HASH', json.dumps('ab'))}\n{rest.replace('ROWS', rows)}")
    assert shard.failures() is None or not shard.is_readable()


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe{", b"[]\n[]", b'{"hash": 3}', b"\0" * 50, b"{}\n{}"])
def test_fault_F7_a_step_with_damaged_done_files_ends_as_ever(unbroken: Path, tmp_path: Path, damage: bytes) -> None:
    dump = tmp_path / "dump"
    shutil.copytree(unbroken, dump)
    (dump / "mel" / "shards" / "00001.done").write_bytes(damage)
    path = dump / "face" / "shards" / "00003.done"
    path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n" + damage)
    assert run(dump, Maker(tmp_path / "log")) == StepSummary(10, 14, 0)
    assert content(dump) == content(unbroken)
