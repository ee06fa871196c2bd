"""Today's queries against each list's free daily limit; the day is that of UTC.

Counts what it is told of: every query given to the engine, TXT and health checks included. What c-ares
sends again by itself is not among it, so the limit in the catalogue is best a little below the operator's.
Counts are lost when the process ends.

Does no I/O but one log line at 80 % and one at the limit, per zone and day (logger `dnsbl.budget`), and has
no lock: the resolver calls it under its own. Times are wall clock, seconds since 1970-01-01 UTC, as
`time.time` gives them. A clock set to another day begins a new count.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dnsbl.zones.zone import Zone

DAY_S = 86_400

_log = logging.getLogger("dnsbl.budget")


class BudgetState(NamedTuple):
    """One zone's budget, for `stats()`."""

    queries_today: int
    daily_limit: int | None
    """None: the zone has no limit, and is not counted."""
    state: str
    """`ok`, `low` (80 % used) or `spent`."""


class Budget:
    """What is left today of each zone's `daily_limit`. A zone without one is never spent."""

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._names = [zone.name for zone in zones]
        self._limits = [zone.daily_limit for zone in zones]
        self._counts = [0] * len(zones)
        self._day = 0

    def count(self, zone: int, queries: int, wall_s: float) -> None:
        """`queries` more were given to the engine for `zone` (its index)."""
        limit = self._limits[zone]
        if limit is None:
            return
        self._turn(wall_s)
        before = _state(self._counts[zone], limit)
        self._counts[zone] += queries
        after = _state(self._counts[zone], limit)
        if before == after:
            return
        name = self._names[zone]
        if after == "spent":
            _log.warning("%s: today's %d free queries are used up; not asked until 00:00 UTC", name, limit)
        else:
            _log.warning("%s: 80 %% of today's %d free queries are used", name, limit)

    def spent(self, zone: int, wall_s: float) -> bool:
        """The zone has had all its queries of today, and is not to be asked until midnight UTC."""
        limit = self._limits[zone]
        if limit is None:
            return False
        self._turn(wall_s)
        return self._counts[zone] >= limit

    def state(self, zone: int, wall_s: float) -> BudgetState:
        """What `stats()` shows of `zone`."""
        self._turn(wall_s)
        limit, count = self._limits[zone], self._counts[zone]
        return BudgetState(count, limit, "ok" if limit is None else _state(count, limit))

    def _turn(self, wall_s: float) -> None:
        day = int(wall_s // DAY_S)
        if day != self._day:
            self._day = day
            self._counts = [0] * len(self._counts)


def _state(count: int, limit: int) -> str:
    if count >= limit:
        return "spent"
    return "low" if 5 * count >= 4 * limit else "ok"
