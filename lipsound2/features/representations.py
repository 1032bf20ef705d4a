"""Acoustic targets of a lip model, by name: features of the audio, one vector a video frame.

    logmel                     the `fine` mel, 80 bands
    mfcc                       13 cepstral coefficients with both orders of slopes, 39
    pase:EXP                   PASE+ of an experiment of the task pase, or of a pack, such as convert-pase makes
    pase:random                the same network with random weights: the control, what its layout alone tells
    hubert:HUBERT_BASE:9       a layer of one of torchaudio's bundles (the last one without a number)
    wav2vec2:WAV2VEC2_BASE:9, wavlm:WAVLM_BASE:9   the same

All of them are averaged over the time of a video frame (4 frames at 100 a second, 2 at 50). That holds for the log-mel
too: stacking would keep more of it, and targets could not be compared. Averaging, and not taking every fourth, keeps
the time of a vector in the middle of its video frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2 import experiment, model_names
from lipsound2.audio.acoustics import cepstrum, deltas
from lipsound2.audio.mel import MELS, mel_spectrogram
from lipsound2.decoding.fetching import fetched
from lipsound2.errors import ClipFailure, LipsoundError, require
from lipsound2.files import sha256
from lipsound2.models.pase.pase import PaseEncoder, PaseEncoderConfig
from lipsound2.tasks.pase import PaseTask
from lipsound2.timing import SAMPLE_RATE, SAMPLES_PER_FRAME

_CONTROL_SEED = 0


@dataclass(frozen=True)
class Representation:
    """Features of audio, made ready to be computed.

    Attributes:
        name: as in --target, without the folders of this machine.
        compute: audio (L,) float32, L a multiple of 640, -> (T, D): T a multiple of the video frames.
        facts: what tells it from another of this name, such as the SHA-256 of its weights.
    """

    name: str
    compute: Callable[[Tensor], Tensor]
    facts: dict[str, Any] = field(default_factory=dict)

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """Features of audio.

        Args:
            waveform: (L,) float32 in [-1, 1] at 16 kHz; what is left of the last whole video frame is not looked at.

        Returns:
            (L // 640, D) float32.

        Raises:
            ClipFailure: `too-short`: less than a video frame's audio; `not-finite`: NaN or infinite samples.
        """
        frames = len(waveform) // SAMPLES_PER_FRAME
        if not frames:
            raise ClipFailure("too-short", f"{len(waveform)} samples of audio, at least {SAMPLES_PER_FRAME} wanted")
        if not np.isfinite(waveform).all():
            raise ClipFailure("not-finite", f"{np.count_nonzero(~np.isfinite(waveform))} samples are no numbers")
        whole = np.ascontiguousarray(waveform[: frames * SAMPLES_PER_FRAME], np.float32)
        with torch.inference_mode():
            features = self.compute(torch.from_numpy(whole))
            if len(features) % frames:
                raise LipsoundError(
                    f"{self.name}: {len(features)} frames for {frames} video frames, wanted as many for each"
                )
            return features.unflatten(0, (frames, -1)).mean(1).numpy()


def representation(name: str) -> Representation:
    """The features of that name.

    Raises:
        LipsoundError: there are none, or what they need cannot be had.
    """
    kind, _, rest = name.partition(":")
    if kind not in _KINDS:
        raise LipsoundError(
            f"--target {name}: no such features; one of logmel, mfcc, pase:, hubert:, wav2vec2:, wavlm:"
        )
    return _KINDS[kind](rest)


def _logmel(rest: str) -> Representation:
    _nothing("logmel", rest)
    return Representation("logmel", lambda waveform: mel_spectrogram(waveform, MELS["fine"]))


def _mfcc(rest: str) -> Representation:
    _nothing("mfcc", rest)
    return Representation("mfcc", lambda waveform: deltas(cepstrum(waveform[None], window=400, order=13))[0])


def _nothing(kind: str, rest: str) -> None:
    if rest:
        raise LipsoundError(f"--target {kind}:{rest}: expected '{kind}' alone")


def _pase(rest: str) -> Representation:
    if not rest:
        raise LipsoundError("--target pase: expected 'pase:EXP', EXP an experiment or pack, or 'pase:random'")
    if rest == "random":
        return Representation("pase:random", _features_of(random_encoder()), {"seed": _CONTROL_SEED})
    found = experiment.load(rest, task=PaseTask)
    weights = sha256(found.path / model_names.WEIGHTS)
    return Representation(f"pase:{found.path.resolve().name}", _features_of(found.model.encoder), {"weights": weights})


def random_encoder() -> PaseEncoder:
    """PASE+ as it is before any training, the same on every run.

    Its batch norms are given the statistics of pink noise at the level of speech. Without them each block makes its
    signal smaller: on GRID, 95 % of the features' variance then lie in 6 directions, with them in 33.
    """
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(_CONTROL_SEED)
        encoder = PaseEncoder(PaseEncoderConfig())
        spectrum = torch.fft.rfft(torch.randn(4, 1, 2 * SAMPLE_RATE))
        noise = torch.fft.irfft(spectrum / torch.arange(spectrum.shape[-1]).clamp_min(1).sqrt())
        for module in encoder.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.momentum = 1.0
        encoder(0.05 * noise / noise.std())
    return encoder.eval()


def _features_of(encoder: PaseEncoder) -> Callable[[Tensor], Tensor]:
    return lambda waveform: encoder(waveform[None, None])[0].T


def _bundle(kind: str, rest: str) -> Representation:
    """Features of a transformer that learned from audio alone, 50 a second.

    Its convolutions look at 400 samples and go on by 320: with 40 samples of silence at each end, two of its frames lie
    exactly in a video frame.
    """
    option = f"--target {kind}:{rest}"
    which, _, layer = rest.partition(":")
    torchaudio = require("torchaudio", "torchaudio")
    bundle = getattr(torchaudio.pipelines, which, None)
    if bundle is None or not which.startswith(kind.upper()) or not hasattr(bundle, "get_model"):
        known = [key for key in dir(torchaudio.pipelines) if key.startswith(kind.upper())]
        raise LipsoundError(f"{option}: no such bundle; one of {', '.join(known)}")
    if layer and not (layer.isdecimal() and int(layer)):
        raise LipsoundError(f"{option}: expected the number of a layer after the bundle, found '{layer}'")
    if bundle.sample_rate != SAMPLE_RATE:
        raise LipsoundError(f"{option}: takes {bundle.sample_rate} samples a second, our audio has {SAMPLE_RATE}")
    folder = "$TORCH_HOME/hub/checkpoints of a machine that has them"
    network = fetched(bundle.get_model, option, "torchaudio's weights", folder).eval()

    def compute(waveform: Tensor) -> Tensor:
        layers, _ = network.extract_features(F.pad(waveform, (40, 40))[None], num_layers=int(layer) if layer else None)
        return layers[-1][0]

    return Representation(f"{kind}:{rest}", compute)


_KINDS: dict[str, Callable[[str], Representation]] = {
    "logmel": _logmel,
    "mfcc": _mfcc,
    "pase": _pase,
    "hubert": lambda rest: _bundle("hubert", rest),
    "wav2vec2": lambda rest: _bundle("wav2vec2", rest),
    "wavlm": lambda rest: _bundle("wavlm", rest),
}
