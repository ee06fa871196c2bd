"""When nothing comes, or late: deadlines, attempts, and the change to another nameserver and back."""

from __future__ import annotations

import random
import socket
import time
from itertools import pairwise

import pytest
from support.asking import ADDRESS, KEY, answer_from, eventually, look_up, plan_for, wait_done, wire_of

from dnsbl.engine._engine import Completions, Engine
from dnsbl.model import Status
from dnsbl.testing import DnsblServer, delay, silence

LATE_S = 0.3
"""How much later than it should a busy machine may be."""


# ---- deadlines ----


@pytest.mark.parametrize("deadline_s", [0.0, 0.05, 0.3])
def test_silence_ends_at_the_deadline(engine: Engine, dnsbl_server: DnsblServer, deadline_s: float) -> None:
    zones = [f"z{i}.example" for i in range(20)]
    for zone in zones:
        dnsbl_server.zone(zone)
    dnsbl_server.fault(silence())
    plan = plan_for(engine, [dnsbl_server.nameserver], zones)
    began_s = time.monotonic()
    fan = look_up(engine, plan, deadline_s=deadline_s)
    took_s = time.monotonic() - began_s
    assert deadline_s - 0.001 <= took_s < deadline_s + LATE_S
    # With no time at all nothing is sent, and that is told.
    assert {answer.status for answer in fan.answers().values()} == (
        {Status.UNSENT} if deadline_s == 0 else set()
    )
    assert len(fan.open_indices) == (20 if deadline_s else 0)


def test_what_has_come_by_the_deadline_counts(engine: Engine, dnsbl_server: DnsblServer) -> None:
    for name in ("fast.example", "slow.example"):
        dnsbl_server.zone(name).list(ADDRESS)
    dnsbl_server.zone("slow.example").fault(delay(2))
    fan = look_up(
        engine, plan_for(engine, [dnsbl_server.nameserver], ["slow.example", "fast.example"]), deadline_s=0.2
    )
    assert set(fan.answers()) == {1}
    assert fan.open_indices == (0,)


def test_deadlines_at_any_distance_from_the_next_try(engine: Engine, dnsbl_server: DnsblServer) -> None:
    """A try due just before the deadline, reached just after it, once kept the thread busy for ever."""
    dnsbl_server.zone("bl.example").fault(silence())
    plan = plan_for(engine, [dnsbl_server.nameserver], timeout_s=0.05)
    completions = Completions()
    choose = random.Random(1)
    tickets = [
        engine.submit(
            engine.fan(plan, bytes([192, 0, 2, i]), [0]), completions, 0.1 + choose.random() * 0.004
        )
        for i in range(100)
    ]
    began_s = time.monotonic()
    for ticket in tickets:
        wait_done(completions, ticket)
    assert time.monotonic() - began_s < 0.11 + LATE_S


def test_two_lookups_of_a_dead_port_one_after_the_other(engine: Engine) -> None:
    """c-ares' own event thread never finished the second (case G1)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    for _ in range(2):
        began_s = time.monotonic()
        fan = look_up(engine, plan_for(engine, [f"127.0.0.1:{port}"]), deadline_s=0.4)
        assert fan.answers() == {}
        assert 0.399 <= time.monotonic() - began_s < 0.4 + LATE_S


# ---- attempts ----


@pytest.mark.parametrize(("attempts", "least", "most"), [(1, 1, 1), (2, 2, 2), (0, 3, 5)])
def test_attempts(engine: Engine, dnsbl_server: DnsblServer, attempts: int, least: int, most: int) -> None:
    dnsbl_server.zone("bl.example").fault(silence())
    plan = plan_for(engine, [dnsbl_server.nameserver], timeout_s=0.1)
    look_up(engine, plan, deadline_s=0.45, attempts=attempts)
    assert least <= dnsbl_server.count() <= most
    times_s = [query.time_s for query in dnsbl_server.queries]
    assert all(later - earlier > 0.05 for earlier, later in pairwise(times_s))
    assert len({query.wire[:2] for query in dnsbl_server.queries}) == len(times_s), "ids are not new"


def test_an_answer_to_the_first_of_several_attempts_counts(engine: Engine, dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list(ADDRESS)
    zone.fault(lambda query, answer: answer()._replace(delay_s=0.5) if dnsbl_server.count() == 1 else None)
    answer = answer_from(engine, [dnsbl_server.nameserver], timeout_s=0.2, deadline_s=0.9)
    assert answer.status == Status.OK
    assert 500_000 <= answer.latency_us < 500_000 + LATE_S * 1e6


def test_refused_connections_do_not_spin(engine: Engine, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list(ADDRESS)
    dnsbl_server.stop()
    completions = Completions()
    fan = engine.fan(plan_for(engine, [dnsbl_server.nameserver]), KEY, [0])
    cpu_s = time.process_time()
    ticket = engine.submit(fan, completions, 10.0)
    assert completions.wait(0.8) == []
    assert time.process_time() - cpu_s < 0.2
    dnsbl_server.start()
    began_s = time.monotonic()
    wait_done(completions, ticket)
    assert time.monotonic() - began_s < 0.25 + LATE_S
    assert fan.answers()[0].status == Status.OK
    assert dnsbl_server.count() == 1


def test_slow_answers_count_after_thousands_of_fast_ones(engine: Engine, dnsbl_server: DnsblServer) -> None:
    """c-ares alone would end a try after five times the mean latency and drop its answer."""
    zone = dnsbl_server.zone("bl.example")
    zone.list(ADDRESS)
    plan = plan_for(engine, [dnsbl_server.nameserver])
    completions = Completions()
    for block in range(12):
        tickets = [
            engine.submit(engine.fan(plan, bytes([10, block, 0, i]), [0]), completions, 5.0)
            for i in range(250)
        ]
        for ticket in tickets:
            wait_done(completions, ticket)
        assert all(ticket.fan.answers()[0].status == Status.NXDOMAIN for ticket in tickets)
    engine.retired()
    zone.fault(delay(0.9))
    answer = answer_from(engine, [dnsbl_server.nameserver], deadline_s=1.0)
    assert wire_of(answer) == (Status.OK, 0, (0x7F000002,))
    assert answer.latency_us >= 900_000


# ---- after the deadline ----


def test_late_answers_are_reported(engine: Engine, dnsbl_server: DnsblServer) -> None:
    for name, delay_s in (("a.example", 0.3), ("b.example", 0.5)):
        dnsbl_server.zone(name).list(ADDRESS)
        dnsbl_server.zone(name).fault(delay(delay_s))
    completions = Completions()
    plan = plan_for(engine, [dnsbl_server.nameserver], ["a.example", "b.example"])
    fan = engine.fan(plan, KEY, range(2), tag="mine")
    ticket = engine.submit(fan, completions, 0.1)
    wait_done(completions, ticket)
    assert fan.answers() == {}
    assert (engine.has_retired, engine.in_flight) == (False, 1)
    while len(fan.answers()) < 2:
        assert eventually(lambda: engine.has_retired)
        for late in engine.retired():
            assert (late, late.tag) == (fan, "mine")
    assert (fan.finished, engine.in_flight, engine.has_retired) == (True, 0, False)
    assert completions.wait(0) == []


def test_listening_ends(engine: Engine, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").fault(silence())
    completions = Completions()
    fan = engine.fan(plan_for(engine, [dnsbl_server.nameserver]), KEY, [0])
    began_s = time.monotonic()
    wait_done(completions, engine.submit(fan, completions, 0.1, 0.2))
    assert fan.answers() == {}
    assert eventually(lambda: fan.finished)
    assert time.monotonic() - began_s >= 0.3
    assert wire_of(fan.answers()[0]) == (Status.TIMEOUT, -1, ())
    assert fan.answers()[0].server == -1
    assert eventually(lambda: engine.retired() == [fan])


def test_a_forgotten_ticket_is_not_told_and_its_answer_not_lost(
    engine: Engine, dnsbl_server: DnsblServer
) -> None:
    dnsbl_server.zone("bl.example").list(ADDRESS)
    dnsbl_server.zone("bl.example").fault(delay(0.1))
    completions = Completions()
    fan = engine.fan(plan_for(engine, [dnsbl_server.nameserver]), KEY, [0])
    completions.forget(engine.submit(fan, completions, 5.0))
    assert eventually(lambda: engine.has_retired)
    assert engine.retired() == [fan]
    assert fan.answers()[0].status == Status.OK
    assert completions.wait(0) == []


def test_joining_what_has_finished_leaves_nothing_behind(engine: Engine, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list(ADDRESS)
    fan = look_up(engine, plan_for(engine, [dnsbl_server.nameserver]))
    assert eventually(lambda: engine.retired() or engine.in_flight == 0)
    completions = Completions()
    for _ in range(3):
        wait_done(completions, engine.submit(fan, completions, 5.0))
    assert engine.in_flight == 0
    assert dnsbl_server.count() == 1


# ---- nameservers ----


def test_failover_and_back(engine: Engine) -> None:
    with DnsblServer(["bl.example"]) as first, DnsblServer(["bl.example"]) as second:
        both = [first.nameserver, second.nameserver]
        for alive, dead in ((1, 0), (0, 1)):
            (first, second)[alive].heal()
            (first, second)[dead].fault(silence())
            answer = answer_from(engine, both, timeout_s=0.1, deadline_s=3.0)
            assert (answer.status, answer.server) == (Status.NXDOMAIN, alive)


def test_a_nameserver_that_is_down_is_left_out_and_probed(engine: Engine) -> None:
    with DnsblServer(["bl.example"]) as first, DnsblServer(["bl.example"]) as second:
        both = [first.nameserver, second.nameserver]
        first.fault(silence())
        for _ in range(3):
            assert answer_from(engine, both, timeout_s=0.1).server == 1
        asked = first.count()
        began_s = time.monotonic()
        for _ in range(50):
            assert answer_from(engine, both).server == 1
        assert time.monotonic() - began_s < 0.9
        assert first.count() <= asked + 1
        first.heal()
        assert eventually(lambda: answer_from(engine, both).server == 0, 3.0)
        assert all(answer_from(engine, both).server == 0 for _ in range(10))


def test_a_stopped_nameserver_costs_no_time(engine: Engine) -> None:
    with DnsblServer(["bl.example"]) as first, DnsblServer(["bl.example"]) as second:
        both = [first.nameserver, second.nameserver]
        assert answer_from(engine, both).server == 0
        first.stop()
        for _ in range(10):
            answer = answer_from(engine, both)
            assert (answer.status, answer.server) == (Status.NXDOMAIN, 1)
            assert answer.latency_us < 500_000
        first.start()
        assert eventually(lambda: answer_from(engine, both).server == 0, 3.0)


def test_a_burst_at_a_nameserver_that_is_dead(engine: Engine) -> None:
    with DnsblServer(["bl.example"]) as first, DnsblServer(["bl.example"]) as second:
        first.fault(silence())
        plan = plan_for(engine, [first.nameserver, second.nameserver], timeout_s=0.2)
        completions = Completions()
        tickets = [
            engine.submit(engine.fan(plan, bytes([10, 0, i // 250, i % 250]), [0]), completions, 20.0)
            for i in range(2000)
        ]
        for ticket in tickets:
            wait_done(completions, ticket)
        assert sum(len(ticket.fan.answers()) for ticket in tickets) == 2000
        assert {ticket.fan.answers()[0].server for ticket in tickets} == {1}
