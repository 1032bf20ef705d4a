"""SyncNet (Chung and Zisserman, 2016): vectors of lips and of speech, near each other where the two belong
together.

Layers carry the names of the published weights (`syncnet_v2.model`), and their sizes. Only the first layer of the lips'
half sees several video frames. So a whole clip goes through it at once, with the result of its windows of five video
frames.
"""

from __future__ import annotations

from torch import Tensor, nn

VIDEO_FRAMES, SIDE = 5, 224  # of a window
CEPSTRA, AUDIO_FRAMES = 13, 20  # of the speech beside it
DIMS = 1024


def _layer(convolution: nn.Module, norm: nn.Module) -> list[nn.Module]:
    return [convolution, norm, nn.ReLU(inplace=True)]


def _audio_layers(wide: int, narrow: int, kernel: tuple[int, int] = (3, 3), padding: int = 1) -> list[nn.Module]:
    return _layer(nn.Conv2d(wide, narrow, kernel, padding=padding), nn.BatchNorm2d(narrow))


def _seen(wide: int, narrow: int, kernel: tuple[int, int, int], stride: int, padding: int) -> list[nn.Module]:
    places = (0, padding, padding)
    return _layer(nn.Conv3d(wide, narrow, kernel, (1, stride, stride), places), nn.BatchNorm3d(narrow))


def _join() -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, DIMS))


class SyncNet(nn.Module):
    """Both halves."""

    def __init__(self) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *(*_audio_layers(1, 64), nn.MaxPool2d(1, 1)),
            *(*_audio_layers(64, 192), nn.MaxPool2d(3, (1, 2))),
            *(*_audio_layers(192, 384), *_audio_layers(384, 256)),
            *(*_audio_layers(256, 256), nn.MaxPool2d(3, 2)),
            *_audio_layers(256, 512, (5, 4), padding=0),
        )
        self.netcnnlip = nn.Sequential(
            *(*_seen(3, 96, (VIDEO_FRAMES, 7, 7), 2, 0), nn.MaxPool3d((1, 3, 3), (1, 2, 2))),
            *(*_seen(96, 256, (1, 5, 5), 2, 1), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))),
            *(*_seen(256, 256, (1, 3, 3), 1, 1), *_seen(256, 256, (1, 3, 3), 1, 1)),
            *(*_seen(256, 256, (1, 3, 3), 1, 1), nn.MaxPool3d((1, 3, 3), (1, 2, 2))),
            *_seen(256, 512, (1, 6, 6), 1, 0),
        )
        self.netfcaud, self.netfclip = _join(), _join()

    def audio_vectors(self, cepstra: Tensor) -> Tensor:
        """Vectors (N, 1024) of windows of speech (N, 1, 13, 20)."""
        found: Tensor = self.netfcaud(self.netcnnaud(cepstra).flatten(1))
        return found

    def video_vectors(self, frames: Tensor) -> Tensor:
        """Vectors (T - 4, 1024) of the windows of video frames (3, T, 224, 224): blue, green, red, 0 to 255."""
        found: Tensor = self.netfclip(self.netcnnlip(frames[None])[0, :, :, 0, 0].T)
        return found
