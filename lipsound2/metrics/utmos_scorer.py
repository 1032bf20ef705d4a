"""UTMOS (Saeki et al., 2022): how natural speech audio, as the "strong learner" of VoiceMOS 2022 predicts it.

Network and weights are those of tarepan/SpeechMOS (MIT), which torch.hub fetches from GitHub: its code is run here, so
it is fetched only where somebody asks for this score, at a fixed version.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch

from lipsound2.errors import LipsoundError
from lipsound2.metrics.requested import Request, Scorer
from lipsound2.timing import SAMPLE_RATE

_REPOSITORY = "tarepan/SpeechMOS:v1.2.0"
_NETWORK = "utmos22_strong"
_WEIGHTS = "utmos22_strong_step7459_v1.pt"
_URL = f"https://github.com/tarepan/SpeechMOS/releases/download/v1.0.0/{_WEIGHTS}"


def scorer(request: Request) -> Scorer:
    """The scorer; see `requested`.

    Raises:
        LipsoundError: network or weights cannot be had.
    """
    try:
        if request.argument:
            folder = Path(request.argument)
            network = torch.hub.load(str(folder), _NETWORK, source="local", pretrained=False)
            weights = torch.load(folder / _WEIGHTS, map_location="cpu", weights_only=True)
        else:
            network = torch.hub.load(_REPOSITORY, _NETWORK, trust_repo=True, pretrained=False)
            weights = torch.hub.load_state_dict_from_url(_URL, map_location="cpu", weights_only=True)
        network.load_state_dict(weights)
    except (OSError, ImportError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise LipsoundError(
            f"--metrics utmos: network or weights cannot be had ({' '.join(str(error).split())[:200]}); it needs "
            f"torchaudio, the code of {_REPOSITORY} and {_URL}; without a net put both into one folder and give "
            "utmos:FOLDER"
        ) from error
    network.eval()

    @torch.inference_mode()
    def compute(id: str, speech: np.ndarray, reference: np.ndarray) -> dict[str, float]:
        # One clip at a time: the network has no mask for padding.
        return {"utmos": float(network(torch.from_numpy(speech.astype(np.float32))[None], SAMPLE_RATE))}

    return compute
