"""A state machine against the rules: callers, a clock, answers, silence, cancellations, flushes and forks.

The engine and the clock are scripted here, because only so can every order of events be played; what the real
ones do is played by test_chaos.py.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dnsbl.config.settings import checked_settings, chosen_zones
from dnsbl.errors import ForkedError
from dnsbl.lookup.core import Core
from dnsbl.lookup.lookup import Lookup
from dnsbl.model import Outcome, Status, Verdict
from dnsbl.subject import parse_subject

ZONES = ("a.example", "b.example")
FULL_S, TTL_S = 3.0, 10
SUBJECT = parse_subject("192.0.2.1")


class Fan:
    """As the engine's: one name asked of several zones."""

    def __init__(self, machine: LookupMachine, key: bytes, indices: list[int], tag: Any) -> None:
        self.machine, self.key, self.indices, self.tag = machine, key, tuple(indices), tag
        self.given: dict[int, SimpleNamespace] = {}
        self.asked, self.until = machine.now, 0.0
        self.reported = False

    @property
    def finished(self) -> bool:
        return len(self.given) == len(self.indices)

    def answers(self) -> dict[int, SimpleNamespace]:
        return dict(self.given)

    def give(self, zone: int, status: Status, addresses: tuple[int, ...] = ()) -> None:
        rcode = -1 if status in (Status.TIMEOUT, Status.UNSENT) else 2 if status is Status.RCODE else 0
        self.given[zone] = SimpleNamespace(
            status=status,
            rcode=rcode,
            addresses=addresses,
            ttl_s=TTL_S if addresses else None,
            soa_ttl_s=None if addresses else TTL_S,
            soa_minimum_s=None if addresses else TTL_S,
            latency_us=10,
            server=0,
            texts=(),
            arrived=self.machine.now,
            queries=1,
        )


class Ticket:
    """As the engine's: an interest in a fan until a deadline."""

    def __init__(self, machine: LookupMachine, fan: Fan, deadline: float) -> None:
        self.machine, self.fan, self.deadline = machine, fan, deadline

    @property
    def done(self) -> bool:
        return self.fan.finished or self.machine.now >= self.deadline


class Engine:
    """Sends nothing; the machine's rules answer."""

    def __init__(self, machine: LookupMachine) -> None:
        self.machine = machine
        self.fans: list[Fan] = []

    def fan(self, _plan: object, key: bytes, zones: list[int], *_: object) -> Fan:
        return Fan(self.machine, key, zones, _[-1])

    def submit(self, fan: Fan, _completions: object, for_s: float, listen_s: float, *_: object) -> Ticket:
        if fan not in self.fans:
            self.fans.append(fan)
        ticket = Ticket(self.machine, fan, self.machine.now + for_s)
        fan.until = max(fan.until, ticket.deadline + listen_s)
        return ticket

    @property
    def has_retired(self) -> bool:
        return any(fan.finished and not fan.reported for fan in self.fans)

    def retired(self) -> list[Fan]:
        out = [fan for fan in self.fans if fan.finished and not fan.reported]
        for fan in out:
            fan.reported = True
        return out

    def nameserver_set(self, _servers: object) -> int:
        return 0

    def abandon_after_fork(self) -> None:
        self.fans.clear()


class LookupMachine(RuleBasedStateMachine):
    """What must hold whatever the order of events."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.patches = [
            patch(f"dnsbl.lookup.{module}.clock", lambda: self.now)
            for module in ("core", "lookup", "inflight")
        ]
        for each in self.patches:
            each.start()
        zones = chosen_zones(ZONES, None, ())
        values = {"deadline_s": FULL_S, "reasons": False}
        self.core = Core(zones, ("127.0.0.1:53",), checked_settings(values))
        self.engine = Engine(self)
        self.completions: Any = SimpleNamespace(forget=lambda _: None, drain=list)
        self.start_engine()
        self.made: list[tuple[float, float]] = []
        """Of each answer, whose code is its number: when it was asked for and when it came."""
        self.newest = {0: 0.0, 1: 0.0}
        """By zone, when the newest answer came that some verdict has told of."""
        self.flushed = 0.0
        self.under_way: list[tuple[Lookup, float, float, dict[int, float], float]] = []
        real = self.core.breaker.record

        def record(zone: int, servers: Any, started: float, now: float, status: int, kind: int = 0) -> None:
            assert status != Status.UNSENT
            if status == Status.TIMEOUT:
                assert self.now >= started + FULL_S - 1e-6, "blamed before its full time"
            real(zone, servers, started, now, status, kind)

        self.core.breaker.record = record  # type: ignore[method-assign,assignment]

    def teardown(self) -> None:
        for each in self.patches:
            each.stop()

    def start_engine(self) -> None:
        upstream: Any = self.core.upstream
        upstream.engine, upstream._nobody = self.engine, self.completions
        upstream._plan = SimpleNamespace(sets=(0, 0))
        upstream.set_servers = {0: ("127.0.0.1:53",)}

    def open_questions(self) -> list[tuple[Fan, int]]:
        return [(fan, z) for fan in self.engine.fans for z in fan.indices if z not in fan.given]

    # ---- events ----

    @rule(deadline_s=st.sampled_from([0.5, 2.0, FULL_S, 5.0]))
    def begin(self, deadline_s: float) -> None:
        flushed, told = self.flushed, dict(self.newest)
        lookup = Lookup(self.core, SUBJECT, self.completions, self.now, deadline_s, None)
        if lookup.start():
            self.judge(lookup.verdict, self.now, flushed, told)
        else:
            self.under_way.append((lookup, self.now, flushed, told, self.now + deadline_s))

    @precondition(lambda self: self.open_questions())
    @rule(data=st.data(), every=st.booleans())
    def answer(self, data: st.DataObject, every: bool) -> None:
        questions = self.open_questions()
        for fan, zone in questions if every else [data.draw(st.sampled_from(questions))]:
            self.made.append((fan.asked, self.now))
            fan.give(zone, Status.OK, (0x7F010000 + len(self.made) - 1,))

    @precondition(lambda self: self.open_questions())
    @rule(data=st.data(), status=st.sampled_from([Status.UNSENT, Status.RCODE]))
    def fail(self, data: st.DataObject, status: Status) -> None:
        fan, zone = data.draw(st.sampled_from(self.open_questions()))
        fan.give(zone, status)

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 6.0, 12.0]), wake=st.booleans())
    def pass_time(self, seconds: float, wake: bool) -> None:
        self.now += seconds
        for fan, zone in self.open_questions():
            if self.now >= fan.until:
                fan.give(zone, Status.TIMEOUT)
        if wake:
            self.wake()

    def wake(self) -> None:
        """Each lookup looks at its tickets; at its deadline it has ended."""
        for entry in list(self.under_way):
            lookup, started, flushed, told, deadline = entry
            if lookup.advance():
                self.under_way.remove(entry)
                self.judge(lookup.verdict, started, flushed, told)
            else:
                assert self.now < deadline

    @rule(data=st.data(), what=st.sampled_from(["cancel", "cancel", "flush", "flush", "fork"]))
    def disturb(self, data: st.DataObject, what: str) -> None:
        if what == "flush":
            self.core.forget(None, None)
            self.flushed = self.now
        elif what == "fork":
            self.fork()
        elif self.under_way:
            entry = data.draw(st.sampled_from(self.under_way))
            entry[0].abandon()
            self.under_way.remove(entry)

    def fork(self) -> None:
        """This process goes on as the child."""
        self.core.after_fork()
        self.engine = Engine(self)
        self.start_engine()
        for lookup, *_ in self.under_way:
            with pytest.raises(ForkedError):
                lookup.advance()
        self.under_way.clear()

    # ---- what must hold ----

    def judge(self, verdict: Verdict, started: float, flushed: float, told: dict[int, float]) -> None:
        """`told`: `newest` when the lookup began; what was in the cache then may be in its verdict."""
        for zone, answer in enumerate(verdict.answers):
            if answer.outcome is not Outcome.LISTED:
                assert not verdict.complete
                assert verdict.ttl_s is None
                continue
            _, _, high, low = map(int, answer.codes[0].split("."))
            asked, came = self.made[high << 8 | low]
            assert came > started - TTL_S, "expired when the lookup began"
            assert asked >= flushed, "asked before it was flushed"
            assert not answer.cached or came >= told[zone], "an older answer took a newer one's place"
            assert answer.ttl_s is None or answer.ttl_s <= came + TTL_S - self.now + 0.001
            self.newest[zone] = max(came, self.newest[zone])

    @invariant()
    def each_question_is_asked_once(self) -> None:
        for fans in self.core.questions.open.values():
            taken = 0
            for fan in fans:
                if self.now < fan.tag.ends:
                    joinable = fan.tag.open & ~fan.tag.stale
                    assert not taken & joinable
                    taken |= joinable

    @invariant()
    def nobody_holds_the_lock(self) -> None:
        assert not self.core.inside()


LookupMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestLookupMachine = LookupMachine.TestCase
