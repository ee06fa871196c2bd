"""Whatever nameservers and lists do, a lookup ends by its deadline with what it has, never wrongly listed."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from support.lookups import answer_of, check_on_time, eventually, outcomes, resolver_for, timed, with_zones
from support.servers import HAS_IP6, report_missing

from dnsbl import Outcome, Resolver, Verdict, Zone
from dnsbl.testing import (
    DnsblServer,
    Query,
    Reply,
    delay,
    garbage,
    hang_up,
    no_edns,
    pieces,
    rcode,
    silence,
    stripped,
    truncated,
    wildcard,
)

SUBJECTS = ["192.0.2.99", "2001:db8::99"]
DEAD = ["refused", "silent"]


@contextmanager
def dead_server(kind: str, host: str = "127.0.0.1") -> Iterator[str]:
    """A nameserver that never answers: nobody listens there, or somebody who never reads."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp, socket.socket(family) as tcp:
        udp.bind((host, 0))
        port = udp.getsockname()[1]
        with suppress(OSError):
            tcp.bind((host, port))
        if kind == "refused":
            udp.close()
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# ---- dead nameservers ----


@pytest.mark.parametrize("kind", DEAD)
@pytest.mark.parametrize(
    ("host", "way"),
    [("127.0.0.1", "check"), ("127.0.0.1", "check_async"), ("127.0.0.1", "check_many"), ("::1", "check")],
)
def test_g1_the_second_lookup_after_a_dead_first_ends_too(kind: str, host: str, way: str) -> None:
    if ":" in host and not HAS_IP6:
        report_missing("IPv6 on loopback")

    def look_up(resolver: Resolver, subject: str) -> Any:
        if way == "check":
            return resolver.check(subject)
        if way == "check_async":
            return asyncio.run(resolver.check_async(subject))
        return next(resolver.check_many([subject]))

    with dead_server(kind, host) as nameserver:
        resolver = Resolver(["bl.example"], [nameserver], deadline_s=0.15)
        look_up(
            resolver, "192.0.2.9"
        )  # the first one starts the engine, which a machine under load is slow at
        took_s = []
        for number in range(2):
            verdict = look_up(resolver, f"192.0.2.{number}")
            assert outcomes(verdict) == [Outcome.TIMEOUT]
            assert (verdict.listed, verdict.complete) == (False, False)
            took_s.append(verdict.elapsed_s)
        _, close_s = timed(resolver.close)
        check_on_time(took_s, 0.15)
        assert close_s < 0.5


def test_g2_a_silent_server_and_20_zones_end_by_the_deadline_not_by_tries(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, *(f"bl{number}.example" for number in range(20)))
    dnsbl_server.fault(silence())
    with resolver_for(dnsbl_server, *names, timeout_s=0.1, deadline_s=0.25) as resolver:
        verdicts = [resolver.check(f"192.0.2.{number}") for number in range(2)]
        assert all(outcomes(verdict) == [Outcome.TIMEOUT] * 20 for verdict in verdicts)
        check_on_time([verdict.elapsed_s for verdict in verdicts], 0.25)


@pytest.mark.parametrize("kind", DEAD)
def test_all_of_several_servers_dead(kind: str) -> None:
    with dead_server(kind) as one, dead_server("silent") as two, dead_server(kind) as three:
        with Resolver(
            ["a.example", "b.example"], [one, two, three], deadline_s=0.2, timeout_s=0.05
        ) as resolver:
            verdicts = [resolver.check(subject) for subject in SUBJECTS]
        assert all(outcomes(verdict) == [Outcome.TIMEOUT] * 2 for verdict in verdicts)
        check_on_time([verdict.elapsed_s for verdict in verdicts], 0.2)


def test_refused_connections_do_not_spin() -> None:
    with dead_server("refused") as one, dead_server("refused") as two:
        names = [f"bl{number}.example" for number in range(6)]
        with Resolver(names, [one, two], deadline_s=0.6) as resolver:
            resolver.check("192.0.2.1", deadline_s=0.1)  # the engine starts
            before_s = time.process_time()
            resolver.check("192.0.2.2")
            assert time.process_time() - before_s < 0.1


def test_a_server_that_hangs_up_is_not_asked_without_end(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    dnsbl_server.fault(truncated())
    dnsbl_server.fault(hang_up())
    with resolver_for(dnsbl_server, "bl.example", deadline_s=0.6) as resolver:
        verdict = resolver.check("192.0.2.1")
        assert outcomes(verdict) == [Outcome.TIMEOUT]
    assert dnsbl_server.count() <= 20


@pytest.mark.parametrize("kind", ["random", "id", "question", "half", "empty"])
@pytest.mark.parametrize("over", ["udp", "tcp"])
def test_garbage_neither_lists_nor_holds_up_nor_spins(
    dnsbl_server: DnsblServer, kind: str, over: str
) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.0/24")
    if over == "tcp":
        dnsbl_server.fault(truncated())
    dnsbl_server.fault(garbage(kind), transport=over)  # type: ignore[arg-type]
    with resolver_for(dnsbl_server, "bl.example", deadline_s=0.15, timeout_s=0.07) as resolver:
        for subject in ("192.0.2.1", "192.0.2.2"):
            verdict, took_s = timed(lambda subject=subject: resolver.check(subject))
            assert outcomes(verdict)[0] in (Outcome.INVALID, Outcome.TIMEOUT)
            assert (verdict.listed, verdict.complete) == (False, False)
            assert took_s < 1.0
    assert dnsbl_server.count() <= 60


@pytest.mark.parametrize("kind", ["random", "id", "question", "half", "empty"])
def test_garbage_once_is_got_over(dnsbl_server: DnsblServer, kind: str) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    dnsbl_server.zone("bl.example").fault(garbage(kind), times=1)  # type: ignore[arg-type]
    with resolver_for(dnsbl_server, "bl.example", timeout_s=0.2, reasons=False) as resolver:
        assert resolver.check("192.0.2.99").listed


def test_garbage_for_one_zone_does_not_cost_the_others_their_answers(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, *(f"bl{number}.example" for number in range(6)))
    dnsbl_server.zone("bl2.example").fault(garbage("half"))
    with resolver_for(dnsbl_server, *names, timeout_s=0.3) as resolver:
        for number in range(5):
            verdict = resolver.check(f"192.0.2.{number}")
            others = [answer.outcome for answer in verdict.answers if answer.zone != "bl2.example"]
            assert others == [Outcome.NOT_LISTED] * 5


# ---- slow answers ----


def test_answers_one_by_one_up_to_the_deadline(dnsbl_server: DnsblServer) -> None:
    for number in range(6):
        zone = dnsbl_server.zone(f"bl{number}.example")
        zone.list("192.0.2.99")
        zone.fault(delay(0.1 * number + 0.05))
    names = [f"bl{number}.example" for number in range(6)]
    with resolver_for(dnsbl_server, *names, deadline_s=0.4, reasons=False) as resolver:
        verdict = resolver.check("192.0.2.99")
        assert outcomes(verdict) == [Outcome.LISTED] * 4 + [Outcome.TIMEOUT] * 2
        assert (verdict.listed, verdict.complete, verdict.score) == (True, False, 4)
        check_on_time([verdict.elapsed_s], 0.4)


def test_an_answer_at_nine_tenths_of_the_deadline_counts_after_thousands_of_fast_ones(
    dnsbl_server: DnsblServer,
) -> None:
    names = with_zones(dnsbl_server, "quick.example", "slow.example")
    dnsbl_server.zone("slow.example").list("203.0.113.0/24")
    with resolver_for(dnsbl_server, *names, deadline_s=1.0, reasons=False) as resolver:
        fast = (f"198.51.{number // 256}.{number % 256}" for number in range(2500))
        for verdict in resolver.check_many(fast, deadline_s=20):
            assert verdict.complete  # type: ignore[union-attr]
        dnsbl_server.zone("slow.example").fault(delay(0.9))
        for number in range(2):
            verdict = resolver.check(f"203.0.113.{number}")
            assert outcomes(verdict) == [Outcome.NOT_LISTED, Outcome.LISTED]


@pytest.mark.parametrize("timeout_s", [0.1, 5.0])
def test_the_answer_to_any_try_counts(dnsbl_server: DnsblServer, timeout_s: float) -> None:
    """Also the first one's, long after the next was sent."""
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.99")
    first = True

    def only_the_first_and_late(query: Query, answer: object) -> Reply | None:
        nonlocal first
        was_first, first = first, False
        return answer()._replace(delay_s=0.55) if was_first else None  # type: ignore[operator]

    zone.fault(only_the_first_and_late)
    with resolver_for(
        dnsbl_server, "bl.example", deadline_s=0.8, timeout_s=timeout_s, reasons=False
    ) as resolver:
        assert resolver.check("192.0.2.99").listed


def test_a_lost_query_is_asked_again(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    dnsbl_server.zone("bl.example").fault(silence(), times=3)
    with resolver_for(dnsbl_server, "bl.example", timeout_s=0.1, reasons=False) as resolver:
        verdict = resolver.check("192.0.2.99")
        assert verdict.listed
        assert 0.25 < verdict.elapsed_s < 0.8
    assert dnsbl_server.count() == 4


@pytest.mark.parametrize("tries", [1, 2, 3])
def test_tries_bound_the_queries_and_the_deadline_still_holds(dnsbl_server: DnsblServer, tries: int) -> None:
    dnsbl_server.zone("bl.example").fault(silence())
    with resolver_for(dnsbl_server, "bl.example", timeout_s=0.05, tries=tries, deadline_s=0.2) as resolver:
        verdict = resolver.check("192.0.2.99")
        assert outcomes(verdict) == [Outcome.TIMEOUT]
        check_on_time([verdict.elapsed_s], 0.2)
    assert dnsbl_server.count() == tries


def test_asking_goes_on_until_the_deadline(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").fault(silence())
    with resolver_for(dnsbl_server, "bl.example", timeout_s=0.1, deadline_s=0.45) as resolver:
        resolver.check("192.0.2.99")
        time.sleep(0.15)
        assert 4 <= dnsbl_server.count() <= 5


# ---- a server that dies, and comes back ----


def test_a_server_that_dies_in_mid_run(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.zone("a.example").list("198.51.0.0/17")

    async def main(resolver: Resolver) -> list[Verdict]:
        async with resolver:
            found = []
            for start in range(0, 2000, 100):
                if start == 1000:
                    await asyncio.to_thread(dnsbl_server.stop)
                found += await asyncio.gather(
                    *(
                        resolver.check_async(f"198.51.{n // 8 % 256}.{n % 256}")
                        for n in range(start, start + 100)
                    )
                )
                if start > 1100:
                    break
            return found

    verdicts = asyncio.run(main(resolver_for(dnsbl_server, *names, deadline_s=0.8, reasons=False)))
    assert all(verdict.complete for verdict in verdicts[:1000])
    assert all(outcomes(verdict) == [Outcome.TIMEOUT] * 2 for verdict in verdicts[1000:])
    for verdict in verdicts:
        assert verdict.listed == (verdict.complete and int(verdict.subject.split(".")[2]) < 128)
    check_on_time([verdict.elapsed_s for verdict in verdicts[1000:]], 0.8)


def test_verdicts_are_right_again_within_2_s_of_a_servers_return(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, "a.example", "b.example", "c.example")
    dnsbl_server.zone("b.example").list("192.0.2.0/24")
    with resolver_for(dnsbl_server, *names, deadline_s=0.3, reasons=False) as resolver:
        assert resolver.check("192.0.2.1").complete
        dnsbl_server.stop()
        numbers = iter(range(2, 250))
        end_s = time.monotonic() + 1.2
        while time.monotonic() < end_s:
            assert not resolver.check(f"192.0.2.{next(numbers)}").complete
        zones = resolver.stats()["zones"]
        assert [zones[name]["breaker"]["state"] for name in names] == ["closed"] * 3
        dnsbl_server.start()
        back_s = time.monotonic()
        while not resolver.check(f"192.0.2.{next(numbers)}").complete:
            assert time.monotonic() - back_s < 2
        verdict = resolver.check("192.0.2.2")  # asked while it was away: not held against anyone
        assert outcomes(verdict) == [Outcome.NOT_LISTED, Outcome.LISTED, Outcome.NOT_LISTED]
        assert time.monotonic() - back_s < 2


def test_a_server_that_dies_between_two_answers_is_forgiven_within_2_s_of_its_return(
    dnsbl_server: DnsblServer,
) -> None:
    """One list had answered, so that the other's silence looks like its own."""
    names = with_zones(dnsbl_server, "quick.example", "slow.example")
    dnsbl_server.zone("slow.example").fault(delay(0.2))
    with resolver_for(dnsbl_server, *names, deadline_s=0.5) as resolver:
        death = threading.Timer(0.1, dnsbl_server.stop)
        death.start()
        verdict = resolver.check("192.0.2.1")
        death.join()
        assert outcomes(verdict) == [Outcome.NOT_LISTED, Outcome.TIMEOUT]
        dnsbl_server.start()
        back_s = time.monotonic()
        assert eventually(lambda: resolver.check("192.0.2.1").complete, 4)
        assert time.monotonic() - back_s < 2.3  # the last lookup's own time


def test_a_lookup_in_flight_when_the_server_returns_is_answered(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    with resolver_for(dnsbl_server, "bl.example", deadline_s=3, reasons=False) as resolver:
        dnsbl_server.stop()
        back = threading.Timer(0.6, dnsbl_server.start)
        back.start()
        verdict = resolver.check("192.0.2.99")
        back.join()
        assert verdict.listed
        assert verdict.elapsed_s < 2


# ---- several nameservers ----


@pytest.mark.parametrize("kind", [*DEAD, "SERVFAIL", "REFUSED"])
def test_g3_failover_and_back_again(kind: str) -> None:
    """Whichever of two lives, every lookup is answered, and only the first after a death takes longer."""
    with DnsblServer(zones=["bl.example"]) as one, DnsblServer(zones=["bl.example"]) as two:
        for server in (one, two):
            server.zone("bl.example").list("192.0.2.0/24")

        def die(server: DnsblServer) -> None:
            if kind == "refused":
                server.stop()
            else:
                server.fault(silence() if kind == "silent" else rcode(kind))

        def revive(server: DnsblServer) -> None:
            if kind == "refused":
                server.start()
            server.heal()

        nameservers = [one.nameserver, two.nameserver]
        with Resolver(["bl.example"], nameservers, deadline_s=2, timeout_s=0.2, reasons=False) as resolver:
            number = 0
            for dead, alive in ((one, two), (two, one), (one, two)):
                die(dead)
                took_s = []
                for _ in range(8):
                    number += 1
                    verdict = resolver.check(f"192.0.2.{number}")
                    assert verdict.listed
                    assert verdict.answers[0].evidence.nameserver == alive.nameserver
                    took_s.append(verdict.elapsed_s)
                assert sorted(took_s)[4] < 0.1
                assert max(took_s) < 1
                revive(dead)
            # The first is preferred, and is used again soon after its return.
            assert eventually(lambda: resolver.check(f"198.51.100.{one.count()}").answers and one.count() > 0)
            one.clear()

            def preferred() -> bool:
                nonlocal number
                number += 1
                verdict = resolver.check(f"203.0.113.{number % 250}")
                return verdict.answers[0].evidence.nameserver == one.nameserver

            assert eventually(preferred, 3)


def test_every_server_refuses_is_told_as_what_it_is() -> None:
    with DnsblServer(zones=["bl.example"]) as one, DnsblServer(zones=["bl.example"]) as two:
        one.fault(rcode("REFUSED"))
        two.fault(rcode("REFUSED"))
        with Resolver(["bl.example"], [one.nameserver, two.nameserver], deadline_s=2) as resolver:
            verdict = resolver.check("192.0.2.1")
            assert outcomes(verdict) == [Outcome.BLOCKED]
            assert verdict.elapsed_s < 1
        assert (one.count(), two.count()) == (1, 1)


# ---- EDNS and TCP ----


@pytest.mark.parametrize("subject", SUBJECTS)
def test_g4_nothing_is_asked_with_edns(dnsbl_server: DnsblServer, subject: str) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list(subject, txt="why")
    dnsbl_server.fault(no_edns())
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        verdict = resolver.check(subject)
        assert (verdict.listed, verdict.listings[0].reason) == (True, "why")
        assert verdict.elapsed_s < 0.5
        resolver.check("192.0.2.1")
    assert not any(query.had_opt for query in dnsbl_server.queries)


def test_formerr_that_is_not_about_edns_is_a_failure_not_a_no(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").fault(rcode("FORMERR"))
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        verdict = resolver.check("192.0.2.1")
        assert (outcomes(verdict), verdict.complete) == ([Outcome.SERVFAIL], False)


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize(("size_bytes", "close"), [(1, True), (1, False), (3, True), (1000, True)])
def test_g9_tcp_on_truncation_to_the_servers_own_port_in_pieces(
    dnsbl_server: DnsblServer, subject: str, size_bytes: int, close: bool
) -> None:
    dnsbl_server.zone("bl.example").list(subject, codes=["127.0.0.2"], txt="why " * 70)
    dnsbl_server.fault(truncated())
    dnsbl_server.fault(pieces(size_bytes, 0.0, close=close), transport="tcp")
    with resolver_for(dnsbl_server, "bl.example", reason_timeout_s=2) as resolver:
        verdict = resolver.check(subject)
        assert [answer.codes for answer in verdict.listings] == [("127.0.0.2",)]
        assert (verdict.listings[0].reason or "").startswith("why why")
    assert {query.transport for query in dnsbl_server.queries} == {"udp", "tcp"}


def test_an_answer_too_long_for_udp_is_fetched_over_tcp(dnsbl_server: DnsblServer) -> None:
    codes = [f"127.0.{number // 250}.{number % 250 + 2}" for number in range(400)]
    dnsbl_server.zone("bl.example").list("192.0.2.99", codes=codes)
    with resolver_for(dnsbl_server, "bl.example", reasons=False) as resolver:
        verdict = resolver.check("192.0.2.99")
        assert verdict.listed
        assert set(verdict.listings[0].codes) <= set(codes)
        assert "tcp" in {query.transport for query in dnsbl_server.queries}


def test_a_tcp_connection_that_closes_without_an_answer_is_asked_again(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    dnsbl_server.fault(truncated())
    dnsbl_server.fault(hang_up(), times=1, transport="tcp")
    with resolver_for(dnsbl_server, "bl.example", reasons=False) as resolver:
        assert resolver.check("192.0.2.99").listed


def test_tcp_that_never_answers_ends_at_the_deadline(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, "a.example", "b.example")
    dnsbl_server.zone("a.example").fault(truncated())
    dnsbl_server.zone("a.example").fault(silence(), transport="tcp")
    with resolver_for(dnsbl_server, *names, deadline_s=0.3) as resolver:
        verdicts = [resolver.check(f"192.0.2.{number}") for number in range(2)]
        assert all(outcomes(verdict) == [Outcome.TIMEOUT, Outcome.NOT_LISTED] for verdict in verdicts)
        check_on_time([verdict.elapsed_s for verdict in verdicts], 0.3)


# ---- answers that mislead ----


def test_a2_a_hijacked_nxdomain_is_no_listing(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").fault(wildcard("203.0.113.7"))
    dnsbl_server.zone("mix.example").fault(wildcard("127.0.0.2", "192.0.2.143"))
    with resolver_for(dnsbl_server, "bl.example", "mix.example") as resolver:
        for subject in SUBJECTS:
            verdict = resolver.check(subject)
            assert outcomes(verdict) == [Outcome.INVALID] * 2
            assert (verdict.listed, verdict.complete) == (False, False)
            assert answer_of(verdict, "mix.example").codes == ("127.0.0.2", "192.0.2.143")  # for the operator
    assert dnsbl_server.count(type="TXT") == 0


def test_a_stripped_answer_is_not_listed(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    dnsbl_server.zone("bl.example").fault(stripped())
    with resolver_for(dnsbl_server, "bl.example") as resolver:
        verdict = resolver.check("192.0.2.99")
        assert (outcomes(verdict), verdict.complete) == ([Outcome.NOT_LISTED], True)


def test_a_burst_to_a_slow_server_loses_nothing(dnsbl_server: DnsblServer) -> None:
    names = with_zones(dnsbl_server, *(f"bl{number}.example" for number in range(6)))
    dnsbl_server.zone("bl5.example").fault(delay(0.2))

    async def main() -> list[Verdict]:
        async with resolver_for(dnsbl_server, *names, deadline_s=5) as resolver:
            return await asyncio.gather(*(resolver.check_async(f"198.51.100.{n}") for n in range(250)))

    verdicts = asyncio.run(main())
    assert all(verdict.complete for verdict in verdicts)
    assert dnsbl_server.count() < 2500  # a slow machine asks some again after a quarter of a second


@pytest.mark.parametrize("latency_s", [0.2])
def test_a_thousand_lookups_at_once_through_a_nameserver_that_is_far_away(
    dnsbl_server: DnsblServer, latency_s: float
) -> None:
    """Queries are paced, so as not to overrun a socket, but not by how long their answers take."""
    names = with_zones(dnsbl_server, *(f"bl{number}.example" for number in range(6)))
    dnsbl_server.fault(delay(latency_s))

    async def main() -> list[Verdict]:
        async with resolver_for(dnsbl_server, *names, deadline_s=3) as resolver:
            subjects = (f"198.51.{n // 250}.{n % 250}" for n in range(1000))
            return await asyncio.gather(*map(resolver.check_async, subjects))

    assert sum(verdict.complete for verdict in asyncio.run(main())) >= 995  # a busy machine may lose a packet


def test_a_zone_behind_a_dead_nameserver_of_its_own_does_not_hold_up_the_rest(
    dnsbl_server: DnsblServer,
) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.0/24")
    with dead_server("silent") as dead:
        own = Zone("own.example", nameservers=(dead,))
        with resolver_for(dnsbl_server, own, "bl.example", deadline_s=0.3, reasons=False) as resolver:
            verdict = resolver.check("192.0.2.1")
            assert outcomes(verdict) == [Outcome.TIMEOUT, Outcome.LISTED]
            check_on_time([verdict.elapsed_s], 0.3)
            early = resolver.check("192.0.2.2", decide={"reject": 1}, deadline_s=5)
            assert early.listed
            assert early.elapsed_s < 0.5
