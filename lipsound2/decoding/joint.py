"""Joint CTC/attention beam search (Watanabe et al., 2017), by ESPnet's rules: published models were scored with them.

All texts of the beam have the same length and are one batch. At every step the decoder proposes tokens for each text;
CTC and a language model score them and the end. Texts that end compete with those that go on: they must be among the
`beam` best, and then leave the beam. The best of those that ended is the result. The cost of a step does not grow
with the vocabulary, apart from the decoder's own output layer.
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
_PROPOSED = 1.5  # tokens that the decoder proposes for every text, times the beam
_LENGTHS = 3  # the search ends once the best texts of so many lengths in a row ...
_BEHIND = 10.0  # ... are worse than the best of all by more than this

# One step of the decoder. It takes (B,) int64 last tokens of B texts, (B,) row of the call before that each text
# extends, and the state that call returned. It returns (B, boundary + 1) log-probabilities of the next token, the
# boundary (end of the text) last, and a new state. The first call has the boundary as token and None as state.
DecoderScorer = Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]


@dataclass
class _Texts:
    """Growing texts, all of the same length.

    Attributes:
        tokens: of each so far.
        last: (B,) int64, the last token; the boundary at first.
        score: (B,) weighted scores of decoder and language model.
        paths: (B, T + 1, 2) CTC's log-probabilities of the paths that collapse to it within so many frames, ending in
            its last token, or in a blank.
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
        scores: of each, by its tokens.
        score: of the best.
        lengths: the best score of each number of tokens.
    """

    scores: dict[tuple[int, ...], float]
    score: float
    lengths: dict[int, float]

    def add(self, tokens: tuple[int, ...], score: float) -> None:
        """One more."""
        self.scores[tokens] = score
        self.score = max(score, self.score)
        self.lengths[len(tokens)] = max(score, self.lengths.get(len(tokens), score))

    def fading(self, step: int) -> bool:
        """Whether the last lengths were all far worse; as in ESPnet, the two newest do not count yet."""
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
    """The best text and its score; see `joint_n_best`."""
    found = joint_n_best(decode_step, log_probs, beam=beam, ctc_weight=ctc_weight, model=model, boundary=boundary)
    return (list(found[0][0]), found[0][1]) if found else ([], -float("inf"))


def joint_n_best(
    decode_step: DecoderScorer,
    log_probs: Tensor,
    *,
    beam: int = 8,
    ctc_weight: float = 0.3,
    model: Fusion | None = None,
    boundary: int | None = None,
    margin: float = 0.0,
) -> list[tuple[tuple[int, ...], float]]:
    """The texts that ended in the search, the best first.

    CTC emits at most one token per frame, so a text with as many tokens as frames ends there, without a score.

    Args:
        decode_step: the decoder; see `DecoderScorer`. Everything is computed on the device of `log_probs`.
        log_probs: (T, V) CTC's log-probabilities, token 0 the blank.
        beam: texts that are kept.
        ctc_weight: share of CTC in the score, 0 to 1.
        model: language model with its bonus.
        boundary: the decoder's last class, which begins and ends a text; None: V, the number after CTC's tokens. A
            class of CTC with this number is not emitted.
        margin: also look for texts that are worse than the best by less than this. The best stays the same.

    Returns:
        Tokens and score of each; none if no text ended.
    """
    fusion: Fusion = model or NoModel()
    boundary = log_probs.shape[1] if boundary is None else boundary
    log_probs = log_probs.double().clamp(min=_LEAST)  # sums of them are subtracted from each other
    frames, most = len(log_probs), min(max(int(_PROPOSED * beam), 1), boundary + 1)
    silence = F.pad(log_probs[:, BLANK].cumsum(0), (1, 0))
    emissions = F.pad(log_probs[:, :boundary].T, (0, 0, 0, 1), value=_LEAST).contiguous()  # (boundary + 1, T)
    rows, memory = torch.zeros(1, dtype=torch.long, device=log_probs.device), None
    silent = torch.stack([torch.full_like(silence, _NEVER), silence], 1)
    texts = _Texts([()], rows + boundary, log_probs.new_zeros(1), silent[None], [fusion.start()])
    ended = _Ended({}, -float("inf"), {})
    for step in range(frames):
        follows, memory = decode_step(texts.last, rows, memory)
        proposed = follows.topk(most).indices
        follows = (1 - ctc_weight) * follows.to(log_probs)
        begun = _begun(texts, emissions, proposed)
        barred = (proposed == BLANK) | (proposed == boundary) | (begun <= _NEVER / 2)  # too few frames are left for it
        lm_scores = fusion.scores(texts.states, proposed.masked_fill(barred, UNKNOWN).cpu().numpy())
        apart = texts.score[:, None] + follows.gather(1, proposed) + torch.from_numpy(lm_scores).to(log_probs)
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
        texts = _grown(texts, emissions, silence, fusion, rows, proposed[rows, columns], apart[rows, columns])
        if step == frames - 1:
            for tokens, (_, _, total) in zip(texts.tokens, goes_on, strict=True):
                ended.add(tokens, total)
        # Log-probabilities only fall as a text grows; the largest bonus still to come is known.
        hope = goes_on[0][2] + fusion.max_gain * (frames - step)
        if hope <= ended.score - margin or ended.fading(step):
            break
    return sorted(ended.scores.items(), key=lambda pair: -pair[1])


def _begun(texts: _Texts, emissions: Tensor, proposed: Tensor) -> Tensor:
    """(B, K) CTC's prefix scores: log-probabilities that a text begins with each of B texts and one of its K tokens."""
    before = texts.paths[:, None, :-1]  # (B, 1, T, 2): paths up to the frame before
    again = (proposed == texts.last[:, None])[..., None]  # the same token again needs a blank between
    return (torch.where(again, before[..., 1], before.logsumexp(3)) + emissions[proposed]).logsumexp(2)


def _grown(
    texts: _Texts, emissions: Tensor, silence: Tensor, fusion: Fusion, rows: Tensor, last: Tensor, score: Tensor
) -> _Texts:
    """The texts (B,) `rows`, each with one more token (B,) `last`."""
    before = texts.paths[rows, :-1]
    again = (last == texts.last[rows])[:, None]
    entered = torch.where(again, before[..., 1], before.logsumexp(2)) + emissions[last]
    # Paths that stay: x[t] = x[t - 1] p[t] + y[t]. Divided by p[0] ... p[t], that is a running sum over the frames.
    stays = emissions[last].cumsum(1)
    nonblank = F.pad((entered - stays).logcumsumexp(1) + stays, (1, 0), value=_NEVER)
    blank = F.pad((nonblank[:, :-1] - silence[:-1]).logcumsumexp(1) + silence[1:], (1, 0), value=_NEVER)
    pairs = list(zip(rows.tolist(), last.tolist(), strict=True))
    states = [fusion.extend(texts.states[row], token)[0] for row, token in pairs]
    fusion.select(states)
    tokens = [(*texts.tokens[row], token) for row, token in pairs]
    return _Texts(tokens, last, score, torch.stack([nonblank, blank], 2), states)
