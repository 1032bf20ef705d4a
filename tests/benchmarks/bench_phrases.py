"""Own sentences and unlike faces, on GRID: the tables of docs/results/phrases.md.

    cd egs/grid
    ./run.sh --corpus DIR --protocol lists --lists DIR/lists --stop-stage 2
    python ../../tests/benchmarks/bench_phrases.py data/lists dump

The models are those that ship. A list holds the sentence that was said, or does not, and other sentences of GRID at
random, ten lists a clip. Intervals draw clips with replacement. Calibrations are fitted on `valid` for the speaker whom
the models know, and on half of the unseen speakers for the other half.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.optimize import minimize

from lipsound2 import experiment
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.crop_cache import Frames
from lipsound2.decoding import look_alikes
from lipsound2.decoding.grammar import grammar
from lipsound2.decoding.phrases import PhraseCalibration, forward_scores, probabilities_of
from lipsound2.inference.face_watch import with_clip_statistics
from lipsound2.inference.familiar_faces import familiarity_of, trunk_of
from lipsound2.inference.familiarity import LIMIT
from lipsound2.inference.lip_to_speech import TorchLipToSpeech
from lipsound2.inference.lip_words import LipWordReader
from lipsound2.inference.phrases import Phrases
from lipsound2.inference.recognizers import TrainedRecognizer
from lipsound2.metrics.bootstrap import intervals
from lipsound2.tasks.regress import Regress

FIRST_HALF = ("s2", "s3", "s20", "s22", "s26")  # of the unseen speakers; the others are the second half
SEEDS, SIZES = 10, (20, 200)
CTC, READ, PLAIN, ADAPTED, MIRRORED = (
    "speech, then CTC of `grid-s1-asr`",
    "lip reader, CTC of `grid-s1-vsr`",
    "lips",
    "lips, statistics of the clip",
    "lips, statistics of the clip, mirrored clip too (`--phrases`)",
)


@dataclass
class Clip:
    """One clip and what was computed of it.

    Attributes:
        name: its id.
        set: valid, test or unseen.
        speaker: its speaker.
        truth: number of its sentence.
        log_probs: way -> (T, V).
        scores: way -> (N,) of all sentences.
        open: text that the cascade reads without a list.
        read: likewise, the lip reader.
        distance: of its face from the training set.
    """

    name: str
    set: str
    speaker: str
    truth: int
    log_probs: dict[str, np.ndarray] = field(default_factory=dict)
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    open: str = ""
    read: str = ""
    distance: float = 0.0


@torch.no_grad()
def compute(data: Path, dump: Path) -> tuple[list[Clip], list[str]]:
    """All clips, and all sentences of the corpus that is there."""
    sets = {name: DataDir(data / name) for name in ("valid", "test", "unseen")}
    texts = sorted({text for name in ("train", *sets) for text in DataDir(data / name).text.values()})
    phrases = Phrases.of(texts)
    assert phrases.texts == texts
    # The speaker's own copy: it reads unlike faces another way, which the way PLAIN must not.
    loaded, spoken = (experiment.load("grid-s1-parallel", task=Regress) for _ in range(2))
    speak, reader, recognizer = TorchLipToSpeech(spoken), LipWordReader(loaded), TrainedRecognizer("grid-s1-asr")
    lip_reader = TrainedRecognizer("grid-s1-vsr")
    known, frames = familiarity_of(loaded), Frames(Archive(dump / reader.input))
    assert known is not None
    lip_texts = [ways[0] for ways in reader.texts_of(phrases)]
    tokens = {
        way: [ways[0] for ways in each.texts_of(phrases)] for way, each in ((CTC, recognizer), (READ, lip_reader))
    }
    clips = []
    for name, folder in sets.items():
        for clip in folder.ids:
            found = Clip(clip, name, folder.utt2spk[clip], texts.index(folder.text[clip]))
            crops = np.ascontiguousarray(frames[clip])
            video, length = torch.from_numpy(crops)[None], torch.tensor([len(crops)])
            found.distance = known.distance_of(loaded.model.encoder.trunk(video, length)[0].numpy())
            for way, trunk in ((PLAIN, reader._trunk), (ADAPTED, with_clip_statistics(reader._trunk))):
                states = reader._encoder.behind_trunk(trunk(video, length), length)
                found.log_probs[way] = reader._head(states)[0].log_softmax(-1).numpy()
            found.log_probs[MIRRORED] = reader.log_probs(crops)
            waveform = speak.chunked_vocoder.whole(speak.windows(len(crops)).whole(crops))
            found.log_probs[CTC] = recognizer._run([waveform]).log_probs[0].numpy()
            found.log_probs[READ] = lip_reader.hear([crops])[0].log_probs
            found.open = recognizer.recognize([waveform])[0].text
            found.read = lip_reader.recognize([crops])[0].text
            for way, log_probs in found.log_probs.items():
                found.scores[way] = forward_scores(log_probs, tokens.get(way, lip_texts))
            clips.append(found)
    return clips, texts


def lists(clip: Clip, number: int, size: int, total: int) -> Iterator[np.ndarray]:
    """`size` sentences each, the first of which was said."""
    for seed in range(SEEDS):
        others = np.random.default_rng([seed, size, number]).choice(total - 1, size - 1, replace=False)
        yield np.concatenate([[clip.truth], others + (others >= clip.truth)])


def share(rows: Sequence[Sequence[float]]) -> str:
    """Per cent with its interval, of rows of each clip."""
    (found,) = intervals(np.array([[100 * float(np.mean(row))] for row in rows]))
    return found.format(0)


def ranking(clips: list[Clip], texts: list[str]) -> None:
    """Whether the sentence that was said comes first."""
    print("| scored by | of | `test`, s1 | unseen speakers |\n| --- | --- | --- | --- |")
    for way in (CTC, READ, PLAIN, ADAPTED, MIRRORED):
        for size in SIZES:
            cells = [
                share(
                    [
                        [clip.scores[way][found].argmax() == 0 for found in lists(clip, number, size, len(texts))]
                        for number, clip in enumerate(clips)
                        if clip.set == name
                    ]
                )
                for name in ("test", "unseen")
            ]
            print(f"| {way} | {size} | {' | '.join(cells)} |")
    for way, text in (("the cascade", attrgetter("open")), ("the lip reader", attrgetter("read"))):
        right = [
            share([[text(clip) == texts[clip.truth]] for clip in clips if clip.set == name])
            for name in ("test", "unseen")
        ]
        print(f"| open reading of {way}, whole sentence right | all | {' | '.join(right)} |")
    print()


Case = tuple[np.ndarray, float, int, int]  # scores of a list, best path, frames, which was said (-1: none)


def cases(clips: list[Clip], chosen: Callable[[Clip], bool], way: str, size: int, total: int) -> list[list[Case]]:
    """Of each clip lists with the sentence that was said, and as many without it."""
    found = []
    for number, clip in enumerate(clips):
        if chosen(clip):
            log_probs, scores = clip.log_probs[way], clip.scores[way]
            facts = (float(log_probs.max(1).sum()), len(log_probs))
            rows: list[Case] = [(scores[each], *facts, 0) for each in lists(clip, number, size, total)]
            rows += [(scores[each[1:]], *facts, -1) for each in lists(clip, number, size + 1, total)]
            found.append(rows)
    return found


def fitted(rows: list[Case]) -> PhraseCalibration:
    """The calibration under which what happened is most probable."""

    def loss(x: np.ndarray) -> float:
        total = 0.0
        for scores, best, frames, said in rows:
            shares, none = probabilities_of(scores, best, frames, PhraseCalibration(float(np.exp(x[0])), float(x[1])))
            total -= np.log(max(float(shares[0]) if said == 0 else none, 1e-9))
        return total / len(rows)

    starts = [(np.log(0.1), 0.5), (np.log(0.3), 0.4), (np.log(0.06), 1.2)]
    best = min((minimize(loss, start, method="Nelder-Mead") for start in starts), key=lambda found: found.fun)
    return PhraseCalibration(float(np.exp(best.x[0])), float(best.x[1]))


def calibration(clips: list[Clip], texts: list[str]) -> None:
    """How good probabilities and "none of these" are."""
    print(
        "| scored by | calibrated on | reported on | of | sharpness, margin | a sentence if listed | none if not "
        "| right | mean confidence | off by |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    halves = {
        "`valid`": lambda clip: clip.set == "valid",
        "`test`": lambda clip: clip.set == "test",
        "unseen, first half": lambda clip: clip.set == "unseen" and clip.speaker in FIRST_HALF,
        "unseen, second half": lambda clip: clip.set == "unseen" and clip.speaker not in FIRST_HALF,
        "unseen": lambda clip: clip.set == "unseen",
    }
    pairs = [
        ("`valid`", "`test`"),
        ("unseen, first half", "unseen, second half"),
        ("unseen, second half", "unseen, first half"),
        ("unseen", "unseen"),
    ]
    for way in (CTC, READ, MIRRORED):
        for learned, reported in pairs:
            some = [
                row
                for size in SIZES
                for rows in cases(clips, halves[learned], way, size, len(texts))
                for row in rows[::3]
            ]
            found = fitted(some)
            for size in SIZES:
                listed, absent, right, sure = [], [], [], []
                for rows in cases(clips, halves[reported], way, size, len(texts)):
                    of_clip: dict[int, list[bool]] = {0: [], -1: []}
                    for scores, best, frames, said in rows:
                        shares, none = probabilities_of(scores, best, frames, found)
                        choice = int(shares.argmax()) if shares.max() >= none else -1
                        of_clip[said].append((choice >= 0) == (said == 0))
                        right.append(choice == said)
                        sure.append(max(float(shares.max()), none))
                    listed.append(of_clip[0])
                    absent.append(of_clip[-1])
                print(
                    f"| {way} | {learned} | {reported} | {size} | {found.sharpness:.3f}, {found.margin:.2f} "
                    f"| {share(listed)} | "
                    f"{share(absent)} | {100 * np.mean(right):.0f} | {100 * np.mean(sure):.0f} | "
                    f"{100 * off(np.array(sure), np.array(right)):.0f} |"
                )
    print()


def off(sure: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error: ten bins of equal width."""
    bins = np.minimum((10 * sure).astype(int), 9)
    return float(sum(abs(sure[bins == k].mean() - right[bins == k].mean()) * (bins == k).mean() for k in set(bins)))


def faces(clips: list[Clip]) -> None:
    """How often unlike faces are told."""
    print(f"| clips | warned (limit {LIMIT:g}) | distance: least, median, most |\n| --- | --- | --- |")
    groups = {
        "`valid`, s1 held out": [clip for clip in clips if clip.set == "valid"],
        "`test`, s1 held out": [clip for clip in clips if clip.set == "test"],
        "unseen, first half": [clip for clip in clips if clip.set == "unseen" and clip.speaker in FIRST_HALF],
        "unseen, second half": [clip for clip in clips if clip.set == "unseen" and clip.speaker not in FIRST_HALF],
    }
    for name, some in groups.items():
        found = np.array([clip.distance for clip in some])
        low, middle, high = np.quantile(found, [0, 0.5, 1])
        print(f"| {name} | {(found >= LIMIT).sum()} of {len(found)} | {low:.2f}, {middle:.2f}, {high:.2f} |")
        for clip in some:
            if (clip.distance >= LIMIT) != (clip.set == "unseen"):
                print(f"|  | {clip.name} | {clip.distance:.2f} |")
    print()


def warped(zoom: float = 1.0, degrees: float = 0.0) -> Callable[[np.ndarray], np.ndarray]:
    """Zoomed and turned about the middle of the crop."""

    def change(frame: np.ndarray) -> np.ndarray:
        height, width = frame.shape
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
        return cv2.warpAffine(frame, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)

    return change


def lit(down: float, right: float) -> Callable[[np.ndarray], np.ndarray]:
    """So much more light on one side, and less on the other."""

    def change(frame: np.ndarray) -> np.ndarray:
        weights = [1 + share * np.linspace(-1, 1, side) for share, side in zip((down, right), frame.shape, strict=True)]
        return frame * np.outer(*weights)

    return change


NOISE = np.random.default_rng(0)
# What may happen to a face: of a crop (96, 96), gray levels in float32.
CONDITIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda frame: frame,
    "darker (x 0.7)": lambda frame: 0.7 * frame,
    "brighter (+ 30)": lambda frame: frame + 30,
    "contrast x 0.6": lambda frame: frame.mean() + 0.6 * (frame - frame.mean()),
    "light from the left (x 1.4 to 0.6)": lit(0, -0.4),
    "light from the right": lit(0, 0.4),
    "light from below": lit(0.4, 0),
    "light from above": lit(-0.4, 0),
    "light from a corner (x 2 to 0.4)": lit(-0.4, 0.4),
    "zoom 1.15": warped(zoom=1.15),
    "turned by 8 degrees": warped(degrees=8),
    "mirrored": lambda frame: frame[:, ::-1],
    "blurred (2 pixels)": lambda frame: cv2.GaussianBlur(frame, (0, 0), 2),
    "noise (8 gray levels)": lambda frame: frame + 8 * NOISE.standard_normal(frame.shape, np.float32),
}


@torch.no_grad()
def conditions(data: Path, dump: Path) -> None:
    """Who is warned of in other conditions: of the known speaker and of the others every second clip."""
    sets = {name: list(DataDir(data / name).ids)[::2] for name in ("test", "unseen")}
    models = ("grid-s1-parallel", "grid-s1-vsr")
    print("| | " + " | ".join(f"{model}: s1 | others" for model in models) + f" |\n{'| --- ' * 5}|")
    watchers = []
    for model in models:
        loaded = experiment.load(model)
        known, trunk = familiarity_of(loaded), trunk_of(loaded.model)
        assert known is not None
        assert trunk is not None
        watchers.append((known, trunk, Frames(Archive(loaded.task.inputs(dump)[0]))))
    for name, change in CONDITIONS.items():
        cells = []
        for known, trunk, frames in watchers:
            for set_, ids in sets.items():
                distances = []
                for clip in ids:
                    crops = np.stack([change(frame.astype(np.float32)) for frame in frames[clip]])
                    video = torch.from_numpy(crops.round().clip(0, 255).astype(np.uint8))[None]
                    distances.append(known.distance_of(trunk(video, torch.tensor([len(crops)]))[0].numpy()))
                warned, edge = sum(each >= LIMIT for each in distances), max if set_ == "test" else min
                cells.append(f"{warned} of {len(ids)}, {np.median(distances):.2f}, {edge(distances):.2f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print()


# Other published maps, to compare with the one in use: Potamianos, Neti et al. (2003); Lee and Yook (2002).
MAPS = {
    "Jeffers and Barley": look_alikes.VISEMES,
    "Neti": (
        *("AO AH AA ER OY AW HH", "UW UH OW", "AE EH EY AY", "IH IY", "L R Y", "S Z", "T D N", "SH ZH CH JH", "P B M"),
        *("TH DH", "F V", "NG G K W"),
    ),
    "Lee": (
        *("B P M", "D T S Z TH DH", "G K N NG L Y HH", "JH CH SH ZH", "F V", "R W", "IY IH", "EH EY AE", "AA AW AY"),
        *("AH", "AO OY OW", "UH UW", "ER"),
    ),
}


def visemes(clips: list[Clip], texts: list[str]) -> None:
    """How often lips prefer a sentence with one other word of GRID, whose visemes are equal or not."""
    print("| map | unseen: equal visemes | others | `test`: equal visemes | others |\n| --- | --- | --- | --- | --- |")
    words = experiment.load("grid-s1-parallel", task=Regress).assets.words
    number = {word: n for n, word in enumerate(words, start=1)}
    slots = [[word for word in slot if word in number] for slot in grammar("grid").slots]
    rows: dict[str, list[tuple[str, str, bool]]] = {"unseen": [], "test": []}
    for clip in clips:
        if clip.set in rows:
            said = texts[clip.truth].split()
            swaps = [(n, word) for n, slot in enumerate(slots) for word in slot if word != said[n]]
            others = [[*said[:n], word, *said[n + 1 :]] for n, word in swaps]
            scores = forward_scores(
                clip.log_probs[MIRRORED], [[number[word] for word in text] for text in [said, *others]]
            )
            rows[clip.set] += [
                (said[n], word, score > scores[0]) for (n, word), score in zip(swaps, scores[1:], strict=True)
            ]
    for name, groups in MAPS.items():
        of = look_alikes.visemes_of(words, groups)
        cells = []
        for some in rows.values():
            for wanted in (True, False):
                picked = [confused for one, other, confused in some if (of[one] == of[other]) == wanted]
                cells.append(f"{100 * np.mean(picked):.0f} % of {len(picked)}")
        print(f"| {name} | {' | '.join(cells)} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the data dirs train, valid, test and unseen")
    parser.add_argument("dump", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    clips, texts = compute(given.data, given.dump)
    ranking(clips, texts)
    calibration(clips, texts)
    faces(clips)
    conditions(given.data, given.dump)
    visemes(clips, texts)


if __name__ == "__main__":
    main()
