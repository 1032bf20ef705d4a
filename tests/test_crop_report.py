"""What is said of a clip that was cropped: its face, and what makes the result doubtful."""

from __future__ import annotations

from lipsound2.video.crop_report import CropReport


def report_of(**more: float) -> CropReport:
    """The report of a good clip, but for some fields."""
    given: dict[str, object] = {"missing": 0, "outside": 0, "faces": 1, "box": (90, 60, 210, 200), "looked": 15} | more
    return CropReport(num_frames=75, scenes=((0, 75),), damaged=0, notes=("360x288",), **given)  # type: ignore[arg-type]


def test_whether_a_face_is_seen_is_said_plainly() -> None:
    assert str(report_of()) == "75 frames, 360x288, a face in all frames"
    assert str(report_of(missing=3)) == "75 frames, 360x288, no face in 3 of 75 frames"
    assert str(report_of(outside=2)).endswith("a face in all frames, the mouth outside of the frame in 2")


def test_few_frames_a_second_are_warned_of() -> None:
    assert report_of().warnings == []
    for fps in (20.0, 23.976, 25.0, 30.0):
        assert report_of(fps=fps).warnings == []
    assert report_of(fps=12.0).warnings == ["the video has 12 frames a second; 25 or more show the lips well"]
    assert report_of(fps=7.4935).warnings == ["the video has 7.49 frames a second; 25 or more show the lips well"]
