"""VoxCeleb2 as it lies on people's disks: a million clips of faces that talk, with who they are and not what they say.

`dev/mp4/id00012/21Uxsk56VDQ/00001.mp4` and `test/mp4/...`; or the archives' names for folders (`vox2_test_mp4/...`).
The audio is in the mp4, or beside it in `dev/aac/id00012/21Uxsk56VDQ/00001.m4a` (some people's copies: .wav), which is
then used. Speakers that are held out as `valid` are chosen by hash among those of dev.

Sources: Chung, Nagrani, Zisserman, "VoxCeleb2: Deep Speaker Recognition", Interspeech 2018 (counts: table 1); the list
of English clips is AV-HuBERT's. Layout: `tests/layouts/voxceleb2.txt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from lipsound2.corpora.corpus import NO_OPTIONS, Corpus, Options
from lipsound2.corpora.heldout import HeldOutSpeakers
from lipsound2.corpora.recordings import Problem, Recording, Recordings
from lipsound2.data.folders import entries
from lipsound2.data.numerals import whole
from lipsound2.data.texts import read_lines, read_text
from lipsound2.errors import LipsoundError
from lipsound2.progress import progress

_PARTS = {"test": 36237, "dev": 1092009}
_VALID_SHARE = 0.004  # 24 of dev's 5994 speakers, some 4,400 clips
_CLIP = re.compile(r"(?:(.*)/)?(id\d{5})/([^/]+)/([^/]+)\.(\w+)")
_PART = re.compile(r"(?:^|[^a-z])(dev|test)(?:[^a-z]|$)")
_VIDEO = "mp4"
_AUDIO = ("m4a", "aac", "wav", "flac")  # the first of these is the corpus' own
_META = "vox2_meta.csv"
_DEPTH = 8  # folders below the one that is given; also ends a circle of links
ENGLISH = "english"


@dataclass
class _Files:
    """What was seen: files by clip id; of each clip its speaker, its part and its size."""

    videos: dict[str, str] = field(default_factory=dict)
    facts: dict[str, tuple[str, str, int | None]] = field(default_factory=dict)
    audio: dict[str, tuple[int, str]] = field(default_factory=dict)
    others: int = 0


def scan(root: Path, options: Options = NO_OPTIONS) -> Recordings:
    """Find every clip below `root`: by walking, one look at each file, or from a listing, without touching the disk.

    Raises:
        LipsoundError: no such folder, not one clip, or a list that is absent or damaged.
    """
    found, files = Recordings(), _Files()
    if options.listing is None:
        if not root.is_dir():
            raise LipsoundError(f"{root}: no such folder; give the folder of VoxCeleb2, which holds dev and test")
        listed = _walk(str(root), _DEPTH)
    else:
        listed = _read_listing(options.listing, root)
    base = str(root.absolute() if options.listing is None else _top(options.listing, root, found))
    parts: dict[str | None, str] = {}
    for path, size in progress(listed, desc="voxceleb2", unit="file"):
        _take(found, files, parts, base, path, size)
    if not files.videos:
        source = options.listing or root
        raise LipsoundError(
            f"{source}: no clip of VoxCeleb2 found (wanted dev/mp4/id00012/21Uxsk56VDQ/00001.mp4 or the like, found "
            f"{files.others} other files and {len(files.audio)} audio files); give the folder that holds dev and test"
        )
    for id in sorted(files.videos):
        speaker, part, size = files.facts[id]
        waveform = files.audio.get(id, (0, ""))[1]
        found.add(id, Recording(speaker, part, video=files.videos[id], wav=waveform, size=size))
    if alone := len(files.audio.keys() - files.videos.keys()):
        found.notes.append(f"{alone} audio files have no video and are left out")
    if options.lists is not None:
        _read_english(options.lists, found)
    _read_speakers(root, found)
    return found


def _walk(folder: str, depth: int, above: str = "") -> Iterator[tuple[str, int | None]]:
    """Path below the first folder, and bytes, of every video and audio file; folders are read one after the other."""
    for entry in entries(folder):
        if entry.is_dir():
            if depth:
                yield from _walk(entry.path, depth - 1, f"{above}{entry.name}/")
        elif entry.name.endswith(f".{_VIDEO}"):
            yield above + entry.name, entry.stat().st_size
        elif entry.name.endswith(_AUDIO):
            yield above + entry.name, None


def _read_listing(path: Path, root: Path) -> Iterator[tuple[str, int | None]]:
    """Path below the root, and bytes where they are known, of each line of a listing.

    Raises:
        LipsoundError: it cannot be read, or a line is no path with or without a number behind it.
    """
    top = f"{root.absolute()}/"
    for number, line in read_lines(path):
        name, *rest = line.split() or [""]
        if not name:
            continue
        try:
            size = whole(" ".join(rest)) if rest else None
        except ValueError as error:
            raise LipsoundError(
                f"{path}:{number}: expected a path below {root}, and its bytes or nothing behind it, "
                f"found '{line.strip()[:80]}'; make it with: find . -type f -printf '%P %s\\n'"
            ) from error
        yield name.removeprefix(top).removeprefix("./"), size


def _top(listing: Path, root: Path, found: Recordings) -> Path:
    """The folder that a listing's paths begin in: the root, or the one above it, as the first clip shows."""
    clip = next((path for path, _ in _read_listing(listing, root) if _CLIP.fullmatch(path)), "")
    for top in (root.absolute(), root.absolute().parent):
        if clip and (top / clip).exists():
            return top
    if clip:
        found.notes.append(f"the listing's first clip, {clip}, is not there; stage 1 tells each that is missing")
    return root.absolute()


def _take(
    found: Recordings, files: _Files, parts: dict[str | None, str], base: str, path: str, size: int | None
) -> None:
    """Sort one file in."""
    match = _CLIP.fullmatch(path)
    suffix = path.rpartition(".")[2].lower()
    if suffix != _VIDEO and suffix not in _AUDIO:
        files.others += 1
    elif match is None:
        detail = "no folders id<5 digits>/<video>/ above it, as VoxCeleb2 has them"
        found.problems.append(Problem(PurePosixPath(path).stem, path, "not-a-voxceleb2-name", detail))
    else:
        above, speaker, video, clip, _ = match.groups()
        id = f"{speaker}-{video}-{clip}"
        if suffix != _VIDEO:
            rank = _AUDIO.index(suffix)
            if id not in files.audio or rank < files.audio[id][0]:
                files.audio[id] = rank, f"{base}/{path}"
            return
        if above not in parts:
            parts[above] = _part(above, base)
        if not parts[above]:
            detail = "no folder above it is named after a set (dev, test)"
            found.problems.append(Problem(id, path, "no-set", detail))
        elif id in files.videos:
            found.problems.append(Problem(id, path, "second-copy", f"{files.videos[id]} is used"))
        else:
            files.videos[id] = f"{base}/{path}"
            files.facts[id] = speaker, parts[above], size


def _part(above: str | None, base: str) -> str:
    """dev or test: the innermost folder that says so, the one that was given included; empty when none does."""
    for name in [*reversed((above or "").split("/")), base.rpartition("/")[2]]:
        if match := _PART.search(name.lower()):
            return match[1]
    return ""


def _read_english(path: Path, found: Recordings) -> None:
    """Clips that a list names, as lists of ids by part: lines `dev/mp4/id05668/XWKC1JUM_ow/00053`, `mp4/` or not.

    What stands behind a blank or a tab is not looked at.

    Raises:
        LipsoundError: no such file, or a line that is no clip.
    """
    lines = read_text(path).split("\n")
    listed: dict[str, list[str]] = {part: [] for part in _PARTS}
    for number, line in enumerate(lines, start=1):
        if not (fields := line.split(maxsplit=1)):
            continue
        match = _CLIP.fullmatch(f"{fields[0].removesuffix(f'.{_VIDEO}')}.{_VIDEO}")
        id = "-".join(match.groups()[1:4]) if match else ""
        part = found.by_id[id].part if id in found.by_id else _part(match[1], "") if match else ""
        if not part:
            raise LipsoundError(
                f"--lists {path}:{number}: expected a clip such as dev/mp4/id05668/XWKC1JUM_ow/00053, "
                f"found '{line.strip()[:80]}'"
            )
        listed[part].append(id)
    found.lists |= {f"{ENGLISH}-{part}": ids for part, ids in listed.items()}


def _read_speakers(root: Path, found: Recordings) -> None:
    """All speakers of each part, where the corpus' table of them lies in the folder or above it."""
    for path in (root / _META, root.absolute().parent / _META):
        if not path.is_file():
            continue
        for row in path.read_text(encoding="utf-8", errors="replace").split("\n")[1:]:
            fields = [cell.strip() for cell in re.split(r"[,\t]", row)]
            if re.fullmatch(r"id\d{5}", fields[0]) and fields[-1] in _PARTS:
                found.speakers.setdefault(fields[-1], set()).add(fields[0])
        return


def _protocol(only: str = "", where: str = "") -> HeldOutSpeakers:
    return HeldOutSpeakers(
        train=("dev",),
        test="test",
        of="dev",
        share=_VALID_SHARE,
        note="'valid' are speakers of dev, held out by hash; the corpus has no such set",
        only=only,
        where=where,
    )


VOXCELEB2 = Corpus(
    "VoxCeleb2",
    scan,
    {
        "multilingual": _protocol(),
        ENGLISH: _protocol(only=ENGLISH, where="--lists FILE, such as AV-HuBERT's vox-en.id"),
    },
    parts=_PARTS,
    takes=frozenset({"lists", "listing"}),
)
