"""TCD-TIMIT as it lies on people's disks: TIMIT's sentences, read by 59 volunteers and 3 lipspeakers of Dublin.

`volunteers/01M/Clips/straightcam/sa1.mp4`, `lipspeakers/Lipspkr1/Clips/straightcam/sa1.mp4`, the same in `30degcam`,
and beside a clip often its audio, `sa1.wav`: 1920x1080, 29.97 frames a second, 48 kHz. The speaker is the folder
named like one, wherever it lies. Words are not in the corpus, but in TIMIT's list of sentences, which only its
licensees have.

Sources: Harte, Gillen, "TCD-TIMIT: An Audio-Visual Corpus of Continuous Speech", IEEE Transactions on Multimedia 17(5),
2015; the volunteers held out: georgesterpu/avsr-tf1, mpc001/Visual_Speech_Recognition_for_Multiple_Languages; splits of
the lipspeakers: Mira et al., arXiv 2104.13332, and those who compare with them. Layout: `tests/layouts/tcd_timit.txt`.
"""

from __future__ import annotations

import functools
import os
import re
from importlib import resources
from pathlib import Path

from lipsound2.corpora.corpus import NO_OPTIONS, Corpus, Options
from lipsound2.corpora.protocols import VALID_SHARE, ByList, BySpeaker, by_speakers, shares
from lipsound2.corpora.recordings import Problem, Recording, Recordings
from lipsound2.data.folders import VIDEO_SUFFIXES, entries
from lipsound2.data.texts import read_text
from lipsound2.errors import LipsoundError
from lipsound2.progress import progress

LIPSPEAKERS = ("Lipspkr1", "Lipspkr2", "Lipspkr3")
UNSEEN = (
    *("08F", "09F", "15F", "18M", "25M", "28M", "33F", "34M", "36F", "41M"),
    *("44F", "45F", "49F", "54M", "55F", "56M", "58F"),
)
_SENTENCES = {"volunteer": 98, "lipspeaker": 377}
_SEEN_TEST = "seen-test"
_SIDE = "30degcam"
_SPEAKER = re.compile(r"(\d\d)([mf])|lipspkr([1-3])", re.IGNORECASE)
_CLIP = re.compile(r"(?:sa|si|sx)\d{1,4}", re.IGNORECASE)
_PROMPT = re.compile(r"(.*\S)\s*\((s[aix]\d{1,4})\)", re.IGNORECASE)  # TIMIT/DOC/PROMPTS.TXT
_PROMPTS = "prompts.txt"

_CLOSE = 0.005  # the corpus lacks 11 of the clips that are counted: 1 of 30F, 10 of 42M
_HELD_OUT = f"{VALID_SHARE:.0%} of the training clips are held out as 'valid', which the paper does not have"


@functools.cache
def _seen_test() -> dict[str, list[str]]:
    """Volunteer -> the 31 sentences that are test in the speaker-dependent protocol."""
    text = resources.files("lipsound2.corpora").joinpath("splits/tcd_timit-seen-test.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {speaker: names for speaker, *names in rows}


def scan(root: Path, options: Options = NO_OPTIONS) -> Recordings:
    """Find every clip of the straight camera below `root`, and its sentence in TIMIT's list where that is given.

    The list is `options.prompts`, or a `prompts.txt` in the root.

    Raises:
        LipsoundError: no such folder, no clip in it, or the list cannot be read.
    """
    if not root.is_dir():
        raise LipsoundError(f"{root}: no such folder; give the folder that holds volunteers and lipspeakers")
    found = Recordings()
    sideways, seen = 0, set()
    with progress(desc="search clips", unit="folder", leave=False) as bar:
        for folder, folders, _ in os.walk(root, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            bar.update()
            if (real := Path(folder).resolve()) in seen:  # a link back
                folders.clear()
                continue
            seen.add(real)
            if _SIDE in Path(folder).name.lower():
                sideways += sum(entry.name.lower().endswith(VIDEO_SUFFIXES) for entry in entries(folder))
            else:
                _read_folder(found, Path(folder), root)
    if not found.by_id:
        names = ", ".join(entry.name for entry in entries(root)[:6]) or "nothing"
        raise LipsoundError(
            f"{root}: no clip of TCD-TIMIT found (wanted volunteers/01M/Clips/straightcam/sa1.mp4 or the like, found "
            f"{names}); unpack the zip files and give the folder that holds volunteers and lipspeakers"
        )
    if sideways:
        found.notes.append(f"{sideways} clips of the camera at 30 degrees are left out")
    _attach_texts(found, root, options.prompts)
    found.lists[_SEEN_TEST] = [f"{speaker}-{name}" for speaker, names in _seen_test().items() for name in names]
    return found


def _read_folder(found: Recordings, folder: Path, root: Path) -> None:
    """Add the clips of one folder."""
    speaker = _speaker_of(folder, root)
    here = {entry.name.lower(): entry for entry in entries(folder) if entry.is_file()}
    for name, entry in here.items():
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - of a name, not of a path
        if suffix not in VIDEO_SUFFIXES:
            continue
        if speaker is None or not _CLIP.fullmatch(stem):
            wanted = "a folder above it named like a speaker, 01M or Lipspkr1" if _CLIP.fullmatch(stem) else "sa1.mp4"
            reason = "no-speaker" if _CLIP.fullmatch(stem) else "not-a-clip"
            found.problems.append(Problem(Path(entry.name).stem, entry.path, reason, f"wanted {wanted} or the like"))
            continue
        wav = here.get(f"{stem}.wav")
        found.add(
            f"{speaker}-{stem}",
            Recording(
                speaker,
                video=str(Path(entry.path).absolute()),
                wav=str(Path(wav.path).absolute()) if wav else "",
                size=entry.stat().st_size,
            ),
        )


def _speaker_of(folder: Path, root: Path) -> str | None:
    """The innermost folder named like a speaker, `root` itself included."""
    for part in [*reversed(folder.relative_to(root).parts), root.resolve().name]:
        if match := _SPEAKER.fullmatch(part):
            return f"Lipspkr{match[3]}" if match[3] else f"{match[1]}{match[2].upper()}"
    return None


def _attach_texts(found: Recordings, root: Path, prompts: Path | None) -> None:
    """Give each clip its sentence, from the list that was given or lies in the root."""
    path = prompts or next((Path(e.path) for e in entries(root) if e.name.lower() == _PROMPTS), None)
    if path is None:
        found.notes.append(
            "no words: they are in TIMIT's list of sentences (LDC93S1, TIMIT/DOC/PROMPTS.TXT), not part of this "
            "corpus; give it with --prompts to have word errors counted; speech is trained and scored without"
        )
        return
    sentences = read_prompts(path, found)
    for id, clip in found.by_id.items():
        if text := sentences.get(id.partition("-")[2]):
            found.by_id[id] = Recording(clip.speaker, video=clip.video, wav=clip.wav, size=clip.size, text=text)
    found.leave_out_without_text(f"{path} has no sentence of this name")


def read_prompts(path: Path, found: Recordings) -> dict[str, str]:
    """A list of sentences: `She had your dark suit ... (sa1)` as in TIMIT, or `.../sa1 SHE HAD YOUR DARK SUIT ...`.

    Args:
        path: the list; lines that begin with a semicolon are comments.
        found: gets a problem for each line of neither kind, and each that contradicts an earlier one.

    Returns:
        Name of the clip in lower case -> sentence, as it stands.

    Raises:
        LipsoundError: it cannot be read, or holds no sentence.
    """
    lines = read_text(path).split("\n")
    sentences: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith(";"):
            continue
        if match := _PROMPT.fullmatch(line.strip()):
            text, name = match[1], match[2].lower()
        else:
            first, _, text = line.strip().partition(" ")
            name = first.replace("\\", "/").rpartition("/")[2].partition(".")[0].lower()
        if not _CLIP.fullmatch(name) or not text.strip():
            detail = f"line {number}: wanted 'sentence (sa1)' or 'sa1 SENTENCE', found '{line.strip()[:80]}'"
            found.problems.append(Problem(name, path, "not-a-prompt", detail))
        elif sentences.setdefault(name, text.strip()) != text.strip():
            detail = f"line {number} says '{text.strip()}', an earlier one '{sentences[name]}', which is used"
            found.problems.append(Problem(name, path, "two-lines", detail, dropped=False))
    if not sentences:
        raise LipsoundError(f"{path}: no sentence in it; wanted lines 'She had your dark suit ... (sa1)'")
    return sentences


VOLUNTEERS = tuple(_seen_test())  # 56: 27M, 35M and 53M are left out by everyone, for their accents


def _of(
    speakers: tuple[str, ...], kind: str, test: tuple[str, ...], *published: tuple[str, dict[str, int]]
) -> BySpeaker:
    return BySpeaker(
        speakers=speakers,
        assign=by_speakers(test),
        whole=_SENTENCES[kind],
        published=published,
        note=_HELD_OUT,
        close=_CLOSE,
    )


TCD_TIMIT = Corpus(
    title="TCD-TIMIT",
    scan=scan,
    protocols={
        "lipspeakers": BySpeaker(
            speakers=LIPSPEAKERS,
            assign=shares(0.05, 0.05),
            whole=_SENTENCES["lipspeaker"],
            published=(
                ("Mira et al.", {"train": 1014, "valid": 57, "test": 60}),
                ("SLTS", {"train": 1017, "valid": 57, "test": 57}),
            ),
            close=_CLOSE,
        ),
        "lipspeakers-unseen": _of(
            LIPSPEAKERS, "lipspeaker", ("Lipspkr3",), ("Harte and Gillen", {"train": 754, "test": 377})
        ),
        "volunteers-unseen": _of(VOLUNTEERS, "volunteer", UNSEEN, ("Harte and Gillen", {"train": 3822, "test": 1666})),
        "volunteers-seen": ByList(
            sets={"test": _SEEN_TEST},
            counts={"train": 3528, "valid": 224, "test": 1736},
            where="in the package",
            others=VOLUNTEERS,
            whole=_SENTENCES["volunteer"] - 31,
            published=(("Harte and Gillen", {"train": 3752, "test": 1736}),),
            note=_HELD_OUT,
            close=_CLOSE,
        ),
    },
    takes=frozenset({"prompts"}),
    language="en",
)
