"""Zones found broken are tested again soon, by the lookups that come by: no thread is needed, nobody waits.

When to is the breaker's business, what the answers mean that of `dnsbl.health.judge`. A round asks a zone's
test entries once. Under the resolver's lock, all of it.
"""

from __future__ import annotations

import ipaddress
from time import time
from typing import TYPE_CHECKING, Final

from dnsbl.cache.answers import Key
from dnsbl.health.judge import ProbeAnswer, State, ZoneHealth, judge
from dnsbl.lookup.values import TIMED_OUT
from dnsbl.model import Status, Wire
from dnsbl.zones.zone import Probe, Zone

if TYPE_CHECKING:
    from dnsbl.engine._engine import Answer, Fan
    from dnsbl.lookup.admission import Admission
    from dnsbl.lookup.core import Core

ROUND_S: Final = 5.0
"""How long the test entries' answers are waited for."""


class Round:
    """One zone's test entries in flight: what their fans carry."""

    __slots__ = ("_admission", "_asked_at", "_done", "_fans", "_index", "_zone")

    def __init__(self, admission: Admission, index: int, zone: Zone, asked_at: float) -> None:
        self._admission = admission
        self._index = index
        self._zone = zone
        self._asked_at = asked_at
        self._fans: list[tuple[Probe, Fan]] = []
        self._done = False

    def add(self, probe: Probe, fan: Fan) -> None:
        self._fans.append((probe, fan))

    def take(self) -> None:
        """A fan has news: judge the zone once all have ended."""
        if self._done or not all(fan.finished for _, fan in self._fans):
            return
        self._done = True
        answers = [(probe, fan.answers().get(self._index)) for probe, fan in self._fans]
        for _, answer in answers:
            self._admission.sent(self._index, 0 if answer is None else answer.queries - 1)
        health = judge(self._zone, [read_probe(probe, answer) for probe, answer in answers])
        # A zone doubted together with others stays so as long as any other of them is.
        doubted = self._admission.breaker.doubt_mask
        mine = 1 << self._index
        doubt = health.state is not State.WILDCARDED and bool(doubted & mine and doubted & ~mine)
        act(self._admission, self._index, health, self._asked_at, self._asked_at, doubt=doubt)


def recheck(core: Core, now: float) -> None:
    """Ask the test entries of the zones whose pause has ended."""
    wall = time()
    for index in core.breaker.to_recheck(now):
        if core.budget.spent(index, wall):
            continue
        zone = core.zones[index]
        round_ = Round(core.admission, index, zone, now)
        for probe in zone.probes:
            fan = core.upstream.fan(probe_key(probe), [index], now, False, round_)
            core.questions.count_sent(1 << index)
            round_.add(probe, fan)
        for _, fan in round_._fans:
            core.upstream.listen_alone(fan, ROUND_S)


def act(
    admission: Admission, index: int, health: ZoneHealth, asked_at: float, now: float, *, doubt: bool = False
) -> bool:
    """Set a broken zone aside (or doubt it), take a sound one back. True: what it said is to be forgotten."""
    breaker = admission.breaker
    if health.broken:
        was = (breaker.unhealthy_mask | breaker.doubt_mask) >> index & 1
        return breaker.set_aside(index, health.detail, asked_at, now, doubt=doubt) and not was
    if health.state not in (State.NO_ANSWER, State.UNTESTED):
        breaker.restore(index, asked_at)
    return False


def probe_key(probe: Probe) -> Key:
    if probe.kind == "domain":
        return probe.subject.lower()
    # An IPv4-mapped test entry is asked in its 32 nibbles: RFC 5782 section 5.
    return ipaddress.ip_address(probe.subject).packed


def read_probe(probe: Probe, answer: Answer | None) -> ProbeAnswer:
    if answer is None or answer.status == Status.UNSENT:
        return ProbeAnswer(probe, TIMED_OUT)
    latency_ms = None if answer.status == Status.TIMEOUT else answer.latency_us / 1000
    return ProbeAnswer(probe, Wire(answer.status, answer.rcode, answer.addresses), latency_ms)
