"""A zone that fails is set aside and taken back; a nameserver that fails is nobody's fault."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from support.lookups import answer_of, eventually, in_threads, outcomes, resolver_for, with_zones

from dnsbl import Outcome, Resolver, Zone
from dnsbl.testing import DnsblServer, Handler, delay, rcode, silence

FAULTS = {"silence": silence(), "SERVFAIL": rcode("SERVFAIL")}


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> Handler:
    return FAULTS[request.param]


@pytest.fixture
def first_wait_s(monkeypatch: pytest.MonkeyPatch) -> float:
    """In place of 30 s until the first probe."""
    monkeypatch.setattr("dnsbl.health.breaker.FIRST_WAIT_S", 0.6)
    return 0.6


def breaker_of(resolver: Resolver, zone: str) -> dict[str, Any]:
    found: dict[str, Any] = resolver.stats()["zones"][zone]["breaker"]
    return found


def dead_among_six(server: DnsblServer, fault: Handler) -> list[str]:
    names = with_zones(server, *(f"bl{number}.example" for number in range(5)), "dead.example")
    server.zone("dead.example").fault(fault)
    return list(names)


def open_breaker(resolver: Resolver, first: int = 0) -> None:
    for number in range(first, first + 3):
        assert not resolver.check(f"192.0.2.{number}").complete
    assert breaker_of(resolver, "dead.example")["state"] == "open"


def test_a_zone_that_fails_three_times_in_a_row_is_set_aside(
    dnsbl_server: DnsblServer, fault: Handler
) -> None:
    names = dead_among_six(dnsbl_server, fault)
    with resolver_for(dnsbl_server, *names, deadline_s=0.12) as resolver:
        assert breaker_of(resolver, "dead.example") == {
            "state": "closed", "failures": 0, "next_probe_s": None, "unhealthy": None,
        }  # fmt: skip
        open_breaker(resolver)
        asked = dnsbl_server.count("dead.example")
        verdict = resolver.check("192.0.2.100")
        assert outcomes(verdict) == [Outcome.NOT_LISTED] * 5 + [Outcome.SKIPPED]
        assert (verdict.listed, verdict.complete) == (False, False)
        assert "set aside" in answer_of(verdict, "dead.example").detail
        assert verdict.elapsed_s < 0.1  # nobody waits for it any more
        assert dnsbl_server.count("dead.example") == asked
        state = breaker_of(resolver, "dead.example")
        assert state["failures"] == 3
        assert 25 < state["next_probe_s"] <= 30
        assert [breaker_of(resolver, name)["state"] for name in names[:5]] == ["closed"] * 5


def test_failures_in_flight_together_count_once(dnsbl_server: DnsblServer, fault: Handler) -> None:
    names = dead_among_six(dnsbl_server, fault)

    async def main(resolver: Resolver) -> None:
        async with resolver:
            for failures in (1, 2):
                burst = (resolver.check_async(f"192.0.2.{failures * 100 + n}") for n in range(50))
                await asyncio.gather(*burst)
                assert breaker_of(resolver, "dead.example")["failures"] == failures

    asyncio.run(main(resolver_for(dnsbl_server, *names, deadline_s=0.3)))


def test_an_answer_between_failures_begins_the_count_anew(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, "shaky.example", "bl.example")
    with resolver_for(dnsbl_server, *names) as resolver:
        for number in range(12):
            if number % 3:
                dnsbl_server.zone("shaky.example").fault(
                    rcode("SERVFAIL"), times=3
                )  # a question is asked thrice
            resolver.check(f"192.0.2.{number}")
        assert breaker_of(resolver, "shaky.example") == {
            "state": "closed", "failures": 2, "next_probe_s": None, "unhealthy": None,
        }  # fmt: skip


@pytest.mark.parametrize("answer", ["REFUSED", "parked", "blocked"])
def test_an_answer_that_is_no_use_is_still_an_answer(dnsbl_server: DnsblServer, answer: str) -> None:
    names = with_zones(dnsbl_server, "odd.example", "bl.example")
    zone = dnsbl_server.zone("odd.example")
    if answer == "REFUSED":
        zone.fault(rcode("REFUSED"))
    else:
        zone.list("192.0.2.0/24", codes=["203.0.113.80" if answer == "parked" else "127.255.255.254"])
    with resolver_for(dnsbl_server, *names) as resolver:
        for number in range(6):
            resolver.check(f"192.0.2.{number}")
        assert breaker_of(resolver, "odd.example")["failures"] == 0


def test_only_a_queries_really_sent_count(dnsbl_server: DnsblServer) -> None:
    """Not cached failures, not TXT, not cancelled ones."""
    names = with_zones(dnsbl_server, "dead.example", "bl.example")
    dead = dnsbl_server.zone("dead.example")
    dead.list("198.51.100.0/24")
    dead.fault(rcode("SERVFAIL"), types="TXT")
    with resolver_for(dnsbl_server, *names, deadline_s=0.5) as resolver:
        for number in range(6):
            assert resolver.check(f"198.51.100.{number}").listed
        assert breaker_of(resolver, "dead.example")["failures"] == 0
        dead.heal()
        dead.fault(rcode("SERVFAIL"))
        for _ in range(10):
            assert outcomes(resolver.check("192.0.2.1"))[0] is Outcome.SERVFAIL
        assert breaker_of(resolver, "dead.example")["failures"] == 1
        dead.heal()
        resolver.check("192.0.2.9")
        dead.fault(delay(0.15))

        async def cancelled() -> None:
            for number in range(5):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await resolver.check_async(f"203.0.113.{number}")

        asyncio.run(cancelled())
        assert eventually(lambda: resolver.stats()["in_flight"] == 0, 10)
        assert breaker_of(resolver, "dead.example")["failures"] == 0


def test_one_probe_after_the_wait_and_back_in_use(
    dnsbl_server: DnsblServer, fault: Handler, first_wait_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    names = dead_among_six(dnsbl_server, fault)
    caplog.set_level(logging.INFO)
    with resolver_for(dnsbl_server, *names, deadline_s=0.12) as resolver:
        open_breaker(resolver)
        dnsbl_server.zone("dead.example").heal()
        dnsbl_server.zone("dead.example").fault(delay(0.06))
        asked = dnsbl_server.count("dead.example")
        time.sleep(first_wait_s)
        verdicts = in_threads(50, lambda number: resolver.check(f"198.51.100.{number}"))
        assert all(outcomes(verdict)[5] is Outcome.SKIPPED for verdict in verdicts)
        assert dnsbl_server.count("dead.example") == asked + 1
        assert eventually(lambda: breaker_of(resolver, "dead.example")["state"] == "closed")
        dnsbl_server.zone("dead.example").heal()
        verdict = resolver.check("203.0.113.1")
        assert outcomes(verdict) == [Outcome.NOT_LISTED] * 6
        assert verdict.complete
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "dead.example: set aside after 3 failures in a row; next probe in 1 s",
        "dead.example: answers again after 1 s",
    ]
    assert {record.name for record in caplog.records} == {"dnsbl.breaker"}


def test_a_failed_probe_doubles_the_wait(
    dnsbl_server: DnsblServer, first_wait_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    names = dead_among_six(dnsbl_server, rcode("SERVFAIL"))
    caplog.set_level(logging.INFO)
    with resolver_for(dnsbl_server, *names, deadline_s=0.12) as resolver:
        open_breaker(resolver)
        asked = dnsbl_server.count("dead.example")
        time.sleep(first_wait_s)
        for number in range(5):
            resolver.check(f"198.51.100.{number}")
            assert eventually(lambda: breaker_of(resolver, "dead.example")["state"] == "open", 10)
        assert dnsbl_server.count("dead.example") == asked + 1
        state = breaker_of(resolver, "dead.example")
        assert state["state"] == "open"
        assert first_wait_s < state["next_probe_s"] <= 2 * first_wait_s
    assert len(caplog.records) == 2  # one line per change, not per lookup


def test_the_waits_are_30_s_doubling_to_15_minutes() -> None:
    from dnsbl.health import breaker

    assert (breaker.FIRST_WAIT_S, breaker.MAX_WAIT_S) == (30.0, 900.0)


def test_a_nameserver_that_fails_opens_no_breaker(dnsbl_server: DnsblServer, fault: Handler) -> None:
    names = with_zones(dnsbl_server, *(f"bl{number}.example" for number in range(6)))
    with resolver_for(dnsbl_server, *names, deadline_s=0.15) as resolver:
        assert resolver.check("192.0.2.1").complete
        dnsbl_server.fault(fault)
        for number in range(8):
            assert not resolver.check(f"198.51.100.{number}").complete
        assert {breaker_of(resolver, name)["state"] for name in names} == {"closed"}
        dnsbl_server.heal()
        for number in range(8):
            assert resolver.check(f"198.51.100.{number}").complete
        assert {breaker_of(resolver, name)["failures"] for name in names} == {0}


def test_a_dead_nameserver_of_one_zone_says_nothing_of_the_others(dnsbl_server: DnsblServer) -> None:
    """Each set of nameservers is judged by itself: nobody else answers through the dead one."""
    dnsbl_server.zone("bl.example")
    with DnsblServer(zones=["own.example"]) as other:
        own = Zone("own.example", nameservers=(other.nameserver,))
        with resolver_for(dnsbl_server, own, "bl.example", deadline_s=0.15) as resolver:
            other.fault(silence())
            for number in range(5):
                verdict = resolver.check(f"192.0.2.{number}")
                assert outcomes(verdict) == [Outcome.TIMEOUT, Outcome.NOT_LISTED]
            assert breaker_of(resolver, "own.example")["state"] == "closed"
            other.heal()
            assert resolver.check("192.0.2.0").complete


def test_a_list_that_always_answers_too_late_is_set_aside(dnsbl_server: DnsblServer) -> None:
    names = dead_among_six(dnsbl_server, delay(0.25))
    with resolver_for(dnsbl_server, *names, deadline_s=0.15) as resolver:
        for number in range(5):
            resolver.check(f"192.0.2.{number}")
            time.sleep(0.15)
        assert breaker_of(resolver, "dead.example")["state"] == "open"


def test_what_the_cache_holds_of_a_zone_set_aside_still_counts(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, "bl.example", "dead.example")
    dnsbl_server.zone("dead.example").list("203.0.113.9", txt="why")
    with resolver_for(dnsbl_server, *names, deadline_s=0.12, reasons=False) as resolver:
        assert resolver.check("203.0.113.9").listed
        dnsbl_server.zone("dead.example").fault(silence())
        open_breaker(resolver)
        asked = dnsbl_server.count("dead.example")
        verdict = resolver.check("203.0.113.9")
        assert (verdict.listed, verdict.complete) == (True, True)
        assert dnsbl_server.count("dead.example") == asked


def test_no_reason_is_asked_of_a_zone_set_aside(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, "bl.example", "dead.example")
    zone = dnsbl_server.zone("dead.example")
    zone.list("203.0.113.9")  # without a reason, which is held as long as the SOA says
    zone.negative(ttl=0)
    with resolver_for(dnsbl_server, *names, deadline_s=0.12) as resolver:
        assert resolver.check("203.0.113.9").listed
        zone.fault(silence())
        open_breaker(resolver)
        asked = dnsbl_server.count("dead.example")
        verdict = resolver.check("203.0.113.9")
        assert verdict.listed
        assert verdict.elapsed_s < 0.1
        assert dnsbl_server.count("dead.example") == asked


def test_under_decide_a_zone_set_aside_is_not_waited_for(dnsbl_server: DnsblServer) -> None:
    names = dead_among_six(dnsbl_server, silence())
    with resolver_for(dnsbl_server, *names, deadline_s=0.12) as resolver:
        open_breaker(resolver)
        verdict = resolver.check("192.0.2.100", decide={"reject": 1})
        assert (verdict.pending, verdict.complete) == ((), False)
        assert verdict.elapsed_s < 0.1


def test_a_daily_limit_is_kept_and_said(dnsbl_server: DnsblServer, caplog: pytest.LogCaptureFixture) -> None:
    names = with_zones(dnsbl_server, "bl.example", "free.example")
    dnsbl_server.zone("free.example").list("192.0.2.0/28", txt="why", ttl=0)
    free = Zone("free.example", daily_limit=10)
    with resolver_for(dnsbl_server, names[0], free) as resolver:
        for number in range(12):
            resolver.check(f"192.0.2.{number}")
        budget = resolver.stats()["zones"]["free.example"]["budget"]
        assert budget == {"queries_today": 10, "daily_limit": 10, "state": "spent"}
        verdict = resolver.check("192.0.2.13")
        assert answer_of(verdict, "free.example").outcome is Outcome.SKIPPED
        assert not verdict.complete
    assert dnsbl_server.count("free.example") == 10  # TXT among them
    assert len(caplog.records) == 2  # at 80 % and at the limit
