"""The verb `export`: networks that run without torch, compared with torch before they are kept.

Lip-to-speech models and vocoders become one ONNX file (`speak --onnx`), recognizers and language models a folder
(`transcribe --onnx`, see `export_reader`).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lipsound2 import experiment, model_names
from lipsound2.config import to_mapping
from lipsound2.errors import LipsoundError
from lipsound2.experiment import Experiment
from lipsound2.files import atomic_path, told_size
from lipsound2.inference.export_reader import export_folder
from lipsound2.inference.familiar_faces import familiarity_of
from lipsound2.inference.onnx import LIPS, NOTE, OUTPUTS, VOCODER, Exported, Note
from lipsound2.inference.onnx_translation import largest_difference, require_onnx, translate, write
from lipsound2.inference.vocoder_names import AUTO, GRIFFIN_LIM, vocoder_of
from lipsound2.models.lipsound2 import LipSound2
from lipsound2.models.parallel import Parallel
from lipsound2.models.vocoders.hifigan import HifiGan, fold_norms
from lipsound2.models.vocoders.vocos import Vocos
from lipsound2.outputs import Output, check_file
from lipsound2.tasks.base import AnyTask
from lipsound2.tasks.language import Language
from lipsound2.tasks.recognize import Recognize
from lipsound2.tasks.regress import Regress
from lipsound2.tasks.vocode import Vocode
from lipsound2.video.align import REGIONS

# Video frames, or mel frames, of the clip that is traced, and of the clips that are compared: all of different lengths.
_SHOWN = 30
CHECKED = {LIPS: (5, 40, 101), VOCODER: (3, 200, 801)}
# Largest difference allowed: of natural log-mels, of samples.
TOLERANCE = {LIPS: 1e-3, VOCODER: 1e-4}


def export(
    exp: str,
    out: Annotated[Path, Output((".onnx",), folder=True)],
    *,
    precision: Literal["fp32", "int8"] = "fp32",
) -> None:
    """Export a model to ONNX, for clips of any length: it then runs without torch, by speak or transcribe --onnx.

    Before anything is kept, the outputs of onnxruntime and torch are compared on clips of three lengths.

    Args:
        exp: experiment or pack, or the name of one: a lip-to-speech model (parallel), a vocoder (HiFi-GAN or Vocos), a
            recognizer of audio or of lips, or a language model.
        out: file to write for a lip-to-speech model or vocoder, such as lips.onnx; folder to write for a recognizer or
            language model.
        precision: precision of the linear layers of a recognizer or language model; int8 makes smaller files.
    """
    task = model_names.task_of(exp)
    if task in (Recognize.name, Language.name):
        if out.suffix.lower() == ".onnx":
            raise LipsoundError(
                f"{out}: {exp} becomes several networks and their tokens; give a folder, such as {out.with_suffix('')}"
            )
        export_folder(experiment.load(exp, task=Recognize if task == Recognize.name else Language), out, precision)
        return
    check_file(out, suffixes=(".onnx",))
    if precision != "fp32":
        raise LipsoundError(f"{exp}: only recognizers and language models are exported as int8; leave --precision out")
    asked = vocoder_of(AUTO, exp) if task == Regress.name else GRIFFIN_LIM
    network, note, given = prepare(exp)
    require_onnx()
    example = torch.from_numpy(given(_SHOWN))[None]
    program = translate(network, {"given": example}, {"given": [1]}, OUTPUTS[note.kind])
    with atomic_path(out) as temporary:
        write(program, temporary, metadata(note))
        differences = compare(network, Exported(temporary), [given(length) for length in CHECKED[note.kind]])
        if not max(differences) <= TOLERANCE[note.kind]:
            raise LipsoundError(
                f"{exp}: onnxruntime and torch differ too much (largest difference {max(differences):.1e}, wanted "
                f"{TOLERANCE[note.kind]:.0e}), so {out} was not written; other versions of onnxscript and onnxruntime "
                "may help"
            )
        write(program, temporary, metadata(replace(note, difference=max(differences))))
    by_length = ", ".join(
        f"{length}: {value:.1e}" for length, value in zip(CHECKED[note.kind], differences, strict=True)
    )
    what = "video frames" if note.kind == LIPS else "mel frames"
    print(f"{out}: {told_size(out.stat().st_size)}, {note.kind} of {note.name}")
    print(f"onnxruntime and torch differ by {max(differences):.1e} at most (by {what}: {by_length})")
    if note.familiarity:
        print("unlike faces are told of, but read like all others; torch reads them by the statistics of their clip")
    use = f"{out}" if note.kind == LIPS else f"LIPS.onnx,{out}"
    if asked != GRIFFIN_LIM:
        print(f"its pack asks for a vocoder, without which Griffin-Lim speaks: lipsound2 export {asked} {asked}.onnx")
        use += f",{asked}.onnx"
    print(f"use it with: lipsound2 speak CLIP -o OUT.wav --onnx {use}")


def metadata(note: Note) -> dict[str, str]:
    """A note as an ONNX file keeps it."""
    return {NOTE: json.dumps(asdict(note))}


class WholeClip(nn.Module):
    """The parallel model as it is exported: video frames (1, T, side, side) uint8 to natural features (1, S, D), and to
    the states (1, T, outputs) of its trunk, by which unlike faces are told."""

    def __init__(self, model: Parallel) -> None:
        super().__init__()
        assert model.encoder.trunk is not None
        self.model, self.trunk = model, model.encoder.trunk

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        lengths = torch.full((1,), video.shape[1], dtype=torch.int64)
        seen = self.trunk(video, lengths)
        encoded = self.model.encoder.behind_trunk(seen, lengths)
        return self.model.natural(self.model.behind_encoder(encoded, lengths).features), seen


class Lengths:
    """Makes random clips for the exporter and the comparison, the same on every call.

    Args:
        shape: of a video frame, or of a mel frame.
        frames: uint8 video frames; otherwise float32 log-mels.
    """

    def __init__(self, shape: Sequence[int], frames: bool) -> None:
        self._shape, self._frames = shape, frames

    def __call__(self, length: int) -> np.ndarray:
        """(length, ...)."""
        rng = np.random.default_rng(length)
        if self._frames:
            return rng.integers(0, 256, (length, *self._shape), np.uint8)
        return rng.normal(-4, 2, (length, *self._shape)).astype(np.float32)


def prepare(exp: str) -> tuple[nn.Module, Note, Lengths]:
    """The network to export, its metadata, and the maker of its test clips.

    Raises:
        LipsoundError: it cannot be exported.
    """
    match model_names.task_of(exp):
        case Regress.name:
            return _lips(experiment.load(exp, task=Regress))
        case Vocode.name:
            return _vocoder(experiment.load(exp, task=Vocode))
    raise _refused(experiment.load(exp), "it makes no speech")


def _lips(loaded: Experiment[Regress]) -> tuple[nn.Module, Note, Lengths]:
    model, assets, region = loaded.model, loaded.assets, loaded.task.settings.input
    if not isinstance(model, Parallel):
        steps = "its attention decoder is autoregressive"
        raise _refused(loaded, steps if isinstance(model, LipSound2) else "it makes no speech")
    if region not in REGIONS:
        raise _refused(loaded, f"it reads '{region}', not the crops of {' or '.join(REGIONS)}")
    side = REGIONS[region].size
    note = Note(
        LIPS,
        loaded.path.name,
        loaded.knows,
        to_mapping(assets.mel),
        region=region,
        side=side,
        ratio=assets.ratio,
        mean=tuple(model.target_mean.tolist()),
        std=tuple(model.target_std.tolist()),
        familiarity=b64encode(faces.to_bytes()).decode() if (faces := familiarity_of(loaded)) else "",
    )
    return WholeClip(model).eval(), note, Lengths((side, side), frames=True)


def _vocoder(loaded: Experiment[Vocode]) -> tuple[nn.Module, Note, Lengths]:
    model, mel = loaded.model, loaded.assets.mel
    if not isinstance(model, HifiGan | Vocos):
        raise _refused(loaded, "it samples noise while it runs")
    fold_norms(model)
    note = Note(VOCODER, loaded.path.name, loaded.knows, to_mapping(mel), receptive_field=model.receptive_field)
    return model, note, Lengths((mel.bands,), frames=False)


def _refused(loaded: Experiment[AnyTask], why: str) -> LipsoundError:
    return LipsoundError(
        f"{loaded.path}: this {type(loaded.model).__name__} (task '{loaded.task.name}') cannot be exported: {why}; "
        "models that can be exported: the parallel model of the task regress, HiFi-GAN and Vocos of the task vocode, "
        "recognizers, language models"
    )


@torch.inference_mode()
def compare(network: nn.Module, exported: Exported, clips: Sequence[np.ndarray]) -> list[float]:
    """Largest difference of their mels, or samples, for each clip; infinite where shapes differ."""
    differences = []
    for clip in clips:
        wanted = network(torch.from_numpy(clip)[None])
        said = wanted[0] if isinstance(wanted, tuple) else wanted  # what is seen comes second
        differences.append(largest_difference(said[0].numpy(), exported(clip)))
    return differences
