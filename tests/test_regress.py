"""The task *regress*: clips in, loss and evaluation out; and every training config of every recipe takes an update."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.task_losses import check_losses_add_up
from helpers.written_dump import write_dump

from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.datasets import video_to_features
from lipsound2.datasets.video_to_features import Batch
from lipsound2.datasets.word_alignment import UNKNOWN
from lipsound2.errors import LipsoundError
from lipsound2.experiment import load
from lipsound2.inference.synthesize import GeneratorFactory
from lipsound2.model_names import PRETRAINED
from lipsound2.models.modules.regressor import Generated, Prediction
from lipsound2.tasks import load_config
from lipsound2.training.train import train

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path for path in ROOT.glob("egs/*/conf/*.yaml") if read_yaml(path)["task"] == "regress")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[DataDir, Path]:
    folder = tmp_path_factory.mktemp("regress")
    return write_dump(folder), folder


def tiny(tmp_path: Path, **changes: object) -> Path:
    """The mini recipe's config, smaller, with changes."""
    small = {"width": 16, "layers": 1, "mel_width": 16, "mel_layers": 1, "heads": 2, "trunk_widths": [4, 4]}
    values = read_yaml(ROOT / "egs/mini/conf/mini.yaml") | small | changes
    write_yaml(tmp_path / "c.yaml", values)
    return tmp_path / "c.yaml"


def test_states_of_a_trunk_are_no_input(tmp_path):
    with pytest.raises(LipsoundError, match=r"^input: the task regress takes crops .*, found 'features-lira', states"):
        load_config(tiny(tmp_path, input="features-lira"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parents[1].name}/{path.stem}")
def test_every_config_takes_an_update(path, data):
    clips, dump = data
    task = load_config(path).task
    training, validation, assets = task.prepare(clips, clips, dump)
    torch.manual_seed(0)
    model = task.build(assets).train()
    batch = task.collate([training.get(index, np.random.default_rng(index)) for index in range(2)])
    loss = task.loss(model, batch, assets, 0.6)
    (loss.total / loss.weight).backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    spoken = model.eval().generate(
        *[getattr(task.collate([validation.get(0, None)]), key) for key in ("video", "video_lengths")]
    )
    assert spoken.features.shape == (1, int(20 * assets.ratio), model.dims)
    assert torch.isfinite(spoken.features).all()


def test_loss_is_a_sum_over_what_is_not_padding(data, tmp_path):
    """The same clips in one padded batch and alone: sums and weights add up."""
    clips, dump = data
    task = load_config(tiny(tmp_path, delta_weight=0.5, estoi_weight=0.7, word_loss_weight=0.3)).task
    dataset, _, assets = task.prepare(clips, clips, dump)

    model = task.build(assets)
    scores = torch.randn(3, 20, 4)
    model.forward = lambda video, frames, target, target_frames, **_: Prediction(
        0.5 * target + 0.1, word_scores=scores[: video.shape[0], : video.shape[1]] * 0 + torch.arange(4.0)
    )
    check_losses_add_up(task, dataset, assets, rel=1e-4, model=model)


def test_a_recognizer_listens_in_training_and_is_not_needed_later(data, tmp_path):
    """Its loss is a part of the sum; the same command resumes exactly; the experiment loads without it."""
    clips, dump = data
    recognizer = shutil.copytree(PRETRAINED / "grid-s1-asr", tmp_path / "asr")
    changes = {"recognizer": str(recognizer), "recognizer_weight": 2.0, "word_loss_weight": 0.0, "max_epochs": 2}
    trainer = {"warmup": 1, "schedule": "constant", "valid_every": 1, "batch_size": 2, "workers": 0}
    config = tiny(tmp_path, **changes, **trainer, valid_clips=1, tensorboard=False)
    given = {"train": clips.path, "valid": clips.path, "dump": dump}
    assert train(config, **given, exp=tmp_path / "whole") == 0
    assert train(config, **given, exp=tmp_path / "parts", override="max_epochs: 1") == 0
    assert train(config, **given, exp=tmp_path / "parts") == 0
    whole, parts = (load(tmp_path / name).model.state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert not [name for name in whole if "recognizer" in name]
    shutil.rmtree(recognizer)
    assert load(tmp_path / "whole").model.generate is not None
    with pytest.raises(LipsoundError, match="asr: no experiment or pack"):
        train(config, **given, exp=tmp_path / "other")

    task = load_config(tiny(tmp_path, **{**changes, "recognizer": "grid-s1-asr"})).task
    dataset, _, assets = task.prepare(clips, clips, dump)
    assets = task.equipped(assets, [load(name).model for name in task.networks()])
    model = task.build(assets).train()
    loss = task.loss(model, task.collate([dataset.get(0, None)]), assets, 0.0)
    assert loss.parts["recognizer"] > 0.2
    assert sum(loss.parts.values()) == pytest.approx(float(loss.total.detach()) / loss.weight, rel=1e-4)


@pytest.mark.parametrize("half", [{"recognizer": "grid-s1-asr"}, {"recognizer_weight": 1.0}])
def test_half_of_the_recognizers_loss_is_refused(tmp_path, half):
    with pytest.raises(LipsoundError, match="the loss needs both keys, or neither"):
        load_config(tiny(tmp_path, **half))


def test_words_follow_the_frames(data, tmp_path):
    """Classes are those of the middle of each video frame, whatever window and speed augmentation chose."""
    clips, dump = data
    config = {"word_loss_weight": 1.0, "crop_frames": 10, "augment_speed": 0.2, "crop_loud_prob": 0.0}
    training, validation, _ = load_config(tiny(tmp_path, **config)).task.prepare(clips, clips, dump)
    at, blue, red = 1, 2, 3
    assert validation.get(0, None).words.tolist() == [0] * 5 + [blue] * 5 + [at] * 3 + [0] * 7
    assert validation.get(1, None).words.tolist() == [red] * 7 + [0] * 9
    assert validation.get(2, None).words.tolist() == [UNKNOWN] * 12
    for seed in range(20):
        words = training.get(0, np.random.default_rng(seed)).words
        assert len(words) == 10
        order = [word for word, _ in itertools.groupby(words)]
        assert ",".join(map(str, order)) in ",".join(map(str, [0, blue, at, 0]))


@pytest.mark.parametrize("model", ["parallel", "lipsound2"])
def test_a_model_learns_to_name_words(data, tmp_path, model):
    """The head takes part in the loss, is told in the evaluation, and travels with the experiment."""
    clips, dump = data
    path = {"parallel": ROOT / "egs/mini/conf/mini.yaml", "lipsound2": ROOT / "egs/grid/conf/lipsound2_small.yaml"}
    values = read_yaml(path[model]) | {"word_loss_weight": 1.0, "valid_clips": 2, "valid_iterations": 1}
    write_yaml(tmp_path / "c.yaml", values)
    task = load_config(tmp_path / "c.yaml").task
    training, validation, assets = task.prepare(clips, clips, dump)
    assert assets.words == ("at", "blue", "red")
    network = task.build(assets)
    batch = task.collate([training.get(index, np.random.default_rng(index)) for index in range(3)])
    loss = task.loss(network.train(), batch, assets, 0.5)
    assert loss.parts["word"] == pytest.approx(np.log(4), rel=0.5)
    (loss.total / loss.weight).backward()
    assert network.word_head.weight.grad.abs().sum() > 0
    assert 0 <= task.evaluate(network.eval(), validation, assets, "cpu").numbers["word_accuracy"] <= 1
    task.save(assets, tmp_path)
    other = load_config(tmp_path / "c.yaml").task
    restored = other.restore(tmp_path)
    assert restored.words == assets.words
    assert other.build(restored).load_state_dict(network.state_dict()).missing_keys == []


def test_cutmix_is_with_another_clip_of_the_speaker(data, tmp_path, monkeypatch):
    clips, dump = data
    mixed = []
    monkeypatch.setattr(
        video_to_features, "temporal_cutmix", lambda one, other, *_: mixed.append((one.id, other.id)) or one
    )
    training, _, _ = load_config(tiny(tmp_path, augment_cutmix=1.0)).task.prepare(clips, clips, dump)
    alone = [name for name, speaker in clips.utt2spk.items() if [*clips.utt2spk.values()].count(speaker) == 1]
    for index in range(3 * len(training)):
        training.get(index % len(training), np.random.default_rng(index))
    assert {one for one, _ in mixed} == {*training.ids} - {*alone}
    for one, other in mixed:
        assert one != other
        assert clips.utt2spk[one] == clips.utt2spk[other]


def test_words_that_are_not_there_are_one_line(data, tmp_path):
    _, dump = data
    without = DataDir.write(tmp_path / "d", utt2spk={"s1-a": "s1"})
    with pytest.raises(
        LipsoundError, match=r"has no word_times, which word_loss_weight 0.5 asks for; .* word_loss_weight: 0"
    ):
        load_config(tiny(tmp_path, word_loss_weight=0.5)).task.prepare(without, without, dump)


def test_words_that_cannot_be_read_are_one_line(data, tmp_path):
    clips, dump = data
    bad = DataDir.write(tmp_path / "d", utt2spk=clips.utt2spk, word_times={"s1-a": "0.2 0.4 blue 0.5"})
    with pytest.raises(LipsoundError, match=r"word_times: s1-a: expected 'start end word ...', found 4 fields"):
        load_config(tiny(tmp_path, word_loss_weight=0.5)).task.prepare(bad, bad, dump)


def test_feedback_rises_from_its_start_to_the_end(tmp_path):
    task = load_config(tiny(tmp_path, scheduled_sampling=0.4, scheduled_sampling_start=0.5)).task
    assert [task.scheduled_sampling(share) for share in (0.0, 0.5, 0.75, 1.0)] == pytest.approx([0.0, 0.0, 0.2, 0.4])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"valid_clips": 0}, "valid_clips: expected 1 or more, found 0"),
        ({"valid_clips": -1}, "valid_clips: expected 1 or more, found -1"),
        (
            {"scheduled_sampling": 0.5},
            "scheduled_sampling: the model 'parallel' is not fed its own output; set it to 0, or use one of: lipsound2",
        ),
        ({"scheduled_sampling": 3}, "scheduled_sampling: expected a number from 0 to 1, found 3.0"),
        ({"estoi_weight": -3}, "estoi_weight: expected a number of at least 0, found -3.0"),
        ({"valid_iterations": 0}, "valid_iterations: expected a number of at least 1, found 0"),
        ({"mel_width": 0}, "mel_width: expected a number of at least 1, found 0"),
        ({"postfilter_gain": -1}, "postfilter_gain: expected a number of at least 0, found -1.0"),
        ({"drop_path": 1}, "drop_path: expected a number from 0 to 0.9, found 1.0"),
    ],
)
def test_what_cannot_be_trained_with_is_refused_before_any_work(data, tmp_path, changes, told):
    clips, dump = data
    with pytest.raises(LipsoundError, match=rf"c\.yaml: {told}$"):
        train(tiny(tmp_path, **changes), train=clips.path, valid=clips.path, dump=dump, exp=tmp_path / "exp")


def test_windows_shorten_training_clips_only(data, tmp_path):
    clips, dump = data
    task = load_config(tiny(tmp_path, crop_frames=15)).task
    training, validation, _ = task.prepare(clips, clips, dump)
    assert list(training.lengths) == [15, 15, 12]
    assert list(validation.lengths) == [20, 16, 12]
    assert len(training.get(0, np.random.default_rng(0)).frames) == 15
    assert len(validation.get(0, None).frames) == 20


def test_kept_crops_are_the_decoded_ones(data, tmp_path):
    clips, dump = data
    plain, _, _ = load_config(tiny(tmp_path)).task.prepare(clips, clips, dump)
    kept, _, _ = load_config(tiny(tmp_path, cache_gb=0.1)).task.prepare(clips, clips, dump)
    for _ in range(2):  # decoded, then kept
        samples = [dataset.get(1, np.random.default_rng(5)) for dataset in (plain, kept)]
        assert np.array_equal(samples[0].frames, samples[1].frames)


def test_what_is_saved_restores_the_task(data, tmp_path):
    clips, dump = data
    task = load_config(tiny(tmp_path)).task
    assets = task.prepare(clips, clips, dump).assets
    task.save(assets, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} - {"c.yaml"} == {"target.yaml", "mean_by_time.npy"}
    restored = load_config(tmp_path / "c.yaml").task.restore(tmp_path)
    assert restored.mel == assets.mel
    assert restored.ratio == 4.0
    assert np.array_equal(restored.mean_by_time, assets.mean_by_time)
    assert restored.mean_by_time.shape == (80, 80)


def test_evaluation_speaks_and_scores(data, tmp_path):
    clips, dump = data
    task = load_config(tiny(tmp_path, valid_clips=2, valid_iterations=2)).task
    _, validation, assets = task.prepare(clips, clips, dump)
    torch.manual_seed(0)
    evaluation = task.evaluate(task.build(assets).eval(), validation, assets, "cpu")
    assert evaluation.score == evaluation.numbers["estoi"]
    assert set(evaluation.audio) == {"s1-a", "s1-c"}
    assert all(frame.dtype == np.uint8 and frame.shape[2] == 3 for frame in evaluation.images.values())


@pytest.mark.parametrize("frames", [3, 40, 90])
def test_generated_mels_are_scored_at_the_length_of_the_ground_truth(data, tmp_path, frames):
    """A model may end a clip early or late: what it leaves out is silence, and what is more does not count."""
    clips, dump = data
    task = load_config(tiny(tmp_path, valid_iterations=1)).task
    _, validation, assets = task.prepare(clips, clips, dump)
    model = task.build(assets).eval()
    level = -3.0
    model.generate = lambda video, lengths: Generated(
        torch.full((len(lengths), frames, 80), level), torch.full((len(lengths),), frames)
    )
    evaluation = task.evaluate(model, validation, assets, "cpu")
    targets = [validation.get(index, None).target for index in range(3)]
    silence = np.log(assets.mel.floor)
    wanted = [
        np.abs(np.where(np.arange(len(target))[:, None] < frames, level, silence) - target).mean() for target in targets
    ]
    assert evaluation.numbers["mel_l1"] == pytest.approx(np.mean(wanted), rel=1e-5)
    pixels = {name: image.shape[1] for name, image in evaluation.images.items()}
    assert pixels == {"s1-a": 80, "s1-b": 64}


def test_features_that_end_early_are_measured_to_the_end(data, tmp_path):
    """Where a model gives no features the training mean stands, which explains nothing."""
    clips, dump = data
    config = read_yaml(ROOT / "egs/mini/conf/mini.yaml") | {"target": "targets-pase", "word_loss_weight": 0.0}
    write_yaml(tmp_path / "c.yaml", config | {"estoi_weight": 0.0})
    task = load_config(tmp_path / "c.yaml").task
    _, validation, assets = task.prepare(clips, clips, dump)
    model = task.build(assets).eval()
    model.generate = lambda video, lengths: Generated(torch.zeros(len(lengths), 5, 8), torch.full((len(lengths),), 0))
    numbers = task.evaluate(model, validation, assets, "cpu").numbers
    target = np.concatenate([validation.get(index, None).target for index in range(3)])
    assert numbers["l1"] == pytest.approx(np.abs(target).mean(), rel=1e-5)
    assert numbers["explained"] == pytest.approx(0.0, abs=1e-6)


def test_images_and_archives_of_attention_end_with_the_clip(data, tmp_path, monkeypatch):
    """A decoder that finds its end a few steps later, and clips of other lengths, leave steps that belong to none."""
    clips, dump = data
    task = load_config(tiny(tmp_path, valid_iterations=1)).task
    _, validation, assets = task.prepare(clips, clips, dump)
    model = task.build(assets).eval()
    model.generate = lambda video, lengths: Generated(
        torch.zeros(3, 40, 80), torch.tensor([40, 20, 8]), torch.rand(3, 13, 21), torch.tensor([10, 5, 2])
    )
    images = task.evaluate(model, validation, assets, "cpu").images
    assert [images[f"s1-{clip} attention"].shape for clip in "ab"] == [(21, 10, 3), (21, 5, 3)]
    loaded = SimpleNamespace(task=task, model=model)
    monkeypatch.setattr("lipsound2.experiment.load", lambda *_, **__: loaded)
    monkeypatch.setattr("lipsound2.inference.synthesize.FaceWatch", lambda _: None)
    alignments = GeneratorFactory(tmp_path, dump, 0)()(["s1-a", "s1-b", "s1-c"]).alignments
    assert [len(alignments[name]) for name in ("s1-a", "s1-b", "s1-c")] == [10, 5, 2]


def test_an_untrained_model_that_decides_when_to_stop_is_evaluated(data, tmp_path):
    clips, dump = data
    small = {"attention_prior_sigma": 0.1, "attention_lstm": 16, "decoder_lstm": 16, "postnet_channels": 8}
    values = read_yaml(ROOT / "egs/grid/conf/lipsound2_small.yaml") | small
    write_yaml(tmp_path / "c.yaml", values | {"stop": "period", "max_steps": 6, "valid_iterations": 1})
    task = load_config(tmp_path / "c.yaml").task
    _, validation, assets = task.prepare(clips, clips, dump)
    numbers = task.evaluate(task.build(assets).eval(), validation, assets, "cpu").numbers
    assert np.isfinite([*numbers.values()]).all()


def test_a_data_dir_without_crops_is_told_which_stage_to_run(data, tmp_path):
    _, dump = data
    other = DataDir.write(tmp_path / "other", utt2spk={"s9-x": "s9"})
    with pytest.raises(LipsoundError, match=r"none of its 1 clips is in .*mouth and .*mel-fine; run stages 1 and 2"):
        load_config(tiny(tmp_path)).task.prepare(other, other, dump)


def test_batches_move_whole(data, tmp_path):
    clips, dump = data
    dataset, _, _ = load_config(tiny(tmp_path)).task.prepare(clips, clips, dump)
    batch = Batch.of([dataset.get(0, None), dataset.get(2, None)])
    moved = batch.to("meta")
    assert moved.ids == ["s1-a", "s1-c"]
    assert batch.num_frames == 32
    assert {
        tensor.device.type for tensor in (moved.video, moved.video_lengths, moved.target, moved.feature_lengths)
    } == {"meta"}
