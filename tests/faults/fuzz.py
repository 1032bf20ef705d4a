"""Damaged and hostile files for every reader: nothing but our own errors may come out, and no nonsense may go in.

    python tests/faults/fuzz.py --count 250000 --seed 1

makes so many cases, the same ones for the same seed, and ends with their counts; status 1 when a reader raised
anything else than a `LipsoundError` or a clip's verdict, or took what cannot be. `tests/test_fuzz.py` runs a share.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import math
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fuzz_faults import mutate
from fuzz_readers import Reader, readers

from lipsound2.errors import ClipFailure, LipsoundError


@dataclass
class Found:
    """What came out: how often each thing did, and the first case of each fault with what led to it."""

    counts: Counter[str]
    faults: dict[str, tuple[str, bytes, str]]


def run(count: int, seed: int, chosen: str = "") -> Found:
    """Try so many cases of each reader (its share of them).

    Args:
        count: of cases a reader.
        seed: of the faults.
        chosen: the only reader to try; empty: all.
    """
    found = Found(Counter(), {})
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with contextlib.ExitStack() as stack:
        stack.callback(logging.disable, logging.root.manager.disable)  # tests that come later look at what is logged
        logging.disable(logging.WARNING)
        made = stack.enter_context(tempfile.TemporaryDirectory(dir=memory))
        for reader in readers(Path(made)):
            if chosen and reader.name != chosen:
                continue
            rng = random.Random(f"{seed} {reader.name}")
            for number in range(round(count * reader.share)):
                content = mutate(rng, rng.choice(reader.seeds)) if number else reader.seeds[0]
                _try(reader, content, found, Path(made) / f"case-{number % 50}-{reader.name.replace(' ', '-')}")
    return found


def _try(reader: Reader, content: bytes, found: Found, folder: Path) -> None:
    """One case: what came out of it."""
    folder.mkdir()
    path = folder / reader.file
    path.write_bytes(content)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            reader.read(path)
        found.counts["read"] += 1
    except (LipsoundError, ClipFailure) as error:
        found.counts["refused"] += 1
        if not str(error).strip():
            _note_fault(found, reader, "message of no use", content, str(error)[:200])
    except OSError as error:  # told by cli.main when it names a file
        found.counts["told by cli.main"] += 1
        if error.filename is None:
            _note_fault(found, reader, repr(error), content, traceback.format_exc())
    except Exception as error:  # noqa: BLE001 - what this is for
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} {Path(place.filename).name}:{place.lineno}"
        _note_fault(found, reader, kind, content, traceback.format_exc())
    finally:
        shutil.rmtree(folder)


def _note_fault(found: Found, reader: Reader, kind: str, content: bytes, told: str) -> None:
    found.counts["unexpected"] += 1
    found.faults.setdefault(f"{reader.name}: {kind}", (kind, content, told))


def main() -> int:
    """The long run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=250_000, help="cases in all")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--reader", default="", help="only this one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        shares = sum(reader.share for reader in readers(Path(made)) if options.reader in ("", reader.name))
    found = run(math.ceil(options.count / shares), options.seed, options.reader)
    for name, (_, content, told) in found.faults.items():
        print(f"== {name}\n{content[:300]!r}\n{told}")
    print(
        f"{found.counts.total()} cases: {', '.join(f'{count} {what}' for what, count in sorted(found.counts.items()))}"
    )
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
