"""LipSound2 (Qu, Weber and Wermter, 2021, arXiv 2112.04748): face video frames to mel-spectrogram, with attention.

Face encoder -> attention decoder -> postnet, layer for layer as in the paper's Table I; 22.05 million parameters. What
the paper leaves open is a key of `LipSound2Config`, with its choice explained there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lipsound2.arguments import AtLeast0, AtLeast1, Dropout, NotNegative
from lipsound2.errors import LipsoundError
from lipsound2.models.modules.face_encoder import FaceEncoder
from lipsound2.models.modules.regressor import FeatureRegressor, Generated, Prediction, mask, postfilter
from lipsound2.models.modules.voice import VoiceConditioning
from lipsound2.models.tacotron.attention import LocationAttention, energy_bias
from lipsound2.models.tacotron.decoder import Decoder, Postnet, Prenet


@dataclass
class LipSound2Config:
    """Sizes of LipSound2; the defaults are the paper's, or the choice made where the paper says nothing.

    Attributes:
        face_size: side of the gray square input: all of a face crop, or the middle of larger video frames.
        encoder_channels: of the three 3D convolutions.
        encoder_lstm: units per direction of the two BiLSTM layers. The paper's "128" may mean either; per direction
            gives the 22 million parameters.
        encoder_dropout: in the encoder; the paper has dropout there but gives no rate.
        visual_period: append a white video frame to every clip, which shows the decoder where to stop.
        attention_lstm: units.
        attention_width: of query, memory and location features.
        location_channels: of the location convolution.
        location_kernel: its taps.
        attention_prior_sigma: spread, in video frames, of a prior around the video frame each step belongs to; it keeps
            attention from staying blurred. 0: none, as in the paper.
        attention_prior_until: share of training over which that prior fades to nothing; 0: it stays.
        attention_window: video frames to either side of that video frame that attention may reach; 0: all.
        prenet: widths of its layers.
        prenet_dropout: its rate; Tacotron 2's, the paper gives none.
        prenet_always: dropout also at inference, as in Tacotron 2.
        decoder_lstm: units.
        decoder_dropout: of inputs and outputs of the decoder LSTM; NVIDIA's Tacotron 2 has 0.1 at these places.
        reduction: mel frames a decoder step. The paper has 1; more lets attention lock on sooner and costs less.
        postnet_channels: of its convolutions.
        postnet_layers: how many.
        postnet_kernel: their taps.
        postnet_dropout: Tacotron 2's.
        stop: a clip's output ends when its video frames do (`length`), or where attention comes to rest on the visual
            period (`period`, the paper's way).
        postfilter_gain: see `regressor.postfilter`; at inference alone.
        postfilter_sharpness: likewise.
        max_steps: decoder steps at most with `stop: period`.
        cuda_graph: on a GPU, record the attention loop of a training step and replay it.
    """

    face_size: int = 112
    encoder_channels: tuple[AtLeast1, ...] = (32, 64, 128)
    encoder_lstm: AtLeast1 = 128
    encoder_dropout: Dropout = 0.2
    visual_period: bool = True
    attention_lstm: AtLeast1 = 1024
    attention_width: AtLeast1 = 128
    location_channels: AtLeast1 = 32
    location_kernel: AtLeast1 = 31
    attention_prior_sigma: NotNegative = 0.0
    attention_prior_until: NotNegative = 0.0
    attention_window: AtLeast0 = 0
    prenet: tuple[AtLeast1, ...] = (512, 256)
    prenet_dropout: Dropout = 0.5
    prenet_always: bool = True
    decoder_lstm: AtLeast1 = 1024
    decoder_dropout: Dropout = 0.1
    reduction: int = 1
    postnet_channels: AtLeast1 = 512
    postnet_layers: AtLeast1 = 5
    postnet_kernel: AtLeast1 = 5
    postnet_dropout: Dropout = 0.5
    stop: Literal["length", "period"] = "length"
    postfilter_gain: NotNegative = 1.0
    postfilter_sharpness: NotNegative = 0.0
    max_steps: AtLeast1 = 1000
    cuda_graph: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        if self.face_size < 70:
            raise LipsoundError(
                f"face_size: three convolutions and pools need 70 pixels or more, found {self.face_size}"
            )
        if len(self.encoder_channels) != 3:
            raise LipsoundError(f"encoder_channels: expected three numbers, found {list(self.encoder_channels)}")
        if self.stop == "period" and not self.visual_period:
            raise LipsoundError("stop: 'period' needs 'visual_period: true'")
        if not self.location_kernel % 2 or not self.postnet_kernel % 2:
            raise LipsoundError(
                f"location_kernel, postnet_kernel: odd, found {self.location_kernel}, {self.postnet_kernel}"
            )
        if self.reduction < 1:
            raise LipsoundError(f"reduction: expected 1 or more, found {self.reduction}")


class LipSound2(FeatureRegressor):
    """Face encoder, attention decoder and postnet.

    Args:
        config: sizes.
        dims: feature dimensions D.
        ratio: feature frames per video frame.
        words: classes of the word head, silence included; 0: no word head.
        voice: dimensions of speaker embeddings; 0: the model is not conditioned on a voice.
    """

    takes_voice: ClassVar[bool] = True
    autoregressive: ClassVar[bool] = True
    progress: Tensor

    def __init__(
        self, config: LipSound2Config, dims: int = 80, ratio: float = 2.5, words: int = 0, voice: int = 0
    ) -> None:
        super().__init__(dims, ratio)
        self.config = config
        self.encoder = FaceEncoder(
            config.encoder_channels,
            config.encoder_lstm,
            config.encoder_dropout,
            config.face_size,
            config.visual_period,
        )
        states = self.encoder.outputs
        self.word_head = torch.nn.Linear(states, words) if words else None
        self.voice = VoiceConditioning(voice, states) if voice else None
        self.decoder = Decoder(
            states,
            dims,
            config.reduction,
            LocationAttention(
                states,
                config.attention_lstm,
                config.attention_width,
                config.location_channels,
                config.location_kernel,
            ),
            Prenet(dims, config.prenet, config.prenet_dropout, config.prenet_always),
            config.attention_lstm,
            config.decoder_lstm,
            config.decoder_dropout,
            config.cuda_graph,
        )
        self.postnet = Postnet(
            dims, config.postnet_channels, config.postnet_layers, config.postnet_kernel, config.postnet_dropout
        )
        # How far training had come with these weights: a prior that fades must be as strong when they speak.
        self.register_buffer("progress", torch.zeros(()))

    def forward(
        self,
        video: Tensor,
        video_lengths: Tensor,
        target: Tensor | None = None,
        feature_lengths: Tensor | None = None,
        *,
        scheduled_sampling: float = 0.0,
        progress: float = 0.0,
        generator: torch.Generator | None = None,
        voice: Tensor | None = None,
    ) -> Prediction:
        """Predict each feature frame from the video and the ground-truth frame before it (teacher forcing).

        Scheduled sampling takes two passes: the first gives the decoder's own teacher-forced output, without
        gradients; in the second each step is fed either the ground-truth frame or that output.

        Args:
            video: uint8 (B, T, H, W), H and W at least face_size.
            video_lengths: (B,) int64, valid video frames.
            target: (B, S, D) normalized features.
            feature_lengths: (B,) int64, valid feature frames; None: as many as belong to `video_lengths`.
            scheduled_sampling: share of steps, in training, fed the decoder's own output; 0 to 1.
            progress: share of training that is done.
            generator: chooses those steps; None: torch's own.
            voice: (B, dims) speaker embeddings, of a model that is conditioned on them; None: the average voice.

        Returns:
            (B, S, D) after and before the postnet, zero where padded, and the alignment (B, ceil(S / reduction), P).

        Raises:
            LipsoundError: without a target, or video frames that are too small.
        """
        if target is None:
            raise LipsoundError("LipSound2.forward: needs a target to be fed; without one use generate()")
        S, r = target.shape[1], self.config.reduction
        valid = mask(self.feature_lengths_of(video_lengths) if feature_lengths is None else feature_lengths, S)
        if self.training:
            self.progress.fill_(progress)
        states, bias, places = self._encode(video, video_lengths, math.ceil(S / r))
        words = self._words(states, video.shape[1])
        states = self._in_voice(states, places, voice)
        target = torch.nn.functional.pad(target * valid[..., None], (0, 0, 0, -S % r))
        fed = self.decoder.previous(target)
        if self.training and scheduled_sampling > 0:
            with torch.no_grad():
                own = self.decoder.previous(self.decoder(states, bias, fed).features)
            choice = torch.rand(
                fed.shape[:2], generator=generator, device=generator.device if generator else fed.device
            )
            fed = torch.where(choice.to(fed.device)[..., None] < scheduled_sampling, own.to(fed.dtype), fed)
        decoded = self.decoder(states, bias, fed)
        before = decoded.features[:, :S] * valid[..., None]
        return Prediction(before + self.postnet(before, valid), before, decoded.alignment, words)

    @torch.no_grad()
    def generate(self, video: Tensor, video_lengths: Tensor, voice: Tensor | None = None) -> Generated:
        """Free-running inference: the decoder is fed its own output. Call it in eval mode.

        Args:
            video: uint8 (B, T, H, W), H and W at least face_size.
            video_lengths: (B,) int64, valid video frames.
            voice: see `forward`.

        Returns:
            Features (B, S, D) in natural units, the alignment (B, steps, P), and the lengths of both.
        """
        r, by_period = self.config.reduction, self.config.stop == "period"
        lengths = self.feature_lengths_of(video_lengths)
        # No clip ends before the steps of its first video frame: a vocoder cannot speak a mel of fewer frames.
        least = math.ceil(self.ratio / r)
        steps = max(self.config.max_steps, least) if by_period else math.ceil(int(lengths.max()) / r)
        states, bias, places = self._encode(video, video_lengths, steps)
        words = self._words(states, video.shape[1])
        states = self._in_voice(states, places, voice)
        with torch.autocast(video.device.type, enabled=False):
            decoded, ends = self.decoder.generate(states.float(), bias, places - 1 if by_period else None, least)
            if by_period:
                lengths = ends * r
            else:
                ends = -(-lengths // r)
            features = decoded.features[:, : int(lengths.max())]
            valid = mask(lengths, features.shape[1])
            before = features * valid[..., None]
            features = before + self.postnet(before, valid)
            features = postfilter(features, self.config.postfilter_gain, self.config.postfilter_sharpness)
        return Generated(self.denormalize(features), lengths, decoded.alignment, ends, words)

    def _words(self, states: Tensor, frames: int) -> Tensor | None:
        """Scores (B, video frames, words), without the state of the visual period."""
        return self.word_head(states[:, :frames]) if self.word_head else None

    def _in_voice(self, states: Tensor, places: Tensor, voice: Tensor | None) -> Tensor:
        """States (B, P, E) with a voice added, zero where padded; as they are in a model without one."""
        if self.voice is None:
            return states
        return self.voice(states, voice) * mask(places, states.shape[1])[..., None]

    def _encode(self, video: Tensor, video_lengths: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
        """Encoder states, the bias of the energies, and how many states belong to each clip."""
        size = self.config.face_size
        H, W = video.shape[2:]
        if min(H, W) < size:
            raise LipsoundError(
                f"LipSound2: found video frames of {W}x{H}, wanted {size}x{size} or more; set 'face_size' or 'input'"
            )
        top, left = (H - size) // 2, (W - size) // 2
        states, places = self.encoder(video[:, :, top : top + size, left : left + size], video_lengths)
        until = self.config.attention_prior_until
        bias = energy_bias(
            places,
            states.shape[1],
            steps,
            self.config.reduction / self.ratio,
            self.config.attention_prior_sigma,
            max(0.0, 1 - float(self.progress) / until) if until else 1.0,
            self.config.attention_window,
        )
        return states, bias, places
