"""The soak and the load of `make soak` and `make load`, for some seconds: nothing wrong, nothing lost, in order."""

from __future__ import annotations

from load.flood import load
from load.soak import soak


def test_a_short_soak_finds_nothing_wrong() -> None:
    report, wrong = soak(6.0, deadline_s=8.0)  # long, for a busy machine
    assert not wrong, report


def test_a_small_load_loses_nothing() -> None:
    report, wrong = load(1.5, 300.0, 40)
    assert not wrong, report
