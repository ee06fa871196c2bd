"""One who waits alone does the engine's work: what that must not change for others, for close, and for late answers."""

from __future__ import annotations

import threading
import time

import pytest

from dnsbl.engine._engine import Completions, Engine, Plan
from dnsbl.errors import ClosedError
from dnsbl.model import Status
from dnsbl.testing import DnsblServer, delay, silence

ZONE = "bl.example.com"


def key(number: int) -> bytes:
    return (0xC6330000 + number).to_bytes(4, "big")


def plan_of(engine: Engine, server: DnsblServer) -> Plan:
    return Plan([ZONE], [engine.nameserver_set([server.nameserver])], [1.0])


def test_alone_it_is_answered_again_and_again(dnsbl_server: DnsblServer) -> None:
    """Each question submitted by one who then waits is answered in that wait."""
    dnsbl_server.zone(ZONE).list("198.51.0.7")
    engine, completions = Engine(), Completions(alone=True)
    plan = plan_of(engine, dnsbl_server)
    for number in range(100):
        ticket = engine.submit(engine.fan(plan, key(number), [0]), completions, 10.0)
        assert completions.wait(20.0) == [ticket]
        assert ticket.fan.answers()[0].status == (Status.OK if number == 7 else Status.NXDOMAIN)
    engine.close()


def test_who_does_not_wait_after_all_tells_the_thread(dnsbl_server: DnsblServer) -> None:
    """The engine's own thread asks what was submitted quietly, once it is told."""
    dnsbl_server.zone(ZONE)
    engine, completions = Engine(), Completions(alone=True)
    fan = engine.fan(plan_of(engine, dnsbl_server), key(1), [0])
    engine.submit(fan, completions, 10.0)
    completions.tell()
    until = time.monotonic() + 20
    while not fan.finished and time.monotonic() < until:
        time.sleep(0.01)
    assert fan.answers()[0].status == Status.NXDOMAIN


def test_others_are_answered_by_who_drives(dnsbl_server: DnsblServer) -> None:
    """While one waits for a silent list, in the thread's place, the questions of others are asked and answered."""
    dnsbl_server.zone(ZONE)
    dnsbl_server.zone("silent.example").fault(silence())
    engine, alone = Engine(), Completions(alone=True)
    number = engine.nameserver_set([dnsbl_server.nameserver])
    plan = Plan([ZONE, "silent.example"], [number] * 2, [1.0] * 2)
    warm = engine.submit(engine.fan(plan, key(0), [0]), alone, 10.0)
    assert alone.wait(20.0) == [warm]
    silent = engine.submit(engine.fan(plan, key(1), [1]), alone, 2.0)
    answered: list[int] = []

    def look_up(thread: int) -> None:
        completions = Completions(alone=thread % 2 == 0)
        for turn in range(20):
            ticket = engine.submit(engine.fan(plan, key(1000 * thread + turn), [0]), completions, 20.0)
            while not ticket.done:
                completions.wait(30.0)
            answered.append(ticket.fan.answers()[0].status)

    threads = [threading.Thread(target=look_up, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    while not silent.done:
        alone.wait(30.0)
    for thread in threads:
        thread.join(60)
    assert answered == [Status.NXDOMAIN] * 80
    engine.close()


def test_an_answer_that_comes_after_the_wait_is_taken_by_the_thread(dnsbl_server: DnsblServer) -> None:
    """What is in flight when the one who drove leaves is listened to on."""
    dnsbl_server.zone(ZONE).fault(delay(0.5))
    engine, completions = Engine(), Completions(alone=True)
    fan = engine.fan(plan_of(engine, dnsbl_server), key(1), [0])
    ticket = engine.submit(fan, completions, 0.1, 20.0)
    assert completions.wait(30.0) == [ticket]
    assert not fan.finished
    until = time.monotonic() + 20
    while not fan.finished and time.monotonic() < until:
        time.sleep(0.01)
    assert fan.answers()[0].status == Status.NXDOMAIN


@pytest.mark.parametrize("alone", [True, False])
def test_close_ends_the_wait_of_one_who_drives(dnsbl_server: DnsblServer, alone: bool) -> None:
    """Whoever does the engine's work gives it back when it is closed, and its tickets end."""
    dnsbl_server.zone(ZONE).fault(silence())
    for pause_s in (0.0, 0.001, 0.02):
        engine, completions = Engine(), Completions(alone=alone)
        ticket = engine.submit(engine.fan(plan_of(engine, dnsbl_server), key(1), [0]), completions, 60.0)
        closing = threading.Timer(pause_s, engine.close)
        closing.start()
        assert completions.wait(30.0) == [ticket]
        closing.join(30)
        assert not closing.is_alive()
        assert ticket.fan.answers()[0].status in (Status.TIMEOUT, Status.UNSENT)
        with pytest.raises(ClosedError):
            engine.submit(ticket.fan, completions, 1.0)
        completions.tell()
