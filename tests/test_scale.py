"""What a large corpus brings: tables as arrays, and faults after which the rest is done and a second run ends alike."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers.shard_workers import IDS, content
from helpers.video_making import write_clip
from hypothesis import given
from hypothesis import strategies as st
from test_video_crop import drawn

from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir, validate
from lipsound2.data.lookup import Lookup
from lipsound2.data.names import Names, Numbers, whole_numbers
from lipsound2.data.tables import read_table, write_table
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.jobs.jobs import StepSummary, dump_clips, read_failures
from lipsound2.video.crop import _Work
from lipsound2.video.cropper import Cropper
from lipsound2.video.encode import Encoder

sys.path.append(str(Path(__file__).parent / "benchmarks"))  # workers, which are spawned, find the module there too
from bench_scale import STEPS, Corpus


def test_the_benchmark_runs_at_a_small_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = Corpus(tmp_path, clips=600, speakers=20)
    for name, step in STEPS.items():
        if name != "loader-8":
            step(corpus)
    assert len(DataDir(corpus.all)) == len(Archive(corpus.dump / "mouth")) == 600
    assert len(set(DataDir(corpus.all).utt2spk.values())) == 20
    assert validate(corpus.shuffled) == 0
    assert "MB a process of its own" in capsys.readouterr().out


# ---- names and look-ups --------------------------------------------------------------------------------------------

names = st.lists(st.text(st.sampled_from(["a", "b", "-", "é", "😀"]), min_size=1, max_size=5), unique=True, max_size=20)


@given(names, names)
def test_names_are_found_where_they_are(some: list[str], others: list[str]) -> None:
    known, asked = Names.of(some), Names.of(others)
    assert known == sorted(some)
    assert [known.find(name) for name in known] == list(range(len(some)))
    places = [sorted(some).index(name) if name in some else -1 for name in sorted(others)]
    assert known.places(asked).tolist() == places
    assert [name in known for name in asked] == [place >= 0 for place in places]
    numbers = Numbers(known, np.arange(len(some)))
    if set(others) <= set(some):
        assert numbers.of(asked).tolist() == places
    else:
        with pytest.raises(KeyError):
            numbers.of(asked)


def test_whole_numbers() -> None:
    column = np.array([b"0", b"12", b"007", b"1a", b"-3", b"", b"9" * 18, b"9" * 19])
    assert whole_numbers(column).tolist() == [0, 12, 7, -1, -1, 0, 10**18 - 1, -1]


@given(names, names)
def test_a_row_is_found_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, some: list[str], asked: list[str]
) -> None:
    path = tmp_path_factory.mktemp("table") / "video.scp"
    table = {name: f"/a b/{name}.mp4" for name in some}
    write_table(path, table)
    assert [Lookup(path).get(name) for name in [*some, *asked]] == [table.get(name) for name in [*some, *asked]]
    assert Lookup(path.with_name("absent")).get("a") is None


def test_a_subset_of_a_subset_is_what_it_says(tmp_path: Path) -> None:
    ids = [f"s{number % 7}-{number:03d}é" for number in range(200)]
    tables = {"utt2spk": {name: name[:2] for name in ids}, "text": {name: f"A  B\t{name}" for name in ids}}
    data = DataDir.write(tmp_path / "all", **tables, video=dict.fromkeys(ids, __file__))
    part = data.subset(ids[::3], tmp_path / "part").subset(ids[::6], tmp_path / "rest")
    assert part.ids == sorted(ids[::6])
    assert dict(part.text) == {name: tables["text"][name] for name in ids[::6]}
    assert validate(part.path) == 0


# ---- faults --------------------------------------------------------------------------------------------------------


@dataclass
class Maker:
    """Makes workers that return 20 kB a clip.

    Attributes:
        hangs: id -> a pipe nobody writes to, which ffmpeg is asked to open for this clip.
    """

    hangs: dict[str, str]

    def __call__(self) -> Callable[[str], dict[str, Any]]:
        return self.work

    def work(self, name: str) -> dict[str, Any]:
        if name in self.hangs:
            av.open(self.hangs[name])
        return {"face": np.random.default_rng(len(name)).integers(0, 255, 20_000).astype(np.uint8)}


def run(dump: Path, ids: list[str] = IDS, **options: Any) -> StepSummary:
    given: dict[str, Any] = {
        "nj": 1,
        "max_failures": 1.0,
        "shard_size": 5,
        "fingerprint": {},
        "inputs": {},
        "hangs": {},
    }
    given |= options
    return dump_clips(dump, {"face": {}}, ids, Maker(given.pop("hangs")), step="crop", **given)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full_in_the_middle_of_a_shard(small_disk: Path, tmp_path: Path) -> None:
    run(tmp_path / "whole")
    whole, dump = content(tmp_path / "whole"), small_disk / "dump"
    with pytest.raises(LipsoundError, match=r"cannot write .*0000[12]\.ark: No space left on device") as caught:
        run(dump)
    assert "run the same command again" in str(caught.value)
    left = content(dump)
    assert left.items() <= whole.items()
    assert "face/shards/00000.done" in left
    assert not {"face/feats.scp", "face/utt2num_frames", "failures.tsv"} & left.keys()
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert run(dump).skipped >= 5
    assert content(dump) == whole


def test_a_video_that_hangs_the_decoder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert run(tmp_path / "dump", hangs={IDS[3]: str(tmp_path / "pipe")}, timeout=4) == StepSummary(23, 0, 1)
    assert read_failures(tmp_path / "dump") == [(IDS[3], "crop", "timeout", "took longer than 4 s, tried 2 times")]
    path = tmp_path / "dump" / "failures.tsv"
    path.write_text("")
    run(tmp_path / "dump")
    run(tmp_path / "whole")
    assert content(tmp_path / "dump") == content(tmp_path / "whole")


def test_ids_that_are_not_ascii_or_long(tmp_path: Path) -> None:
    ids = ["é-1", "ü\u30002", "说-话", "s" * 300 + "-1", "s1-a"]
    assert run(tmp_path / "dump", ids) == StepSummary(5, 0, 0)
    archive = Archive(tmp_path / "dump" / "face")
    assert archive.ids == sorted(ids)
    assert all(len(archive[name]) == 20_000 for name in ids)
    assert archive.num_frames() == dict.fromkeys(ids, 20_000)
    assert run(tmp_path / "dump", ids) == StepSummary(0, 5, 0)


def test_ids_with_blanks_or_twice_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(LipsoundError, match="a key must be one word, found 's1-a b'"):
        DataDir.write(tmp_path / "data", utt2spk={"s1-a b": "s1"})
    with pytest.raises(LipsoundError, match="expected clips with ids of their own, found 3 ids, 2 distinct"):
        run(tmp_path / "dump", ["a", "b", "a"])
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "dump").exists()


def test_a_clip_gone_from_the_data_dir_is_a_verdict(tmp_path: Path) -> None:
    write_table(tmp_path / "video.scp", {"s1-a": "a.mp4"})
    options = {"detector": "none", "min_face_ratio": 0.3}
    work = _Work(Lookup(tmp_path / "video.scp"), ("face",), options, {}, None, None)()
    with pytest.raises(ClipFailure, match=r"s1-b is no longer in .*video\.scp"):
        work("s1-b")


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    postfilter_sharpness = []
    frames, landmarks = drawn(50)
    for times in (4, 20):
        path = write_clip(tmp_path / f"{times}.mp4", [*frames] * times, [i / 25 for i in range(50 * times)])
        cropper = Cropper(("face", "mouth"), "none", budget=64 * frames[0].size)
        tracemalloc.start()  # sees numpy's memory
        crops = cropper(path, np.concatenate([landmarks] * times), Encoder)
        postfilter_sharpness.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert crops.timeline.num_frames == 50 * times
    # Beside the landmarks, a clip five times as long adds its streams: some kB a second, not 500 kB.
    assert postfilter_sharpness[1] - postfilter_sharpness[0] < 16 * 50 * 1e4


def test_tables_of_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes("a\tx  y \nb é\r\nc z".encode())
    assert read_table(tmp_path / "text") == {"a": "x  y", "b": "é", "c": "z"}
    assert Lookup(tmp_path / "text").get("a") == "x  y"
    assert Lookup(tmp_path / "text").get("c") == "z"
