"""Joint CTC/attention beam search (Watanabe et al., 2017): texts grow token by token, scored by both at once.

The decoder scores what follows a text; CTC scores the text as a beginning, over all places where it may end. All texts
of the beam are one batch for the decoder, which goes on from what it made of them before, and all their continuations
one array for CTC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lipsound2.recognition.beam import Fusion, NoModel
from lipsound2.recognition.tokens import BLANK

_NEVER = -1e30  # a finite stand-in for minus infinity, so that differences stay numbers
_LEAST = -1e4  # likewise for one frame's log-probability
_PATIENCE = 4  # tokens that all texts must have grown while none was as good as the best whole one

# The decoder: (B,) int64 last tokens of B texts, (B,) which text of the call before each of them goes on from, and what
# that call returned -> (B, V + 1) log-probabilities of what follows, the boundary last (the text ends), and something
# to go on from. The first call has the boundary for a token, and None to go on from.
Follow = Callable[[Tensor, Tensor, Any], tuple[Tensor, Any]]


@dataclass
class _Text:
    """A growing text.

    Attributes:
        tokens: so far.
        attention: the decoder's log-probability.
        ctc: log-probability that CTC's text begins so.
        paths: (T, 2) log-probabilities of the paths that say it up to each frame, ending in its token, in a blank.
        model: the language model's score, and its state.
    """

    tokens: tuple[int, ...]
    attention: float
    ctc: float
    paths: Tensor
    model: tuple[object, float]


def joint_search(
    follow: Follow,
    log_probs: Tensor,
    *,
    beam: int = 8,
    ctc_weight: float = 0.3,
    model: Fusion | None = None,
) -> tuple[list[int], float]:
    """The best text.

    Args:
        follow: the decoder; see `Follow`.
        log_probs: (T, V) CTC's log-probabilities, token 0 the blank.
        beam: texts that are kept.
        ctc_weight: share of CTC in the score, 0 to 1.
        model: language model beside both, with its bonus for words.

    Returns:
        Its tokens and score.
    """
    fusion: Fusion = model or NoModel()
    frames, vocabulary = log_probs.shape
    log_probs = log_probs.double().clamp(min=_LEAST)  # sums of them are subtracted from each other
    silent = torch.full((frames, 2), _NEVER, dtype=log_probs.dtype)
    silent[:, 1] = log_probs[:, BLANK].cumsum(0)
    texts = [_Text((), 0.0, 0.0, silent, (fusion.start(), 0.0))]
    rows, memory = [0], None  # the text each one goes on from, and the decoder's view of those
    best: tuple[list[int], float] = ([], -float("inf"))
    behind = 0

    def score(attention: float, ctc: float, lm: float) -> float:
        return (1 - ctc_weight) * attention + ctc_weight * ctc + lm

    for _ in range(frames + 1):  # CTC says at most one token a frame
        last = [text.tokens[-1] if text.tokens else vocabulary for text in texts]
        follows, memory = follow(torch.tensor(last), torch.tensor(rows), memory)
        begun, paths = _grow(texts, log_probs)
        for row, text in enumerate(texts):
            whole = float(torch.logaddexp(text.paths[-1, 0], text.paths[-1, 1]))
            lm = text.model[1] + fusion.end(text.model[0])
            total = score(text.attention + float(follows[row, vocabulary]), whole, lm)
            if total > best[1]:
                best = (list(text.tokens), total)
        # What the decoder and CTC like best is looked at; the language model is asked about these alone.
        both = (1 - ctc_weight) * (follows[:, :vocabulary] + torch.tensor([[t.attention] for t in texts]))
        both = both + ctc_weight * begun + torch.tensor([[t.model[1]] for t in texts])
        found = []
        for place in both.flatten().topk(min(2 * beam, both.numel())).indices.tolist():
            row, token = divmod(place, vocabulary)
            text = texts[row]
            if float(begun[row, token]) <= _NEVER / 2:
                continue
            state, added = fusion.extend(text.model[0], token)
            grown = _Text(
                (*text.tokens, token),
                text.attention + float(follows[row, token]),
                float(begun[row, token]),
                paths[row, token],
                (state, text.model[1] + added),
            )
            found.append((score(grown.attention, grown.ctc, grown.model[1]), row, grown))
        found.sort(key=lambda kept: kept[0], reverse=True)
        texts, rows = [grown for _, _, grown in found[:beam]], [row for _, row, _ in found[:beam]]
        fusion.keep([text.model[0] for text in texts])
        # A text only gets less probable as it grows; a language model's bonus may make up for that, but not for long.
        behind = behind + 1 if found and found[0][0] < best[1] else 0
        if not texts or behind == _PATIENCE:
            break
    return best


def _grow(texts: list[_Text], log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Every text with every token added.

    Returns:
        (B, V) log-probabilities that CTC's text begins so, and (B, V, T, 2) paths.
    """
    before = torch.stack([text.paths for text in texts])  # (B, T, 2)
    said = torch.logaddexp(before[..., 0], before[..., 1])  # (B, T)
    into = said[:, None, :].repeat(1, log_probs.shape[1], 1)
    for row, text in enumerate(texts):
        if text.tokens:  # the same token again needs a blank between
            into[row, text.tokens[-1]] = before[row, :, 1]
    into = into.roll(1, 2)  # what was said up to the frame before
    first = torch.tensor([not text.tokens for text in texts])
    into[:, :, 0] = torch.where(first, 0.0, _NEVER)[:, None]
    entered = into + log_probs.T
    begun = entered.logsumexp(2)
    begun[:, BLANK] = _NEVER  # no text goes on with it
    # Paths that stay: x[t] = x[t - 1] p[t] + y[t]. Divided by p[0] ... p[t], that is a running sum over the frames.
    stays = log_probs.cumsum(0).T  # (V, T)
    spoken = (entered - stays).logcumsumexp(2) + stays
    blank = torch.full_like(spoken, _NEVER)
    silence = stays[BLANK]
    blank[:, :, 1:] = (spoken - silence).logcumsumexp(2)[:, :, :-1] + silence[1:]
    return begun, torch.stack([spoken, blank], 3)
