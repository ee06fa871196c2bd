"""Counters of one resolver, per zone: queries, outcomes, cache hits, latency.

Latencies go into a histogram of 96 buckets, each 19 % wide, from 10 us to 168 s: a percentile is right to
about 9 %. When it holds 16,384 it is halved, so percentiles follow the last ten thousand or so answers, not
the months before.

A zone's counters are one array, which the engine may count in as well (`Stats.rows`), so that an answer that
is nothing but a plain no costs no object.

Does no I/O and has no lock: the resolver calls it under its own.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from math import ceil, log2
from typing import TYPE_CHECKING, Any

from dnsbl.model import Outcome

if TYPE_CHECKING:
    from dnsbl.zones.zone import Zone

SHORTEST_S = 10e-6
BUCKETS_PER_OCTAVE = 4
BUCKETS = 96
LONGEST_S = SHORTEST_S * 2 ** (BUCKETS // BUCKETS_PER_OCTAVE)
HALVE_AT = 16_384
BOUNDS_US = array("Q", (ceil(10 * 2 ** (n / BUCKETS_PER_OCTAVE)) for n in range(1, BUCKETS)))
"""What lies below the first of them, in microseconds, is in the first bucket, and so on."""

TOTAL, PLAIN, SENT = BUCKETS, BUCKETS + 1, BUCKETS + 2
"""Where in a row stand the sum of the buckets, the answers that were plain, and the questions sent."""


class Latencies:
    """A histogram of durations; see the module for its resolution."""

    __slots__ = ("_row",)

    def __init__(self, row: array[int] | None = None) -> None:
        self._row = _new_row() if row is None else row

    def add(self, latency_s: float) -> None:
        """Count one; what lies outside the range goes into the first or last bucket."""
        within_s = min(max(latency_s, SHORTEST_S), LONGEST_S)
        bucket = int(BUCKETS_PER_OCTAVE * log2(within_s / SHORTEST_S))
        row = self._row
        row[min(bucket, BUCKETS - 1)] += 1
        row[TOTAL] += 1
        if row[TOTAL] >= HALVE_AT:
            row[:BUCKETS] = array("Q", (count // 2 for count in row[:BUCKETS]))
            row[TOTAL] = sum(row[:BUCKETS])

    def percentile_s(self, percent: float) -> float | None:
        """The duration that `percent` (0 to 100) of those counted do not exceed; None without any."""
        total = self._row[TOTAL]
        if not total:
            return None
        rank = total * percent / 100
        up_to = accumulate(self._row[:BUCKETS])
        bucket = next(number for number, count in enumerate(up_to) if count and count >= rank)
        return float(SHORTEST_S * 2 ** ((bucket + 0.5) / BUCKETS_PER_OCTAVE))


def _new_row() -> array[int]:
    return array("Q", bytes(8 * (SENT + 1)))


class _Zone:
    """One zone's counters."""

    __slots__ = ("cache_hits", "latencies", "outcomes", "row")

    def __init__(self) -> None:
        self.row = _new_row()
        self.cache_hits = 0
        self.outcomes = dict.fromkeys(Outcome, 0)
        self.latencies = Latencies(self.row)


class Stats:
    """The counters of all zones; a zone is its index in `zones`."""

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._names = [zone.name for zone in zones]
        self._zones = [_Zone() for _ in zones]
        self.clean_hits: Counter[int] = Counter()
        """How often the cache had the answers of all zones in a bit mask, counted by the accept path itself."""
        self.clean_files: Counter[int] = Counter()
        """By bit mask of zones that are files: how often none of them listed the subject."""

    @property
    def rows(self) -> list[array[int]]:
        """By zone, the array that its counters are in: buckets, then `TOTAL`, `PLAIN`, `SENT`."""
        return [zone.row for zone in self._zones]

    def queried(self, zone: int, queries: int = 1) -> None:
        """Queries, A or TXT, were given to the engine."""
        self._zones[zone].row[SENT] += queries

    def answered(self, zone: int, outcome: Outcome, latency_s: float | None) -> None:
        """An A query ended with `outcome`, after `latency_s` if an answer came; or the zone was SKIPPED."""
        of = self._zones[zone]
        of.outcomes[outcome] += 1
        if latency_s is not None:
            of.latencies.add(latency_s)

    def cache_hit(self, zone: int) -> None:
        """The cache had the zone's answer."""
        self._zones[zone].cache_hits += 1

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """By zone name, ready for JSON: queries, cache_hits, outcomes (by name, those of queries, not of
        cached answers; of a file, of every look-up), latency_ms (p50, p90, p99; None without any answer)."""
        return {name: self._of(zone) for zone, name in enumerate(self._names)}

    def _of(self, zone: int) -> dict[str, Any]:
        of = self._zones[zone]
        clean = sum(hits for zones, hits in self.clean_hits.items() if zones >> zone & 1)
        outcomes = {outcome.value: count for outcome, count in of.outcomes.items()}
        outcomes[Outcome.NOT_LISTED.value] += of.row[PLAIN]
        outcomes[Outcome.NOT_LISTED.value] += sum(
            count for zones, count in self.clean_files.items() if zones >> zone & 1
        )
        return {
            "queries": of.row[SENT],
            "cache_hits": of.cache_hits + clean,
            "outcomes": outcomes,
            "latency_ms": {
                f"p{percent}": _ms(of.latencies.percentile_s(percent)) for percent in (50, 90, 99)
            },
        }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
