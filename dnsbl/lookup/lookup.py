"""One subject over all zones: from cached answers and questions in flight to a verdict.

A `Lookup` is a small state machine without a clock or thread of its own: `start` asks what the cache does
not hold, `advance` is called when one of its tickets has news, and both tell whether the verdict is there.
Who waits, and how (a thread, an event loop, a stream of many), is the caller's business.

Rules, each kept by a test in tests/lookup/test_lookup_rules.py:

1. An answer's age counts from its arrival, on a clock that goes on while the machine sleeps. What has
   expired when a lookup begins is nothing to that lookup, wherever it is kept.
2. Only this package's own code runs under the lock. Log handlers, iterables, mappings and callbacks of others
   run before it is taken or after it is given back.
3. A caller's deadline ends that caller's waiting, and nothing else: the question goes on until its lists have
   had their full time, whoever comes meanwhile joins it, and until then no silence is held or counted.
4. In the cache an answer yields to a newer one only, never to a failure or to an older question's end.
5. Every wait knows its own end and looks at its own tickets: it ends even if nobody ever wakes it.
6. What was never sent is no list's silence: the zone is left out of the verdict, and not held or counted.
7. What one list sends touches the answers of no other list.
8. What is broken alike for all zones is the fault of what they share: none of them is set aside for it, and
   no verdict on them is called complete meanwhile.

A question (one name, one zone, one record type) is in one of these states:

    state      until                               a lookup that wants it     its end
    open       its answer arrives                  joins, before its end      held as long as its TTL; counted
    late       its lists had their full time       asks anew                  silence held 2 s, counted once
    listened   2 s after that                      asks anew                  an answer is held, not counted
    stale      flushed while it was open           asks anew                  only for those who wait
    unsent     its time ended before it was sent   asks anew                  nothing

A lookup:

    state      waits for                           goes on to
    new        nothing: `start` reads the cache    answers, reasons or ended
    answers    the A records of zones asked        reasons, ended; decided early: ended, others pending
    reasons    TXT records of zones that list it   ended
    ended      nothing; `verdict` is there         -
    given up   nothing; `abandon` was called       -

Its deadline ends every state; `expire` makes the end where no ticket tells of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from dnsbl.cache.answers import Key, unpack
from dnsbl.cache.clock import now as clock
from dnsbl.lookup.answers import Answers
from dnsbl.lookup.core import Core
from dnsbl.lookup.parts import Part, parts_of
from dnsbl.lookup.recheck import recheck
from dnsbl.lookup.values import TIMED_OUT, Found, PlainFound, Wait, bits, kind_of, plain_of
from dnsbl.model import ERRORS, Outcome, Status, Verdict
from dnsbl.subject import Subject
from dnsbl.zones.interpret import failure_weight, score_bounds

if TYPE_CHECKING:
    from dnsbl.engine._engine import Completions

LISTED: Final = Outcome.LISTED
DECIMALS: Final = 6
"""Of a score: as many as a weight has, so that 0.7 + 0.1 + 0.2 reaches a threshold of 1."""

Decide = Mapping[str, float]


class Lookup:
    """See the module. `completions` None: only what the cache holds is wanted, and `start` never asks.

    started: when the caller called, on `dnsbl.cache.clock`.
    """

    __slots__ = (
        "_completions", "_core", "_decide", "_doubted", "_epoch", "_found", "_plain", "_reasoning", "_set_aside",
        "_skipped", "_started", "_texts", "_waits", "deadline", "failed", "on_done", "subject", "verdict",
    )  # fmt: skip

    verdict: Verdict

    def __init__(
        self,
        core: Core,
        subject: Subject,
        completions: Completions | None,
        started: float,
        deadline_s: float,
        decide: Decide | None,
    ) -> None:
        self._core = core
        self._epoch = core.epoch
        self.subject = subject
        self._completions = completions
        self._started = started
        self.deadline = started + deadline_s
        self._decide = decide
        self._found: dict[int, Found] = {}
        self._plain: list[PlainFound] = []
        self._texts: dict[int, tuple[bytes, ...]] = {}
        self._skipped: dict[int, str] = {}
        self._set_aside = 0
        """The zones (a bit mask) that apply and gave no answer because they were not asked."""
        self._doubted = False
        """The nameserver of some zone that was asked is not to be trusted."""
        self._waits: list[Wait] = []
        self._reasoning = False
        self.failed: BaseException | None = None
        """For an event loop's use: what `advance` raised."""
        self.on_done: Callable[[Lookup], None] | None = None
        """For an event loop's use: called once, when `advance` returned True or raised."""

    # ---- the course of a lookup ----

    def start(self) -> bool:
        """Read the cache and ask for the rest. True: the verdict is there already."""
        core = self._core
        core.enter()
        parts, why = self._parts()
        begun = False
        with core.lock:
            core.raise_if_closed()
            core.questions.drain()
            if (core.breaker.unhealthy_mask or core.breaker.doubt_mask) and self._completions is not None:
                recheck(core, self._started)
            asked = 0
            for part in parts:
                asked |= part.zones
                if not (begun := self._begin(part)):
                    break
        core.unlocked()
        if parts and not begun:
            return False
        self._skip_others(asked, why)
        if not self._waits:
            return self._next(waiting=False)
        return self._decide is not None and self.advance()

    def _parts(self) -> tuple[list[Part], str]:
        return parts_of(self._core, self.subject)

    def _skip_others(self, asked: int, why: str) -> None:
        if asked == self._core.all_zones:
            return
        takes = self._core.takes.get(self.subject.kind, 0)
        for index, zone in enumerate(self._core.zones):
            if not asked >> index & 1:
                left_out = takes >> index & 1
                self._skipped[index] = why if left_out else f"{zone.name} takes no {self.subject.kind}"

    def _begin(self, part: Part) -> bool:
        core, now = self._core, self._started
        if part.zones & core.local.mask:
            part = Part(part.key, core.local.answer(part.key, part.zones, self._found, self._texts))
            if not part.zones:
                return True
        core.questions.settle(part.key)
        self._doubted = self._doubted or bool(part.zones & core.breaker.doubt_mask)
        broken, kind = part.zones & core.breaker.unhealthy_mask, kind_of(part.key)
        if broken:
            self._leave_out({index: core.admission.why_set_aside(index, kind, now) for index in bits(broken)})
        missing = self._read_cache(part.key, part.zones & ~broken, now)
        if not missing:
            core.cache.hits += 1
            return True
        if self._completions is None:
            return False
        core.cache.misses += 1
        ask, probe, skipped = core.admission.admit(part.key, missing, now)
        if skipped:
            self._leave_out(skipped)
        if probe:
            core.questions.ask_aside(part.key, probe, now)
        if ask:
            self._submit(part.key, ask, texts=False, started=now, deadline=self.deadline)
        return True

    def _read_cache(self, key: Key, wanted: int, now: float) -> int:
        """Take what the cache holds; the zones (a bit mask) that it lacks."""
        core = self._core
        entry = core.cache.get(key)
        if entry is None:
            return wanted
        held = unpack(entry, now, wanted)
        for index, (wire, expires) in held.answers.items():
            self._found[index] = Found(wire, core.readings.of(index, wire), expires, key, True)
            core.stats.cache_hit(index)
            wanted &= ~(1 << index)
        for index, texts in held.texts.items():
            self._texts[index] = texts.texts
        return wanted

    def _leave_out(self, skipped: Mapping[int, str]) -> None:
        for zone, why in skipped.items():
            self._skipped[zone] = why
            self._set_aside |= 1 << zone

    def _submit(self, key: Key, zones: int, *, texts: bool, started: float, deadline: float) -> None:
        assert self._completions is not None
        self._waits += self._core.questions.ask(
            key,
            zones,
            self._completions,
            started,
            deadline,
            texts=texts,
            each=self._decide is not None,
            owner=self,
        )

    def advance(self) -> bool:
        """Take in what its tickets have. True: the verdict is there."""
        return self._take_in(may_wait=True)

    def _take_in(self, may_wait: bool) -> bool:
        core = self._core
        core.check_epoch(self._epoch)
        core.enter()
        # Looked at first: what is done now is taken in whole.
        open_yet = [wait for wait in self._waits if not wait.ticket.done]
        with core.lock:
            for wait in self._waits:
                core.questions.absorb(wait.ticket.fan)
        waiting = may_wait and any(wait.zones & wait.ticket.fan.tag.open for wait in open_yet)
        finished = self._next(waiting)
        core.unlocked()
        return finished

    def expire(self) -> None:
        """Its deadline has passed and no ticket told so: end it with what is there."""
        if not self._take_in(may_wait=False):
            self._take_in(may_wait=False)  # the reasons, which had no time either

    def _next(self, waiting: bool) -> bool:
        if waiting and not (self._decide is not None and not self._reasoning and self._decided()):
            return False
        if self._reasoning:
            self._collect_texts()
            self._conclude(())
            return True
        pending = self._collect_answers(waiting)
        without_reason = self._without_reason()
        if without_reason and (self._completions is None or self._ask_reasons(without_reason)):
            return False
        self._conclude(pending)
        return True

    def abandon(self) -> None:
        """Nobody waits for this lookup any more; its answers still reach the cache."""
        if self._completions is not None and self._epoch == self._core.epoch:
            for wait in self._waits:
                self._completions.forget(wait.ticket)
        self._waits = []

    # ---- answers ----

    def _collect_answers(self, decided: bool) -> tuple[int, ...]:
        """Move the fans' answers to `_found`; what is open is pending when decided, else timed out."""
        pending: list[int] = []
        silent: list[Wait] = []
        for ticket, wanted in self._waits:
            asked = ticket.fan.tag
            answers, missing = asked.found, 0
            if wanted & asked.plain_zones:
                self._plain += plain_of(ticket.fan, wanted)
                wanted &= ~asked.plain_zones
            for zone in bits(wanted):
                if zone not in answers:
                    missing |= 1 << zone
                elif answers[zone].wire.status == Status.UNSENT:
                    self._leave_out({zone: answers[zone].reading.detail})
                else:
                    self._found[zone] = answers[zone]
            if missing and decided:
                pending += bits(missing)
            elif missing:
                silent.append(Wait(ticket, missing))
        self._time_out(silent)
        self.abandon()
        return tuple(sorted(pending))

    def _time_out(self, silent: list[Wait]) -> None:
        if not silent:
            return
        core = self._core
        with core.lock:
            if not core.closed:
                for ticket, zones in silent:
                    core.questions.count_silence(ticket.fan, zones)
        for ticket, zones in silent:
            for zone in bits(zones):
                reading = core.readings.of(zone, TIMED_OUT)
                self._found[zone] = Found(TIMED_OUT, reading, 0.0, ticket.fan.key, False)

    # ---- early answer ----

    def _decided(self) -> bool:
        """No outstanding zone can change on which side of each threshold the score lies."""
        assert self._decide is not None
        low = high = sum(found.reading.score for found in self._found.values()) + self._score_left_out()
        for ticket, wanted in self._waits:
            answers = ticket.fan.tag.found
            for zone in bits(wanted & ~ticket.fan.tag.plain_zones):
                if zone in answers:
                    low += answers[zone].reading.score
                    high += answers[zone].reading.score
                else:
                    least, most = score_bounds(self._core.zones[zone])
                    low += least
                    high += most
        low, high = round(low, DECIMALS), round(high, DECIMALS)
        return all(low >= at or high < at for at in self._decide.values())

    def _score_left_out(self) -> float:
        """`on_error = "listed"` counts while no answer is to be had, for whatever reason."""
        return sum(failure_weight(self._core.zones[zone]) for zone in bits(self._set_aside))

    # ---- reasons ----

    def _without_reason(self) -> dict[Key, int]:
        """The zones that listed the subject, may be asked why and have not said it yet, by name asked."""
        core = self._core
        wanted: dict[Key, int] = {}
        if core.settings.reasons:
            for zone, found in self._found.items():
                if found.reading.outcome is LISTED and zone not in self._texts:
                    wanted[found.key] = wanted.get(found.key, 0) | 1 << zone
        if not wanted:
            return wanted
        with core.lock:
            askable = ((key, core.admission.for_texts(key, zones)) for key, zones in wanted.items())
            return {key: zones for key, zones in askable if zones}

    def _ask_reasons(self, wanted: dict[Key, int]) -> bool:
        """Ask for the TXT records of these zones. True: they are waited for."""
        core, now = self._core, clock()
        deadline = min(self.deadline, now + core.settings.reason_timeout_s)
        if deadline <= now:
            return False
        with core.lock:
            if core.closed:
                return False
            for key, zones in wanted.items():
                if self._decide is not None:
                    core.questions.ask_aside(key, zones, now, texts=True)
                else:
                    self._submit(key, zones, texts=True, started=now, deadline=deadline)
        self._reasoning = bool(self._waits)
        return self._reasoning

    def _collect_texts(self) -> None:
        core = self._core
        for ticket, wanted in self._waits:
            answers = ticket.fan.answers()
            for zone in bits(wanted):
                if zone in answers:
                    self._texts[zone] = core.questions.clean_texts(zone, answers[zone].texts)
            late = [zone for zone in bits(wanted) if zone not in answers]
            if late:
                with core.lock:
                    core.questions.count_textless(ticket.fan, late)
        self.abandon()

    # ---- the verdict ----

    def _conclude(self, pending: tuple[int, ...]) -> None:
        self.verdict = self._verdict_of(self._found, self._plain, self._texts, pending)

    def _verdict_of(
        self,
        all_found: dict[int, Found],
        plain: list[PlainFound],
        texts: dict[int, tuple[bytes, ...]],
        pending: tuple[int, ...],
    ) -> Verdict:
        core = self._core
        score, listed = self._score_left_out(), False
        complete = not (pending or self._set_aside or self._doubted)
        expires = float("inf")
        for found in all_found.values():
            reading, until = found.reading, found.expires
            score += reading.score
            listed = listed or reading.positive
            complete = complete and reading.outcome not in ERRORS
            if until < expires:
                expires = until
        for part in plain:
            expires = min(expires, part.soonest)
        now = clock()
        return Verdict(
            self.subject.text,
            listed,
            complete,
            round(score, DECIMALS),
            Answers(core.readings, self.subject.text, all_found, texts, self._skipped, now,
                    self._set_aside, plain, core.upstream.set_servers),
            now - self._started,
            expires - now if complete and now < expires < float("inf") else None,
            tuple(core.zones[zone].name for zone in pending),
        )  # fmt: skip
