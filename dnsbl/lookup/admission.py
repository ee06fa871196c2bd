"""Which zones may be asked now: breaker, health and budget together. Under the resolver's lock."""

from __future__ import annotations

from collections.abc import Sequence
from time import time

from dnsbl.cache.answers import Key
from dnsbl.health.breaker import Breaker, Permit
from dnsbl.health.budget import Budget
from dnsbl.health.journal import Journal
from dnsbl.lookup.values import bits, kind_of, mask_of
from dnsbl.zones.zone import Zone

SPENT = "today's free queries are used up; asked again from 00:00 UTC"


class Admission:
    """The breakers and budgets of one resolver's zones. Sets of zones are bit masks."""

    def __init__(self, zones: Sequence[Zone], journal: Journal) -> None:
        self.breaker = Breaker(tuple(zone.name for zone in zones), journal.say)
        self.budget = Budget(zones, journal.say)
        self.limited = mask_of(index for index, zone in enumerate(zones) if zone.daily_limit is not None)

    def admit(self, key: Key, zones: int, now: float) -> tuple[int, int, dict[int, str]]:
        """Of `zones`: which to ask about `key`, which only to probe beside it, why others are left out."""
        kind = kind_of(key)
        if not zones & (self.limited | self.breaker.open_masks[kind] | self.breaker.unhealthy_mask):
            return zones, 0, {}
        ask = probe = 0
        skipped: dict[int, str] = {}
        wall = time()
        for zone in bits(zones):
            if self.budget.spent(zone, wall):
                skipped[zone] = SPENT
                continue
            permit = self.breaker.allows(zone, now, kind)
            if permit is Permit.ALLOW:
                ask |= 1 << zone
                continue
            if permit is Permit.PROBE:
                probe |= 1 << zone
            skipped[zone] = self.why_set_aside(zone, kind, now)
        return ask, probe, skipped

    def for_texts(self, key: Key, zones: int) -> int:
        """Of `zones`, those that may be asked for TXT records: a probe is never spent on one."""
        zones &= ~(self.breaker.open_masks[kind_of(key)] | self.breaker.unhealthy_mask)
        wall = time()
        return zones & ~mask_of(zone for zone in bits(zones & self.limited) if self.budget.spent(zone, wall))

    def why_set_aside(self, zone: int, kind: int, now: float) -> str:
        state = self.breaker.state_of(zone, kind, now)
        if state.unhealthy is not None:
            return f"found broken by the health check: {state.unhealthy}"
        return f"set aside after {state.failures} failures in a row; tried again now and then"

    def sent(self, zone: int, queries: int) -> None:
        """So many queries more went to `zone`; negative: so many fewer than was counted."""
        if queries and self.limited >> zone & 1:
            self.budget.count(zone, queries, time())
