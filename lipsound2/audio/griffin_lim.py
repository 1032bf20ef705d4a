"""Audio from spectrograms, without learning: Griffin and Lim (1984), faster and for mels.

* Momentum as Perraudin, Balazs and Soendergaard (2013) put it in. The transform is linear, so instead of mixing two
  spectra, two *waveforms* are mixed: the same iteration, with no second spectrum to keep and to read.
* The first phases follow the spectral peaks from frame to frame, after Beauregard, Harish and Wyse (2015). Each bin
  turns as fast as the peak it belongs to, which is worth some ten rounds from random phases.
* A mel tells only 80 sums of magnitudes a frame. So every few rounds the magnitudes of the audio itself are taken and
  moved to the given mel (joint estimation, as Masuyama et al., 2023, argue for). On GRID that is worth 0.02 to 0.03 of
  ESTOI, for ground-truth mels as for smoothed ones.

Sixteen rounds reach what others reach in sixty; sixty are the default because they cost little beside any network.
Numbers: `tests/benchmarks/bench_griffin_lim.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.audio.griffin_lim_numpy import DEFAULT_ITERATIONS, MOMENTUM, REFINE_EVERY
from lipsound2.audio.mel import MelConfig, MelInverse, hann
from lipsound2.errors import LipsoundError

# Keeps the division finite where a bin is empty; below any magnitude that can be heard.
_SILENT_POWER = 1e-20


@torch.no_grad()
def griffin_lim(
    magnitude: Tensor,
    config: MelConfig,
    *,
    iterations: int = DEFAULT_ITERATIONS,
    momentum: float = MOMENTUM,
    seed: int | None = None,
) -> Tensor:
    """Audio whose magnitude spectrogram comes near the given one.

    Args:
        magnitude: (..., S, n_fft // 2 + 1) non-negative, framed as `config` says.
        config: the framing.
        iterations: rounds of synthesis and analysis.
        momentum: 0 is Griffin and Lim's algorithm; 0.99 converges in a fraction of the rounds; above 1 it swings.
        seed: None starts from phases that follow the peaks; a number from random ones, the same for every clip.

    Returns:
        (..., S * hop) float32.

    Raises:
        LipsoundError: the bins do not fit the config, or a clip is shorter than a window reaches.
    """
    *leading, frames, bins = magnitude.shape
    if bins != config.bins:
        raise LipsoundError(f"Griffin-Lim: expected {config.bins} bins for the mel '{config.name}', found {bins}")
    flat = magnitude.reshape(-1, frames, bins).float()

    def audio_of(rows: slice, length: int, inside: Tensor | None) -> Tensor:
        target = flat[rows, :length]
        return _rounds(target, config, inside, iterations, momentum, seed)

    return _each(audio_of, flat, None, config).reshape(*leading, frames * config.hop)


@torch.no_grad()
def mel_to_waveform(
    mel: Tensor,
    config: MelConfig,
    *,
    iterations: int = DEFAULT_ITERATIONS,
    frames: Tensor | None = None,
    refine: bool = True,
    prefix: Tensor | None = None,
    num_fixed: int = 0,
) -> Tensor:
    """Speech from a log-mel-spectrogram.

    Args:
        mel: (S, bands) or (B, S, bands), natural logarithm.
        config: the mel.
        iterations: rounds of Griffin-Lim.
        frames: (B,) frames of each clip, when some are padded: what lies behind is ignored and comes out as silence. A
            clip's audio does not depend on the others of its batch.
        refine: estimate magnitudes and phases together; False keeps the first magnitudes, as others do.
        prefix: of a mel (S, bands): its first samples (hops of the longest window or more), where an earlier piece has
            spoken them. The rounds start from them, and what follows goes on with their phases.
        num_fixed: how many samples of `prefix` come out unchanged.

    Returns:
        (S * hop,) or (B, S * hop) float32.

    Raises:
        LipsoundError: the bands do not fit the config, or a clip is shorter than a window reaches.
    """
    *leading, steps, bands = mel.shape
    if bands != config.bands:
        raise LipsoundError(f"Griffin-Lim: expected {config.bands} bands for the mel '{config.name}', found {bands}")
    flat = mel.reshape(-1, steps, bands).float()

    def audio_of(rows: slice, length: int, inside: Tensor | None) -> Tensor:
        inverse = MelInverse(flat[rows, :length], config)
        match_mel = inverse.step if refine else None
        return _rounds(inverse.magnitude(), config, inside, iterations, MOMENTUM, None, match_mel, prefix, num_fixed)

    return _each(audio_of, flat, frames, config).reshape(*leading, steps * config.hop)


def _each(
    audio_of: Callable[[slice, int, Tensor | None], Tensor], batch: Tensor, lengths: Tensor | None, config: MelConfig
) -> Tensor:
    """Audio (B, S * hop) of a batch (B, S, ...): at once on a GPU, on a CPU clip by clip, which stays in its cache."""
    clips, steps = batch.shape[:2]
    if lengths is None:
        lengths = torch.full((clips,), steps, device=batch.device)
    lengths = lengths.reshape(-1)
    shortest = int(lengths.min()) if clips else 0
    least = -(-config.shortest // config.hop)
    if shortest < least:
        raise LipsoundError(
            f"Griffin-Lim: a clip of {shortest} frames is too short for the mel '{config.name}', which needs {least}"
        )
    if batch.device.type != "cpu":
        return audio_of(slice(None), steps, None if shortest == steps else lengths.to(batch.device))
    audio = batch.new_zeros(clips, steps * config.hop)
    for clip, length in enumerate(lengths.tolist()):
        audio[clip, : length * config.hop] = audio_of(slice(clip, clip + 1), length, None)[0]
    return audio


def _rounds(
    magnitude: Tensor,
    config: MelConfig,
    lengths: Tensor | None,
    iterations: int,
    momentum: float,
    seed: int | None,
    match_mel: Callable[[Tensor], Tensor] | None = None,
    prefix: Tensor | None = None,
    num_fixed: int = 0,
) -> Tensor:
    """The iteration on a batch (B, S, bins); `match_mel` moves magnitudes to what they are known by."""
    framing = _Framing(config, magnitude, lengths)
    magnitude = framing.inside(magnitude)
    phases = _random_phases(magnitude, seed) if seed is not None else _peak_phases(magnitude, config)
    fixed = magnitude.new_zeros(0)
    if prefix is not None and len(prefix):
        fixed = prefix[:num_fixed].to(magnitude)
        spoken = framing.prefix_spectra(prefix.to(magnitude)).angle()
        phases = phases + (spoken[-1] - phases[:, len(spoken) - 1 : len(spoken)])
        phases[:, : len(spoken)] = spoken
    waveform = framing.synthesize(torch.polar(magnitude, phases))
    waveform[:, : len(fixed)] = fixed
    previous = waveform
    for number in range(1, iterations + 1):
        spectrum = framing.analyze(torch.lerp(waveform, previous, -momentum))
        power = torch.addcmul(spectrum.real.square(), spectrum.imag, spectrum.imag).add_(_SILENT_POWER)
        if match_mel is not None and number % REFINE_EVERY == 0:
            magnitude = framing.inside(match_mel(power.sqrt()))
        previous, waveform = waveform, framing.synthesize(spectrum.mul_(power.rsqrt_().mul_(magnitude)))
        waveform[:, : len(fixed)] = fixed
    return waveform


def _random_phases(magnitude: Tensor, seed: int) -> Tensor:
    """Uniform phases, the same on every device and for every clip; those of a shorter clip are the first rows."""
    phases = torch.rand(magnitude.shape[-2:], generator=torch.Generator().manual_seed(seed)) * (2.0 * torch.pi)
    return phases.to(magnitude.device).expand_as(magnitude)


def _peak_phases(magnitude: Tensor, config: MelConfig) -> Tensor:
    """Phases that turn from frame to frame with the frequency of the nearest spectral peak."""
    bins = magnitude.shape[-1]
    level = magnitude.clamp_min(1e-9).log()
    left, right = F.pad(level[..., :-1], (1, 0), value=-25.0), F.pad(level[..., 1:], (0, 1), value=-25.0)
    is_peak = (level > left) & (level >= right)
    # The top of the parabola through a peak and its neighbors, in bins.
    bend = (left - 2.0 * level + right).clamp_max(-1e-6)
    index = torch.arange(bins, device=magnitude.device)
    top = index + (0.5 * (left - right) / bend).clamp(-0.5, 0.5)
    below = torch.where(is_peak, index, -bins).cummax(-1).values
    above = torch.where(is_peak, index, 2 * bins).flip(-1).cummin(-1).values.flip(-1)
    nearest = torch.where(index - below <= above - index, below, above).clamp(0, bins - 1)
    frequency = top.gather(-1, nearest) / config.n_fft  # turns a sample
    frequency[..., 1:, :] = frequency[..., 1:, :].lerp(frequency[..., :-1, :], 0.5)
    turns = (frequency.double() * config.hop).cumsum(-2)
    # Bins of one peak agree in the middle of the window; phases count from its beginning.
    turns -= index * (0.5 * config.window / config.n_fft)
    return (turns.remainder(1.0) * (2.0 * torch.pi)).float()


class _Framing:
    """Analysis and least-squares synthesis of one batch, with everything that stays the same worked out once.

    Args:
        config: window, hop, points.
        like: (B, S, ...) tells sizes and device.
        lengths: (B,) frames of each clip, or None when all are S.
    """

    def __init__(self, config: MelConfig, like: Tensor, lengths: Tensor | None) -> None:
        clips, self.frames = like.shape[:2]
        self.config, self.overhang, self.samples = config, config.overhang, self.frames * config.hop
        # Frames are cut into whole hops, so that overlap-add is a few shifted additions.
        self.overlap = -(-config.window // config.hop)
        self.window = hann(config, like.device)
        # Zeros behind the window stay: the transform reads a buffer of its own length.
        self.buffer = like.new_zeros(clips, self.frames, config.n_fft)
        self.valid: Tensor | None = None
        if lengths is not None:
            self.valid = (torch.arange(self.frames, device=like.device) < lengths[:, None])[..., None]
            ends = self.overhang + lengths[:, None] * config.hop
            step = torch.arange(self.overhang, device=like.device)
            self.mirror_to, self.mirror_from = ends + step, ends - 2 - step
        total = self._overlap_add(self.inside(self.window.square().expand(clips, self.frames, -1)))
        self.weight = torch.where(total > 1e-8, total, torch.inf).reciprocal()
        if lengths is not None:
            self.weight *= torch.arange(self.samples, device=like.device) < lengths[:, None] * config.hop

    def inside(self, frames: Tensor) -> Tensor:
        """Frames (B, S, ...) with everything behind a clip's end at zero."""
        return frames if self.valid is None else torch.where(self.valid, frames, 0.0)

    def analyze(self, waveform: Tensor) -> Tensor:
        """Spectra (B, S, bins) of audio (B, samples), continued by reflection at each clip's own ends."""
        padded = F.pad(waveform[:, None], (self.overhang, self.overhang), mode="reflect")[:, 0]
        if self.valid is not None:
            padded.scatter_(1, self.mirror_to, padded.gather(1, self.mirror_from))
        frames = padded.unfold(-1, self.config.window, self.config.hop)
        torch.mul(frames, self.window, out=self.buffer[..., : self.config.window])
        return torch.fft.rfft(self.buffer)

    def prefix_spectra(self, prefix: Tensor) -> Tensor:
        """Spectra (n, bins) of the first frames, as far as `prefix` samples hold them to their ends."""
        padded = F.pad(prefix[None], (self.overhang, 0), mode="reflect")[0]
        return torch.fft.rfft(padded.unfold(-1, self.config.window, self.config.hop) * self.window, n=self.config.n_fft)

    def synthesize(self, spectrum: Tensor) -> Tensor:
        """Audio (B, samples) whose frames come nearest to the given spectra (B, S, bins)."""
        frames = torch.fft.irfft(spectrum, n=self.config.n_fft)[..., : self.config.window] * self.window
        return self._overlap_add(frames).mul_(self.weight)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        whole = self.overlap * self.config.hop
        if whole != frames.shape[-1]:
            frames = F.pad(frames, (0, whole - frames.shape[-1]))
        pieces = frames.unflatten(-1, (self.overlap, self.config.hop))
        total = frames.new_zeros(frames.shape[0], self.frames + self.overlap - 1, self.config.hop)
        for shift in range(self.overlap):
            total[:, shift : shift + self.frames] += pieces[:, :, shift]
        return total.flatten(1)[:, self.overhang : self.overhang + self.samples]
