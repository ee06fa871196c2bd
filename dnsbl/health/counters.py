"""Counters of one resolver, per zone: queries, outcomes, cache hits, latency.

Latencies go into a histogram of 96 buckets, each 19 % wide, from 10 us to 168 s: a percentile is right to
about 9 %. When it holds 16,384 it is halved, so percentiles follow the last ten thousand or so answers, not
the months before.

Does no I/O and has no lock: the resolver calls it under its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import log2
from typing import TYPE_CHECKING, Any

from dnsbl.model import Outcome

if TYPE_CHECKING:
    from dnsbl.zones.zone import Zone

SHORTEST_S = 10e-6
BUCKETS_PER_OCTAVE = 4
BUCKETS = 96
LONGEST_S = SHORTEST_S * 2 ** (BUCKETS // BUCKETS_PER_OCTAVE)
HALVE_AT = 16_384


class Latencies:
    """A histogram of durations; see the module for its resolution."""

    __slots__ = ("_buckets", "_total")

    def __init__(self) -> None:
        self._buckets = [0] * BUCKETS
        self._total = 0

    def add(self, latency_s: float) -> None:
        """Count one; what lies outside the range goes into the first or last bucket."""
        within_s = min(max(latency_s, SHORTEST_S), LONGEST_S)
        bucket = int(BUCKETS_PER_OCTAVE * log2(within_s / SHORTEST_S))
        self._buckets[min(bucket, BUCKETS - 1)] += 1
        self._total += 1
        if self._total >= HALVE_AT:
            self._buckets = [count // 2 for count in self._buckets]
            self._total = sum(self._buckets)

    def percentile_s(self, percent: float) -> float | None:
        """The duration that `percent` (0 to 100) of those counted do not exceed; None without any."""
        if not self._total:
            return None
        rank = self._total * percent / 100
        up_to = accumulate(self._buckets)
        bucket = next(number for number, count in enumerate(up_to) if count and count >= rank)
        return float(SHORTEST_S * 2 ** ((bucket + 0.5) / BUCKETS_PER_OCTAVE))


class _Zone:
    """One zone's counters."""

    __slots__ = ("cache_hits", "latencies", "outcomes", "queries")

    def __init__(self) -> None:
        self.queries = 0
        self.cache_hits = 0
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.latencies = Latencies()


class Stats:
    """The counters of all zones; a zone is its index in `zones`."""

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._names = [zone.name for zone in zones]
        self._zones = [_Zone() for _ in zones]
        self._clean_hits: dict[int, int] = {}
        self._clean_files: dict[int, int] = {}

    def queried(self, zone: int, queries: int = 1) -> None:
        """Queries, A or TXT, were given to the engine."""
        self._zones[zone].queries += queries

    def answered(self, zone: int, outcome: Outcome, latency_s: float | None) -> None:
        """An A query ended with `outcome`, after `latency_s` if an answer came; or the zone was SKIPPED."""
        of = self._zones[zone]
        of.outcomes[outcome] += 1
        if latency_s is not None:
            of.latencies.add(latency_s)

    def cache_hit(self, zone: int) -> None:
        """The cache had the zone's answer."""
        self._zones[zone].cache_hits += 1

    def clean_hit(self, zones: int) -> None:
        """The cache had the answers of all zones in the bit mask `zones`: one step for the accept path."""
        self._clean_hits[zones] = self._clean_hits.get(zones, 0) + 1

    def clean_files(self, zones: int) -> None:
        """None of the files in the bit mask `zones` lists the subject."""
        self._clean_files[zones] = self._clean_files.get(zones, 0) + 1

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """By zone name, ready for JSON: queries, cache_hits, outcomes (by name, those of queries, not of
        cached answers; of a file, of every look-up), latency_ms (p50, p90, p99; None without any answer)."""
        return {name: self._of(zone) for zone, name in enumerate(self._names)}

    def _of(self, zone: int) -> dict[str, Any]:
        of = self._zones[zone]
        clean = sum(hits for zones, hits in self._clean_hits.items() if zones >> zone & 1)
        outcomes = {outcome.value: count for outcome, count in of.outcomes.items()}
        outcomes[Outcome.NOT_LISTED.value] += sum(
            count for zones, count in self._clean_files.items() if zones >> zone & 1
        )
        return {
            "queries": of.queries,
            "cache_hits": of.cache_hits + clean,
            "outcomes": outcomes,
            "latency_ms": {
                f"p{percent}": _ms(of.latencies.percentile_s(percent)) for percent in (50, 90, 99)
            },
        }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
