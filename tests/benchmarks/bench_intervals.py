"""How often intervals of error rates hold the true rate, of simulated sets whose true rate is known: 95 % are wanted.

    python tests/benchmarks/bench_intervals.py [--sets 1000] [--seed 0]

Beside ours stands the percentile bootstrap over clips. Sentences have six words.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np

from lipsound2.metrics.rates import rates

WORDS = 6
Drawn = Callable[[np.random.Generator, int], np.ndarray]  # sets -> (clips, sets) errors


def alone(rate: float, clips: int) -> Drawn:
    """Words are wrong independently of each other."""
    return lambda random, sets: random.binomial(WORDS, rate, (clips, sets))


def bunched(share: float, sizes: list[int], clips: int) -> Drawn:
    """A share of the sentences is wrong, in as many words as one of `sizes`."""
    return lambda random, sets: (random.random((clips, sets)) < share) * random.choice(sizes, (clips, sets))


def speakers(rate: float, spread: float, clips: Sequence[int]) -> Drawn:
    """Speakers, with so many clips each, differ by a log-normal factor."""

    def draw(random: np.random.Generator, sets: int) -> np.ndarray:
        factors = np.exp(random.normal(-(spread**2) / 2, spread, (len(clips), sets)))
        return random.binomial(WORDS, np.repeat(np.minimum(rate * factors, 1), clips, 0))

    return draw


UNEQUAL = (26, 6, 2, 1, 1, 1, 1, 1, 1)
# what -> how errors are drawn, clips of each speaker (none: clips are what varies)
CASES: dict[str, tuple[Drawn, Sequence[int]]] = {
    "50 clips, WER .67 %": (alone(0.0067, 50), ()),
    "50 clips, WER .67 %, bunches of 1 to 3": (bunched(0.024, [1, 1, 2, 3], 50), ()),
    "50 clips, WER 5 %": (alone(0.05, 50), ()),
    "50 clips, WER 14 %, bunches of 1 to 6": (bunched(0.3, [1, 1, 2, 3, 4, 6], 50), ()),
    "9 unseen speakers of 5 clips, WER 30 %": (speakers(0.3, 0.5, [5] * 9), [5] * 9),
    "9 unseen speakers of 50 clips, WER 10 %": (speakers(0.1, 0.7, [50] * 9), [50] * 9),
    "4 unseen speakers of 50 clips, WER 30 %": (speakers(0.3, 0.5, [50] * 4), [50] * 4),
    "33 unseen speakers of 20 clips, WER 5 %": (speakers(0.05, 0.7, [20] * 33), [20] * 33),
    "9 unseen speakers of 26 clips to 1, WER 10 %": (speakers(0.1, 0.7, UNEQUAL), UNEQUAL),
    "9 unseen speakers of 26 clips to 1, WER 50 %": (speakers(0.5, 0.4, UNEQUAL), UNEQUAL),
    "9 unseen speakers of 26 clips to 1, WER 50 %, much alike": (speakers(0.5, 0.2, UNEQUAL), UNEQUAL),
}


def coverage(case: tuple[Drawn, Sequence[int]], sets: int, seed: int, draws: int = 1000) -> tuple[float, float, int]:
    """Shares of the sets whose interval holds the true rate, ours and the bootstrap's, and our intervals [0, 0]."""
    drawn, clips = case
    random = np.random.default_rng(seed)
    true = drawn(random, 20_000 if clips else 2_000).mean() / WORDS
    errors = drawn(random, sets)
    names = np.repeat([f"s{number}" for number in range(len(clips))], clips).tolist() if clips else None
    found = rates(errors, np.full(errors.shape, WORDS), names)
    ours = np.mean([one.low <= true <= one.high for one in found])
    if not draws:
        return float(ours), float("nan"), sum(one.high == 0 for one in found)
    chosen = random.multinomial(len(errors), np.full(len(errors), 1 / len(errors)), draws)
    low, high = np.quantile(chosen @ errors / (WORDS * len(errors)), [0.025, 0.975], axis=0)
    return float(ours), float(((low <= true) & (true <= high)).mean()), sum(one.high == 0 for one in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| simulated | hold the true rate | bootstrap over clips |")
    print("| --- | --- | --- |")
    for name, case in CASES.items():
        ours, theirs, _ = coverage(case, options.sets, options.seed)
        print(f"| {name} | {100 * ours:.1f} % | {100 * theirs:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
