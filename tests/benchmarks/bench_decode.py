"""Real-time factors of recognizers, of audio or of lips: every way to search, ours beside the same pieces by hand.

    cd egs/grid; python ../../tests/benchmarks/bench_decode.py exp/lists_asr_conformer --data data/lists/test \\
        --dump dump --train data/lists/train [--lm exp/lm] [--clips 20] [--repeats 5] [--clock cpu]

The n-grams are a trigram model of the training set's words; --lm adds a network. By hand, greedy decoding is features,
network and best path in a loop over batches of the same size, and PocketSphinx, for audio, its own package with a
grammar, audio after audio. All ways take turns; medians are printed as seconds of work a second of the clips, which are
decoded already: no time of audio files or crops is in it. Whatever both sides of a pair read must be the same.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lipsound2 import experiment
from lipsound2.audio.io import decode_flac
from lipsound2.audio.kind import AUDIO
from lipsound2.data.archive import Archive
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.audio_to_text import features_of
from lipsound2.datasets.crop_cache import Frames
from lipsound2.decoding.grammar import grammar
from lipsound2.decoding.ngram import estimate
from lipsound2.decoding.pretrained_asr import PocketSphinx, SpeechRecognizer, recognize_all
from lipsound2.decoding.search_options import SearchOptions
from lipsound2.inference.recognizers import TrainedRecognizer
from lipsound2.tasks.recognize import Recognize
from lipsound2.timing import FRAME_RATE, SAMPLE_RATE

BATCH = 16

Clips = dict[str, np.ndarray]  # id -> audio, or video frames, or the states of a trunk
Way = Callable[[], dict[str, str]]  # id -> text


def by_hand(name: str, clips: Clips) -> Way:
    """A recognizer's network and its best path, without our recognizer."""
    loaded = experiment.load(name, task=Recognize)
    network, tokenizer = loaded.model, loaded.assets.tokenizer
    names = list(clips)
    prepare = (lambda clip: clip) if loaded.task.sees else features_of

    @torch.no_grad()
    def recognize() -> dict[str, str]:
        texts = {}
        for start in range(0, len(names), BATCH):
            some = names[start : start + BATCH]
            features = [torch.from_numpy(prepare(clips[name])) for name in some]
            padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
            heard = network(padded, torch.tensor([len(rows) for rows in features]))
            for name, path, length in zip(some, heard.log_probs.argmax(2), heard.lengths.tolist(), strict=True):
                tokens = torch.unique_consecutive(path[:length]).tolist()
                texts[name] = " ".join(tokenizer.decode([token for token in tokens if token]).split())
        return texts

    return recognize


def sphinx_by_hand(rules: str, clips: Clips) -> Way:
    """PocketSphinx as its manual uses it; letters by the names its dictionary has for them."""
    import pocketsphinx

    allowed = grammar(rules)
    spelled = {word: f"{word}." for slot in allowed.slots for word in slot if len(word) == 1} | {"z": "zed"}
    decoder = pocketsphinx.Decoder(samprate=SAMPLE_RATE, loglevel="FATAL", lm=None)
    decoder.add_jsgf_string("sentences", allowed.jsgf(spelled))
    decoder.activate_search("sentences")
    back = {name: word for word, name in spelled.items()}

    def recognize() -> dict[str, str]:
        texts = {}
        for name, waveform in clips.items():
            decoder.start_utt()
            decoder.process_raw(
                (np.clip(np.rint(waveform * 32767), -32768, 32767)).astype(np.int16).tobytes(), False, True
            )
            decoder.end_utt()
            best = decoder.hyp()
            texts[name] = " ".join(back.get(word, word) for word in best.hypstr.split()) if best else ""
        return texts

    return recognize


def heard_by(recognizer: SpeechRecognizer, clips: Clips) -> Way:
    """Our way: what the verb `decode` calls."""
    return lambda: {name: what.text for name, what in recognize_all(recognizer, clips.items(), BATCH).items()}


def searches(options: argparse.Namespace, clips: Clips, folder: Path) -> dict[str, Way]:
    """Every way our recognizer can search that it was given what it needs for."""
    models = {}
    if options.train:
        estimate((text.split() for text in DataDir(options.train).text.values()), 3).write(folder / "words.arpa")
        models["n-gram"] = folder / "words.arpa"
    if options.lm:
        models[f"network {options.lm.name}"] = options.lm
    decoder = experiment.load(options.exp, task=Recognize).model.decoder is not None
    ways = {"CTC beam 16": TrainedRecognizer(options.exp, SearchOptions(beam=16))}
    for name, lm in models.items():
        ways[f"CTC beam 16 + {name}"] = TrainedRecognizer(options.exp, SearchOptions(lm=lm, beam=16))
    if decoder:
        for name, lm in {"": None, **models}.items():
            search = SearchOptions(lm=lm, beam=8, ctc_weight=0.3)
            ways[f"joint beam 8{' + ' if name else ''}{name}"] = TrainedRecognizer(options.exp, search)
    if options.grammar:
        ways[f"grammar {options.grammar}"] = TrainedRecognizer(options.exp, SearchOptions(grammar=options.grammar))
    return {name: heard_by(recognizer, clips) for name, recognizer in ways.items()}


def clips_of(kind: Path, data: DataDir, number: int) -> tuple[Clips, float]:
    """The first clips of a data dir as a recognizer is given them, and how many seconds they last."""
    archive = Archive(kind)
    names = [name for name in data.ids if name in archive][:number]
    if kind.name == AUDIO:
        clips = {name: decode_flac(archive[name]) for name in names}
        return clips, sum(map(len, clips.values())) / SAMPLE_RATE
    frames = Frames(archive)
    clips = {name: frames[name] for name in names}
    return clips, sum(map(len, clips.values())) / FRAME_RATE


def timed(ways: dict[str, Way], repeats: int, clock: Callable[[], float]) -> tuple[dict[str, float], dict[str, dict]]:
    """Median seconds of each way, and what it heard first."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    texts: dict[str, dict[str, str]] = {}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            begin = clock()
            heard = way()
            if turn:  # the first warms up
                seconds[name].append(clock() - begin)
            else:
                texts[name] = heard
    return {name: statistics.median(values) for name, values in seconds.items()}, texts


def main() -> None:
    """Time and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exp", help="experiment or pack of the task recognize")
    parser.add_argument("--data", type=Path, required=True, help="data dir of the clips")
    parser.add_argument("--dump", type=Path, required=True)
    parser.add_argument("--train", type=Path, help="data dir whose text the n-grams are made of")
    parser.add_argument("--lm", type=Path, help="experiment or pack of the task language")
    parser.add_argument("--grammar", default="grid", help="name or file; empty: no grammar, and no PocketSphinx")
    parser.add_argument("--clips", dest="number", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: torch's choice")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: for a busy machine, one thread")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    recognizer = TrainedRecognizer(options.exp)
    clips, length = clips_of(options.dump / recognizer.input, DataDir(options.data), options.number)
    ways = {"greedy": heard_by(recognizer, clips), "greedy by hand": by_hand(options.exp, clips)}
    pairs = [("greedy", "greedy by hand")]
    if options.grammar and recognizer.input == AUDIO:
        ours, theirs = f"pocketsphinx:{options.grammar}", "pocketsphinx by hand"
        ways |= {ours: heard_by(PocketSphinx(options.grammar), clips), theirs: sphinx_by_hand(options.grammar, clips)}
        pairs.append((ours, theirs))
    with tempfile.TemporaryDirectory() as folder:
        ways |= searches(options, clips, Path(folder))
    clock = {"wall": time.perf_counter, "cpu": time.process_time}[options.clock]
    seconds, texts = timed(ways, options.repeats, clock)
    print(f"{options.exp}: {len(clips)} clips, {length:.0f} s of {recognizer.input}, {options.clock} time of")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}, medians of {options.repeats} turns")
    print("| way | seconds a second | times real time |")
    print("|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value / length:.4f} | {length / value:.0f} |")
    for ours, theirs in pairs:
        unlike = sum(texts[ours][name] != texts[theirs][name] for name in clips)
        more = seconds[ours] / seconds[theirs] - 1
        print(f"{ours} takes {more:+.1%} beside {theirs}; {unlike} of {len(clips)} texts differ")


if __name__ == "__main__":
    main()
