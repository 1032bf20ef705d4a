"""The metric registry: what it says holds, every reader of it asks it, and a page's new metric is computed."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from helpers.experiments import synthetic_clips

import lipsound2
from lipsound2.metrics import registry
from lipsound2.metrics.registry import FAMILIES, METRICS, SPEECH, STANDARD, TEXT, WORDS
from lipsound2.metrics.speech import measure

PACKAGE = Path(lipsound2.__file__).parent
ROOT = PACKAGE.parent


def test_every_metric_has_one_name_a_range_and_a_rule():
    assert len(METRICS) == sum(len(family.metrics) for family in FAMILIES.values())
    assert len({metric.title for metric in METRICS.values()}) == len(METRICS)
    assert dict(METRICS) == {**SPEECH, **TEXT, **WORDS}
    for metric in METRICS.values():
        assert metric.low < metric.high
    for family in FAMILIES.values():
        assert all(metric.title.split()[0] in family.rule or family.of == "words" for metric in family.metrics.values())


def test_no_module_hides_the_function_of_a_metric():
    assert not [name for name in registry.FROM_AUDIO if importlib.util.find_spec(f"lipsound2.metrics.{name}")]


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.scorer])
def test_what_can_be_asked_for_has_a_scorer(name: str):
    module, _, function = FAMILIES[name].scorer.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_the_direction_is_that_of_the_metric():
    """A clip against itself is no worse than a clip in noise, whatever the metric of speech that needs no request."""
    waveform = synthetic_clips(1)["s1-clip0"].waveform
    noisy = waveform + np.random.default_rng(0).normal(0, 0.02, len(waveform))
    own, other = measure(waveform, waveform).values, measure(waveform, noisy).values
    for name, metric in STANDARD.items():
        assert metric.best([own[name], other[name]]) == own[name] != other[name]
        assert metric.low <= other[name] <= own[name] <= metric.high + 0.01
        assert metric.floor == metric.low


def test_ranges_and_directions_in_words():
    assert METRICS["dnsmos"].scale == "1 to 5"
    assert METRICS["lse_c"].scale == "higher is better"
    assert METRICS["lse_d"].scale == "lower is better"
    assert METRICS["lse_d"].floor is None
    assert METRICS["lse_d"].best([1.0, 2.0]) == METRICS["wer"].best([1.0, 2.0]) == 1.0
    assert METRICS["ser"].scale == "0 to 100"
    assert METRICS["wer"].heading == "WER %"
    assert METRICS["wer"].shown(0.1234) == "12.3"


def test_the_report_keeps_no_list_of_metrics():
    """Two names of metrics in one literal collection are a list that would have to be kept in step."""
    kept = [
        f"{path.name}:{node.lineno}: {sorted(names)}"
        for path in sorted((PACKAGE / "report").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict)
        and len(names := _strings(node) & {*METRICS, *(metric.title for metric in METRICS.values())}) > 1
    ]
    assert not kept


def _strings(node: ast.Tuple | ast.List | ast.Set | ast.Dict) -> set[str]:
    parts = node.keys if isinstance(node, ast.Dict) else node.elts
    return {part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def test_the_rule_of_what_was_computed_is_told():
    assert "DNSMOS" not in registry.rule(STANDARD)
    assert registry.rule([*STANDARD, "dnsmos"]).splitlines()[-1] == FAMILIES["dnsmos"].rule
    written = (ROOT / "docs" / "scores.md").read_text(encoding="utf-8")
    assert all(f"- {family.rule}" in written for family in FAMILIES.values() if family.of == "text")
