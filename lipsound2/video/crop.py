"""The verb `crop`: videos to landmarks and crops, in one pass; rejected clips are listed with the reason."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np

from lipsound2.arguments import AtLeast1, Share, Within
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.data.lookup import Lookup
from lipsound2.errors import ClipFailure, LipsoundError, UsageError
from lipsound2.files import sweep
from lipsound2.fingerprint import NAME as STAMP
from lipsound2.fingerprint import SIZES, Fingerprint, digest
from lipsound2.jobs.jobs import Failure, dump_clips, read_failures, tell_removed
from lipsound2.outputs import OutputFolder
from lipsound2.timing import FRAME_RATE
from lipsound2.video.align import REGIONS
from lipsound2.video.crop_report import CropReport
from lipsound2.video.cropper import EVERY, Cropper, Crops
from lipsound2.video.detect import DEFAULT_DETECTOR, DetectorName, check_detector
from lipsound2.video.encode import CODEC, CRF, Encoder, count_frames
from lipsound2.video.face_choice import write_image
from lipsound2.video.speaking import SpeakerFinder, check_choice

__all__ = ["CropReport", "Cropper", "Crops", "crop"]
log = logging.getLogger(__name__)
FACES = "faces"  # in the dump: of each clip with several faces, an image that shows which was taken
LANDMARKS = "landmarks"  # a kind of the dump: 68 points of every frame, and whether a face was found
# What crops are marked with, and hashed, are the names these options had when the first dumps were made.
_MARKED_AS = {"min_face_ratio": "least", "detect_interval": "every", "which_face": "choose"}
_VERSION = 6  # raised when the same options give other crops


def crop(
    dir: Path,
    dump: OutputFolder,
    *,
    regions: tuple[str, ...] = ("face", "mouth"),
    detector: DetectorName = DEFAULT_DETECTOR,
    dlib_landmarks: Path | None = None,
    landmarks: Path | None = None,
    detect_interval: AtLeast1 = EVERY,
    face: Literal["largest", "left", "right", "center", "speaking"] = "largest",
    asd: Path | None = None,
    min_face_ratio: Share = 0.3,
    codec: str = CODEC,
    crf: Annotated[float, Within(0, 51)] = CRF,
    nj: AtLeast1 = 2,
    launcher: str = "local",
    shard_size: AtLeast1 = 100,
    max_failures: Share = 0.05,
    timeout: Annotated[float, Within(1)] = 3600.0,
) -> int:
    """Crop face and mouth of every clip of a data dir, stabilized over time.

    Landmarks are always kept. When they are there already and only a region is missing, it is made from them. Where a
    clip shows several faces, the image DUMP/faces/<id>.png marks the one that was taken, with --face speaking and how
    much each looks like the one who speaks.

    Args:
        dir: data dir of all clips of the dump, such as data/all, with video.scp.
        dump: folder of the archives; landmarks/ and one folder a region are written.
        regions: what to crop: face (112x112, LipSound2), mouth (96x96, aligned to the mean face, LiRA),
            mouth-published (96x96, as published lip readers want it).
        detector: face detector: facemesh, mediapipe (the same networks, slower; landmarks differ in hundredths of a
            pixel) or dlib.
        dlib_landmarks: with --detector dlib, its 68-point or 5-point model file; without one the mean face is placed by
            the box.
        landmarks: folder of a landmarks archive made elsewhere; no faces are detected then.
        detect_interval: detect faces in every k-th frame at least; landmarks between are interpolated.
        face: which face when there are several; speaking takes the one who speaks, by lips and audio, see --asd.
        asd: with --face speaking: file of LR-ASD's published weights, which tell who speaks.
        min_face_ratio: share of a clip's frames that must have a face.
        codec: an H.264 encoder of ffmpeg.
        crf: its constant rate factor; 6 more is about half the bytes.
        nj: worker processes.
        launcher: where workers run: local or slurm.
        shard_size: clips a shard.
        max_failures: share of clips that may fail.
        timeout: seconds one clip may take before it counts as hanging; a clip of two hours takes some minutes.
    """
    check_choice(face, asd)
    if landmarks is None:
        check_detector(detector, dlib_landmarks)
    else:
        _check_undetected(landmarks, detector, dlib_landmarks, detect_interval, face)
    data = DataDir(dir)
    _check(data, regions)
    for region in regions:  # what it refuses is told before the work, not clip by clip
        Encoder((1, *[REGIONS[region].size] * 2), codec, crf)
    options: dict[str, Any] = {"detector": "none", "min_face_ratio": min_face_ratio}  # all that matters with landmarks
    if landmarks is None:
        options |= {"detector": detector, "dlib_landmarks": dlib_landmarks}
        options |= {"detect_interval": detect_interval, "which_face": face}
    marked = {_MARKED_AS.get(name, name): value for name, value in options.items()}
    if landmarks is None and asd is not None:
        SpeakerFinder(asd)  # another file is told before the work, not clip by clip
        options |= {"asd": asd}
        marked |= {"asd": digest(asd)}  # not its name: it may be moved
    coding = {"codec": codec, "crf": crf}
    videos = Lookup(Path(dir) / "video.scp")
    marks = _Marks(dump, marked, coding, [videos.path, *([landmarks / "feats.scp"] if landmarks else [])])
    kinds = marks.missing(regions)
    cut = [kind for kind in kinds if kind != LANDMARKS]
    if not kinds:
        log.info("crop: %s of %s in %s: done before, skipped", ", ".join(regions), dir, dump)
        return 0
    tell_removed(dump, kinds, data)
    if LANDMARKS in kinds:
        work = _Work(videos, cut, options, coding, landmarks, None, None if landmarks else dump / FACES)
    else:
        log.info("crop: landmarks of %s are there, %s is made from them", dir, ", ".join(cut))
        work = _Work(
            videos, cut, {"detector": "none", "min_face_ratio": min_face_ratio}, coding, dump / LANDMARKS, dump
        )
    if landmarks is None and (other := marks.other_detector()):
        log.warning(
            "crop: %s was cropped with --detector %s and is cropped again with %s; to keep it, stop this and give "
            "--detector %s",
            *(dump, other, detector, other),
        )
    sweep(dump / FACES)
    marks.clear(kinds)
    dump_clips(
        dump,
        {kind: _content(kind, coding) for kind in kinds},
        sorted(data.video),
        work,
        step="crop",
        fingerprint={**marked, **coding, "landmarks": str(landmarks), "version": _VERSION},
        inputs=data.video,
        nj=nj,
        shard_size=shard_size,
        launcher=launcher,
        max_failures=max_failures,
        timeout=timeout,
        num_frames=_frames,
    )
    marks.write(kinds)
    return 0


def _check_undetected(landmarks: Path, detector: str, dlib_landmarks: Path | None, interval: int, face: str) -> None:
    """Make sure that beside landmarks nothing is given that steers how faces are detected.

    Raises:
        UsageError: something is.
    """
    options = (
        ("detector", detector, DEFAULT_DETECTOR),
        ("dlib-landmarks", dlib_landmarks, None),
        ("detect-interval", interval, EVERY),
        ("face", face, "largest"),
    )
    for name, found, default in options:
        if found != default:
            raise UsageError(
                f"--landmarks {landmarks}: no faces are detected then, found --{name} {found}; leave one of them out"
            )


def _check(data: DataDir, regions: Sequence[str]) -> None:
    """Make sure that there are videos, and that the regions are known.

    Raises:
        LipsoundError: one of them is not so.
    """
    unknown = [name for name in regions if name not in REGIONS]
    if unknown or not regions:
        raise LipsoundError(f"--regions: unknown region '{','.join(unknown)}'; known: {', '.join(REGIONS)}")
    if not data.video:
        raise LipsoundError(
            f"{data.path}: there is no video.scp, so nothing to crop; see: lipsound2 validate {data.path}"
        )


def _content(kind: str, coding: Mapping[str, Any]) -> dict[str, Any]:
    """Content of the kind.yaml of a kind."""
    if kind == LANDMARKS:
        return {"kind": kind, "content": "x0 y0 ... x67 y67 flag", "rate": FRAME_RATE}
    return {"kind": kind, "content": "h264", "size": REGIONS[kind].size, "rate": FRAME_RATE, **coding}


@dataclass(frozen=True)
class _Marks:
    """Knows which kinds of a dump are done: landmarks, made from videos, and regions, made from landmarks.

    Attributes:
        dump: folder of the kinds.
        options: that steer the landmarks.
        coding: of the encoder, which steers the regions.
        sources: files the landmarks are made from.
    """

    dump: Path
    options: Mapping[str, Any]
    coding: Mapping[str, Any]
    sources: Sequence[Path]

    def missing(self, regions: Sequence[str]) -> list[str]:
        """The kinds that have to be made: of the regions, and of the landmarks all of them are made with."""
        if any(failure.passing for failure in self._failures()) or not self._done(LANDMARKS):
            return [*regions, LANDMARKS]  # clips that the machine failed are tried again
        return [name for name in regions if not self._done(name)]

    def other_detector(self) -> str:
        """The detector the landmarks were made with, if nothing else has changed; else empty."""
        others = [name for name in get_args(DetectorName) if name != self.options["detector"]]
        marks = (replace(self, options={**self.options, "detector": name}) for name in others)
        return next((name for name, mark in zip(others, marks, strict=True) if mark._stamp(LANDMARKS).same()), "")

    def clear(self, kinds: Sequence[str]) -> None:
        """Take the marks away before anything is touched."""
        for kind in kinds:
            (self.dump / kind / STAMP).unlink(missing_ok=True)

    def write(self, kinds: Sequence[str]) -> None:
        """Set the marks; that of the landmarks comes first, as the others hold it."""
        for kind in sorted(kinds, key=lambda kind: kind != LANDMARKS):
            self._stamp(kind).write()

    def _done(self, kind: str) -> bool:
        # What an earlier version left without noting sizes is looked at again.
        return (self.dump / kind / SIZES).exists() and self._stamp(kind).up_to_date()

    def _stamp(self, kind: str) -> Fingerprint:
        if kind != LANDMARKS:
            return Fingerprint(self.dump / kind, "crop", {**self.coding, "version": _VERSION}, [self.dump / LANDMARKS])
        # Failures are part of what is done: a line deleted in failures.tsv asks for its clip again.
        failed = sorted(failure.id for failure in self._failures())
        options = {**self.options, "version": _VERSION, "failed": failed}
        return Fingerprint(self.dump / kind, "crop", options, self.sources)

    def _failures(self) -> list[Failure]:
        rows = read_failures(self.dump)
        return [Failure(clip, reason, detail) for clip, step, reason, detail in rows if step == "crop"]


def _frames(kind: str, array: np.ndarray) -> int:
    return len(array) if kind == LANDMARKS else count_frames(array)


@dataclass(frozen=True)
class _Work:
    """Makes a worker: one cropper for its whole life. Picklable, so that it can be sent to other processes.

    Attributes:
        videos: the table id -> file.
        regions: what to cut out.
        options: of the cropper.
        coding: of the encoder.
        landmarks: archive to take the landmarks from, instead of detecting.
        failures: dump those landmarks were made in: clips that failed there fail here, for the same reason.
        faces: folder of the images that show which face was taken; None: no faces are detected.
    """

    videos: Lookup
    regions: Sequence[str]
    options: Mapping[str, Any]
    coding: Mapping[str, Any]
    landmarks: Path | None
    failures: Path | None
    faces: Path | None = None

    def __call__(self) -> Callable[[str], Mapping[str, Any]]:
        """Called once in each worker process."""
        cropper = Cropper(self.regions, **self.options)
        given = None if self.landmarks is None else Archive(self.landmarks)
        rows = read_failures(self.failures) if self.failures else []
        failed = {name: ClipFailure(reason, detail) for name, step, reason, detail in rows if step == "crop"}

        def work(clip: str) -> Mapping[str, Any]:
            if given is not None and clip not in given:
                raise failed.get(clip) or ClipFailure("no-landmarks", f"{clip} is not in {self.landmarks}")
            video = self.videos.get(clip)
            if video is None:
                raise ClipFailure("unreadable", f"{clip} is no longer in {self.videos.path}")
            image = self.faces / f"{clip}.png" if self.faces else None
            if image is not None:
                image.unlink(missing_ok=True)  # of another choice
            crops = cropper(video, None if given is None else given[clip], functools.partial(Encoder, **self.coding))
            if image is not None and crops.face_choice is not None:
                write_image(image, crops.face_choice)
            result: dict[str, Any] = {**crops.regions}
            if self.failures is None:
                result[LANDMARKS] = crops.landmarks
                result[f"{LANDMARKS}/timeline.tsv"] = _timeline_row(crops)
                result[f"{LANDMARKS}/report.tsv"] = str(crops.report)
            return result

        return work


def _timeline_row(crops: Crops) -> str:
    line = crops.timeline
    detected = crops.report.num_frames - crops.report.missing
    return f"{line.start:.6f}\t{line.num_frames}\t{line.fps:.4f}\t{line.width}\t{line.height}\t{detected}"
