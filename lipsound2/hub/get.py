"""The verb `models get`: a public model by its name, fetched when it lies on a hub, and converted."""

from __future__ import annotations

from lipsound2.arguments import near
from lipsound2.errors import LipsoundError
from lipsound2.known_models import KnownModel, known_models


def models_get(name: str) -> None:
    """Fetch a known public model, and convert it; `lipsound2 models` lists them.

    Args:
        name: of the model, such as vsr-lrs3-19.1.
    """
    model = known_models().get(name)
    if model is None:
        raise LipsoundError(f"{name}: no known public model{near(name, known_models())}; lipsound2 models lists them")
    raise LipsoundError(by_hand(model))


def by_hand(model: KnownModel) -> str:
    """Where to get the file of a model by hand, and the command that converts it."""
    where = f"get {model.file} by hand from {model.source.where}"
    return f"{model.name}: lies on no hub; {where}; then: {model.convert}"
