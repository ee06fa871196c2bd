"""Health checks against the loopback server and a real unbound: what is asked, and what follows from it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import threading
import time
from collections.abc import Callable

import pytest
from support.servers import Rbldnsd, Unbound, needs

from dnsbl import ClosedError, ConfigError, Outcome, Resolver, Zone, ZoneError
from dnsbl.health.judge import State
from dnsbl.model import Kind
from dnsbl.model import TextKind as ServedKind
from dnsbl.testing import (
    DnsblServer,
    Handler,
    Query,
    Reply,
    build_reply,
    delay,
    garbage,
    parked,
    rcode,
    silence,
    stripped,
    wildcard,
)

NAME = "bl.example.com"
KEY = "s3cr3tkey0123456789abcdef"
SUBJECT = {"ip4": "198.51.100.1", "ip6": "2001:db8::1", "domain": "example.net"}
OTHER = {"ip4": "198.51.100.2", "ip6": "2001:db8::2", "domain": "example.org"}
KINDS: list[ServedKind] = ["ip4", "ip6", "domain"]


def hijacked(query: Query, answer: Callable[[], Reply]) -> Reply:
    """As a nameserver that puts the address of a web server in the place of NXDOMAIN."""
    reply = answer()
    nxdomain = reply.wire is not None and reply.wire[3] & 15 == 3
    return parked()(query, answer) if nxdomain else reply  # type: ignore[return-value]


def protected(query: Query, answer: Callable[[], Reply]) -> Reply:
    """As a nameserver that takes 127.0.0.0/8 out of answers and leaves the others alone."""
    reply = answer()
    found = reply.wire is not None and int.from_bytes(reply.wire[6:8], "big") > 0
    return Reply(build_reply(query)) if found else reply


FAULTS = {
    "parked": (parked(), State.PARKED),
    "wildcarded": (wildcard(), State.WILDCARDED),
    "hijacked": (hijacked, State.HIJACKED),
    "stripped": (stripped(), State.STRIPPED),
    "protected": (protected, State.STRIPPED),
    "refused": (rcode("REFUSED"), State.REFUSED),
    "refused by a code": (wildcard("127.255.255.254"), State.REFUSED),
    "refused as by uribl": (wildcard("127.0.0.1"), State.REFUSED),
    "wrong key": (wildcard("127.255.255.251"), State.WRONG_KEY),
}


def zone_of(kind: Kind, name: str = NAME) -> Zone:
    return Zone(name, subjects=frozenset({kind}))


def open_resolver(server: DnsblServer, *zones: Zone, cache_size: int | None = None) -> Resolver:
    return Resolver(zones=zones, nameservers=[server.nameserver], deadline_s=1.0, cache_size=cache_size)


def outcome(resolver: Resolver, subject: str) -> Outcome:
    return resolver.check(subject).answers[0].outcome


# ---- each kind of list, each way to fail ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_list_is_found_and_its_hits_are_ignored(
    dnsbl_server: DnsblServer, kind: ServedKind, fault: str
) -> None:
    handler, state = FAULTS[fault]
    listed = dnsbl_server.zone(NAME, [kind])
    listed.list(SUBJECT[kind])
    listed.fault(handler)
    with open_resolver(dnsbl_server, zone_of(kind)) as resolver:
        (health,) = resolver.health()
        assert (health.state, health.broken) == (state, True)
        assert health.latency_ms is not None
        assert 0 < health.latency_ms < 1000
        dnsbl_server.clear()
        verdict = resolver.check(SUBJECT[kind])
        assert (verdict.listed, verdict.complete, verdict.score) == (False, False, 0.0)
        assert verdict.answers[0].outcome is Outcome.SKIPPED
        assert health.detail in verdict.answers[0].detail
        assert dnsbl_server.count() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_list_is_healthy_and_each_entry_is_asked_once(
    dnsbl_server: DnsblServer, kind: ServedKind
) -> None:
    dnsbl_server.zone(NAME, [kind]).list(SUBJECT[kind])
    with open_resolver(dnsbl_server, zone_of(kind)) as resolver:
        (health,) = resolver.health()
        assert (health.state, health.broken, health.detail, health.hint) == (State.HEALTHY, False, "", "")
        assert outcome(resolver, SUBJECT[kind]) is Outcome.LISTED
        assert outcome(resolver, OTHER[kind]) is Outcome.NOT_LISTED
    mapped = ipaddress.ip_address("::ffff:127.0.0.2").reverse_pointer.removesuffix(".ip6.arpa")
    names = {
        "ip4": {"2.0.0.127", "1.0.0.127"},
        "ip6": {mapped, "1" + mapped[1:]},
        "domain": {"test", "invalid"},
    }
    asked = [query.name.removesuffix(f".{NAME}") for query in dnsbl_server.queries[:2]]
    assert sorted(asked) == sorted(names[kind])  # H3
    assert all(query.type == "A" for query in dnsbl_server.queries[:2])


def test_h3_a_domain_list_is_not_asked_for_addresses(dnsbl_server: DnsblServer) -> None:
    """Its answer to an address would be its code for that mistake."""
    zone = dnsbl_server.zone("dbl.example.com", ["domain"])
    zone.list("127.0.0.1", codes=["127.0.1.255"])
    zone.list("127.0.0.2", codes=["127.0.1.255"])
    with open_resolver(dnsbl_server, zone_of("domain", "dbl.example.com")) as resolver:
        assert resolver.health()[0].state is State.HEALTHY


def test_several_zones_at_once_each_with_its_own_state(dnsbl_server: DnsblServer) -> None:
    names = [f"bl{number}.example.com" for number in range(4)]
    for name in names:
        dnsbl_server.zone(name)
    dnsbl_server.zone(names[1]).fault(parked())
    dnsbl_server.zone(names[3]).fault(wildcard())
    with open_resolver(dnsbl_server, *map(Zone, names)) as resolver:
        states = [State.HEALTHY, State.PARKED, State.HEALTHY, State.WILDCARDED]
        assert [(health.zone, health.state) for health in resolver.health()] == list(
            zip(names, states, strict=True)
        )
        assert dnsbl_server.count() == 4 * 4
        assert [health.zone for health in resolver.health([names[2]])] == [names[2]]
        assert dnsbl_server.count() == 4 * 4 + 4
        verdict = resolver.check("198.51.100.1")
        skipped = [answer.zone for answer in verdict.answers if answer.outcome is Outcome.SKIPPED]
        assert skipped == [names[1], names[3]]


def test_a_wrong_key_is_told_from_a_right_one_and_never_shown(
    dnsbl_server: DnsblServer, caplog: pytest.LogCaptureFixture
) -> None:
    dnsbl_server.zone(f"{KEY}.zen.dq.spamhaus.net", ["ip4", "ip6"])
    dnsbl_server.zone("zen.dq.spamhaus.net", ["ip4", "ip6"])  # every other key: nothing there
    for key, state in ((KEY, State.HEALTHY), ("wrongkey", State.WRONG_KEY)):
        zone = Zone("zen.dq.spamhaus.net", key=key, key_place="{key}.zen.dq.spamhaus.net")
        with open_resolver(dnsbl_server, zone) as resolver:
            (health,) = resolver.health()
            assert (health.zone, health.state) == ("zen.dq.spamhaus.net", state)
            assert key not in repr(health) + str(health.to_dict()) + caplog.text


# ---- set aside, until it passes again ----


def test_a_zone_that_is_sound_again_comes_back_without_what_it_said_before(
    dnsbl_server: DnsblServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dnsbl")
    zone = dnsbl_server.zone(NAME)
    zone.list("192.0.2.99")
    zone.fault(wildcard(ttl=3600))
    with open_resolver(dnsbl_server, Zone(NAME)) as resolver:
        assert outcome(resolver, "198.51.100.1") is Outcome.LISTED  # before anybody could know
        resolver.health()
        resolver.health()
        assert outcome(resolver, "198.51.100.1") is Outcome.SKIPPED  # though the cache says listed
        zone.heal()
        assert resolver.health()[0].state is State.HEALTHY
        resolver.health()
        assert outcome(resolver, "198.51.100.1") is Outcome.NOT_LISTED
        assert outcome(resolver, "192.0.2.99") is Outcome.LISTED
    changes = [record.getMessage() for record in caplog.records]
    assert len(changes) == 2  # a line a change, not a check
    assert changes[0].startswith(f"{NAME}: found broken and set aside: it lists 127.0.0.1")
    assert changes[1].startswith(f"{NAME}: found sound again")


@pytest.mark.parametrize("handler", [silence(), rcode("SERVFAIL"), garbage("random")])
def test_silence_neither_breaks_nor_mends_a_zone(dnsbl_server: DnsblServer, handler: Handler) -> None:
    zone = dnsbl_server.zone(NAME, ["ip4"])
    zone.list(SUBJECT["ip4"])
    with open_resolver(dnsbl_server, zone_of("ip4")) as resolver:
        zone.fault(handler)
        (health,) = resolver.health(deadline_s=0.3)
        assert (health.state, health.broken) == (State.NO_ANSWER, False)
        breaker = resolver.stats()["zones"][NAME]["breaker"]
        assert (breaker["state"], breaker["failures"], breaker["unhealthy"]) == ("closed", 0, None)
        zone.heal()
        assert outcome(resolver, SUBJECT["ip4"]) is Outcome.LISTED
        zone.fault(wildcard())
        assert resolver.health()[0].broken
        zone.fault(handler)
        assert resolver.health(deadline_s=0.3)[0].state is State.NO_ANSWER
        assert outcome(resolver, SUBJECT["ip4"]) is Outcome.SKIPPED


def test_a_domain_list_without_a_test_entry_stays_in_use(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(NAME, ["domain"], test_points=False).list("example.net")
    with open_resolver(dnsbl_server, zone_of("domain")) as resolver:
        (health,) = resolver.health()
        assert (health.state, health.broken) == (State.UNPROVEN, False)
        assert outcome(resolver, "example.net") is Outcome.LISTED


def test_an_emptied_list_is_set_aside(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(NAME, test_points=False)
    with open_resolver(dnsbl_server, Zone(NAME)) as resolver:
        assert resolver.health()[0].state is State.EMPTY
        assert not resolver.check("198.51.100.1").complete


# ---- budget, bounds, errors ----


def test_test_entries_count_and_a_spent_budget_is_respected(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(NAME, ["ip4"])
    zone = Zone(NAME, subjects=frozenset({"ip4"}), daily_limit=3)
    with open_resolver(dnsbl_server, zone) as resolver:
        resolver.health()
        assert resolver.stats()["zones"][NAME]["budget"]["queries_today"] == 2
        resolver.check("198.51.100.1")
        (health,) = resolver.health()
        assert (health.state, health.broken, health.answers) == (State.UNTESTED, False, ())
        assert "00:00 UTC" in health.detail
    assert dnsbl_server.count() == 3


def test_the_check_ends_at_its_deadline(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(NAME).fault(silence())
    dnsbl_server.zone("slow.example.com").fault(delay(0.1))
    with open_resolver(dnsbl_server, Zone(NAME), Zone("slow.example.com")) as resolver:
        started = time.monotonic()
        silent, slow = resolver.health(deadline_s=0.5)
        assert time.monotonic() - started < 0.8
        assert silent.latency_ms is None
        assert slow.state is State.HEALTHY
        assert slow.latency_ms is not None
        assert 100 <= slow.latency_ms < 300


def test_wrong_use_is_an_error(dnsbl_server: DnsblServer) -> None:
    resolver = open_resolver(dnsbl_server, Zone(NAME))
    with pytest.raises(ZoneError, match=r"other\.example\.com is not among"):
        resolver.health(["other.example.com"])
    with pytest.raises(ConfigError, match="deadline_s"):
        resolver.health(deadline_s=0)
    resolver.close()
    with pytest.raises(ClosedError):
        resolver.health()


def test_closing_ends_a_check_at_once(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(NAME).fault(silence())
    resolver = open_resolver(dnsbl_server, Zone(NAME))
    timer = threading.Timer(0.2, resolver.close)
    timer.start()
    started = time.monotonic()
    (health,) = resolver.health(deadline_s=20.0)
    assert time.monotonic() - started < 2.0
    assert health.state is State.NO_ANSWER
    timer.join()


# ---- asyncio ----


def test_health_async_leaves_the_loop_free(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone(NAME).fault(delay(0.3))

    async def run() -> int:
        turns = 0
        async with open_resolver(dnsbl_server, Zone(NAME)) as resolver:
            check = asyncio.create_task(resolver.health_async())
            while not check.done():
                turns += 1
                await asyncio.sleep(0.01)
            assert (await check)[0].state is State.HEALTHY
        return turns

    assert asyncio.run(run()) >= 10


# ---- a real resolver in front of a real list ----


def test_a10_unbound_with_rebinding_protection_is_found_and_without_it_is_not() -> None:
    needs("rbldnsd", "unbound")
    zones = {
        "ip4.example": {"ip4set": ":2:listed\n127.0.0.2\n198.51.100.1"},
        "ip6.example": {"ip6trie": ":2:listed\n0:0:0:0:0:ffff:7f00:2/128\n2001:db8::1/128"},
        "domain.example": {"dnset": ":2:listed\ntest\nexample.net"},
    }
    asked = [zone_of(kind, f"{kind}.example") for kind in KINDS]
    stripping = "private-address: 127.0.0.0/8"
    excepted = "\n".join([stripping, *(f'private-domain: "{name}"' for name in zones)])
    with Rbldnsd(zones) as rbldnsd:
        stubs = dict.fromkeys(zones, rbldnsd.nameserver)
        for extra, state in ((stripping, State.STRIPPED), (excepted, State.HEALTHY), ("", State.HEALTHY)):
            with (
                Unbound(stubs, extra) as unbound,
                Resolver(zones=asked, nameservers=[unbound.nameserver]) as resolver,
            ):
                assert [health.state for health in resolver.health()] == [state] * 3
                for kind in KINDS:
                    verdict = resolver.check(SUBJECT[kind])
                    assert verdict.listed == verdict.complete == (state is State.HEALTHY)
