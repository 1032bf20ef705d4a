"""`lipsound2 crop`: video -> landmarks and crops, one pass, a verdict per clip."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from lipsound2.arguments import AtLeast1, Share, Within
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.lookup import Lookup
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.files import sweep
from lipsound2.fingerprint import NAME as STAMP
from lipsound2.fingerprint import SIZES, Stamp
from lipsound2.jobs.jobs import Failure, dump_clips, read_failures
from lipsound2.outputs import OutputFolder
from lipsound2.timing import FRAME_RATE
from lipsound2.video.align import REGIONS
from lipsound2.video.cropper import EVERY, Cropper, Crops, Report
from lipsound2.video.encode import CODEC, CRF, Encoder, frames_in
from lipsound2.video.portrait import write_portrait

__all__ = ["Cropper", "Crops", "Report", "crop"]
log = logging.getLogger(__name__)
FACES = "faces"  # in the dump: of each clip with several faces, a picture that shows which was taken
_VERSION = 6  # raised when the same options give other crops


def crop(
    dir: Path,
    dump: OutputFolder,
    *,
    regions: tuple[str, ...] = ("face", "mouth"),
    detector: Literal["mediapipe", "dlib"] = "mediapipe",
    dlib_landmarks: Path | None = None,
    landmarks: Path | None = None,
    every: AtLeast1 = EVERY,
    choose: Literal["largest", "left", "right", "center"] = "largest",
    least: Share = 0.3,
    codec: str = CODEC,
    crf: Annotated[float, Within(0, 51)] = CRF,
    nj: AtLeast1 = 2,
    launcher: str = "local",
    shard_size: AtLeast1 = 100,
    max_failures: Share = 0.05,
    timeout: Annotated[float, Within(1)] = 3600.0,
) -> int:
    """Cut steady crops of face and mouth out of every clip of a data dir.

    Landmarks are always kept. When they are there already and only a region is missing, it is made from them. Where a
    clip shows several faces, DUMP/faces/<id>.png shows which was taken.

    Args:
        dir: data dir with video.scp.
        dump: folder of the archives; landmarks/ and one folder a region are written.
        regions: what to cut out: face (112x112, LipSound2), mouth (96x96, aligned to the mean face, LiRA).
        detector: what finds faces: mediapipe or dlib.
        dlib_landmarks: 68-point or 5-point model file for dlib; without one the mean face is placed by the box.
        landmarks: folder of a landmarks archive made elsewhere; nothing is detected then.
        every: look at every k-th picture at least; between, landmarks are interpolated.
        choose: which face when there are several.
        least: share of a clip's pictures that must have a face.
        codec: H.264 encoder of ffmpeg's.
        crf: its constant rate factor; 6 more is about half the bytes.
        nj: worker processes.
        launcher: local, or a cluster engine.
        shard_size: clips a shard.
        max_failures: share of clips that may fail.
        timeout: seconds one clip may take before it counts as hanging; a clip of two hours takes some minutes.
    """
    data = DataDir(dir)
    unknown = [name for name in regions if name not in REGIONS]
    if unknown or not regions:
        raise LipsoundError(f"--regions: unknown region '{','.join(unknown)}'; known: {', '.join(REGIONS)}")
    if not data.video:
        raise LipsoundError(f"{dir}: there is no video.scp, so nothing to crop; see: lipsound2 validate {dir}")
    if landmarks is not None:
        # Nothing is detected, and nothing that steers a detector matters.
        options: dict[str, Any] = {"detector": "none", "least": least}
    else:
        options = {"detector": detector, "dlib_landmarks": dlib_landmarks, "every": every, "choose": choose}
        options["least"] = least
    coding = {"codec": codec, "crf": crf}
    videos = Lookup(Path(dir) / "video.scp")
    sources = [videos.path, *([landmarks / "feats.scp"] if landmarks else [])]

    def noted(name: str) -> bool:
        return (dump / name / SIZES).exists()

    def tracked() -> Stamp:
        # Verdicts are part of what is done: a line deleted in failures.tsv asks for its clip again.
        failed = sorted(clip for clip, step, _, _ in read_failures(dump) if step == "crop")
        return Stamp(dump / "landmarks", "crop", {**options, "version": _VERSION, "failed": failed}, sources)

    def region_stamp(name: str) -> Stamp:
        # Made once the landmarks are whole: it holds their stamp.
        return Stamp(dump / name, "crop", {**coding, "version": _VERSION}, [dump / "landmarks"])

    # Clips that the machine failed are tried again; so is what an earlier version left without noting sizes.
    verdicts = [Failure(clip, reason, detail) for clip, step, reason, detail in read_failures(dump) if step == "crop"]
    seen = not any(verdict.passing for verdict in verdicts) and noted("landmarks") and tracked().fresh()
    missing = [name for name in regions if not (seen and noted(name) and region_stamp(name).fresh())]
    if not missing:
        log.info("crop: %s of %s in %s: done before, skipped", ", ".join(regions), dir, dump)
        return 0
    kinds: dict[str, dict[str, Any]] = {
        name: {"kind": name, "content": "h264", "size": REGIONS[name].size, "rate": FRAME_RATE, **coding}
        for name in missing
    }
    if seen:
        log.info("crop: landmarks of %s are there, %s is made from them", dir, ", ".join(missing))
        work = _Work(videos, missing, {"detector": "none", "least": least}, coding, dump / "landmarks", dump)
    else:
        tracked().clear()
        kinds["landmarks"] = {"kind": "landmarks", "content": "x0 y0 ... x67 y67 flag", "rate": FRAME_RATE}
        work = _Work(videos, missing, options, coding, landmarks, None, None if landmarks else dump / FACES)
    sweep(dump / FACES)
    for name in missing:
        (dump / name / STAMP).unlink(missing_ok=True)
    dump_clips(
        dump,
        kinds,
        sorted(data.video),
        work,
        step="crop",
        fingerprint={**options, **coding, "landmarks": str(landmarks), "version": _VERSION},
        inputs=data.video,
        nj=nj,
        shard_size=shard_size,
        launcher=launcher,
        max_failures=max_failures,
        timeout=timeout,
        frames=_frames,
    )
    if not seen:
        tracked().write()
    for name in missing:
        region_stamp(name).write()
    return 0


def _frames(kind: str, array: np.ndarray) -> int:
    return len(array) if kind == "landmarks" else frames_in(array)


@dataclass(frozen=True)
class _Work:
    """Makes a worker: one cropper for its whole life. Picklable, so that it can be sent to other processes.

    Attributes:
        videos: the table id -> file.
        regions: what to cut out.
        options: of the cropper.
        coding: of the encoder.
        landmarks: archive to take the landmarks from, instead of detecting.
        verdicts: dump those landmarks were made in: clips that failed there fail here, for the same reason.
        faces: folder of pictures of the clips with several faces; None: nobody looks for faces.
    """

    videos: Lookup
    regions: Sequence[str]
    options: Mapping[str, Any]
    coding: Mapping[str, Any]
    landmarks: Path | None
    verdicts: Path | None
    faces: Path | None = None

    def __call__(self) -> Callable[[str], Mapping[str, Any]]:
        """Called once in each worker process."""
        cropper = Cropper(self.regions, **self.options)
        given = None if self.landmarks is None else Archive(self.landmarks)
        rows = read_failures(self.verdicts) if self.verdicts else []
        failed = {name: ClipFailure(reason, detail) for name, step, reason, detail in rows if step == "crop"}

        def work(clip: str) -> Mapping[str, Any]:
            if given is not None and clip not in given:
                raise failed.get(clip) or ClipFailure("no-landmarks", f"{clip} is not in {self.landmarks}")
            video = self.videos.get(clip)
            if video is None:
                raise ClipFailure("unreadable", f"{clip} is no longer in {self.videos.path}")
            portrait = self.faces / f"{clip}.png" if self.faces else None
            if portrait is not None:
                portrait.unlink(missing_ok=True)  # of another choice
            crops = cropper(video, None if given is None else given[clip], functools.partial(Encoder, **self.coding))
            if portrait is not None and crops.portrait is not None:
                write_portrait(portrait, crops.portrait)
            result: dict[str, Any] = {**crops.regions}
            if self.verdicts is None:
                result["landmarks"] = crops.landmarks
                result["landmarks/timeline.tsv"] = _timeline_row(crops)
                result["landmarks/report.tsv"] = str(crops.report)
            return result

        return work


def _timeline_row(crops: Crops) -> str:
    line = crops.timeline
    detected = crops.report.frames - crops.report.missing
    return f"{line.start:.6f}\t{line.frames}\t{line.fps:.4f}\t{line.width}\t{line.height}\t{detected}"
