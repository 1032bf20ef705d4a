"""Sharing an experiment: one archive without paths of this machine, checked by computing its scores again."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sys
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.archives import unpack
from helpers.experiments import make_experiment, synthetic_clips, write_texts
from safetensors.torch import save_file

from lipsound2 import model_names
from lipsound2.cli import main
from lipsound2.data.archive import ArchiveWriter
from lipsound2.data.datadir import write_table
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.metrics.score import score
from lipsound2.video.encode import encode


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recipe with a scored experiment, whose command names folders of this machine."""
    top = tmp_path_factory.mktemp("recipe")
    clips = synthetic_clips()
    exp = make_experiment(top, clips, attention=False)
    save_file({"weight": torch.zeros(3)}, exp / "model.safetensors")
    record = read_yaml(exp / "versions.yaml")
    record["runs"][0]["command"] = f"lipsound2 train conf/parallel.yaml --exp {exp} --dump {top}/dump"
    write_yaml(exp / "versions.yaml", record)
    score(top / "dump/audio", exp / "wav/test", out=exp / "scores/test", nj=1, resamples=50)
    references = {name: clip.text for name, clip in clips.items()}
    heard = {name: text.replace("number", "umber") if name.endswith("1") else text for name, text in references.items()}
    write_texts(exp / "scores/test/text/own", references, {"real": references, "generated": heard})
    return top


@pytest.fixture
def shared(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["share", str(recipe / "exp/tiny_parallel")]) == 0
    return tmp_path / "tiny_parallel.tar.gz"


def test_an_archive_holds_what_the_number_stands_on_and_no_path_of_this_machine(recipe, shared):
    with tarfile.open(shared) as archive:
        names = archive.getnames()
        content = b"".join(archive.extractfile(name).read() for name in names)
    assert {
        f"tiny_parallel/{name}" for name in ("share.json", "config.yaml", "model.safetensors", "versions.yaml")
    } <= {*names}
    assert "tiny_parallel/scores/test/clips.tsv" in names
    assert "tiny_parallel/scores/test/text/own/generated.tsv" in names
    assert "tiny_parallel/sets/test/utt2spk" in names
    assert not any(name.endswith((".wav", ".ark", ".mp4")) for name in names)
    assert str(recipe).encode() not in content
    assert b"lipsound2 train conf/parallel.yaml --exp tiny_parallel --dump dump" in content


def test_a_data_dir_elsewhere_leaves_no_path(recipe, tmp_path, monkeypatch):
    exp = tmp_path / "recipe/exp/mine"
    shutil.copytree(recipe / "exp/tiny_parallel", exp)
    elsewhere = tmp_path / "alice/sets/test"
    shutil.copytree(recipe / "data/tiny/test", elsewhere)
    for path in exp.rglob("origin.yaml"):
        write_yaml(path, read_yaml(path) | {"data": str(elsewhere)})
    shutil.rmtree(exp / "scores")
    score(recipe / "dump/audio", exp / "wav/test", out=exp / "scores/test", nj=1, resamples=20)
    assert str(elsewhere) in (exp / "scores/test/table.md").read_text()
    monkeypatch.chdir(tmp_path / "recipe")
    assert main(["share", "exp/mine"]) == 0
    with tarfile.open("mine.tar.gz") as archive:
        content = b"".join(archive.extractfile(name).read() for name in archive.getnames())
    assert b"alice" not in content


def test_the_same_experiment_gives_the_same_bytes(recipe, shared, tmp_path, capsys):
    capsys.readouterr()
    assert main(["share", str(recipe / "exp/tiny_parallel"), "--out", "again.tar.gz"]) == 0
    assert capsys.readouterr().out.endswith(
        'check it with: lipsound2 check again.tar.gz; its words need: pip install "lipsound2[metrics]"\n'
    )
    assert (tmp_path / "again.tar.gz").read_bytes() == shared.read_bytes()


def test_its_scores_are_computed_again_from_the_archive_alone(shared, capsys):
    capsys.readouterr()
    assert main(["check", str(shared)]) == 0
    shown = capsys.readouterr().out
    assert "test: the summary is that of the scores of its clips" in shown
    assert "everything that was computed again is the same" in shown


def test_without_jiwer_speech_is_checked_and_words_are_named_as_left_out(shared, monkeypatch, capsys):
    capsys.readouterr()
    monkeypatch.setitem(sys.modules, "jiwer", None)
    assert main(["check", str(shared)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "test: the summary is that of the scores of its clips",
        'test: words not checked: needs jiwer (pip install "lipsound2[metrics]")',
        f"{shared}: everything that was computed again is the same",
    ]


def unpacked_from(shared: Path) -> Path:
    unpack(shared, shared.parent / "opened")
    return shared.parent / "opened" / shared.name.removesuffix(".tar.gz")


def sealed(folder: Path) -> None:
    """Digests as they are now: a change that does not show by them."""
    from lipsound2.files import sha256

    content = json.loads((folder / "share.json").read_text())
    content["files"] = {name: sha256(folder / name) for name in content["files"]}
    (folder / "share.json").write_text(json.dumps(content))


def test_a_score_that_was_changed_is_told(shared, capsys):
    folder = unpacked_from(shared)
    path = folder / "scores/test/summary.json"
    content = json.loads(path.read_text())
    content["systems"]["generated"]["scores"]["estoi"]["mean"] += 0.0001
    path.write_text(json.dumps(content))
    assert main(["check", str(folder)]) == 1
    assert "summary.json: is not the file that was shared; get the archive again" in capsys.readouterr().err
    sealed(folder)
    assert main(["check", str(folder)]) == 1
    shown = capsys.readouterr().out
    assert "test: DIFFERS" in shown
    assert "generated: estoi: 0." in shown


def test_systems_that_were_left_out_are_told(shared, capsys):
    folder = unpacked_from(shared)
    changed(folder, test__systems=[])
    assert main(["check", str(folder)]) == 1
    assert "test: systems: none in share.json; expected" in capsys.readouterr().out


def test_words_that_were_changed_are_told(shared, capsys):
    folder = unpacked_from(shared)
    path = folder / "scores/test/text/own/generated.tsv"
    path.write_text(path.read_text().replace("sentence umber", "sentence number"))
    sealed(folder)
    assert main(["check", str(folder)]) == 1
    assert "own, generated: wer: " in capsys.readouterr().out


def changed(folder: Path, **keys: object) -> None:
    """Keys of share.json, or with SET__KEY of the set."""
    content = json.loads((folder / "share.json").read_text())
    for key, value in keys.items():
        (content["sets"]["test"] if key.startswith("test__") else content)[key.removeprefix("test__")] = value
    (folder / "share.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"format": 0}, "no format 0; expected 1 to 1"),
        ({"format": -1}, "no format -1"),
        ({"name": "x\n\x1b[31mfine"}, "no name: 'x\\n\\x1b[31mfine': it has a control character"),
        ({"name": "x\u2028fine"}, "a mark in it that cannot be seen"),
        ({"files": {}}, "is not among the files of share.json"),
        ({"files": {"/etc/passwd": "0"}}, "'/etc/passwd' would lie outside"),
        ({"files": {"a/../../x": "0"}}, "would lie outside"),
        ({"files": {"a\x1bb": "0"}}, "or is no such name"),
        ({"files": {"": "0"}}, "or is no such name"),
        ({"sets": {}}, "no set is in it"),
        ({"sets": {"../../etc": {}}}, "its name cannot be '../../etc': it has a '/' in it"),
        ({"sets": {"/tmp/test": {}}}, "its name cannot be '/tmp/test'"),
        ({"sets": {"other": {}}}, "'sets/other/utt2spk' is not among its files"),
        ({"test__resamples": 10**12}, "1000000000000 as resamples; expected 1 to 100000"),
        ({"test__resamples": 0}, "0 as resamples"),
        ({"test__resamples": -5}, "-5 as resamples"),
        ({"test__seed": -1}, "-1 as seed; expected 0 to 4294967295"),
        ({"test__systems": ["../x"]}, "a system cannot be '../x'"),
        ({"test__vocoder": "/tmp/vocoder"}, "the vocoder cannot be '/tmp/vocoder'"),
        ({"test__vocoder": "vocoder/../.."}, "the vocoder cannot be '../..'"),
        ({"test__vocoder": "vocoder/none"}, "'vocoder/none/config.yaml' is not among its files"),
        ({"test__unseen_text": {"../own": False}}, "a recognizer cannot be '../own'"),
        ({"test__unseen_text": {}}, "its recognizers are not those whose scores lie there"),
    ],
)
def test_a_list_that_cannot_be_is_refused_in_a_line(keys, told, shared, capsys):
    folder = unpacked_from(shared)
    changed(folder, **keys)
    capsys.readouterr()
    assert main(["check", str(folder)]) == 1
    line = capsys.readouterr().err
    assert told in line
    assert line.count("\n") == 1


def test_files_are_those_that_are_listed_and_every_clip_has_a_speaker(shared, capsys):
    folder = unpacked_from(shared)
    (folder / "more.txt").symlink_to("/etc/passwd")
    assert main(["check", str(folder)]) == 1
    assert "'more.txt' is not among the files of share.json" in capsys.readouterr().err
    (folder / "more.txt").unlink()
    speakers = folder / "sets/test/utt2spk"
    content = speakers.read_text()
    speakers.write_text(content.split("\n", 1)[1])
    sealed(folder)
    assert main(["check", str(folder)]) == 1
    line = capsys.readouterr().err
    assert f"clips.tsv: the clip '{content.split()[0]}' has no speaker in its set's utt2spk" in line
    assert line.count("\n") == 1
    (folder / "model.safetensors").unlink()
    files = json.loads((folder / "share.json").read_text())["files"]
    changed(folder, files={name: digest for name, digest in files.items() if name != "model.safetensors"})
    assert main(["check", str(folder)]) == 1
    assert "'model.safetensors' is not among its files" in capsys.readouterr().err


def test_a_clip_whose_scores_differ_is_named():
    from lipsound2.metrics.speech import ClipScores
    from lipsound2.metrics.summary import Row
    from lipsound2.sharing.recompute import clip_differences

    def row(name: str, value: float) -> Row:
        return Row(name, "generated", ClipScores({"stoi": 0.5, "estoi": value}, {}, 0))

    same = [row("a", 0.25), row("b", 0.5)]
    assert [*clip_differences(same, same)] == []
    told = [*clip_differences([row("a", 0.25001), row("c", 1)], same)]
    assert told == [
        "a, generated: estoi 0.25001, expected 0.25",
        "b, generated: was not scored here",
        "c, generated: was not shared",
    ]


def test_speech_is_made_again_where_the_corpus_is_and_every_clip_compared(tmp_path, monkeypatch, capsys):
    """The lip-to-speech model that ships, on two clips of another dump."""
    from lipsound2.inference.synthesize import synthesize

    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    clips = synthetic_clips(2)
    make_experiment(tmp_path, clips, attention=False, iterations=1)
    with ArchiveWriter(Path("dump/mouth/feats.ark"), Path("dump/mouth/feats.scp")) as archive:
        for name, clip in sorted(clips.items()):
            archive.write(name, encode(np.ascontiguousarray(clip.crops[:, 8:104, 8:104])))
    frames = {name: str(len(clip.crops)) for name, clip in sorted(clips.items())}
    write_table(Path("dump/mouth/utt2num_frames"), frames)
    shutil.copytree(model_names.find("grid-s1-parallel"), "exp/mine")
    data, speech = Path("data/tiny/test"), Path("exp/mine/wav/test")
    synthesize(Path("exp/mine"), data, speech, dump=Path("dump"), vocoder="griffin-lim:1", controls=("real_mel",), nj=1)
    score(Path("dump/audio"), speech, out=Path("exp/mine/scores/test"), nj=1, resamples=20, metrics=("aligned",))
    assert main(["share", "exp/mine"]) == 0
    folder = unpacked_from(tmp_path / "mine.tar.gz")
    assert (folder / "vocoder.yaml").read_bytes() == Path("exp/mine/vocoder.yaml").read_bytes()
    shutil.rmtree("exp")
    again = ("--data", str(data), "--dump", "dump", "--nj", "1")
    assert main(["check", "mine.tar.gz", *again]) == 0
    assert "test: 4 scores of clips made again, 0 differ" in capsys.readouterr().out
    table = folder / "scores/test/clips.tsv"
    lines = table.read_text().splitlines()
    cells = lines[1].split("\t")
    lines[1] = "\t".join([*cells[:2], "0.99999", *cells[3:]])
    table.write_text("\n".join(lines) + "\n")
    sealed(folder)
    assert main(["check", str(folder), *again]) == 1
    shown = capsys.readouterr().out
    assert f"test: {cells[0]}, {cells[1]}: stoi {float(cells[2])}, expected 0.99999" in shown
    (data / "utt2spk").write_text("s1-clip0 s1\n")
    (data / "text").unlink()
    (data / "video.scp").write_text("s1-clip0 a.mp4\n")
    assert main(["check", "mine.tar.gz", *again]) == 1
    assert "1 clips, and none of the shared sets has these; 'test' has 2, 1 of them here" in capsys.readouterr().err


def test_metrics_that_cannot_be_made_again_are_left_out(monkeypatch):
    from lipsound2.metrics.speech import ClipScores
    from lipsound2.metrics.summary import Row
    from lipsound2.sharing.check import _further

    values = dict.fromkeys(("stoi", "estoi_speech", "dnsmos", "dnsmos_p808", "secs"), 0.5)
    rows = [Row("a", "generated", ClipScores(values, {}))]
    monkeypatch.setitem(sys.modules, "speechmos", None)
    assert _further(rows) == (("estoi_speech",), ["dnsmos", "dnsmos_p808", "secs"])


def told_id(value: bytes | str) -> str:
    """What tells cases apart: archives hold the time at which they were made."""
    return value if isinstance(value, str) else "archive"


def archive_of(*members: tuple[str, bytes, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz", compresslevel=1) as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, len(content), "/etc/passwd"
            archive.addfile(member, io.BytesIO(content))
    return held.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (archive_of(("../x", tarfile.REGTYPE, b"x")), "would leave its folder"),
        (archive_of(("/x", tarfile.REGTYPE, b"x")), "would leave its folder"),
        (archive_of(("a/link", tarfile.SYMTYPE, b"")), "is no plain file"),
        (archive_of(("a/link", tarfile.LNKTYPE, b"")), "is no plain file"),
        (archive_of(("a/x", tarfile.REGTYPE, bytes(200_000_000))), "more than any experiment"),
        (archive_of(("a/x", tarfile.REGTYPE, b"x"), ("b/x", tarfile.REGTYPE, b"x")), "expected one folder"),
        (archive_of(("a/x", tarfile.REGTYPE, b"x")), "no share.json"),
        (b"no archive", "no whole .tar.gz archive"),
        (
            archive_of(("a/x", tarfile.REGTYPE, np.random.default_rng(0).bytes(9000)))[:-4000],
            "no whole .tar.gz archive",
        ),
    ],
    ids=told_id,
)
def test_an_archive_that_is_none_or_means_harm_is_refused(content: bytes, told: str, tmp_path, capsys):
    (tmp_path / "x.tar.gz").write_bytes(content)
    assert main(["check", str(tmp_path / "x.tar.gz")]) == 1
    line = capsys.readouterr().err
    assert told in line
    assert line.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.gz"]


def with_header(kind: bytes, size: int) -> bytes:
    """An archive of zeros whose header claims to be followed by a name of that many bytes."""
    member = tarfile.TarInfo("long")
    member.type, member.size = kind, size
    return gzip.compress(member.tobuf() + bytes(1 << 20), 1)


ONE = archive_of(("a/x", tarfile.REGTYPE, b"x"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (with_header(tarfile.GNUTYPE_LONGNAME, 1 << 31), "a header in it is longer than any file's name"),
        (with_header(tarfile.XHDTYPE, 1 << 31), "a header in it is longer than any file's name"),
        (archive_of(("a/" * 3000 + "x", tarfile.REGTYPE, b"x")), "3001 folders, at most 32"),
        (archive_of(("a/" + "x" * 300, tarfile.REGTYPE, b"x")), "a name of 300 bytes, at most 255"),
        (archive_of(("a/x\n\x1b[31mfine", tarfile.REGTYPE, b"x")), "a control character"),
        (ONE + b"hello", "no whole .tar.gz archive"),
        (ONE[:-6] + b"\0\0" + ONE[-4:], "no whole .tar.gz archive (CRC check failed"),
        (gzip.compress(gzip.decompress(ONE) + b"hello"), "something lies behind its last file"),
        (ONE + gzip.compress(bytes(100_000_000), 1), "more than any experiment"),
    ],
    ids=["long name", "pax header", "folders", "name", "control", "garbage", "checksum", "behind", "zeros"],
)
def test_an_archive_is_read_to_its_end_and_in_little_memory(content: bytes, told: str, tmp_path, capsys):
    (tmp_path / "x.tar.gz").write_bytes(content)
    tracemalloc.start()
    assert main(["check", str(tmp_path / "x.tar.gz")]) == 1
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    line = capsys.readouterr().err
    assert told in line
    assert line.count("\n") == 1
    assert most < 1 << 26


def test_what_cannot_be_shared_is_told(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bare = tmp_path / "bare"
    shutil.copytree(recipe / "exp/tiny_parallel", bare, ignore=shutil.ignore_patterns("scores"))
    for words, told in (
        ((str(bare),), "holds no scores to share; run stages 4 and 5"),
        ((str(recipe / "exp/tiny_parallel"), "--out", "x.zip"), "ends in .tar.gz"),
        ((str(tmp_path / "none"),), "no experiment or pack"),
    ):
        assert main(["share", *words]) == 1
        assert told in capsys.readouterr().err
    (bare / "model.safetensors").unlink()
    assert main(["share", str(bare)]) == 1
    assert "training has not ended there" in capsys.readouterr().err
    assert main(["check", "x", "--data", "d"]) == 2
    assert main(["check", "nothing.tar.gz"]) == 1
    assert "no such file or folder" in capsys.readouterr().err
