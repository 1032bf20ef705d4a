"""LiRA: the pretext, its trunk passed on, sentences and words read from lips; the verbs features, words and decode."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.published_weights import Sizes, reader_state
from helpers.written_dump import write_kind
from safetensors.torch import save_file

import lipsound2
from lipsound2 import experiment, model_names
from lipsound2.audio.mel import MELS
from lipsound2.config import to_mapping
from lipsound2.corpora.word_clips import words
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir, validate
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.datasets.augment import AugmentConfig
from lipsound2.datasets.crop_cache import Frames
from lipsound2.decoding.search_options import SearchOptions
from lipsound2.errors import LipsoundError
from lipsound2.features.states import features
from lipsound2.inference.decode import decode
from lipsound2.inference.recognizers import recognizer
from lipsound2.inference.transcribe import transcribe
from lipsound2.models.asr.word_classifier import WordClassifier, WordClassifierConfig
from lipsound2.models.lira import Lira, LiraConfig
from lipsound2.models.modules.conformer import ConformerConfig
from lipsound2.models.modules.lip_trunk import LipTrunk, TrunkConfig
from lipsound2.published import visual_speech
from lipsound2.tasks import load_config
from lipsound2.tasks.classify import accuracy, ranks_of
from lipsound2.tasks.regress import Regress
from lipsound2.tasks.regress_assets import RegressAssets
from lipsound2.training.init import initialize
from lipsound2.training.train import train
from lipsound2.video.encode import encode

ROOT = Path(__file__).resolve().parents[1]
SMALL = {
    "size": 32,
    "trunk_widths": [4, 4],
    "trunk_pool": False,
    "batch_size": 4,
    "warmup": 1,
    "workers": 0,
    "precision": "fp32",
    "tensorboard": False,
    "valid_every": 1,
    "max_epochs": 2,
}
CONFORMER = {"width": 16, "layers": 1, "heads": 2, "kernel": 5}
FRAMES = {f"s{speaker}-{clip}": 20 + clip for speaker in (1, 2) for clip in range(4)}
SAID = ("bin blue", "lay red at", "set", "bin red")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple[DataDir, Path]:
    """Eight clips of moving bars with texts, word times, mouths, and targets that follow the video frame."""
    folder = tmp_path_factory.mktemp("lira")
    rows = np.arange(96)[:, None] + np.zeros(96, np.int64)
    clips = {
        name: np.stack([(rows * 3 + 9 * t + 40 * place) % 256 for t in range(count)]).astype(np.uint8)
        for place, (name, count) in enumerate(FRAMES.items())
    }
    write_kind(folder / "mouth", {name: encode(clip) for name, clip in clips.items()}, FRAMES, {"size": 96})
    targets = {
        name: np.stack([clip.mean((1, 2)) / 128 - 1, np.sin(np.arange(len(clip)))], 1).astype(np.float32)
        for name, clip in clips.items()
    }
    write_kind(folder / "targets-two", targets, FRAMES, {"kind": "targets"})
    text = {name: SAID[place % 4] for place, name in enumerate(FRAMES)}
    times = {
        name: " ".join(f"{0.2 * n:.1f} {0.2 * n + 0.2:.1f} {word}" for n, word in enumerate(text[name].split()))
        for name in FRAMES
    }
    video = {name: f"/videos/{name}.mp4" for name in FRAMES}
    whole = DataDir.write(
        folder / "data", utt2spk={name: name[:2] for name in FRAMES}, text=text, word_times=times, video=video
    )
    return whole, folder


def config(tmp_path: Path, name: str, **changes: object) -> Path:
    """A recipe's config, smaller, with changes."""
    values = read_yaml(ROOT / f"egs/grid/conf/{name}.yaml")
    small = SMALL if values["input"] == "mouth" else {k: v for k, v in SMALL.items() if k[:5] not in ("size", "trunk")}
    small = small | ({"branch": 4, "layers": 2, "window": 9} if values["task"] == "classify" else CONFORMER)
    write_yaml(tmp_path / f"{name}.yaml", values | small | changes)
    return tmp_path / f"{name}.yaml"


@pytest.fixture(scope="module")
def pretext(data, tmp_path_factory) -> Path:
    """A trained pretext model."""
    whole, dump = data
    folder = tmp_path_factory.mktemp("pretext")
    path = config(folder, "lira_pretext", target="targets-two", crop_frames=10)
    train(path, train=whole.path, valid=whole.path, dump=dump, exp=folder / "exp")
    return folder / "exp"


def test_frames_that_are_smaller_than_the_crop_are_refused():
    trunk = LipTrunk(TrunkConfig(crop=88, size=44, trunk_widths=(4,), trunk_pool=False))
    video = torch.zeros(1, 3, 64, 96, dtype=torch.uint8)
    with pytest.raises(LipsoundError, match=r"^crop: 88 pixels are cut .*, found frames of \(64, 96\); wanted"):
        trunk(video, torch.tensor([3]))


def weights(exp: Path) -> dict[str, torch.Tensor]:
    return experiment.load(exp).model.state_dict()


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("egs/grid/conf/lira_*.yaml")))
def test_every_config_is_read(name):
    assert load_config(ROOT / f"egs/grid/conf/{name}.yaml").task.config()["input"]


def test_a_clips_features_do_not_depend_on_its_batch_mates():
    torch.manual_seed(0)
    model = Lira(LiraConfig(size=32, trunk_widths=(4, 4), trunk_blocks=1, trunk_pool=False, **CONFORMER), dims=3).eval()
    video, frames = torch.randint(0, 256, (3, 9, 96, 96), dtype=torch.uint8), torch.tensor([9, 4, 7])
    together = model.generate(video, frames).features
    for row, count in enumerate(frames.tolist()):
        alone = model.generate(video[row : row + 1, :count], frames[row : row + 1]).features
        torch.testing.assert_close(together[row, :count], alone[0], atol=1e-5, rtol=1e-5)
        assert (together[row, count:] == model.target_mean).all()


def test_a_words_scores_do_not_depend_on_its_batch_mates():
    torch.manual_seed(0)
    sizes = WordClassifierConfig(size=32, trunk_widths=(4, 4), trunk_blocks=1, branch=4, layers=2, boundaries=True)
    model = WordClassifier(sizes, classes=5).eval()
    video, frames = torch.randint(0, 256, (2, 9, 96, 96), dtype=torch.uint8), torch.tensor([9, 5])
    inside = torch.zeros(2, 9)
    inside[:, 2:4] = 1
    together = model(video, frames, inside)
    for row, count in enumerate(frames.tolist()):
        alone = model(video[row : row + 1, :count], frames[row : row + 1], inside[row : row + 1, :count])
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together, model(video, frames, 1 - inside))


def test_the_papers_trunk_has_its_size():
    """Conv3D + ResNet-18: 11.18 million parameters (Ma et al., ICASSP 2021)."""
    with torch.device("meta"):
        model = Lira(LiraConfig(), dims=256)
    assert model.encoder.trunk is not None
    assert sum(p.numel() for p in model.encoder.trunk.parameters()) == pytest.approx(11.18e6, rel=0.002)


@pytest.mark.parametrize("name", ["lira_word_supervised", "lira_word_finetuned"])
def test_fault_B4_the_lrw_configs_have_the_published_size(name):
    """ResNet-18 + MS-TCN, a 1x1 convolution in the shortcut of each of four blocks: 36.36 million parameters."""
    with torch.device("meta"):
        sizes = {field.name for field in dataclasses.fields(WordClassifierConfig)}
        config = {key: value for key, value in read_yaml(ROOT / f"egs/lrw/conf/{name}.yaml").items() if key in sizes}
        published = WordClassifier(WordClassifierConfig(**config), classes=500)
        older = WordClassifier(WordClassifierConfig(), classes=500)
    shapes = {key: tuple(value.shape) for key, value in published.state_dict().items() if "shortcut" in key}
    assert [shapes[f"blocks.{block}.shortcut.weight"] for block in range(4)] == [(768, 512, 1), *[(768, 768, 1)] * 3]
    assert sum(p.numel() for p in published.parameters()) == pytest.approx(36.36e6, rel=1e-3)
    # Weights and configs that were written before keep their meaning.
    assert [key for key in older.state_dict() if ".shortcut." in key and key.startswith("blocks")] == [
        "blocks.0.shortcut.weight",
        "blocks.0.shortcut.bias",
    ]


@pytest.mark.parametrize(
    "name", ["lrs2/lira_sentence_supervised", "lrs2/lira_sentence_frozen", "lrs2/lira_sentence_finetuned"]
)
def test_readers_of_the_large_recipes_are_the_published_ones(name):
    """Conformer, decoder and their sizes as a converted reader has them: the same tensors, and the same keys."""
    recipe, _, stem = name.partition("/")
    values = load_config(ROOT / "egs" / recipe / "conf" / f"{stem}.yaml").task.config()
    sizes = {"width", "layers", "heads", "expansion", "kernel", "decoder_layers", "decoder_feed_forward"}
    sizes |= {field.name for field in dataclasses.fields(ConformerConfig)} | {"decoder_positions"}
    converted = visual_speech.reader(reader_state(Sizes(41, 256, 4, 2048, 12, 6, 2048)), "made up", legacy=False)
    assert {key: values[key] for key in sizes} == {key: converted.config[key] for key in sizes}


def test_a_lip_reader_begins_with_the_whole_encoder_of_the_model_that_speaks(tmp_path):
    task = load_config(ROOT / "egs/grid/conf/lip_reader.yaml").task
    reader = task.build(task.restore(model_names.PRETRAINED / "grid-s1-vsr"))
    speaking = load_config(ROOT / "egs/grid/conf/parallel.yaml").task
    model = speaking.build(speaking.restore(model_names.PRETRAINED / "grid-s1-parallel"))
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, tmp_path / "speaking.safetensors")
    encoder = {f"encoder.{name}" for name in reader.encoder.state_dict()}
    assert {*initialize(reader, tmp_path / "speaking.safetensors").taken} == encoder


@pytest.mark.parametrize("name", ["lira_word_supervised", "lira_word_frozen", "lira_word_finetuned"])
def test_fault_B8_the_lrw_configs_have_no_time_mask(name):
    """As the group's code of June 2021: a random crop and mirror images, and nothing else."""
    run = load_config(ROOT / f"egs/lrw/conf/{name}.yaml").task
    changed = {key: value for key, value in run.config().items() if key.startswith(("augment_", "crop_"))}
    plain = {**to_mapping(AugmentConfig()), "augment_shift": changed["augment_shift"]}
    assert {key: changed[key] for key in plain} == {**plain, "augment_flip": changed["augment_flip"]}
    masked = load_config(ROOT / f"egs/lrw/conf/{name}.yaml", "augment_time_mask: 1.0, augment_time_mask_size: 15").task
    assert masked.config()["augment_time_mask"] == 1.0


def test_the_pretext_learns_and_cannot_speak(pretext, data):
    rows = (pretext / "curves.tsv").read_text(encoding="utf-8").splitlines()
    assert {"l1", "explained", "score"} <= set(rows[0].split("\t"))
    assets = experiment.load(pretext, task=Regress).assets
    assert assets.dims == 2
    with pytest.raises(LipsoundError, match=r"predicts 'targets-two', not a mel: it cannot speak"):
        _ = assets.mel


def test_lira_makes_one_frame_a_frame(tmp_path):
    task = load_config(config(tmp_path, "lira_pretext")).task
    assets = RegressAssets(MELS["fine"])
    with pytest.raises(LipsoundError, match=r"model: lira predicts one feature frame a video frame, the target has 4"):
        task.build(assets)


def test_sentences_from_lips(data, pretext, tmp_path, caplog):
    """Begun with the pretext's trunk, and only that; decoded; refused where audio is to be heard."""
    whole, dump = data
    path = config(tmp_path, "lira_sentence_finetuned")
    with caplog.at_level("INFO"):
        train(path, train=whole.path, valid=whole.path, dump=dump, exp=tmp_path / "exp", init=pretext)
    assert "(trunk alone)" in caplog.text
    decode(str(tmp_path / "exp"), whole.path, tmp_path / "text", dump=dump)
    rows = [json.loads(line) for line in (tmp_path / "text/words.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == whole.ids
    with pytest.raises(LipsoundError, match=r"reads lips \('mouth'\), not audio; give a recognizer of audio"):
        recognizer(str(tmp_path / "exp"))
    with pytest.raises(LipsoundError, match=r"model: lips takes crops .* found input: audio"):
        load_config(config(tmp_path, "lira_sentence_supervised", input="audio"))
    with pytest.raises(LipsoundError, match=r"model: conformer takes 'audio', found input: mouth"):
        load_config(ROOT / "egs/grid/conf/asr_conformer.yaml", "input: mouth")


@pytest.mark.parametrize("change", ["crop_frames: 40", "augment_cutmix: 0.5"])
@pytest.mark.parametrize(
    ("name", "what"),
    [("lip_reader", "the sentence, and its text"), ("lira_sentence_frozen", "the sentence"), ("lira_word_frozen", "")],
)
def test_what_is_read_is_not_cut(name, what, change, data, tmp_path):
    """Before any work; what was trained so is still read."""
    (whole, dump), path = data, ROOT / f"egs/grid/conf/{name}.yaml"
    assert load_config(path, change)
    told = rf"{name}\.yaml with --override: crop_frames, augment_cutmix: would cut .*{what}.*; set both to 0$"
    with pytest.raises(LipsoundError, match=told):
        train(path, train=whole.path, valid=whole.path, dump=dump, exp=tmp_path / "exp", override=change)
    assert not (tmp_path / "exp").exists()


def test_a_frozen_trunk_stays_as_it_was_and_can_be_dumped_once(data, pretext, tmp_path):
    """What is learned on dumped states is what is learned behind a frozen trunk on clips that are not augmented."""
    whole, dump = data
    plain = {
        "augment_flip": 0.0,
        "augment_shift": 0.0,
        "augment_zoom": 0.0,
        "augment_rotate": 0.0,
        "augment_brightness": 0.0,
    }
    plain |= {"augment_erase": 0.0, "augment_time_mask": 0.0, "augment_speed": 0.0, "dropout": 0.0}
    frozen = config(tmp_path, "lira_sentence_finetuned", trunk_frozen=True, **plain)
    train(frozen, train=whole.path, valid=whole.path, dump=dump, exp=tmp_path / "frozen", init=pretext)
    before, after = weights(pretext), weights(tmp_path / "frozen")
    trunk = [name for name in after if ".trunk." in name]
    assert trunk
    assert all(torch.equal(before[name], after[name]) for name in trunk)
    features(str(pretext), whole.path, dump, name="lira", nj=1)
    states = Archive(dump / "features-lira")
    assert states.meta["layer"] == "trunk"
    assert states["s1-3"].shape == (23, 4)
    reader = experiment.load(tmp_path / "frozen").model.encoder
    clip = torch.from_numpy(Frames(Archive(dump / "mouth"))["s1-3"])
    with torch.no_grad():
        torch.testing.assert_close(reader.trunk(clip[None], torch.tensor([23]))[0].numpy(), states["s1-3"])
    train(
        config(tmp_path, "lira_sentence_frozen", dropout=0.0),
        train=whole.path,
        valid=whole.path,
        dump=dump,
        exp=tmp_path / "cached",
    )
    decode(str(tmp_path / "cached"), whole.path, tmp_path / "text", dump=dump)
    assert len((tmp_path / "text/words.jsonl").read_text(encoding="utf-8").splitlines()) == len(whole)
    with pytest.raises(LipsoundError, match=r"has no trunk of lips"):
        features("grid-s1-asr", whole.path, dump, nj=1)


def test_words_from_lips(data, pretext, tmp_path):
    """Cut out of sentences, learned, named; top-1 is what `score` calls one minus the word errors."""
    whole, dump = data
    words(whole.path, tmp_path / "words")
    cut = DataDir(tmp_path / "words")
    assert validate(cut.path) == 1  # the videos are not there; nothing else is wrong
    assert len(cut) == 2 * (2 + 3 + 1 + 2)
    assert cut.table("segments")["s1-1-3"] == "s1-1 0.4 0.6"
    assert cut.text["s1-1-3"] == "at"
    path = config(tmp_path, "lira_word_finetuned")
    train(path, train=cut.path, valid=cut.path, dump=dump, exp=tmp_path / "exp", init=pretext)
    assert {"top1", "top5"} <= set(
        (tmp_path / "exp/curves.tsv").read_text(encoding="utf-8").splitlines()[0].split("\t")
    )
    decode(str(tmp_path / "exp"), cut.path, tmp_path / "text", dump=dump)
    rows = [json.loads(line) for line in (tmp_path / "text/words.jsonl").read_text(encoding="utf-8").splitlines()]
    right = np.mean([row["text"] == cut.text[row["id"]] for row in rows])
    among = np.mean([cut.text[row["id"]] in row["candidates"] for row in rows])
    found = read_yaml(tmp_path / "text/accuracy.yaml")
    assert found["clips"] == len(cut)
    assert (found["top1"], found["top5"]) == (pytest.approx(right, abs=1e-4), pytest.approx(among, abs=1e-4))
    with pytest.raises(LipsoundError, match=r"reads single words, one of a list; leave out"):
        decode(str(tmp_path / "exp"), cut.path, tmp_path / "text", dump=dump, search=SearchOptions(grammar="grid"))


def test_an_evaluation_of_words_passes_each_batch_once(data, tmp_path):
    """And its loss is that of the task, per word."""
    whole, dump = data
    words(whole.path, tmp_path / "words")
    cut = DataDir(tmp_path / "words")
    task = load_config(config(tmp_path, "lira_word_supervised")).task
    _, windows, assets = task.prepare(cut, cut, dump)
    torch.manual_seed(0)
    model, passes = task.build(assets).eval(), []
    batch = task.collate([windows.get(index, None) for index in range(len(windows))])
    with torch.no_grad():
        loss = task.loss(model, batch, assets, 1.0)
        model.register_forward_hook(lambda *_: passes.append(1))
        found = task.evaluate(model, windows, assets, "cpu").numbers
    assert len(passes) == 1
    assert found["valid_loss"] == float(loss.total) / loss.weight


def test_ties_and_no_numbers_do_not_count_as_right():
    """A network that has collapsed scores every class alike, or gives no number at all."""
    labels = torch.tensor([0, 1, 2, 499])
    for collapsed in (torch.zeros(4, 500), torch.full((4, 500), torch.nan)):
        assert accuracy(ranks_of(collapsed, labels)) == {"top1": 0.0, "top5": 0.0}
    scores = torch.tensor([[3.0, 2.0, 1.0], [3.0, 3.0, 1.0], [torch.nan, 2.0, 1.0], [3.0, torch.nan, 1.0]])
    assert ranks_of(scores, torch.tensor([1, 1, 0, 0])) == [1, 1, 2, 1]


def test_windows_lie_on_their_words(data, tmp_path):
    whole, dump = data
    words(whole.path, tmp_path / "words")
    cut = DataDir(tmp_path / "words")
    task = load_config(config(tmp_path, "lira_word_supervised")).task
    windows, _, assets = task.prepare(cut, cut, dump)
    clip = windows.get(windows.ids.index("s1-1-2"), None)  # .2 to .4 s: video frames 5 to 9
    assert clip.inside.tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0]
    video_frames = Frames(Archive(dump / "mouth"))["s1-1"]
    np.testing.assert_array_equal(clip.frames, video_frames[3:12])
    first = windows.get(
        windows.ids.index("s1-1-1"), None
    )  # reaches over the beginning: the first video frame stands still
    np.testing.assert_array_equal(first.frames[:3], video_frames[[0, 0, 0]])
    task.augmentation.augment_speed = 0.25  # slowed down, a window has more video frames
    training, validation, _ = task.prepare(cut, cut, dump)
    found = [len(training.get(0, np.random.default_rng(seed)).frames) for seed in range(40)]
    assert set(training.lengths) == {12} >= {max(found)}
    assert set(validation.lengths) == {9} == {len(validation.get(0, None).frames)}
    other = DataDir.write(tmp_path / "other", utt2spk={"s1-0": "s1"}, text={"s1-0": "green"})
    with pytest.raises(LipsoundError, match=r"1 words are none of the 6 classes, 'green' first"):
        task.windows(other, dump, assets.words)
    with pytest.raises(LipsoundError, match=r"expected one word a clip, found 'bin blue'"):
        task.prepare(whole, whole, dump)
    said = {"text": {"s1-0": "bin"}, "word_times": {"s1-0": "0.2 0.4"}}
    bad = DataDir.write(tmp_path / "bad", utt2spk={"s1-0": "s1"}, **said)
    with pytest.raises(LipsoundError, match=r"word_times: s1-0: expected 'start end word ...', found 2 fields; run"):
        task.prepare(bad, bad, dump)


def test_mixup_draws_again_what_a_checkpoint_holds(data, tmp_path):
    whole, dump = data
    words(whole.path, tmp_path / "words")
    cut = DataDir(tmp_path / "words")
    task = load_config(config(tmp_path, "lira_word_supervised", mixup=0.4, dropout=0.0)).task
    windows, _, assets = task.prepare(cut, cut, dump)
    batch = task.collate([windows.get(index, None) for index in range(4)])
    torch.manual_seed(0)
    model = task.build(assets).train()
    state = torch.get_rng_state()
    first, second = (float(task.loss(model, batch, assets, 0).total.detach()) for _ in range(2))
    torch.set_rng_state(state)
    again = float(task.loss(model, batch, assets, 0).total.detach())
    assert abs(first - second) > 10 * abs(first - again) + 1e-6


def test_lips_are_transcribed_directly(data, pretext, tmp_path, grid, capsys):
    """A real clip, read by a model that knows nothing yet: text on stdout, nothing heard."""
    whole, dump = data
    path = config(tmp_path, "lira_sentence_finetuned")
    train(path, train=whole.path, valid=whole.path, dump=dump, exp=tmp_path / "exp", init=pretext)
    capsys.readouterr()
    clip = sorted((grid / "s1").glob("*.mp4"))[0]
    transcribe(clip, model=str(tmp_path / "exp"), json=True)
    row = json.loads(capsys.readouterr().out)
    assert {"text", "words", "score"} <= row.keys()
    reader = lipsound2.load(tmp_path / "exp")
    assert reader.reads_lips
    assert reader(clip).text == row["text"]
    gray = lipsound2.crop(clip, "face")  # any frames with a face
    assert reader(gray, fps=25).words is not None
    with pytest.raises(LipsoundError, match="reads lips, not speech; give it the video itself"):
        reader(lipsound2.load("grid-s1-parallel", vocoder="griffin-lim:1")(clip))
    with pytest.raises(LipsoundError, match="frames have fps"):
        reader(gray, rate=16000)
    words(whole.path, tmp_path / "words")
    path = config(tmp_path, "lira_word_supervised")
    train(path, train=tmp_path / "words", valid=tmp_path / "words", dump=dump, exp=tmp_path / "single")
    with pytest.raises(LipsoundError, match=r"is of the task 'classify'; load takes regress \(a lip-to-speech model"):
        lipsound2.load(tmp_path / "single")
    with pytest.raises(LipsoundError, match="classifies single words, whose times must be known; use lipsound2 decode"):
        transcribe(clip, model=str(tmp_path / "single"))
    with pytest.raises(LipsoundError, match="reads 'audio', not face or mouth crops; give a recognizer of audio"):
        transcribe(clip, model="grid-s1-asr")
