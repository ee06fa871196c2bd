"""How often a list is asked: as its limit and the lifetime of its answers allow. Pure.

1. Rounds begin every `interval_s`; no list is asked in between, so every wait here is a number of rounds.
2. A list with a free limit gets, of the queries it gives away in a day, a share: the rest is for the mail
   server that asks it from the same network. So many subjects that the share is spent sooner are asked the
   more rarely.
3. An answer is not asked for again before its TTL is over: its operator says that it holds so long, and a
   resolver's cache would only repeat it, which is no second sight.
"""

from __future__ import annotations

from math import ceil
from typing import Final

DAY_S: Final = 86_400
SLACK_S: Final = 1.0


def allowance(daily_limit: int | None, share: float, at_least: int = 1) -> int | None:
    """Queries that the monitor may send in a day (UTC); None: no limit.

    at_least: what one subject costs; less would never ask anything.

    >>> allowance(100_000, 0.1)
    10000
    """
    return None if daily_limit is None else min(daily_limit, max(at_least, int(daily_limit * share)))


def rounds_between(queries: int, daily: int | None, interval_s: float) -> int:
    """Every how many rounds a list can be asked all of it. queries: of one such round; daily: its allowance.

    >>> rounds_between(260, 10_000, 1800.0), rounds_between(4_000, 10_000, 1800.0)
    (2, 20)
    """
    if daily is None:
        return 1
    return max(1, ceil(queries * DAY_S / daily / interval_s))


def due_at(round_at: float, interval_s: float, rounds: int, ttl_s: float | None) -> float:
    """When an entry that this round asked is to be asked again: at the beginning of a round.

    >>> due_at(0.0, 1800.0, 1, 2100.0)
    3600.0
    """
    by_ttl = ceil((min(ttl_s or 0.0, DAY_S) - SLACK_S) / interval_s)
    return round_at + max(rounds, by_ttl, 1) * interval_s


def next_day(now: float) -> float:
    """When the limits begin anew: midnight UTC."""
    return (now // DAY_S + 1) * DAY_S
