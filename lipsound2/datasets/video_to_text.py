"""Video with its text for the task *recognize*: mouth crops, or the states of a trunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.shapes import checked
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.datasets.audio_to_text import Utterance
from lipsound2.datasets.augment import AugmentConfig, augment
from lipsound2.datasets.crop_cache import Frames
from lipsound2.datasets.left_out import warn_left_out, warn_short
from lipsound2.datasets.word_alignment import WordTimes
from lipsound2.errors import LipsoundError

INPUT_FILE = "input.yaml"  # of a lip reader's experiment


class LipUtterances:
    """The clips of a data dir that have both crops and text.

    Args:
        data: data dir with `text`.
        crops: archive folder of crops, or of the states of a trunk.
        encode: text to tokens.
        augmentation: of training samples.
        texts: id -> normalized text.
        training: whether samples are augmented.
        words: times of words, where they are known.
        cache_gb: gigabytes of decoded crops kept for the next epoch.
        min_frames: video frames that a clip must have.

    Attributes:
        ids: clip ids.
        lengths: video frames of each clip.

    Raises:
        LipsoundError: no clip has both.
    """

    def __init__(
        self,
        data: DataDir,
        crops: Path,
        encode: Callable[[str], list[int]],
        augmentation: AugmentConfig,
        texts: dict[str, str],
        training: bool,
        words: WordTimes,
        cache_gb: float = 0.0,
        min_frames: int = 1,
    ) -> None:
        archive = Archive(crops)
        num_frames = archive.num_frames()
        self.ids = with_frames(
            {name: name for name in data.ids if texts.get(name)}, num_frames, data, crops, min_frames
        )
        if not self.ids:
            raise LipsoundError(
                f"{data.path}: none of its {len(data.ids)} clips has both a text and video frames in {crops}; "
                "run stage 1 on a data dir that holds them"
            )
        frames = np.array([num_frames[name] for name in self.ids])
        self.lengths = augmentation.longest(frames) if training else frames
        self._frames = Frames(archive, cache_gb)
        self._texts, self._encode, self._augmentation, self._words = texts, encode, augmentation, words

    def __len__(self) -> int:
        return len(self.ids)

    def get(self, index: int, rng: np.random.Generator | None) -> Utterance:
        """One clip; with `rng` augmented for training, without it as it is."""
        name = self.ids[index]
        frames = self._frames[name]
        places = np.arange(len(frames), dtype=np.float64)
        if rng is not None:
            nothing = np.zeros((len(frames), 1), np.float32)
            frames, _, places = augment(frames, nothing, 1.0, self._augmentation, rng)
        text = self._texts[name]
        return Utterance(name, frames, self._encode(text), text, self._words.at(name, places))


def with_frames(
    labeled: Mapping[str, str], num_frames: Mapping[str, int], data: DataDir, crops: Path, min_frames: int = 1
) -> list[str]:
    """The labeled clips with enough video frames; a warning counts the others.

    Args:
        labeled: clip -> the recording that it is, or is cut out of.
        num_frames: recording -> its video frames.
        data: data dir of the clips, for messages.
        crops: archive folder of the video frames, likewise.
        min_frames: video frames that a recording must have, such as the kernel size of the first convolution.
    """
    absent = [name for name, recording in labeled.items() if recording not in num_frames]
    short = [name for name, recording in labeled.items() if num_frames.get(recording, min_frames) < min_frames]
    warn_left_out(data.path, absent, len(labeled), f"have a text and no video frames in {crops}")
    warn_short(data.path, short, len(labeled), min_frames)
    left = {*absent, *short}
    return [name for name in labeled if name not in left]


def save_input(exp: Path, kind: str, width: int) -> None:
    """Write the input of a lip reader: its kind, and the width of its states (0: video frames)."""
    write_yaml(exp / INPUT_FILE, {"kind": kind, "width": width})


def load_width(exp: Path) -> int:
    """Read the width of the states that are a lip reader's input; 0: video frames."""
    width: int = checked(read_yaml(exp / INPUT_FILE).get("width"), int, f"{exp / INPUT_FILE}: width")
    return width


def width_of(crops: Path) -> int:
    """The width of the states in an archive folder; 0 for crops, which are video frames.

    Raises:
        LipsoundError: it has no index, or its entries are neither.
    """
    archive = Archive(crops)
    first = archive[archive.ids[0]]
    if first.dtype == np.uint8 and first.ndim == 1:
        return 0
    if first.dtype.kind == "f" and first.ndim == 2:
        return int(first.shape[1])
    raise LipsoundError(f"{crops}: expected crops, or matrices of states, found {first.dtype} of shape {first.shape}")
