"""The toolkit at the size of VoxCeleb2: a simulated corpus of 1.1 million clips and 6,000 speakers, ids and tables.

    python tests/benchmarks/bench_scale.py [--clips 1100000] [--speakers 6000] [--folder DIR] [--only STEP,...]

Videos are empty files (links to a few), crops have 8 video frames and features 8 bands, so that 1.1 million take some 4
GB; their lengths in the tables are those of real clips. The folder is made once and used again when it is given.

Each step runs in a process of its own. Printed are processor seconds (the process and those it started), wall seconds,
and the most memory that any of its processes held, Python and its packages included; `sort` reads and sorts the same
tables beside it. Of loading processes the memory is told that is theirs alone, after the batches were drawn.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lipsound2.audio.mel import MelConfig
from lipsound2.audio.statistics import sums
from lipsound2.config import to_mapping
from lipsound2.data.archive import Archive
from lipsound2.data.checks import fix, validate
from lipsound2.data.datadir import DataDir
from lipsound2.datasets.augment import AugmentConfig
from lipsound2.datasets.video_to_features import CropsAndFeatures
from lipsound2.jobs.jobs import dump_clips
from lipsound2.models.parallel import ParallelConfig
from lipsound2.tasks.regress import Regress, RegressConfig
from lipsound2.train_config import TrainConfig
from lipsound2.training.loader import Batches
from lipsound2.training.sampler import Stream, Updates
from lipsound2.video.encode import encode

LINKS = 10_000  # to one empty file; file systems allow some 65,000
FRAMES, SIDE = 8, 16
MEL = MelConfig(name="tiny", bands=8)
TRAIN = TrainConfig()


class Corpus:
    """Ids, speakers and files of a simulated VoxCeleb2, a pure function of the two sizes.

    Args:
        folder: where it lies.
        clips: how many.
        speakers: of how many.
    """

    def __init__(self, folder: Path, clips: int, speakers: int) -> None:
        self.folder, self.clips, self.speakers = folder, clips, speakers
        self.all, self.shuffled = folder / "data" / "all", folder / "data" / "shuffled"
        self.dump, self.media = folder / "dump", folder / "mp4"

    def tables(self) -> tuple[dict[str, str], dict[str, str]]:
        """Speaker and file of every clip; seven clips come from one video, as in the corpus."""
        chance = random.Random(0)
        utt2spk, video = {}, {}
        for number in range(self.clips):
            speaker, place = f"id{number % self.speakers:05d}", number // self.speakers
            if place % 7 == 0:
                source = f"{chance.getrandbits(66):011x}"[:11]
            else:
                source = f"{number - place % 7 * self.speakers:011d}"
            name = f"{speaker}-{source}-{place % 7:05d}"
            utt2spk[name] = speaker
            video[name] = f"{self.media}/{speaker}/{source}-{place % 7:05d}.mp4"
        return utt2spk, video

    def write(self) -> None:
        """The data dir."""
        utt2spk, video = self.tables()
        DataDir.write(self.all, utt2spk=utt2spk, video=video)

    def link(self) -> None:
        """An empty file for every clip."""
        for number, path in enumerate(self.tables()[1].values()):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            source = self.media / f"{number // LINKS}.empty"
            if number % LINKS == 0:
                source.touch()
            with contextlib.suppress(FileExistsError):
                os.link(source, path)

    def extract(self) -> None:
        """The dump, or nothing when it is whole already."""
        data = DataDir(self.all)
        dump_clips(
            self.dump,
            {"mouth": {"kind": "mouth"}, "mel-tiny": to_mapping(MEL), "audio": {"kind": "audio"}},
            data.ids,
            make_worker,
            step="simulated",
            fingerprint={},
            inputs=data.video,
        )

    def whole(self) -> bool:
        return all((self.dump / kind / "feats.scp").exists() for kind in ("mouth", "mel-tiny", "audio"))

    def training_set(self) -> CropsAndFeatures:
        """All clips, ready to be trained on."""
        ratio = MEL.sample_rate / MEL.hop / 25
        return CropsAndFeatures(
            DataDir(self.all), self.dump, ("mouth", "mel-tiny"), ratio, AugmentConfig(), training=True
        )


def make_worker() -> Callable[[str], dict[str, Any]]:
    """What stands for a clip: video frames and features that are always the same, lengths that differ."""
    rng = np.random.default_rng(0)
    crop = encode(rng.integers(0, 255, (FRAMES, SIDE, SIDE), np.uint8))
    mel = rng.normal(size=(FRAMES * 4, MEL.bands)).astype(np.float32)
    entry = {"mouth": crop, "mel-tiny": mel, "mel-tiny/cmvn": sums(mel), "audio": np.zeros(8, np.uint8)}

    def work(name: str) -> dict[str, Any]:
        frames = 100 + hash_of_name(name) % 250
        return {**entry, "mouth/frames": frames, "mel-tiny/frames": 4 * frames, "audio/frames": 640 * frames}

    return work


def hash_of_name(name: str) -> int:
    return sum(name.encode()) * 7919


# ---- steps ---------------------------------------------------------------------------------------------------------


def sort_tables(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        for path in tables_of(folder):
            subprocess.run(["sort", "--parallel=1", path, "-o", f"{out}/sorted"], check=True, env={"LC_ALL": "C"})


def tables_of(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]


def check(corpus: Corpus) -> None:
    assert validate(corpus.all) == 0


def check_tables(corpus: Corpus) -> None:
    assert validate(corpus.all, media=False) == 0


def shuffle(corpus: Corpus) -> None:
    """A data dir with a table out of order."""
    shutil.rmtree(corpus.shuffled, ignore_errors=True)
    shutil.copytree(corpus.all, corpus.shuffled)
    lines = (corpus.all / "utt2spk").read_text().splitlines(keepends=True)
    random.Random(0).shuffle(lines)
    (corpus.shuffled / "utt2spk").write_text("".join(lines))


def repair(corpus: Corpus) -> None:
    assert fix(corpus.shuffled) == 0


def open_data(corpus: Corpus) -> None:
    assert len(DataDir(corpus.all).ids) == corpus.clips


def subset(corpus: Corpus) -> None:
    """Nine tenths of the clips, and the rest."""
    data = DataDir(corpus.all)
    with tempfile.TemporaryDirectory(dir=corpus.folder) as folder:
        data.subset([name for place, name in enumerate(data.ids) if place % 10], Path(folder) / "train")
        data.subset([name for place, name in enumerate(data.ids) if not place % 10], Path(folder) / "valid")


def open_archive(corpus: Corpus) -> None:
    assert len(Archive(corpus.dump / "mouth")) == corpus.clips


def open_clips(corpus: Corpus) -> None:
    assert len(corpus.training_set()) == corpus.clips


def open_task(corpus: Corpus) -> None:
    """All that `train` does before the first update: clips, statistics, mean at each time."""
    task = Regress(RegressConfig(target="mel-tiny"), ParallelConfig(), AugmentConfig())
    task.prepare(DataDir(corpus.all), DataDir(corpus.all), corpus.dump)


def first_epoch(corpus: Corpus) -> None:
    rng = np.random.default_rng(0)
    updates = Updates(rng.integers(100, 350, corpus.clips), TRAIN).epoch(0)
    print(f"{len(updates)} updates; ", end="")


def batches(corpus: Corpus, workers: int) -> None:
    clips = corpus.training_set()
    stream = Stream(Updates(clips.lengths, TRAIN), 0, 0, 0)
    task = Regress(RegressConfig(target="mel-tiny"), ParallelConfig(), AugmentConfig())
    started = time.perf_counter()
    with Batches(task, clips, stream, 0, workers, torch.device("cpu")) as loader:
        loader.next()
        first = time.perf_counter() - started
        for _ in range(200):
            loader.next()
        own = [private_memory(process.pid) for process in multiprocessing.active_children()]
        print(f"first batch after {first:.2f} s, at most {max(own):.0f} MB a process of its own; ", end="")


def private_memory(process: int | None) -> float:
    """MB that a process shares with no other."""
    rows = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith("Private_")) / 1024


STEPS: dict[str, Callable[[Corpus], None]] = {
    "ids": lambda corpus: corpus.tables() and None,
    "write": Corpus.write,
    "link": Corpus.link,
    "sort": lambda corpus: sort_tables(corpus.all),
    "validate-tables": check_tables,
    "validate": check,
    "shuffle": shuffle,
    "sort-shuffled": lambda corpus: sort_tables(corpus.shuffled),
    "fix": repair,
    "open-data": open_data,
    "subset": subset,
    "dump": Corpus.extract,
    "dump-again": Corpus.extract,
    "open-archive": open_archive,
    "open-clips": open_clips,
    "open-task": open_task,
    "sampler": first_epoch,
    "loader-2": lambda corpus: batches(corpus, 2),
    "loader-8": lambda corpus: batches(corpus, 8),
}


def measure(name: str, corpus: Corpus, answer: multiprocessing.Queue[tuple[float, float, float]]) -> None:
    """Run a step: processor seconds, wall seconds, MB at most."""
    multiprocessing.set_start_method("fork", force=True)  # a spawned process would spawn the loader's, too
    started, wall = os.times(), time.perf_counter()
    print(f"{name:<16} ", end="", flush=True)
    STEPS[name](corpus)
    ended = os.times()
    used = sum(ended[:4]) - sum(started[:4])
    memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"{used:.2f} s of processor, {time.perf_counter() - wall:.2f} s, {memory / 1024:.0f} MB", flush=True)
    answer.put((used, time.perf_counter() - wall, memory / 1024))


def run(name: str, corpus: Corpus) -> tuple[float, float, float]:
    """A step in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=measure, args=(name, corpus, answer))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{name} failed")
    return answer.get()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1_100_000)
    parser.add_argument("--speakers", type=int, default=6000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", help=f"comma-separated, of: {', '.join(STEPS)}")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        corpus = Corpus(folder, options.clips, options.speakers)
        load = os.getloadavg()[0]
        print(f"{options.clips} clips of {options.speakers} speakers, {os.cpu_count()} cores, load {load:.1f}")
        for name in options.only.split(",") if options.only else STEPS:
            run(name, corpus)


if __name__ == "__main__":
    main()
