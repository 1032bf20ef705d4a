"""A chosen voice: models that are conditioned on speaker embeddings, and how alike voices are (SECS)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.experiments import MEL, Clip, synthetic_clips
from helpers.speaker_encoders import write_encoder
from helpers.video_making import levels, write_clip
from safetensors.torch import load_file, save_file

import lipsound2.metrics
from lipsound2.audio.io import encode_flac, write_wav
from lipsound2.audio.mel import mel_spectrogram
from lipsound2.audio.speaker_embedding import SpeakerEmbedder
from lipsound2.audio.statistics import sums
from lipsound2.cli import main
from lipsound2.config import to_mapping
from lipsound2.data.archive import Archive, ArchiveWriter
from lipsound2.data.datadir import DataDir, write_table
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.experiment import load
from lipsound2.features.voices import voices
from lipsound2.inference.lip_to_speech import TorchLipToSpeech
from lipsound2.inference.synthesize import synthesize
from lipsound2.inference.synthesizer import Synthesizer
from lipsound2.inference.voice_references import other_voices, own_voices
from lipsound2.metrics.score import score
from lipsound2.models.lipsound2 import LipSound2, LipSound2Config
from lipsound2.models.modules.voice import VoiceConditioning
from lipsound2.models.parallel import Parallel, ParallelConfig
from lipsound2.old_names import checkpoint_of_today
from lipsound2.tasks import load_config
from lipsound2.tasks.regress import Regress
from lipsound2.training.init import initialize
from lipsound2.video.encode import encode

ROOT = Path(__file__).resolve().parents[1]
PARALLEL = ParallelConfig(size=16, trunk_widths=(4, 4), width=16, layers=1, heads=2, mel_width=16, mel_layers=1)
LIPSOUND2 = LipSound2Config(
    face_size=70,
    encoder_channels=(2, 2, 4),
    encoder_lstm=8,
    attention_lstm=16,
    attention_width=8,
    location_channels=2,
    location_kernel=3,
    prenet=(8, 4),
    decoder_lstm=16,
    reduction=2,
    postnet_channels=8,
    postnet_layers=2,
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("ge2e"))


def conditioned(name: str, voice: int = 8) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """A model with a voice that it has learned to hear, and a batch of a short clip and a longer one."""
    torch.manual_seed(1)
    side = {"parallel": 96, "lipsound2": 70}[name]
    model = (
        Parallel(PARALLEL, dims=8, ratio=4.0, words=3, voice=voice)
        if name == "parallel"
        else LipSound2(LIPSOUND2, dims=8, ratio=2.0, words=3, voice=voice)
    )
    hear(model)
    return model.eval(), torch.randint(0, 255, (2, 10, side, side), dtype=torch.uint8), torch.tensor([6, 10])


def hear(model: torch.nn.Module) -> None:
    """Random weights in place of the projection's zeros, as if it had been trained."""
    if model.voice is not None:
        model.voice.project.reset_parameters()


def unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.rand(*shape), dim=-1)


@pytest.mark.parametrize("name", ["parallel", "lipsound2"])
def test_a_voice_changes_speech_and_not_words(name):
    """Each clip of a batch has its own voice; words come from the lips alone; no voice is the average voice."""
    model, video, lengths = conditioned(name)
    if name == "lipsound2":  # a dropout that stays on in the prenet would hide what is compared
        model.decoder.prenet.always = False
    voice = unit(2, 8)
    found = model.generate(video, lengths, voice)
    swapped = model.generate(video, lengths, voice.flip(0))
    assert (found.features - swapped.features).abs().amax(dim=(1, 2)).min() > 1e-3
    assert torch.equal(found.word_scores, swapped.word_scores)
    for row, length in enumerate(lengths):
        alone = model.generate(video[row : row + 1, :length], lengths[row : row + 1], voice[row : row + 1])
        count = int(alone.feature_lengths[0])
        assert torch.allclose(alone.features[0], found.features[row, :count], atol=1e-4)
    model.voice.take_average(voice[0])
    average = model.generate(video, lengths)
    assert torch.equal(average.features, model.generate(video, lengths, voice[:1].expand(2, -1)).features)


@pytest.mark.parametrize("name", ["parallel", "lipsound2"])
def test_a_model_without_a_voice_is_what_it_was(name):
    """No tensor more, and those that were there by their names."""
    plain, _, _ = conditioned(name, voice=0)
    voiced, _, _ = conditioned(name)
    names = {*voiced.state_dict()} - {*plain.state_dict()}
    assert names == {"voice.mean", "voice.center", "voice.project.weight", "voice.project.bias"}


@pytest.mark.parametrize("name", ["parallel", "lipsound2"])
def test_a_voice_begins_as_nothing_and_is_learned(name):
    """At birth the output is to the bit that of the model without voices, whatever the voice; the first gradient
    reaches the projection, and the average voice stays what the model says without any."""
    plain, video, lengths = conditioned(name, voice=0)
    torch.manual_seed(1)
    voiced = type(plain)(plain.config, dims=8, ratio=plain.ratio, words=3, voice=8).eval()
    loaded = voiced.load_state_dict(plain.state_dict(), strict=False)
    assert all(key.startswith("voice.") for key in loaded.missing_keys)
    assert not loaded.unexpected_keys
    if name == "lipsound2":
        plain.decoder.prenet.always = voiced.decoder.prenet.always = False
    voice = unit(2, 8)
    voiced.voice.take_average(unit(8))
    without = plain.generate(video, lengths).features
    assert torch.equal(voiced.generate(video, lengths, voice).features, without)
    assert torch.equal(voiced.generate(video, lengths).features, without)
    size = int(voiced.feature_lengths_of(lengths).max())
    target = torch.randn(2, size, 8)
    given = voiced(video, lengths, target, voiced.feature_lengths_of(lengths), voice=voice).features
    (given - target).abs().mean().backward()
    assert voiced.voice.project.weight.grad.abs().sum() > 0
    with torch.no_grad():
        voiced.voice.project.weight -= voiced.voice.project.weight.grad
    assert not torch.equal(voiced.generate(video, lengths, voice).features, without)
    assert torch.equal(voiced.generate(video, lengths).features, without)


def test_a_voice_is_told_from_the_average_one():
    """What all voices share moves nothing: a gradient at the average voice leaves the projection as it is."""
    conditioning = VoiceConditioning(8, 4)
    average = unit(8)
    conditioning.take_average(average)
    (conditioning(torch.zeros(1, 3, 4), average[None]) - 1).square().sum().backward()
    assert conditioning.project.weight.grad.abs().max() == 0
    assert conditioning.project.bias.grad.abs().min() > 0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, weights) -> Path:
    """Two speakers with three clips, one with a single clip: data dir, dump with voices, and a config."""
    folder = tmp_path_factory.mktemp("voices")
    clips = synthetic_clips(6)
    played = clips["s2-clip1"]
    clips["s3-clip6"] = Clip(played.waveform[::-1].copy(), played.crops, played.text)
    DataDir.write(folder / "data", utt2spk={name: name[:2] for name in clips})
    dump = folder / "dump"
    kinds = {
        "audio": {name: encode_flac(clip.waveform) for name, clip in clips.items()},
        "mouth": {name: encode(clip.crops[:, 8:104, 8:104]) for name, clip in clips.items()},
        "mel-fine": {
            name: mel_spectrogram(torch.from_numpy(clip.waveform), MEL).numpy() for name, clip in clips.items()
        },
    }
    for kind, entries in kinds.items():
        with ArchiveWriter(dump / kind / "feats.ark", dump / kind / "feats.scp") as archive:
            for name in sorted(entries):
                archive.write(name, entries[name])
        rate = 4 if kind == "mel-fine" else 1
        counts = {name: str(rate * len(clip.crops)) for name, clip in clips.items()}
        write_table(dump / kind / "utt2num_frames", counts)
        write_yaml(dump / kind / "kind.yaml", to_mapping(MEL) if kind == "mel-fine" else {"kind": kind})
    with ArchiveWriter(dump / "mel-fine/cmvn.ark", dump / "mel-fine/cmvn.scp") as archive:
        for name in sorted(clips):
            archive.write(name, sums(kinds["mel-fine"][name]))
    small = {"width": 16, "layers": 1, "mel_width": 16, "mel_layers": 1, "heads": 2, "trunk_widths": [4, 4]}
    few = {"valid_clips": 2, "valid_iterations": 1, "speaker": "embedding"}
    write_yaml(folder / "c.yaml", read_yaml(ROOT / "egs/mini/conf/mini.yaml") | small | few)
    voices(folder / "data", dump, voice_encoder=weights, nj=1)
    return folder


def test_the_verb_stores_an_embedding_of_every_clip(corpus, weights, caplog):
    found = Archive(corpus / "dump/voice")
    embed = SpeakerEmbedder(weights)
    assert len(found.ids) == 7
    for name, clip in synthetic_clips(6).items():
        assert np.abs(found[name] - embed(clip.waveform)).max() < 1e-3  # FLAC has 16 bits
        assert np.linalg.norm(found[name]) == pytest.approx(1, abs=1e-5)
    with caplog.at_level("INFO"):
        voices(corpus / "data", corpus / "dump", voice_encoder=weights, nj=1)
    assert "is there already: skipped" in caplog.text


def test_a_sample_has_the_voice_of_another_clip_of_its_speaker(corpus):
    task, data = load_config(corpus / "c.yaml").task, DataDir(corpus / "data")
    training, validation, assets = task.prepare(data, data, corpus / "dump")
    stored = Archive(corpus / "dump/voice")
    names = {stored[name].tobytes(): name for name in stored.ids}
    for index, name in enumerate(training.ids):
        mates = {other for other in stored.ids if other[:2] == name[:2]} - {name}
        seen = {names[training.get(index, np.random.default_rng(seed)).voice.tobytes()] for seed in range(30)}
        assert seen == (mates if mates else {name})
        following = names[validation.get(index, None).voice.tobytes()]
        assert following == own_voices(data, [*training.ids])[name]
    mean = np.mean([stored[name] for name in stored.ids], axis=0)
    assert assets.mean_voice == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_the_task_trains_and_evaluates_with_voices(corpus):
    task, data = load_config(corpus / "c.yaml").task, DataDir(corpus / "data")
    training, validation, assets = task.prepare(data, data, corpus / "dump")
    model = task.build(assets).train()
    batch = task.collate([training.get(index, np.random.default_rng(index)) for index in range(3)])
    assert batch.voice.shape == (3, 256)
    loss = task.loss(model, batch, assets, 0.5)
    (loss.total / loss.weight).backward()
    assert model.voice.project.weight.grad.abs().sum() > 0
    assert np.isfinite(task.evaluate(model.eval(), validation, assets, "cpu").score)
    assert dict(task.describe(assets))["Input"].endswith("a GE2E speaker embedding of the voice")


def test_voices_that_cannot_be_used_are_one_line(corpus, tmp_path):
    values = read_yaml(corpus / "c.yaml")
    data = DataDir(corpus / "data")
    task = load_config(corpus / "c.yaml").task
    for kind in ("mouth", "mel-fine"):
        (tmp_path / "dump").mkdir(exist_ok=True)
        (tmp_path / "dump" / kind).symlink_to(corpus / "dump" / kind)
    with pytest.raises(LipsoundError, match=r"dump/voice: .* lipsound2 voices DIR"):
        task.prepare(data, data, tmp_path / "dump")
    keys = {key: values[key] for key in ("task", "input", "speaker")}
    write_yaml(tmp_path / "lira.yaml", {**keys, "model": "lira"})
    with pytest.raises(LipsoundError, match=r"speaker: the model 'lira' takes no voice; .* parallel, lipsound2"):
        load_config(tmp_path / "lira.yaml")


@pytest.fixture(scope="module")
def experiment(corpus) -> Path:
    """An experiment whose network hears the voice; it is not trained."""
    task, data = load_config(corpus / "c.yaml").task, DataDir(corpus / "data")
    assets = task.prepare(data, data, corpus / "dump").assets
    torch.manual_seed(0)
    network = task.build(assets)
    hear(network)
    exp = corpus / "exp"
    exp.mkdir()
    write_yaml(exp / "config.yaml", read_yaml(corpus / "c.yaml"))
    task.save(assets, exp)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(tensors, exp / "model.safetensors")
    return exp


def test_speech_is_in_the_voice_of_the_reference(experiment, corpus, weights):
    """The reference reaches the mel through the windows; without one it is the average voice, kept in the weights."""
    loaded = load(experiment, task=Regress)
    assert float(loaded.model.voice.mean.norm()) == pytest.approx(1, abs=1e-5)
    model = TorchLipToSpeech(loaded, "griffin-lim:1")
    synthesizer = Synthesizer(model, voice_encoder=weights)
    reference = corpus / "s2.wav"
    write_wav(reference, synthetic_clips(2)["s2-clip1"].waveform)
    crops = synthetic_clips(1)["s1-clip0"].crops[:, 8:104, 8:104]
    embedding = synthesizer.voice_of(reference)
    mels = [
        model.windows(len(crops), voice).whole(crops) for voice in (None, embedding, loaded.model.voice.mean.numpy())
    ]
    assert np.abs(mels[0] - mels[1]).max() > 1e-3
    assert np.array_equal(mels[0], mels[2])
    assert np.array_equal(synthesizer.voice_of(embedding), embedding)
    with pytest.raises(LipsoundError, match=r"voice: found float64 of shape \(3,\), wanted an embedding: 256 floats"):
        synthesizer.voice_of(np.zeros(3))
    with pytest.raises(LipsoundError, match=r"gone.wav: no such file; wanted a recording"):
        synthesizer.voice_of(Path("gone.wav"))


def test_weights_of_before_speak_as_before(experiment, tmp_path):
    """Earlier versions projected the whole embedding, and their weights have no center: they load as an experiment, as
    a pack in bf16, as what a training begins with and as a checkpoint, and mean what they meant."""
    old = load_file(experiment / "model.safetensors")
    del old["voice.center"]
    shutil.copytree(experiment, tmp_path / "old")
    save_file(old, tmp_path / "old/model.safetensors")
    states, voice = torch.randn(2, 5, 16), unit(2, 256)
    wanted = states + (16 * voice @ old["voice.project.weight"].T + old["voice.project.bias"])[:, None]
    fresh = load(experiment, task=Regress).task.build(load(experiment, task=Regress).assets)
    fresh.voice.take_average(unit(256))
    initialize(fresh, tmp_path / "old")
    restored = load(experiment, task=Regress).model
    restored.load_state_dict(checkpoint_of_today({"model": old})["model"])
    lowered = load(tmp_path / "old", task=Regress, precision="bf16").model
    for model in (load(tmp_path / "old", task=Regress).model, fresh, restored):
        assert torch.allclose(model.voice(states, voice), wanted, atol=1e-5)
        assert torch.equal(model.voice.mean, old["voice.mean"])
    assert torch.equal(lowered.voice.mean, old["voice.mean"])
    assert lowered.voice.center.abs().max() == 0
    assert not torch.allclose(load(experiment, task=Regress).model.voice(states, voice), wanted, atol=1e-2)


@pytest.mark.parametrize(
    ("options", "said", "status"),
    [
        (["--voice", "me.wav"], "grid-s1-parallel: was trained without voices, so it speaks in no other", 1),
        (["--voice", "me.wav", "--onnx", "x.onnx"], "--voice: exported networks speak in one voice", 1),
        (["--voice-encoder", "x.whl"], "--voice-encoder x.whl: is for a reference; give --voice too", 2),
    ],
)
def test_a_voice_that_cannot_be_had_is_one_line(options, said, status, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_clip(Path("clip.mp4"), levels([50, 100, 150]), [0, 0.04, 0.08])
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["speak", "clip.mp4", *options]))
    assert ended.value.code == status
    printed = capsys.readouterr().err
    assert said in printed
    assert len(printed.strip().splitlines()) == 1


def test_references_of_a_data_dir(tmp_path):
    ids = ["s1-a", "s1-b", "s1-c", "s2-a"]
    data = DataDir.write(tmp_path / "d", utt2spk={name: name[:2] for name in ids})
    assert own_voices(data, ids) == {"s1-a": "s1-b", "s1-b": "s1-c", "s1-c": "s1-a", "s2-a": "s2-a"}
    assert other_voices(data, ids) == {"s1-a": "s2-a", "s1-b": "s2-a", "s1-c": "s2-a", "s2-a": "s1-a"}
    with pytest.raises(LipsoundError, match="has one speaker alone"):
        other_voices(data, ids[:3])


def test_the_control_of_another_voice_is_spoken_and_scored(experiment, corpus, weights):
    """`synthesize` with both voices, then SECS of each system; the ceiling is near 1, silence is 0."""
    out = corpus / "synth"
    controls = ("real_mel", "other_voice")
    synthesize(experiment, corpus / "data", out, dump=corpus / "dump", vocoder="griffin-lim:8", controls=controls)
    own, other = (Archive(out / "mels" / system) for system in ("generated", "other_voice"))
    assert all(np.abs(own[name] - other[name]).max() > 1e-3 for name in own.ids)
    write_wav(out / "generated/s1-clip0.wav", np.zeros(32000, np.float32))
    score(corpus / "dump/audio", out, metrics=(f"secs:{weights}",), nj=1, resamples=50)
    summary = json.loads((out / "scores/summary.json").read_text())
    rows = [row.split("\t") for row in (out / "scores/clips.tsv").read_text().splitlines()]
    column = rows[0].index("secs")
    silent = next(row for row in rows if row[:2] in (["s1-clip0", "generated"], ["generated", "s1-clip0"]))
    assert float(silent[column]) == 0
    systems = summary["systems"]
    assert "real" not in systems
    assert systems["real_mel"]["scores"]["secs"]["mean"] > systems["generated"]["scores"]["secs"]["mean"]
    with pytest.raises(LipsoundError, match=r"--controls other_voice: .* was trained without voices"):
        synthesize(Path("grid-s1-parallel"), corpus / "data", out, dump=corpus / "dump", controls=("other_voice",))


def test_a_single_speaker_has_no_other_voice_and_that_is_told_before_any_work(experiment, corpus, tmp_path):
    names = [name for name in DataDir(corpus / "data").ids if name.startswith("s1")]
    data = DataDir.write(tmp_path / "data", utt2spk=dict.fromkeys(names, "s1")).path
    out = tmp_path / "out"
    (out / "mels/mean_mel").mkdir(parents=True)  # of an earlier run, that a mistake must leave alone
    with pytest.raises(LipsoundError, match="data: has one speaker alone, so there is no control other_voice"):
        synthesize(experiment, data, out, dump=corpus / "dump", controls=("other_voice",))
    assert [path.name for path in out.rglob("*")] == ["mels", "mean_mel"]


def test_secs_is_a_function_too(weights):
    one, other = (clip.waveform for clip in list(synthetic_clips(2).values()))
    embed = SpeakerEmbedder(weights)
    assert lipsound2.metrics.secs(one, one, argument=str(weights)) == pytest.approx(1, abs=1e-6)
    found = lipsound2.metrics.secs(one, other, argument=str(weights))
    assert found == pytest.approx(float(embed(one) @ embed(other)), abs=1e-6)
    assert found < 1 - 1e-4
