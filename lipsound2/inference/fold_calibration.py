"""Confidences of a model of all clips, by what the models of single folds read in clips that they had not seen."""

from __future__ import annotations

import sys
from pathlib import Path

from lipsound2.data.datadir import DataDir
from lipsound2.decoding.hypothesis import DETAILS, Hypothesis, read_words
from lipsound2.decoding.search_options import DEFAULT_SEARCH
from lipsound2.errors import LipsoundError
from lipsound2.inference.calibrate import fit, fit_and_save
from lipsound2.inference.recognizer_names import search_of
from lipsound2.metrics.confidence import judge, summary

_PARTS = 10  # each is corrected by numbers of the others, to measure


def calibrate_by_folds(model: Path, data: Path, read: Path, *, language: str) -> None:
    """Write the model's calibration.yaml, and print how well confidences tell right words from wrong ones.

    Args:
        model: experiment or pack, which searches as the models of the folds did.
        data: data dir of the clips, with texts.
        read: folder that `decode` wrote, by models that were not calibrated.
        language: `en` or `zh`.

    Raises:
        LipsoundError: no text has a confidence and a reference.
    """
    found, texts = read_words(read / DETAILS), DataDir(data).text
    before = judge(found, texts, language)
    names = [name for name in found if name in texts]
    after: dict[str, Hypothesis] = {}
    for part in range(min(_PARTS, len(names))):
        held = names[part::_PARTS]
        others = judge({name: found[name] for at, name in enumerate(names) if at % _PARTS != part}, texts, language)
        after |= {name: fit(*others)(found[name]) for name in held}
    print(summary({"before": before, "each tenth by the others": judge(after, texts, language)}))
    fit_and_save(model, search_of(str(model), DEFAULT_SEARCH).way, *before, data)


if __name__ == "__main__":  # of recipes
    *_folders, _language = sys.argv[1:]
    try:
        calibrate_by_folds(*(Path(each) for each in _folders), language=_language)
    except LipsoundError as error:
        sys.exit(str(error))
