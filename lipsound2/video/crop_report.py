"""What happened to a clip that was cropped: a line for the dump, and warnings for a person."""

from __future__ import annotations

from dataclasses import dataclass, field

from lipsound2.timing import FRAME_RATE
from lipsound2.video.align import fit, quarter_turns
from lipsound2.video.decode import Source
from lipsound2.video.grid import Timeline
from lipsound2.video.scenes import Scene
from lipsound2.video.speaking import Speakers
from lipsound2.video.track import CHOICES, FILLED, Track
from lipsound2.video.view import View

_MANY = 0.1  # of the frames, from which on what is missing there is a warning
_SLOW = 20  # frames a second, below which lips move too much between two of them
_WELL = 25  # frames a second that show lips well
_SMALL = 48  # pixels a face is wide, below which its mouth has too few of them
_HARDLY_MOVES = "the mouth hardly moves: who is shown may not speak"


@dataclass(frozen=True)
class CropReport:
    """What happened to one clip.

    Attributes:
        num_frames: T, frames on the 25 fps grid.
        missing: those without a face; their landmarks are filled from around.
        outside: those with a face whose mouth lies outside of the frame.
        faces: most faces seen at once.
        box: x0, y0, x1, y1 around the face that was taken, pixels, median over time.
        scenes: runs of frames without a cut.
        looked: frames the detector saw.
        damaged: packets and frames that ffmpeg found broken.
        notes: what was converted.
        hardly_moves: whether who is shown may not speak at all.
        speakers: who speaks, where the face was chosen by that.
        lacking: what a file that ends too early lacks, in words; empty: nothing.
        fps: mean rate of the source, frames a second.
    """

    num_frames: int
    missing: int
    outside: int
    faces: int
    box: tuple[int, int, int, int]
    scenes: tuple[Scene, ...]
    looked: int
    damaged: int
    notes: tuple[str, ...]
    hardly_moves: bool = False
    speakers: Speakers | None = field(default=None, compare=False)
    lacking: str = ""
    fps: float = FRAME_RATE

    @property
    def warnings(self) -> list[str]:
        """What makes the result doubtful, a line each; empty: nothing that can be seen in the video."""
        found = [self.lacking] if self.lacking else []
        if self.missing > _MANY * self.num_frames:
            found.append(
                f"{self.missing} of {self.num_frames} video frames show no face; what is said there is a guess"
            )
        if self.outside > _MANY * self.num_frames:
            found.append(f"the mouth lies outside of the frame in {self.outside} of {self.num_frames} video frames")
        if self.speakers is not None:
            found += self.speakers.warnings
        if self.faces > 1 and (self.speakers is None or self.speakers.nobody):
            found.append(
                f"up to {self.faces} faces at once; the one at x {self.box[0]}-{self.box[2]} was taken; choose another "
                f"with --face {', '.join(CHOICES[1:])}"
            )
        if (width := self.box[2] - self.box[0]) < _SMALL:
            found.append(f"the face is small, {width} pixels wide; {_SMALL} or more show the lips well")
        if self.fps < _SLOW:
            found.append(f"the video has {self.fps:.3g} frames a second; {_WELL} or more show the lips well")
        if self.hardly_moves:
            found.append(_HARDLY_MOVES)
        if self.damaged:
            found.append(f"{self.damaged} packets or frames of the file are damaged")
        return found

    def __str__(self) -> str:
        notes = [*self.notes, *([_HARDLY_MOVES] if self.hardly_moves else [])]
        faces = f"no face in {self.missing} of {self.num_frames} frames" if self.missing else "a face in all frames"
        parts = [f"{self.num_frames} frames", *notes, faces]
        if self.outside:
            parts.append(f"the mouth outside of the frame in {self.outside}")
        if self.faces > 1:
            parts.append(f"up to {self.faces} faces at once, taken: the one at x {self.box[0]}-{self.box[2]}")
        if self.speakers is not None:
            parts.append(str(self.speakers))
        if len(self.scenes) > 1:
            first, end = max(self.scenes, key=lambda scene: scene[1] - scene[0])
            parts.append(f"{len(self.scenes)} scenes, the longest {first / FRAME_RATE:.2f}-{end / FRAME_RATE:.2f} s")
        if self.damaged:
            parts.append(f"{self.damaged} damaged packets or frames")
        return ", ".join(parts)


def notes_on_clip(source: Source | None, timeline: Timeline) -> tuple[str, ...]:
    """What was converted, for `CropReport.notes`.

    Args:
        source: the file; None: frames were given.
        timeline: the grid of its frames.
    """
    notes = [f"{timeline.width}x{timeline.height}"]
    if abs(timeline.fps - FRAME_RATE) > 0.01 * FRAME_RATE:
        notes.append(f"{timeline.fps:.2f} -> {FRAME_RATE:g} a second")
    if source is not None:
        if str(source.orientation):
            notes.append(str(source.orientation))
        if source.interlaced:
            notes.append("deinterlaced")
        notes.extend(source.notes)
    return tuple(notes)


def notes_on_face(tracked: Track, view: View) -> tuple[str, ...]:
    """How the face was found, likewise; empty: upright, in the frames as they are."""
    notes = []
    if turns := quarter_turns(fit(tracked.points[tracked.flags != FILLED])[0]):
        notes.append(f"the face is turned by {90 * turns} degrees clockwise, its crops are upright")
    if view.window is not None:
        notes.append("the face is small and was found at full size")
    return tuple(notes)
