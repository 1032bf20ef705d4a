"""The cropper and the verb: real faces, several faces, odd clips, faults, resuming."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.video_making import write_clip

from lipsound2.cli import main
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.errors import ClipFailure, LipsoundError
from lipsound2.video import crop as crop_module
from lipsound2.video.align import MOUTH
from lipsound2.video.crop import Cropper, Crops, crop
from lipsound2.video.decode import read_video
from lipsound2.video.detect import make_detector
from lipsound2.video.encode import decode
from lipsound2.video.mean_face import MEAN_FACE

T25 = [i / 25 for i in range(75)]


@pytest.fixture(scope="module")
def cropper() -> Cropper:
    pytest.importorskip("ai_edge_litert")
    return Cropper()


def clips(grid: Path, speaker: str, number: int = 2) -> list[Path]:
    return sorted((grid / speaker).glob("*.mp4"))[:number]


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def in_crop(crops: Crops, name: str, detector: str = "facemesh") -> np.ndarray:
    """Landmarks found in the crops themselves, enlarged: (found, 68, 2) in crop pixels."""
    finder = make_detector(detector)
    found = []
    for frame in crops.regions[name][::5]:
        large = cv2.resize(frame, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
        found += [face.points / 3 for face in finder.detect(cv2.cvtColor(large, cv2.COLOR_GRAY2RGB))]
    return np.stack(found)


# Without any clip: landmarks given, frames drawn.


def drawn(frames: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Frames with a bright disc where the mouth is, and landmarks (T, 137) that say so."""
    video_frames = np.full((frames, 240, 320), 60, np.uint8)
    landmarks = np.ones((frames, 137), np.float32)
    for i in range(frames):
        points = MEAN_FACE * 60 + (120 + i, 90)
        landmarks[i, :136] = points.reshape(-1)
        cv2.circle(video_frames[i], tuple(map(int, points[MOUTH].mean(0).round())), 8, 250, -1)
    return video_frames, landmarks


def test_given_landmarks_need_no_detector() -> None:
    video_frames, landmarks = drawn()
    crops = Cropper(("mouth",), "none")(video_frames, landmarks)
    assert crops.regions["mouth"].shape == (30, 96, 96)
    assert np.array_equal(crops.landmarks, landmarks)
    for frame in crops.regions["mouth"]:
        y, x = np.nonzero(frame > 150)
        assert abs(x.mean() - 47.5) < 1
        assert abs(y.mean() - 47.5) < 1


def test_gray_and_color_frames_are_the_same() -> None:
    video_frames, landmarks = drawn()
    gray = Cropper(("face",), "none")(video_frames, landmarks).regions["face"]
    color = Cropper(("face",), "none")(np.repeat(video_frames[..., None], 3, -1), landmarks).regions["face"]
    assert np.abs(gray.astype(int) - color).max() <= 1


def test_a_long_clip_decoded_twice_is_the_same(tmp_path: Path) -> None:
    video_frames, landmarks = drawn(150)
    path = write_clip(tmp_path / "a.mp4", video_frames, [i / 25 for i in range(150)])
    once = Cropper(("mouth",), "none")(path, landmarks).regions["mouth"]
    twice = Cropper(("mouth",), "none", budget=1)(path, landmarks).regions["mouth"]
    assert np.array_equal(once, twice)


def test_verdicts() -> None:
    video_frames, landmarks = drawn()
    cropper = Cropper(("mouth",), "none")
    with pytest.raises(ClipFailure, match="too-short"):
        cropper(video_frames[:3], landmarks[:3])
    with pytest.raises(ClipFailure, match=r"landmarks: expected \(30, 137\)"):
        cropper(video_frames, landmarks[:-1])
    landmarks[:25, 136] = 0
    with pytest.raises(ClipFailure, match=r"no-face: a face in 17%"):
        cropper(video_frames, landmarks)
    with pytest.raises(LipsoundError, match="without a detector"):
        cropper(video_frames)
    with pytest.raises(LipsoundError, match="unknown region 'nose'"):
        Cropper(("nose",), "none")
    with pytest.raises(LipsoundError, match="unknown detector"):
        Cropper(("mouth",), "eyes")


# Real faces.


@pytest.mark.real
@pytest.mark.parametrize("speaker", ["s1", "s4", "s20"])
def test_real_crops_are_centered_level_and_steady(grid: Path, cropper: Cropper, speaker: str) -> None:
    crops = cropper(clips(grid, speaker, 1)[0])
    assert crops.landmarks.shape == (75, 137)
    assert (crops.landmarks[:, 136] > 0).all()
    assert crops.regions["mouth"].shape == (75, 96, 96)
    assert crops.regions["face"].shape == (75, 112, 112)
    inside = in_crop(crops, "face")
    assert len(inside) == 15
    middle = inside.reshape(-1, 2).mean(0)
    assert np.abs(middle - 55.5).max() < 8
    assert np.ptp(inside[:, 27:31].mean(1), axis=0).max() < 5  # the nose stays where it is
    # The mouth lies level in the middle of its crop: the landmarks under the same transform.
    from lipsound2.video.align import REGIONS

    points = crops.landmarks[:, :136].reshape(-1, 68, 2)
    matrices = REGIONS["mouth"].transforms(points, crops.report.scenes)
    mouth = np.einsum("tij,tkj->tki", np.linalg.inv(matrices[:, :, :2]), points[:, MOUTH] - matrices[:, None, :, 2])
    assert np.abs(mouth.mean((0, 1)) - 47.5).max() < 3
    corners = mouth[:, 6] - mouth[:, 0]
    assert np.abs(np.arctan2(corners[:, 1], corners[:, 0])).mean() < 0.12
    assert 35 < corners[:, 0].mean() < 62


@pytest.mark.real
def test_a_clips_result_does_not_depend_on_the_clip_before(grid: Path, cropper: Cropper) -> None:
    first, second = clips(grid, "s1", 1)[0], clips(grid, "s2", 1)[0]
    alone = Cropper()(second)
    cropper(first)
    after = cropper(second)
    cropper(second)
    again = cropper(second)
    for other in (after, again):
        assert np.array_equal(alone.landmarks, other.landmarks)
        for name, video_frames in alone.regions.items():
            assert np.array_equal(video_frames, other.regions[name])


@pytest.mark.real
def test_key_frames_agree_with_every_frame(grid: Path, cropper: Cropper) -> None:
    path = clips(grid, "s1", 1)[0]
    sparse = cropper(path).landmarks[:, :136].reshape(-1, 68, 2)
    dense = Cropper((), detect_interval=1)(path).landmarks[:, :136].reshape(-1, 68, 2)
    width = np.ptp(dense[:, :, 0], axis=1).mean()
    stable = np.linalg.norm(sparse[:, 27:48] - dense[:, 27:48], axis=2).mean()
    mouth = np.linalg.norm(sparse[:, MOUTH].mean(1) - dense[:, MOUTH].mean(1), axis=1).mean()
    assert stable < 0.02 * width
    assert mouth < 0.02 * width


@pytest.mark.real
def test_two_faces_side_by_side(grid: Path, cropper: Cropper, tmp_path: Path) -> None:
    left, _ = read_video(clips(grid, "s1", 1)[0])
    right, _ = read_video(clips(grid, "s2", 1)[0])
    right = np.stack(
        [cv2.resize(p[30:260, 60:300], (360, 288), interpolation=cv2.INTER_CUBIC) for p in right]
    )  # larger
    path = write_clip(tmp_path / "two.mp4", np.concatenate([left, right], 2), T25)
    alone = cropper(clips(grid, "s1", 1)[0]).regions["mouth"]
    larger = cropper(path)
    assert larger.report.faces == 2
    assert larger.report.box[0] > 360
    assert "2 faces" in str(larger.report)
    chosen = Cropper(("mouth",), which_face="left")(path)
    assert chosen.report.box[2] < 360
    assert psnr(chosen.regions["mouth"], alone) > 33
    assert Cropper((), which_face="right")(path).report.box == larger.report.box


@pytest.mark.real
def test_a_phone_clip(grid: Path, cropper: Cropper, tmp_path: Path) -> None:
    video_frames, _ = read_video(clips(grid, "s1", 1)[0])
    stored = []
    for i in range(60):
        scene = np.full((1280, 720, 3), 90, np.uint8)
        scene[200:752, 15:705] = cv2.resize(
            video_frames[min(74, round(i / 30 * 25))], (690, 552), interpolation=cv2.INTER_CUBIC
        )
        stored.append(np.rot90(scene))
    path = write_clip(tmp_path / "phone.mp4", stored, [i / 30 for i in range(60)], turned=90)
    crops = cropper(path)
    assert (crops.timeline.width, crops.timeline.height) == (720, 1280)
    assert len(crops.landmarks) == 50
    assert "30.00 -> 25" in str(crops.report)
    assert "turned by 90 degrees clockwise" in str(crops.report)
    alone = cropper(clips(grid, "s1", 1)[0]).regions["mouth"][:50]
    assert psnr(crops.regions["mouth"][10:40], alone[10:40]) > 32


@pytest.mark.real
def test_a_face_gone_for_a_second_and_a_cut(grid: Path, cropper: Cropper, tmp_path: Path) -> None:
    one, _ = read_video(clips(grid, "s1", 1)[0])
    other, _ = read_video(clips(grid, "s2", 1)[0])
    gone = one.copy()
    gone[25:50] = 120
    crops = cropper(write_clip(tmp_path / "gone.mp4", gone, T25))
    assert np.flatnonzero(crops.landmarks[:, 136] == 0).tolist() == list(range(25, 50))
    assert crops.report.missing == 25
    cut = cropper(write_clip(tmp_path / "cut.mp4", np.concatenate([one[:40], other[40:]]), T25))
    assert cut.report.scenes == ((0, 40), (40, 75))
    assert "2 scenes" in str(cut.report)
    plain = cropper(clips(grid, "s2", 1)[0]).landmarks[45:, :136].reshape(-1, 68, 2)
    after = cut.landmarks[45:, :136].reshape(-1, 68, 2)
    assert np.linalg.norm(after - plain, axis=2).mean() < 2.5
    with pytest.raises(ClipFailure, match="no-face"):
        cropper(np.full((30, 288, 360, 3), 100, np.uint8))


@pytest.mark.real
def test_a_small_face_far_away(grid: Path, cropper: Cropper) -> None:
    video_frames, _ = read_video(clips(grid, "s1", 1)[0])
    wide = np.full((25, 720, 1280, 3), 80, np.uint8)
    for scene, frame in zip(wide, video_frames, strict=False):
        scene[300:444, 700:880] = cv2.resize(frame, (180, 144), interpolation=cv2.INTER_AREA)
    crops = cropper(wide)
    assert crops.report.missing == 0
    assert 740 < crops.report.box[0] < crops.report.box[2] < 820


@pytest.mark.real
def test_dlib_finds_a_real_face(grid: Path, cropper: Cropper) -> None:
    pytest.importorskip("dlib")
    path = clips(grid, "s1", 1)[0]
    ours = Cropper(("mouth",), "dlib")(path)
    theirs = cropper(path)
    a, b = (crops.landmarks[:, :136].reshape(-1, 68, 2) for crops in (ours, theirs))
    width = np.ptp(b[:, :, 0], axis=1).mean()
    assert np.linalg.norm(a[:, MOUTH].mean(1) - b[:, MOUTH].mean(1), axis=1).mean() < 0.12 * width
    assert np.abs(np.diff(a[:, 30], axis=0)).max() < 0.02 * width  # boxes jump, crops must not


def test_a_wrong_dlib_model_is_reported(tmp_path: Path) -> None:
    pytest.importorskip("dlib")
    path = tmp_path / "model.dat"
    path.write_bytes(b"nothing")
    with pytest.raises(LipsoundError, match=r"model\.dat: not a dlib landmark model"):
        Cropper((), "dlib", dlib_landmarks=path)


# The verb.


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data dir of five drawn clips and one empty file, with landmarks beside it."""
    from lipsound2.data.archive import ArchiveWriter

    folder = tmp_path / "data"
    folder.mkdir()
    rows = []
    with ArchiveWriter(tmp_path / "given" / "l.ark", tmp_path / "given" / "feats.scp") as writer:
        for number in range(5):
            video_frames, landmarks = drawn(20 + number)
            path = tmp_path / f"clip {number}.mp4"
            write_clip(path, video_frames, [i / 25 for i in range(len(video_frames))])
            rows.append((f"s1-clip{number}", path))
            writer.write(f"s1-clip{number}", landmarks)
    (tmp_path / "empty.mp4").touch()
    rows.append(("s1-empty", tmp_path / "empty.mp4"))
    (folder / "video.scp").write_text("".join(f"{name} {path}\n" for name, path in rows))
    (folder / "utt2spk").write_text("".join(f"{name} s1\n" for name, _ in rows))
    (folder / "spk2utt").write_text("s1 " + " ".join(name for name, _ in rows) + "\n")
    return folder


def run(data: Path, dump: Path, **options: object) -> None:
    crop(data, dump, **{"landmarks": data.parent / "given", "max_failures": 0.3, "nj": 1, "shard_size": 2, **options})  # type: ignore[arg-type]


def test_the_verb_writes_kinds_tables_and_verdicts(data: Path) -> None:
    dump = data.parent / "dump"
    run(data, dump)
    mouth, face, landmarks = (Archive(dump / name) for name in ("mouth", "face", "landmarks"))
    assert mouth.ids == face.ids == landmarks.ids == [f"s1-clip{i}" for i in range(5)]
    assert mouth.num_frames() == landmarks.num_frames() == {f"s1-clip{i}": 20 + i for i in range(5)}
    assert decode(mouth["s1-clip3"]).shape == (23, 96, 96)
    assert decode(face["s1-clip3"]).shape == (23, 112, 112)
    assert mouth.meta["size"] == 96
    rows = (dump / "landmarks" / "timeline.tsv").read_text().splitlines()
    assert rows[1].split("\t") == ["s1-clip1", "0.000000", "21", "25.0000", "320", "240", "21"]
    assert "s1-empty\tcrop\tno-landmarks\t" in (dump / "failures.tsv").read_text()
    assert len((dump / "landmarks" / "report.tsv").read_text().splitlines()) == 5


def test_the_number_of_workers_and_a_second_run_change_nothing(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    dumps = [data.parent / "one", data.parent / "two"]
    run(data, dumps[0], nj=1)
    run(data, dumps[1], nj=2)
    files = [sorted((p.relative_to(d), p.read_bytes()) for p in d.rglob("*.ark")) for d in dumps]
    assert files[0] == files[1]
    before = {path: path.stat().st_mtime_ns for path in dumps[0].rglob("*") if path.is_file()}
    run(data, dumps[0])
    assert before == {path: path.stat().st_mtime_ns for path in dumps[0].rglob("*") if path.is_file()}


def test_a_clip_whose_verdict_is_deleted_is_tried_again(data: Path) -> None:
    dump = data.parent / "dump"
    run(data, dump)
    verdicts = (dump / "failures.tsv").read_text()
    before = (dump / "landmarks" / "feats.scp").read_text()
    (dump / "failures.tsv").write_text("")
    run(data, dump)
    assert (dump / "failures.tsv").read_text() == verdicts  # tried, and failed again
    assert (dump / "landmarks" / "feats.scp").read_text() == before


def test_a_region_added_later_is_made_from_the_landmarks(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, dump = data.parent / "whole", data.parent / "dump"
    run(data, whole)
    run(data, dump, regions=("mouth",))
    before = (dump / "landmarks" / "feats.scp").stat().st_mtime_ns
    made: list[str] = []
    whole_step = crop_module.dump_clips
    monkeypatch.setattr(
        crop_module, "dump_clips", lambda dump, kinds, *a, **k: made.extend(kinds) or whole_step(dump, kinds, *a, **k)
    )
    run(data, dump, regions=("face", "mouth"))
    assert made == ["face"]
    assert (dump / "landmarks" / "feats.scp").stat().st_mtime_ns == before
    for name in ("s1-clip0", "s1-clip4"):
        assert np.array_equal(Archive(dump / "face")[name], Archive(whole / "face")[name])
    failures = (dump / "failures.tsv").read_text().splitlines()
    assert [line.split("\t")[2] for line in failures] == ["no-landmarks"]


@pytest.mark.real
def test_detection_is_not_done_twice(grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "data").mkdir()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "data" / "video.scp").write_text(f"s1-a {clips(grid, 's1')[0]}\ns1-b {tmp_path / 'empty.mp4'}\n")
    (tmp_path / "data" / "utt2spk").write_text("s1-a s1\ns1-b s1\n")
    dump = tmp_path / "dump"
    crop(tmp_path / "data", dump, regions=("mouth",), nj=1, max_failures=0.5)
    made: list[object] = []
    whole_step = crop_module.dump_clips
    monkeypatch.setattr(
        crop_module,
        "dump_clips",
        lambda dump, kinds, ids, work, **k: made.append(work) or whole_step(dump, kinds, ids, work, **k),
    )
    crop(tmp_path / "data", dump, nj=1, max_failures=0.5)
    assert made[0].options["detector"] == "none"  # type: ignore[attr-defined]
    assert "s1-b\tcrop\tunreadable\t" in (dump / "failures.tsv").read_text()  # the reason of the first run
    face = decode(Archive(dump / "face")["s1-a"])
    assert psnr(face, Cropper(("face",))(clips(grid, "s1")[0]).regions["face"]) > 40


def test_clips_that_are_not_in_the_data_dir_do_not_go_in_silence(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    dump, part = data.parent / "dump", DataDir(data).subset(["s1-clip0", "s1-clip1"], data.parent / "train")
    run(data, dump)
    run(data, dump)
    assert "removed" not in caplog.text
    run(part.path, dump)
    told = [record.getMessage() for record in caplog.records if "removed" in record.message]
    assert len(told) == 3  # of landmarks, face and mouth
    assert f"{dump / 'mouth'}: 3 clips are not in {part.path} and are removed, 's1-clip2' first; " in "".join(told)
    assert all(each.endswith("give the data dir of all clips, such as data/all, or another dump") for each in told)
    assert list(Archive(dump / "mouth").ids) == ["s1-clip0", "s1-clip1"]


def test_wrong_options_are_one_line(data: Path) -> None:
    with pytest.raises(LipsoundError, match=r"unknown region 'lips'; known: face, mouth"):
        run(data, data.parent / "dump", regions=("lips",))
    for codec, makes in (("libx265", "hevc"), ("mpeg4", "mpeg4"), ("aac", "aac"), ("rawvideo", "rawvideo")):
        with pytest.raises(LipsoundError, match=rf"the encoder '{codec}' makes {makes}, wanted H.264.*here: libx264"):
            run(data, data.parent / "dump", codec=codec)
    with pytest.raises(LipsoundError, match=r"'libx264rgb' does not open for \(112, 112\) frames.*here: libx264"):
        run(data, data.parent / "dump", codec="libx264rgb")  # it takes no gray; an encoder without its device likewise
    assert not (data.parent / "dump").exists()
    (data / "video.scp").unlink()
    with pytest.raises(LipsoundError, match=r"no video\.scp"):
        run(data, data.parent / "dump")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--dlib-landmarks", "p.dat"], "--dlib-landmarks p.dat: is for --detector dlib, found --detector facemesh; "),
        (
            ["--landmarks", "l", "--detector", "dlib"],
            "--landmarks l: no faces are detected then, found --detector dlib; ",
        ),
        (["--landmarks", "l", "--dlib-landmarks", "p.dat"], "found --dlib-landmarks p.dat; leave one of them out"),
        (["--landmarks", "l", "--detect-interval", "5"], "found --detect-interval 5; "),
        (["--landmarks", "l", "--face", "left"], "found --face left; "),
        (["--landmarks", "l", "--face", "speaking", "--asd", __file__], "found --face speaking; "),
    ],
)
def test_options_that_nothing_reads_are_refused(
    options: list[str], told: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["crop", str(data), str(data.parent / "dump"), *options]) == 2
    assert told in capsys.readouterr().err
    assert not (data.parent / "dump").exists()


@pytest.mark.parametrize(("detector", "package"), [("facemesh", "ai_edge_litert"), ("mediapipe", "mediapipe")])
def test_detectors_say_nothing(grid: Path, detector: str, package: str) -> None:
    pytest.importorskip(package)
    script = "import sys; from lipsound2.video.crop import Cropper; Cropper((), sys.argv[2])(sys.argv[1])"
    command = [sys.executable, "-c", script, str(clips(grid, "s1", 1)[0]), detector]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
