"""Metrics of speech and text: scores, confidence intervals, controls, and the verdict whether lips are read.

Each metric of speech in the registry that needs no video is a function here. Those that compare take the ground truth
first: `estoi(reference, degraded, rate=16000)`, `stoi`, `pesq_nb`, `pesq_wb`, `estoi_speech`, `estoi_aligned`,
`stoi_aligned`, `secs`. The others take speech alone: `dnsmos(speech, rate=16000)`, `dnsmos_p808`, `utmos`. They return
a float. `utmos` fetches its network from its own page, unless `argument=FOLDER` names a folder that has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lipsound2.metrics.functions import BlindMetric, ComparingMetric

    stoi: ComparingMetric
    estoi: ComparingMetric
    pesq_nb: ComparingMetric
    pesq_wb: ComparingMetric
    estoi_speech: ComparingMetric
    estoi_aligned: ComparingMetric
    stoi_aligned: ComparingMetric
    secs: ComparingMetric
    dnsmos: BlindMetric
    dnsmos_p808: BlindMetric
    utmos: BlindMetric


def __getattr__(name: str) -> Any:
    """The function of a metric, see `functions.function_of`.

    Raises:
        AttributeError: there is no metric of speech of this name, or it looks at video.
    """
    from lipsound2.metrics.registry import FROM_AUDIO, SPEECH

    if name in FROM_AUDIO:
        from lipsound2.metrics.functions import function_of

        return function_of(name)
    known = f"functions: {', '.join(FROM_AUDIO)}"
    hint = f"it looks at the video too, see lipsound2 score --help; {known}" if name in SPEECH else known
    raise AttributeError(f"module 'lipsound2.metrics' has no attribute '{name}'; {hint}")


def __dir__() -> list[str]:
    from lipsound2.metrics.registry import FROM_AUDIO

    return sorted([*globals(), *FROM_AUDIO])
