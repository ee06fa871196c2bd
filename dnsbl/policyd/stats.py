"""The daemon's counts: plain numbers, so that counting costs nothing. Exposed by `metrics`."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Final

BUCKETS_S: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
)
"""Upper bounds of the latency histogram, in seconds; one more bucket takes what is above them."""


class Stats:
    """Counts since the start. Written by one thread; another may read them."""

    def __init__(self) -> None:
        self.decisions: Counter[tuple[str, str]] = Counter()
        """By action (its first word) and source of the verdict; both from a closed set."""
        self.of_rules: Counter[tuple[int, str]] = Counter()
        """By rule (its number, 0 for none) and action; bounded by the rules there are."""
        self.of_zones: Counter[tuple[str, str]] = Counter()
        """By zone whose listing the deciding rule saw, and action."""
        self.failures = 0
        """Requests answered with `on_error`."""
        self.dry_run = 0
        """Requests whose action a dry run held back."""
        self.incomplete = 0
        """Requests decided on a verdict that lacked a zone."""
        self.latency = [0] * (len(BUCKETS_S) + 1)
        self.latency_sum_s = 0.0
        self.connections = 0
        """Open now."""
        self.accepted = 0
        self.refused = 0
        """Connections over the cap."""
        self.broken = 0
        """Connections closed for what they sent, or for not going on."""
        self.reloads = 0
        self.failed_reloads = 0

    def decided(self, verb: str, source: str, rule: int, zones: Iterable[str], seconds: float) -> None:
        """Count one decision."""
        self.decisions[verb, source] += 1
        self.of_rules[rule, verb] += 1
        for zone in zones:
            self.of_zones[zone, verb] += 1
        self.took(seconds)

    def took(self, seconds: float) -> None:
        """Count one request's time."""
        self.latency[bisect_left(BUCKETS_S, seconds)] += 1
        self.latency_sum_s += seconds
