"""Today's queries against each list's free daily limit; the day is that of UTC.

The budget is the list's, not ours, so every query sent counts: TXT, health checks, and each time a question
was asked again. Counts are lost when the process ends.

Does no I/O but one log line at 80 % and one at the limit, per zone and day (logger `dnsbl.budget`, through
`say`), and has no lock: the resolver calls it under its own. Times are wall clock, seconds since 1970-01-01
UTC, as `time.time` gives them. A clock set to another day begins a new count.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from dnsbl.health.journal import Say, say_now

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

    def __init__(self, zones: Sequence[Zone], say: Say = say_now) -> None:
        self._say = say
        self._names = [zone.name for zone in zones]
        self._limits = [zone.daily_limit for zone in zones]
        self._counts = [0] * len(zones)
        self._day = 0

    def count(self, zone: int, queries: int, wall_s: float) -> None:
        """`queries` more are sent to `zone` (its index); negative: so many were counted and not sent."""
        limit = self._limits[zone]
        if limit is None:
            return
        self._turn(wall_s)
        before = _state(self._counts[zone], limit)
        self._counts[zone] = max(0, self._counts[zone] + queries)
        after = _state(self._counts[zone], limit)
        if before == after:
            return
        name = self._names[zone]
        if after == "spent":
            text = "%s: today's %d free queries are used up; not asked until 00:00 UTC"
            self._say(_log, logging.WARNING, text, name, limit)
        elif after == "low" and queries > 0:
            self._say(_log, logging.WARNING, "%s: 80 %% of today's %d free queries are used", name, limit)

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
