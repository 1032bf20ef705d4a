"""Joint CTC/attention beam search (Watanabe et al., 2017), by ESPnet's rules: published models were scored with them.

All texts of the beam are equally long and one batch. At every step the decoder names what may follow each of them; CTC
and a language model score these and the end. Texts that end compete with those that go on: they have to be among the
`beam` best, and leave the beam then. The best of those that have left is the result. Nothing depends on how many tokens
there are but what the decoder itself says of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lipsound2.decoding.beam import Fusion, NoModel
from lipsound2.text.tokenizer import BLANK, UNKNOWN

_NEVER = -1e30  # a finite stand-in for minus infinity, so that differences stay numbers
_LEAST = -1e4  # likewise for one frame's log-probability
_NAMED = 1.5  # tokens that the decoder names for every text, in beams
_LENGTHS = 3  # no text is as good as the best one any more once the best of so many lengths in a row ...
_BEHIND = 10.0  # ... are behind it by more than this

# The decoder: (B,) int64 last tokens of B texts, (B,) which text of the call before each of them goes on from, and what
# that call returned -> (B, boundary + 1) log-probabilities of what follows, the boundary last (the text ends), and
# something to go on from. The first call has the boundary for a token, and None to go on from.
DecoderScorer = Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]


@dataclass
class _Texts:
    """Growing texts, all of one length.

    Attributes:
        tokens: of each so far.
        last: (B,) int64, its last one; the boundary at first.
        score: (B,) what the decoder and the language model say of it, weighed.
        paths: (B, T + 1, 2) CTC's log-probabilities of the paths that say it within so many frames, ending in its last
            token, in a blank.
        states: the language model's.
    """

    tokens: list[tuple[int, ...]]
    last: Tensor
    score: Tensor
    paths: Tensor
    states: list[Any]


@dataclass
class _Ended:
    """Texts that ended.

    Attributes:
        tokens: of the best.
        score: of the best.
        lengths: the best score of each number of tokens.
    """

    tokens: list[int]
    score: float
    lengths: dict[int, float]

    def add(self, tokens: tuple[int, ...], score: float) -> None:
        """One more."""
        if score > self.score:
            self.tokens, self.score = list(tokens), score
        self.lengths[len(tokens)] = max(score, self.lengths.get(len(tokens), score))

    def fading(self, step: int) -> bool:
        """Whether the last lengths were all far behind; ESPnet does not look at the two newest yet."""
        looked_at = [self.lengths.get(step - 2 - back) for back in range(_LENGTHS)]
        return all(score is not None and score < self.score - _BEHIND for score in looked_at)


def joint_search(
    decode_step: DecoderScorer,
    log_probs: Tensor,
    *,
    beam: int = 8,
    ctc_weight: float = 0.3,
    model: Fusion | None = None,
    boundary: int | None = None,
) -> tuple[list[int], float]:
    """The best text.

    CTC says at most one token a frame, so a text of as many tokens as frames ends there, and no score is asked for it.

    Args:
        decode_step: the decoder; see `DecoderScorer`. It is asked, and all else computed, where `log_probs` lies.
        log_probs: (T, V) CTC's log-probabilities, token 0 the blank.
        beam: texts that are kept.
        ctc_weight: share of CTC in the score, 0 to 1.
        model: language model beside both, with its bonus.
        boundary: the decoder's last class, which begins and ends a text; None: V, one more than CTC's tokens. A class
            of CTC that has this number is not said.

    Returns:
        Its tokens and score.
    """
    fusion: Fusion = model or NoModel()
    boundary = log_probs.shape[1] if boundary is None else boundary
    log_probs = log_probs.double().clamp(min=_LEAST)  # sums of them are subtracted from each other
    frames, most = len(log_probs), min(max(int(_NAMED * beam), 1), boundary + 1)
    silence = F.pad(log_probs[:, BLANK].cumsum(0), (1, 0))
    heard = F.pad(log_probs[:, :boundary].T, (0, 0, 0, 1), value=_LEAST).contiguous()  # (boundary + 1, T)
    rows, memory = torch.zeros(1, dtype=torch.long, device=log_probs.device), None
    silent = torch.stack([torch.full_like(silence, _NEVER), silence], 1)
    texts = _Texts([()], rows + boundary, log_probs.new_zeros(1), silent[None], [fusion.start()])
    ended = _Ended([], -float("inf"), {})
    for step in range(frames):
        follows, memory = decode_step(texts.last, rows, memory)
        named = follows.topk(most).indices
        follows = (1 - ctc_weight) * follows.to(log_probs)
        begun = _begun(texts, heard, named)
        barred = (named == BLANK) | (named == boundary) | (begun <= _NEVER / 2)  # too few frames are left to say it
        asked = fusion.scores(texts.states, named.masked_fill(barred, UNKNOWN).cpu().numpy())
        apart = texts.score[:, None] + follows.gather(1, named) + torch.from_numpy(asked).to(log_probs)
        longer = (apart + ctc_weight * begun).masked_fill(barred, -float("inf"))
        ends = log_probs.new_tensor([fusion.end(state) for state in texts.states])
        ends += texts.score + follows[:, boundary] + ctc_weight * texts.paths[:, -1].logsumexp(1)
        # Texts that go on, and those that end, compete; the end is the last column.
        totals = torch.cat([longer, ends[:, None]], 1)
        best, places = totals.flatten().topk(min(beam, totals.numel()))
        goes_on = []
        for place, total in zip(places.tolist(), best.tolist(), strict=True):
            row, column = divmod(place, most + 1)
            if column == most:
                ended.add(texts.tokens[row], total)
            elif total > -float("inf"):
                goes_on.append((row, column, total))
        if not goes_on:
            break
        rows, columns = torch.tensor([kept[:2] for kept in goes_on], device=log_probs.device).T
        texts = _grown(texts, heard, silence, fusion, rows, named[rows, columns], apart[rows, columns])
        if step == frames - 1:
            for tokens, (_, _, total) in zip(texts.tokens, goes_on, strict=True):
                ended.add(tokens, total)
        # Probabilities only fall as a text grows; what bonuses may still come is known.
        hope = goes_on[0][2] + fusion.max_gain * (frames - step)
        if hope <= ended.score or ended.fading(step):
            break
    return ended.tokens, ended.score


def _begun(texts: _Texts, heard: Tensor, named: Tensor) -> Tensor:
    """(B, K) CTC's log-probabilities that a text begins with each of B texts and one of its K tokens."""
    before = texts.paths[:, None, :-1]  # (B, 1, T, 2): what was said up to the frame before
    again = (named == texts.last[:, None])[..., None]  # the same token again needs a blank between
    return (torch.where(again, before[..., 1], before.logsumexp(3)) + heard[named]).logsumexp(2)


def _grown(
    texts: _Texts, heard: Tensor, silence: Tensor, fusion: Fusion, rows: Tensor, last: Tensor, score: Tensor
) -> _Texts:
    """The texts (B,) `rows`, each with one more token (B,) `last`."""
    before = texts.paths[rows, :-1]
    again = (last == texts.last[rows])[:, None]
    entered = torch.where(again, before[..., 1], before.logsumexp(2)) + heard[last]
    # Paths that stay: x[t] = x[t - 1] p[t] + y[t]. Divided by p[0] ... p[t], that is a running sum over the frames.
    stays = heard[last].cumsum(1)
    spoken = F.pad((entered - stays).logcumsumexp(1) + stays, (1, 0), value=_NEVER)
    blank = F.pad((spoken[:, :-1] - silence[:-1]).logcumsumexp(1) + silence[1:], (1, 0), value=_NEVER)
    pairs = list(zip(rows.tolist(), last.tolist(), strict=True))
    states = [fusion.extend(texts.states[row], token)[0] for row, token in pairs]
    fusion.select(states)
    tokens = [(*texts.tokens[row], token) for row, token in pairs]
    return _Texts(tokens, last, score, torch.stack([spoken, blank], 2), states)
