"""Tiny corpora in the layouts of VoxCeleb2, LRW, LRS2, LRS3 and of people's own disks: talking faces, names, texts."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from helpers.face_corpora import talking_clip
from helpers.speech_corpora import Layout
from lipsound2.corpora.recordings import Recordings
from lipsound2.data.datadir import DataDir
from lipsound2.synthetic.clip import ClipFormat
from lipsound2.synthetic.speech import VOICES

VOXCELEB2 = ClipFormat(width=224, height=224, sample_rate=16000)
LRW = ClipFormat(width=256, height=256, sample_rate=16000)
LRS2 = ClipFormat(width=160, height=160, sample_rate=16000)
WORDS = ("blue", "nine", "again", "green", "two", "soon", "white", "four", "please", "red")

# Part, speaker, video -> clips.
SPEAKERS = {
    ("dev", "id00012", "21Uxsk56VDQ"): 2,
    ("dev", "id00012", "_raOc3-IRsw"): 2,
    ("dev", "id05668", "XWKC1JUM_ow"): 4,
    ("dev", "id08977", "3ap0QSyN6Vc"): 4,
    ("test", "id00017", "01dfn2spqyE"): 2,
    ("test", "id03030", "kkzpqpAxGJ4"): 2,
}
ENGLISH = ("dev/mp4/id00012/21Uxsk56VDQ/00001", "dev/id05668/XWKC1JUM_ow/00002", "test/mp4/id00017/01dfn2spqyE/00001")


def write_tree(layout: Layout, root: Path) -> Path:
    """Lay a tree of `tests/layouts` out: text files have their lines, all others a few bytes."""
    for name, lines in layout.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".mp4", ".m4a"):
            path.write_bytes(b"clip")
        else:
            path.write_text("".join(f"{line.replace('{empty}', '')}\n" for line in lines), encoding="utf-8")
    return root


def said(number: int, count: int = 2) -> list[str]:
    """Some words; neighbors begin with others."""
    return [WORDS[(3 * number + place) % len(WORDS)] for place in range(count)]


def make_voxceleb2(root: Path) -> Path:
    """ROOT/VoxCeleb2: audio in the mp4, but for two speakers, whose audio lies beside a silent mp4; returns it."""
    top = root / "VoxCeleb2"
    number = 0
    for (part, speaker, video), clips in SPEAKERS.items():
        who = [name for _, name, _ in SPEAKERS].index(speaker)
        for clip in range(1, clips + 1):
            inside = f"{speaker}/{video}/{clip:05}"
            wav = top / part / "aac" / f"{inside}.m4a" if speaker in ("id00012", "id00017") else None
            path = top / part / "mp4" / f"{inside}.mp4"
            talking_clip(path, said(number), VOICES[who], look=who, form=VOXCELEB2, wav=wav, seed=number)
            number += 1
    rows = [f"{speaker} ,n000001 ,f ,{part} \n" for part, speaker in sorted({key[:2] for key in SPEAKERS})]
    rows = ["VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \n", *rows, "id09999 ,n000002 ,m ,dev \n"]
    (top / "vox2_meta.csv").write_text("".join(rows), encoding="utf-8")
    (root / "vox-en.id").write_text("".join(f"{line}\n" for line in ENGLISH), encoding="utf-8")
    return top


def make_lrw(root: Path) -> Path:
    """ROOT/lipread_mp4 with two words; returns it."""
    top = root / "lipread_mp4"
    for number, word in enumerate(("AFTER", "GREEN")):
        for part in ("train", "val", "test"):
            path = top / word / part / f"{word}_00001.mp4"
            start, end, _ = talking_clip(path, [word.lower()], VOICES[number], form=LRW, seconds=29 / 25)[0]
            path.with_suffix(".txt").write_text(f"Duration: {end - start:.2f} seconds\n", encoding="utf-8")
    return top


def make_lrs2(root: Path) -> Path:
    """ROOT/mvlrs_v1 and the four lists beside it; returns it."""
    number = 0
    for part, folder, programme, clips, flag in (
        ("pretrain", "pretrain", "5535415699068794046", 2, ""),
        ("train", "main", "5535415699068794046", 2, ""),
        ("val", "main", "6300370419826092098", 1, ""),
        ("test", "main", "6330311066473698535", 2, " NF"),
    ):
        rows = ""
        for clip in range(1, clips + 1):
            path = root / "mvlrs_v1" / folder / programme / f"{clip:05}.mp4"
            times = talking_clip(path, said(number), VOICES[0], form=LRS2, seed=number)
            path.with_suffix(".txt").write_text(lrs_text(said(number), times if part == "pretrain" else None))
            rows += f"{programme}/{clip:05}{flag}\n"
            number += 1
        (root / f"{part}.txt").write_text(rows, encoding="utf-8")
    return root / "mvlrs_v1"


def make_lrs3(root: Path) -> Path:
    """ROOT/lrs3 and AV-HuBERT's list beside it; returns it."""
    number = 0
    for part, talk, first in (
        ("pretrain", "0akiEFwtkyA", 31),
        ("trainval", "0af00UcTOSc", 50001),
        ("trainval", "ZzugJPASNB8", 50001),
        ("test", "0Fi83BHQsMA", 2),
    ):
        for clip in (first, first + 1):
            path = root / "lrs3" / part / talk / f"{clip:05}.mp4"
            times = talking_clip(path, said(number), VOICES[0], form=VOXCELEB2, seed=number)
            track = [f"{frame:06} \t0.4 \t0.1 \t0.2 \t0.3 " for frame in range(3)]
            text = lrs_text(said(number), times if part == "pretrain" else None, talk, track)
            path.with_suffix(".txt").write_text(text, encoding="utf-8")
            number += 1
    (root / "lrs3-valid.id").write_text("trainval/ZzugJPASNB8/50001\ntrainval/ZzugJPASNB8/50002\n", encoding="utf-8")
    return root / "lrs3"


def lrs_text(
    words: list[str], times: list[tuple[float, float, str]] | None, talk: str = "", track: list[str] | None = None
) -> str:
    """The text file of LRS2, or with a talk that of LRS3."""
    lines = [f"Text:  {' '.join(words).upper()}", "Conf:  4"]
    if talk:
        lines += [f"Ref:  {talk}", "", "FRAME \tX \tY \tW \tH ", *(track or [])]
    if times:
        lines += ["", "WORD START END ASDSCORE", *(f"{w.upper()} {a:.2f} {b:.2f} 4.5" for a, b, w in times)]
    return "".join(f"{line}\n" for line in lines)


def make_own(root: Path) -> Path:
    """ROOT/my videos: blanks, umlauts, doubles, several suffixes, texts beside some; returns it."""
    top = root / "my videos"
    small = ClipFormat(width=160, height=128, sample_rate=16000)
    names = [f"Anna Müller/day {day}/{name}.mp4" for day in (1, 2) for name in ("Grüße 1", "Grüße 2")]
    names += ["bob/clip.mkv", "bob/Clip two.MOV", "bob/clip.avi", "李/你好.mp4", "李/再见.mp4", "loose.mp4"]
    for number, name in enumerate(names):
        path = top / name
        codec = {".avi": "mpeg4"}.get(path.suffix, "libx264")
        form = ClipFormat(small.width, small.height, 25, 16000, codec)
        talking_clip(path, said(number), VOICES[number % 3], look=number % 3, form=form, seed=number)
        path.with_suffix(".txt").write_text(f"\ufeff{' '.join(said(number))}\r\n", encoding="utf-8")
    return top


def copy(source: Path, target: Path) -> Path:
    """A copy to do harm to."""
    return Path(shutil.copytree(source, target))


def reasons(found: Recordings) -> Counter[str]:
    """How often each thing was wrong."""
    return Counter(problem.reason for problem in found.problems)


def sets_of(path: Path) -> dict[str, DataDir]:
    """The data dirs of a protocol, by name."""
    return {folder.name: DataDir(folder) for folder in sorted(path.iterdir()) if folder.is_dir()}
