"""Shards over worker processes: the same bytes whatever happens on the way, and a verdict for whatever goes wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipsound2.data.archive import Archive
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import folder_lock, temporary_of
from lipsound2.jobs import jobs
from lipsound2.jobs.jobs import StepSummary, dump_clips, read_failures
from lipsound2.jobs.shards import Failure, Result, Shard, Worker, compute_shard

MACHINE = {
    "memory": MemoryError(),
    "handles": OSError(errno.EMFILE, "Too many open files", "clip.mp4"),
    "disk": OSError(errno.EIO, "Input/output error", "clip.mp4"),
    "stale": OSError(errno.ESTALE, "Stale file handle", "clip.mp4"),
    "leave": PermissionError(errno.EACCES, "Permission denied", "clip.mp4"),
    "threads": RuntimeError("can't start new thread"),
    "torch": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 6220800 bytes"),
}
IDS = [f"s{number % 3}-c{number:02d}" for number in range(24)]
KINDS = {"mel": {"bands": 4, "compress": True}, "face": {"codec": "none"}}


@dataclass
class Maker:
    """Makes workers that do as told for some clips.

    Attributes:
        log: every clip that is tried is written here.
        acts: id -> what happens instead of a result.
        sleep: seconds every clip takes.
    """

    log: Path
    acts: dict[str, str] = field(default_factory=dict)
    sleep: float = 0.0

    def __call__(self) -> Worker:
        if self.acts.get("start") == "exit":
            os._exit(3)
        if self.acts.get("start") == "error":
            raise LipsoundError("the package 'mediapipe' cannot be imported")
        if "full-shard" in self.acts:  # what this process is going to write lies on a disk that is full
            temporary_of(Path(self.acts["full-shard"])).symlink_to("/dev/full")
        self.processes = self.log.with_suffix(".processes")
        with self.processes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return self.work

    def work(self, name: str) -> Result:
        with self.log.open("a") as file:
            file.write(name + "\n")
        time.sleep(self.sleep)
        act = self.acts.get(name, "")
        if act == "no-face":
            raise ClipFailure("no-face", "0 of\t75 frames\n")
        if act == "bug":
            raise ValueError("bad\nvalue")
        if act in ("kill", "kill-once") and not (act == "kill-once" and self._seen(name)):
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "hang":
            time.sleep(60)
        if act in MACHINE:
            raise MACHINE[act]
        if act == "hidden":
            raise ClipFailure("unreadable", name) from OSError(errno.EIO, "Input/output error", name)
        if act == "full":
            raise OSError(28, "No space left on device", "/tmp/x")
        rng = np.random.default_rng(int(name[-2:]))
        mel = rng.normal(size=(int(name[-2:]) + 9, 4)).astype(np.float32)
        return {
            "mel": mel,
            "mel/cmvn": np.stack([mel.sum(0, dtype=np.float64), (mel.astype(np.float64) ** 2).sum(0)]),
            "face": rng.integers(0, 255, 40).astype(np.uint8),
            "face/frames": len(mel) // 4,
            "face/timeline.tsv": f"0.0\t{len(mel) // 4}",
        }

    def _seen(self, name: str) -> bool:
        return self.log.read_text().split().count(name) > 1


def run(dump: Path, maker: Maker, **options: Any) -> StepSummary:
    given: dict[str, Any] = {"ids": IDS, "kinds": KINDS, "shard_size": 5, "fingerprint": {"every": 5}, "inputs": {}}
    given |= {"nj": 1, "max_failures": 1.0, **options}
    ids, kinds = given.pop("ids"), given.pop("kinds")
    return dump_clips(dump, kinds, ids, maker, step="crop", **given)


def content(dump: Path) -> dict[str, bytes]:
    """All files but locks."""
    files = (path for path in dump.rglob("*") if path.is_file() and not path.name.startswith(".lock"))
    return {str(path.relative_to(dump)): path.read_bytes() for path in files if ".locks" not in path.parts}


def tried(maker: Maker) -> list[str]:
    return maker.log.read_text().split() if maker.log.exists() else []


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dump of a run in one worker process that nothing disturbed."""
    folder = tmp_path_factory.mktemp("unbroken")
    maker = Maker(folder / "log")
    assert run(folder / "dump", maker, nj=1) == StepSummary(24, 0, 0)
    assert tried(maker) == sorted(IDS)
    return folder / "dump"


# ---- what a dump is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [-0.1, 5, float("nan")])
def test_fault_G5_a_share_of_failures_is_one(tmp_path: Path, share: float) -> None:
    with pytest.raises(LipsoundError, match="--max-failures is a share of the clips, from 0 to 1"):
        run(tmp_path / "dump", Maker(tmp_path / "log"), max_failures=share)
    assert not any(tmp_path.iterdir())


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


def test_what_is_done_is_skipped_and_what_changed_is_not(tmp_path: Path) -> None:
    sources = {name: str(tmp_path / f"{name}.mp4") for name in IDS}
    for path in sources.values():
        Path(path).write_text("x")
    maker = Maker(tmp_path / "log")
    run(tmp_path / "dump", maker, inputs=sources)
    before = content(tmp_path / "dump")
    maker.log.unlink()
    assert run(tmp_path / "dump", maker, inputs=sources) == StepSummary(0, 24, 0)
    assert tried(maker) == []
    Path(sources["s1-c13"]).write_text("longer")
    assert run(tmp_path / "dump", maker, inputs=sources) == StepSummary(5, 19, 0)
    assert "s1-c13" in tried(maker)
    changed = {name for name, data in content(tmp_path / "dump").items() if data != before[name]}
    assert changed == {f"{kind}/{name}" for kind in KINDS for name in ("shards.sha256", "shards/00002.done")}
    (tmp_path / "dump" / "face" / "shards" / "00001.ark").unlink()
    assert run(tmp_path / "dump", maker, inputs=sources) == StepSummary(5, 19, 0)
    assert run(tmp_path / "dump", maker, inputs=sources, fingerprint={"every": 6}) == StepSummary(24, 0, 0)
    assert run(tmp_path / "dump", maker, inputs=sources, fingerprint={"every": 6}, ids=IDS[:3]) == StepSummary(3, 0, 0)
    assert sorted(path.name for path in (tmp_path / "dump" / "mel" / "shards").iterdir()) == [
        "00000.ark",
        "00000.cmvn.ark",
        "00000.done",
    ]
    assert Archive(tmp_path / "dump" / "mel").ids == sorted(IDS[:3])


# ---- clips that fail -----------------------------------------------------------------------------------------------


def test_verdicts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    acts = {"s0-c03": "no-face", "s1-c04": "bug", "s2-c05": "kill", "s0-c12": "hang", "s1-c22": "kill-once"}
    maker = Maker(tmp_path / "log", acts)
    with caplog.at_level("INFO"):
        assert run(tmp_path / "dump", maker, nj=2, timeout=3) == StepSummary(20, 0, 4)
    assert "24 clips, 20 done, 0 done before, 4 failed" in caplog.text
    rows = {row[0]: row[1:] for row in read_failures(tmp_path / "dump")}
    assert rows["s0-c03"] == ("crop", "no-face", "0 of 75 frames")
    assert rows["s1-c04"][1] == "error"
    assert rows["s1-c04"][2].startswith("ValueError: bad value [test_jobs.py:")
    assert rows["s2-c05"] == ("crop", "worker-killed", "signal 9 (SIGKILL), tried 2 times")
    assert rows["s0-c12"] == ("crop", "timeout", "took longer than 3 s, tried 2 times")
    assert set(Archive(tmp_path / "dump" / "mel").ids) == set(IDS) - rows.keys()
    assert set(Archive(tmp_path / "dump" / "mel").num_frames()) == set(IDS) - rows.keys()
    # Again: who was killed or hung is tried again, with its shard; the verdicts on data stand.
    again = Maker(tmp_path / "again")
    assert run(tmp_path / "dump", again) == StepSummary(10, 13, 1)
    assert len(tried(again)) == 10
    assert {"s2-c05", "s0-c12"} <= set(Archive(tmp_path / "dump" / "mel").ids)
    # A line taken out of failures.tsv: that clip is tried again.
    path = tmp_path / "dump" / "failures.tsv"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "s1-c04" not in line))
    assert run(tmp_path / "dump", Maker(tmp_path / "third")) == StepSummary(5, 19, 0)
    assert run(tmp_path / "dump", Maker(tmp_path / "fourth")) == StepSummary(0, 24, 0)
    assert not tried(Maker(tmp_path / "fourth"))


def test_too_many_failures_end_the_step_after_everything_is_written(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "log", {"s0-c03": "no-face", "s1-c04": "no-face", "s2-c05": "bug"})
    for _ in range(2):
        message = (
            r"crop: 3 of 24 clips failed \(no-face 2, error 1\), more than --max-failures 0.1 allows; see .*failures"
        )
        with pytest.raises(LipsoundError, match=message):
            run(tmp_path / "dump", maker, max_failures=0.1)
        assert len(Archive(tmp_path / "dump" / "mel")) == 21
    assert run(tmp_path / "dump", maker, max_failures=0.125) == StepSummary(0, 21, 3)


def test_a_shard_where_all_fail(tmp_path: Path) -> None:
    acts = dict.fromkeys(sorted(IDS)[:5], "no-face")
    assert run(tmp_path / "dump", Maker(tmp_path / "log", acts)) == StepSummary(19, 0, 5)
    assert len(Archive(tmp_path / "dump" / "face")) == 19


def test_rows_of_other_steps_are_kept(tmp_path: Path) -> None:
    (tmp_path / "dump").mkdir()
    (tmp_path / "dump" / "failures.tsv").write_text("s0-c03\tmel\tno-audio\t\ns9-x\tcrop\told\t\n")
    run(tmp_path / "dump", Maker(tmp_path / "log", {"s0-c03": "no-face"}))
    assert read_failures(tmp_path / "dump") == [
        ("s0-c03", "crop", "no-face", "0 of 75 frames"),
        ("s0-c03", "mel", "no-audio", ""),
    ]


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


def test_wrong_options(tmp_path: Path) -> None:
    for options in ({"nj": 0}, {"launcher": "moon"}, {"ids": []}, {"ids": ["a", "a"]}, {"shard_size": 0}):
        with pytest.raises(LipsoundError, match="crop: "):
            run(tmp_path / "dump", Maker(tmp_path / "log"), **options)


def test_a_worker_that_forgets_a_kind_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(LipsoundError, match=r"returned nothing for 'lips' of clip 's0-c00' \(a bug\)"):
        run(tmp_path / "dump", Maker(tmp_path / "log"), kinds={**KINDS, "lips": {}})
    with pytest.raises(LipsoundError, match=r"returned 'face' for clip 's0-c00', which is no kind"):
        run(tmp_path / "dump", Maker(tmp_path / "log"), kinds={"mel": {}})


# ---- runs that are killed, runs that meet --------------------------------------------------------------------------

STAGE = """
import sys
from pathlib import Path
from test_jobs import Maker, run
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


def test_lock_is_free_when_a_run_has_ended(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "dump" / ".locks" / "crop", "step crop"), pytest.raises(LipsoundError, match="in use"):
        run(tmp_path / "dump", Maker(tmp_path / "log"))
    assert run(tmp_path / "dump", Maker(tmp_path / "log"), ids=IDS[:2]).done == 2


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
