"""The daemon's watch over its lists: checks at the start and when told to, and survives what a check raises."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from support.policyconnection import until

from dnsbl import Outcome, Resolver, Zone
from dnsbl.policyd.health import HealthWatch
from dnsbl.policyd.log import Log
from dnsbl.testing import DnsblServer, parked

NAME = "bl.example.com"


class Lines:
    """A Log as far as the watch uses it."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)

    warning = error = info


def test_a_broken_list_is_left_out_and_taken_back_when_told_to_check(dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone(NAME, ["ip4"])
    sound = dnsbl_server.zone("sound.example.com", ["ip4"])
    for each in (zone, sound):
        each.list("127.0.0.2")
    zone.fault(parked())

    async def run() -> None:
        zones = [
            Zone(NAME, subjects=frozenset({"ip4"})),
            Zone("sound.example.com", subjects=frozenset({"ip4"})),
        ]
        async with Resolver(zones, [dnsbl_server.nameserver]) as resolver:
            watch = HealthWatch(lambda: resolver, cast("Log", Lines()))
            task = asyncio.create_task(watch.run())

            def outcome() -> Outcome:
                return resolver.check("192.0.2.9").answers[0].outcome

            await until(lambda: outcome() is Outcome.SKIPPED)
            zone.heal()
            watch.check_now()
            await until(lambda: outcome() is Outcome.NOT_LISTED)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())


def test_it_survives_whatever_a_check_raises() -> None:
    class Failing:
        checks = 0

        async def health_async(self, zones: object = None, deadline_s: float = 1.0) -> None:
            self.checks += 1
            raise OSError("no descriptors left")

        def stats(self) -> dict[str, object]:
            return {"zones": {}}

    failing, lines = Failing(), Lines()

    async def run() -> None:
        watch = HealthWatch(lambda: cast("Resolver", failing), cast("Log", lines))
        task = asyncio.create_task(watch.run())
        for checks in (1, 2, 3):
            await until(lambda: failing.checks >= checks)  # noqa: B023 - awaited within its turn
            watch.check_now()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert sum("no descriptors left" in line for line in lines.lines) >= 2
