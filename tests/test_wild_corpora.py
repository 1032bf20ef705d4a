"""VoxCeleb2, LRW, LRS2, LRS3: generated corpora have their layouts, are prepared, and damage in them is told."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from helpers.speech_corpora import Layout, append
from helpers.wild_corpora import ENGLISH, copy, make_lrs2, make_lrs3, make_lrw, make_voxceleb2, reasons, sets_of

from lipsound2.audio.dump import mel
from lipsound2.corpora import lrs2, lrs3, lrw, prepare, voxceleb2
from lipsound2.corpora.corpus import Options
from lipsound2.corpora.folds import combine
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir, validate
from lipsound2.data.tables import parse_words
from lipsound2.errors import LipsoundError
from lipsound2.jobs.jobs import read_failures
from lipsound2.video.crop import crop

SCANS = {"voxceleb2": voxceleb2.scan, "lrw": lrw.scan, "lrs2": lrs2.scan, "lrs3": lrs3.scan}
MAKE = {"voxceleb2": make_voxceleb2, "lrw": make_lrw, "lrs2": make_lrs2, "lrs3": make_lrs3}
BESIDE = {"voxceleb2": {"VoxCeleb#/dev/txt/id#/video/#.txt"}}  # no reader needs it, so it is not generated


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> dict[str, Path]:
    """One corpus of each layout, made once; tests that change one copy it first."""
    folder = tmp_path_factory.mktemp("wild")
    for name, make in MAKE.items():
        make(folder / name)
    return {name: folder / name for name in MAKE}


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


# Prepare


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
