"""People's own folders: links, suffixes of every camera, texts in other letters, what is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lipsound2.corpora import own
from lipsound2.data.folders import VIDEO_SUFFIXES


def videos(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def test_fault_A11_each_real_folder_is_read_once(tmp_path: Path) -> None:
    root = videos(tmp_path / "mine", "anna/a.mp4", "anna/b.mp4", "ben/c.mp4")
    videos(tmp_path, "other/d.mp4", "unasked.mp4")
    (root / "anna" / "up").symlink_to("..")  # the root
    (root / "ben" / "out").symlink_to(tmp_path)  # a folder above it
    (root / "again").symlink_to(root / "anna")
    (root / "aside").symlink_to(tmp_path / "other")
    (root / "twice").symlink_to(tmp_path / "other")
    (root / "self").symlink_to("self")
    found = own.scan(root)
    assert sorted(found.by_id) == ["anna-a", "anna-b", "aside-d", "ben-c"]
    assert "4 links to folders that are read already are passed over (again first)" in found.notes
    assert not found.problems


def test_fault_A11_each_real_file_is_read_once(tmp_path: Path) -> None:
    root = videos(tmp_path / "mine", "z/a.mp4", "b.mp4")
    (root / "a.mp4").symlink_to("z/a.mp4")  # earlier in the alphabet, but a link
    os.link(root / "b.mp4", root / "b hard.mp4")
    (root / "gone.mp4").symlink_to("nowhere.mp4")
    found = own.scan(root)
    assert len(found.by_id) == 2
    assert found.by_id["z-a"].video == str(root / "z" / "a.mp4")
    assert sorted(problem.reason for problem in found.problems if problem.dropped) == ["second-copy", "second-copy"]
    assert "1 files that are no videos are left out: 1 links to nothing" in found.notes


def test_fault_A11_folders_may_be_deep(tmp_path: Path) -> None:
    deep = "/".join("abcdefghijklmnopqrst")
    assert len(own.scan(videos(tmp_path, f"{deep}/a.mp4", "b.mp4")).by_id) == 2


@pytest.mark.parametrize("suffix", [".MTS", ".m2ts", ".ts", ".3gp", ".wmv", ".flv", ".gif", ".OGV", ".vob", ".Mov"])
def test_fault_H21_videos_of_every_camera_are_found(tmp_path: Path, suffix: str) -> None:
    assert suffix.lower() in VIDEO_SUFFIXES
    found = own.scan(videos(tmp_path, f"anna/a{suffix}", "anna/b.mp4"))
    assert sorted(found.by_id) == ["anna-a", "anna-b"]


def test_fault_H21_what_is_left_out_is_counted(tmp_path: Path) -> None:
    names = ("a.mp4", "b.JPG", "c.jpg", "anna/d.xyz", "README", ".hidden", "a.txt")
    assert own.scan(videos(tmp_path, *names)).notes == [
        "4 files that are no videos are left out: 2 .jpg, 1 .xyz, 1 without a suffix"
    ]


def test_fault_H22_texts_are_found_without_regard_to_case(tmp_path: Path) -> None:
    root = videos(tmp_path, "one.mp4", "two.MPG", "Three.mp4", "cafe\u0301.mp4", "x.mp4", "X.mp4", "lonely.TXT")
    texts = {
        "one.txt": "bin",
        "two.TXT": "lay",
        "THREE.Txt": "place",
        "caf\u00e9.txt": "set",
        "x.txt": "small",
        "X.txt": "large",
    }
    for name, text in texts.items():
        (root / name).write_text(text)
    found = own.scan(root)
    said = {Path(recording.video).name: recording.text for recording in found.by_id.values()}
    assert said == {
        **{"one.mp4": "bin", "two.MPG": "lay", "Three.mp4": "place", "cafe\u0301.mp4": "set"},
        **{"x.mp4": "small", "X.mp4": "large"},
    }
    assert found.notes == ["1 texts have no video of their name beside them (lonely.TXT first)"]
