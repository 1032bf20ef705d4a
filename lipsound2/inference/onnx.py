"""Exported networks (`lipsound2 export`), run by onnxruntime: speech without torch."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lipsound2.audio.griffin_lim_numpy import mel_to_waveform
from lipsound2.audio.mel_settings import MelConfig, same_mel
from lipsound2.config import from_mapping
from lipsound2.data.json_text import parse_json
from lipsound2.data.shapes import checked
from lipsound2.errors import LipsoundError
from lipsound2.inference.familiarity import Familiarity, WatchedFace
from lipsound2.inference.onnx_session import open_session
from lipsound2.inference.vocoder_names import AUTO, GRIFFIN_LIM, iterations_of
from lipsound2.inference.windows import GRIFFIN_LIM_CHUNK, GRIFFIN_LIM_REACH, ChunkedVocoder, Windows

NOTE = "lipsound2"  # key of the file's metadata under which `Note` stands, as JSON
LIPS, VOCODER = "lips", "vocoder"
# What comes out, by kind: mel or samples; of a lip-to-speech model the states of its trunk, too.
OUTPUTS = {LIPS: ("said", "seen"), VOCODER: ("said",)}


@dataclass(frozen=True)
class Note:
    """Metadata of an exported file.

    Attributes:
        kind: `lips`, a lip-to-speech model, or `vocoder`.
        name: of the experiment.
        knows: voices and words it knows.
        mel: keys of the `MelConfig` of its output, or of a vocoder's input.
        region: of a lip-to-speech model: feature type of its crops.
        side: likewise: their side in pixels.
        ratio: likewise: mel frames per video frame.
        mean: likewise: the training set's mean of every band, natural logarithm. The output is denormalized already.
        std: likewise: its standard deviation.
        familiarity: likewise: what tells unlike faces, the file of a pack in base64; empty: nothing does.
        receptive_field: of a vocoder: mel frames a sample depends on, to either side.
        difference: largest difference from torch found when it was exported.
    """

    kind: str
    name: str
    knows: str
    mel: Mapping[str, Any]
    region: str = ""
    side: int = 0
    ratio: float = 0.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    familiarity: str = ""
    receptive_field: int = 0
    difference: float = 0.0


def read_note(text: str, where: str) -> tuple[Note, MelConfig]:
    """Parse the metadata of an exported file; returns it and the mel.

    Raises:
        LipsoundError: it is no such metadata.
    """
    note: Note = checked(parse_json(text, f"{where}, its note"), Note, f"{where}, its note")
    return note, from_mapping(MelConfig, note.mel, f"{where}, its mel")


class Exported:
    """One exported network.

    Args:
        path: the file.
        threads: it may use; 0: as many as OMP_NUM_THREADS says, else all cores.

    Attributes:
        path: the file.
        note: its metadata.
        mel: its mel.
        face: of a lip-to-speech model: of the clip whose windows it was shown last.

    Raises:
        LipsoundError: no such file, no ONNX file, or not written by `lipsound2 export`.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        if not path.is_file():
            raise LipsoundError(f"{path}: no such file; write it with: lipsound2 export EXP {path}")
        self.path = path
        self._session = open_session(path, threads)
        note = self._session.get_modelmeta().custom_metadata_map.get(NOTE)
        if note is None:
            raise LipsoundError(
                f"{path}: is an ONNX file that lipsound2 did not write; write one with: lipsound2 export"
            )
        self.note, self.mel = read_note(note, str(path))
        self.face = WatchedFace(self._familiarity(), path.name)
        self._input = self._session.get_inputs()[0].name

    def _familiarity(self) -> Familiarity | None:
        """What tells unlike faces; None: nothing."""
        if not self.note.familiarity:
            return None
        again = "write it again with: lipsound2 export"
        try:
            content = b64decode(self.note.familiarity, validate=True)
        except ValueError as error:
            raise LipsoundError(f"{self.path}, its note: familiarity is no base64 ({error}); {again}") from error
        return Familiarity.from_bytes(content, f"{self.path}, its note", again)

    def __call__(self, given: np.ndarray) -> np.ndarray:
        """Mel of crops, or samples of a mel, of one clip (T, ...); of crops, the face is looked at, too.

        Neither input nor output has a batch axis.
        """
        said: np.ndarray
        said, *seen = (each[0] for each in self._session.run(None, {self._input: np.ascontiguousarray(given[None])}))
        if seen and self.face.known is not None:
            self.face.look(seen[0])
        return said

    def windows(self, total: int) -> Windows:
        """Of a lip-to-speech model: mel of a clip of `total` crops, which come one after the other.

        Crops of another size than the network takes are refused.
        """
        self.face.begin()
        return Windows(total, self.note.ratio, self.mel.bands, self._mel_of)

    def _mel_of(self, crops: np.ndarray) -> np.ndarray:
        """Mel of the crops of a window, whose size is checked: what cuts them and this file may be of two versions."""
        side = self.note.side
        if crops.shape[1:] != (side, side):
            found = " x ".join(map(str, crops.shape[1:]))
            raise LipsoundError(
                f"{self.path}: found crops of {found}, wanted {side} x {side}; write it again with: lipsound2 export"
            )
        return self(crops)

    @property
    def chunked_vocoder(self) -> ChunkedVocoder:
        """Of a vocoder: audio of a mel that comes bit by bit."""
        return ChunkedVocoder(self.mel, lambda mel, first, before, kept: self(mel), self.note.receptive_field)


class OnnxLipToSpeech:
    """Crops to speech; see `synthesizer.LipToSpeech`.

    Args:
        files: of a lip-to-speech model, and of a vocoder or none; or the folder of them.
        vocoder: `griffin-lim` or `griffin-lim:N` where no file is a vocoder; `auto`: the file, else Griffin-Lim.

    Raises:
        LipsoundError: other files than these, or their mels differ.
    """

    def __init__(self, files: Sequence[Path], vocoder: str = AUTO) -> None:
        paths = [path for given in files for path in (sorted(given.glob("*.onnx")) if given.is_dir() else [given])]
        loaded = [Exported(path) for path in paths]
        lips, vocoders = ([one for one in loaded if one.note.kind == kind] for kind in (LIPS, VOCODER))
        if len(lips) != 1 or len(vocoders) > 1:
            raise LipsoundError(
                f"--onnx {','.join(map(str, files))}: expected one lip-to-speech model, and one vocoder or none; found "
                f"{len(lips)} and {len(vocoders)}"
            )
        self._lips = lips[0]
        self.name, self.knows, self.region = self._lips.path.name, self._lips.note.knows, self._lips.note.region
        self.mel = self._lips.mel
        second = vocoders[0] if vocoders else None
        self.chunked_vocoder = self._vocoder(second, vocoder)
        self.vocoder = second.path.name if second else GRIFFIN_LIM if vocoder == AUTO else vocoder
        self.takes_voice = False  # one that was trained with voices is exported in its average voice

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt the speech of the last clip."""
        return self._lips.face.warnings

    def windows(self, total: int, voice: np.ndarray | None = None) -> Windows:
        """Mel of a clip of `total` crops, which come one after the other; there is no other voice."""
        return self._lips.windows(total)

    def _vocoder(self, exported: Exported | None, name: str) -> ChunkedVocoder:
        rounds = iterations_of(GRIFFIN_LIM if name == AUTO else name)
        if rounds is None or (exported is not None and name != AUTO):
            raise LipsoundError(
                f"--vocoder {name}: --onnx takes its vocoder as a second file, after a comma (lipsound2 export writes "
                "it), or uses griffin-lim where there is none"
            )
        if exported is None:

            def go_on(mel: np.ndarray, first: int, before: np.ndarray, kept: int) -> np.ndarray:
                return mel_to_waveform(mel, self.mel, rounds, before, kept)

            return ChunkedVocoder(self.mel, go_on, GRIFFIN_LIM_REACH, GRIFFIN_LIM_CHUNK)
        same_mel(exported.mel, self.mel, f"the vocoder {exported.path}")
        return exported.chunked_vocoder
