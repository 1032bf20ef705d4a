"""`lipsound2 crop`: video -> landmarks and crops, one pass, a verdict per clip."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lipsound2.archive import Archive
from lipsound2.datadir import DataDir
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.jobs import dump_clips
from lipsound2.stamp import Stamp
from lipsound2.video.align import REGIONS
from lipsound2.video.cropper import Cropper, Crops, Report
from lipsound2.video.encode import CODEC, CRF, encode, frames_in

__all__ = ["Cropper", "Crops", "Report", "crop"]
log = logging.getLogger(__name__)


def crop(
    dir: Path,
    dump: Path,
    *,
    regions: tuple[str, ...] = ("face", "mouth"),
    detector: Literal["mediapipe", "dlib"] = "mediapipe",
    dlib_landmarks: Path | None = None,
    landmarks: Path | None = None,
    every: int = 5,
    choose: Literal["largest", "left", "right", "center"] = "largest",
    least: float = 0.3,
    codec: str = CODEC,
    crf: float = CRF,
    nj: int = 2,
    launcher: str = "local",
    shard_size: int = 100,
    max_failures: float = 0.05,
) -> int:
    """Cut steady crops of face and mouth out of every clip of a data dir.

    Landmarks are always kept. When they are there already and only a region is missing, it is made from them.

    Args:
        dir: data dir with video.scp.
        dump: folder of the archives; landmarks/ and one folder a region are written.
        regions: what to cut out: face (112x112, LipSound2), mouth (96x96, aligned to the mean face, LiRA).
        detector: what finds faces: mediapipe or dlib.
        dlib_landmarks: 68-point or 5-point model file for dlib; without one the mean face is placed by the box.
        landmarks: folder of a landmarks archive made elsewhere; nothing is detected then.
        every: look at every k-th picture; between, landmarks are interpolated.
        choose: which face when there are several.
        least: share of a clip's pictures that must have a face.
        codec: H.264 encoder of ffmpeg's.
        crf: its constant rate factor; 6 more is about half the bytes.
        nj: worker processes.
        launcher: local, or a cluster engine.
        shard_size: clips a shard.
        max_failures: share of clips that may fail.
    """
    data = DataDir(dir)
    unknown = [name for name in regions if name not in REGIONS]
    if unknown or not regions:
        raise LipsoundError(f"--regions: unknown region '{','.join(unknown)}'; known: {', '.join(REGIONS)}")
    if not data.video:
        raise LipsoundError(
            f"{dir}: there is no video.scp, so nothing to crop; add it, or run: lipsound2 validate {dir}"
        )
    detection = {
        "detector": detector,
        "dlib_landmarks": dlib_landmarks,
        "every": every,
        "choose": choose,
        "least": least,
    }
    coding = {"codec": codec, "crf": crf}
    inputs = [Path(dir) / "video.scp", *([landmarks / "feats.scp"] if landmarks else [])]
    stamps = {"landmarks": Stamp(dump / "landmarks", "crop", {} if landmarks else detection, inputs)}
    tracked = stamps["landmarks"].fresh()
    if tracked:
        landmarks = dump / "landmarks"
    missing = [name for name in regions if not (tracked and _region_stamp(dump, name, coding).fresh())]
    if not missing:
        log.info("crops of %s are in %s already: skipped", dir, dump)
        return 0
    # From given landmarks no detector is made, and nothing that steers one matters.
    options = {"detector": "none"} if landmarks else detection
    kinds = {} if tracked else {"landmarks": {"kind": "landmarks", "content": "x0 y0 ... x67 y67 flag", "rate": 25}}
    kinds |= {
        name: {"kind": name, "content": "h264", "size": REGIONS[name].size, "rate": 25, **coding} for name in missing
    }
    for name in kinds:
        (stamps[name] if name in stamps else _region_stamp(dump, name, coding)).clear()
    summary = dump_clips(
        dump,
        kinds,
        sorted(data.video, key=str.encode),
        _Work(data.video, tuple(missing), options, coding, landmarks, keep=not tracked),
        step="crop",
        fingerprint={**options, **coding, "landmarks": str(landmarks)},
        inputs=data.video,
        nj=nj,
        shard_size=shard_size,
        launcher=launcher,
        max_failures=max_failures,
        frames=_frames,
    )
    for name in kinds:
        (stamps[name] if name in stamps else _region_stamp(dump, name, coding)).write()
    log.info("crops of %s: %d done, %d skipped, %d failed", dir, summary.done, summary.skipped, summary.failed)
    return 0


def _region_stamp(dump: Path, name: str, coding: Mapping[str, Any]) -> Stamp:
    return Stamp(dump / name, "crop", coding, [dump / "landmarks"])


def _frames(kind: str, array: np.ndarray) -> int:
    return len(array) if kind == "landmarks" else frames_in(array)


class _Work:
    """Makes a worker: one cropper for its whole life. Picklable, so that it can be sent to other processes."""

    def __init__(
        self,
        videos: Mapping[str, str],
        regions: tuple[str, ...],
        options: Mapping[str, Any],
        coding: Mapping[str, Any],
        landmarks: Path | None,
        *,
        keep: bool,
    ) -> None:
        self._videos, self._regions, self._options, self._coding = dict(videos), regions, dict(options), dict(coding)
        self._landmarks, self._keep = landmarks, keep

    def __call__(self) -> Callable[[str], Mapping[str, Any]]:
        """Called once in each worker process."""
        cropper = Cropper(self._regions, **self._options)
        given = None if self._landmarks is None else Archive(self._landmarks)

        def work(clip: str) -> Mapping[str, Any]:
            if given is not None and clip not in given:
                raise ClipFailure("no-landmarks", f"{clip} is not in {self._landmarks}")
            crops = cropper(self._videos[clip], None if given is None else given[clip])
            result: dict[str, Any] = {name: encode(frames, **self._coding) for name, frames in crops.regions.items()}
            if self._keep:
                result["landmarks"] = crops.landmarks
                result["landmarks/timeline.tsv"] = _timeline_row(crops)
                result["landmarks/report.tsv"] = str(crops.report)
            return result

        return work


def _timeline_row(crops: Crops) -> str:
    line = crops.timeline
    detected = crops.report.frames - crops.report.missing
    return f"{line.start:.6f}\t{line.frames}\t{line.fps:.4f}\t{line.width}\t{line.height}\t{detected}"
