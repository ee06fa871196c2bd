"""The usual deployment: the Resolver asks unbound, which asks rbldnsd; either stops and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.lookups import answer_of, outcomes
from support.servers import Rbldnsd, Unbound

from dnsbl import Outcome, Resolver, Verdict, Zone
from dnsbl.testing import DnsblServer, silence

NAMES = ["a.example", "b.example", "c.example"]
LIST = {
    "ip4set": ":127.0.0.2:listed, see http://bl.example/$\n192.0.2.99\n198.51.100.0/24 :127.0.0.4:network",
    "ip6trie": ":127.0.0.6:listed\n2001:db8:1::/48",
}
URI = {"dnset": ":127.0.1.2:spam domain\n.example.com"}


@pytest.fixture(scope="module")
def lists() -> Iterator[Rbldnsd]:
    with Rbldnsd(dict.fromkeys(NAMES, LIST) | {"uri.example": URI}) as rbldnsd:
        yield rbldnsd


@pytest.fixture
def unbound(lists: Rbldnsd) -> Iterator[Unbound]:
    with Unbound(dict.fromkeys((*NAMES, "uri.example"), lists.nameserver)) as unbound:
        yield unbound


def resolver_on(unbound: Unbound, *zones: str | Zone, **settings: Any) -> Resolver:
    settings.setdefault("deadline_s", 2.0)
    return Resolver(zones or NAMES, [unbound.nameserver], **settings)


def test_the_whole_path(unbound: Unbound) -> None:
    uri = Zone("uri.example", subjects=frozenset({"domain"}))
    with resolver_on(unbound, *NAMES, uri) as resolver:
        verdict = resolver.check("192.0.2.99")
        assert outcomes(verdict) == [Outcome.LISTED] * 3 + [Outcome.SKIPPED]
        assert (verdict.listed, verdict.complete, verdict.score) == (True, True, 3)
        for listing in verdict.listings:
            assert listing.codes == ("127.0.0.2",)
            assert listing.reason == "listed, see http://bl.example/192.0.2.99"
            assert 290 < (listing.ttl_s or 0) <= 300
            assert listing.evidence.nameserver == unbound.nameserver
        assert resolver.check("198.51.100.7").listings[0].codes == ("127.0.0.4",)
        assert resolver.check("2001:db8:1::9").listings[0].codes == ("127.0.0.6",)
        assert resolver.check("::ffff:192.0.2.99").subject == "192.0.2.99"
        for clean in ("192.0.2.98", "2001:db8:2::9"):
            verdict = resolver.check(clean)
            assert (verdict.listed, verdict.complete) == (False, True)
            assert 290 < (verdict.ttl_s or 0) <= 300  # the SOA's, through unbound
        assert resolver.check("user@mail.example.com").listings[0].reason == "spam domain"
        assert not resolver.check("example.net").listed


def test_unbounds_own_cache_shortens_what_is_held(unbound: Unbound) -> None:
    with resolver_on(unbound, "a.example") as resolver:
        resolver.check("192.0.2.99")
        time.sleep(1.2)
    with resolver_on(unbound, "a.example") as resolver:
        assert (resolver.check("192.0.2.99").ttl_s or 0) <= 299


def test_many_at_once(unbound: Unbound) -> None:
    async def main() -> list[Verdict]:
        async with resolver_on(unbound, deadline_s=10, reasons=False) as resolver:
            subjects = [f"198.51.{100 + n % 2}.{n // 2}" for n in range(500)]
            return [found async for found in resolver.check_many_async(subjects, ordered=True)]  # type: ignore[misc]

    verdicts = asyncio.run(main())
    assert all(verdict.complete for verdict in verdicts)
    assert [verdict.listed for verdict in verdicts] == [n % 2 == 0 for n in range(500)]


def test_unbound_stops_and_comes_back(unbound: Unbound) -> None:
    with resolver_on(unbound, deadline_s=0.3, reasons=False) as resolver:
        assert resolver.check("198.51.100.1").complete
        unbound.stop()
        for number in range(5):
            verdict = resolver.check(f"198.51.100.{10 + number}")
            assert outcomes(verdict) == [Outcome.TIMEOUT] * 3
            assert verdict.elapsed_s < 0.5
        assert resolver.check("198.51.100.1").listed  # from the cache
        unbound.start()
        back_s = time.monotonic()
        number = 100
        while not (verdict := resolver.check(f"198.51.100.{number}")).complete:
            number += 1
        assert time.monotonic() - back_s < 2
        assert verdict.listed
        assert resolver.check("198.51.100.10").complete  # what failed then is not held against it
        breakers = [zone["breaker"]["state"] for zone in resolver.stats()["zones"].values()]
        assert breakers == ["closed"] * 3


def test_the_lists_behind_unbound_stop_and_come_back(lists: Rbldnsd, unbound: Unbound) -> None:
    with resolver_on(unbound, deadline_s=0.35, reasons=False) as resolver:
        assert resolver.check("198.51.100.1").complete
        lists.stop()
        try:
            for number in range(4):
                verdict = resolver.check(f"198.51.100.{10 + number}")
                assert set(outcomes(verdict)) <= {Outcome.TIMEOUT, Outcome.SERVFAIL}
                assert (verdict.listed, verdict.complete) == (False, False)
                assert verdict.elapsed_s < 0.7
        finally:
            lists.start()
        back_s = time.monotonic()
        number = 100
        while not (verdict := resolver.check(f"198.51.100.{number}")).complete:
            number += 1
        assert time.monotonic() - back_s < 2
        assert verdict.listed
        breakers = [zone["breaker"]["state"] for zone in resolver.stats()["zones"].values()]
        assert breakers == ["closed"] * 3


def test_one_list_of_two_behind_unbound_is_dead() -> None:
    with Rbldnsd({"alive.example": LIST}) as alive, Rbldnsd({"dead.example": LIST}) as dead:
        zones = {"alive.example": alive.nameserver, "dead.example": dead.nameserver}
        with (
            Unbound(zones) as unbound,
            Resolver(list(zones), [unbound.nameserver], deadline_s=0.4, reasons=False) as resolver,
        ):
            assert resolver.check("198.51.100.1").score == 2
            dead.stop()
            for number in range(4):
                verdict = resolver.check(f"198.51.100.{10 + number}")
                assert answer_of(verdict, "alive.example").outcome is Outcome.LISTED
                assert (verdict.listed, verdict.complete) == (True, False)
            assert answer_of(verdict, "dead.example").outcome is Outcome.SKIPPED
            assert verdict.elapsed_s < 0.1
            breaker = resolver.stats()["zones"]["dead.example"]["breaker"]
            assert breaker["state"] == "open"


def test_two_unbounds_of_which_the_first_stops(lists: Rbldnsd, unbound: Unbound) -> None:
    with Unbound(dict.fromkeys(NAMES, lists.nameserver)) as second:
        servers = [unbound.nameserver, second.nameserver]
        with Resolver(NAMES, servers, deadline_s=2, timeout_s=0.3, reasons=False) as resolver:
            for number in range(30):
                if number == 10:
                    unbound.stop()
                if number == 20:
                    unbound.start()
                    second.stop()
                verdict = resolver.check(f"198.51.100.{number}")
                assert (verdict.listed, verdict.complete) == (True, True)
                assert verdict.elapsed_s < 1.5


def many(count: int, first: int) -> Iterator[bytes]:
    for number in range(count):
        yield (first << 24 | number).to_bytes(4, "big")


def test_a_silent_list_does_not_starve_the_others_behind_unbound(lists: Rbldnsd) -> None:
    # unbound as Debian has it serves no client that has 1,000 waiting.
    with DnsblServer(zones=["mute.example"]) as mute:
        mute.fault(silence())
        servers = dict.fromkeys(NAMES[:2], lists.nameserver) | {"mute.example": mute.nameserver}
        with (
            Unbound(servers) as unbound,
            resolver_on(unbound, *servers, deadline_s=3, reasons=False) as resolver,
        ):
            sound = [
                answer.outcome
                for verdict in resolver.check_many(many(1600, 11), window=800)
                if isinstance(verdict, Verdict)
                for answer in verdict.answers
                if answer.zone != "mute.example"
            ]
    assert len(sound) == 3200
    assert sound.count(Outcome.NOT_LISTED) > 3100


def test_a_burst_into_rbldnsds_own_socket_buffer_is_not_lost(lists: Rbldnsd) -> None:
    zones = [Zone(name, daily_limit=1_000_000) for name in NAMES]
    with Resolver(zones, [lists.nameserver], deadline_s=30, reasons=False) as resolver:
        found = list(resolver.check_many(many(3000, 12), window=3000))
        assert all(isinstance(verdict, Verdict) and verdict.complete for verdict in found)
        sent = sum(zone["budget"]["queries_today"] for zone in resolver.stats()["zones"].values())
    assert 9000 <= sent < 10_000  # what is lost is asked again
