"""GRID as it lies on disks: layouts, transcripts, protocols, lists, pairs."""

from __future__ import annotations

import itertools
import random
import zipfile
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pytest

from lipsound2 import corpora
from lipsound2.corpora.grid import PROTOCOLS, SPEAKERS, scan
from lipsound2.corpora.lists import read_lists
from lipsound2.corpora.pairs import derange, most_shared
from lipsound2.corpora.preparation import prepare
from lipsound2.corpora.protocols import places
from lipsound2.corpora.recordings import Recordings
from lipsound2.corpora.sentences import SLOTS, format_align, read_align, shared_words, words_of
from lipsound2.corpora.summary import comparable
from lipsound2.corpora.unpack import unpack_zip
from lipsound2.data.datadir import DataDir
from lipsound2.errors import LipsoundError

ALL_NAMES = ["".join(codes) for codes in itertools.product(*SLOTS)]


def names_of(speaker: int, count: int = 20) -> list[str]:
    """Sentences of one speaker; no two speakers share one."""
    return ALL_NAMES[speaker * 1009 :: 37][:count]


def align_text(name: str) -> str:
    words = words_of(name)
    assert words is not None
    rows = [(0.0, 0.5, "sil"), *((0.5 + i * 0.3, 0.8 + i * 0.3, word) for i, word in enumerate(words))]
    return format_align(rows)


def make(root: Path, pattern: str, align: str | None = "align/{speaker}", speakers: tuple[int, ...] = (1, 2)) -> Path:
    """A GRID of empty clips: `pattern` and `align` are the folders of one speaker."""
    for number in speakers:
        for name in names_of(number):
            video = root / pattern.format(speaker=f"s{number}") / f"{name}.mpg"
            video.parent.mkdir(parents=True, exist_ok=True)
            video.write_bytes(b"x" * 10)
            if align:
                text = root / align.format(speaker=f"s{number}") / f"{name}.align"
                text.parent.mkdir(parents=True, exist_ok=True)
                text.write_text(align_text(name))
    return root


def aligned(found: Recordings) -> int:
    """Clips whose words have times."""
    return sum(bool(clip.words) for clip in found.by_id.values())


def owners(ids: Collection[str]) -> set[str]:
    return {id.partition("-")[0] for id in ids}


def table(path: Path) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines())


def test_names_are_sentences() -> None:
    assert words_of("bbaf2n") == ["bin", "blue", "at", "f", "two", "now"]
    assert words_of("swwzza") == ["set", "white", "with", "z", "zero", "again"]
    for wrong in ("bbaw2n", "bbaf2", "bbaf2nn", "xbaf2n", "bbaf0n", "Bbaf2n"):
        assert words_of(wrong) is None
    assert len(ALL_NAMES) == 4 * 4 * 4 * 25 * 10 * 4
    assert shared_words("bbaf2n", "bgaf3s") == 3


def test_align_times_are_seconds() -> None:
    rows = read_align("0 23750 sil\n23750 29500 bin\n\n29500 74500 sil\n")
    assert rows[1] == (0.95, 1.18, "bin")
    assert format_align(rows) == "0 23750 sil\n23750 29500 bin\n29500 74500 sil\n"
    with pytest.raises(ValueError, match="line 2"):
        read_align("0 10 sil\n10 bin\n")
    with pytest.raises(ValueError, match="before"):
        read_align("10 5 sil\n")


@pytest.mark.parametrize(
    ("pattern", "align"),
    [
        ("{speaker}", "align/{speaker}"),
        ("{speaker}", "alignments/{speaker}"),
        ("{speaker}", "{speaker}/align"),
        ("{speaker}/video/mpg_6000", "{speaker}/align"),
        ("{speaker}/video", "alignments/{speaker}"),
        ("{speaker}/{speaker}", "alignments/alignments/{speaker}"),
        ("GRID corpus/video/{speaker}", "GRID corpus/{speaker}/align"),
        ("{speaker}.mpg_vcd/{speaker}", "align/{speaker}"),
        ("{speaker}", None),
    ],
)
def test_layouts(tmp_path: Path, pattern: str, align: str | None) -> None:
    found = scan(make(tmp_path, pattern, align))
    assert sorted(found.by_id) == sorted(f"s{n}-{name}" for n in (1, 2) for name in names_of(n))
    assert aligned(found) == (40 if align else 0)
    assert found.problems == []
    assert found.notes == []


def test_alignments_attached_to_the_wrong_speakers_are_found(tmp_path: Path) -> None:
    make(tmp_path, "{speaker}", None, speakers=(5, 6, 7))
    for folder, owner in (("s5", 6), ("s6", 5), ("s7", 7)):
        for name in names_of(owner):
            path = tmp_path / "alignments" / folder / f"{name}.align"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(align_text(name))
    found = scan(tmp_path)
    assert aligned(found) == 60
    assert found.problems == []
    assert [note.split()[3] for note in found.notes] == ["s5", "s6"]
    assert f"{Path('alignments') / 's6'}" in found.notes[0]


def test_a_foreign_alignment_folder_is_not_taken(tmp_path: Path) -> None:
    make(tmp_path, "{speaker}", "align/{speaker}", speakers=(1,))
    make(tmp_path, "{speaker}", None, speakers=(2,))
    (tmp_path / "align" / "s1" / f"{names_of(2)[0]}.align").write_text(align_text(names_of(2)[0]))
    found = scan(tmp_path)
    assert aligned(found) == 20
    assert found.names["s2"] == set(names_of(2))


def test_transcripts_are_checked(tmp_path: Path) -> None:
    make(tmp_path, "{speaker}")
    first, second = names_of(1)[:2]
    (tmp_path / "align/s1" / f"{first}.align").write_text(align_text(second))
    (tmp_path / "align/s1" / f"{second}.align").write_text("0 10\n")
    found = scan(tmp_path)
    assert {(p.id, p.reason, p.dropped) for p in found.problems} == {
        (f"s1-{first}", "transcript-mismatch", False),
        (f"s1-{second}", "unreadable-alignment", False),
    }
    assert f"s1-{first}" in found.by_id
    assert aligned(found) == 38


def test_odd_files_are_told(tmp_path: Path) -> None:
    make(tmp_path, "{speaker}")
    (tmp_path / "s1" / "holiday.mp4").touch()
    (tmp_path / "bbaf2n.mpg").touch()
    (tmp_path / "__MACOSX" / "s1").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "s1" / "._bbaf2n.mpg").touch()
    twice = tmp_path / "s2" / "video" / f"{names_of(2)[0]}.mpg"
    twice.parent.mkdir()
    twice.write_bytes(b"x" * 99)
    (tmp_path / "s21").mkdir()
    (tmp_path / "s21" / "bbaf2n.wav").touch()
    found = scan(tmp_path)
    assert {p.reason for p in found.problems} == {"not-a-grid-name", "no-speaker", "second-copy"}
    assert found.by_id[f"s2-{names_of(2)[0]}"].video == str(twice)
    assert any("s21" in note for note in found.notes)
    assert len(found.by_id) == 40


def test_nothing_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(LipsoundError, match="no such folder"):
        scan(tmp_path / "absent")
    (tmp_path / "readme.txt").touch()
    with pytest.raises(LipsoundError, match=r"found readme\.txt"):
        scan(tmp_path)
    (tmp_path / "s1.zip").touch()
    with pytest.raises(LipsoundError, match="still packed"):
        scan(tmp_path)


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_packed_corpus_is_unpacked_where_told(tmp_path: Path) -> None:
    root = tmp_path / "zips"
    root.mkdir()
    for number in (1, 2):
        pack(root / f"s{number}.zip", {f"s{number}/{name}.mpg": b"x" for name in names_of(number)})
    aligns = {f"alignments/s{n}/{name}.align": align_text(name).encode() for n in (1, 2) for name in names_of(n)}
    pack(root / "alignments.zip", aligns)
    corpora.prepare("grid", root, tmp_path / "data", unpack=tmp_path / "open")
    assert len(table(tmp_path / "data" / "all" / "text")) == 40
    assert sorted(path.name for path in root.iterdir()) == ["alignments.zip", "s1.zip", "s2.zip"]


@pytest.mark.parametrize("name", ["../evil.mpg", "/evil.mpg", "s1/../../evil.mpg", "..\\evil.mpg", "C:/evil.mpg"])
def test_archive_members_stay_inside(tmp_path: Path, name: str) -> None:
    archive = pack(tmp_path / "s1.zip", {"s1/bbaf2n.mpg": b"x", name: b"evil"})
    with pytest.raises(LipsoundError, match="leave its folder"):
        unpack_zip(archive, tmp_path / "open")
    assert list((tmp_path / "open").iterdir()) == []
    assert list(tmp_path.rglob("evil*")) == []


def test_links_and_damaged_archives_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s1.zip", "w") as file:
        link = zipfile.ZipInfo("s1/link")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc")
    with pytest.raises(LipsoundError, match="is a link"):
        unpack_zip(tmp_path / "s1.zip", tmp_path / "open")
    whole = pack(tmp_path / "s2.zip", {"s2/bbaf2n.mpg": b"abcdefgh" * 100}).read_bytes()
    (tmp_path / "s2.zip").write_bytes(whole.replace(b"abcdefgh", b"abcdefgX", 1))
    with pytest.raises(LipsoundError, match="not a whole zip"):
        unpack_zip(tmp_path / "s2.zip", tmp_path / "open")
    assert list((tmp_path / "open").iterdir()) == []


def whole_corpus() -> dict[str, set[str]]:
    return {speaker: set(random.Random(speaker).sample(ALL_NAMES, 1000)) for speaker in SPEAKERS}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("4speakers", {"train": 3600, "valid": 200, "test": 200}),
        ("lipsound2-sd", {"train": 3600, "valid": 200, "test": 200}),
        ("33seen", {"train": 29700, "valid": 1650, "test": 1650}),
        ("overlapped", {"train": 23331, "valid": 1254, "test": 8415}),
        ("unseen", {"train": 27550, "valid": 1450, "test": 4000}),
        ("unseen-vougioukas", {"train": 16000, "valid": 7000, "test": 10000}),
    ],
)
def test_protocols_of_a_whole_corpus_have_the_published_counts(name: str, counts: dict[str, int]) -> None:
    protocol = PROTOCOLS[name]
    sets = protocol.split(Recordings(names=whole_corpus()))
    assert {subset: len(ids) for subset, ids in sets.items()} == counts == protocol.wanted()
    assert len(set().union(*sets.values())) == sum(counts.values())
    if protocol.published:
        assert "agree with" in comparable(protocol, counts)
        assert "partial" in comparable(protocol, {**counts, "train": counts["train"] // 2})
        assert "DIFFER" in comparable(protocol, {**counts, "test": counts["test"] * 2})


def test_speakers_of_the_unseen_protocols() -> None:
    sets = PROTOCOLS["unseen"].split(Recordings(names=whole_corpus()))
    assert owners(sets["test"]) == {"s1", "s2", "s20", "s22"}
    assert owners(sets["train"]).isdisjoint(owners(sets["test"]))
    sets = PROTOCOLS["unseen-vougioukas"].split(Recordings(names=whole_corpus()))
    speakers = [owners(ids) for ids in sets.values()]
    assert [len(some) for some in speakers] == [16, 7, 10]
    assert set().union(*speakers) == set(SPEAKERS)
    assert "s24" in speakers[0]


def test_a_partial_corpus_does_not_move_clips() -> None:
    names = set(whole_corpus()["s1"])
    some = set(sorted(names)[::3])
    fewer = set(sorted(some)[::2])
    assert places("s1", fewer, 0, 1000).items() <= places("s1", some, 0, 1000).items()
    assert places("s1", some, 0, 1000) != places("s1", some, 1, 1000)
    share = sum(place < 0.3 for place in places("s1", set(sorted(names)[1:]), 0, 1000).values()) / 999
    assert share == pytest.approx(0.3, abs=0.05)


def test_frames_missing_of_aligned_sentences_do_not_move_clips(tmp_path: Path) -> None:
    names = sorted(whole_corpus()["s1"])
    for name in names:
        path = tmp_path / "align" / "s1" / f"{name}.align"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "s1").mkdir()
    for name in names[::2]:
        (tmp_path / "s1" / f"{name}.mpg").touch()
    found = scan(tmp_path)
    whole = PROTOCOLS["4speakers"].split(Recordings(names={"s1": set(names)}))
    assert PROTOCOLS["4speakers"].split(found) == whole
    assert len(whole["test"]) == 50


def test_pairs_share_no_word_and_are_a_permutation() -> None:
    ids = [f"s{n}-{name}" for n in (1, 2) for name in sorted(whole_corpus()[f"s{n}"])[::10]]
    pairs = derange(ids)
    assert sorted(pairs) == sorted(pairs.values()) == sorted(ids)
    assert all(a != b and a.split("-")[0] == b.split("-")[0] for a, b in pairs.items())
    assert most_shared(pairs) == 0
    assert derange(reversed(ids)) == pairs
    assert derange(ids, seed=1) != pairs


def test_pairs_of_few_clips() -> None:
    assert derange([]) == derange(["s1-bbaf2n"]) == {}
    pairs = derange(["s1-bbaf2n", "s2-bbaf2s", "s2-lwbz9s"])
    assert pairs == {"s1-bbaf2n": "s2-lwbz9s", "s2-bbaf2s": "s2-lwbz9s", "s2-lwbz9s": "s2-bbaf2s"}
    assert most_shared(pairs) == 1


def test_prepare_writes_data_dirs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make(tmp_path / "a corpus, größer", "{speaker}")
    data = tmp_path / "data"
    corpora.prepare("grid", root, data, protocol="4speakers")
    text = capsys.readouterr().out
    assert "missing speakers: s4 s29" in text
    assert "partial" in text
    whole = table(data / "all" / "video.scp")
    assert len(whole) == 40
    assert all(Path(path).is_absolute() and Path(path).exists() for path in whole.values())
    parts = [list(table(path)) for path in (data / "4speakers").glob("*/utt2spk")]
    assert sorted(id for part in parts for id in part) == sorted(whole)
    before = (data / "4speakers" / "train" / "text").stat().st_mtime_ns
    corpora.prepare("grid", root, data, protocol="4speakers")
    assert "done, skipped" in capsys.readouterr().out
    assert (data / "4speakers" / "train" / "text").stat().st_mtime_ns == before
    (root / "s1" / f"{names_of(1)[0]}.mpg").unlink()
    corpora.prepare("grid", root, data, protocol="4speakers")
    assert len(table(data / "all" / "text")) == 39


def test_protocols_that_cannot_be(tmp_path: Path) -> None:
    root = make(tmp_path / "corpus", "{speaker}", speakers=(5,))
    with pytest.raises(LipsoundError, match="needs the speakers s1 s2 s4 s29, found s5"):
        corpora.prepare("grid", root, tmp_path / "data", protocol="4speakers")
    with pytest.raises(LipsoundError, match="one of: 4speakers"):
        corpora.prepare("grid", root, tmp_path / "data", protocol="fourspeakers")
    with pytest.raises(LipsoundError, match="--lists"):
        corpora.prepare("grid", root, tmp_path / "data", protocol="lists")


def write_lists(folder: Path, ids: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    rows = [f"{id}\t{id.replace('-', '/')}.mpg\t{' '.join(words_of(id.split('-')[1]) or [])}" for id in ids]
    (folder / "train.tsv").write_bytes(("\ufeff" + "\r\n".join(rows[:10]) + "\r\n").encode())
    (folder / "test.tsv").write_text("\n".join([*rows[10:], "s1-bbaf2n\ts1/bbaf2n.mpg\tbin blue at f two now"]))
    (folder / "test_mismatched.tsv").write_text(f"{ids[10]}\t{ids[11]}\n{ids[11]}\ts1-bbaf2n\n")


def test_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make(tmp_path / "corpus", "{speaker}", speakers=(1,))
    ids = [f"s1-{name}" for name in names_of(1)]
    write_lists(tmp_path / "lists", ids)
    data = tmp_path / "data"
    corpora.prepare("grid", root, data, protocol="lists", lists=tmp_path / "lists")
    assert "lists/test: 10 of 11 listed clips, 1 MISSING" in capsys.readouterr().out
    assert sorted(table(data / "lists" / "train" / "text")) == sorted(ids[:10])
    pairs = table(data / "lists" / "test" / "mismatched")
    assert sorted(pairs) == sorted(ids[10:])
    assert pairs[ids[10]] == ids[11]
    assert set(pairs.values()) <= set(ids[10:])
    assert not (data / "lists" / "train" / "mismatched").exists()
    assert "not-in-corpus" in (data / "problems.tsv").read_text()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test.tsv", "s1-bbaf2n s1/bbaf2n.mpg\n", "found 1 columns"),
        ("test.tsv", "a\tb\tc\na\tb\tc\n", "listed twice"),
        ("other_mismatched.tsv", "a\tb\n", r"other\.tsv is absent"),
        ("train_mismatched.tsv", "a\tb\n", "name a, which"),
        (
            "pretrain.tsv",
            "s1-bbaf2n\ts1/bbaf2n.mpg\t\n",
            r"s1-bbaf2n stands in pretrain\.tsv and in test\.tsv, as do 1 of its",
        ),
    ],
)
def test_bad_lists_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    write_lists(tmp_path, [f"s1-{name}" for name in names_of(1)])
    (tmp_path / name).write_text(content)
    with pytest.raises(LipsoundError, match=message):
        read_lists(tmp_path)
    with pytest.raises(LipsoundError, match=r"no \*\.tsv"):
        read_lists(tmp_path / "absent")


@pytest.mark.real
def test_real_lists(grid: Path, tmp_path: Path) -> None:
    corpora.prepare("grid", grid, tmp_path, protocol="lists", lists=grid / "lists")
    sizes = {name: len(table(tmp_path / "lists" / name / "text")) for name in ("train", "valid", "test", "unseen")}
    assert sizes == {"train": 800, "valid": 50, "test": 50, "unseen": 40}
    given = dict(line.split("\t") for line in (grid / "lists" / "test_mismatched.tsv").read_text().splitlines())
    assert table(tmp_path / "lists" / "test" / "mismatched") == given
    assert most_shared(table(tmp_path / "lists" / "valid" / "mismatched")) == 0
    assert not (tmp_path / "problems.tsv").exists()


@pytest.mark.real
def test_real_alignments_confirm_the_names(grid: Path) -> None:
    found = scan(grid)
    assert aligned(found) == len(list(grid.glob("align/*/*.align")))
    assert Counter(problem.reason for problem in found.problems) == {}


@pytest.mark.parametrize("time", ["nan", "inf", "-5", "1e300", "9" * 5000])
def test_fault_G1_align_times_are_of_a_recording(time):
    with pytest.raises(ValueError, match="line 2: expected a number from 0 to"):
        read_align(f"0 10 sil\n10 {time} bin\n")


def test_fault_D4_lists_that_are_not_there_are_told_before_the_corpus_is_read(tmp_path):
    with pytest.raises(LipsoundError, match=r"--lists .*nosuch: no such file or folder"):
        prepare("grid", tmp_path / "corpus", tmp_path / "data", protocol="lists", lists=tmp_path / "nosuch")
    assert not (tmp_path / "data").exists()


def test_fault_F1_a_split_list_that_is_not_utf8_is_told_with_its_line(tmp_path):
    (tmp_path / "test.tsv").write_bytes("a-1\tx.mp4\tfür\nb-1\ty.mp4\tcafé\n".encode("latin-1"))
    with pytest.raises(LipsoundError, match=r"test\.tsv:1: expected UTF-8 text, found b'a-1\\tx.mp4\\tf\\xfcr'"):
        read_lists(tmp_path)


def test_fault_A17_sets_of_another_corpus_or_split_are_not_written_over(tmp_path: Path) -> None:
    data = tmp_path / "data"
    grid, other = (make(tmp_path / name, "{speaker}", speakers=(n, n + 1)) for name, n in (("one", 1), ("two", 3)))
    for name, speaker in (("a", 1), ("b", 2)):
        (tmp_path / name).mkdir()
        rows = [f"s{speaker}-{clip}\t{clip}.mpg\t{' '.join(words_of(clip) or ())}\n" for clip in names_of(speaker)]
        (tmp_path / name / "train.tsv").write_text("".join(rows))

    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in data.rglob("*") if path.is_file() and path.name != ".lock"}

    prepare("grid", grid, data, protocol="lists", lists=tmp_path / "a")
    before = content()
    with pytest.raises(LipsoundError, match=r"lists/train: a data dir of other clips, made by '.* --lists .*/a'"):
        prepare("grid", grid, data, protocol="lists", lists=tmp_path / "b")
    assert content() == before
    # Its whole removed, the sets of another corpus are seen before a new whole is written.
    for path in (data / "all").iterdir():
        path.unlink()
    (data / "all").rmdir()
    before = content()
    with pytest.raises(LipsoundError, match="lists/train: a data dir of other clips"):
        prepare("grid", other, data, protocol="lists", lists=tmp_path / "a")
    assert content() == before
    # The same lists, with other clips in them, are the same split.
    with (tmp_path / "a/train.tsv").open("a") as file:
        file.write((tmp_path / "b/train.tsv").read_text())
    prepare("grid", grid, data, protocol="lists", lists=tmp_path / "a")
    assert len(DataDir(data / "lists/train")) == 40
