"""What all lookups of one resolver share: zones, cache, engine, questions in flight, and the accounts.

It asks, absorbs answers and reads them; how one subject's verdict comes about is in `dnsbl.lookup.lookup`.
One lock guards everything here; it is never held while waiting. No asyncio here.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dnsbl.cache.answers import AnswerCache, Held, HeldTexts, Key
from dnsbl.config.settings import Settings
from dnsbl.errors import ClosedError, NameserverError
from dnsbl.health.breaker import Breaker, Permit
from dnsbl.health.budget import Budget
from dnsbl.health.counters import Stats
from dnsbl.lookup import forking
from dnsbl.lookup.local import LocalZones
from dnsbl.lookup.readings import Readings
from dnsbl.lookup.resolvconf import SystemNameservers
from dnsbl.lookup.values import Asked, Found, bits, mask_of
from dnsbl.model import Status, Wire
from dnsbl.zones.zone import Kind, Zone

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from dnsbl.engine._engine import Answer, Engine, Fan, Plan, Ticket, Waiter
    from dnsbl.lookup.aio import LoopWaiter

LISTEN_S: Final = 2.0
"""How long after its deadline a lookup's answers are still taken into the cache."""

STEP_ITEMS: Final = 200
"""Cache entries changed in one go, at 10 to 20 us each: no lookup waits longer than that."""
STEP_PAUSE_S: Final = 0.000_2
"""A lock that is taken again at once is not given to those who wait for it."""

TIMED_OUT: Final = Wire(Status.TIMEOUT, -1)
# A member of an enum costs more to name than a number; these are compared for every answer.
_TIMEOUT: Final = Status.TIMEOUT.value
_RCODE: Final = Status.RCODE.value

_Item = TypeVar("_Item")

log = logging.getLogger("dnsbl")


class Core:
    """See the module. `nameservers` None: those of /etc/resolv.conf, looked at again every 5 s at most."""

    def __init__(
        self,
        zones: tuple[Zone, ...],
        nameservers: tuple[str, ...] | None,
        settings: Settings,
    ) -> None:
        self.zones = zones
        self.settings = settings
        self.lock = threading.Lock()
        self.cache = AnswerCache(settings.cache_size)
        self.breaker = Breaker(tuple(zone.name for zone in zones))
        self.budget = Budget(zones)
        self.stats = Stats(zones)
        self.closed = False
        self.of_thread = threading.local()
        self.of_loop: dict[AbstractEventLoop, LoopWaiter] = {}
        # A loop keeps what it watches, whether or not the resolver is still there.
        weakref.finalize(self, _let_go, self.of_loop).atexit = False
        self.engine: Engine | None = None
        self.in_flight: dict[tuple[Key, bool], list[Fan]] = {}
        self._plan: Plan | None = None
        self._set_servers: dict[int, tuple[str, ...]] = {}
        self._nobody: Waiter | None = None
        self.readings = Readings(zones)
        self.local = LocalZones(zones, self.readings)
        self._system = SystemNameservers() if nameservers is None else None
        self.nameservers = self._system.found if self._system is not None else nameservers or ()
        self.takes: dict[Kind, int] = {
            kind: mask_of(i for i, zone in enumerate(zones) if kind in zone.subjects)
            for kind in ("ip4", "ip6", "domain")
        }
        self._limited = mask_of(i for i, zone in enumerate(zones) if zone.daily_limit is not None)
        self.registrable = mask_of(i for i, zone in enumerate(zones) if zone.domain == "registrable")
        forking.add(self)

    def snapshot(self) -> dict[str, Any]:
        """See `Resolver.stats`. Under the lock."""
        now, wall = monotonic(), time()
        zones = self.stats.snapshot()
        for index, zone in enumerate(self.zones):
            zones[zone.name]["breaker"] = self.breaker.state(index, now)._asdict()
            zones[zone.name]["budget"] = self.budget.state(index, wall)._asdict()
        return {
            "zones": zones,
            "cache": self.cache.info()._asdict(),
            "nameservers": list(self.nameservers),
            "in_flight": 0 if self.engine is None else self.engine.in_flight,
        }

    # ---- engine and nameservers ----

    def running(self) -> Engine:
        """The engine, started by the first question. Raises ClosedError after `close`. Under the lock."""
        if self.closed:
            raise ClosedError("the resolver is closed")
        if self.engine is None:
            from dnsbl.engine._engine import Engine, Waiter

            self.engine = Engine()
            self._nobody = Waiter()
            weakref.finalize(self, Engine.close, self.engine)
        return self.engine

    def plan(self, now: float) -> Plan:
        """Where each zone's questions go. Under the lock."""
        if self._plan is None or (self._system is not None and self._system.changed(now)):
            nameservers = self.nameservers if self._system is None else self._system.found
            try:
                self._plan = self._new_plan(nameservers)
                self.nameservers = nameservers
            except NameserverError as error:
                if self._plan is None:
                    raise
                log.warning("%s; keeping %s", error, ", ".join(self.nameservers))
        return self._plan

    def _new_plan(self, nameservers: tuple[str, ...]) -> Plan:
        from dnsbl.engine._engine import Plan

        engine = self.running()
        sets = []
        for zone in self.zones:
            servers = zone.nameservers or nameservers
            sets.append(engine.nameserver_set(servers))
            self._set_servers[sets[-1]] = servers
        return Plan(
            [zone.wire_name for zone in self.zones],
            sets,
            [zone.timeout_s or self.settings.timeout_s for zone in self.zones],
        )

    def _server_name(self, asked: Asked, zone: int, server: int) -> str:
        """`ADDRESS:PORT` of the nameserver that answered, or nothing."""
        return "" if server < 0 else self._set_servers[asked.sets[zone]][server]

    def close(self) -> None:
        with self.lock:
            self.closed = True
            engine, self.engine, self._plan = self.engine, None, None
            self.in_flight.clear()
            of_loop = dict(self.of_loop)
            self.of_loop.clear()
        if engine is not None:
            engine.close()
        _let_go(of_loop)

    def after_fork(self) -> None:
        """In the child: keep the cache, forget what is in flight, and start over at the first question."""
        self.lock = threading.Lock()
        self.local.after_fork()
        self.of_thread = threading.local()
        self.of_loop.clear()
        if self.engine is not None:
            self.engine.abandon_after_fork()
        self.engine = self._plan = self._nobody = None
        self.in_flight = {}

    # ---- asking; under the lock ----

    def admit(self, zones: int, now: float) -> tuple[int, int, dict[int, str]]:
        """Of `zones` (a bit mask): which to ask, which only to probe beside it, why others are left out."""
        if not zones & (self._limited | self.breaker.open_mask | self.breaker.unhealthy_mask):
            return zones, 0, {}
        ask = probe = 0
        skipped: dict[int, str] = {}
        wall = time()
        for zone in bits(zones):
            if self.budget.spent(zone, wall):
                skipped[zone] = "today's free queries are used up; asked again from 00:00 UTC"
                continue
            permit = self.breaker.allows(zone, now)
            if permit is Permit.ALLOW:
                ask |= 1 << zone
                continue
            if permit is Permit.PROBE:
                probe |= 1 << zone
            skipped[zone] = self.why_set_aside(zone, now)
        return ask, probe, skipped

    def askable_for_texts(self, zones: int) -> int:
        """Of `zones`, those that may be asked for TXT records: a probe is never spent on one."""
        zones &= ~(self.breaker.open_mask | self.breaker.unhealthy_mask)
        wall = time()
        return zones & ~mask_of(zone for zone in bits(zones & self._limited) if self.budget.spent(zone, wall))

    def why_set_aside(self, zone: int, now: float) -> str:
        state = self.breaker.state(zone, now)
        if state.unhealthy is not None:
            return f"found broken by the health check: {state.unhealthy}"
        return f"set aside after {state.failures} failures in a row; tried again now and then"

    def ask(
        self,
        key: Key,
        zones: int,
        waiter: Waiter,
        deadline_s: float,
        now: float,
        *,
        texts: bool = False,
        each: bool = False,
        owner: object = None,
    ) -> list[Ticket]:
        """Tickets for the questions of `zones` (a bit mask), each asked once however many lookups want it."""
        tickets = []
        engine = self.running()
        for fan in self.in_flight.get((key, texts), ()):
            asked: Asked = fan.tag
            if asked.zones & zones and now < asked.deadline:
                tickets.append(engine.submit(fan, waiter, deadline_s, LISTEN_S, each, owner))
                zones &= ~asked.zones
        if zones:
            tag = Asked(zones, texts, self.plan(now).sets, now, now + deadline_s, set(), {})
            fan = self._new_fan(key, bits(zones), now, texts, tag)
            tickets.append(engine.submit(fan, waiter, deadline_s, LISTEN_S, each, owner))
            self.in_flight.setdefault((key, texts), []).append(fan)
        return tickets

    def _new_fan(self, key: Key, zones: list[int], now: float, texts: bool, tag: Asked | None = None) -> Fan:
        from dnsbl.engine._engine import TYPE_A, TYPE_TXT

        record_type = TYPE_TXT if texts else TYPE_A
        fan = self.running().fan(self.plan(now), key, zones, record_type, self.settings.tries, tag)
        for zone in zones:
            self.stats.queried(zone)
            if self._limited >> zone & 1:
                self.budget.count(zone, 1, time())
        return fan

    def ask_aside(self, key: Key, zones: int, now: float, *, texts: bool = False) -> None:
        """Ask without anybody waiting; the answers go into the cache and the breaker."""
        if not zones:
            return
        self.running()
        assert self._nobody is not None
        for ticket in self.ask(key, zones, self._nobody, self.settings.deadline_s, now, texts=texts):
            self._nobody.forget(ticket)
        self._nobody.drain()  # what was answered before it was forgotten

    def ask_raw(
        self, questions: Sequence[tuple[int, Key]], deadline_s: float, *, texts: bool = False
    ) -> list[Answer | None]:
        """One answer per (zone, key), past cache and breaker: for the health check. Not under the lock.

        None: nothing usable came before the deadline. The queries count against the zones' budgets.
        """
        from dnsbl.engine._engine import Waiter

        waiter = Waiter()
        with self.lock:
            if self.closed:
                raise ClosedError("the resolver is closed")
            now = monotonic()
            fans = [self._new_fan(key, [zone], now, texts) for zone, key in questions]
            engine = self.running()
            tickets = {engine.submit(fan, waiter, deadline_s, 0.0) for fan in fans}
        while tickets:
            tickets -= {ticket for ticket in waiter.wait(deadline_s) if ticket.done}
        return [fan.answers().get(zone) for fan, (zone, _) in zip(fans, questions, strict=True)]

    # ---- answers; under the lock ----

    def drain(self) -> None:
        """Take in what came without anybody waiting for it."""
        if self.engine is not None and self.engine.has_retired:
            for fan in self.engine.retired():
                if fan.tag is not None:
                    self.absorb(fan)

    def absorb(self, fan: Fan) -> None:
        """Take a fan's new answers into cache, breaker and stats, each once."""
        asked: Asked = fan.tag
        now = monotonic()
        if asked.texts:
            texts = {
                zone: HeldTexts(answer[8], now + self._hold_texts_s(answer)) for zone, answer in fan.take()
            }
            if texts:
                self.cache.put(fan.key, {}, texts)
        elif answers := fan.take():
            self.cache.put(fan.key, self._absorb_answers(fan, answers, asked, now))
        if fan.finished:
            self._forget(fan)

    def _absorb_answers(
        self, fan: Fan, answers: list[tuple[int, Answer]], asked: Asked, now: float
    ) -> dict[int, Held]:
        # Recorded first: whose fault a failure is depends on the answers that came with it. One that was too
        # late was a failure already, and a list that is always late is no better than a silent one.
        for zone, answer in answers:
            if answer[0] != _TIMEOUT and zone not in asked.timed_out:
                self.breaker.record(zone, asked.sets[zone], asked.started, now, answer[0])
        held: dict[int, Held] = {}
        for zone, answer in answers:
            status, rcode, addresses, ttl_s, soa_ttl_s, soa_minimum_s, latency_us, server, _ = answer
            wire = Wire(status, rcode, addresses)
            reading = self.readings.of(zone, wire)
            if status == _TIMEOUT:
                self.stats.answered(zone, reading.outcome, None)
                self.count_timeout(zone, asked, now, held)
                asked.found[zone] = Found(wire, reading, 0.0, fan.key, False)
                continue
            self.stats.answered(zone, reading.outcome, latency_us / 1e6)
            negative_s = None
            if soa_ttl_s is not None and soa_minimum_s is not None:
                negative_s = min(soa_ttl_s, soa_minimum_s)
            expires = now + self.settings.ttl_rules.hold_s(
                status,
                bool(addresses),
                ttl_s,
                negative_s,
                outcome=reading.outcome,
                nameserver_at_fault=status == _RCODE and self._nameserver_at_fault(zone, asked),
            )
            held[zone] = Held(wire, expires)
            asked.found[zone] = Found(
                wire, reading, expires, fan.key, False, latency_us, self._server_name(asked, zone, server)
            )
        return held

    def count_timeout(self, zone: int, asked: Asked, now: float, answers: dict[int, Held]) -> None:
        """A zone had not answered when its lookup's deadline came: once per question."""
        if zone in asked.timed_out:
            return
        asked.timed_out.add(zone)
        self.breaker.record(zone, asked.sets[zone], asked.started, now, Status.TIMEOUT)
        at_fault = self._nameserver_at_fault(zone, asked)
        hold_s = self.settings.ttl_rules.hold_s(
            Status.TIMEOUT, False, None, None, nameserver_at_fault=at_fault
        )
        answers[zone] = Held(TIMED_OUT, now + hold_s)

    def _nameserver_at_fault(self, zone: int, asked: Asked) -> bool:
        return self.breaker.nameserver_at_fault(asked.sets[zone], asked.started)

    # ---- the cache as a whole; takes the lock itself ----

    def cached_entries(self) -> list[tuple[Key, bytes]]:
        """All entries, packed, oldest first."""
        entries: list[tuple[Key, bytes]] = []

        def take(key: Key) -> None:
            entry = self.cache.peek(key)
            if entry is not None:
                entries.append((key, entry))

        self.in_steps(self.cached_names(), take)
        return entries

    def cached_names(self) -> list[Key]:
        with self.lock:
            self.drain()
            return self.cache.keys()

    def in_steps(self, items: Sequence[_Item], change: Callable[[_Item], object]) -> None:
        """Change the cache for each of many items, and let lookups have their turn in between."""
        for start in range(0, len(items), STEP_ITEMS):
            with self.lock:
                for item in items[start : start + STEP_ITEMS]:
                    change(item)
            sleep(STEP_PAUSE_S)

    # ---- inside; under the lock ----

    def _hold_texts_s(self, answer: Answer) -> float:
        status, _, _, ttl_s, soa_ttl_s, soa_minimum_s, _, _, texts = answer
        negative_s = None if soa_ttl_s is None or soa_minimum_s is None else min(soa_ttl_s, soa_minimum_s)
        return self.settings.ttl_rules.hold_s(status, bool(texts), ttl_s, negative_s)

    def _forget(self, fan: Fan) -> None:
        asked: Asked = fan.tag
        fans = self.in_flight.get((fan.key, asked.texts))
        if fans is None:
            return
        if fan in fans:
            fans.remove(fan)
        if not fans:
            del self.in_flight[fan.key, asked.texts]


def _let_go(of_loop: dict[AbstractEventLoop, LoopWaiter]) -> None:
    """Let each event loop hand out what is ready and forget the resolver. Any thread."""
    for loop, waiter in list(of_loop.items()):
        waiter.close_soon(loop)
