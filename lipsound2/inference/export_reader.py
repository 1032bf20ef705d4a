"""Recognizers and language models as folders of ONNX networks, which `transcribe --onnx` runs without torch.

Each network is compared with torch on inputs of other lengths than the traced one before the folder is complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lipsound2 import model_names
from lipsound2.audio.kind import AUDIO
from lipsound2.audio.mel_settings import SPEECH
from lipsound2.config import to_mapping
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.decoding.calibration import FILE as CALIBRATION
from lipsound2.decoding.search_options import FILE as SEARCH
from lipsound2.errors import LipsoundError
from lipsound2.experiment import Experiment
from lipsound2.files import folder_lock, sha256, told_size
from lipsound2.inference.face_watch import with_clip_statistics
from lipsound2.inference.familiar_faces import familiarity_of, trunk_of
from lipsound2.inference.familiarity import FILE as FAMILIARITY
from lipsound2.inference.onnx_folder import (
    DECODER,
    ENCODER,
    LANGUAGE,
    LANGUAGE_MODEL,
    MEMORY,
    READER,
    TRUNK,
    UNLIKE,
    ExportedFolder,
    is_exported,
)
from lipsound2.inference.onnx_session import open_session
from lipsound2.inference.onnx_translation import largest_difference, quantize, require_onnx, translate, write
from lipsound2.models.asr.language_model import TransformerLM
from lipsound2.models.asr.recognizer import Recognizer, RecognizerOutput
from lipsound2.models.asr.text_decoder import TextDecoder
from lipsound2.models.modules.lip_encoder import LipEncoder
from lipsound2.models.modules.lip_trunk import LipTrunk
from lipsound2.models.modules.transformer import Transformer
from lipsound2.tasks.language import Language
from lipsound2.tasks.recognize import Recognize
from lipsound2.timing import FRAME_RATE
from lipsound2.video.align import REGIONS

# Video frames of the clip that is traced, and of those that are compared: all of different lengths.
_SHOWN = 30
CHECKED = (5, 40, 101)
_BEAMS = (1, 3, 4)  # texts of the decoder's steps that are compared; with the number of tokens before each step rising
TOLERANCE = 1e-3  # largest difference of log-probabilities in fp32


def _outputs(found: RecognizerOutput) -> tuple[Tensor, ...]:
    words = () if found.word_scores is None else (found.word_scores.log_softmax(-1),)
    return (found.states, found.log_probs, *words)


class WholeClip(nn.Module):
    """A recognizer as it is exported: one clip to states and natural log-probabilities; see `OnnxRecognizer.encode`."""

    def __init__(self, model: Recognizer) -> None:
        super().__init__()
        self.model = model

    def forward(self, clip: Tensor) -> tuple[Tensor, ...]:
        """(1, T, ...) crops or features."""
        return _outputs(self.model(clip, torch.full((1,), clip.shape[1], dtype=torch.int64)))


class BehindTrunk(nn.Module):
    """The same of a lip reader, from the states (1, T, D) of its trunk on."""

    def __init__(self, model: Recognizer) -> None:
        super().__init__()
        assert isinstance(model.encoder, LipEncoder)
        self.model, self.encoder = model, model.encoder

    def forward(self, seen: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        lengths = torch.full((1,), seen.shape[1], dtype=torch.int64)
        return _outputs(self.model.heads(self.encoder.behind_trunk(seen, lengths), lengths))


class Trunk(nn.Module):
    """The states (1, T, D) that a trunk of lips makes of a clip (1, T, side, side)."""

    def __init__(self, trunk: LipTrunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, clip: Tensor) -> Tensor:
        """See the class."""
        states: Tensor = self.trunk(clip, torch.full((1,), clip.shape[1], dtype=torch.int64))
        return states


class Seen(nn.Module):
    """A decoder's memory (1, layers, 2, heads, S, width / heads) of the states (1, S, width) of a clip."""

    def __init__(self, decoder: TextDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, states: Tensor) -> Tensor:
        """See the class."""
        return self.decoder.begin(states[0])[0]


class DecoderStep(nn.Module):
    """One token more for each of some texts; see `joint.DecoderScorer`."""

    def __init__(self, decoder: TextDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, tokens: Tensor, rows: Tensor, past: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) tokens of texts that go on from (B,) rows of the memory `past` of the step before."""
        scores, grown = self.decoder.step(tokens, seen, past.index_select(0, rows))
        return scores.log_softmax(-1), grown


class LanguageStep(nn.Module):
    """One token more for each of some texts; see `TransformerLM.step`."""

    def __init__(self, model: TransformerLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, lengths: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) tokens of texts that have (B,) lengths tokens in the memory `past`."""
        scores, own = self.model.step(tokens, past, lengths)
        return scores.log_softmax(-1), own


@dataclass
class _Written:
    """Networks written so far, and how far they are from torch's.

    Attributes:
        folder: they go to.
        int8: whether their linear layers are rounded.
        difference: the largest of log-probabilities.
        same: share of frames, or steps, in which the most probable token is the same.
    """

    folder: Path
    int8: bool
    difference: float = 0.0
    same: list[float] = field(default_factory=list)

    def add(
        self,
        name: str,
        network: nn.Module,
        given: Mapping[str, Tensor],
        free: Mapping[str, Sequence[int]],
        found: Sequence[str],
    ) -> Callable[..., list[np.ndarray]]:
        """Write one network. Returns what runs it, on tensors."""
        path = self.folder / name
        exact = self.folder / f"exact-{name}" if self.int8 else path
        write(translate(network.eval(), given, free, found), exact, beside=True)
        if self.int8:
            quantize(exact, path)
            for each in self.folder.glob(f"{exact.name}*"):
                each.unlink()
        session = open_session(path)
        names = [each.name for each in session.get_inputs()]
        return lambda *tensors: session.run(
            None, {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        )

    def compare(self, wanted: Tensor, found: np.ndarray) -> None:
        """Of log-probabilities (..., tokens)."""
        self.difference = max(self.difference, largest_difference(wanted.numpy(), found))
        if wanted.shape == found.shape:
            self.same.append(float((wanted.numpy().argmax(-1) == found.argmax(-1)).mean()))


def export_folder(loaded: Experiment[Any], out: Path, precision: str) -> None:
    """Write the folder of a recognizer, or of a language model.

    Args:
        loaded: of the task recognize or language.
        out: a new or empty folder, or that of an earlier export.
        precision: `fp32`, or `int8` for the linear layers.

    Raises:
        LipsoundError: it cannot be exported; the folder holds something else; torch and onnxruntime differ too much.
    """
    facts = _reader_facts(loaded) if isinstance(loaded.task, Recognize) else _language_facts(loaded)
    faces = familiarity_of(loaded)
    require_onnx()
    with _new_folder(out, loaded.path.resolve().name) as folder:
        written = _Written(folder, precision == "int8")
        with torch.inference_mode():
            if isinstance(loaded.model, Recognizer):
                _write_reader(loaded.model, written, facts["side"], trunk_of(loaded.model) if faces else None)
            elif isinstance(loaded.model, TransformerLM):
                _write_language(loaded.model, written)
        if not written.int8 and not written.difference <= TOLERANCE:
            raise LipsoundError(
                f"{loaded.path}: onnxruntime and torch differ too much (largest difference of log-probabilities "
                f"{written.difference:.1e}, wanted {TOLERANCE:.0e}), so {out} was not written; other versions of "
                "onnxscript and onnxruntime may help"
            )
        loaded.task.save(loaded.assets, folder)
        beside = (model_names.CARD, model_names.CONFIG, SEARCH, CALIBRATION, *([FAMILIARITY] if faces else []))
        for name in beside:
            if (loaded.path / name).exists():
                shutil.copyfile(loaded.path / name, folder / name)
        made = ExportedFolder(
            **facts,
            name=loaded.path.resolve().name,
            source=sha256(loaded.path / model_names.WEIGHTS),
            precision="int8" if written.int8 else "fp32",
            difference=written.difference,
            files={path.name: sha256(path) for path in sorted(folder.iterdir())},
        )
        write_yaml(folder / model_names.EXPORT, to_mapping(made))
    size = sum(path.stat().st_size for path in out.iterdir() if path.is_file())
    same = f"; the same best token in {100 * np.mean(written.same):.1f} % of them" if written.int8 else ""
    print(f"{out}: {told_size(size)}, {made.kind} of {made.name}, {precision}")
    print(f"onnxruntime and torch: log-probabilities differ by {written.difference:.1e} at most{same}")
    if license_ := model_names.card_facts(out).get("License"):
        print(f"license  {license_}")
    use = "--onnx READER --lm {}" if made.kind == LANGUAGE_MODEL else "--onnx {}"
    print(f"use it with: lipsound2 transcribe CLIP {use.format(out)}")


def _reader_facts(loaded: Experiment[Recognize]) -> dict[str, Any]:
    settings, model = loaded.task.settings, loaded.model
    if settings.input != AUDIO and settings.input not in REGIONS:
        raise LipsoundError(
            f"{loaded.path}: reads '{settings.input}', the states of a trunk; a recognizer of audio or of "
            f"{' or '.join(REGIONS)} crops can be exported"
        )
    facts = {
        "kind": READER,
        "knows": loaded.knows,
        "input": settings.input,
        "language": settings.language,
        "side": 0 if settings.input == AUDIO else REGIONS[settings.input].size,
        "seconds": model.stride / loaded.task.rate / FRAME_RATE,
    }
    decoder = model.decoder
    return facts if decoder is None else facts | {"boundary": decoder.boundary, "memory": _memory(decoder.layers)}


def _language_facts(loaded: Experiment[Language]) -> dict[str, Any]:
    model = loaded.model
    return {"kind": LANGUAGE_MODEL, "boundary": model.boundary, "memory": _memory(model.layers)}


def _memory(layers: Transformer) -> tuple[int, int, int]:
    _, count, _, heads, _, width = layers.nothing().shape
    return count, heads, width


def _write_reader(model: Recognizer, written: _Written, side: int, trunk: LipTrunk | None) -> None:
    """Write a recognizer; one that tells unlike faces in parts: its trunk, the same for these, and what is behind it.

    Args:
        model: the recognizer.
        written: where to.
        side: of crops in pixels; 0: it hears audio.
        trunk: its own, where it tells unlike faces; None: it does not.
    """
    outputs = ["states", "log_probs", *([] if model.words is None else ["word_log_probs"])]
    shown, any_length = _clip(_SHOWN, side), {"clip": [1], "seen": [1]}
    entrances: list[tuple[Callable[..., Any], Callable[..., Any]]] = []  # of torch, and of onnxruntime
    network: nn.Module = WholeClip(model)
    if trunk is None:
        run = written.add(ENCODER, network, {"clip": shown}, any_length, outputs)
        entrances.append((lambda clip: clip, lambda clip: clip))
    else:
        for name, part in ((TRUNK, Trunk(trunk)), (UNLIKE, Trunk(with_clip_statistics(trunk)))):
            entrances.append((part, _only(written.add(name, part, {"clip": shown}, any_length, ["seen"]))))
        network = BehindTrunk(model)
        run = written.add(ENCODER, network, {"seen": entrances[0][0](shown)}, any_length, outputs)
    for enter, enter_exported in entrances:
        for length in CHECKED:
            clip = _clip(length, side)
            wanted, found = network(enter(clip)), run(enter_exported(clip))
            for each, other in zip(wanted[1:], found[1:], strict=True):
                written.compare(each, other)
    if model.decoder is not None:
        _write_decoder(model.decoder, written, wanted[0])


def _only(run: Callable[..., list[np.ndarray]]) -> Callable[[Tensor], Tensor]:
    """The one output of an exported network, as a tensor."""
    return lambda given: torch.from_numpy(run(given)[0])


def _write_decoder(decoder: TextDecoder, written: _Written, states: Tensor) -> None:
    """Write a decoder; `states` (1, S, width) are of a clip on which it is compared."""
    remember, step = Seen(decoder), DecoderStep(decoder)
    run = written.add(MEMORY, remember, {"states": states[:, :_SHOWN]}, {"states": [1]}, ["seen"])
    seen, found_seen = remember(states), run(states)[0]
    layers, heads, width = _memory(decoder.layers)
    past = torch.zeros(_SHOWN + 2, layers, 2, heads, 5, width)
    tokens = torch.zeros(_SHOWN + 1, dtype=torch.int64)
    given = {"tokens": tokens, "rows": tokens, "past": past, "seen": seen[..., : _SHOWN - 1, :]}
    free = {"tokens": [0], "rows": [0], "past": [0, 4], "seen": [4]}
    run_step = written.add(DECODER, step, given, free, ["log_probs", "grown"])
    past = decoder.layers.nothing()
    found_past: np.ndarray = past.numpy()
    tokens = torch.tensor([decoder.boundary])
    for texts in _BEAMS:
        rows = torch.arange(texts) % len(past)
        wanted, past = step(tokens.expand(texts), rows, past, seen)
        found, found_past = run_step(
            tokens.expand(texts).contiguous(), rows, torch.from_numpy(found_past), torch.from_numpy(found_seen)
        )
        written.compare(wanted, found)
        tokens = wanted[:1].argmax(-1)


def _write_language(model: TransformerLM, written: _Written) -> None:
    network = LanguageStep(model)
    layers, heads, width = _memory(model.layers)
    some = torch.zeros(_SHOWN, dtype=torch.int64)
    given = {"tokens": some, "lengths": some, "past": torch.zeros(_SHOWN, layers, 2, heads, 5, width)}
    run = written.add(LANGUAGE, network, given, {"tokens": [0], "lengths": [0], "past": [0, 4]}, ["log_probs", "own"])
    tokens, past = torch.tensor([model.boundary]), model.nothing()
    for length in range(len(CHECKED)):
        lengths = torch.full((1,), length)
        wanted, own = network(tokens, lengths, past)
        written.compare(wanted, run(tokens, lengths, past)[0])
        tokens, past = wanted.argmax(-1), torch.cat([past, own], 4)
    # Two texts of unlike lengths in one batch.
    both = (
        tokens.expand(2).contiguous(),
        torch.tensor([1, len(CHECKED)]),
        past.expand(2, -1, -1, -1, -1, -1).contiguous(),
    )
    written.compare(network(*both)[0], run(*both)[0])


def _clip(length: int, side: int) -> Tensor:
    """Random crops (1, length, side, side), or features (1, 4 length + 1, bands) of audio; the same on every call."""
    rng = np.random.default_rng(length)
    if side:
        return torch.from_numpy(rng.integers(0, 256, (1, length, side, side), np.uint8))
    return torch.from_numpy(rng.normal(0, 1, (1, 4 * length + 1, SPEECH.bands)).astype(np.float32))


@contextmanager
def _new_folder(out: Path, name: str) -> Iterator[Path]:
    """A folder to write into, whose files take the place of an earlier export of the model `name` once all are there.

    Raises:
        LipsoundError: `out` holds something else, or another run holds it.
    """
    others = [*out.glob("[!.]*")] if out.exists() else []
    if others and not is_exported(out):
        raise LipsoundError(f"{out}: holds other files and is no export; choose a new or an empty folder")
    if others and (there := read_yaml(out / model_names.EXPORT).get("name")) != name:
        raise LipsoundError(
            f"{out}: is an export of the model '{there}', which would be lost; choose a new or an empty folder"
        )
    with folder_lock(out, "export"):
        work = out / ".export"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            yield work
            earlier = read_yaml(out / model_names.EXPORT).get("files", {}) if others else {}
            (out / model_names.EXPORT).unlink(missing_ok=True)
            made = sorted(work.iterdir(), key=lambda path: path.name == model_names.EXPORT)  # that one completes it
            for name in earlier:
                (out / Path(name).name).unlink(missing_ok=True)
            for path in made:
                path.replace(out / path.name)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    (out / ".lock").unlink(missing_ok=True)
