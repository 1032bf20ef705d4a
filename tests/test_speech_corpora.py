"""LibriSpeech and AISHELL: layouts as known, readers, generated corpora, and from a corpus to heard texts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.recipe_copies import copy_recipes, run
from helpers.speech_corpora import (
    ENGLISH,
    LAYOUTS,
    MANDARIN,
    Layout,
    append,
    make_aishell1,
    make_aishell2,
    make_librispeech,
    row_shape,
    shape,
)
from helpers.wild_corpora import reasons

from lipsound2.audio.dump import mel
from lipsound2.corpora import aishell, librispeech, prepare
from lipsound2.data.datadir import DataDir, validate
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.decoding.arpa import LanguageModel
from lipsound2.errors import LipsoundError
from lipsound2.inference.decode import decode
from lipsound2.text.normalize import normalize
from lipsound2.training.train import train

ROOT = Path(__file__).resolve().parents[1]
NAMES = ["aishell1", "aishell2", "librispeech"]
MAKE = {"librispeech": make_librispeech, "aishell1": make_aishell1, "aishell2": make_aishell2}
# Not needed by a reader, so not generated: papers that lie beside the audio, archives that are unpacked.
BESIDE = {
    "librispeech": {f"LibriSpeech/{name}.TXT" for name in ("README", "CHAPTERS", "BOOKS", "LICENSE")},
    "aishell1": {"data_aishell/wav/S#.tar.gz"},
    "aishell2": set(),
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> dict[str, Path]:
    """One corpus of each layout, made once; tests that change one copy it first."""
    folder = tmp_path_factory.mktemp("corpora")
    for name, make in MAKE.items():
        make(folder / name)
    return {name: folder / name for name in MAKE}


def changed(generated: dict[str, Path], name: str, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    return Path(shutil.copytree(generated[name], tmp_path / name))


# Layouts


def test_every_line_of_a_layout_is_marked_with_its_source():
    names = sorted(path.stem for path in LAYOUTS.glob("*.txt"))
    assert set(NAMES) <= set(names)
    for name in names:
        layout = Layout.read(name)
        assert {mark for mark, _ in layout.marks} == {"verified", "from memory"}
        assert all(source.strip() for _, source in layout.marks)


@pytest.mark.parametrize("name", NAMES)
def test_generated_corpora_have_the_layout(name, generated):
    layout = Layout.read(name)
    root = generated[name]
    files = [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()]
    assert {shape(file) for file in files} == {shape(file) for file in layout.files} - BESIDE[name]
    tables = (".txt", ".scp")
    known: dict[str, set[str]] = {}
    for file, rows in layout.files.items():
        if file.endswith(tables):
            known.setdefault(shape(file), set()).update(map(row_shape, rows))
    for file in files:
        if file.endswith(tables):
            rows = (root / file).read_text(encoding="utf-8").splitlines()
            assert set(map(row_shape, rows)) <= known[shape(file)], file


def test_librispeech_as_the_layout_has_it(tmp_path):
    Layout.read("librispeech").write(tmp_path)
    for root in (tmp_path, tmp_path / "LibriSpeech"):
        found = librispeech.scan(root)
        assert {id: (recording.part, recording.text.split()[0]) for id, recording in found.by_id.items()} == {
            "121-121726-0000": ("test-clean", "ALSO"),
            "121-121726-0001": ("test-clean", "HARANGUE"),
            "121-121726-0002": ("test-clean", "ANGOR"),
            "1272-128104-0000": ("dev-clean", "MISTER"),
            "19-198-0000": ("train-clean-100", "NORTHANGER"),
        }
        assert not found.problems
        assert found.speakers["train-clean-360"] == {"14"}
    single = librispeech.scan(tmp_path / "LibriSpeech" / "dev-clean")
    assert list(single.by_id) == ["1272-128104-0000"]


def test_aishell1_as_the_layout_has_it(tmp_path):
    Layout.read("aishell1").write(tmp_path)
    found = aishell.scan(tmp_path)
    assert {id: (recording.part, recording.text.split()[0]) for id, recording in found.by_id.items()} == {
        "S0002-BAC009S0002W0122": ("aishell1-train", "而"),
        "S0724-BAC009S0724W0121": ("aishell1-dev", "广州市"),
        "S0764-BAC009S0764W0121": ("aishell1-test", "甚至"),
    }
    assert not found.problems
    assert len(found.notes) == 1
    assert "1 speakers of AISHELL-1 are still packed (S0003.tar.gz" in found.notes[0]


def test_aishell2_as_the_layout_has_it(tmp_path):
    Layout.read("aishell2").write(tmp_path)
    found = aishell.scan(tmp_path)
    assert {id: (recording.part, recording.text) for id, recording in found.by_id.items()} == {
        "C0001-IC0001W0001": ("aishell2-train", "厨房用具"),
        "C0001-IC0001W0002": ("aishell2-train", "电蒸锅"),
        "D0012-ID0012W0030": ("aishell2-dev", "调低五度"),
        "T0011-IT0011W0001": ("aishell2-test", "换一首歌"),
    }
    assert not found.problems
    assert [note.split("DEV-TEST-SET/")[1] for note in found.notes] == ["Android/test is left out: the channel android"]
    assert set(aishell.scan(tmp_path / "AISHELL-2" / "iOS" / "dev").by_id) == {"D0012-ID0012W0030"}


# Prepare


def test_librispeech_is_prepared(generated, tmp_path, capsys):
    data = tmp_path / "data"
    prepare("librispeech", generated["librispeech"], data, protocol="960h")
    told = capsys.readouterr().out
    assert "train-clean-100: 6 of 28539 utterances" in told
    assert "not there: test-other, dev-other, train-clean-360, train-other-500" in told
    assert "dev-other: EMPTY" in told
    assert "the corpus at hand is partial (train 6 of 281241, dev-clean 2 of 2703" in told
    assert not (data / "problems.tsv").exists()
    sets = {path.name: DataDir(path) for path in (data / "960h").iterdir() if path.is_dir()}
    assert {name: len(part) for name, part in sets.items()} == {"train": 6, "dev-clean": 2, "test-clean": 2}
    assert sets["train"].text["19-198-0000"] == ENGLISH["train-clean-100", 19, 198][0]
    assert set(sets["train"].utt2spk.values()) == {"19", "27"}
    assert not sets["train"].video
    assert validate(data / "all") == 0
    assert validate(data / "960h" / "train") == 0
    prepare("librispeech", generated["librispeech"], data, protocol="960h")
    assert capsys.readouterr().out.count("done, skipped") == 2


@pytest.mark.parametrize("name", ["aishell1", "aishell2"])
def test_aishell_is_prepared(name, generated, tmp_path, capsys):
    prepare("aishell", generated[name], tmp_path, protocol=name)
    sets = {path.name: DataDir(path) for path in (tmp_path / name).iterdir() if path.is_dir()}
    assert {name: len(part) for name, part in sets.items()} == {"train": 6, "dev": 2, "test": 2}
    texts = {normalize(text, "zh") for text in sets["test"].text.values()}
    assert texts == {sentence.replace(" ", "") for sentence in MANDARIN["test", 764]}
    assert validate(tmp_path / "all") == 0
    other = {"aishell1": "aishell2", "aishell2": "aishell1"}[name]
    with pytest.raises(LipsoundError, match=f"protocol {other} needs {other}-train, .* none of its clips is there"):
        prepare("aishell", generated[name], tmp_path, protocol=other)


def test_wrong_options_are_one_line(generated, tmp_path):
    root = generated["librispeech"]
    with pytest.raises(LipsoundError, match="unknown protocol '4speakers' of librispeech; one of: 960h, 460h, 100h"):
        prepare("librispeech", root, tmp_path / "d", protocol="4speakers")
    with pytest.raises(LipsoundError, match=r"--lists: librispeech has no use for it, .* add --protocol lists"):
        prepare("librispeech", root, tmp_path / "d", protocol="960h", lists=tmp_path)
    for corpus, wanted in (("librispeech", "wanted dev-clean"), ("aishell", "wanted transcript/aishell_transcript")):
        with pytest.raises(LipsoundError, match="no such folder"):
            prepare(corpus, tmp_path / "nowhere", tmp_path / "d")
        (tmp_path / "other" / "stuff").mkdir(parents=True, exist_ok=True)
        with pytest.raises(LipsoundError, match=f"{wanted}.*found stuff"):
            prepare(corpus, tmp_path / "other", tmp_path / "d")
    with pytest.raises(LipsoundError, match="needs aishell2-train, aishell2-dev, aishell2-test, found S0001"):
        prepare("aishell", generated["aishell1"], tmp_path / "d", protocol="aishell2")


# Damage


def test_librispeech_with_wrong_and_missing_files(generated, tmp_path, capsys):
    top = changed(generated, "librispeech", tmp_path) / "LibriSpeech"
    train, dev = top / "train-clean-100", top / "dev-clean" / "1272" / "128104"
    (train / "19" / "198" / "19-198-0000.flac").unlink()
    (train / "19" / "198" / "19-198-0001.flac").write_bytes(b"")
    (train / "27" / "123349" / "27-123349.trans.txt").unlink()
    shutil.copy(dev / "1272-128104-0000.flac", dev / "1272-128104-0009.flac")
    shutil.copy(dev / "1272-128104-0000.flac", dev / "121-121726-0000.flac")
    append(dev / "1272-128104.trans.txt", "1272-128104-0001 SOMETHING ELSE\n1272-128104-0010\n")
    shutil.copy(dev / "1272-128104-0000.flac", dev / "1272-128104-0010.flac")
    shutil.copytree(top / "test-clean" / "121", train / "121")
    (top / "test-other" / "1" / "2").mkdir(parents=True)
    (top / "test-other" / "1" / "2" / "1-2.trans.txt").write_bytes(b"1-2-0000 CAF\xe9\n")
    found = librispeech.scan(top)
    assert reasons(found) == {
        "no-audio-file": 1,
        "empty-file": 1,
        "no-transcript": 4,
        "other-name": 1,
        "two-lines": 1,
        "empty-transcript": 1,
        "second-copy": 2,
        "other-subset": 1,
        "unreadable-transcripts": 1,
    }
    # What is held out stays held out.
    assert found.by_id["121-121726-0000"].part == "test-clean"
    assert set(found.by_id) == {
        *("19-198-0002", "1272-128104-0000", "1272-128104-0001", "121-121726-0000", "121-121726-0001"),
    }
    (top / "SPEAKERS.TXT").write_text("174 | M | dev-clean | 8.0 | Peter\n1272 | M | dev-clean | 8.0 | John\n")
    prepare("librispeech", top, tmp_path / "data", protocol="100h")
    told = capsys.readouterr().out
    assert "dev-clean: 1 of 2 speakers are missing (174)" in told
    assert "4 x no-transcript (not used)" in told
    rows = (tmp_path / "data" / "problems.tsv").read_text().splitlines()
    assert "19-198-0001\tprepare\tempty-file\tthe file has 0 bytes; fetch it again" in "\n".join(rows)
    (top / "SPEAKERS.TXT").unlink()
    assert "SPEAKERS.TXT is absent" in librispeech.scan(top).notes[0]


def test_a_wav_copy_of_a_flac_is_not_a_second_utterance(generated, tmp_path):
    top = changed(generated, "librispeech", tmp_path) / "LibriSpeech"
    folder = top / "dev-clean" / "1272" / "128104"
    shutil.copy(folder / "1272-128104-0000.flac", folder / "1272-128104-0000.wav")
    (folder / "1272-128104-0001.flac").rename(folder / "1272-128104-0001.wav")
    found = librispeech.scan(top)
    assert Path(found.by_id["1272-128104-0000"].wav).suffix == ".flac"
    assert Path(found.by_id["1272-128104-0001"].wav).suffix == ".wav"
    assert not found.problems


def test_aishell1_with_wrong_and_missing_files(generated, tmp_path):
    top = changed(generated, "aishell1", tmp_path) / "data_aishell"
    (top / "wav" / "train" / "S0001" / "BAC009S0001W0121.wav").unlink()
    (top / "wav" / "train" / "S0001" / "BAC009S0001W0122.wav").write_bytes(b"")
    extra = top / "wav" / "dev" / "S0724" / "BAC009S0724W0999.wav"
    shutil.copy(extra.with_name("BAC009S0724W0121.wav"), extra)
    found = aishell.scan(top)
    assert reasons(found) == {"empty-file": 1, "no-transcript": 1}
    assert found.notes == ["1 of 10 transcripts of AISHELL-1 have no audio here"]
    assert len(found.by_id) == 8
    for subset in ("train", "dev", "test"):
        shutil.rmtree(top / "wav" / subset)
    with pytest.raises(LipsoundError, match=r"no wav/\{train,dev,test\}; unpack data_aishell.tgz again"):
        aishell.scan(top)
    (top / "wav" / "S0002.tar.gz").write_bytes(b"")
    with pytest.raises(LipsoundError, match=r"still packed \(S0002.tar.gz, ...\); unpack them: cd "):
        aishell.scan(top)


def test_aishell2_with_wrong_and_missing_files(generated, tmp_path):
    root = changed(generated, "aishell2", tmp_path)
    folder = root / "AISHELL-2" / "iOS" / "data"
    (folder / "wav" / "C0001" / "IC0001W0001.wav").unlink()
    append(folder / "wav.scp", "IC0001W0009\twav/C0001/IC0001W0002.wav\n")
    append(folder / "trans.txt", "IC0001W0010\t一\n")
    shutil.copytree(root / "AISHELL-2" / "iOS" / "dev", root / "AISHELL-2" / "iOS" / "extra")
    found = aishell.scan(root)
    assert reasons(found) == {"no-audio-file": 2, "other-name": 1}
    assert any("extra is left out: wanted a folder called test, dev, data, train" in note for note in found.notes)
    (folder / "wav.scp").unlink()
    with pytest.raises(LipsoundError, match=r"data: trans\.txt is there, wav\.scp is not"):
        aishell.scan(root)
    (root / "AISHELL-2" / "iOS" / "dev" / "trans.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(LipsoundError, match=r"trans\.txt: expected UTF-8 text"):
        aishell.scan(root / "AISHELL-2" / "iOS" / "dev")


# From the corpus to what is heard

TINY = {"width": 16, "layers": 1, "heads": 2, "channels": 4, "kernel": 5, "decoder_layers": 1}
SHORT = {"max_updates": 4, "max_epochs": 4, "valid_every": 2, "warmup": 1, "workers": 0, "precision": "fp32"}


RUNS = pytest.mark.parametrize(
    ("recipe", "corpus", "made", "protocol", "valid", "test"),
    [
        ("librispeech", "librispeech", "librispeech", "100h", "dev-clean", "test-clean"),
        ("aishell2", "aishell", "aishell2", "aishell2", "dev", "test"),
    ],
)


def tiny_config(recipe: str, path: Path) -> str:
    """The recipe's Conformer, much smaller, for four updates; returns its language."""
    values = read_yaml(ROOT / "egs" / recipe / "conf" / "asr_conformer.yaml") | TINY | SHORT
    write_yaml(path, values)
    return str(values["language"])


@RUNS
def test_from_corpus_to_heard_texts(recipe, corpus, made, protocol, valid, test, generated, tmp_path):
    """As the recipe calls it: prepare, validate, mel, train, decode."""
    data, dump, exp = tmp_path / "data", tmp_path / "dump", tmp_path / "exp"
    prepare(corpus, generated[made], data, protocol=protocol)
    assert validate(data / "all") == 0
    mel(data / "all", dump, nj=1)
    language = tiny_config(recipe, tmp_path / "tiny.yaml")
    sets = data / protocol
    train(tmp_path / "tiny.yaml", train=sets / "train", valid=sets / valid, dump=dump, exp=exp)
    decode(str(exp), sets / test, exp / "text" / test, dump=dump)
    texts = [normalize(text, language) for text in DataDir(sets / "train").text.values()]
    known = set((exp / "tokens.txt").read_text(encoding="utf-8").splitlines()) - {"<space>"}
    assert known == set("".join(texts)) - {" "}
    heard = (exp / "text" / test / "words.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(heard) == len(DataDir(sets / test))


@pytest.mark.slow
@RUNS
def test_the_recipe_runs_through(recipe, corpus, made, protocol, valid, test, generated, tmp_path):
    """All six stages of run.sh, as a user starts them, in a folder with a blank in its name."""
    folder = copy_recipes(tmp_path, recipe) / recipe
    language = tiny_config(recipe, folder / "conf" / "tiny.yaml")
    options = ["--corpus", str(generated[made]), "--protocol", protocol, "--config", "conf/tiny.yaml"]
    told = run(folder, *options, "--sets", test, "--order", "3", "--beam", "4")
    assert "nothing to do: the corpus has no video" in told
    sets, exp = folder / "data" / protocol, folder / "exp" / f"{protocol}_tiny"
    texts = [normalize(text, language) for text in DataDir(sets / "train").text.values()]
    words = {word for text in texts for word in (text.split() if language == "en" else text)}
    model = LanguageModel.read(folder / "exp" / "lm" / f"{protocol}-3.arpa")
    assert {gram[0] for gram in model.tables[0]} == words | {"<s>", "</s>", "<unk>"}
    for way in ("greedy", f"{protocol}-3"):
        assert (exp / "text" / test / way / "words.jsonl").exists()
        assert (exp / "scores" / test / "text" / way / "summary.json").exists()
