"""Joint CTC/attention beam search (Watanabe et al., 2017), by ESPnet's rules: published models were scored with them.

All texts of the beam have the same length and are one batch. At every step the decoder proposes tokens for each text;
CTC and a language model score them and the end. Texts that end compete with those that go on: they must be among the
`beam` best, and then leave the beam. The best of those that ended is the result. The cost of a step does not grow
with the vocabulary, apart from the decoder's own output layer.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lipsound2.decoding.beam import Fusion, NoModel
from lipsound2.text.tokenizer import BLANK, UNKNOWN

if TYPE_CHECKING:
    from torch import Tensor

_NEVER = -1e30  # a finite stand-in for minus infinity, so that differences stay numbers
_LEAST = -1e4  # likewise for one frame's log-probability
_PROPOSED = 1.5  # tokens that the decoder proposes for every text, times the beam
_LENGTHS = 3  # the search ends once the best texts of so many lengths in a row ...
_BEHIND = 10.0  # ... are worse than the best of all by more than this

# One step of the decoder. It takes (B,) int64 last tokens of B texts, (B,) row of the call before that each text
# extends, and the state that call returned. It returns (B, boundary + 1) log-probabilities of the next token, the
# boundary (end of the text) last, and a new state. The first call has the boundary as token and None as state.
DecoderScorer = Callable[[np.ndarray, np.ndarray, Any], tuple[np.ndarray, Any]]
TensorScorer = Callable[["Tensor", "Tensor", Any], "tuple[Tensor, Any]"]  # the same, of tensors


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
    last: np.ndarray
    score: np.ndarray
    paths: np.ndarray
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
    decode_step: DecoderScorer | TensorScorer,
    log_probs: np.ndarray | Tensor,
    *,
    beam: int = 8,
    ctc_weight: float = 0.3,
    model: Fusion | None = None,
) -> tuple[list[int], float]:
    """The best text and its score; see `joint_n_best`."""
    found = joint_n_best(decode_step, log_probs, beam=beam, ctc_weight=ctc_weight, model=model)
    return (list(found[0][0]), found[0][1]) if found else ([], -float("inf"))


def joint_n_best(
    decode_step: DecoderScorer | TensorScorer,
    log_probs: np.ndarray | Tensor,
    *,
    beam: int = 8,
    ctc_weight: float = 0.3,
    model: Fusion | None = None,
    margin: float = 0.0,
) -> list[tuple[tuple[int, ...], float]]:
    """The texts that ended in the search, the best first.

    CTC emits at most one token per frame, so a text with as many tokens as frames ends there, without a score. Without
    a share of CTC every token is scored by the language model, and CTC forbids nothing, as in ESPnet.

    Args:
        decode_step: the decoder; see `DecoderScorer`. It is given what `log_probs` are: arrays, or tensors on their
            device. The search itself runs on the CPU.
        log_probs: (T, V) CTC's log-probabilities, token 0 the blank. V is the boundary of the decoder.
        beam: texts that are kept.
        ctc_weight: share of CTC in the score, 0 to 1.
        model: language model with its bonus.
        margin: also look for texts that are worse than the best by less than this. The best stays the same.

    Returns:
        Tokens and score of each; none if no text ended.
    """
    if isinstance(log_probs, np.ndarray):
        step: DecoderScorer = typing.cast(DecoderScorer, decode_step)
    else:
        step = with_arrays(typing.cast(TensorScorer, decode_step), log_probs.device)
        log_probs = log_probs.cpu().numpy()
    fusion: Fusion = model or NoModel()
    boundary = log_probs.shape[1]  # the decoder's last class, behind CTC's tokens
    log_probs = np.maximum(log_probs.astype(np.float64), _LEAST)  # sums of them are subtracted from each other
    frames, most = len(log_probs), boundary + 1
    if ctc_weight:
        most = min(max(int(_PROPOSED * beam), 1), most)
    silence = np.append(0.0, log_probs[:, BLANK].cumsum())
    emissions = np.full((boundary + 1, frames), _LEAST)
    emissions[:boundary] = log_probs.T
    rows, memory = np.zeros(1, np.int64), None
    silent = np.stack([np.full_like(silence, _NEVER), silence], 1)
    texts = _Texts([()], rows + boundary, np.zeros(1), silent[None], [fusion.start()])
    ended = _Ended({}, -float("inf"), {})
    for step_number in range(frames):
        follows, memory = step(texts.last, rows, memory)
        proposed = _most_probable(follows, most)
        ending = (1 - ctc_weight) * follows[:, boundary].astype(np.float64)
        going_on = (1 - ctc_weight) * np.take_along_axis(follows, proposed, 1).astype(np.float64)
        begun = _begun(texts, emissions, proposed) if ctc_weight else np.zeros(proposed.shape)
        barred = (proposed == BLANK) | (proposed == boundary) | (begun <= _NEVER / 2)  # too few frames are left for it
        lm_scores = fusion.scores(texts.states, np.where(barred, UNKNOWN, proposed))
        apart = texts.score[:, None] + going_on + lm_scores
        longer = np.where(barred, -np.inf, apart + ctc_weight * begun)
        ends = np.array([fusion.end(state) for state in texts.states], np.float64)
        ends += texts.score + ending + ctc_weight * np.logaddexp(texts.paths[:, -1, 0], texts.paths[:, -1, 1])
        # Texts that go on, and those that end, compete; the end is the last column.
        totals = np.concatenate([longer, ends[:, None]], 1).ravel()
        goes_on = []
        for place in np.argsort(-totals, kind="stable")[:beam].tolist():
            row, column = divmod(place, most + 1)
            total = float(totals[place])
            if column == most:
                ended.add(texts.tokens[row], total)
            elif total > -float("inf"):
                goes_on.append((row, column, total))
        if not goes_on:
            break
        rows, columns = np.array([kept[:2] for kept in goes_on]).T
        texts = _grown(texts, emissions, silence, fusion, rows, proposed[rows, columns], apart[rows, columns])
        if step_number == frames - 1:
            for tokens, (_, _, total) in zip(texts.tokens, goes_on, strict=True):
                ended.add(tokens, total)
        # Log-probabilities only fall as a text grows; the largest bonus still to come is known.
        hope = goes_on[0][2] + fusion.max_gain * (frames - step_number)
        if hope <= ended.score - margin or ended.fading(step_number):
            break
    return sorted(ended.scores.items(), key=lambda pair: -pair[1])


def with_arrays(decode_step: TensorScorer, device: Any) -> DecoderScorer:
    """A decoder of tensors on a device, asked with arrays."""
    import torch  # here: exported readers search without it

    def step(last: np.ndarray, rows: np.ndarray, memory: Any) -> tuple[np.ndarray, Any]:
        scores, memory = decode_step(torch.from_numpy(last).to(device), torch.from_numpy(rows).to(device), memory)
        return scores.cpu().numpy(), memory

    return step


def _most_probable(follows: np.ndarray, count: int) -> np.ndarray:
    """(B, V) to the (B, count) columns of the largest values, the largest first."""
    found = np.argpartition(-follows, count - 1, 1)[:, :count] if count < follows.shape[1] else None
    if found is None:
        return np.argsort(-follows, 1, kind="stable")
    order = np.argsort(-np.take_along_axis(follows, found, 1), 1, kind="stable")
    return np.take_along_axis(found, order, 1)


def _logsumexp(x: np.ndarray) -> np.ndarray:
    """Over the last axis; numpy's logaddexp takes several times as long for many numbers."""
    largest = x.max(-1, keepdims=True)
    found: np.ndarray = largest[..., 0] + np.log(np.exp(x - largest).sum(-1))
    return found


def _begun(texts: _Texts, emissions: np.ndarray, proposed: np.ndarray) -> np.ndarray:
    """(B, K) CTC's prefix scores: log-probabilities that a text begins with each of B texts and one of its K tokens."""
    before = texts.paths[:, None, :-1]  # (B, 1, T, 2): paths up to the frame before
    again = (proposed == texts.last[:, None])[..., None]  # the same token again needs a blank between
    return _logsumexp(np.where(again, before[..., 1], _logsumexp(before)) + emissions[proposed])


def _grown(
    texts: _Texts,
    emissions: np.ndarray,
    silence: np.ndarray,
    fusion: Fusion,
    rows: np.ndarray,
    last: np.ndarray,
    score: np.ndarray,
) -> _Texts:
    """The texts (B,) `rows`, each with one more token (B,) `last`."""
    before = texts.paths[rows, :-1]
    again = (last == texts.last[rows])[:, None]
    entered = np.where(again, before[..., 1], _logsumexp(before)) + emissions[last]
    # Paths that stay: x[t] = x[t - 1] p[t] + y[t]. Divided by p[0] ... p[t], that is a running sum over the frames.
    stays = emissions[last].cumsum(1)
    never = np.full((len(rows), 1), _NEVER)
    nonblank = np.concatenate([never, np.logaddexp.accumulate(entered - stays, 1) + stays], 1)
    blank = np.logaddexp.accumulate(nonblank[:, :-1] - silence[:-1], 1) + silence[1:]
    pairs = list(zip(rows.tolist(), last.tolist(), strict=True))
    states = [fusion.extend(texts.states[row], token)[0] for row, token in pairs]
    fusion.select(states)
    tokens = [(*texts.tokens[row], token) for row, token in pairs]
    return _Texts(tokens, last, score, np.stack([nonblank, np.concatenate([never, blank], 1)], 2), states)
