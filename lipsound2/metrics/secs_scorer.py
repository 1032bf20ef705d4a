"""SECS: speaker encoder cosine similarity (Casanova et al., 2021), how alike the voices of speech and reference are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lipsound2.audio.speaker_embedding import SpeakerEmbedder
from lipsound2.metrics.requested import Request, Scorer


def scorer(request: Request) -> Scorer:
    """The scorer; see `requested`.

    Raises:
        LipsoundError: the weights of the speaker encoder are missing, or something else.
    """
    embed = SpeakerEmbedder(Path(request.argument) if request.argument else None)
    last: dict[str, np.ndarray] = {}  # all systems of a clip share its reference

    def compute(id: str, speech: np.ndarray, reference: np.ndarray) -> dict[str, float]:
        key = f"{id} {hash(reference.tobytes())}"
        if key not in last:
            last.clear()
            last[key] = embed(reference)
        return {"secs": float(embed(speech) @ last[key])}

    return compute
