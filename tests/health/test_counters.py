"""The counters: what `snapshot` tells, and how exact its percentiles are."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsbl.health.counters import HALVE_AT, Latencies, Stats
from dnsbl.model import Outcome
from dnsbl.zones.zone import Zone

HALF_BUCKET = 2 ** (1 / 8) * 1.000001


def test_snapshot_counts_by_zone_and_is_json() -> None:
    stats = Stats([Zone("a.example.com"), Zone("b.example.com")])
    stats.queried(0)
    stats.queried(0, 2)
    stats.answered(0, Outcome.LISTED, 0.01)
    stats.answered(0, Outcome.TIMEOUT, None)
    stats.answered(1, Outcome.BLOCKED, 0.001)
    stats.cache_hit(1)
    for _ in range(5):
        stats.clean_hits[0b11] += 1
    stats.clean_hits[0b01] += 1
    found = stats.snapshot()
    assert json.loads(json.dumps(found)) == found
    assert list(found) == ["a.example.com", "b.example.com"]
    a, b = found.values()
    assert (a["queries"], a["cache_hits"]) == (3, 6)
    assert (b["queries"], b["cache_hits"]) == (0, 6)
    assert set(a["outcomes"]) == {outcome.value for outcome in Outcome}
    assert {name for name, count in a["outcomes"].items() if count} == {"listed", "timeout"}
    assert b["outcomes"]["blocked"] == 1
    assert a["latency_ms"]["p50"] == pytest.approx(10, rel=HALF_BUCKET - 1)


def test_no_latency_without_an_answer() -> None:
    stats = Stats([Zone("a.example.com")])
    stats.answered(0, Outcome.TIMEOUT, None)
    assert stats.snapshot()["a.example.com"]["latency_ms"] == {"p50": None, "p90": None, "p99": None}


@given(st.lists(st.floats(10e-6, 160), min_size=1, max_size=200), st.sampled_from([0, 1, 50, 90, 99, 100]))
def test_percentile_is_right_to_half_a_bucket(latencies: list[float], percent: int) -> None:
    histogram = Latencies()
    for latency_s in latencies:
        histogram.add(latency_s)
    rank = max(1, -(-len(latencies) * percent // 100))
    exact = sorted(latencies)[rank - 1]
    found = histogram.percentile_s(percent)
    assert found is not None
    assert exact / HALF_BUCKET <= found <= exact * HALF_BUCKET


@given(st.floats(allow_nan=False))
def test_any_duration_is_counted(latency_s: float) -> None:
    histogram = Latencies()
    histogram.add(latency_s)
    found = histogram.percentile_s(50)
    assert found is not None
    assert 10e-6 <= found <= 168


def test_percentiles_follow_the_present() -> None:
    histogram = Latencies()
    for _ in range(10 * HALVE_AT):
        histogram.add(0.001)
    for _ in range(2 * HALVE_AT):
        histogram.add(1.0)
    assert histogram.percentile_s(50) == pytest.approx(1.0, rel=HALF_BUCKET - 1)


def test_halving_keeps_the_percentiles() -> None:
    rng = random.Random(20261125)
    histogram = Latencies()
    samples = [rng.lognormvariate(-5, 1) for _ in range(HALVE_AT)]
    for latency_s in samples[:-1]:
        histogram.add(latency_s)
    before = [histogram.percentile_s(percent) for percent in (50, 90, 99)]
    histogram.add(samples[-1])
    after = [histogram.percentile_s(percent) for percent in (50, 90, 99)]
    assert before == after
