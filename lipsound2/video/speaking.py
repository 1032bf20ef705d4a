"""Who speaks: every face of a clip is followed and scored by LR-ASD, scene by scene.

Faces are cut as the published pipeline cuts them (Junhua-Liao/LR-ASD, MIT), around our landmarks. A score tells who
speaks, not whether lips and audio are in time with each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from lipsound2.audio.io import load_audio
from lipsound2.audio.mfcc import OVERHANG, mfcc
from lipsound2.errors import ClipFailure, LipsoundError, UsageError
from lipsound2.timing import FRAME_RATE, SAMPLE_RATE, SAMPLES_PER_FRAME
from lipsound2.video.face import Detector, Face
from lipsound2.video.frame import Frame, to_full_range
from lipsound2.video.looks import Looks
from lipsound2.video.published_face import GRAY, MARGIN, squares
from lipsound2.video.scenes import differences, find_scenes, thumbnail
from lipsound2.video.track import FaceTrack, all_faces, around, overlap, placed
from lipsound2.video.view import AS_IS

if TYPE_CHECKING:
    from lipsound2.models.asd import ActiveSpeakerDetector

SPEAKING = "speaking"  # the choice of a face by this
_ENOUGH = 25  # frames of a face, from which on its score counts as much as any
_SAME = 0.1  # least overlap of a face with itself, from frame to frame
# Scores above which a face speaks. Lips alone give less certain ones: a man who signs gets up to 0.44 there.
_SPEAKS, _LIPS_SPEAK = 0.0, 0.5
_SILENCE = 1 / 32768


def check_choice(which_face: str, weights: Path | None) -> None:
    """Check that weights are given where they are needed, and only there, before anything is loaded.

    Raises:
        LipsoundError: they are not, or there is no such file.
    """
    if which_face == SPEAKING and weights is None:
        raise UsageError(
            "--face speaking: needs --asd FILE (in Python asd=FILE), the published weights of LR-ASD, such as "
            "finetuning_TalkSet.model (github.com/Junhua-Liao/LR-ASD, folder weight); nothing is fetched"
        )
    if weights is not None and which_face != SPEAKING:
        raise UsageError(
            f"--asd {weights}: tells who speaks, for --face speaking, found --face {which_face}; give that, or leave "
            "--asd out"
        )
    if weights is not None and not weights.is_file():
        raise LipsoundError(f"--asd {weights}: there is no such file; wanted the published weights of LR-ASD")


@dataclass(frozen=True)
class FaceScore:
    """One face of a scene.

    Attributes:
        first: the first frame that shows it.
        boxes: (T, 4) float32: x0, y0, x1, y1 around its landmarks in this frame and those after it, pixels.
        score: mean over its frames of how much it looks like the one who speaks.
        above: in how many of its frames that is above 0.
        taken: whether it was taken.
    """

    first: int
    boxes: np.ndarray
    score: float
    above: int
    taken: bool = False

    @property
    def place(self) -> str:
        """Where it is, in words."""
        x0, x1 = np.median(self.boxes[:, [0, 2]], axis=0)
        return f"x {x0:.0f}-{x1:.0f}"


@dataclass(frozen=True)
class Speakers:
    """Who speaks in a clip. The scores are no measure of synchrony.

    Attributes:
        faces: all that were followed, scene by scene.
        heard: whether the audio was used.
        why: if not, why not.
        num_frames: of the clip.
    """

    faces: tuple[FaceScore, ...]
    heard: bool
    why: str
    num_frames: int

    @property
    def score(self) -> float | None:
        """Mean score over the frames of the faces that were taken; None: there was no face."""
        taken = [face for face in self.faces if face.taken]
        return float(np.average([f.score for f in taken], weights=[len(f.boxes) for f in taken])) if taken else None

    @property
    def nobody(self) -> bool:
        """Whether nobody seems to speak."""
        return self.score is not None and self.score <= (_SPEAKS if self.heard else _LIPS_SPEAK)

    @property
    def wanted(self) -> np.ndarray:
        """(T, 4) float32: boxes of the faces that were taken, zeros in frames without one."""
        found = np.zeros((self.num_frames, 4), np.float32)
        for face in self.faces:
            if face.taken:
                at = slice(face.first, face.first + len(face.boxes))
                found[at] = np.where(found[at].any(1, keepdims=True), found[at], face.boxes)
        return found

    def score_of(self, face: Face, index: int) -> float | None:
        """The score of a face that is seen in some frame; None: it was not followed there."""
        seen = around(face)
        best, score = _SAME, None
        for each in self.faces:
            if each.first <= index < each.first + len(each.boxes):
                same = overlap(seen, placed(seen, each.boxes[index - each.first]))
                if same > best:
                    best, score = same, each.score
        return score

    @property
    def warnings(self) -> list[str]:
        """Reasons to doubt the choice, a line each."""
        how = "by lips and audio" if self.heard else f"by the lips alone ({self.why})"
        if self.score is None:
            return ["who speaks could not be told: no face was found in the frames as they are"]
        if self.nobody:
            least = _SPEAKS if self.heard else _LIPS_SPEAK
            return [
                f"nobody seems to speak: the best score is {self.score:.2f} {how}, above {least:g} is wanted; "
                "that face was taken"
            ]
        return []

    def __str__(self) -> str:
        if self.score is None:
            return self.warnings[0]
        how = "by lips and audio" if self.heard else f"by the lips alone: {self.why}"
        others = sorted((face.score for face in self.faces if not face.taken), reverse=True)
        beside = f", others {', '.join(f'{score:.2f}' for score in others[:5])}" if others else ""
        what = "nobody seems to speak, best score" if self.nobody else "who speaks has the score"
        return f"{what} {self.score:.2f}{beside} ({how})"


@dataclass(frozen=True)
class _Seen:
    """A face in a part of a clip, and what the network saw of it, (T, 128) float32."""

    track: FaceTrack
    vectors: np.ndarray


class SpeakerFinder:
    """Tells who speaks.

    Args:
        weights: file of LR-ASD's weights.

    Raises:
        LipsoundError: it cannot be read, or holds something else.
    """

    def __init__(self, weights: Path) -> None:
        from lipsound2.models.asd import load_detector  # here: it takes torch

        self._network: ActiveSpeakerDetector = load_detector(weights)
        self._seen: list[_Seen] = []
        self._steps: list[np.ndarray] = []
        self._last: list[np.ndarray] = []
        self._num_frames = 0

    def watch(self, parts: Iterable[Sequence[Frame]], detector: Detector, detect_interval: int) -> None:
        """See the faces of a clip, part by part."""
        self._seen, self._steps, self._last, self._num_frames = [], [], [], 0
        for frames in parts:
            small = [thumbnail(frame.luma()) for frame in frames]
            self._steps.append(differences([*self._last, *small]))
            looks = Looks(detector, frames, AS_IS)
            for scene in find_scenes(self._steps[-1][len(self._last) :]):
                for track in all_faces(looks.count, looks.faces, scene, detect_interval):
                    vectors = self._vectors(cut_faces(frames, track))
                    first, (begin, end) = track.first + self._num_frames, track.keys
                    keys = (begin + self._num_frames, end + self._num_frames)
                    self._seen.append(_Seen(FaceTrack(first, track.points, keys), vectors))
            self._last, self._num_frames = small[-1:], self._num_frames + len(small)

    def tell(self, clip: Path | None, start: float) -> Speakers:
        """Who speaks in what was watched.

        Args:
            clip: file with the audio, if there is one.
            start: time of the first frame on its clock, seconds.
        """
        audio, why = _audio(clip, start, self._num_frames)
        faces: list[FaceScore] = []
        for scene in find_scenes(np.concatenate(self._steps)) if self._num_frames else []:
            faces += self._scene([seen for seen in self._seen if scene[0] <= seen.track.first < scene[1]], audio)
        return Speakers(tuple(faces), audio is not None, why, self._num_frames)

    def _vectors(self, faces: np.ndarray) -> np.ndarray:
        import torch

        vectors: np.ndarray = self._network.see(torch.from_numpy(faces)).numpy()
        return vectors

    def _scene(self, seen: Sequence[_Seen], audio: np.ndarray | None) -> list[FaceScore]:
        """The faces of a scene with their scores, those marked that are taken: best first, one at a time."""
        scored = [(chain.track, self._scores(chain, audio)) for chain in _joined(seen)]
        longest = min(_ENOUGH, max((len(scores) for _, scores in scored), default=0))
        order = sorted(scored, key=lambda each: (len(each[1]) >= longest, float(each[1].mean())), reverse=True)
        taken: list[FaceTrack] = []
        found = []
        for track, scores in order:
            free = not any(track.meets(other) for other in taken)
            taken += [track] if free else []
            found.append(FaceScore(track.first, track.boxes, float(scores.mean()), int((scores > 0).sum()), free))
        return found

    def _scores(self, seen: _Seen, audio: np.ndarray | None) -> np.ndarray:
        import torch

        cepstra = None
        if audio is not None:
            begin, end = seen.track.first * SAMPLES_PER_FRAME, seen.track.end * SAMPLES_PER_FRAME + OVERHANG
            cepstra = torch.from_numpy(mfcc(audio[begin:end]).astype(np.float32))
        scores: np.ndarray = self._network.scores(torch.from_numpy(seen.vectors), cepstra).numpy()
        return scores


def cut_faces(frames: Sequence[Frame], track: FaceTrack) -> np.ndarray:
    """(T, 112, 112) uint8 gray: a face in all frames of its track, as the published pipeline cuts it."""
    from lipsound2.models.asd import SIDE

    half, x, y = squares(track.points)
    side = (1 + MARGIN) * half  # the middle half of what is cut for SyncNet, which reaches farther below than above
    step, left, top = side / SIDE, x - side / 2, y + MARGIN * half - side / 2
    found = np.empty((len(half), SIDE, SIDE), np.uint8)
    for number in range(len(half)):
        frame, size = frames[track.first + number], float(step[number])
        # Between the middles of pixels, without smoothing before: as the faces it was trained on were resized.
        matrix = np.array([[size, 0, left[number] + size / 2 - 0.5], [0, size, top[number] + size / 2 - 0.5]])
        face = cv2.warpAffine(
            frame.luma(),
            matrix,
            (SIDE, SIDE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=GRAY,
        )
        found[number] = to_full_range(face, frame.full_range)
    return found


def _joined(seen: Sequence[_Seen]) -> list[_Seen]:
    """Faces over the parts of a clip: where one ends with a part and one begins in its place, they are the same."""
    chains: list[_Seen] = []
    for each in sorted(seen, key=lambda each: each.track.first):
        before = [n for n, chain in enumerate(chains) if chain.track.end == each.track.first and _same(chain, each)]
        if not before:
            chains.append(each)
            continue
        chain = chains[before[0]]
        points = np.concatenate([chain.track.points, each.track.points])
        track = FaceTrack(chain.track.first, points, (chain.track.keys[0], each.track.keys[1]))
        chains[before[0]] = _Seen(track, np.concatenate([chain.vectors, each.vectors]))
    return chains


def _same(chain: _Seen, each: _Seen) -> bool:
    nowhere = (0.0, 0.0, 0.0, 0.0)
    last, first = Face(nowhere, chain.track.points[-1]), Face(nowhere, each.track.points[0])
    return overlap(around(last), around(first)) > _SAME


def _audio(clip: Path | None, start: float, num_frames: int) -> tuple[np.ndarray | None, str]:
    """The audio beside the frames, and a little more; None, and why, where there is none that can be used."""
    if clip is None:
        return None, "frames have no audio"
    seconds = num_frames / FRAME_RATE + OVERHANG / SAMPLE_RATE
    try:
        audio = load_audio(clip, start=start, seconds=seconds)
    except ClipFailure as failure:
        return None, "no audio" if failure.reason == "no-audio" else f"the audio is {failure.reason}"
    return (audio, "") if float(np.abs(audio).max(initial=0)) > _SILENCE else (None, "the audio is silent")
