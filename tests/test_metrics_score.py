"""The verb `score`: systems, controls, verdict, failures that count, stamps."""

from __future__ import annotations

import functools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.experiments import make_experiment, synthetic_clips

from lipsound2.audio.io import write_wav
from lipsound2.cli import main
from lipsound2.data.datadir import DataDir
from lipsound2.errors import LipsoundError
from lipsound2.metrics.registry import STANDARD
from lipsound2.metrics.score import _each, score
from lipsound2.metrics.speech import ClipScores
from lipsound2.metrics.summary import Row, lip_reading_verdict, summarize, table
from lipsound2.metrics.summary_files import from_json, read_clips, to_json


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("experiment")
    make_experiment(root, synthetic_clips(4))
    return root


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy"


def run(root: Path, **options: object) -> dict:
    wav, out = root / "exp/tiny_parallel/wav/test", root / "exp/tiny_parallel/scores/test"
    score(root / "dump/audio", wav, out=out, **{"nj": 1, "resamples": 500, **options})
    return json.loads((out / "summary.json").read_text())


def test_four_systems_in_order_with_intervals_and_a_verdict(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = run(root)
    assert list(content["systems"]) == ["generated", "real_mel", "mismatched", "mean_mel"]
    estoi = {name: entry["scores"]["estoi"] for name, entry in content["systems"].items()}
    assert estoi["mismatched"]["mean"] < estoi["generated"]["mean"] < estoi["real_mel"]["mean"]
    for entry in content["systems"].values():
        assert entry["clips"] == 4
        assert entry["failed_clips"] == 0
        assert all(value["low"] <= value["mean"] <= value["high"] for value in entry["scores"].values())
    assert content["verdict"]["lips_are_read"] is True
    assert content["speakers"]["s1"]["clips"] == 2
    printed = capsys.readouterr().out
    assert "| ESTOI " in printed
    assert "no clip is left out of a mean" in printed
    assert "Lips are read: YES." in printed


def test_others_are_compared_with_one_clip_by_clip(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The difference in the table is that of the clips in clips.tsv, and is bold where its interval leaves out 0."""
    with pytest.raises(LipsoundError, match="--against: found 'before', wanted one of several systems; there are gen"):
        run(root, against="before")
    run(root, against="mismatched")
    folder = root / "exp/tiny_parallel/scores/test"
    values: dict[str, list[float]] = {}
    for row in read_clips(folder / "clips.tsv"):
        values.setdefault(row.system, []).append(row.scores.values["estoi"])
    gain = np.mean(values["real_mel"]) - np.mean(values["mismatched"])
    told = next(line for line in (folder / "table.md").read_text().splitlines() if "real_mel - mismatched" in line)
    assert f"**{gain:+.3f} [" in told
    assert "mismatched - mismatched" not in told
    assert "Differences clip by clip" in capsys.readouterr().out
    run(root)
    assert "Differences clip by clip" not in (folder / "table.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [{"resamples": 0}, {"seed": -1}])
def test_fault_C7_draws_that_cannot_be_made_are_refused_first(root: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(LipsoundError, match=rf"--{next(iter(wrong))}: expected \d or more"):
        run(root, **wrong)


def test_processes_do_not_change_the_result(root: Path) -> None:
    first = run(root, nj=1)
    clips = (root / "exp/tiny_parallel/scores/test/clips.tsv").read_bytes()
    shutil.rmtree(root / "exp/tiny_parallel/scores")
    assert run(root, nj=2) == first
    assert (root / "exp/tiny_parallel/scores/test/clips.tsv").read_bytes() == clips


def test_a_second_run_is_skipped_until_something_changes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(root)
    assert "; skipped" not in capsys.readouterr().out
    assert run(root, nj=2) == first
    assert "; skipped" in capsys.readouterr().out
    wav = root / "exp/tiny_parallel/wav/test/generated/s1-clip0.wav"
    write_wav(wav, np.random.default_rng(0).normal(0, 0.1, 32000))
    assert run(root)["systems"]["generated"]["scores"]["estoi"] != first["systems"]["generated"]["scores"]["estoi"]


def test_missing_silent_broken_and_short_speech_count_at_the_floor(root: Path) -> None:
    folder = root / "exp/tiny_parallel/wav/test/generated"
    (folder / "s1-clip0.wav").unlink()
    write_wav(folder / "s1-clip2.wav", np.zeros(32000))
    (folder / "s2-clip1.wav").write_bytes(b"RIFF")
    spoken = folder / "s2-clip3.wav"
    spoken.write_bytes(spoken.read_bytes()[: 44 + 2 * 31000])
    system = run(root)["systems"]["generated"]
    assert system["clips"] == 4
    assert system["failed_clips"] == 3
    assert system["failures"] == {"missing": 1, "silent": 1, "unreadable": 1}
    assert system["mismatched_lengths"] == 1  # the one that was cut; what is absent or unreadable has no length
    rows = read_clips(root / "exp/tiny_parallel/scores/test/clips.tsv")
    missing = next(row for row in rows if (row.id, row.system) == ("s1-clip0", "generated"))
    assert missing.scores.values == {"stoi": 0.0, "estoi": 0.0, "pesq_nb": 1.0, "pesq_wb": 1.0}
    assert set(missing.scores.failures.values()) == {"missing"}


def test_every_clip_of_the_data_dir_counts_even_without_a_reference(root: Path) -> None:
    data = DataDir(root / "data/tiny/test")
    DataDir.write(root / "data/more", utt2spk={**data.utt2spk, "s9-gone": "s9"})
    content = run(root, ids=root / "data/more")
    assert content["systems"]["real_mel"]["clips"] == 5
    assert content["systems"]["real_mel"]["failures"] == {"no-reference": 1}
    assert content["speakers"]["s9"]["generated"]["estoi"] == 0.0


def test_a_noted_data_dir_that_is_gone_is_told(root: Path) -> None:
    """Its clips without speech would not be counted."""
    (root / "data/tiny/test").rename(root / "elsewhere")
    with pytest.raises(
        LipsoundError, match=r"wav/test/origin.yaml: notes the data dir .*, which is not there; give --ids"
    ):
        run(root)
    assert run(root, ids=root / "elsewhere")["systems"]["generated"]["clips"] == 4


def test_speech_that_was_copied_without_its_data_dir_is_scored_against_a_folder(tmp_path: Path) -> None:
    for name in ("a-1", "a-2"):
        noise = np.random.default_rng(len(name)).normal(0, 0.1, 16000).astype(np.float32)
        for folder in ("truth", "speech"):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_wav(tmp_path / folder / f"{name}.wav", noise, 16000)
    (tmp_path / "speech/a-2.wav").unlink()
    (tmp_path / "speech/origin.yaml").write_text("data: data/valid\n")
    score(tmp_path / "truth", tmp_path / "speech", out=tmp_path / "out", nj=1, resamples=20)
    clips = (tmp_path / "out/clips.tsv").read_text()
    assert "a-2\tgenerated\t" in clips, "each clip of the ground truth counts"


@pytest.mark.parametrize("given", [True, False])
def test_corrected_speakers_are_scored_anew(root: Path, given: bool) -> None:
    data = root / "data/tiny/test"
    ids = {"ids": data} if given else {}
    assert set(run(root, **ids)["speakers"]) == {"s1", "s2"}
    (data / "utt2spk").write_text((data / "utt2spk").read_text().replace(" s2", " s3"))
    (data / "spk2utt").unlink(missing_ok=True)
    assert set(run(root, **ids)["speakers"]) == {"s1", "s3"}


def test_a_dump_of_a_whole_corpus_is_scored_on_what_was_spoken(root: Path) -> None:
    wav = root / "exp/tiny_parallel/wav/test"
    (wav / "origin.yaml").unlink()
    for system in ("generated", "real_mel", "mismatched", "mean_mel"):
        (wav / system / "s1-clip0.wav").unlink()
    content = run(root)
    assert content["systems"]["generated"]["clips"] == 3
    assert content["systems"]["generated"]["failed_clips"] == 0


def test_one_folder_of_speech_against_a_folder_of_audio(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wav = root / "exp/tiny_parallel/wav/test"
    (wav / "generated/s2-clip3.wav").unlink()
    assert main(["score", str(wav / "real_mel"), str(wav / "generated"), "--nj", "1", "--resamples", "200"]) == 0
    printed = capsys.readouterr().out
    assert "missing 1" in printed  # all of the reference folder's clips count
    assert "Lips are read: UNKNOWN." in printed
    assert "no system is called mismatched" in printed
    assert (wav / "generated/scores/table.md").exists()


@pytest.mark.parametrize("broken", ["ref", "hyp", "ids"])
def test_wrong_folders_are_one_clear_line(root: Path, tmp_path: Path, broken: str) -> None:
    (tmp_path / "empty").mkdir()
    paths = {"ref": root / "dump/audio", "hyp": root / "exp/tiny_parallel/wav/test", "ids": None}
    if broken == "ids":
        paths["ids"] = tmp_path / "other"
        DataDir.write(tmp_path / "other", utt2spk={"x-1": "x"})
        message = "same set"
    else:
        paths[broken] = tmp_path / "empty"
        message = {"ref": "no ground truth", "hyp": "no speech there"}[broken]
    with pytest.raises(LipsoundError, match=message) as caught:
        score(paths["ref"], paths["hyp"], ids=paths["ids"], nj=1)
    assert "\n" not in str(caught.value)


def test_a_killed_worker_is_one_clear_line() -> None:
    with pytest.raises(LipsoundError, match="worker was killed"):
        list(_each(functools.partial(os._exit), [9, 9], 2))


def rows(system: str, values: list[float], failed: tuple[int, ...] = ()) -> list[Row]:
    return [
        Row(
            f"s1-{index}",
            system,
            ClipScores.floor("missing")
            if index in failed
            else ClipScores({**dict.fromkeys(STANDARD, 1.0), "estoi": value}, {}),
        )
        for index, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("gains", "read"),
    [
        ([0.3] * 20, True),
        ([0.09] * 20, False),  # sure, but too little
        ([1.2, -0.9, 0.1, 0.05], False),  # enough on average, but not sure
        ([-0.2] * 20, False),
    ],
)
def test_verdict_needs_a_gain_that_is_large_and_sure(gains: list[float], read: bool) -> None:
    verdict = lip_reading_verdict(
        {"generated": rows("generated", gains), "mismatched": rows("mismatched", [0.0] * len(gains))}
    )
    assert verdict.lips_are_read is read
    assert verdict.word == ("YES" if read else "NO")
    assert f"{np.mean(gains):+.3f}" in verdict.sentence


def test_a_control_that_fails_does_not_help_the_claim() -> None:
    spoken, control = [0.4] * 10, [0.38] * 10
    verdict = lip_reading_verdict(
        {"generated": rows("generated", spoken), "mismatched": rows("mismatched", control, (0, 1, 2, 3, 4))}
    )
    assert verdict.difference is not None
    assert verdict.difference.mean == pytest.approx(0.01)


def test_summary_survives_json_and_the_table_has_a_row_a_system() -> None:
    summary = summarize(
        [*rows("generated", [0.5, 0.7]), *rows("mismatched", [0.1, 0.0], (1,))],
        {"s1-0": "s1", "s1-1": "s1"},
        resamples=100,
    )
    again = from_json(json.loads(json.dumps(to_json(summary))))
    assert again.verdict.sentence == summary.verdict.sentence
    assert table(again.systems) == table(summary.systems)
    lines = table(summary.systems).splitlines()
    assert [line.count("|") for line in lines] == [8] * 4
    assert "1 (missing 1)" in lines[3]


@pytest.mark.real
@pytest.mark.slow
def test_real_clips(grid: Path, tmp_path: Path) -> None:
    """Real audio: itself is perfect, 8 ms late is not, another sentence is worth nothing."""
    from lipsound2.audio.io import load_audio

    names = [line.split("\t")[:2] for line in (grid / "lists/test.tsv").read_text().splitlines()[:4]]
    audio = {name: load_audio(grid / path) for name, path in names}
    turned = list(audio.values())
    for index, (name, waveform) in enumerate(audio.items()):
        write_wav(tmp_path / "true" / f"{name}.wav", waveform)
        write_wav(tmp_path / "hyp/generated" / f"{name}.wav", waveform)
        write_wav(tmp_path / "hyp/late" / f"{name}.wav", np.roll(waveform, 128))
        write_wav(tmp_path / "hyp/mismatched" / f"{name}.wav", turned[index - 1])
    score(tmp_path / "true", tmp_path / "hyp", nj=1)
    systems = json.loads((tmp_path / "hyp/scores/summary.json").read_text())["systems"]
    assert systems["generated"]["scores"]["estoi"]["mean"] > 0.999
    assert 0.5 < systems["late"]["scores"]["estoi"]["mean"] < 0.85
    assert abs(systems["mismatched"]["scores"]["estoi"]["mean"]) < 0.12
    assert systems["late"]["scores"]["pesq_nb"]["mean"] > 4.3  # PESQ aligns in time by itself
