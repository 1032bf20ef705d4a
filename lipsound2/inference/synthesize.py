"""The verb `synthesize`: speech of every clip of a data dir, by an experiment and by three controls.

* `generated`: the model given the clip's video;
* `real_mel`: copy-synthesis, the ground-truth mel through the same vocoder: the ceiling of models with this mel;
* `mismatched`: the model given the video of **another** sentence of the same speaker: the score without lip reading;
* `mean_mel`: the mean mel of the training set at each time: the score without any video;
* `other_voice`, of models that are conditioned on a voice, where it is asked for: the model given another speaker's.
"""

from __future__ import annotations

import functools
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from lipsound2 import experiment, model_names
from lipsound2.arguments import AtLeast0, AtLeast1
from lipsound2.audio.mel_settings import MelConfig, fit_frames
from lipsound2.audio.writing import Spool
from lipsound2.config import to_mapping
from lipsound2.corpora.pairs import mismatched_pairs
from lipsound2.data.archive import Archive, ArchiveWriter
from lipsound2.data.datadir import DataDir
from lipsound2.data.yaml_files import write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.experiment import Experiment
from lipsound2.files import folder_lock, sweep, write_bytes
from lipsound2.fingerprint import Fingerprint
from lipsound2.inference import familiarity
from lipsound2.inference.array_store import ArrayStore
from lipsound2.inference.face_watch import FaceWatch
from lipsound2.inference.lip_to_speech import windows_of
from lipsound2.inference.vocoders import inputs as made_with
from lipsound2.inference.vocoders import vocoder as find_vocoder
from lipsound2.inference.voice_references import other_voices, own_voices
from lipsound2.jobs.batch_map import batches, map_batches
from lipsound2.metrics.audio_sources import wav_ids
from lipsound2.outputs import OutputFolder
from lipsound2.report.images import attention_image
from lipsound2.tasks.regress import VOICES, Regress
from lipsound2.tasks.regress_assets import MEAN_FILE
from lipsound2.timing import FRAME_RATE
from lipsound2.video.encode import count_frames, decode, iter_frames

log = logging.getLogger(__name__)

CONTROLS = ("real_mel", "mismatched", "mean_mel")
OTHER_VOICE = "other_voice"
_WHOLE = 750  # video frames, half a minute: longer clips are given to the model in windows, as `speak` does


def synthesize(
    exp: Path,
    dir: Path,
    out: OutputFolder,
    *,
    dump: Path,
    vocoder: str = "griffin-lim",
    controls: tuple[str, ...] = CONTROLS,
    ngpu: AtLeast0 = 0,
    nj: AtLeast1 = 2,
    launcher: Literal["local", "slurm"] = "local",
) -> None:
    """Speak every clip of a data dir: OUT/<system>/<id>.wav, mels, and images of the attention.

    A model that is conditioned on a voice speaks in that of the next clip of the speaker (DUMP/voice, lipsound2
    voices). OUT/data/<system> is a data dir of that system's speech, for `decode`. OUT/data holds the generated speech.

    Args:
        exp: experiment or pack.
        dir: data dir of the clips.
        out: folder to write, with a folder for each system.
        dump: folder of the archives that stages 1 and 2 wrote.
        vocoder: griffin-lim, griffin-lim:ITERATIONS, or a trained vocoder: its folder, or the name of one.
        controls: control systems to synthesize as well, separated by commas: real_mel, mismatched, mean_mel; and
            other_voice, the voice of another speaker, for a model with `speaker: embedding`. Speech of controls that
            are left out, by an earlier run, is removed.
        ngpu: GPUs to use: 0 or 1.
        nj: number of jobs with slurm.
        launcher: local (this machine) or slurm (job arrays); see docs/cluster.md.
    """
    for name in controls:
        if name not in (*CONTROLS, OTHER_VOICE):
            raise LipsoundError(f"--controls: unknown control '{name}'; one of {', '.join((*CONTROLS, OTHER_VOICE))}")
    data = DataDir(dir)
    model = experiment.load(exp, task=Regress)
    if OTHER_VOICE in controls and not model.task.voiced:
        raise LipsoundError(f"--controls {OTHER_VOICE}: {exp} was trained without voices; leave it out")
    made_of = [model.path / model_names.WEIGHTS, model.path / model_names.CONFIG, *made_with(vocoder)]
    inputs = [*made_of, *familiarity.files_of(model.path), dir, *model.task.inputs(dump)]
    made = ["origin.yaml", "data", "mels", "generated", *controls]
    # Only some models have attention, so its images need not be there.
    fingerprint = Fingerprint(
        out, "synthesize", {"vocoder": vocoder, "controls": controls}, inputs, made, ["alignments"]
    )
    left_out = [name for name in (*CONTROLS, OTHER_VOICE) if name not in controls]
    if fingerprint.up_to_date():
        _remove_controls(out, left_out)
        systems = ("generated", *controls)
        if not all((out / "data" / system / "utt2spk").exists() for system in systems):  # of an earlier version
            write_data(data, {system: wav_ids(out / system) for system in systems}, out)
        print(f"{out}: done already with these inputs and options; skipped")
        return
    # A mistake must show before hours of work, and before anything of an earlier run is touched.
    find_vocoder(vocoder, model.assets.mel)
    if "mean_mel" in controls:
        mean_mel(model)
    plan = _planned(model, dump, data, controls)
    spread: dict[str, Any] = {"where": out, "made_of": fingerprint.text, "nj": nj, "launcher": launcher, "ngpu": ngpu}
    with folder_lock(out, "synthesize"):
        fingerprint.clear()
        for folder in filter(Path.is_dir, out.rglob("*")):
            sweep(folder)
        _remove_controls(out, left_out)
        spoken, speed = _write_mels(model, GeneratorFactory(exp, dump, ngpu), plan, controls, spread)
        wanted = [(system, name) for system, names in spoken.items() for name in names]
        for _ in map_batches(
            VocoderFactory(out, vocoder, model.assets.mel, ngpu), batches(wanted), step="vocode", **spread
        ):
            continue  # jobs write the audio themselves
        write_data(data, spoken, out)
        write_yaml(
            out / "origin.yaml",
            {
                "data": str(dir),
                "dump": str(dump),
                "input": model.task.settings.input,
                "target": model.task.settings.target,
                "vocoder": vocoder,
                "controls": list(controls),
                "clips": len(spoken["generated"]),
                "real_time_factor_of_the_model": round(speed, 4),
            },
        )
        fingerprint.write()
    print(f"{out}: {len(spoken['generated'])} clips, {len(spoken)} systems; real-time factor of the model {speed:.3f}")


class _Plan(NamedTuple):
    """Which clips are spoken, and of what.

    Attributes:
        ids: clips that earlier stages made.
        pairs: of the control mismatched: clip -> the clip whose video is shown.
        own_voices: of a model that takes a voice: clip -> the clip in whose voice it is spoken.
        other_voices: likewise, of the control other_voice.
    """

    ids: list[str]
    pairs: Mapping[str, str]
    own_voices: Mapping[str, str]
    other_voices: Mapping[str, str]


def _planned(model: Experiment[Regress], dump: Path, data: DataDir, controls: Iterable[str]) -> _Plan:
    """Choose the clips.

    Raises:
        LipsoundError: none of them is in the dump, or a control that is asked for cannot be had of them.
    """
    kinds = (model.task.settings.input, model.task.settings.target, *([VOICES] if model.task.voiced else []))
    archives = [Archive(dump / kind) for kind in kinds]
    ids = [name for name in data.ids if all(name in archive for archive in archives)]
    if not ids:
        raise LipsoundError(f"{data.path}: none of its {len(data.ids)} clips is in {dump}; run stages 1 and 2 first")
    if len(ids) < len(data.ids):
        log.warning("%d of %d clips failed earlier stages and are left out", len(data.ids) - len(ids), len(data.ids))
    return _Plan(
        ids,
        mismatched_pairs(data, ids) if "mismatched" in controls else {},
        own_voices(data, ids) if model.task.voiced else {},
        other_voices(data, ids) if OTHER_VOICE in controls else {},
    )


def _remove_controls(out: Path, names: Iterable[str]) -> None:
    """Remove what an earlier run left of controls that are no longer asked for.

    `score` takes every folder of speech, so it would compare the speech of two models. A folder of such a name without
    the mels and the data dir that lie beside each control is not of this verb: it stays.
    """
    for name in names:
        beside = [out / "data" / name, out / "mels" / name]
        if not any(folder.is_dir() for folder in beside):
            continue
        log.info("%s: removed, since --controls no longer names it", out / name)
        for folder in (out / name, *beside):  # the speech first: if this is killed, the others still tell whose it is
            if folder.is_symlink():
                folder.unlink()  # where it leads is not this verb's
            elif folder.is_dir():
                shutil.rmtree(folder)


def _write_mels(
    model: Experiment[Regress],
    generator: GeneratorFactory,
    plan: _Plan,
    controls: Iterable[str],
    spread: Mapping[str, Any],
) -> tuple[dict[str, list[str]], float]:
    """Write OUT/mels/<system>, (S, bands) of every clip, and OUT/alignments where the model has attention.

    Returns:
        The sorted clips of every system, and the real-time factor of the model.
    """
    dump, kinds = generator.dump, model.task.settings
    features, frames = Archive(dump / kinds.target), Archive(dump / kinds.input).num_frames()
    ids, pairs = plan.ids, plan.pairs
    shown = sorted({*ids, *pairs.values()}, key=lambda name: (frames[name], name))  # similar lengths: little padding
    whole = [name for name in shown if frames[name] <= _WHOLE]
    work = [*batches(whole), *batches(shown[len(whole) :], 1)]
    generator = replace(generator, voices=plan.own_voices)
    mels, alignments, seconds = ArrayStore(), ArrayStore(), 0.0
    for generated in map_batches(generator, work, step="generate", **spread):
        mels.put(generated.mels)
        alignments.put(generated.alignments)
        seconds += generated.seconds
    others = ArrayStore()
    if OTHER_VOICE in controls:
        generator = replace(generator, voices=plan.other_voices)
        for generated in map_batches(generator, work, step="other-voice", **spread):
            others.put(generated.mels)
    if alignments:
        _keep(alignments, spread["where"] / "alignments")

    silence = model.assets.mel.silence
    # One clip at a time: all mels of a large set would fill the memory.
    mel_of: dict[str, Callable[[str], np.ndarray]] = {
        "generated": lambda name: mels[name],
        "real_mel": lambda name: np.asarray(features[name], np.float32),
        "mismatched": lambda name: fit_frames(mels[pairs[name]], len(features[name]), silence),
        OTHER_VOICE: lambda name: others[name],
        "mean_mel": lambda name: fit_frames(mean_mel(model), len(features[name]), silence),
    }
    clips = {system: sorted(pairs if system == "mismatched" else ids) for system in ("generated", *controls)}
    for system, names in clips.items():
        folder = spread["where"] / "mels" / system
        write_yaml(folder / "kind.yaml", to_mapping(model.assets.mel))
        with ArchiveWriter(folder / "feats.ark", folder / "feats.scp") as archive:
            for name in names:
                archive.write(name, mel_of[system](name))
    return clips, seconds / max(1e-9, sum(frames[name] for name in shown) / FRAME_RATE)


def mean_mel(model: Experiment[Regress]) -> np.ndarray:
    """Mean mel (S, bands) of the training clips at each time.

    Raises:
        LipsoundError: the experiment has no mean mel.
    """
    mean = model.assets.mean_by_time
    if mean is None:
        raise LipsoundError(
            f"{model.path}: has no {MEAN_FILE}, which --controls mean_mel needs; copy or train it again"
        )
    return mean


class GeneratedMels(NamedTuple):
    """Mels that a model generated, by clip id.

    Attributes:
        mels: (S, bands).
        alignments: attention, (steps, video frames); empty for models without attention and for clips in windows.
        seconds: of computing, reading and decoding included.
    """

    mels: dict[str, np.ndarray]
    alignments: dict[str, np.ndarray]
    seconds: float


@dataclass(frozen=True)
class GeneratorFactory:
    """Makes the function from clips to mels; picklable.

    Attributes:
        exp: experiment or pack.
        dump: folder of the crops.
        ngpu: GPUs to use: 0 or 1.
        voices: clip -> the clip in whose voice it is spoken, of a model that takes one; empty: of another.
    """

    exp: Path
    dump: Path
    ngpu: int
    voices: Mapping[str, str] = field(default_factory=dict)

    def __call__(self) -> Callable[[Sequence[str]], GeneratedMels]:
        """Load the model; called where it is to run."""
        device = experiment.device_for(self.ngpu)
        model = experiment.load(self.exp, device, task=Regress)
        FaceWatch(model)  # unlike faces are read another way; speak looks at windows of 100 video frames
        crops = Archive(self.dump / model.task.settings.input)
        voices = Archive(self.dump / VOICES) if self.voices else None

        def voices_of(names: Sequence[str]) -> list[torch.Tensor]:
            if voices is None:
                return []
            return [torch.from_numpy(np.stack([voices[self.voices[name]] for name in names])).to(device)]

        def generate(names: Sequence[str]) -> GeneratedMels:
            started = time.perf_counter()
            streams = [crops[name] for name in names]
            if len(names) == 1 and count_frames(streams[0]) > _WHOLE:
                voice = next((each[0].cpu().numpy() for each in voices_of(names)), None)
                mel = windows_of(model, count_frames(streams[0]), voice).whole(iter_frames(streams[0]))
                return GeneratedMels({names[0]: mel}, {}, time.perf_counter() - started)
            clips = [decode(stream) for stream in streams]
            lengths = torch.tensor([len(clip) for clip in clips])
            video = torch.zeros(len(clips), int(lengths.max()), *clips[0].shape[1:], dtype=torch.uint8)
            for row, clip in enumerate(clips):
                video[row, : len(clip)] = torch.from_numpy(clip)
            result = model.model.generate(video.to(device), lengths.to(device), *voices_of(names))
            mels, alignments = {}, {}
            for row, name in enumerate(names):
                frames = int(result.feature_lengths[row])
                mels[name] = result.features[row, :frames].float().cpu().numpy()
                attention = result.attention(row)
                if attention is not None:
                    alignments[name] = attention.float().cpu().numpy()
            return GeneratedMels(mels, alignments, time.perf_counter() - started)

        return generate


@dataclass(frozen=True)
class VocoderFactory:
    """Makes the function from stored mels to OUT/<system>/<id>.wav; picklable.

    Attributes:
        out: folder of the systems, with their mels.
        vocoder: its name.
        mel: its settings.
        ngpu: GPUs to use: 0 or 1.
    """

    out: Path
    vocoder: str
    mel: MelConfig
    ngpu: int

    def __call__(self) -> Callable[[Sequence[tuple[str, str]]], None]:
        """Find the vocoder; called where it is to run."""
        vocoder = find_vocoder(self.vocoder, self.mel, experiment.device_for(self.ngpu))
        open_archive = functools.cache(lambda system: Archive(self.out / "mels" / system))

        def speak(wanted: Sequence[tuple[str, str]]) -> None:
            for system, name in wanted:
                with Spool(self.mel.sample_rate) as spool:
                    for waveform in vocoder.in_chunks(open_archive(system)[name]):
                        spool.add(waveform)
                    spool.write(self.out / system / f"{name}.wav")

        return speak


def write_data(data: DataDir, spoken: Mapping[str, Sequence[str]], out: Path) -> None:
    """Write OUT/data/<system>, a data dir of each system's speech, and OUT/data of the generated speech.

    OUT/data has the times of words too, so that a recognizer can be fine-tuned on it after `lipsound2 mel`.
    """
    # A single clip has no mismatched video, so that system has no speech and no data dir.
    places = {out / "data" / system: system for system in spoken if spoken[system]} | {out / "data": "generated"}
    for place, system in places.items():
        wanted = set(spoken[system])
        tables = ("text", "utt2lang", *(["word_times"] if place == out / "data" else []))
        known = {table: data.table(table) for table in tables}
        DataDir.write(
            place,
            made_by="",
            utt2spk={name: data.utt2spk[name] for name in wanted},
            wav={name: str((out / system / f"{name}.wav").absolute()) for name in wanted},
            **{
                table: {clip: row for clip, row in rows.items() if clip in wanted}
                for table, rows in known.items()
                if rows
            },
        )


def _keep(alignments: Mapping[str, np.ndarray], folder: Path) -> None:
    """Write attention as an archive, and as a PNG for each clip: video frames upwards, decoder steps to the right."""
    with ArchiveWriter(folder / "feats.ark", folder / "feats.scp") as archive:
        for name in sorted(alignments):
            archive.write(name, alignments[name])
            write_bytes(folder / f"{name}.png", attention_image(alignments[name], scale=4))
