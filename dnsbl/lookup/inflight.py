"""Questions in flight: each asked once however many lookups want it, and its answer taken in once.

The rules that are kept here are numbered at the top of `dnsbl.lookup.lookup`. Under the resolver's lock, all
of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from dnsbl.cache.answers import AnswerCache, Held, HeldTexts, Key
from dnsbl.cache.clock import now as clock
from dnsbl.config.settings import Settings
from dnsbl.health.counters import BOUNDS_US, HALVE_AT, Stats
from dnsbl.lookup.admission import Admission
from dnsbl.lookup.readings import Readings
from dnsbl.lookup.recheck import Round
from dnsbl.lookup.upstream import Upstream
from dnsbl.lookup.values import TIMED_OUT, Asked, Found, Wait, bits, kind_of
from dnsbl.model import Outcome, Status, Wire
from dnsbl.zones.secret import Secret

if TYPE_CHECKING:
    from dnsbl.engine._engine import Answer, Completions, Fan, Plain, Tally, Ticket

LISTEN_S: Final = 2.0
"""How long after its full time a question's answer is still taken into the cache."""

# A member of an enum costs more to name than a number; these are compared for every answer.
_TIMEOUT: Final = Status.TIMEOUT.value
_UNSENT: Final = Status.UNSENT.value
_RCODE: Final = Status.RCODE.value
_ANSWERED: Final = frozenset({Status.OK.value, Status.NXDOMAIN.value})


class InFlight:
    """The questions of one resolver. `open`: the fans whose answers are still to come, by name asked."""

    def __init__(
        self,
        settings: Settings,
        upstream: Upstream,
        admission: Admission,
        cache: AnswerCache,
        stats: Stats,
        readings: Readings,
    ) -> None:
        self.open: dict[tuple[Key, bool], list[Fan]] = {}
        self._settings = settings
        self._upstream = upstream
        self._admission = admission
        self._breaker = admission.breaker
        self._cache = cache
        self._stats = stats
        self._readings = readings
        self._tally: Tally | None = None
        upstream.when_started = self._engine_started

    def _engine_started(self) -> None:
        from dnsbl.engine._engine import Tally

        rules, breaker = self._settings.ttl_rules, self._breaker
        self._tally = Tally(
            self._stats.rows, BOUNDS_US, HALVE_AT, rules.min_s, rules.max_s, breaker.answered,
            breaker.answered_row,
        )  # fmt: skip

    # ---- asking ----

    def ask(
        self,
        key: Key,
        zones: int,
        completions: Completions,
        started: float,
        deadline: float,
        *,
        texts: bool = False,
        each: bool = False,
        owner: object = None,
    ) -> list[Wait]:
        """Waits for the questions of `zones` (a bit mask): those in flight are joined, the rest is asked.

        started, deadline: of the lookup. The question goes on without it until its lists had their full time.
        """
        now = clock()
        waits = []
        for fan in self.open.get((key, texts), ()):
            asked: Asked = fan.tag
            joined = zones & asked.open & ~asked.stale
            if joined and now < asked.ends:
                some = each or joined != asked.open
                waits.append(Wait(self._submit(fan, completions, deadline - now, some, owner), joined))
                zones &= ~joined
        if zones:
            fan = self._new_fan(key, zones, started, deadline, now, texts)
            asked = fan.tag
            waits.append(Wait(self._submit(fan, completions, deadline - now, each, owner), zones))
            if asked.ends > deadline:
                self._upstream.listen_alone(fan, asked.ends - now, LISTEN_S)
        return waits

    def rejoin(self, ticket: Ticket, completions: Completions, deadline: float) -> Ticket:
        """Another ticket for the same question, which tells at each zone's answer."""
        return self._submit(ticket.fan, completions, deadline - clock(), True, ticket.owner)

    def ask_aside(self, key: Key, zones: int, now: float, *, texts: bool = False) -> None:
        """Ask without anybody waiting; the answers go into the cache and the breaker."""
        for fan in self.open.get((key, texts), ()):
            zones &= ~(fan.tag.open & ~fan.tag.stale)
        if zones:
            fan = self._new_fan(key, zones, now, now, now, texts)
            self._upstream.listen_alone(fan, fan.tag.ends - now, LISTEN_S)

    def _new_fan(self, key: Key, zones: int, started: float, deadline: float, now: float, texts: bool) -> Fan:
        full_s = self._settings.reason_timeout_s if texts else self._settings.deadline_s
        sets = self._upstream.plan(now).sets
        tag = Asked(zones, texts, sets, now, max(deadline, started + full_s))
        fan = self._upstream.fan(key, bits(zones), now, texts, tag)
        self.count_sent(zones)
        self.open.setdefault((key, texts), []).append(fan)
        return fan

    def _submit(self, fan: Fan, completions: Completions, for_s: float, each: bool, owner: object) -> Ticket:
        return self._upstream.running().submit(fan, completions, for_s, LISTEN_S, each, owner)

    def count_sent(self, zones: int) -> None:
        """One query goes to each of `zones`; what the engine sends beyond that is counted with the answer."""
        if self._tally is not None:
            self._tally.sent(zones)
        else:
            for zone in bits(zones):
                self._stats.queried(zone)
        for zone in bits(zones & self._admission.limited):
            self._admission.sent(zone, 1)

    # ---- answers ----

    def drain(self) -> None:
        """Take in what came without anybody waiting for it."""
        engine = self._upstream.engine
        if engine is not None and engine.has_retired:
            for fan in engine.retired():
                if fan.tag is not None:
                    self.absorb(fan)

    def settle(self, key: Key) -> None:
        """Take in what has come for one name, so that the cache says all that is known of it."""
        for texts in (False, True):
            for fan in tuple(self.open.get((key, texts), ())):
                self.absorb(fan)

    def absorb(self, fan: Fan) -> None:
        """Take a fan's new answers into cache, breaker and stats, each once.

        An answer stays open until it is taken in, so an exception from a signal handler loses none.
        """
        asked = fan.tag
        if isinstance(asked, Round):
            asked.take()
            return
        finished = fan.finished  # looked at first: what is there now is taken in whole
        if asked.open:
            plain, answers = self._news(fan, asked)
            if plain is not None:
                asked.plain.append(plain)
                asked.plain_zones |= plain.zones
                self._cache.put_packed(fan.key, plain.entry)
            if answers and asked.texts:
                self._absorb_texts(fan, asked, answers)
            elif answers:
                self._absorb_answers(fan, asked, answers)
            for zone, _ in answers:
                asked.open &= ~(1 << zone)
            asked.open &= ~asked.plain_zones
        if finished:
            self._forget(fan)

    def _news(self, fan: Fan, asked: Asked) -> tuple[Plain | None, list[tuple[int, Answer]]]:
        """What has come of a fan: the plain answers, which the engine has counted, and all others.

        Plain are only those of which nothing else is to be thought of: their zone had no trouble and nothing
        about their name was flushed or asked twice.
        """
        if self._tally is None or asked.texts:
            return None, [(zone, answer) for zone, answer in fan.answers().items() if asked.open >> zone & 1]
        breaker, fans = self._breaker, self.open.get((fan.key, False))
        may_be_plain = asked.open & ~(
            asked.stale | asked.counted | breaker.unhealthy_mask | breaker.doubt_mask | breaker.troubled
        )
        if breaker.unconfirmed or asked.newer or (fans is not None and (len(fans) > 1 or fans[0] is not fan)):
            may_be_plain = 0
        return self._tally.take(fan, asked.open, may_be_plain, asked.sets, clock())

    def _absorb_texts(self, fan: Fan, asked: Asked, answers: list[tuple[int, Answer]]) -> None:
        held: dict[int, HeldTexts] = {}
        for zone, answer in answers:
            self._admission.sent(zone, answer.queries - 1)
            status, arrived = answer.status, answer.arrived
            if self._may_hold(fan, asked, zone, status, arrived) and status != _UNSENT:
                texts = self.clean_texts(zone, answer.texts)
                held[zone] = HeldTexts(texts, arrived + self._hold_texts_s(answer))
        if held:
            self._cache.put(fan.key, {}, held)

    def clean_texts(self, zone: int, texts: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """TXT records without the zone's key, which a list may send back."""
        key = self._readings.zones[zone].key
        if not isinstance(key, Secret):
            return texts
        return tuple(key.mask_in(text.decode("latin-1")).encode("latin-1") for text in texts)

    def _absorb_answers(self, fan: Fan, asked: Asked, answers: list[tuple[int, Answer]]) -> None:
        # Recorded first: whose fault a failure is depends on the answers that came with it. One that was too
        # late was a failure already, and a list that is always late is no better than a silent one.
        kind = kind_of(fan.key)
        for zone, answer in answers:
            status = answer.status
            if status not in (_TIMEOUT, _UNSENT) and not asked.counted >> zone & 1:
                # Of a failure it matters who could know of it: those asked before are the same trouble.
                at = clock() if status == _RCODE else answer.arrived
                self._breaker.record(zone, asked.sets[zone], asked.started, at, status, kind)
        held: dict[int, Held] = {}
        silent = 0
        for zone, answer in answers:
            status, arrived, latency_us = answer.status, answer.arrived, answer.latency_us
            self._admission.sent(zone, answer.queries - 1)
            wire = Wire(status, answer.rcode, answer.addresses)
            reading = self._readings.of(zone, wire)
            if status in (_TIMEOUT, _UNSENT):
                self._stats.answered(zone, reading.outcome, None)
                silent |= (status == _TIMEOUT) << zone
                asked.found[zone] = Found(wire, reading, 0.0, fan.key, False)
                continue
            self._stats.answered(zone, reading.outcome, latency_us / 1e6)
            expires = arrived + self._hold_s(zone, asked, answer, reading.outcome)
            if self._may_hold(fan, asked, zone, status, arrived):
                held[zone] = Held(wire, expires)
            name = self._upstream.server_name(asked.sets[zone], answer.server)
            asked.found[zone] = Found(wire, reading, expires, fan.key, False, latency_us, name)
        if held:
            self._cache.put(fan.key, held)
        self.count_silence(fan, silent)

    def count_silence(self, fan: Fan, zones: int) -> None:
        """These zones have not answered: blamed and held once per question, if they had their full time."""
        asked: Asked = fan.tag
        now = clock()
        zones &= ~asked.counted
        if not zones or now < asked.ends:
            return
        asked.counted |= zones
        held: dict[int, Held] = {}
        for zone in bits(zones):
            if zone in asked.newer:  # it answered another question for the same name
                continue
            self._breaker.record(zone, asked.sets[zone], asked.started, now, Status.TIMEOUT, kind_of(fan.key))
            hold_s = self._settings.ttl_rules.hold_s(
                Status.TIMEOUT,
                False,
                None,
                None,
                nameserver_at_fault=self._breaker.nameserver_at_fault(asked.sets[zone], asked.started),
            )
            if self._may_hold(fan, asked, zone, _TIMEOUT, now):
                held[zone] = Held(TIMED_OUT, now + hold_s)
        if held:
            self._cache.put(fan.key, held)

    def count_textless(self, fan: Fan, zones: Sequence[int]) -> None:
        """No text came of these zones in their full time: held, or who comes again would wait again."""
        now = clock()
        asked: Asked = fan.tag
        if zones and now >= asked.ends:
            until = now + self._settings.ttl_rules.hold_s(Status.TIMEOUT, False, None, None)
            late = [zone for zone in zones if self._may_hold(fan, asked, zone, _TIMEOUT, now)]
            self._cache.put(fan.key, {}, {zone: HeldTexts((), until) for zone in late})

    def _may_hold(self, fan: Fan, asked: Asked, zone: int, status: int, arrived: float) -> bool:
        """Nothing newer or better came of another question for the same name, and nobody flushed it."""
        if (asked.stale | self._breaker.unhealthy_mask | self._breaker.doubt_mask) >> zone & 1:
            return False
        newer = asked.newer.get(zone)
        if status not in _ANSWERED:
            return newer is None
        if newer is not None and newer > arrived:
            return False
        for other in self.open.get((fan.key, asked.texts), ()):
            if other is not fan:
                other.tag.newer[zone] = max(arrived, other.tag.newer.get(zone, arrived))
        return True

    def _hold_s(self, zone: int, asked: Asked, answer: Answer, outcome: Outcome) -> float:
        return self._settings.ttl_rules.hold_s(
            answer.status,
            bool(answer.addresses),
            answer.ttl_s,
            _negative_ttl_s(answer),
            outcome=outcome,
            nameserver_at_fault=answer.status == _RCODE
            and self._breaker.nameserver_at_fault(asked.sets[zone], asked.started),
        )

    def _hold_texts_s(self, answer: Answer) -> float:
        return self._settings.ttl_rules.hold_s(
            answer.status, bool(answer.texts), answer.ttl_s, _negative_ttl_s(answer)
        )

    # ---- forgetting ----

    def make_stale(self, zones: int, key: Key | None = None) -> None:
        """What is on its way for these zones (of all names: `key` None) is not held, and nobody joins it."""
        for texts in (False, True):
            chosen = [*self.open.values()] if key is None else [self.open.get((key, texts), [])]
            for fans in chosen:
                for fan in fans:
                    fan.tag.stale |= zones

    def _forget(self, fan: Fan) -> None:
        fans = self.open.get((fan.key, fan.tag.texts))
        if fans is None:
            return
        if fan in fans:
            fans.remove(fan)
        if not fans:
            del self.open[fan.key, fan.tag.texts]


def _negative_ttl_s(answer: Answer) -> int | None:
    """How long a no holds: RFC 2308 section 5."""
    soa_ttl_s, soa_minimum_s = answer.soa_ttl_s, answer.soa_minimum_s
    return None if soa_ttl_s is None or soa_minimum_s is None else min(soa_ttl_s, soa_minimum_s)
