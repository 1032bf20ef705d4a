"""What `fuzz.py` gives damaged files to: every reader of files, with good files of its kind."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from lipsound2.audio.mel_settings import MelConfig, mel_config
from lipsound2.audio.segment import read_timeline
from lipsound2.config import from_mapping, to_mapping
from lipsound2.corpora import cmlr, grid, librispeech, lrs, lrw, own, recordings, tcd_timit, voxceleb2
from lipsound2.corpora.lists import read_lists
from lipsound2.data.archive import Archive, ArchiveWriter
from lipsound2.data.checks import validate
from lipsound2.data.datadir import DataDir
from lipsound2.data.lookup import Lookup
from lipsound2.data.npy import read_npy
from lipsound2.data.tables import parse_words, read_numbers
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.decoding.arpa import LanguageModel
from lipsound2.decoding.grammar import grammar
from lipsound2.inference.onnx import Note, read_note
from lipsound2.jobs.jobs import read_failures
from lipsound2.jobs.shards import Shard
from lipsound2.metrics import summary, summary_files, wer_summary
from lipsound2.metrics.audio_sources import read_origin
from lipsound2.metrics.bootstrap import Interval
from lipsound2.metrics.wer import score_texts
from lipsound2.report.provenance import provenance
from lipsound2.report.report import count_weights, read_curves
from lipsound2.tasks import load_config
from lipsound2.text.tokens import load as load_tokens
from lipsound2.text.tokens import of_texts
from lipsound2.training import checkpoint
from lipsound2.training.monitor import Curves
from lipsound2.versions import read_runs

TRAIN = """task: language
tokens: tokens.txt
lr: 1e-3
max_epochs: 12
betas: [0.9, 0.98]
precision: fp32
compile: false
"""
ALIGN = """0 23750 sil
23750 29500 bin
29500 34000 blue
34000 35500 at
35500 41000 f
41000 47250 two
47250 53000 now
"""
ARPA = """\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-99 <s> -0.3
-0.5 a -0.2
-0.7 b
-0.4 </s>

\\2-grams:
-0.1 <s> a
-0.2 a </s>

\\end\\
"""
TABLE = "a-1 0.1 0.5 bin 0.5 0.9 blue\na-2 0 1 red\nb-1 1 2.5 gr\u00fcn\n"
DONE = b"""{"hash": "h", "failures": [["a-2", "silent", "x"]], "sizes": {"00000.ark": 1}}
{"feats.scp": {"a-1": "00000.ark:4"}, "utt2num_frames": {"a-1": "75"}}"""
FOUND = recordings.Recordings


class Nonsense(Exception):  # noqa: N818 - a verdict on a reader
    """A reader took what cannot be."""


@dataclass
class Reader:
    """One kind of file.

    Attributes:
        name: of the kind.
        seeds: good files of it.
        read: reads the file that lies at a path; raises `Nonsense` when it got what cannot be.
        file: name of the file.
        share: of the cases; slow readers get fewer.
    """

    name: str
    seeds: list[bytes]
    read: Callable[[Path], object]
    file: str = "file"
    share: float = 1.0


def finite(numbers: Iterable[float | None], least: float = -math.inf) -> None:
    """Refuse numbers that are none, or too small."""
    for number in numbers:
        if number is not None and not (math.isfinite(number) and number >= least):
            raise Nonsense(f"{number} was taken")


def _array(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _ark(folder: Path, array: np.ndarray, compress: bool | str = False) -> bytes:
    with ArchiveWriter(folder / "seed.ark") as writer:
        writer.write("a", array, compress)
    return (folder / "seed.ark").read_bytes()[2:]


def _config(path: Path) -> None:
    run = load_config(path)
    finite(value for value in asdict(run.train).values() if isinstance(value, float))


def _timeline(path: Path) -> None:
    (path.parent / "landmarks").mkdir(exist_ok=True)
    path.rename(path.parent / "landmarks/timeline.tsv")
    for start, frames in read_timeline(path.parent).values():
        finite([start])
        finite([frames], 1)


def _archive(path: Path) -> None:
    archive = Archive(path)
    for name in list(archive)[:3]:
        archive[name]


def _entry(path: Path) -> None:
    index = path.with_name("feats.scp")
    index.write_text(f"a {path.name}:0\n", encoding="utf-8")
    Archive(index)["a"]


def _done(path: Path) -> None:
    place = path.parent / "mel/shards"
    place.mkdir(parents=True)
    path.rename(place / path.name)
    (place / "00000.ark").write_bytes(b"x")
    shard = Shard(path.parent, 0, ("a-1", "a-2"), {"mel": {}}, {"mel": "h"})
    if shard.failures() is not None:
        shard.is_readable()


def _words(path: Path) -> None:
    (path.parent / "utt2spk").write_text("a-1 a\na-2 a\nb-1 b\n")
    for _, value in DataDir(path.parent).table("word_times").items():
        try:
            for start, end, _ in parse_words(value):
                finite([start, end - start], 0)
        except ValueError:  # told by who asks for the words
            pass


def _data_dir(path: Path) -> None:
    for table in ("text", "spk2utt", "video.scp"):
        (path.parent / table).write_text("a-1 x\na-2 y\nb-1 z\n")
    validate(path.parent, media=False)
    data = DataDir(path.parent)
    data.subset(list(data.ids)[:1], path.parent / "part")
    Lookup(path).get("a-2")


def _numbers(path: Path) -> None:
    finite(map(float, read_numbers(path).array), 0)


def _align(path: Path) -> None:
    found = FOUND()
    found.add("s1-bbaf2n", recordings.Recording("s1", video="/x", size=1, text="bin blue at f two now"))
    _spoken(grid._words_in("s1-bbaf2n", found, path))


def _spoken(words: str) -> None:
    for start, end, _ in parse_words(words):
        finite([start, end - start], 0)


def _lrs(path: Path) -> None:
    heard = lrs.read_text("a-1", path, FOUND())
    if heard is not None:
        _spoken(heard[1])


def _lrw(path: Path) -> None:
    _spoken(lrw._times("a", path, "ABOUT", FOUND()))


def _cmlr(path: Path) -> None:
    _spoken(cmlr._read_text("a", path, FOUND())[1])


def _listing(path: Path) -> None:
    finite([size for _, size in voxceleb2._read_listing(path, path.parent) if size is not None], 0)


def _librispeech(path: Path) -> None:
    recordings.read_lines(path)
    librispeech._read_speakers([path], FOUND())


def _arpa(path: Path) -> None:
    model = LanguageModel.read(path)
    score = model.sentence(["a", "b", "a"])
    if math.isnan(score) or score == math.inf:
        raise Nonsense(f"log probability {score}")


def _tokens(path: Path) -> None:
    tokenizer = load_tokens(path)
    tokenizer.decode(tokenizer.encode("bin blue"))


def _grammar(path: Path) -> None:
    grammar(str(path)).jsgf()


def _curves(path: Path) -> None:
    finite(value for column in read_curves(path).values() for value in column)
    Curves(path, 10)


def _scores(path: Path) -> None:
    found, facts = summary_files.read_scores(path)
    for system in found.systems.values():
        for value in system.scores.values():
            finite([value.mean, value.low, value.high])
    finite([facts.level])
    summary.page(found, facts.clips)


def _clips(path: Path) -> None:
    for row in summary_files.read_clips(path):
        finite(row.scores.values.values())


def _texts(path: Path) -> None:
    found = wer_summary.read_summary(path)
    for one in found.values():
        for rate in one.rates.values():
            finite([rate.mean, rate.low, rate.high])
    wer_summary.read_rule(path)


def _text_clips(path: Path) -> None:
    finite(line.errors / line.units for line in wer_summary.read_clips(path))


def _checkpoint(path: Path) -> None:
    content = path.read_bytes()
    path.rename(path.with_name(f"update-00000007.{sha256(content).hexdigest()[:16]}.pt"))
    checkpoint.newest(path.parent)


def _kind(path: Path) -> None:
    config = from_mapping(MelConfig, read_yaml(path), str(path))
    finite([float(config.sample_rate), float(config.hop), float(config.bands)])


def _experiment(path: Path) -> None:
    finite([run.get("hours") for run in read_runs(path)])
    provenance(path.parent)


def _note(path: Path) -> None:
    note, _ = read_note(path.read_bytes().decode("utf-8", "surrogateescape"), str(path))
    finite([note.ratio, note.difference, *note.mean, *note.std])


def _split_lists(path: Path) -> None:
    read_lists(path.parent)


def _prompts(path: Path) -> None:
    tcd_timit.read_prompts(path, FOUND())


def _own(path: Path) -> None:
    (path.parent / "a").mkdir(exist_ok=True)
    (path.parent / "a/x.mp4").write_bytes(b"x")
    path.rename(path.parent / "a/x.txt")
    own.scan(path.parent)


def readers(folder: Path) -> list[Reader]:
    """All kinds of files; `folder` is for making good ones."""
    matrix = np.linspace(-3, 3, 60, dtype=np.float32).reshape(12, 5)
    arks = [
        *(_ark(folder, matrix), _ark(folder, matrix.astype(np.float64)), _ark(folder, matrix[0])),
        *(_ark(folder, matrix, kind) for kind in ("speech-feature", "two-byte", "one-byte")),
        *(_ark(folder, np.arange(9, dtype=np.uint8)), _ark(folder, np.arange(9, dtype=np.int16).reshape(3, 3))),
    ]
    heard = score_texts({"s1-a": "bin blue at f two now"}, {"s1-a": "bin red at f"}, {"s1-a": "s1"}, "en")
    wer_summary.write_summary(folder / "texts.json", {"generated": heard.summary})
    wer_summary.write_clips(folder / "texts.tsv", heard.rows)
    mean = Interval(0.5, 0.4, 0.6)
    system = {"clips": 4, "scores": {name: asdict(mean) for name in ("stoi", "estoi", "pesq_nb", "pesq_wb")}}
    system |= {"failed_clips": 1, "failures": {"missing": 1}, "mismatched_lengths": 0}
    scores = {
        "verdict": {"lips_are_read": True, "estoi_matched_minus_mismatched": asdict(mean), "sentence": "yes"},
        "systems": {"generated": system, "mismatched": system},
        "speakers": {"s1": {"clips": 2, "generated": {"estoi": 0.5}}},
        **{"clips": "all", "rule": ["a"], "verdict_rule": "b", "bootstrap": {"level": 0.95, "seed": 0}},
    }
    write_yaml(folder / "kind.yaml", to_mapping(mel_config("fine")))
    write_yaml(
        folder / "versions.yaml", {"hours": 1.5, "runs": [{"hours": 1.5, "updates": 4, "hardware": {"cores": 2}}]}
    )
    note = Note("lips", "x", "y", to_mapping(mel_config("fine")), mean=(0.1, 0.2), std=(1.0, 1.0), ratio=4.0, side=88)
    buffer = io.BytesIO()
    torch.save({"format": 1, "update": 7, "x": torch.zeros(4), "rows": [{"a": 1.5}]}, buffer)
    words = of_texts("words", ["bin blue at f two now", "lay red by a one soon"])
    encoded = {name: text.encode() for name, text in {"config": TRAIN, "align": ALIGN, "table": TABLE}.items()}
    clips = (
        "id\tsystem\tstoi\testoi\tpesq_nb\tpesq_wb\tlength_difference\tfailures\n"
        "s1-a\tgenerated\t0.5\t0.4\t1.5\t1.4\t3\t-\ns1-b\tgenerated\t0.5\t-\t1.5\t1.4\t-3\testoi=no-speech\n"
    )
    return [
        Reader("config", [encoded["config"]], _config, share=0.3),
        Reader(
            "yaml",
            [encoded["config"], b"a: &x {b: [1, 2.5, null, true]}\nc: *x\nd: 2026-11-28\n"],
            read_yaml,
            share=0.4,
        ),
        Reader("kind.yaml", [(folder / "kind.yaml").read_bytes()], _kind, "kind.yaml", share=0.2),
        Reader("versions.yaml", [(folder / "versions.yaml").read_bytes()], _experiment, "versions.yaml", share=0.2),
        Reader(
            "origin.yaml",
            [b"dump: dump\ndata: data/test\nclips: 4\n"],
            lambda path: read_origin(path.parent),
            "origin.yaml",
        ),
        Reader("utt2spk", [b"a-1 a\na-2 a\nb-1 b\n"], _data_dir, "utt2spk", share=0.15),
        Reader("utt2num_frames", [b"a-1 75\na-2 80\nb-1 1\n"], _numbers, "utt2num_frames"),
        Reader("word_times", [encoded["table"]], _words, "word_times"),
        Reader("align", [encoded["align"]], _align),
        Reader("timeline", [b"a\t0\t75\tx\nb\t0.04\t80\ty\n"], _timeline),
        Reader("scp", [b"a x.ark:2\nb x.ark:99\nc /y/z.ark:12345\n"], _archive, "feats.scp"),
        Reader("done", [DONE], _done, "00000.done"),
        Reader("ark", arks, _entry),
        Reader(
            "npy",
            [_array(matrix), _array(np.arange(4)), _array(np.zeros(3, "S2"))],
            lambda path: read_npy(path, "again"),
        ),
        Reader(
            "failures",
            [b"a-1\tcrop\tno-face\t3 of 75\na-2\tmel\tsilent\t\n"],
            lambda path: read_failures(path.parent),
            "failures.tsv",
        ),
        Reader("arpa", [ARPA.encode()], _arpa),
        Reader("tokens.txt", [b"a\nb\n<space>\n\xc3\xa9\n"], _tokens, "tokens.txt"),
        Reader("tokens.model", [words.content], _tokens, "tokens.model", share=0.05),
        Reader("grammar", [b"bin | lay | place\nblue | green\nat\n"], _grammar, "toy.txt"),
        Reader("curves", [b"update\tepoch\tloss\n1\t1\t0.5\n2\t2\t0.25\n"], _curves, "curves.tsv"),
        Reader("summary.json", [json.dumps(scores).encode()], _scores),
        Reader("clips.tsv", [clips.encode()], _clips),
        Reader("text summary", [(folder / "texts.json").read_bytes()], _texts),
        Reader("text clips", [(folder / "texts.tsv").read_bytes()], _text_clips),
        Reader("checkpoint", [buffer.getvalue()], _checkpoint, share=0.3),
        Reader("weights", [save({"a": matrix, "b": matrix[0]})], count_weights),
        Reader("onnx note", [json.dumps(asdict(note)).encode()], _note),
        Reader("split lists", [b"a-1\tx.mp4\tbin blue\na-2\ty.mp4\tred\n"], _split_lists, "test.tsv"),
        Reader(
            "LRS text",
            [b"Text:  BIN BLUE\nConf:  4\n\nWORD START END ASDSCORE\nBIN 0.1 0.5 3.2\nBLUE 0.5 0.9 1\n"],
            _lrs,
        ),
        Reader("LRW text", [b"Duration: 0.53 seconds\n"], _lrw),
        Reader("CMLR text", ["\u4f60\u597d\n0.1 0.5 \u4f60\n0.5 0.9 \u597d\n".encode()], _cmlr),
        Reader(
            "listing",
            [b"dev/mp4/id00012/21Uxsk56VDQ/00001.mp4 1234\ndev/mp4/id00012/21Uxsk56VDQ/00002.mp4 77\n"],
            _listing,
        ),
        Reader(
            "transcripts",
            [b"84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT\n", b"14 | F | train-clean-360 | 25.03 | A\n"],
            _librispeech,
        ),
        Reader("prompts", [b"; x\nShe had your dark suit (sa1)\nTIMIT/sa2 DON'T ASK ME\n"], _prompts),
        Reader("own text", [b"bin blue at f two now\n"], _own),
    ]
