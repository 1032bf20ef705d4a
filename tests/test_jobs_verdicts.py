"""What a step makes of each clip: it is done, skipped, or fails with a verdict, and may be tried again."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.shard_workers import IDS, KINDS, Maker, content, run, tried

from lipsound2.data.archive import Archive
from lipsound2.errors import LipsoundError
from lipsound2.jobs.jobs import StepSummary, read_failures


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


def test_verdicts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    acts = {"s0-c03": "no-face", "s1-c04": "bug", "s2-c05": "kill", "s0-c12": "hang", "s1-c22": "kill-once"}
    maker = Maker(tmp_path / "log", acts)
    with caplog.at_level("INFO"):
        assert run(tmp_path / "dump", maker, nj=2, timeout=3) == StepSummary(20, 0, 4)
    assert "24 clips, 20 done, 0 done before, 4 failed" in caplog.text
    rows = {row[0]: row[1:] for row in read_failures(tmp_path / "dump")}
    assert rows["s0-c03"] == ("crop", "no-face", "0 of 75 frames")
    assert rows["s1-c04"][1] == "error"
    assert rows["s1-c04"][2].startswith("ValueError: bad value [shard_workers.py:")
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


@pytest.mark.parametrize("share", [-0.1, 5, float("nan")])
def test_fault_G5_a_share_of_failures_is_one(tmp_path: Path, share: float) -> None:
    with pytest.raises(LipsoundError, match="--max-failures is a share of the clips, from 0 to 1"):
        run(tmp_path / "dump", Maker(tmp_path / "log"), max_failures=share)
    assert not any(tmp_path.iterdir())


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
