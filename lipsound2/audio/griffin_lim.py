"""Sound from magnitudes: Griffin and Lim (1984) with the momentum of Perraudin, Balazs and Soendergaard (2013).

The transform is linear, so the momentum, which mixes two spectra in the paper, mixes two *sounds* here: the same
iteration with one transform, no second spectrum to keep, and a fraction of the memory traffic.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lipsound2.audio.mel import MelConfig, hann, mel_to_magnitude
from lipsound2.errors import LipsoundError

# Keeps the division finite where a bin is empty; below any magnitude that can be heard.
_SILENT_POWER = 1e-20

DEFAULT_ITERATIONS = 60


@torch.no_grad()
def griffin_lim(
    magnitude: Tensor,
    config: MelConfig,
    *,
    iterations: int = DEFAULT_ITERATIONS,
    momentum: float = 0.99,
    lengths: Tensor | None = None,
    seed: int = 0,
) -> Tensor:
    """Sound whose magnitude spectrogram comes near the given one.

    Args:
        magnitude: (..., S, n_fft // 2 + 1) non-negative, framed as `config` says.
        config: the framing.
        iterations: rounds of synthesis and analysis.
        momentum: 0 is Griffin and Lim's algorithm; values near 1 converge in a fraction of the rounds.
        lengths: frames of each clip, of the leading shape; what lies behind is ignored and comes out as silence. A
            clip's sound does not depend on the others of its batch.
        seed: of the first phases; the same for every clip.

    Returns:
        (..., S * hop) float32.

    Raises:
        LipsoundError: the bins do not fit the config, or a clip is shorter than a window reaches.
    """
    *leading, frames, bins = magnitude.shape
    if bins != config.bins:
        raise LipsoundError(
            f"Griffin-Lim: expected {config.bins} frequency bins for the mel '{config.name}', found {bins}"
        )
    target = magnitude.reshape(-1, frames, bins).float()
    framing = _Framing(config, frames, lengths.reshape(-1) if lengths is not None else None, target.device)
    target = framing.mask(target)
    sound = framing.synthesise(
        torch.polar(target, _first_phases(frames, bins, seed).to(target.device).expand_as(target))
    )
    previous = torch.zeros_like(sound)
    mix = momentum / (1.0 + momentum)
    for _ in range(iterations):
        spectrum = framing.analyse(sound - mix * previous)
        _impose(spectrum, target)
        previous, sound = sound, framing.synthesise(spectrum)
    return sound.reshape(*leading, frames * config.hop)


def mel_to_sound(
    mel: Tensor, config: MelConfig, *, iterations: int = DEFAULT_ITERATIONS, frames: Tensor | None = None, seed: int = 0
) -> Tensor:
    """Speech from a log-mel-spectrogram.

    Args:
        mel: (S, bands) or (B, S, bands), natural logarithm.
        config: the mel.
        iterations: rounds of Griffin-Lim.
        frames: (B,) frames of each clip, when some are padded.
        seed: of the first phases.

    Returns:
        (S * hop,) or (B, S * hop) float32.
    """
    return griffin_lim(mel_to_magnitude(mel, config), config, iterations=iterations, lengths=frames, seed=seed)


def _first_phases(frames: int, bins: int, seed: int) -> Tensor:
    """Uniform phases (frames, bins), the same on every device; those of a shorter clip are the first rows."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(frames, bins, generator=generator) * (2.0 * torch.pi)


def _impose(spectrum: Tensor, magnitude: Tensor) -> None:
    """Give every bin of a spectrum the wanted magnitude and keep its direction, in place."""
    parts = torch.view_as_real(spectrum)
    scale = torch.linalg.vecdot(parts, parts).add_(_SILENT_POWER).rsqrt_().mul_(magnitude)
    parts.mul_(scale[..., None])


class _Framing:
    """Analysis and least-squares synthesis on one batch's frames, with everything that stays the same worked out once.

    Args:
        config: window, hop, points.
        frames: S.
        lengths: (B,) frames of each clip, or None when all are S.
        device: where the work is done.
    """

    def __init__(self, config: MelConfig, frames: int, lengths: Tensor | None, device: torch.device) -> None:
        self.config, self.frames = config, frames
        self.shortest = frames if lengths is None else int(lengths.min())
        if self.shortest * config.hop <= config.reach:
            raise LipsoundError(
                f"Griffin-Lim: a clip of {self.shortest} frames is too short for the mel '{config.name}'; "
                f"it needs at least {config.reach // config.hop + 1}"
            )
        # Frames are cut into whole hops, so that overlap-add is a few shifted additions.
        self.overlap = -(-config.window // config.hop)
        self.reach = config.reach
        self.samples = frames * config.hop
        self.window = hann(config, device)
        self.lengths = None if lengths is None or self.shortest == frames else lengths.to(device)
        self.valid: Tensor | None = None
        count = torch.ones(1, frames, 1, device=device)
        if self.lengths is not None:
            self.valid = torch.arange(frames, device=device) < self.lengths[:, None]
            count = self.valid[..., None].float()
            ends = self.lengths[:, None] * config.hop
            step = torch.arange(self.reach, device=device)
            self.mirror_to, self.mirror_from = self.reach + ends + step, self.reach + ends - 2 - step
        total = self._overlap_add(self.window.square() * count)
        self.weight = torch.where(total > 1e-8, total, torch.inf).reciprocal()
        if self.lengths is not None:
            self.weight *= torch.arange(self.samples, device=device) < self.lengths[:, None] * config.hop

    def mask(self, magnitude: Tensor) -> Tensor:
        """The magnitudes with everything behind a clip's end at zero."""
        return magnitude if self.valid is None else magnitude * self.valid[..., None]

    def analyse(self, sound: Tensor) -> Tensor:
        """Spectra (B, S, bins) of sound (B, samples), continued by reflection at each clip's own ends."""
        padded = torch.nn.functional.pad(sound[:, None], (self.reach, self.reach), mode="reflect")[:, 0]
        if self.lengths is not None:
            padded = padded.scatter(1, self.mirror_to, padded.gather(1, self.mirror_from))
        frames = padded.unfold(-1, self.config.window, self.config.hop) * self.window
        return torch.fft.rfft(frames, n=self.config.n_fft)

    def synthesise(self, spectrum: Tensor) -> Tensor:
        """Sound (B, samples) whose frames come nearest to the given spectra (B, S, bins)."""
        frames = torch.fft.irfft(spectrum, n=self.config.n_fft)[..., : self.config.window] * self.window
        return self._overlap_add(frames) * self.weight

    def _overlap_add(self, frames: Tensor) -> Tensor:
        hop, whole = self.config.hop, self.overlap * self.config.hop
        if whole != frames.shape[-1]:
            frames = torch.nn.functional.pad(frames, (0, whole - frames.shape[-1]))
        pieces = frames.unflatten(-1, (self.overlap, hop))
        total = frames.new_zeros(frames.shape[0], self.frames + self.overlap - 1, hop)
        for shift in range(self.overlap):
            total[:, shift : shift + self.frames] += pieces[:, :, shift]
        return total.flatten(1)[:, self.reach : self.reach + self.samples]
