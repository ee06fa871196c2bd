"""Each number of the configuration once: its range, its unit and its default.

Read where a file is read (dnsbl/config/file.py, dnsbl/policyd/settings.py), where a Resolver is given its
numbers (dnsbl/config/settings.py), and where they are described (dnsbl/config/keys.py). Values only.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dnsbl.cache.answers import MAX_TTL_S
from dnsbl.lists import BAD_SHARE
from dnsbl.zones.zone import MAX_WEIGHT


class Range(NamedTuple):
    """Both ends included; whole numbers only where they are `int`. default: None where there is none to name."""

    low: float
    high: float
    unit: str = ""
    default: float | None = None

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int)

    @property
    def words(self) -> str:
        """For people: `0.001 to 300 seconds`, or `3,600 seconds or more` where the top is a mere guard."""
        return f"{_number(self.low)} to {_number(self.high)} {self.unit}".rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


DEADLINE_S: Final = 3.0
CACHE_SIZE: Final = 80_000
"""Entries; at most 600 bytes each for a clean address and six zones. The tables of Python's dicts double just
below 2^n / 3 * 2 entries, so that 100,000 would take 650."""
MAX_NAMESERVERS: Final = 8
MAX_ZONES: Final = 64

RANGES: Final = {
    "deadline_s": Range(0.001, 300.0, "seconds", DEADLINE_S),
    "timeout_s": Range(0.001, 60.0, "seconds", 1.0),
    "tries": Range(1, 100),
    "cache_size": Range(0, 100_000_000, "entries", CACHE_SIZE),
    "ttl_min_s": Range(0.0, float(MAX_TTL_S), "seconds", 0.0),
    "ttl_max_s": Range(0.0, float(MAX_TTL_S), "seconds", 86_400.0),
    "reason_timeout_s": Range(0.0, 60.0, "seconds", 0.5),
    "weight": Range(-MAX_WEIGHT, MAX_WEIGHT),
    "daily_limit": Range(1, 10**12, "queries"),
    # An hour at least: operators block who asks more often.
    "interval_s": Range(3600.0, 31 * 86_400.0, "seconds", 86_400.0),
    "bad_share": Range(0.0, 1.0, "", BAD_SHARE),
    "idle_timeout_s": Range(0.1, 86_400.0, "seconds", 600.0),
    "read_timeout_s": Range(0.1, 86_400.0, "seconds", 30.0),
    "max_connections": Range(1, 100_000, "connections", 1000),
}
