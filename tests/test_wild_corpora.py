"""VoxCeleb2, LRW, LRS2, LRS3 and people's own videos: layouts as known, readers, generated corpora."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from helpers.speech_corpora import Layout, append
from helpers.wild_corpora import (
    ENGLISH,
    copy,
    make_lrs2,
    make_lrs3,
    make_lrw,
    make_own,
    make_voxceleb2,
    said,
    write_tree,
)

from lipsound2.audio.dump import mel
from lipsound2.corpora import lrs2, lrs3, lrw, own, prepare, voxceleb2
from lipsound2.corpora.corpus import Options
from lipsound2.corpora.folds import combine
from lipsound2.corpora.heldout import HeldOutClips, HeldOutSpeakers
from lipsound2.corpora.recordings import Recording, Recordings
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir, validate
from lipsound2.data.tables import parse_words
from lipsound2.errors import LipsoundError
from lipsound2.jobs.jobs import read_failures
from lipsound2.video.crop import crop

ROOT = Path(__file__).resolve().parents[1]
SCANS = {"voxceleb2": voxceleb2.scan, "lrw": lrw.scan, "lrs2": lrs2.scan, "lrs3": lrs3.scan}
MAKE = {"voxceleb2": make_voxceleb2, "lrw": make_lrw, "lrs2": make_lrs2, "lrs3": make_lrs3, "own": make_own}
BESIDE = {"voxceleb2": {"VoxCeleb#/dev/txt/id#/video/#.txt"}}  # no reader needs it, so it is not generated


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> dict[str, Path]:
    """One corpus of each layout, made once; tests that change one copy it first."""
    folder = tmp_path_factory.mktemp("wild")
    for name, make in MAKE.items():
        make(folder / name)
    return {name: folder / name for name in MAKE}


def reasons(found: Recordings) -> Counter[str]:
    return Counter(problem.reason for problem in found.problems)


def shape(path: str) -> str:
    """A path or line without what differs from clip to clip: names of videos, words, numbers."""
    path = re.sub(r"(?<=/)[\w-]{11}(?=/)", "video", path)
    path = re.sub(r"\b[A-Z]{3,}(?=[/_])", "WORD", path)
    return re.sub(r"\d+", "#", path)


def row_shape(row: str) -> str:
    """A line of a text file without its words and numbers."""
    if re.match(r"\w+:", row):
        return re.match(r"\w+:\s*", row)[0]
    if re.match(r"[A-Z']+( [\d.]+){3}$", row):
        return "WORD # # #"
    return shape(re.sub(r"\d+\.\d+", "0", row))


# Layouts


@pytest.mark.parametrize("name", SCANS)
def test_generated_corpora_have_the_layout(name, generated):
    layout, root = Layout.read(name), generated[name]
    files = [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()]
    wanted = {shape(file) for file in layout.files} - BESIDE.get(name, set())
    assert {shape(file) for file in files} == wanted
    known: dict[str, set[str]] = {}
    for file, rows in layout.files.items():
        known.setdefault(shape(file), set()).update(row_shape(row.replace("{empty}", "")) for row in rows)
    for file in files:
        if file.endswith((".txt", ".id")):
            rows = (root / file).read_text(encoding="utf-8").split("\n")[:-1]
            assert set(map(row_shape, rows)) <= known[shape(file)], file


def test_voxceleb2_as_the_layout_has_it(tmp_path):
    root = write_tree(Layout.read("voxceleb2"), tmp_path)
    found = voxceleb2.scan(root / "VoxCeleb2", Options(lists=root / "vox-en.id"))
    assert {id: (r.speaker, r.part, Path(r.wav).suffix) for id, r in found.by_id.items()} == {
        "id00012-21Uxsk56VDQ-00001": ("id00012", "dev", ".m4a"),
        "id00012-21Uxsk56VDQ-00002": ("id00012", "dev", ""),
        "id00012-_raOc3-IRsw-00110": ("id00012", "dev", ".m4a"),
        "id00017-01dfn2spqyE-00001": ("id00017", "test", ".m4a"),
        "id05668-XWKC1JUM_ow-00053": ("id05668", "dev", ""),
    }
    assert not found.problems
    assert found.lists["english-test"] == ["id00017-01dfn2spqyE-00001"]
    assert found.lists["english-dev"] == ["id00012-21Uxsk56VDQ-00001", "id05668-XWKC1JUM_ow-00053"]
    # A folder further down, and the archives' names for folders.
    assert len(voxceleb2.scan(root / "VoxCeleb2" / "dev").by_id) == 4
    (root / "VoxCeleb2" / "test").rename(root / "vox2_test_mp4")
    assert {r.part for r in voxceleb2.scan(root / "vox2_test_mp4").by_id.values()} == {"test"}


def test_lrw_as_the_layout_has_it(tmp_path):
    found = lrw.scan(write_tree(Layout.read("lrw"), tmp_path))
    assert {id: (r.part, r.text, r.words) for id, r in found.by_id.items()} == {
        "lrw-ABOUT-train-00001": ("train", "ABOUT", "0.315 0.845 ABOUT"),
        "lrw-ABOUT-val-00001": ("val", "ABOUT", "0.48 0.68 ABOUT"),
        "lrw-ABOUT-test-00001": ("test", "ABOUT", "0.405 0.755 ABOUT"),
        "lrw-AFTER-test-00008": ("test", "AFTER", "0.375 0.785 AFTER"),
    }
    assert not found.problems
    assert found.notes == ["2 of 500 words are here"]


def test_lrs2_as_the_layout_has_it(tmp_path):
    found = lrs2.scan(write_tree(Layout.read("lrs2"), tmp_path))
    assert {id: (r.part, r.text.split()[0], r.words) for id, r in found.by_id.items()} == {
        "5535415699068794046-main-00001": ("train", "WHEN", ""),
        "5535415699068794046-pretrain-00001": (
            "pretrain",
            "WE'LL",
            "0.08 0.31 WE'LL 0.31 0.52 SEE 0.52 0.71 WHAT 0.71 1.20 HAPPENS",
        ),
        "6300370419826092098-main-00001": ("val", "WHEN", ""),
        "6330311066473698535-main-00011": ("test", "AND", ""),
    }
    assert not found.problems
    assert not found.notes
    # The lists inside the folder, and only that folder given.
    for part in ("train", "val", "test", "pretrain"):
        (tmp_path / f"{part}.txt").rename(tmp_path / "mvlrs_v1" / f"{part}.txt")
    assert len(lrs2.scan(tmp_path / "mvlrs_v1").by_id) == 4


def test_lrs3_as_the_layout_has_it(tmp_path):
    found = lrs3.scan(write_tree(Layout.read("lrs3"), tmp_path))
    assert {id: (r.speaker, r.part, r.text, r.words) for id, r in found.by_id.items()} == {
        "0Fi83BHQsMA-00002": ("0Fi83BHQsMA", "test", "AND AT THE SAME TIME", ""),
        "0af00UcTOSc-50001": ("0af00UcTOSc", "trainval", "SO THE TECHNOLOGY IS THERE", ""),
        "ZzugJPASNB8-50001": ("ZzugJPASNB8", "trainval", "IT'S A BIG IDEA", ""),
        "0akiEFwtkyA-pretrain-00031": (
            "0akiEFwtkyA",
            "pretrain",
            "A LITTLE MORE",
            "0.10 0.22 A 0.22 0.61 LITTLE 0.61 1.02 MORE",
        ),
    }
    assert not found.problems
    assert found.lists["valid"] == ["ZzugJPASNB8-50001"]
    sets = lrs3.LRS3.protocols["lrs3"].split(found)
    assert {name: sorted(ids) for name, ids in sets.items()} == {
        "train": ["0af00UcTOSc-50001", "0akiEFwtkyA-pretrain-00031"],
        "valid": ["ZzugJPASNB8-50001"],
        "test": ["0Fi83BHQsMA-00002"],
    }
    (tmp_path / "lrs3-valid.id").unlink()
    found = lrs3.scan(tmp_path / "lrs3")
    assert "held out by hash" in found.notes[0]
    assert len(lrs3.LRS3.protocols["lrs3-trainval"].split(found)["valid"]) == 1


# Prepare


def sets_of(path: Path) -> dict[str, DataDir]:
    return {folder.name: DataDir(folder) for folder in sorted(path.iterdir()) if folder.is_dir()}


def test_voxceleb2_is_prepared(generated, tmp_path, capsys):
    root = generated["voxceleb2"]
    prepare("voxceleb2", root / "VoxCeleb2", tmp_path, protocol="multilingual")
    told = capsys.readouterr().out
    assert "found 16 clips of 5 speakers" in told
    assert "dev: 12 of 1092009 clips" in told
    assert "dev: 1 of 4 speakers are missing (id09999)" in told
    whole, sets = DataDir(tmp_path / "all"), sets_of(tmp_path / "multilingual")
    assert validate(tmp_path / "all") == 0
    assert not whole.text
    assert {name: len(part) for name, part in sets.items()} == {"test": 4, "train": 8, "valid": 4}
    held = set(sets["valid"].utt2spk.values())
    assert len(held) == 1
    assert not held & set(sets["train"].utt2spk.values())
    for id, other in sets["test"].table("mismatched").items():
        assert id != other
        assert whole.utt2spk[id] == whole.utt2spk[other]
    # Where the mp4 is silent the audio file beside it is named, else the mp4.
    assert {id: Path(path).suffix for id, path in whole.wav.items() if "id00012" in id} == {
        id: ".m4a" for id in whole.ids if "id00012" in id
    }
    assert whole.wav["id05668-XWKC1JUM_ow-00001"] == whole.video["id05668-XWKC1JUM_ow-00001"]
    prepare("voxceleb2", root / "VoxCeleb2", tmp_path, protocol="multilingual")
    assert capsys.readouterr().out.count("done, skipped") == 2


def test_sets_with_and_without_audio_files_become_one(generated, tmp_path):
    prepare("voxceleb2", generated["voxceleb2"] / "VoxCeleb2", tmp_path, protocol="multilingual")
    sets = sets_of(tmp_path / "multilingual")
    with_files = [name for name, part in sets.items() if part.wav]
    assert 0 < len(with_files) < 3
    combine(tuple(str(part.path) for part in sets.values()), tmp_path / "one")
    one, whole = DataDir(tmp_path / "one"), DataDir(tmp_path / "all")
    assert dict(one.wav) == dict(whole.wav)
    assert validate(tmp_path / "one") == 0


def test_the_english_clips_of_voxceleb2(generated, tmp_path, capsys):
    root = copy(generated["voxceleb2"], tmp_path / "copy")
    append(root / "vox-en.id", "dev/mp4/id05668/XWKC1JUM_ow/00999\tan absent clip\n")
    prepare("voxceleb2", root / "VoxCeleb2", tmp_path / "data", protocol="english", lists=root / "vox-en.id")
    told = capsys.readouterr().out
    assert "english/train: 1 of 2 listed clips, 1 MISSING ('id05668-XWKC1JUM_ow-00999' first)" in told or (
        "english/valid: 1 of 2 listed clips, 1 MISSING ('id05668-XWKC1JUM_ow-00999' first)" in told
    )
    sets = sets_of(tmp_path / "data" / "english")
    named = {re.sub(r".*(id\d+)/(.*)/(.*)", r"\1-\2-\3", line) for line in ENGLISH}
    assert {id for part in sets.values() for id in part.ids} == named
    with pytest.raises(LipsoundError, match="needs a list of clips; give it with --lists FILE"):
        prepare("voxceleb2", root / "VoxCeleb2", tmp_path / "d", protocol="english")
    (root / "wrong.id").write_text("dev/id05668/00053\n", encoding="utf-8")
    with pytest.raises(
        LipsoundError, match=r"wrong\.id:1: expected a clip such as dev/mp4/.*found 'dev/id05668/00053'"
    ):
        prepare("voxceleb2", root / "VoxCeleb2", tmp_path / "d", protocol="english", lists=root / "wrong.id")


def test_voxceleb2_from_a_listing(generated, tmp_path, capsys, monkeypatch):
    """The same data dirs as by walking, and not one folder is read."""
    root = generated["voxceleb2"] / "VoxCeleb2"
    rows = [f"{path.relative_to(root)} {path.stat().st_size}\n" for path in root.rglob("*.m*")]
    listing = tmp_path / "files.txt"
    listing.write_text("".join(rows), encoding="utf-8")
    prepare("voxceleb2", root, tmp_path / "walked", protocol="multilingual")
    read = os.scandir

    def refuse(path: str = ".") -> object:
        assert not str(path).startswith(str(root)), "a folder of the corpus was read"
        return read(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse)
        prepare("voxceleb2", root, tmp_path / "listed", protocol="multilingual", listing=listing)
    for name in ("all", "multilingual/train", "multilingual/valid", "multilingual/test"):
        walked, listed = (DataDir(tmp_path / way / name) for way in ("walked", "listed"))
        assert (walked.utt2spk, walked.video, walked.wav) == (listed.utt2spk, listed.video, listed.wav)
    # As `find VoxCeleb2` prints it: the paths begin in the folder above.
    listing.write_text("".join(f"VoxCeleb2/{row.split()[0]}\n" for row in rows), encoding="utf-8")
    capsys.readouterr()
    assert len(voxceleb2.scan(root, Options(listing=listing)).by_id) == 16
    for row, found in (("dev/mp4/a clip.mp4 12 13", "a clip"), ("dev/mp4/a.mp4 many", "many")):
        listing.write_text(f"{rows[0]}{row}\n", encoding="utf-8")
        with pytest.raises(LipsoundError, match=rf"files\.txt:2: expected a path .* found '.*{found}"):
            voxceleb2.scan(root, Options(listing=listing))
    with pytest.raises(LipsoundError, match=r"no such file"):
        voxceleb2.scan(root, Options(listing=tmp_path / "nothing"))


def test_clips_of_a_listing_that_are_not_there_get_a_verdict(generated, tmp_path, capsys):
    root = copy(generated["voxceleb2"], tmp_path / "copy") / "VoxCeleb2"
    clips = [path.relative_to(root) for path in sorted(root.rglob("*.m*"))]
    (tmp_path / "files").write_text("".join(f"{clip}\n" for clip in clips), encoding="utf-8")
    gone = root / "dev/mp4/id05668/XWKC1JUM_ow/00002.mp4"
    gone.unlink()
    prepare("voxceleb2", root, tmp_path / "data", protocol="multilingual", listing=tmp_path / "files")
    some = DataDir(tmp_path / "data" / "all").subset(
        [f"id05668-XWKC1JUM_ow-0000{clip}" for clip in (1, 2)] + ["id00012-21Uxsk56VDQ-00001"], tmp_path / "some"
    )
    dump = tmp_path / "dump"
    crop(some.path, dump, nj=1, max_failures=0.5)
    verdicts = {id: (step, reason) for id, step, reason, _ in read_failures(dump)}
    assert verdicts == {"id05668-XWKC1JUM_ow-00002": ("crop", "unreadable")}
    # Audio beside a silent mp4, and in the mp4 itself.
    mel(some.path, dump, nj=1)
    assert sorted(Archive(dump / "mel-fine").ids) == ["id00012-21Uxsk56VDQ-00001", "id05668-XWKC1JUM_ow-00001"]
    shutil.rmtree(root)
    voxceleb2.scan(tmp_path, Options(listing=tmp_path / "files"))
    assert "is not there" in voxceleb2.scan(root, Options(listing=tmp_path / "files")).notes[0]


@pytest.mark.parametrize(
    ("corpus", "protocol", "counts"),
    [
        ("lrw", "lrw", {"train": 2, "valid": 2, "test": 2}),
        ("lrs2", "lrs2", {"train": 4, "valid": 1, "test": 2}),
        ("lrs2", "lrs2-main", {"train": 2, "valid": 1, "test": 2}),
        ("lrs3", "lrs3", {"train": 4, "valid": 2, "test": 2}),
        ("lrs3", "lrs3-trainval", {"train": 2, "valid": 2, "test": 2}),
    ],
)
def test_words_and_sentences_are_prepared(corpus, protocol, counts, generated, tmp_path, capsys):
    prepare(corpus, generated[corpus], tmp_path, protocol=protocol)
    assert "the corpus at hand is partial" in capsys.readouterr().out
    sets = sets_of(tmp_path / protocol)
    assert {name: len(part) for name, part in sets.items()} == counts
    assert not (tmp_path / "problems.tsv").exists()
    assert validate(tmp_path / "all") == 0
    whole = DataDir(tmp_path / "all")
    assert set(whole.table("utt2lang").values()) == {"en"}
    times = whole.table("word_times")
    assert len(times) == {"lrw": 6, "lrs2": 2, "lrs3": 2}[corpus]
    for id, row in times.items():
        assert [word for _, _, word in parse_words(row)] == whole.text[id].split()


# Videos of one's own


def test_videos_of_ones_own_are_prepared(generated, tmp_path, capsys):
    root = generated["own"] / "my videos"
    prepare("own", root, tmp_path, protocol="own")
    told = capsys.readouterr().out
    whole = DataDir(tmp_path / "all")
    assert validate(tmp_path / "all") == 0
    assert set(whole.utt2spk.values()) == {"Anna_Muller", "bob", "speaker", "x"}
    plain = {id for id in whole.ids if not re.search(r"_[0-9a-f]{6}$", id)}
    assert plain == {
        *(f"Anna_Muller-day_{day}_Grusse_{name}" for day in (1, 2) for name in (1, 2)),
        *("bob-clip", "bob-Clip_two", "speaker-loose", "x-x"),
    }
    doubled = sorted(set(whole.ids) - plain)
    assert [id.rpartition("_")[0] for id in doubled] == ["bob-clip", "x-x"]
    assert "2 x double-name (kept)" in told
    assert "6 x other-name (kept)" in told
    rows = (tmp_path / "problems.tsv").read_text(encoding="utf-8")
    assert "'Anna Müller/day 1/Grüße 1' is Anna_Muller-day_1_Grusse_1" in rows
    assert whole.text["speaker-loose"] == " ".join(said(9))
    sets = sets_of(tmp_path / "own")
    assert {name: len(part) for name, part in sets.items()} == {"train": 6, "valid": 2, "test": 2}
    # A clip keeps its id when another comes.
    more = copy(root, tmp_path / "more")
    shutil.copy(more / "loose.mp4", more / "another.mp4")
    assert set(own.scan(more).by_id) == {*whole.ids, "speaker-another"}


def test_texts_that_are_missing_or_cannot_be_read(generated, tmp_path, capsys):
    root = copy(generated["own"], tmp_path / "copy") / "my videos"
    (root / "loose.txt").write_bytes(b"caf\xe9")
    (root / "bob" / "Clip two.txt").write_text("\n")
    (root / "bob" / "notes.txt").write_text("buy milk")
    found = own.scan(root)
    assert reasons(found) >= Counter({"unreadable-text": 1, "empty-text": 1})
    assert "1 texts have no video of their name beside them (notes.txt first)" in found.notes
    assert sum(not recording.text for recording in found.by_id.values()) == 2
    prepare("own", root, tmp_path / "data", protocol="own")
    sets = sets_of(tmp_path / "data" / "own")
    assert validate(tmp_path / "data" / "all") == 0
    whole = DataDir(tmp_path / "data" / "all")
    assert len(whole.text) == len(whole) - 2
    assert f"words are counted where there is a text; 2 of {len(whole)} clips have none" in capsys.readouterr().out
    for part in sets.values():
        assert set(part.text) == set(part.ids) & set(whole.text)
    for text in root.rglob("*.txt"):
        text.unlink()
    capsys.readouterr()
    prepare("own", root, tmp_path / "data", protocol="own")
    assert "; 0 with text" in capsys.readouterr().out


def test_a_folder_without_videos(tmp_path):
    with pytest.raises(LipsoundError, match="no such folder; give the folder of the videos"):
        own.scan(tmp_path / "nowhere")
    (tmp_path / "papers").mkdir()
    with pytest.raises(LipsoundError, match=r"no video found \(wanted \.mp4 .*, found papers\)"):
        own.scan(tmp_path)
    (tmp_path / "papers" / "empty.mp4").touch()
    found = own.scan(tmp_path)
    assert reasons(found) == {"empty-file": 1}
    with pytest.raises(LipsoundError, match="no clip of videos of your own that can be used"):
        prepare("own", tmp_path, tmp_path / "data", protocol="own")
    (tmp_path / "papers" / "full.mp4").write_bytes(b"clip")
    with pytest.raises(LipsoundError, match=r"3 clips at least are wanted \(to train, to choose, to test\), found 1"):
        prepare("own", tmp_path, tmp_path / "data", protocol="own")


# Sets that are held out by hash


def recordings(count: int, speakers: int, part: str = "dev") -> Recordings:
    found = Recordings()
    for number in range(count):
        speaker = f"id{number % speakers:05}"
        found.add(f"{speaker}-{number}", Recording(speaker, part, video=f"/{number}.mp4"))
    return found


def test_shares_of_clips_are_about_what_is_wanted_and_stay():
    rule = HeldOutClips(test=0.1, valid=0.1)
    few, many = recordings(2000, 7), recordings(4000, 7)
    sets, more = rule.split(few), rule.split(many)
    assert sum(map(len, sets.values())) == 2000
    assert {name: len(ids) / 2000 for name, ids in sets.items()} == pytest.approx(
        {"train": 0.8, "valid": 0.1, "test": 0.1}, abs=0.02
    )
    for name, ids in sets.items():
        assert set(ids) <= set(more[name])
    assert rule.split(few, seed=1)["test"] != sets["test"]
    assert {name: len(ids) for name, ids in rule.split(recordings(3, 1)).items()} == {"train": 1, "valid": 1, "test": 1}


def test_held_out_speakers_leave_nothing_in_training():
    rule = HeldOutSpeakers(train=("dev", "more"), test="test", of="dev", share=0.05)
    found = recordings(3000, 600)
    found.by_id |= recordings(100, 600, "test").by_id | {
        f"{speaker}-more-1": Recording(speaker, "more", video="/x.mp4") for speaker in ("id00000", "id00001")
    }
    sets = rule.split(found)
    speakers = {name: {found.by_id[id].speaker for id in ids} for name, ids in sets.items()}
    assert not speakers["train"] & speakers["valid"]
    assert len(speakers["valid"]) == pytest.approx(30, abs=15)
    rest = {id for id in found.by_id if id.split("-")[0] not in speakers["valid"] and found.by_id[id].part != "test"}
    assert set(sets["train"]) == rest


# Damage


def test_voxceleb2_with_wrong_and_missing_files(generated, tmp_path):
    root = copy(generated["voxceleb2"], tmp_path / "copy") / "VoxCeleb2"
    dev = root / "dev" / "mp4"
    (dev / "id05668/XWKC1JUM_ow/00001.mp4").write_bytes(b"")
    (dev / "id00012/21Uxsk56VDQ/00001.mp4").unlink()  # its audio stays
    shutil.copy(dev / "id05668/XWKC1JUM_ow/00002.mp4", dev / "stray.mp4")
    shutil.copytree(dev / "id08977", root / "elsewhere" / "id08977")
    shutil.copytree(dev / "id08977", root / "dev" / "again" / "id08977")
    (root / "dev" / "list.txt").touch()
    found = voxceleb2.scan(root)
    assert reasons(found) == {"empty-file": 1, "not-a-voxceleb2-name": 1, "no-set": 4, "second-copy": 4}
    assert len(found.by_id) == 14
    assert found.notes == ["1 audio files have no video and are left out"]
    with pytest.raises(LipsoundError, match="no such folder; give the folder of VoxCeleb2"):
        voxceleb2.scan(tmp_path / "nowhere")
    for folder in (dev, root / "test" / "mp4", root / "elsewhere", root / "dev" / "again"):
        shutil.rmtree(folder)
    with pytest.raises(LipsoundError, match=r"no clip of VoxCeleb2 found .*found 0 other files and 6 audio"):
        voxceleb2.scan(root)


def test_lrw_with_wrong_and_missing_files(generated, tmp_path):
    root = copy(generated["lrw"], tmp_path / "copy") / "lipread_mp4"
    (root / "GREEN" / "val" / "GREEN_00001.txt").write_text("Duration: long\n")
    (root / "GREEN" / "test" / "GREEN_00001.txt").unlink()
    shutil.copy(root / "AFTER" / "val" / "AFTER_00001.mp4", root / "GREEN" / "val" / "AFTER_00001.mp4")
    (root / "AFTER" / "train" / "AFTER_00001.mp4").write_bytes(b"")
    found = lrw.scan(root)
    assert reasons(found) == {"unreadable-duration": 1, "other-name": 1, "empty-file": 1}
    assert found.notes[0] == "2 of 5 clips have no duration, so no word times"
    with pytest.raises(
        LipsoundError, match=r"no LRW found \(wanted lipread_mp4/ABOUT/train, \.\.\., found AFTER_00001"
    ):
        lrw.scan(root / "GREEN" / "val")


def test_lrs2_with_wrong_and_missing_files(generated, tmp_path):
    root = copy(generated["lrs2"], tmp_path / "copy")
    main, pretrain = root / "mvlrs_v1" / "main", root / "mvlrs_v1" / "pretrain" / "5535415699068794046"
    (main / "5535415699068794046" / "00001.txt").unlink()
    (main / "5535415699068794046" / "00002.txt").write_text("Conf:  4\n")
    (main / "6330311066473698535" / "00001.txt").write_bytes(b"Text:  CAF\xc9\n")
    (main / "6330311066473698535" / "00002.mp4").unlink()
    shutil.copy(pretrain / "00001.mp4", main / "6300370419826092098" / "00007.mp4")
    words = (pretrain / "00001.txt").read_text()
    (pretrain / "00001.txt").write_text(words.replace("Text:  ", "Text:  OH "))
    append(pretrain / "00002.txt", "OH 3.1 2.9\n")
    found = lrs2.scan(root)
    assert reasons(found) == {
        "no-transcript": 1,
        "empty-transcript": 1,
        "unreadable-transcript": 1,
        "not-in-corpus": 1,
        "transcript-mismatch": 1,
        "bad-word-times": 1,
    }
    assert found.notes == ["1 clips are in no list and are left out"]
    assert not any(recording.words for recording in found.by_id.values())
    append(root / "test.txt", "6330311066473698535\n")
    with pytest.raises(LipsoundError, match=r"test\.txt:3: expected '<programme>/<clip>'"):
        lrs2.scan(root)
    for part in ("train", "val", "test", "pretrain"):
        (root / f"{part}.txt").unlink()
    with pytest.raises(LipsoundError, match=r"none of test\.txt, val\.txt, .* fetch the lists .* with --lists"):
        lrs2.scan(root)
    with pytest.raises(LipsoundError, match=r"no LRS2 found \(wanted mvlrs_v1/main"):
        lrs2.scan(tmp_path / "copy" / "mvlrs_v1" / "main" / "6300370419826092098")


def test_lrs3_with_wrong_lists(generated, tmp_path, capsys):
    root = copy(generated["lrs3"], tmp_path / "copy")
    append(root / "lrs3-valid.id", "trainval/ZzugJPASNB8/50009\n")
    prepare("lrs3", root, tmp_path / "data", protocol="lrs3")
    assert "lrs3/valid: 2 of 3 listed clips, 1 MISSING ('ZzugJPASNB8-50009' first)" in capsys.readouterr().out
    (root / "mine.id").write_text("ZzugJPASNB8/50001\n")
    with pytest.raises(LipsoundError, match=r"mine\.id:1: expected 'trainval/<talk>/<clip>'"):
        lrs3.scan(root, Options(lists=root / "mine.id"))
    with pytest.raises(LipsoundError, match="no such file"):
        lrs3.scan(root, Options(lists=root / "none.id"))
    with pytest.raises(LipsoundError, match=r"no LRS3 found \(wanted test, trainval, pretrain, found 50001.mp4"):
        lrs3.scan(root / "lrs3" / "trainval" / "0af00UcTOSc")
