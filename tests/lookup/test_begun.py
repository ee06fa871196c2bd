"""`Resolver.begin`: one lookup that is looked at before it is whole, and never begun again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from dnsbl import Outcome, Resolver
from dnsbl.errors import SubjectError, ZoneError
from dnsbl.lookup.begun import Begun
from dnsbl.testing import DnsblServer, silence

LISTED = "192.0.2.99"
ZONES = ["bl.example", "silent.example"]


@pytest.fixture
def server(dnsbl_server: DnsblServer) -> DnsblServer:
    dnsbl_server.zone("bl.example").list(LISTED, txt="spam source")
    dnsbl_server.zone("silent.example").fault(silence())
    return dnsbl_server


def run(
    server: DnsblServer,
    scenario: Callable[[Resolver], Awaitable[None]],
    *zones: str,
    deadline_s: float = 30.0,
) -> None:
    async def main() -> None:
        async with Resolver(zones or ZONES, [server.nameserver], deadline_s=deadline_s) as resolver:
            async with asyncio.timeout(60):
                await scenario(resolver)

    asyncio.run(main())


async def until(begun: Begun, holds: Callable[[], bool]) -> None:
    """Wait for news until it holds."""
    news = asyncio.Event()
    begun.tell(news.set)
    while not holds():
        await news.wait()
        news.clear()


def test_it_ends_with_the_verdict_that_a_check_gives(server: DnsblServer) -> None:
    async def scenario(resolver: Resolver) -> None:
        begun = resolver.begin(LISTED)
        assert not begun.done
        assert begun.so_far().pending == ("bl.example",)
        await until(begun, lambda: begun.done)
        verdict = begun.so_far()
        assert (verdict.listed, verdict.pending, verdict.listings[0].reason) == (True, (), "spam source")
        again = resolver.begin(LISTED)
        assert again.done
        assert again.so_far().listings[0].reason == "spam source"

    run(server, scenario, "bl.example")


def test_each_answer_and_its_reason_are_known_while_others_are_awaited(server: DnsblServer) -> None:
    async def scenario(resolver: Resolver) -> None:
        begun = resolver.begin(LISTED)
        begun.follow()
        await until(begun, lambda: begun.so_far().pending == ("silent.example",))
        assert begun.so_far().listings[0].reason is None
        begun.ask_reasons()
        assert begun.awaits_reasons
        await until(begun, lambda: not begun.awaits_reasons)
        verdict = begun.so_far()
        assert (verdict.listings[0].reason, verdict.complete, verdict.score) == ("spam source", False, 1.0)
        assert not begun.done
        begun.abandon()

    run(server, scenario)
    assert server.count(zone="bl.example", type="A") == 1
    assert server.count(zone="bl.example", type="TXT") == 1
    assert server.count(zone="silent.example", type="TXT") == 0


def test_following_late_misses_nothing(server: DnsblServer) -> None:
    async def scenario(resolver: Resolver) -> None:
        begun = resolver.begin(LISTED)
        while not server.count(zone="bl.example", type="A"):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # the answer may be there already
        begun.follow()
        await until(begun, lambda: begun.so_far().listed)
        assert (begun.done, begun.so_far().pending) == (False, ("silent.example",))
        begun.abandon()

    run(server, scenario)
    assert server.count(zone="bl.example", type="A") == 1


def test_following_while_the_answer_arrives_misses_nothing(server: DnsblServer) -> None:
    async def scenario(resolver: Resolver) -> None:
        for number in range(100):
            server.zone("bl.example").list(f"192.0.2.{number}")
            begun = resolver.begin(f"192.0.2.{number}")
            ends = time.perf_counter() + number % 25 * 20e-6
            while time.perf_counter() < ends:
                pass
            begun.follow()
            await asyncio.wait_for(until(begun, lambda begun=begun: begun.so_far().listed), 3)
            begun.abandon()

    run(server, scenario)
    assert server.count(zone="bl.example", type="A") == 100  # and none was asked again


@pytest.mark.parametrize("follows", [False, True])
def test_it_ends_at_its_deadline(server: DnsblServer, follows: bool) -> None:
    async def scenario(resolver: Resolver) -> None:
        begun = resolver.begin("192.0.2.1", deadline_s=0.3)
        if follows:
            begun.follow()
        await until(begun, lambda: begun.done)
        outcomes = {answer.zone: answer.outcome for answer in begun.so_far().answers}
        assert outcomes["silent.example"] is Outcome.TIMEOUT

    run(server, scenario)


def test_an_abandoned_lookup_reaches_the_cache_and_tells_nobody(server: DnsblServer) -> None:
    async def scenario(resolver: Resolver) -> None:
        told: list[None] = []
        begun = resolver.begin("192.0.2.1")
        begun.tell(lambda: told.append(None))
        begun.abandon()
        begun.abandon()
        while resolver.check_cached("192.0.2.1") is None:
            await asyncio.sleep(0.01)
        assert told == []
        assert not begun.done

    run(server, scenario, "bl.example")


def test_it_ends_when_the_resolver_is_closed(server: DnsblServer) -> None:
    async def scenario(resolver: Resolver) -> None:
        begun = resolver.begin("192.0.2.1")
        resolver.close()
        await until(begun, lambda: begun.done)
        assert not begun.so_far().complete

    run(server, scenario, "silent.example")


def test_what_cannot_be_looked_up_is_refused(server: DnsblServer) -> None:
    async def scenario(resolver: Resolver) -> None:
        with pytest.raises(SubjectError):
            resolver.begin("no name")

    run(server, scenario)
    with Resolver(ZONES) as resolver, pytest.raises(RuntimeError, match="no running event loop"):
        resolver.begin(LISTED)


def test_a_zone_is_set_aside_until_a_check_finds_it_sound(server: DnsblServer) -> None:
    with Resolver(["bl.example"], [server.nameserver]) as resolver:
        resolver.set_aside("bl.example", "lists everybody")
        answer = resolver.check(LISTED).answers[0]
        assert (answer.outcome, "lists everybody" in answer.detail) == (Outcome.SKIPPED, True)
        assert not resolver.check(LISTED).complete
        resolver.health()
        assert resolver.check(LISTED).listed
        with pytest.raises(ZoneError):
            resolver.set_aside("other.example", "why")
