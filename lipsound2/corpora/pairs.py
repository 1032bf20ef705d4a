"""Pairs of clips for the control `mismatched`: whose video the model is given instead.

If lips are read, speech generated from another sentence's video must not resemble the ground truth. The other clip is
of the same speaker. In GRID it also shares no word at any place of the sentence, as far as the set allows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from lipsound2.corpora.protocols import hashed
from lipsound2.corpora.recordings import Recording
from lipsound2.corpora.sentences import shared_words
from lipsound2.data.datadir import DataDir, read_table

_NEVER = 1e3
_TRIES = 50  # clips looked at for another text


def mismatched_pairs(data: DataDir, ids: list[str]) -> dict[str, str]:
    """For each clip another one of the same speaker, whose video the model is given instead.

    The data dir's table `mismatched` if it has one, else a fixed derangement: each speaker's clips in order of id,
    rotated by half their number. So neighbors in name, and in words, are not paired.
    """
    table = data.path / "mismatched"
    if table.exists():
        known = set(ids)
        return {name: other for name, other in read_table(table).items() if name in known and other in known}
    pairs = {}
    for speaker in sorted(set(data.utt2spk.values())):
        own = [name for name in ids if data.utt2spk[name] == speaker]
        for position, name in enumerate(own):
            other = own[(position + max(1, len(own) // 2)) % len(own)]
            if other != name:
                pairs[name] = other
    return pairs


def other_clips(data: DataDir, ids: list[str]) -> dict[str, str]:
    """For each of two clips or more another one: see `mismatched_pairs`; of another speaker where it has none."""
    return {name: ids[place - 1] for place, name in enumerate(ids)} | mismatched_pairs(data, ids)


def derange_by_length(recordings: Mapping[str, Recording], seed: int = 0) -> dict[str, str]:
    """Pair every clip with another one of its speaker, of about the same length of text; n log n in time.

    A speaker's clips are sorted by length of text, equals by a hash. Each is paired with the next one that says
    something else, the last with the first. Speakers with a single clip are paired with each other.

    Args:
        recordings: of a set, by id.
        seed: of the hash.

    Returns:
        {id: other id}; empty when there are fewer than two clips.
    """
    by_speaker: dict[str, list[str]] = defaultdict(list)
    for id in sorted(recordings):
        by_speaker[recordings[id].speaker].append(id)
    if len(recordings) < 2:
        return {}
    circles = [ids for ids in by_speaker.values() if len(ids) > 1]
    single = [ids[0] for ids in by_speaker.values() if len(ids) == 1]
    if len(single) > 1:
        circles.append(single)
    pairs: dict[str, str] = {}
    for circle in circles:
        circle.sort(key=lambda id: (len(recordings[id].text), hashed(seed, id), id))
        _part_equals(circle, recordings)
        pairs |= zip(circle, [*circle[1:], circle[0]], strict=True)
    if len(single) == 1:
        pairs[single[0]] = min(pairs, key=lambda id: abs(len(recordings[id].text) - len(recordings[single[0]].text)))
    return dict(sorted(pairs.items()))


def _part_equals(circle: list[str], recordings: Mapping[str, Recording]) -> None:
    """Bring something else between neighbors that say the same, such as a word of LRW."""
    for place in range(len(circle) - 1):
        text = recordings[circle[place]].text
        if text and recordings[circle[place + 1]].text == text:
            for other in range(place + 2, min(place + 2 + _TRIES, len(circle))):
                if recordings[circle[other]].text != text:
                    circle[place + 1], circle[other] = circle[other], circle[place + 1]
                    break


def derange(ids: Iterable[str], seed: int = 0) -> dict[str, str]:
    """Pair every GRID clip with another one: per speaker a permutation without fixed points, with fewest shared words.

    The only clip of a speaker is paired with the clip of another speaker that shares fewest words.

    Args:
        ids: `speaker-name` each.
        seed: chooses among equally good pairings.

    Returns:
        {id: other id}; empty when there are fewer than two clips.
    """
    from scipy.optimize import linear_sum_assignment  # takes longer to load than most corpora to prepare

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


def most_shared(pairs: Mapping[str, str]) -> int:
    """The largest number of words any pair shares."""
    return max((shared_words(a.partition("-")[2], b.partition("-")[2]) for a, b in pairs.items()), default=0)
