"""What the engine's tests share: one question asked, and waiting for something to come true."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dnsbl.engine._engine import TYPE_A, Completions, Engine, Fan, Plan, Ticket

if TYPE_CHECKING:
    from dnsbl.engine._engine import Answer

KEY = bytes([192, 0, 2, 99])
NAME = "99.2.0.192"
ADDRESS = "192.0.2.99"


def plan_for(
    engine: Engine, nameservers: Sequence[str], zones: Sequence[str] = ("bl.example",), timeout_s: float = 1.0
) -> Plan:
    """All `zones` asked of the same nameservers."""
    number = engine.nameserver_set(nameservers)
    return Plan(zones, [number] * len(zones), [timeout_s] * len(zones))


def wait_done(completions: Completions, ticket: Ticket, within_s: float = 10.0) -> None:
    """Wait until the ticket is done."""
    end_s = time.monotonic() + within_s
    while not ticket.done:
        assert time.monotonic() < end_s, "the ticket is never done"
        completions.wait(1.0)


def look_up(
    engine: Engine,
    plan: Plan,
    key: bytes | str = KEY,
    *,
    deadline_s: float = 5.0,
    attempts: int = 0,
    record_type: int = TYPE_A,
) -> Fan:
    """Ask all zones of the plan, wait until that is over, and return the fan."""
    completions = Completions()
    fan = engine.fan(plan, key, range(len(plan.zones)), record_type, attempts)
    wait_done(completions, engine.submit(fan, completions, deadline_s))
    engine.retired()
    return fan


def answer_from(
    engine: Engine,
    nameservers: Sequence[str],
    key: bytes | str = KEY,
    *,
    zone: str = "bl.example",
    timeout_s: float = 1.0,
    deadline_s: float = 5.0,
    attempts: int = 0,
    record_type: int = TYPE_A,
) -> Answer:
    """The answer of one zone."""
    plan = plan_for(engine, nameservers, [zone], timeout_s)
    fan = look_up(engine, plan, key, deadline_s=deadline_s, attempts=attempts, record_type=record_type)
    return fan.answers()[0]


def wire_of(answer: Answer) -> tuple[int, int, tuple[int, ...]]:
    """Status, rcode and A records."""
    return answer.status, answer.rcode, answer.addresses


def ttls_of(answer: Answer) -> tuple[int | None, int | None, int | None]:
    """Of the records, of the SOA record, and its minimum."""
    return answer.ttl_s, answer.soa_ttl_s, answer.soa_minimum_s


def eventually(condition: Callable[[], object], within_s: float = 10.0) -> bool:
    """Whether the condition comes true in that time."""
    end_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.005)
    return True
