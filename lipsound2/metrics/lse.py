"""LSE-C and LSE-D: synchrony of lips and speech by SyncNet (Prajwal et al., 2020, section 4.1).

The published rule: windows of five video frames and of the audio beside them become vectors. Their distances are
averaged over the clip for shifts of -15 to 15 video frames. LSE-D is the smallest of these means, LSE-C how far it lies
below their median (joonson/syncnet_python, MIT; what it takes from python_speech_features: `audio.mfcc`).

Only the face boxes differ: they come from the landmarks in the dump, not from the S3FD detector. So compare values
within a table, with those of the ground truth and of the mismatched control, not with published ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.audio.mfcc import mfcc
from lipsound2.data.archive import INDEX, Archive
from lipsound2.data.datadir import DataDir
from lipsound2.errors import UNREADABLE, ClipFailure, LipsoundError, is_machine_error
from lipsound2.metrics.requested import Request, Scorer
from lipsound2.metrics.syncnet import AUDIO_FRAMES, SIDE, VIDEO_FRAMES, SyncNet
from lipsound2.timing import SAMPLES_PER_FRAME
from lipsound2.video.decode import Source
from lipsound2.video.published_face import GRAY, MARGIN, squares

SHIFTS = 15  # video frames to either side
_AT_ONCE = 25  # windows


def scorer(request: Request) -> Scorer:
    """The scorer; see `requested`.

    Raises:
        LipsoundError: no weights, or no videos and landmarks.
    """
    if request.data is None or request.landmarks is None or not (request.landmarks / INDEX).exists():
        raise LipsoundError(
            "--metrics lse: needs the clips' videos: give their data dir (--ids, or noted by synthesize) and, as "
            "REF, the audio of a dump that holds landmarks too (lipsound2 crop)"
        )
    network, videos, landmarks = load(Path(request.argument)), DataDir(request.data).video, Archive(request.landmarks)
    last: dict[str, Tensor] = {}  # all systems of a clip share its video

    @torch.inference_mode()
    def compute(id: str, speech: np.ndarray, reference: np.ndarray) -> dict[str, float]:
        if id not in last:
            if id not in videos or id not in landmarks:
                raise ClipFailure("no-video", f"{id} has no video, or no landmarks")
            last.clear()
            last[id] = video_vectors(network, Path(videos[id]), np.asarray(landmarks[id]))
        seen = last[id]
        # The last window is not used, as published.
        count = min(len(seen) - 1, len(speech) // SAMPLES_PER_FRAME - VIDEO_FRAMES)
        if count < 1:
            raise ClipFailure("too-short", f"less than {VIDEO_FRAMES + 1} video frames")
        confidence, distance = lip_sync_error(seen[:count], audio_vectors(network, speech, count))
        return {"lse_c": confidence, "lse_d": distance}

    return compute


def load(path: Path) -> SyncNet:
    """SyncNet with the weights of a file.

    Raises:
        LipsoundError: there is none, it holds more than tensors, or they are another network's.
    """
    wanted = f"{path}: expected SyncNet's published weights (syncnet_v2.model)"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network = SyncNet()
        # Old files do not count batches, which nothing here depends on.
        counted = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}
        network.load_state_dict({**counted, **state})
    except OSError as error:
        raise LipsoundError(f"{wanted}; cannot be read: {error.strerror or error}") from error
    except UNREADABLE as error:
        if is_machine_error(error):
            raise
        detail = " ".join(str(error).split())
        raise LipsoundError(f"{wanted}; found something else ({detail[:160]})") from error
    return network.eval()


def lip_sync_error(video: Tensor, audio: Tensor) -> tuple[float, float]:
    """LSE-C and LSE-D of windows' vectors (N, D), N > 0; beyond the ends speech counts as zero, as published."""
    padded = F.pad(audio, (0, 0, SHIFTS, SHIFTS))
    means = torch.stack(
        [F.pairwise_distance(video, padded[shift : shift + len(video)]).mean() for shift in range(2 * SHIFTS + 1)]
    )
    return float(means.median() - means.min()), float(means.min())


def video_vectors(network: SyncNet, video: Path, landmarks: np.ndarray) -> Tensor:
    """Vectors (T - 4, 1024) of a clip's faces."""
    faces = np.stack(list(cut_faces(video, landmarks)))
    if len(faces) < VIDEO_FRAMES:
        raise ClipFailure("too-short", f"{len(faces)} video frames")
    frames = torch.from_numpy(faces).permute(3, 0, 1, 2)
    parts = [
        network.video_vectors(frames[:, first : first + _AT_ONCE + VIDEO_FRAMES - 1].float())
        for first in range(0, len(faces) - VIDEO_FRAMES + 1, _AT_ONCE)
    ]
    return torch.cat(parts)


def cut_faces(video: Path, landmarks: np.ndarray) -> Iterator[np.ndarray]:
    """(224, 224, 3) uint8 BGR faces of a clip, cut as the published pipeline cuts them.

    Args:
        video: the file.
        landmarks: (T, 137) of the dump.

    Raises:
        ClipFailure: the video cannot be read, or has another number of video frames.
    """
    points = landmarks[:, :136].reshape(-1, 68, 2)
    half, across, down = squares(points)
    count = 0
    for count, frame in enumerate(Source(video), start=1):
        if count > len(points):
            break
        size, x, y = half[count - 1], across[count - 1], down[count - 1]
        edge = int(size * (1 + 2 * MARGIN)) + 1
        x, y = x + edge, y + edge
        padded = cv2.copyMakeBorder(
            frame.rgb()[..., ::-1], edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=(GRAY,) * 3
        )
        top, bottom = int(y - size), int(y + size * (1 + 2 * MARGIN))
        left, right = int(x - size * (1 + MARGIN)), int(x + size * (1 + MARGIN))
        face = padded[max(top, 0) : bottom, max(left, 0) : right]
        if not face.size:
            raise ClipFailure("landmarks", f"{video}: the face of video frame {count} lies outside of it")
        yield cv2.resize(face, (SIDE, SIDE))
    if count != len(points):
        raise ClipFailure("landmarks", f"{video}: {len(points)} video frames have landmarks, found {count} or more")


def audio_vectors(network: SyncNet, speech: np.ndarray, count: int) -> Tensor:
    """Vectors (count, 1024) of the windows of speech (N,)."""
    cepstra = torch.from_numpy(mfcc(speech).T.astype(np.float32))
    windows = [cepstra[:, 4 * index : 4 * index + AUDIO_FRAMES] for index in range(count)]
    return network.audio_vectors(torch.stack(windows)[:, None])
