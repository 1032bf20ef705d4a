"""Signals to a training."""

from __future__ import annotations

import signal

import pytest

from lipsound2.training.stop import StopAsked, StopSwitch


def test_a_signal_cuts_an_evaluation_short_but_nothing_else() -> None:
    switch = StopSwitch()
    with switch.listen():
        with pytest.raises(StopAsked), switch.may_raise():
            signal.raise_signal(signal.SIGTERM)
        assert switch.status == 143
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert switch.status == 130
