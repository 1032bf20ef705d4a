"""Speech from an experiment for every clip of a data dir, with the three controls that tell what its scores are worth.

* `generated`: the model shown the clip;
* `real_mel`: the real mel through the same vocoder, the ceiling of every model with this mel;
* `mismatched`: the model shown **another** sentence of the same speaker; what is left when lips are not read;
* `mean_mel`: the training mean mel at each time position; what is left when nothing is seen.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from lipsound2 import experiment
from lipsound2.archive import Archive, ArchiveWriter
from lipsound2.audio.sound import write_wav
from lipsound2.audio.vocoder import Vocoder
from lipsound2.audio.vocoder import vocoder as find_vocoder
from lipsound2.config import write_yaml
from lipsound2.datadir import DataDir, read_table
from lipsound2.errors import LipsoundError
from lipsound2.experiment import Experiment
from lipsound2.files import folder_lock, sweep
from lipsound2.stamp import Stamp
from lipsound2.video.encode import decode

log = logging.getLogger(__name__)

CONTROLS = ("real_mel", "mismatched", "mean_mel")
BATCH = 16


def synthesize(
    exp: Path,
    dir: Path,
    out: Path,
    *,
    dump: Path,
    vocoder: str = "griffin-lim",
    controls: tuple[str, ...] = CONTROLS,
    ngpu: int = 0,
) -> None:
    """Speak every clip of a data dir: OUT/<system>/<id>.wav, mels, attention pictures; OUT/data lists the speech.

    Args:
        exp: experiment or pack.
        dir: data dir of the clips.
        out: folder to write; one folder a system below it.
        dump: folder of the archives that stages 1 and 2 left.
        vocoder: griffin-lim, griffin-lim:ITERATIONS, or the folder of a neural vocoder.
        controls: control systems to speak beside the model, separated by commas.
        ngpu: GPUs to use: 0 or 1.
    """
    for name in controls:
        if name not in CONTROLS:
            raise LipsoundError(f"--controls: unknown control '{name}'; one of {', '.join(CONTROLS)}")
    data = DataDir(dir)
    device = experiment.device_for(ngpu)
    model = experiment.load(exp, device, "regress")
    made_of = [model.path / experiment.WEIGHTS, model.path / experiment.CONFIG]
    inputs = [*made_of, dir, dump / model.task.settings.input, dump / model.task.settings.target]
    stamp = Stamp(out, "synthesize", {"vocoder": vocoder, "controls": controls}, inputs)
    if stamp.fresh():
        print(f"{out}: done already with these inputs and options; skipped")
        return
    speak = find_vocoder(vocoder, model.task.mel)
    with folder_lock(out, "synthesize"):
        stamp.clear()
        for folder in filter(Path.is_dir, out.rglob("*")):
            sweep(folder)
        mels, speed = _mels(model, data, dump, controls, out, device)
        for system, clips in mels.items():
            with ArchiveWriter(out / "mels" / system / "feats.ark", out / "mels" / system / "feats.scp") as archive:
                for name in sorted(clips):
                    archive.write(name, clips[name])
            _speak(clips, speak, out / system, system)
        write_data(data, mels["generated"], out)
        write_yaml(
            out / "origin.yaml",
            {
                "data": str(dir),
                "dump": str(dump),
                "input": model.task.settings.input,
                "target": model.task.settings.target,
                "vocoder": vocoder,
                "controls": list(controls),
                "clips": len(mels["generated"]),
                "real_time_factor_of_the_model": round(speed, 4),
            },
        )
        stamp.write()
    print(f"{out}: {len(mels['generated'])} clips, {len(mels)} systems; real-time factor of the model {speed:.3f}")


def _mels(
    model: Experiment, data: DataDir, dump: Path, controls: Iterable[str], out: Path, device: torch.device
) -> tuple[dict[str, dict[str, np.ndarray]], float]:
    """Mels (S, bands) of every system by clip, and the seconds of computing a second of picture took."""
    crops, features = Archive(dump / model.task.settings.input), Archive(dump / model.task.settings.target)
    ids = [name for name in data.ids if name in crops and name in features]
    if not ids:
        raise LipsoundError(f"{data.path}: none of its {len(data.ids)} clips is in {dump}; run stages 1 and 2 first")
    if len(ids) < len(data.ids):
        log.warning("%d of %d clips failed earlier stages and are left out", len(data.ids) - len(ids), len(data.ids))
    pairs = mismatched_pairs(data, ids) if "mismatched" in controls else {}
    shown = sorted({*ids, *pairs.values()})
    frames = crops.frames()
    started = time.perf_counter()
    spoken = dict(_generate(model, crops, sorted(shown, key=frames.__getitem__), out / "alignments", device))
    speed = (time.perf_counter() - started) / max(1e-9, sum(frames[name] for name in shown) / 25)

    real = {name: np.asarray(features[name], np.float32) for name in ids}
    mels = {"generated": {name: spoken[name] for name in ids}}
    silence = float(np.log(model.task.mel.floor))
    for control in controls:
        if control == "real_mel":
            mels[control] = real
        elif control == "mismatched":
            mels[control] = {name: _fit(spoken[other], len(real[name]), silence) for name, other in pairs.items()}
        else:
            mels[control] = {name: _fit(model.task.mean_by_time, len(real[name]), silence) for name in ids}
    return mels, speed


def _generate(
    model: Experiment, crops: Archive, ids: list[str], pictures: Path, device: torch.device
) -> Iterator[tuple[str, np.ndarray]]:
    """The model's mel of every clip; attention, where there is one, goes to `pictures` as archive and PNG."""
    alignments: dict[str, np.ndarray] = {}
    bar = tqdm(total=len(ids), desc="generating", unit="clip")
    for start in range(0, len(ids), BATCH):
        names = ids[start : start + BATCH]
        clips = [decode(crops[name]) for name in names]
        lengths = torch.tensor([len(clip) for clip in clips])
        video = torch.zeros(len(clips), int(lengths.max()), *clips[0].shape[1:], dtype=torch.uint8)
        for row, clip in enumerate(clips):
            video[row, : len(clip)] = torch.from_numpy(clip)
        result = model.model.generate(video.to(device), lengths.to(device))  # type: ignore[operator]
        for row, name in enumerate(names):
            if result.alignment is not None:
                # A step says one mel frame or several; what lies beyond the clip is padding.
                steps = -(-int(result.frames[row]) * result.alignment.shape[1] // result.features.shape[1])
                alignments[name] = result.alignment[row, :steps].float().cpu().numpy()
            yield name, result.features[row, : int(result.frames[row])].float().cpu().numpy()
        bar.update(len(names))
    bar.close()
    if alignments:
        with ArchiveWriter(pictures / "feats.ark", pictures / "feats.scp") as archive:
            for name in sorted(alignments):
                archive.write(name, alignments[name])
        _draw(alignments, pictures)


def _speak(clips: Mapping[str, np.ndarray], speak: Vocoder, folder: Path, system: str) -> None:
    """Vocode every mel into `folder`."""
    for name in tqdm(sorted(clips), desc=f"vocoding {system}", unit="clip"):
        sound = speak(torch.from_numpy(np.ascontiguousarray(clips[name])))
        write_wav(folder / f"{name}.wav", sound.cpu().numpy())


def write_data(data: DataDir, ids: Iterable[str], out: Path) -> None:
    """Write OUT/data, a data dir of the generated speech: what a recogniser is fine-tuned on, after `lipsound2 mel`."""
    known = {table: data.table(table) for table in ("text", "word_times", "utt2lang")}
    wanted = set(ids)
    DataDir.write(
        out / "data",
        utt2spk={name: data.utt2spk[name] for name in wanted},
        wav={name: str((out / "generated" / f"{name}.wav").absolute()) for name in wanted},
        **{table: {name: row for name, row in rows.items() if name in wanted} for table, rows in known.items() if rows},
    )


def mismatched_pairs(data: DataDir, ids: list[str]) -> dict[str, str]:
    """For each clip another one of the same speaker, to be shown to the model instead.

    The data dir's table `mismatched` when it has one, else a fixed derangement: each speaker's clips, in order of id,
    turned by half their number, so that neighbours in name (and so in words) are not paired.
    """
    table = data.path / "mismatched"
    if table.exists():
        known = set(ids)
        return {name: other for name, other in read_table(table).items() if name in known and other in known}
    pairs = {}
    for speaker in sorted(set(data.utt2spk.values())):
        own = [name for name in ids if data.utt2spk[name] == speaker]
        for position, name in enumerate(own):
            other = own[(position + max(1, len(own) // 2)) % len(own)]
            if other != name:
                pairs[name] = other
    return pairs


def _fit(mel: np.ndarray, frames: int, fill: float) -> np.ndarray:
    """`mel` (S, bands) cut to `frames`, or filled up with silence."""
    missing = max(0, frames - len(mel))
    return np.pad(mel[:frames], ((0, missing), (0, 0)), constant_values=fill).astype(np.float32)


def _draw(alignments: Mapping[str, np.ndarray], folder: Path) -> None:
    """One PNG a clip: attention over pictures (upwards) for every decoder step (to the right)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for name, weights in tqdm(sorted(alignments.items()), desc="drawing attention", unit="clip"):
        figure, axes = pyplot.subplots(figsize=(5, 3), dpi=80, layout="constrained")
        axes.imshow(weights.T, origin="lower", aspect="auto", cmap="magma", vmin=0)
        axes.set(xlabel="decoder step", ylabel="picture", title=name)
        figure.savefig(folder / f"{name}.png")
        pyplot.close(figure)
