"""Which other sentence a model is shown in the control "the model shown another sentence".

If lips are read, the speech made from somebody else's sentence must not resemble the reference. The other clip is
of the same speaker and shares no word with the clip at any place of the sentence, as far as the set allows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from scipy.optimize import linear_sum_assignment

from lipsound2.corpora.protocols import hashed
from lipsound2.corpora.sentences import shared_words

_NEVER = 1e3


def derange(ids: Iterable[str], seed: int = 0) -> dict[str, str]:
    """Pair every clip with another one: per speaker a permutation without fixed points, with fewest shared words.

    The only clip of a speaker is paired with the clip of another speaker that shares fewest words.

    Args:
        ids: `speaker-name` each.
        seed: chooses among equally good pairings.

    Returns:
        {id: other id}; empty when there are fewer than two clips.
    """
    by_speaker: dict[str, list[str]] = defaultdict(list)
    for id in sorted(ids):
        by_speaker[id.partition("-")[0]].append(id)
    everything = [id for group in by_speaker.values() for id in group]
    if len(everything) < 2:
        return {}
    pairs: dict[str, str] = {}
    for group in by_speaker.values():
        if len(group) > 1:
            rows, columns = linear_sum_assignment(_costs(group, group, seed))
            pairs |= {group[row]: group[column] for row, column in zip(rows, columns, strict=True)}
        else:
            pairs[group[0]] = everything[int(_costs(group, everything, seed)[0].argmin())]
    return dict(sorted(pairs.items()))


def _costs(clips: list[str], others: list[str], seed: int) -> np.ndarray:
    """Words each pair shares, (len(clips), len(others)) float64; a hash breaks ties, a clip never takes itself."""
    first = np.array([list(id.partition("-")[2]) for id in clips])
    second = np.array([list(id.partition("-")[2]) for id in others])
    shared = (first[:, None] == second[None]).sum(-1).astype(float)
    lean = np.array([[hashed(seed, clip)] for clip in clips]) + np.array([hashed(seed + 1, id) for id in others])
    shared += lean % 1 / (10 * len(clips))
    shared[np.array(clips)[:, None] == np.array(others)[None]] = _NEVER
    return shared


def most_shared(pairs: dict[str, str]) -> int:
    """The largest number of words any pair shares."""
    return max((shared_words(a.partition("-")[2], b.partition("-")[2]) for a, b in pairs.items()), default=0)
