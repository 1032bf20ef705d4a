"""The loss of networks that predict each token of a text from the tokens before it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from lipsound2.models.modules.regressor import mask


def next_token_loss(
    score: Callable[[Tensor], Tensor], tokens: Tensor, lengths: Tensor, boundary: int, smoothing: float = 0.0
) -> Tensor:
    """Summed cross entropy () of every token, and of the end, after the true tokens before it.

    Args:
        score: beginnings (B, L + 1) int64, `boundary` first, to scores (B, L + 1, classes) of what follows each.
        tokens: (B, L) int64, padded.
        lengths: (B,) int64, how many tokens count.
        boundary: the token that begins and ends a text.
        smoothing: label smoothing.
    """
    prefixes = F.pad(tokens, (1, 0), value=boundary)
    targets = F.pad(tokens, (0, 1)).scatter(1, lengths[:, None], boundary)
    valid = mask(lengths + 1, targets.shape[1])
    return F.cross_entropy(score(prefixes)[valid].float(), targets[valid], reduction="sum", label_smoothing=smoothing)
