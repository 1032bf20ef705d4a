"""The detector facemesh: mediapipe's networks without its graphs find what mediapipe finds."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from lipsound2.cli import main
from lipsound2.errors import LipsoundError
from lipsound2.files import sha256
from lipsound2.video import crop as crop_module
from lipsound2.video import face_networks
from lipsound2.video.crop import Cropper, crop
from lipsound2.video.decode import read_video
from lipsound2.video.detect import make_detector
from lipsound2.video.face_networks import FOLDER, Window, faces, mesh, window_of

NETWORKS = ("face_detection_short_range", "face_detection_full_range_sparse", "face_landmark")


@pytest.fixture(scope="module")
def frames(grid: Path) -> np.ndarray:
    """Two speakers beside each other, every eighth video frame: (10, 288, 720, 3)."""
    pytest.importorskip("ai_edge_litert")
    clips = [sorted((grid / speaker).glob("*.mp4"))[0] for speaker in ("s1", "s2")]
    one, other = (read_video(clip)[0][::8] for clip in clips)
    return np.ascontiguousarray(np.concatenate([one, other], 2))


def test_the_networks_are_the_files_their_page_names():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"`(\w+)\.tflite` .* `([0-9a-f]{64})`", page))
    assert named == {name: sha256(FOLDER / f"{name}.tflite") for name in NETWORKS}
    assert sorted(named) == sorted(path.stem for path in FOLDER.glob("*.tflite"))
    assert named == face_networks.SHA256


def test_the_networks_are_those_of_mediapipe():
    """Found through the metadata: mediapipe itself is not imported."""
    pytest.importorskip("mediapipe")
    theirs = {Path(file).stem: file.locate() for file in importlib.metadata.distribution("mediapipe").files or []}
    assert [sha256(Path(theirs[name])) for name in NETWORKS] == [sha256(FOLDER / f"{name}.tflite") for name in NETWORKS]


@pytest.mark.real
def test_boxes_are_those_of_mediapipe(frames: np.ndarray) -> None:
    solutions = pytest.importorskip("mediapipe").solutions
    height, width = frames.shape[1:3]
    for far in (False, True):
        graph = solutions.face_detection.FaceDetection(0.5, model_selection=int(far))
        for rgb in frames:
            found = faces(rgb, far=far)
            theirs = graph.process(rgb).detections
            assert len(found) == len(theirs) == 2
            for face, wanted in zip(found, theirs, strict=True):
                box = wanted.location_data.relative_bounding_box
                x0, y0 = box.xmin * width, box.ymin * height
                assert face.score == pytest.approx(wanted.score[0], abs=1e-4)
                assert face.box == pytest.approx((x0, y0, x0 + box.width * width, y0 + box.height * height), abs=0.05)


@pytest.mark.real
@pytest.mark.parametrize("angle", [0, 30])
def test_meshes_are_those_of_mediapipe(frames: np.ndarray, angle: int) -> None:
    """In the same window; of upright and of turned faces."""
    solutions = pytest.importorskip("mediapipe").solutions
    graph = solutions.face_mesh.FaceMesh(max_num_faces=1)
    height, width = 288, 360
    turn = cv2.getRotationMatrix2D((180, 144), angle, 1)
    window: Window | None = None
    for frame in frames[:, :, :360]:
        rgb = cv2.warpAffine(frame, turn, (width, height))
        wanted = np.array([(p.x * width, p.y * height) for p in graph.process(rgb).multi_face_landmarks[0].landmark])
        found = mesh(rgb, window or faces(rgb)[0].window)
        assert found is not None
        apart = np.linalg.norm(found - wanted, axis=1)
        assert apart.mean() < 0.01
        assert apart.max() < 0.05
        window = window_of(wanted.astype(np.float32))


@pytest.mark.real
def test_landmarks_of_a_clip_are_those_of_mediapipe(grid: Path) -> None:
    pytest.importorskip("mediapipe")
    pytest.importorskip("ai_edge_litert")
    clip = sorted((grid / "s3").glob("*.mp4"))[0]
    ours, theirs = (Cropper(("mouth",), name)(clip) for name in ("facemesh", "mediapipe"))
    assert str(ours.report) == str(theirs.report)
    assert np.array_equal(ours.landmarks[:, 136], theirs.landmarks[:, 136])
    apart = (ours.landmarks - theirs.landmarks)[:, :136].reshape(-1, 68, 2)
    assert np.linalg.norm(apart, axis=2).max() < 0.1
    assert np.abs(ours.regions["mouth"].astype(float) - theirs.regions["mouth"]).mean() < 0.2


@pytest.mark.real
def test_faces_of_a_frame_are_followed_and_forgotten(frames: np.ndarray) -> None:
    detector = make_detector("facemesh")
    for rgb in frames:
        found = detector.detect(rgb)
        assert sorted(face.box[0] > 360 for face in found) == [False, True]
    one = np.ascontiguousarray(frames[-1][:, :360])
    first = detector.detect(one, alone=True)
    detector.reset()
    again = detector.detect(one, alone=True)
    assert np.array_equal(first[0].points, again[0].points)
    assert detector.detect(np.zeros_like(one), alone=True) == []
    assert detector.glance(np.zeros_like(one)) == []
    assert len(detector.glance(frames[0])) == 2


def test_windows_overlap_as_counted() -> None:
    y, x = np.mgrid[:400, :400] + 0.5
    for one, other in (
        ((150, 150, 100), (180, 140, 60)),
        ((200, 200, 200), (210, 190, 20)),
        ((50, 50, 80), (250, 50, 80)),
    ):
        a, b = ((abs(x - cx) < side / 2) & (abs(y - cy) < side / 2) for cx, cy, side in (one, other))
        assert Window(*one).overlap(Window(*other)) == pytest.approx((a & b).sum() / (a | b).sum())


def test_a_window_tells_places_in_the_frame() -> None:
    window = Window(100, 80, 50, np.pi / 2)
    assert window.matrix(10) @ [5, 5, 1] == pytest.approx([100, 80])
    assert window.matrix(10) @ [10, 5, 1] == pytest.approx([100, 105])  # right of the middle is below it


def test_networks_are_made_once_and_serve_one_thread_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setattr(face_networks, "_idle", {name: [] for name in face_networks._idle})
    with face_networks._network("face_landmark") as one:
        pass
    with face_networks._network("face_landmark") as again, face_networks._network("face_landmark") as other:
        assert one is again is not other


@pytest.mark.real
def test_threads_find_the_same(frames: np.ndarray) -> None:
    rgb = np.ascontiguousarray(frames[0][:, :360])
    window = faces(rgb)[0].window
    alone = mesh(rgb, window)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: mesh(rgb, window), range(40)))
    assert all(np.array_equal(each, alone) for each in found)
    assert len(face_networks._idle["face_landmark"]) <= 5


def test_without_litert_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_networks, "_idle", {name: [] for name in face_networks._idle})
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(LipsoundError, match=r"'ai_edge_litert\.interpreter' cannot be imported .*install.* face"):
        make_detector("facemesh")
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(LipsoundError, match=r"pip install --no-deps mediapipe==.*--detector facemesh"):
        make_detector("mediapipe")


@pytest.mark.real
def test_an_opencv_that_wants_a_screen_is_one_line(tmp_path: Path, grid: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n")
    clip = sorted((grid / "s1").glob("*.mp4"))[0]
    command = [sys.executable, "-c", "import sys; from lipsound2.cli import main; sys.exit(main(sys.argv[1:]))"]
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(crop_module.__file__).parents[2]}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*command, "speak", str(clip), "-o", str(tmp_path / "a.wav")], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "libGL.so.1" in line
    assert "pip install --force-reinstall --no-deps opencv-python-headless" in line


@pytest.mark.real
def test_crops_of_another_detector_are_made_again_and_said(
    grid: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mediapipe")
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "video.scp").write_text(f"s1-a {sorted((grid / 's1').glob('*.mp4'))[0]}\n")
    (tmp_path / "data" / "utt2spk").write_text("s1-a s1\n")
    dump = tmp_path / "dump"
    made: list[str] = []
    whole_step = crop_module.dump_clips

    def noted(dump: Path, kinds: dict, ids: list[str], work, **options: object) -> object:
        made.append(work.options["detector"])
        return whole_step(dump, kinds, ids, work, **options)

    monkeypatch.setattr(crop_module, "dump_clips", noted)
    crop(tmp_path / "data", dump, regions=("mouth",), nj=1, detector="mediapipe")
    crop(tmp_path / "data", dump, regions=("mouth",), nj=1, detector="mediapipe")
    assert made == ["mediapipe"]
    assert main(["crop", str(tmp_path / "data"), str(dump), "--regions", "mouth", "--nj", "1"]) == 0
    assert made == ["mediapipe", "facemesh"]
    assert "was cropped with --detector mediapipe and is cropped again with facemesh" in caplog.text
    caplog.clear()
    crop(tmp_path / "data", dump, regions=("mouth",), nj=1)
    assert made == ["mediapipe", "facemesh"]
    assert "cropped again" not in caplog.text


@pytest.mark.parametrize(
    ("name", "content"), [("face_landmark", b""), ("face_landmark", b"1"), ("face_landmark", None)]
)
def test_fault_a_network_that_is_damaged_or_missing_is_told(name, content, tmp_path, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setattr(face_networks, "FOLDER", tmp_path)
    if content is not None:
        (tmp_path / f"{name}.tflite").write_bytes(content)
    with pytest.raises(LipsoundError, match=rf"{name}.tflite: .*(damaged|missing).*; install lipsound2 again$"):
        face_networks._Network(name)
