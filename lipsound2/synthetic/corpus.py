"""A corpus of generated talking faces in GRID's own folder layout, file names and sentence grammar.

`root/s1/bbaf2n.mp4` and `root/align/s1/bbaf2n.align`, 3 s at 360x288 and 25 frames a second with mono audio of
44.1 kHz. An offline synthesizer speaks. The face is a real portrait whose mouth is moved by that audio, so that its
lips can be read. Every clip is a function of its name, speaker and the seed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np

from lipsound2.arguments import AtLeast0, AtLeast1, Within
from lipsound2.corpora.sentences import SLOTS, format_align, words_of
from lipsound2.data.yaml_files import read_yaml, write_yaml
from lipsound2.errors import LipsoundError
from lipsound2.files import folder_lock, write_text
from lipsound2.jobs.pool import unordered
from lipsound2.outputs import OutputFolder
from lipsound2.progress import progress
from lipsound2.synthetic.clip import ClipFormat
from lipsound2.synthetic.render import record, render_clip
from lipsound2.synthetic.speech import VOICES, Voice, say

SECONDS = 3.0  # of a GRID clip
_END = 2.98  # of the last silence in GRID's alignments
_NOTE = "generated.yaml"


@dataclass(frozen=True)
class CorpusConfig:
    """Everything a clip depends on beside its speaker and name.

    Args:
        seed: of sentences, pauses, movements.
        voices: espeak voices, one a speaker.
        looks: numbers of looks, one a speaker.
        form: size, rates and codecs.
    """

    seed: int = 0
    voices: tuple[Voice, ...] = VOICES[:2]
    looks: tuple[int, ...] = (0, 1)
    form: ClipFormat = field(default_factory=ClipFormat)


def generate(
    root: OutputFolder,
    *,
    clips: AtLeast1 = 120,
    speakers: Annotated[int, Within(1, 20)] = 2,
    voices: tuple[str, ...] = (),
    looks: Annotated[tuple[int, ...], Within(0)] = (),
    seed: AtLeast0 = 0,
    nj: AtLeast1 = 2,
) -> None:
    """Make a talking-face corpus in GRID's layout: ROOT/s1/bbaf2n.mp4 and ROOT/align/s1/bbaf2n.align.

    Existing clips are kept: the command resumes a stopped run, and a larger --clips extends a corpus.

    Args:
        root: folder of the corpus.
        clips: number of clips in total.
        speakers: number of speakers; each has a voice and an appearance of its own.
        voices: espeak-ng voices such as en-us+f3, one for each speaker; by default a fixed list.
        looks: numbers of appearances, one for each speaker; by default 0, 1, 2, ...
        seed: of sentences, pauses and movements.
        nj: worker processes.

    Raises:
        LipsoundError: a number out of range, an unknown voice, or ROOT holds clips made with other options.
    """
    config = _config(clips, speakers, voices, looks, seed, nj)
    with folder_lock(root, "lipsound2 generate"):
        other = min((path.name for path in root.iterdir() if path.name[0] != "."), default="")
        if other and not (root / _NOTE).exists():
            raise LipsoundError(f"{root}: holds '{other}' and is no generated corpus; choose a new or an empty folder")
        _check_agrees(root / _NOTE, config)
        for left in (*root.glob("s*/.*.tmp*"), *root.glob("align/s*/.*.tmp*")):
            left.unlink()
        wanted = [
            (f"s{speaker + 1}", name)
            for speaker in range(speakers)
            for name in _sentences(seed, speaker, clips // speakers + (speaker < clips % speakers))
        ]
        missing = [
            (speaker, name) for speaker, name in wanted if not _paths(root, speaker, name, config.form)[0].exists()
        ]
        if missing:
            for voice in config.voices:
                say(["a"], voice)  # one that is unknown is told before the folder is held to it
            write_yaml(root / _NOTE, _note(config))
            _make_all(missing, functools.partial(make_clip, root, config), nj)
    made = f"{len(missing)} made" if missing else "done, skipped"
    print(f"{root}: {len(wanted)} clips of {speakers} speakers, {made}")


def _config(
    clips: int, speakers: int, voices: tuple[str, ...], looks: tuple[int, ...], seed: int, nj: int
) -> CorpusConfig:
    if not 1 <= speakers <= 20 or clips < speakers or nj < 1:
        raise LipsoundError(
            f"found --clips {clips} --speakers {speakers} --nj {nj}; wanted 1 to 20 speakers (GRID has no s21), "
            "at least one clip each, and at least one job"
        )
    for name, given in (("--voices", voices), ("--looks", looks)):
        if given and len(given) != speakers:
            raise LipsoundError(f"{name}: {len(given)} given for {speakers} speakers; give one each, or none")
    chosen = tuple(Voice(name) for name in voices) or tuple(_voice(index) for index in range(speakers))
    return CorpusConfig(seed=seed, voices=chosen, looks=looks or tuple(range(speakers)))


def _voice(index: int) -> Voice:
    """The voice of speaker `index`: from the list, which is gone through again at other pitches."""
    voice = VOICES[index % len(VOICES)]
    lap = index // len(VOICES)
    return Voice(voice.name, min(voice.pitch + 13 * lap, 99), voice.liveliness, voice.rate - 6 * lap)


def _note(config: CorpusConfig) -> dict[str, Any]:
    """What stands beside the clips of how they are made."""
    return {
        "seed": config.seed,
        "voices": [asdict(voice) for voice in config.voices],
        "looks": list(config.looks),
        "form": asdict(config.form),
    }


def _check_agrees(path: Path, config: CorpusConfig) -> None:
    """Refuse to mix clips with those that a note says are made with something else."""
    now = _note(config)
    before = read_yaml(path) if path.exists() else now
    if before != now:
        different = ", ".join(key for key, value in now.items() if before.get(key) != value)
        raise LipsoundError(f"{path.parent} holds clips made with other options ({different}); choose another folder")


def _sentences(seed: int, speaker: int, count: int) -> list[str]:
    """The first `count` sentences of a speaker: a longer list begins with the shorter one."""
    sizes = [len(slot) for slot in SLOTS]
    order = np.random.default_rng([seed, speaker, 1]).permutation(int(np.prod(sizes)))[:count]
    codes = np.stack(np.unravel_index(order, sizes), axis=1)
    return ["".join(list(slot)[code] for slot, code in zip(SLOTS, row, strict=True)) for row in codes]


def _paths(root: Path, speaker: str, name: str, form: ClipFormat) -> tuple[Path, Path]:
    return root / speaker / f"{name}{form.suffix}", root / "align" / speaker / f"{name}.align"


def _make_all(missing: list[tuple[str, str]], make: Callable[[str, str], None], nj: int) -> None:
    """Make clips in this process or several, with a progress bar."""
    with progress(total=len(missing), desc="generate", unit="clip") as bar:
        if nj == 1:
            for speaker, name in missing:
                make(speaker, name)
                bar.update()
            return
        for _ in unordered(functools.partial(_make_one, make), missing, nj):
            bar.update()


def _make_one(make: Callable[[str, str], None], clip: tuple[str, str]) -> None:
    cv2.setNumThreads(1)  # the workers share the cores already
    make(*clip)


def make_clip(root: Path, config: CorpusConfig, speaker: str, name: str) -> None:
    """Make one clip and its alignment; the clip comes last, so that what exists is whole."""
    index = int(speaker[1:]) - 1
    form = config.form
    rng = np.random.default_rng([config.seed, index, 2, int.from_bytes(name.encode())])
    speak = functools.partial(say, words_of(name) or [], config.voices[index])
    waveform, times = record(speak, SECONDS, form.sample_rate, rng)
    words = [(start, min(end, _END), word) for start, end, word in times]
    video, align = _paths(root, speaker, name, form)
    write_text(align, format_align([(0.0, words[0][0], "sil"), *words, (words[-1][1], _END, "sil")]))
    render_clip(video, waveform, config.looks[index], form, rng)
