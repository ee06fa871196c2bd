"""When the zones' test entries are asked: at the start, about hourly, on demand, and where a list goes wild.

A check has two passes: what answers within `FIRST_PASS_S` is judged then, so that one silent list does not
hold up what the others' answers say; who was silent is asked once more, with more time. A zone found broken
is asked again soon, with growing pauses.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from dnsbl.errors import ClosedError
from dnsbl.health.judge import State
from dnsbl.policyd.log import Log, describe
from dnsbl.policyd.setaside import EVERY_S, JITTER, broken_zones, leave_out_surges
from dnsbl.policyd.surge import SurgeWatch

if TYPE_CHECKING:
    from dnsbl.resolver import Resolver

FIRST_PASS_S: Final = 1.0
SECOND_PASS_S: Final = 5.0
LOOK_S: Final = 1.0
"""How often the counters are looked at."""
RETRY_S: Final = 60.0
"""The first pause before a broken zone is asked again; each further one is twice as long."""


class HealthWatch:
    """Checks the zones of the resolver in use until its task, `run`, is cancelled."""

    def __init__(self, resolver: Callable[[], Resolver], log: Log) -> None:
        self._resolver = resolver
        self._log = log
        self._wanted = asyncio.Event()
        self._surges = SurgeWatch()
        self._failed_checks = 0
        self._silent: list[str] | None = None
        self.next_check: float | None = None
        """When the next full check is due, as time.time(); None before the first has ended."""

    def check_now(self) -> None:
        """Check soon, whatever the time."""
        self._wanted.set()

    async def first_pass(self, resolver: Resolver) -> None:
        """Ask all zones' test entries for a short time; the check that follows goes on from there.

        For a resolver that is to be used: what it has found is known before its first lookup.
        """
        try:
            self._silent = await _silent_zones(resolver)
        except Exception as error:
            self._log.error(f"the first health check failed: {describe(error)}")

    async def run(self) -> None:
        await self._check()
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wanted.wait()
            except TimeoutError:
                self._look()
            due = self.next_check is not None and time.time() >= self.next_check
            if due or self._wanted.is_set():
                self._wanted.clear()
                await self._check()

    async def _check(self) -> None:
        resolver = self._resolver()
        try:
            silent, self._silent = self._silent, None
            if silent is None:
                silent = await _silent_zones(resolver)
            if silent:
                await resolver.health_async(silent, deadline_s=SECOND_PASS_S)
        except ClosedError:
            return  # a reload has put another in its place
        except Exception as error:
            self._log.error(f"the health check failed, and is tried again: {describe(error)}")
        self._plan()

    def _plan(self) -> None:
        """Set the time of the next check, and say so."""
        try:
            broken = broken_zones(self._resolver())
        except ClosedError:
            broken = {}
        self._failed_checks = self._failed_checks + 1 if broken else 0
        pause_s = EVERY_S * random.uniform(1 - JITTER, 1 + JITTER)
        if broken:
            pause_s = min(pause_s, RETRY_S * 2 ** min(self._failed_checks - 1, 10))
        self.next_check = time.time() + pause_s
        aside = f"; set aside: {', '.join(broken)}" if broken else ""
        self._log.info(f"lists checked; the next check comes in {pause_s:.0f} s{aside}")

    def _look(self) -> None:
        """Set a list that suddenly lists nearly everybody aside, and have it checked."""
        if leave_out_surges(self._surges, self._resolver(), self._log):
            self._wanted.set()


async def _silent_zones(resolver: Resolver) -> list[str]:
    healths = await resolver.health_async(deadline_s=FIRST_PASS_S)
    return [health.zone for health in healths if health.state is State.NO_ANSWER]
