"""Reading archives: ours beside kaldiio on the same files, in random and in file order, and opening a large index.

    python tests/benchmarks/bench_archive_read.py [--entries 2000] [--index 1100000] [--rounds 5] [--shards 2000]
        [--folder DIR]

Entries are what the dumps hold: mels (300, 80) float32, the same compressed to a byte a value, crops of 19 kB as NPY.
The files are in the page cache and processor time is counted, so that what is compared is the readers, not the disk nor
what else the machine does. kaldiio runs as `load_scp` does by
itself and with files kept open (max_cache_fd). Both take turns; medians over the rounds. Every array is touched.

Last, many shards of crops of 40 kB, as of clips of 8 s, in `--folder`: wall times in file order and in random order,
with the files in the page cache and after they were dropped from it (posix_fadvise), by one reader and by eight at once
as the processes that load batches. A virtual machine's host may still hold what its guest dropped.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import kaldiio
import numpy as np

from lipsound2.data.archive import Archive, ArchiveWriter

PER_FILE = 100  # entries an ark, as in a shard


def write(folder: Path, array: np.ndarray, entries: int, compress: bool) -> int:
    """Archives of the same entry many times over, the index with absolute paths for kaldiio; returns bytes."""
    lines = []
    for start in range(0, entries, PER_FILE):
        with ArchiveWriter(folder / f"{start // PER_FILE:05d}.ark") as writer:
            for number in range(start, min(start + PER_FILE, entries)):
                writer.write(f"s{number:07d}", array, compress=compress)
        lines += [f"{key} {folder}/{value}\n" for key, value in writer.values.items()]
    (folder / "feats.scp").write_text("".join(lines))
    return sum(path.stat().st_size for path in folder.glob("*.ark"))


def read_all(archive: Mapping[str, np.ndarray], keys: list[str]) -> float:
    """Seconds of processor time to read all entries, one value of each looked at."""
    started = time.process_time()
    for key in keys:
        archive[key].flat[-1]
    return time.process_time() - started


def compare(folder: Path, entries: int, rounds: int) -> None:
    """A table of entries/s for one folder of archives."""
    openers: dict[str, Callable[[], Mapping[str, np.ndarray]]] = {
        "ours": lambda: Archive(folder),
        "kaldiio": lambda: kaldiio.load_scp(str(folder / "feats.scp")),
        "kaldiio, open files": lambda: kaldiio.load_scp(str(folder / "feats.scp"), max_cache_fd=64),
    }
    keys = Archive(folder).ids
    shuffled = random.Random(0).sample(keys, len(keys))
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds + 1):
        for name, opener in openers.items():
            for order, chosen in (("file order", keys), ("random", shuffled)):
                seconds.setdefault((name, order), []).append(read_all(opener(), chosen))
    for name in openers:
        rates = [entries / statistics.median(seconds[name, order][1:]) for order in ("file order", "random")]
        print(f"  {name:<20} {rates[0]:>10.0f} {rates[1]:>10.0f}")


def many_shards(folder: Path, shards: int) -> None:
    """Wall times on an archive of many files."""
    crop = np.random.default_rng(0).integers(0, 255, 40_000).astype(np.uint8)
    size = write(folder, crop, shards * PER_FILE, compress=False)
    print(f"{shards} shards of {PER_FILE} crops of 40 kB, {size / 1e9:.1f} GB; entries/s by the clock")
    print(f"  {'':<20} file order     random")
    archive = Archive(folder)
    shuffled = np.random.default_rng(0).permutation(len(archive))[: len(archive) // 2]
    orders = (np.sort(shuffled) // 2, shuffled)  # as many entries in file order, without a gap
    for readers in (1, 8):
        for state in ("cold", "warm"):
            rates = []
            for order in orders:
                if state == "cold":
                    drop(folder)
                else:
                    clocked(archive, order, readers)
                rates.append(len(order) / clocked(archive, order, readers))
            print(f"  {state}, {readers} reader{'s' * (readers > 1):<8} {rates[0]:>10.0f} {rates[1]:>10.0f}")


def drop(folder: Path) -> None:
    """Have the system forget the content of files."""
    os.sync()
    for path in folder.glob("*.ark"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def clocked(archive: Archive, order: np.ndarray, readers: int) -> float:
    """Wall seconds that some forked processes take to read entries, each its share."""
    context = multiprocessing.get_context("fork")
    shares = np.array_split(order, readers) if readers > 1 else [order]
    processes = [context.Process(target=touch, args=(archive, share)) for share in shares]
    started = time.perf_counter()
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return time.perf_counter() - started


def touch(archive: Archive, order: np.ndarray) -> None:
    """Read entries, and look at one value of each page."""
    for place in order.tolist():
        archive[archive.ids[place]][::4096].sum()


def open_index(reader: str, path: str, answer: multiprocessing.Queue[tuple[float, float, float]]) -> None:
    """In a process of its own: seconds to open, seconds a look-up, MB it took at most."""
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    archive = Archive(path) if reader == "ours" else kaldiio.load_scp(path)
    opened = time.process_time() - started
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024
    started = time.process_time()
    for number in range(0, len(archive), 100):
        assert f"s{number:07d}" in archive
    asked = (time.process_time() - started) / len(range(0, len(archive), 100))
    answer.put((opened, asked * 1e6, memory))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=2000)
    parser.add_argument("--index", type=int, default=1_100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shards", type=int, default=2000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    mel = rng.normal(size=(300, 80)).astype(np.float32)
    contents = {
        "mel float32": (mel, False),
        "mel compressed (CM)": (mel, True),
        "crop uint8 19 kB": (rng.integers(0, 255, 19_000).astype(np.uint8), False),
    }
    print(f"{os.cpu_count()} cores, {options.entries} entries, {options.rounds} rounds, medians; entries/s")
    for name, (array, compress) in contents.items():
        with tempfile.TemporaryDirectory() as folder:
            size = write(Path(folder), array, options.entries, compress)
            print(f"{name}, {size / options.entries / 1000:.0f} kB an entry\n  {'':<20} file order     random")
            compare(Path(folder), options.entries, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feats.scp"
        with path.open("w") as file:
            file.writelines(
                f"s{n:07d} shards/{n // 100:05d}.ark:{n % 100 * 20011 + 30}\n" for n in range(options.index)
            )
        print(f"an index of {options.index} entries: seconds to open, microseconds a look-up, MB")
        context = multiprocessing.get_context("spawn")
        for reader in ("ours", "kaldiio"):
            answers = []
            for _ in range(3):
                queue = context.Queue()
                process = context.Process(target=open_index, args=(reader, str(path), queue))
                process.start()
                answers.append(queue.get())
                process.join()
            numbers = [statistics.median(column) for column in zip(*answers, strict=True)]
            print(f"  {reader:<20} {numbers[0]:>6.2f} s {numbers[1]:>6.1f} us {numbers[2]:>6.0f} MB")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        many_shards(Path(folder), options.shards)


if __name__ == "__main__":
    main()
