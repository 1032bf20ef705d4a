"""TCD-TIMIT and CMLR: layouts as known, readers, generated corpora, protocols, damage."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from helpers.face_corpora import SENTENCES, TCD_CLIPS, make_cmlr, make_tcd_timit
from helpers.speech_corpora import Layout
from helpers.wild_corpora import reasons

from lipsound2.cli import main
from lipsound2.corpora import cmlr, prepare, registry, tcd_timit
from lipsound2.corpora.corpus import Corpus, Options
from lipsound2.corpora.pairs import derange_by_length
from lipsound2.corpora.protocols import hashed
from lipsound2.corpora.recordings import Recording, Recordings
from lipsound2.corpora.summary import comparable, ranges
from lipsound2.data.datadir import DataDir, read_table, validate
from lipsound2.errors import LipsoundError

TEXTS = (".txt", ".csv", ".mlf")


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> dict[str, Path]:
    """One corpus of each layout, made once; tests that change one copy it first."""
    root = tmp_path_factory.mktemp("faces")
    return {"tcd_timit": make_tcd_timit(root), "cmlr": make_cmlr(root)}


def changed(generated: dict[str, Path], name: str, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    return Path(shutil.copytree(generated[name], tmp_path / "corpus" / generated[name].name))


def lay_out(name: str, root: Path) -> Path:
    """Write a layout's tree: text files with their lines, others with a byte."""
    for file, lines in Layout.read(name).files.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines) if file.endswith(TEXTS) else "x", encoding="utf-8")
    return root


def shape(path: str) -> str:
    """A path without what differs from clip to clip."""
    path = re.sub(r"\b(sa|si|sx)\d+", "CLIP", path)
    path = re.sub(r"\b\d\d[MF]\b", "VOLUNTEER", path)
    return re.sub(r"\d+", "#", path)


def row_shape(row: str) -> str:
    """A line of a text file without its words and numbers."""
    row = re.sub(r".*(?= \()", "SENTENCE", re.sub(r"^;.*", ";", row))
    return re.sub(r"[\d.]*\d", "#", re.sub(r"[\u4e00-\u9fff]+", "HANZI", shape(row)))


# Layouts


@pytest.mark.parametrize("name", ["tcd_timit", "cmlr"])
def test_generated_corpora_have_the_layout(name, generated):
    layout, root = Layout.read(name), generated[name].parent
    files = [str(path.relative_to(root)) for path in sorted(generated[name].rglob("*")) if path.is_file()]
    assert {shape(file) for file in files} == {shape(file) for file in layout.files}
    known: dict[str, set[str]] = {}
    for file, rows in layout.files.items():
        known.setdefault(shape(file), set()).update(map(row_shape, rows))
    for file in files:
        if file.endswith(TEXTS):
            assert set(map(row_shape, (root / file).read_text(encoding="utf-8").splitlines())) <= known[shape(file)], (
                file
            )


def test_tcd_timit_as_the_layout_has_it(tmp_path):
    lay_out("tcd_timit", tmp_path)
    found = tcd_timit.scan(tmp_path)
    assert set(found.by_id) == {"01M-sa1", "01M-si1540", "01M-sx191", "08F-sx94", "Lipspkr1-sa1"}
    assert Path(found.by_id["01M-sa1"].wav).name == "sa1.wav"
    assert not found.by_id["01M-sx191"].wav
    assert found.notes[0] == "1 clips of the camera at 30 degrees are left out"
    assert "no words: they are in TIMIT's list" in found.notes[1]
    found = tcd_timit.scan(tmp_path / "TCD-TIMIT")
    assert {id: clip.text.split()[0] for id, clip in found.by_id.items()} == {
        **{"01M-sa1": "A", "01M-si1540": "Another", "01M-sx191": "Boats", "08F-sx94": "Nobody", "Lipspkr1-sa1": "A"}
    }
    assert not found.problems
    # One speaker's folder, and lists in the form of others.
    assert set(tcd_timit.scan(tmp_path / "TCD-TIMIT" / "volunteers" / "08F").by_id) == {"08F-sx94"}
    (tmp_path / "list").write_text("volunteers/01M/Clips/straightcam/sa1 SHE SEES\nQ:\\a\\SX94.mp4 A BOAT\n")
    found = tcd_timit.scan(tmp_path / "TCD-TIMIT", Options(prompts=tmp_path / "list"))
    assert {id: clip.text for id, clip in found.by_id.items()} == {
        **{"01M-sa1": "SHE SEES", "Lipspkr1-sa1": "SHE SEES", "08F-sx94": "A BOAT"}
    }
    assert reasons(found) == {"no-transcript": 2}


def test_cmlr_as_the_layout_has_it(tmp_path):
    lay_out("cmlr", tmp_path)
    for root in (tmp_path, tmp_path / "CMLR"):
        found = cmlr.scan(root)
        assert {id: (clip.speaker, clip.text) for id, clip in found.by_id.items()} == {
            "s1-20170121_section_1_000.80_002.91": ("s1", "各位观众晚上好"),
            "s11-20130613_section_4_002.92_004.59": ("s11", "今天的主要内容"),
            "s4-20110304_section_4_002.92_004.59": ("s4", "谢谢收看"),
            "s6-20120904_section_2_010.10_012.00": ("s6", "天气预报"),
        }
        assert all(Path(clip.wav).stem == Path(clip.video).stem for clip in found.by_id.values())
        assert (
            found.by_id["s1-20170121_section_1_000.80_002.91"].words == "0.10 0.52 各位 0.52 1.00 观众 1.00 1.70 晚上好"
        )
        assert found.lists == {
            "train.csv": ["s1-20170121_section_1_000.80_002.91", "s11-20130613_section_4_002.92_004.59"],
            "val.csv": ["s6-20120904_section_2_010.10_012.00"],
            "test.csv": ["s4-20110304_section_4_002.92_004.59"],
        }
        assert not found.problems


# Protocols


def test_the_command_line_offers_what_the_registry_holds(monkeypatch, capsys):
    monkeypatch.setattr(registry, "CORPORA", {**registry.CORPORA, "new_one": "lipsound2.corpora.grid:GRID"})
    with pytest.raises(SystemExit, match="2"):
        main(["prepare", "new_none", "a", "b"])
    assert "new_one; did you mean 'new_one'?" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["prepare", "--help"])
    assert "One of: grid, mini," in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", registry.CORPORA)
def test_every_line_of_the_registry_leads_to_a_corpus(name):
    assert isinstance(registry.load(name), Corpus)


def whole_tcd_timit() -> Recordings:
    """All clips that are counted, made up; the test sentences of the shipped list among each volunteer's."""
    found = Recordings()
    listed = tcd_timit._seen_test()
    for speaker in (*tcd_timit.VOLUNTEERS, *tcd_timit.LIPSPEAKERS, "27M"):
        names = [*listed.get(speaker, ()), *(f"si{number}" for number in range(3000, 3400))]
        for name in names[: 377 if speaker in tcd_timit.LIPSPEAKERS else 98]:
            found.by_id[f"{speaker}-{name}"] = Recording(speaker, video="x")
    found.lists["seen-test"] = [f"{speaker}-{name}" for speaker, names in listed.items() for name in names]
    return found


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("volunteers-unseen", {"train": 3627, "valid": 195, "test": 1666}),
        ("volunteers-seen", {"train": 3528, "valid": 224, "test": 1736}),
        ("lipspeakers", {"train": 1017, "valid": 57, "test": 57}),
        ("lipspeakers-unseen", {"train": 716, "valid": 38, "test": 377}),
    ],
)
def test_protocols_of_tcd_timit_have_the_published_counts(name, counts):
    protocol, found = registry.load("tcd_timit").protocols[name], whole_tcd_timit()
    sets = protocol.split(found)
    assert {subset: len(ids) for subset, ids in sets.items()} == counts == protocol.wanted()
    assert len(set().union(*sets.values())) == sum(counts.values())
    assert not any(id.startswith("27M") for ids in sets.values() for id in ids)
    assert "agree with" in comparable(protocol, counts)
    assert "partial" in comparable(protocol, counts | {"train": counts["train"] - 100})


def test_the_shipped_list_has_31_sentences_of_each_of_56_volunteers():
    listed = tcd_timit._seen_test()
    assert {len(set(names)) for names in listed.values()} == {31}
    assert len(listed) == 56
    assert not listed.keys() & {"27M", "35M", "53M"}
    assert set(tcd_timit.UNSEEN) < listed.keys()


def test_protocols_of_cmlr():
    found = Recordings(names={speaker: {str(number) for number in range(200)} for speaker in cmlr.SPEAKERS})
    for name, test in (("unseen", {"s1", "s6"}), ("unseen-s2-s6", {"s2", "s6"})):
        sets = registry.load("cmlr").protocols[name].split(found)
        assert {id.split("-")[0] for id in sets["test"]} == test
        assert {id.split("-")[0] for id in sets["train"]} == set(cmlr.SPEAKERS) - test
        assert 40 < len(sets["valid"]) < 140
    official = registry.load("cmlr").protocols["official"]
    assert sum(official.wanted().values()) == 102072
    with pytest.raises(
        LipsoundError, match=r"the list train\.csv, val\.csv, test\.csv is absent; looked for in the corpus"
    ):
        official.split(Recordings())


# Pairs


def clips(texts: dict[str, str]) -> dict[str, Recording]:
    return {id: Recording(id.split("-")[0], video="x", text=text) for id, text in texts.items()}


def test_the_other_clip_is_of_the_same_speaker_and_says_something_else_of_like_length():
    texts = {f"s{number % 3}-{number:03}": "word " * (number % 7) + str(number % 11) for number in range(300)}
    pairs = derange_by_length(clips(texts))
    assert sorted(pairs) == sorted(pairs.values()) == sorted(texts)
    assert all(a[:2] == b[:2] and a != b and texts[a] != texts[b] for a, b in pairs.items())
    far = sum(abs(len(texts[a]) - len(texts[b])) > 6 for a, b in pairs.items())
    assert far == 3, "the circle of each speaker closes once, from the longest to the shortest"
    assert derange_by_length(clips(texts), seed=1) != pairs
    assert derange_by_length(dict(reversed(clips(texts).items()))) == pairs


def test_pairs_of_few_clips_and_without_texts():
    assert derange_by_length({}) == derange_by_length(clips({"a-1": "x"})) == {}
    assert derange_by_length(clips({"a-1": "", "b-1": ""})) == {"a-1": "b-1", "b-1": "a-1"}
    pairs = derange_by_length(clips({"a-1": "longer text", "b-1": "longer texts", "b-2": "x"}))
    assert pairs == {"a-1": "b-1", "b-1": "b-2", "b-2": "b-1"}


def test_pairs_of_a_hundred_thousand_clips_take_a_moment():
    many = {
        f"s{number % 50}-{number}": Recording(f"s{number % 50}", text="x" * (number % 30)) for number in range(100_000)
    }
    pairs = derange_by_length(many)
    assert len(set(pairs.values())) == len(many)


# Prepare


def test_tcd_timit_is_prepared(generated, tmp_path, capsys):
    prepare("tcd_timit", generated["tcd_timit"], tmp_path, protocol="volunteers-seen")
    told = capsys.readouterr().out
    assert (
        "found 16 clips of 6 speakers (01M 02M 08F Lipspkr1 Lipspkr2 Lipspkr3); 16 with text, 0 with word times" in told
    )
    assert "volunteers-seen/test: 3 of 1736 listed clips, 1733 MISSING ('01M-si1175' first)" in told
    assert "the corpus at hand is partial (train 3 of 3528, valid 1 of 224, test 3 of 1736)" in told
    sets = {name: DataDir(tmp_path / "volunteers-seen" / name) for name in ("train", "valid", "test")}
    assert {name: part.ids for name, part in sets.items()} == {
        **{"train": ["01M-sa1", "02M-sa2", "02M-sx4"], "valid": ["01M-sx19"]},
        "test": ["01M-si1540", "01M-sx191", "08F-sx94"],
    }
    assert sets["test"].text["01M-sx191"] == f"{SENTENCES['sx191'].capitalize()}."
    pairs = read_table(tmp_path / "volunteers-seen" / "test" / "mismatched")
    assert pairs == {"01M-si1540": "01M-sx191", "01M-sx191": "01M-si1540", "08F-sx94": "01M-sx191"}
    assert not (tmp_path / "volunteers-seen" / "train" / "mismatched").exists()
    whole = DataDir(tmp_path / "all")
    assert whole.table("utt2lang") == dict.fromkeys(whole.ids, "en")
    assert Path(whole.wav["01M-sa1"]).name == "sa1.wav"
    assert whole.wav["08F-sx94"] == whole.video["08F-sx94"], "the audio is in the video"
    assert validate(tmp_path / "all") == 0
    prepare("tcd_timit", generated["tcd_timit"], tmp_path, protocol="volunteers-seen")
    assert capsys.readouterr().out.count("done, skipped") == 2


def test_tcd_timit_without_words(generated, tmp_path, capsys):
    top = changed(generated, "tcd_timit", tmp_path)
    (top / "prompts.txt").unlink()
    prepare("tcd_timit", top, tmp_path / "data", protocol="lipspeakers-unseen")
    told = capsys.readouterr().out
    assert "no words: they are in TIMIT's list of sentences (LDC93S1" in told
    assert "0 with text" in told
    for folder in ("all", "lipspeakers-unseen/test"):
        assert not (tmp_path / "data" / folder / "text").exists()
    assert DataDir(tmp_path / "data" / "lipspeakers-unseen" / "test").ids == ["Lipspkr3-sx4", "Lipspkr3-sx5"]


def test_cmlr_is_prepared(generated, tmp_path, capsys):
    pytest.importorskip("pypinyin")
    prepare("cmlr", generated["cmlr"], tmp_path, protocol="official")
    told = capsys.readouterr().out
    assert "found 7 clips of 5 speakers (s1-s2 s4 s6 s11); 7 with text, 7 with word times" in told
    assert "the corpus at hand is partial (train 4 of 71448, valid 1 of 10206, test 2 of 20418)" in told
    test = DataDir(tmp_path / "official" / "test")
    assert set(test.text.values()) == {"谢谢收看", "今天天气"}
    assert test.table("utt2lang") == dict.fromkeys(test.ids, "zh")
    assert read_table(tmp_path / "official" / "test" / "pinyin")[test.ids[0]] == "xie4 xie4 shou1 kan4"
    assert read_table(tmp_path / "all" / "pinyin").keys() == set(DataDir(tmp_path / "all").ids)
    assert test.table("word_times")[test.ids[0]].split()[2::3] == ["谢谢", "收看"]
    assert validate(tmp_path / "all") == 0
    prepare("cmlr", generated["cmlr"], tmp_path, protocol="unseen")
    assert {id.split("-")[0] for id in DataDir(tmp_path / "unseen" / "test").ids} == {"s1", "s6"}


def test_own_lists_serve_every_corpus(generated, tmp_path, capsys):
    (tmp_path / "lists").mkdir()
    rows = "02M-sx4\tx\tTHE SEA IS FAR.\n01M-sa1\tx\tsomething else\n99X-sa1\tx\t-\n"
    (tmp_path / "lists" / "few.tsv").write_text(rows, encoding="utf-8")
    prepare("tcd_timit", generated["tcd_timit"], tmp_path / "d", protocol="lists", lists=tmp_path / "lists")
    assert "lists/few: 2 of 3 listed clips, 1 MISSING ('99X-sa1' first)" in capsys.readouterr().out
    problems = (tmp_path / "d" / "problems.tsv").read_text(encoding="utf-8").splitlines()
    assert [row.split("\t")[:3] for row in problems] == [
        ["01M-sa1", "prepare", "transcript-mismatch"],
        ["99X-sa1", "prepare", "not-in-corpus"],
    ]


# Damage


def test_wrong_options_are_one_line(generated, tmp_path):
    for corpus, wanted in (("tcd_timit", "wanted volunteers/01M"), ("cmlr", "wanted video/s1")):
        with pytest.raises(LipsoundError, match="no such folder"):
            prepare(corpus, tmp_path / "nowhere", tmp_path / "d")
        (tmp_path / "other" / "stuff").mkdir(parents=True, exist_ok=True)
        with pytest.raises(LipsoundError, match=f"{wanted}.*found stuff"):
            prepare(corpus, tmp_path / "other", tmp_path / "d")
    with pytest.raises(
        LipsoundError, match="unknown protocol 'x' of cmlr; one of: official, unseen, unseen-s2-s6, lists"
    ):
        prepare("cmlr", generated["cmlr"], tmp_path / "d", protocol="x")
    with pytest.raises(LipsoundError, match="--prompts: cmlr has no use for it"):
        prepare("cmlr", generated["cmlr"], tmp_path / "d", prompts=tmp_path)
    with pytest.raises(LipsoundError, match="no such file"):
        prepare("tcd_timit", generated["tcd_timit"], tmp_path / "d", prompts=tmp_path / "absent")
    (tmp_path / "empty").write_text("; nothing\n")
    with pytest.raises(LipsoundError, match="no sentence in it; wanted lines"):
        prepare("tcd_timit", generated["tcd_timit"], tmp_path / "d", prompts=tmp_path / "empty")
    only = changed(generated, "tcd_timit", tmp_path)
    shutil.rmtree(only / "volunteers")
    with pytest.raises(
        LipsoundError, match=r"needs the speakers 01M 02M .*, found Lipspkr1-Lipspkr3: none of its clips"
    ):
        prepare("tcd_timit", only, tmp_path / "d", protocol="volunteers-unseen")


def test_tcd_timit_with_wrong_and_missing_files(generated, tmp_path):
    top = changed(generated, "tcd_timit", tmp_path)
    first = top / "volunteers" / "01M" / "Clips" / "straightcam"
    (first / "sa1.mp4").unlink()
    (first / "sx19.mp4").write_bytes(b"")
    (first / "holiday in Cork.mp4").write_bytes(b"x")
    (top / "sx5.mp4").write_bytes(b"x")
    again = top / "copy of volunteers" / "02m"
    again.mkdir(parents=True)
    shutil.copy(top / "volunteers/02M/Clips/straightcam/sx4.mp4", again / "SX4.mp4")
    (first / "round and round").symlink_to(top)
    with (top / "prompts.txt").open("a", encoding="utf-8") as file:
        file.write("What is this?\nSomething else. (sx4)\n")
    found = tcd_timit.scan(top)
    assert reasons(found) >= Counter(
        {"empty-file": 1, "not-a-clip": 1, "no-speaker": 1, "second-copy": 1, "two-lines": 1}
    )
    assert [problem.id for problem in found.problems if problem.reason == "not-a-prompt"] == ["what"]
    assert set(found.by_id) == {
        f"{speaker.split('/')[1]}-{name}" for speaker, names in TCD_CLIPS.items() for name in names
    } - {"01M-sa1", "01M-sx19"}


def test_cmlr_with_wrong_and_missing_files(generated, tmp_path, capsys):
    top = changed(generated, "cmlr", tmp_path)
    (top / "text/s1/20170121/section_1_000.80_002.91.txt").unlink()
    (top / "text/s2/20170121/section_1_000.80_002.91.txt").write_text("主要内容\n0.1 x 主要\n", encoding="utf-8")
    (top / "text/s11/20130613/section_4_002.92_004.59.txt").write_bytes(b"\xff\xfe")
    (top / "audio/s6/20120904/20120904_section_2_010.10_012.00.wav").unlink()
    (top / "video/s4/20110304/section_4_002.92_004.59.mp4").write_bytes(b"")
    shutil.copy(
        top / "video/s4/20110304/section_1_002.92_004.59.mp4",
        top / "video/s4/20110304/section_1 002.92 新闻.mp4",
    )
    shutil.copy(
        top / "video/s6/20120904/20120904_section_2_010.10_012.00.mp4",
        top / "video/s6/20120904/section_2_010.10_012.00.mp4",
    )
    with (top / "test.csv").open("a", encoding="utf-8") as file:
        file.write("s4/20110304_section_4_002.92_004.59\n20110304\ns9/20120904/section_4_002.00_003.00\t更多\n")
    (top / "val.csv").unlink()
    found = cmlr.scan(top)
    assert reasons(found) == {
        **{"no-transcript": 2, "no-word-times": 1, "unreadable-text": 1, "empty-file": 1, "second-copy": 1},
        **{"not-an-id": 1, "not-a-listed-clip": 1},
    }
    assert found.by_id["s2-20170121_section_1_000.80_002.91"].words == ""
    assert [note.split(":")[0].split("/")[-1] for note in found.notes[:1]] == [f"no val.csv in {top}".split("/")[-1]]
    assert "test.csv: 1 clips are listed twice" in found.notes[1]
    with pytest.raises(LipsoundError, match=r"the list val\.csv is absent"):
        prepare("cmlr", top, tmp_path / "d", protocol="official")
    shutil.copy(generated["cmlr"] / "val.csv", top)
    prepare("cmlr", top, tmp_path / "d", protocol="official")
    assert "official/test: 1 of 3 listed clips, 2 MISSING ('s4-20110304_section_4_002.92_004.59' first)" in (
        capsys.readouterr().out
    )


def test_ids_and_paths_that_no_table_can_hold_are_told():
    found = Recordings()
    for id, path in (("s-a b", "/v"), ("s-\udce4", "/v"), ("s-a", "/v\nw"), ("s-a", "/v |"), ("s-a", "/v ")):
        assert not found.add(id, Recording("s", video=path))
    assert found.add("s-ä", Recording("s", video="/größer/a b.mp4"))
    assert reasons(found) == {"not-an-id": 2, "not-a-path": 3}


def test_ranges_of_names():
    assert ranges(["s2", "s1", "s10", "s4", "s3"]) == "s1-s4 s10"
    assert ranges(["02M", "01M"]) == "01M 02M"
    assert ranges(f"id{number:05}" for number in range(20)) == "id00000-id00009 id00010-id00019"
    assert hashed(0, "Lipspkr1-sx7") < 0.05 <= hashed(0, "Lipspkr1-sx33") < 0.1
