"""Faces that are unlike those a model learned from: distances, the file of a pack, the warning."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.written_dump import write_kind
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file

from lipsound2 import experiment
from lipsound2.audio.mel_settings import MELS
from lipsound2.cli import main
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import write_yaml
from lipsound2.decoding.calibration import Calibration, Platt, facts, of_unlike_faces, save
from lipsound2.errors import LipsoundError
from lipsound2.inference.face_watch import FaceWatch, with_clip_statistics
from lipsound2.inference.familiar_faces import trunk_of
from lipsound2.inference.familiarity import FILE, LEAST, LIMIT, Familiarity
from lipsound2.inference.lip_to_speech import load_lip_to_speech
from lipsound2.inference.onnx import OnnxLipToSpeech
from lipsound2.inference.onnx_reader import OnnxRecognizer
from lipsound2.inference.recognizers import TrainedRecognizer
from lipsound2.inference.transcriber import Transcriber
from lipsound2.inference.windows import READER_WINDOW, WINDOW
from lipsound2.tasks import load_config
from lipsound2.tasks.recognize import RecognizeAssets
from lipsound2.tasks.regress import Regress
from lipsound2.tasks.regress_assets import RegressAssets
from lipsound2.text.tokenizer import Characters
from lipsound2.video.encode import decode, encode
from lipsound2.video.mean_face import MEAN_FACE

SMALL = {
    "task": "regress",
    "model": "parallel",
    "trunk_widths": [8, 16],
    "width": 16,
    "layers": 1,
    "heads": 2,
    "kernel": 5,
    "max_relative_position": 4,
    "mel_width": 8,
    "mel_layers": 1,
}
READER = {
    **{key: value for key, value in SMALL.items() if not key.startswith("mel")},
    **{"task": "recognize", "model": "lips", "input": "mouth", "decoder_layers": 0},
}
SAID = ("--knows", "nobody", "--corpus", "none", "--license", "none")

# What makes of an array of the file one that means nothing.
CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nan": lambda values: values * np.float32(np.nan),
    "infinite": lambda values: np.full_like(values, np.inf),
    "whole": lambda values: values.astype(np.int64),
    "none": lambda values: values[:0],
    "twice": lambda values: np.concatenate([values, values]),
    "deep": lambda values: values[None, None],
    "single": lambda values: values.reshape(-1)[0].reshape(()),
}
SIGNS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "zeros": lambda values: values * 0,
    "negative": lambda values: -np.abs(values) - 1,
}


def points(count: int, seed: int) -> np.ndarray:
    """Clips that vary in two directions, and little in the other dimensions."""
    rng = np.random.default_rng(seed)
    ways = np.random.default_rng(0).standard_normal((2, 24))
    return 5 + rng.standard_normal((count, 2)) @ ways + 0.05 * rng.standard_normal((count, 24))


def lit(clips: np.ndarray, views: int, seed: int) -> np.ndarray:
    """Clips in another light, which changes them in four other directions, and a little in all."""
    rng = np.random.default_rng(seed)
    light = np.random.default_rng(9).standard_normal((4, 24))
    changes = rng.uniform(-2, 2, (len(clips), views, 4)) @ light
    return clips[:, None] + changes + 0.1 * rng.standard_normal((len(clips), views, 24))


def familiar(count: int, scale: np.ndarray | None = None) -> Familiarity:
    """Of so many clips, of as many dimensions as `scale` has."""
    scale = np.ones(24) if scale is None else scale
    some = points(count, 1)
    varied = lit(some, max(1, 40 // count), 2)
    return Familiarity.of(some[:, : len(scale)] * scale, varied[..., : len(scale)] * scale)


def test_distances_are_in_units_of_the_training_clips():
    known = familiar(200)
    inside = np.array([known.distance(point) for point in lit(points(1000, 3), 1, 4)[:, 0]])
    assert (inside < LIMIT).mean() == pytest.approx(0.9, abs=0.06)
    assert np.mean([known.distance(point) < LIMIT for point in points(100, 2)]) >= 0.99
    # A step across the directions in which clips vary counts for more than the same step along them.
    along = np.random.default_rng(0).standard_normal((2, 24))[0]
    across = np.random.default_rng(3).standard_normal(24)
    across *= np.linalg.norm(along) / np.linalg.norm(across)
    assert known.distance(5 + across) > 2 * known.distance(5 + along)
    assert known.distance(5 + across) > LIMIT
    # Other units of a dimension change nothing.
    scale = np.linspace(0.1, 100, 24)
    scaled = familiar(200, scale)
    assert scaled.distance((5 + across) * scale) == pytest.approx(known.distance(5 + across), rel=0.01)


@pytest.mark.parametrize("count", [3, 5, 24])
def test_few_clips_and_equal_clips_give_finite_distances(count):
    known = familiar(count)
    assert 0 < known.distance(points(1, 2)[0]) < np.inf
    equal = Familiarity.of(np.ones((count, 4)), np.ones((count, 2, 4)))
    assert np.isfinite(equal.distance(np.full(4, 2.0)))
    with pytest.raises(LipsoundError, match="three training clips or more"):
        familiar(2)


@pytest.mark.parametrize("count", [10, 20, 40])
def test_other_clips_of_the_same_person_are_known_after_few(count):
    known = familiar(count)
    assert np.mean([known.distance(point) < LIMIT for point in points(100, 2)]) >= 0.9
    stranger = points(100, 2) + np.random.default_rng(3).standard_normal(24)
    assert np.mean([known.distance(point) >= LIMIT for point in stranger]) > 0.95


def test_a_short_window_counts_for_less():
    known, point = familiar(50), points(1, 2)[0]
    assert known.distance(point, 25) == pytest.approx(known.distance(point) / 2**0.75)
    assert known.distance(point, 500) == known.distance(point)


def test_a_file_is_read_as_it_was_written_and_a_damaged_one_is_told(tmp_path):
    known, path = familiar(50), tmp_path / FILE
    known.save(path)
    assert path.stat().st_size < 16_000
    for point in points(5, 4):
        assert Familiarity.load(path).distance(point) == pytest.approx(known.distance(point), rel=1e-4)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(LipsoundError, match=f"{FILE}: cannot be read .*delete the file to do without"):
        Familiarity.load(path)
    save_arrays({"mean": np.zeros(3, np.float32)}, path)
    with pytest.raises(LipsoundError, match=r"expected mean, spread, .* found mean \(3,\)"):
        Familiarity.load(path)


@pytest.mark.parametrize(
    ("name", "change"),
    [(name, change) for name in ("mean", "spread", "directions", "variances", "unit") for change in CHANGES]
    + [("spread", "zeros"), ("unit", "zeros"), ("spread", "negative"), ("unit", "negative"), ("variances", "negative")],
)
def test_fault_numbers_that_describe_no_clips_are_refused(name, change, tmp_path):
    path = tmp_path / FILE
    familiar(50).save(path)
    parts = load_arrays(path)
    parts[name] = np.array({**CHANGES, **SIGNS}[change](parts[name]), order="C")
    save_arrays(parts, path)
    with pytest.raises(LipsoundError, match=rf"^\S*{FILE}: is damaged: expected .*; copy the pack again, or delete"):
        Familiarity.load(path)


def crops(level: int, seed: int, count: int = 20) -> np.ndarray:
    """A clip of noise around a gray level, as a dump has it, (count, 96, 96) uint8."""
    noise = np.random.default_rng(seed).normal(level, 6, (count, 96, 96))
    return decode(encode(np.clip(noise, 0, 255).astype(np.uint8)))


def fresh(exp: Path, config: dict[str, object], assets: object) -> Path:
    """An experiment with fresh weights, and DATA and DUMP of dark training clips beside it."""
    write_yaml(exp / "config.yaml", config)
    task = load_config(exp / "config.yaml").task
    task.save(assets, exp)
    torch.manual_seed(0)
    save_file(
        {key: each.contiguous() for key, each in task.build(assets).state_dict().items()}, exp / "model.safetensors"
    )
    clips = {f"a-{number:02}": crops(90 + number % 5, number) for number in range(20)}
    streams = {name: encode(clip) for name, clip in clips.items()}
    write_kind(exp.parent / "dump" / "mouth", streams, {name: len(clip) for name, clip in clips.items()}, {"size": 96})
    DataDir.write(exp.parent / "data", utt2spk=dict.fromkeys(clips, "a"))
    return exp


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A lip-to-speech experiment, see `fresh`."""
    return fresh(tmp_path / "exp", SMALL, RegressAssets(MELS["fine"]))


def test_a_pack_with_the_training_set_tells_unlike_faces(trained, tmp_path, capsys):
    plain, watchful = tmp_path / "plain", tmp_path / "watchful"
    where = ("--train", str(tmp_path / "data"), "--dump", str(tmp_path / "dump"))
    assert main(["pack", str(trained), str(plain), *SAID]) == 0
    assert not (plain / FILE).exists()
    assert main(["pack", str(trained), str(watchful), *SAID, *where]) == 0
    for pack, told in ((plain, False), (watchful, True)):
        loaded = experiment.load(pack, task=Regress)
        watch = FaceWatch(loaded).face
        for level, unlike in ((92, False), (200, True), (91, False)):
            watch.begin()
            assert watch.warnings == []
            clip = torch.from_numpy(crops(level, 99))[None]
            loaded.model.generate(clip, torch.tensor([20]))
            assert len(watch.warnings) == (told and unlike), (pack, level, watch.distance)
    (line,) = watched(watchful, 200)
    assert line.startswith("this face is unlike those that watchful learned from (distance ")
    assert line.endswith(f"limit {LIMIT:g}): expect wrong words, however sure it seems")
    # A later pack of the experiment, whose weights may be others, does without.
    assert main(["pack", str(trained), str(tmp_path / "later"), *SAID, *where]) == 0
    assert main(["pack", str(trained), str(tmp_path / "later"), *SAID]) == 0
    assert not (tmp_path / "later" / FILE).exists()
    # A pack of the pack keeps it; half of the options is a mistake.
    assert main(["pack", str(watchful), str(tmp_path / "again"), *SAID]) == 0
    assert (tmp_path / "again" / FILE).read_bytes() == (watchful / FILE).read_bytes()
    capsys.readouterr()
    assert main(["pack", str(trained), str(tmp_path / "half"), *SAID, *where[:2]]) == 1
    assert "--train and --dump belong together" in capsys.readouterr().err


def test_an_unlike_face_is_read_with_statistics_of_its_own(trained, tmp_path):
    """Of a batch the unlike clip alone, if it is long enough; the stored statistics stay as they are."""
    where = ("--train", str(tmp_path / "data"), "--dump", str(tmp_path / "dump"))
    assert main(["pack", str(trained), str(tmp_path / "pack"), *SAID, *where]) == 0
    plain, told = (experiment.load(tmp_path / "pack", task=Regress) for _ in range(2))
    before = {key: each.clone() for key, each in told.model.state_dict().items()}
    FaceWatch(told)
    clips, lengths = torch.zeros(3, 30, 96, 96, dtype=torch.uint8), torch.tensor([30, 30, LEAST - 1])
    for row, (level, length) in enumerate(zip((92, 200, 200), lengths, strict=True)):
        clips[row, :length] = torch.from_numpy(crops(level, 99, int(length)))
    mels = [each.model.generate(clips, lengths).features for each in (plain, told)]
    assert [bool(torch.equal(mels[0][row], mels[1][row])) for row in range(3)] == [True, False, True]
    plain.model.encoder.trunk = with_clip_statistics(trunk_of(plain.model))
    alone = plain.model.generate(clips[1:2], lengths[1:2]).features
    torch.testing.assert_close(mels[1][1:2], alone, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(each, before[key]) for key, each in told.model.state_dict().items())
    assert not any(part.training for part in told.model.modules())


def watched(pack: Path, level: int) -> list[str]:
    loaded = experiment.load(pack, task=Regress)
    watch = FaceWatch(loaded).face
    loaded.model.generate(torch.from_numpy(crops(level, 99))[None], torch.tensor([20]))
    return watch.warnings


def test_a_lip_reader_tells_unlike_faces_too(tmp_path):
    exp = fresh(tmp_path / "exp", READER, RecognizeAssets(Characters("abc"), 0, ()))
    where = ("--train", str(tmp_path / "data"), "--dump", str(tmp_path / "dump"))
    assert main(["pack", str(exp), str(tmp_path / "reader"), *SAID, *where]) == 0
    reader = TrainedRecognizer(str(tmp_path / "reader"))
    for level, unlike in ((92, False), (200, True), (91, False)):
        reader.begin()
        assert reader.warnings == []
        reader.recognize([crops(level, 99)])
        assert len(reader.warnings) == unlike, (level, reader.warnings)
    landmarks = np.ones((20, 137), np.float32)
    landmarks[:, :136] = (MEAN_FACE * 24 + 48).reshape(-1)
    told = Transcriber(reader)(crops(200, 99), fps=25, landmarks=landmarks).warnings
    assert any("unlike those that reader learned from" in line for line in told)
    # One clip in several pieces has one line, also if most of it shows somebody known.
    reader.begin()
    for level in (92, 200, 92, 92, 92):
        reader.recognize([crops(level, 99)])
    assert len(reader.warnings) == 1


def test_an_exported_lip_reader_does_what_the_pack_does(tmp_path):
    """It tells unlike faces, reads them by the statistics of their clip, and has confidences of their own for them."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    exp = fresh(tmp_path / "exp", READER, RecognizeAssets(Characters("abc"), 0, ()))
    where = ("--train", str(tmp_path / "data"), "--dump", str(tmp_path / "dump"))
    pack, folder = tmp_path / "reader", tmp_path / "reader-onnx"
    assert main(["pack", str(exp), str(pack), *SAID, *where]) == 0
    save(pack, "greedy", Calibration(Platt(0, 2.0), Platt(0, 2.0)), {})
    save(pack, of_unlike_faces("greedy"), Calibration(Platt(0, -2.0), Platt(0, -2.0)), {})
    assert main(["export", str(pack), str(folder)]) == 0
    ours, theirs = OnnxRecognizer(folder), TrainedRecognizer(str(pack))
    for level, length in ((92, 30), (200, 30), (200, LEAST - 1), (200, READER_WINDOW + 10), (92, READER_WINDOW + 10)):
        clip = crops(level, 99, length)
        for each in (ours, theirs):
            each.begin()
        found, wanted = ours.hear([clip])[0], theirs.hear([clip])[0]
        # Of a long clip torch's trunk sees other windows, see test_clips_longer_than_a_window.
        apart = np.abs(found.log_probs - wanted.log_probs)
        assert apart.max() < 1e-4 if length <= READER_WINDOW else apart.mean() < 0.02
        assert found.unlike == wanted.unlike == (level == 200)
        assert len(ours.warnings) == len(theirs.warnings) == found.unlike
        assert ours.warnings == theirs.warnings or length > READER_WINDOW
        assert ours.recognize([clip])[0].confidence == theirs.recognize([clip])[0].confidence
    (folder / "unlike.onnx").unlink()
    with pytest.raises(LipsoundError, match=r"unlike.onnx: is missing; write it again with: lipsound2 export"):
        OnnxRecognizer(folder)


def test_an_exported_lip_to_speech_model_tells_unlike_faces(trained, tmp_path, capsys):
    """With the distances of torch; speech of others is that of torch, too."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    where = ("--train", str(tmp_path / "data"), "--dump", str(tmp_path / "dump"))
    pack, path = tmp_path / "pack", tmp_path / "lips.onnx"
    assert main(["pack", str(trained), str(pack), *SAID, *where]) == 0
    capsys.readouterr()
    assert main(["export", str(pack), str(path)]) == 0
    assert "unlike faces are told of, but read like all others" in capsys.readouterr().out
    ours, theirs = OnnxLipToSpeech([path]), load_lip_to_speech(pack)
    for level, length in ((92, 30), (200, 30), (92, WINDOW + 60), (200, WINDOW + 60), (91, LEAST)):
        clip = crops(level, 99, length)
        found, wanted = (each.windows(length).whole(clip) for each in (ours, theirs))
        assert len(ours.warnings) == len(theirs.warnings) == (level == 200)
        told = [re.findall(r"distance (\S+),", line) for line in (*ours.warnings, *theirs.warnings)]
        assert not told or float(told[0][0]) == pytest.approx(float(told[1][0]), rel=1e-4)
        assert (np.abs(found - wanted).max() < 1e-3) == (level < 200)


def test_an_unlike_face_has_confidences_of_its_own(tmp_path, capsys):
    """Alone and in a batch, short and long; without numbers of their own, unlike faces have those of the others."""
    exp = fresh(tmp_path / "exp", READER, RecognizeAssets(Characters("abc"), 0, ()))
    assert main(["calibrate", str(exp), str(tmp_path / "data"), "--dump", str(tmp_path / "dump"), "--unlike"]) == 1
    assert "cannot tell unlike faces, having no familiarity.safetensors; leave --unlike out" in capsys.readouterr().err
    where = ("--train", str(tmp_path / "data"), "--dump", str(tmp_path / "dump"))
    pack = tmp_path / "reader"
    assert main(["pack", str(exp), str(pack), *SAID, *where]) == 0
    clips = [crops(level, 99, length) for length in (20, READER_WINDOW + 10) for level in (92, 200)]
    sure, unsure = (Calibration(Platt(0, offset), Platt(0, offset)) for offset in (2.0, -2.0))
    save(pack, "greedy", sure, {})
    assert confidences(pack, clips) == [0.88] * 4
    save(pack, of_unlike_faces("greedy"), unsure, {})
    assert confidences(pack, clips) == [0.88, 0.12] * 2
    assert [confidences(pack, [clip])[0] for clip in clips] == [0.88, 0.12] * 2
    assert facts(pack)["Confidences"] == "calibrated for greedy (? clips), greedy of unlike faces (? clips)"


def confidences(pack: Path, clips: list[np.ndarray]) -> list[float]:
    return [round(what.confidence or 0, 2) for what in TrainedRecognizer(str(pack)).recognize(clips)]


def test_clips_are_read_again_once_unlike_faces_can_be_told(tmp_path, capsys):
    exp = fresh(tmp_path / "exp", READER, RecognizeAssets(Characters("abc"), 0, ()))
    command = ["decode", str(exp), str(tmp_path / "data"), str(tmp_path / "text"), "--dump", str(tmp_path / "dump")]
    skipped = []
    for told in (False, False, True, True):
        if told:
            familiar(50, np.ones(16)).save(exp / FILE)
        assert main(command) == 0
        skipped.append("skipped" in capsys.readouterr().out)
    assert skipped == [False, True, False, True]


def test_fault_clips_are_read_again_once_unlike_faces_alone_are_calibrated(tmp_path, capsys):
    """`calibrate --unlike` writes numbers for such faces, and none for the others."""
    exp = fresh(tmp_path / "exp", READER, RecognizeAssets(Characters("abc"), 0, ()))
    familiar(50, np.ones(16)).save(exp / FILE)
    command = ["decode", str(exp), str(tmp_path / "data"), str(tmp_path / "text"), "--dump", str(tmp_path / "dump")]
    skipped = []
    for way in ("", "", of_unlike_faces("beam"), of_unlike_faces("greedy"), ""):
        if way:
            save(exp, way, Calibration(Platt(0, -2.0), Platt(0, -2.0)), {})
        assert main(command) == 0
        skipped.append("skipped" in capsys.readouterr().out)
    assert skipped == [False, True, True, False, True], "numbers of another way of decoding change nothing"


def test_speech_is_made_again_once_unlike_faces_can_be_told(trained, tmp_path, capsys):
    write_kind(tmp_path / "dump/mel-fine", {"a-00": np.zeros((64, 80), np.float32)}, {"a-00": 64}, {"mel": "fine"})
    command = ["synthesize", str(trained), str(tmp_path / "data"), str(tmp_path / "wav"), "--controls", ""]
    command += ["--dump", str(tmp_path / "dump"), "--vocoder", "griffin-lim:1"]
    skipped = []
    for told in (False, False, True, True):
        if told:
            familiar(50, np.ones(16)).save(trained / FILE)
        assert main(command) == 0
        skipped.append("skipped" in capsys.readouterr().out)
    assert skipped == [False, True, False, True]


def test_a_recognizer_of_audio_has_no_faces(tmp_path, capsys):
    DataDir.write(tmp_path / "data", utt2spk={"a-00": "a"})
    where = ("--train", str(tmp_path / "data"), "--dump", str(tmp_path))
    assert main(["pack", "grid-s1-asr", str(tmp_path / "pack"), *SAID, *where]) == 1
    assert "has no trunk of lips" in capsys.readouterr().err
    assert not (tmp_path / "pack").exists()


def test_a_file_of_another_trunk_is_refused(trained):
    familiar(50).save(trained / FILE)
    with pytest.raises(LipsoundError, match="is of a trunk with 24 outputs, found 16"):
        FaceWatch(experiment.load(trained, task=Regress))


def test_the_pack_that_ships_has_the_file():
    loaded = experiment.load("grid-s1-parallel", task=Regress)
    known, trunk = Familiarity.load(loaded.path / FILE), trunk_of(loaded.model)
    assert trunk is not None
    assert len(known.mean) == trunk.outputs
    watch = FaceWatch(loaded).face
    loaded.model.generate(torch.from_numpy(crops(120, 0))[None], torch.tensor([20]))  # noise is no face
    assert watch.warnings
