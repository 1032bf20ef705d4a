"""Joint CTC/attention beam search (Watanabe et al., 2017): texts grow token by token, scored by both at once.

The decoder scores what follows a text; CTC scores the text as a beginning, over all places where it may end. All texts
of the beam are one batch for the decoder, and all their continuations one array for CTC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lipsound2.recognition.beam import Fusion, NoModel
from lipsound2.recognition.tokens import BLANK

_NEVER = -1e30  # a finite stand-in for minus infinity, so that differences stay numbers
_PATIENCE = 4  # tokens that all texts must have grown while none was as good as the best whole one


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
    follow: Callable[[Tensor], Tensor],
    log_probs: Tensor,
    *,
    beam: int = 8,
    ctc_weight: float = 0.3,
    model: Fusion | None = None,
) -> tuple[list[int], float]:
    """The best text.

    Args:
        follow: (B, L) int64 tokens of B texts, the boundary first -> (B, V + 1) log-probabilities of what follows, the
            boundary last: the text ends.
        log_probs: (T, V) CTC's log-probabilities, token 0 the blank.
        beam: texts that are kept.
        ctc_weight: share of CTC in the score, 0 to 1.
        model: language model beside both, with its bonus for words.

    Returns:
        Its tokens and score.
    """
    fusion: Fusion = model or NoModel()
    frames, vocabulary = log_probs.shape
    silent = torch.full((frames, 2), _NEVER)
    silent[:, 1] = log_probs[:, BLANK].cumsum(0)
    texts = [_Text((), 0.0, 0.0, silent, (fusion.start(), 0.0))]
    best: tuple[list[int], float] = ([], -float("inf"))
    behind = 0

    def score(attention: float, ctc: float, lm: float) -> float:
        return (1 - ctc_weight) * attention + ctc_weight * ctc + lm

    for _ in range(frames + 1):  # CTC says at most one token a frame
        prefixes = torch.tensor([[vocabulary, *text.tokens] for text in texts])
        follows = follow(prefixes)
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
            found.append((score(grown.attention, grown.ctc, grown.model[1]), grown))
        found.sort(key=lambda pair: pair[0], reverse=True)
        texts = [grown for _, grown in found[:beam]]
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
    frames, vocabulary = log_probs.shape
    before = torch.stack([text.paths for text in texts])  # (B, T, 2)
    said = torch.logaddexp(before[..., 0], before[..., 1])  # (B, T)
    into = said[:, None, :].repeat(1, vocabulary, 1)
    for row, text in enumerate(texts):
        if text.tokens:  # the same token again needs a blank between
            into[row, text.tokens[-1]] = before[row, :, 1]
    count = len(texts)
    paths = torch.full((count, vocabulary, frames, 2), _NEVER)
    first = torch.tensor([not text.tokens for text in texts])
    paths[:, :, 0, 0] = torch.where(first[:, None], log_probs[0], torch.tensor(_NEVER))
    begun = paths[:, :, 0, 0].clone()
    spoken, blank = paths[:, :, 0, 0].clone(), paths[:, :, 0, 1].clone()
    for frame in range(1, frames):
        entered = into[:, :, frame - 1] + log_probs[frame]
        begun = torch.logaddexp(begun, entered)
        blank = torch.logaddexp(blank, spoken) + log_probs[frame, BLANK]
        spoken = torch.logaddexp(spoken + log_probs[frame], entered)
        paths[:, :, frame, 0], paths[:, :, frame, 1] = spoken, blank
    begun[:, BLANK] = _NEVER  # no text goes on with it
    return begun, paths
