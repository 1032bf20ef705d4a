"""The metric registry: every number that says how good speech or text is, with its range, direction, unit and rule.

Tables, the report, `compare` and the training curves read it: none of them names a metric, or says which way is better.
A new metric is a file that computes it and an entry in `FAMILIES`; see `docs/add-a-metric.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """How a metric is read and shown.

    Attributes:
        title: its column.
        low: where its scale begins.
        high: where its scale ends.
        higher_is_better: which end is the good one.
        bounded: whether the scale has ends. Of an open one, `low` and `high` are only where bars begin and end.
        digits: decimals in tables.
        unit: `%` of a fraction that is shown in per cent.
    """

    title: str
    low: float
    high: float
    higher_is_better: bool = True
    bounded: bool = True
    digits: int = 2
    unit: Literal["", "%"] = ""

    @property
    def floor(self) -> float | None:
        """The value of a clip that cannot be scored: the worst of its scale. None: such a clip is left out."""
        return (self.low if self.higher_is_better else self.high) if self.bounded else None

    @property
    def heading(self) -> str:
        """Title and unit: `WER %`."""
        return f"{self.title} {self.unit}".strip()

    @property
    def scale(self) -> str:
        """The range in words, or the direction where there is no range: `1 to 5`, `lower is better`."""
        if self.bounded:
            return f"{self.shown_as * self.low:g} to {self.shown_as * self.high:g}"
        return f"{'higher' if self.higher_is_better else 'lower'} is better"

    @property
    def shown_as(self) -> int:
        """What a value is multiplied with where it is shown."""
        return 100 if self.unit == "%" else 1

    def shown(self, value: float) -> str:
        """A value as tables have it."""
        return f"{self.shown_as * value:.{self.digits}f}"

    def best(self, values: Iterable[float]) -> float:
        """The best of some values."""
        return max(values) if self.higher_is_better else min(values)


@dataclass(frozen=True)
class Family:
    """Metrics that are computed together, by one rule.

    Attributes:
        metrics: name -> metric.
        rule: how they are computed, in one line.
        of: what they judge: speech (`lipsound2 score`), text (word and character errors), words (single words).
        scorer: `module:function` that makes the scorer of a `requested.Request`; empty: computed without a request.
        packages: module -> extra of `setup.cfg`; their versions are noted beside the scores.
        reference: whether speech is compared with the ground truth. If not, the ground truth is scored as well.
        argument: what may follow the name and a colon in `--metrics`; empty: nothing.
        needs_argument: whether it must.
        video: whether the clip's video is looked at too.
    """

    metrics: Mapping[str, Metric]
    rule: str
    of: Literal["speech", "text", "words"] = "speech"
    scorer: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    reference: bool = False
    argument: str = ""
    needs_argument: bool = False
    video: bool = False


FAMILIES: Mapping[str, Family] = {
    "stoi": Family(
        {"stoi": Metric("STOI", 0, 1, digits=3), "estoi": Metric("ESTOI", 0, 1, digits=3)},
        "STOI and ESTOI: pystoi on the 16 kHz audio (which it resamples to 10 kHz itself).",
        packages={"pystoi": "metrics"},
        reference=True,
    ),
    "pesq": Family(
        {"pesq_nb": Metric("PESQ nb", 1, 4.55), "pesq_wb": Metric("PESQ wb", 1, 4.64)},
        "PESQ nb: speech and reference resampled to 8 kHz (scipy's resample_poly 1:2, zero phase), P.862 with P.862.1 "
        "mapping. PESQ wb: the 16 kHz audio, P.862.2.",
        packages={"pesq": "metrics"},
        reference=True,
    ),
    "estoi_speech": Family(
        {"estoi_speech": Metric("ESTOI, speech only", 0, 1, digits=3)},
        "ESTOI, speech only: ESTOI without frames (25.6 ms at 10 kHz) in which the reference, as first differences, "
        "is less than a quarter of the way from the 10th to the 95th percentile of its levels in dB.",
        scorer="lipsound2.metrics.estoi_speech_scorer:scorer",
        packages={"pystoi": "metrics"},
        reference=True,
    ),
    "aligned": Family(
        {
            "stoi_aligned": Metric("STOI aligned", 0, 1, digits=3),
            "estoi_aligned": Metric("ESTOI aligned", 0, 1, digits=3),
        },
        "Time-aligned STOI and ESTOI: the speech is shifted as a whole by up to 0.1 s first, to where its fine log-mel "
        "fits that of the reference best (cosine, means over time taken out).",
        scorer="lipsound2.metrics.aligned_scorer:scorer",
        packages={"pystoi": "metrics"},
        reference=True,
    ),
    "dnsmos": Family(
        {"dnsmos": Metric("DNSMOS", 1, 5), "dnsmos_p808": Metric("DNSMOS P.808", 1, 5)},
        "DNSMOS: the networks in Microsoft's package speechmos, P.835 overall quality and P.808, 1 to 5; speech is "
        "repeated until it lasts 9.01 s, windows of 9.01 s every second are averaged; loudness is left as it is.",
        scorer="lipsound2.metrics.dnsmos_scorer:scorer",
        packages={"onnxruntime": "dnsmos", "speechmos": "dnsmos"},
    ),
    "utmos": Family(
        {"utmos": Metric("UTMOS", 1, 5)},
        "UTMOS: UTMOS22's strong learner as tarepan/SpeechMOS v1.2.0 has it, 1 to 5, one clip at a time; loudness is "
        "left as it is.",
        scorer="lipsound2.metrics.utmos_scorer:scorer",
        argument="FOLDER",
    ),
    "secs": Family(
        {"secs": Metric("SECS", 0, 1)},
        "SECS: cosine of the speaker embeddings of speech and reference, GE2E with Resemblyzer's weights on 16 kHz "
        "audio raised to -30 dBFS, windows of 1.6 s, silences not cut; no embedding has negative values, so 0 is the "
        "least.",
        scorer="lipsound2.metrics.secs_scorer:scorer",
        reference=True,
        argument="WEIGHTS",
    ),
    "lse": Family(
        {
            "lse_c": Metric("LSE-C", 0, 10, bounded=False),
            "lse_d": Metric("LSE-D", 0, 15, higher_is_better=False, bounded=False),
        },
        "LSE-C (high is good), LSE-D (low is good): SyncNet with published weights, shifts of 15 video frames, mean "
        "over clips; faces are cut by our own landmarks, so compare within this table, with the ground truth and the "
        "mismatched control; a clip it cannot be computed on is left out and counted.",
        scorer="lipsound2.metrics.lse:scorer",
        argument="WEIGHTS",
        needs_argument=True,
        video=True,
    ),
    "wer": Family(
        {"wer": Metric("WER", 0, 1, higher_is_better=False, bounded=False, digits=1, unit="%")},
        "WER: substituted, deleted and inserted words of all clips, divided by the words of all references; minimum "
        "edit distance, every error at cost 1 (jiwer). It can lie above 100 %.",
        of="text",
        packages={"jiwer": "metrics"},
        reference=True,
    ),
    "cer": Family(
        {"cer": Metric("CER", 0, 1, higher_is_better=False, bounded=False, digits=1, unit="%")},
        "CER: the same in characters. In English the blank between two words is one; in Mandarin there is no WER.",
        of="text",
        packages={"jiwer": "metrics"},
        reference=True,
    ),
    "ser": Family(
        {"ser": Metric("SER", 0, 1, higher_is_better=False, digits=1, unit="%")},
        "SER: share of the clips with at least one error.",
        of="text",
        reference=True,
    ),
    "accuracy": Family(
        {
            "top1": Metric("top-1 accuracy", 0, 1, digits=1, unit="%"),
            "top5": Metric("top-5 accuracy", 0, 1, digits=1, unit="%"),
        },
        "Accuracy of single words: share of the clips whose word is the first, or among the first five, of the "
        "classifier's vocabulary.",
        of="words",
        reference=True,
    ),
}
METRICS: Mapping[str, Metric] = {name: one for family in FAMILIES.values() for name, one in family.metrics.items()}
PRIMARY = "estoi"  # ranks clips, and decides whether lips are read

_AUDIO_RULE = """\
Audio: 16 kHz, mono; a file with another rate is resampled (polyphase, Kaiser window), channels are averaged.
Length: speech is cut, or filled up with zeros, to the length of its reference; no time shift is searched for. \
A difference of more than one video frame (640 samples) is counted."""
_FAILURES_RULE = """\
Failures: speech that is missing, unreadable or silent, and a clip a metric cannot be computed on, get the floor of \
that metric (STOI 0, ESTOI 0, PESQ 1) and are counted; no clip is left out of a mean."""


def metrics_of(families: Iterable[Family]) -> dict[str, Metric]:
    """Name -> metric of some families."""
    return {name: metric for family in families for name, metric in family.metrics.items()}


def judging(of: Literal["speech", "text", "words"]) -> list[Family]:
    """The families that judge speech, text or words."""
    return [family for family in FAMILIES.values() if family.of == of]


SPEECH = metrics_of(judging("speech"))
STANDARD_FAMILIES = [family for family in judging("speech") if not family.scorer]
FROM_AUDIO = metrics_of(family for family in judging("speech") if not family.video)  # functions of `lipsound2.metrics`
STANDARD = metrics_of(STANDARD_FAMILIES)  # what `score` always computes
TEXT = metrics_of(judging("text"))
WORDS = metrics_of(judging("words"))


def in_order(scores: Iterable[Iterable[str]]) -> list[str]:
    """All metrics of speech that occur in some systems' or clips' scores, in the order of tables."""
    known = {name for names in scores for name in names}
    return [name for name in SPEECH if name in known]


def rule(scores: Iterable[str]) -> str:
    """How metrics of speech are computed, in lines: the standard ones, then further ones that are named."""
    wanted = set(scores)
    further = [
        family.rule
        for family in judging("speech")
        if family not in STANDARD_FAMILIES and wanted & family.metrics.keys()
    ]
    standard: Sequence[str] = [family.rule for family in STANDARD_FAMILIES]
    return "\n".join([_AUDIO_RULE, *standard, _FAILURES_RULE, *further])
