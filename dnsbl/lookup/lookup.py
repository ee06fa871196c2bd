"""One subject over all zones: from cached answers and questions in flight to a verdict.

A `Lookup` is a small state machine without a clock or thread of its own: `start` asks what the cache does
not hold, `advance` is called when one of its tickets has news, and both tell whether the verdict is there.
Who waits, and how (a thread, an event loop, a stream of many), is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from dnsbl.cache.answers import Held, HeldTexts, Key, unpack
from dnsbl.errors import ClosedError, SubjectError
from dnsbl.lookup.answers import Answers
from dnsbl.lookup.core import TIMED_OUT, Core
from dnsbl.lookup.values import Asked, Found, bits
from dnsbl.model import ERRORS, Outcome, Status, Verdict
from dnsbl.subject import Subject
from dnsbl.zones.interpret import failure_weight
from dnsbl.zones.zone import Zone

if TYPE_CHECKING:
    from dnsbl.engine._engine import Fan, Ticket, Waiter

LISTED: Final = Outcome.LISTED
MAX_NAME: Final = 253
"""Characters of a DNS name without its trailing dot (RFC 1035 section 2.3.4)."""

DECIMALS: Final = 6
"""Of a score: as many as a weight has, so that 0.7 + 0.1 + 0.2 reaches a threshold of 1."""

Decide = Mapping[str, float]


class Part(NamedTuple):
    """One name to be asked, and of which zones (a bit mask)."""

    key: Key
    zones: int


def parts_of(core: Core, subject: Subject) -> tuple[list[Part], str]:
    """The names that this subject means to the zones, and why zones that take its kind are not asked.

    Raises SubjectError where a name would be too long for one of the zones: never answered as clean.
    """
    private = subject.local and not core.settings.check_private
    if private and not core.takes[subject.kind] & core.local.mask:
        return [], "not a public address or name, so no public list can hold it"
    wanted = core.takes[subject.kind] & (core.local.mask if private else -1)
    why = "not a public address or name, so no public list can hold it" if private else ""
    if not isinstance(subject.key, str):
        return ([Part(subject.key, wanted)] if wanted else []), why
    registrable, host = wanted & core.registrable, wanted & ~core.registrable
    names: dict[Key, int] = {}
    if registrable and (name := subject.asked_as("registrable")):
        names[name] = registrable
    if host and (name := subject.asked_as("host")):
        names[name] = names.get(name, 0) | host
    _check_lengths(core, names, subject)
    return [Part(key, zones) for key, zones in names.items()], why or "a public suffix is no one's domain"


def _check_lengths(core: Core, names: Mapping[Key, int], subject: Subject) -> None:
    for name, zones in names.items():
        for index in bits(zones):
            zone = core.zones[index]
            if len(name) + 1 + len(zone.wire_name) > MAX_NAME:
                raise SubjectError(
                    f"{subject.text[:40]}... is too long to be asked of {zone.name}: name and zone together "
                    f"have at most {MAX_NAME} characters",
                    subject.text,
                )


class Lookup:
    """See the module. `waiter` None: only what the cache holds is wanted, and `start` never asks."""

    __slots__ = (
        "_core", "_deadline", "_decide", "_fans", "_found", "_reasoning", "_set_aside", "_skipped",
        "_started", "_texts", "_tickets", "_waiter", "on_done", "subject", "verdict",
    )  # fmt: skip

    verdict: Verdict

    def __init__(
        self, core: Core, subject: Subject, waiter: Waiter | None, deadline_s: float, decide: Decide | None
    ) -> None:
        self._core = core
        self.subject = subject
        self._waiter = waiter
        self._started = monotonic()
        self._deadline = self._started + deadline_s
        self._decide = decide
        self._found: dict[int, Found] = {}
        self._texts: dict[int, tuple[bytes, ...]] = {}
        self._skipped: dict[int, str] = {}
        self._set_aside = False  # some zone was left out though it applies
        self._fans: list[tuple[Fan, int]] = []
        self._tickets: list[Ticket] = []
        self._reasoning = False
        self.on_done: Callable[[Lookup], None] | None = None
        """For an event loop's use: called once, when `advance` returned True."""

    # ---- the course of a lookup ----

    def start(self) -> bool:
        """Read the cache and ask for the rest. True: the verdict is there already."""
        core = self._core
        parts, why = parts_of(core, self.subject)
        with core.lock:
            if core.closed:
                raise ClosedError("the resolver is closed")
            core.drain()
            asked = 0
            for part in parts:
                asked |= part.zones
                if not self._begin(part):
                    return False
        takes = core.takes[self.subject.kind]
        for index, zone in enumerate(core.zones):
            if not asked >> index & 1:
                left_out = takes >> index & 1
                self._skipped[index] = why if left_out else f"{zone.name} takes no {self.subject.kind}"
        if not self._tickets:
            return self._next(waiting=False)
        return self._decide is not None and self.advance()

    def _begin(self, part: Part) -> bool:
        core, now = self._core, self._started
        if part.zones & core.local.mask:
            part = Part(part.key, core.local.answer(part.key, part.zones, self._found, self._texts))
            if not part.zones:
                return True
        broken = part.zones & core.breaker.unhealthy_mask
        self._leave_out({index: core.why_set_aside(index, now) for index in bits(broken)})
        wanted = part.zones & ~broken
        missing = wanted
        entry = core.cache.get(part.key)
        if entry is not None:
            held = unpack(entry, now, wanted)
            for index, (wire, expires) in held.answers.items():
                self._found[index] = Found(wire, core.readings.of(index, wire), expires, part.key, True)
                core.stats.cache_hit(index)
                missing &= ~(1 << index)
            for index, texts in held.texts.items():
                self._texts[index] = texts.texts
        if not missing:
            core.cache.hits += 1
            return True
        core.cache.misses += 1
        if self._waiter is None:
            return False
        ask, probe, skipped = core.admit(missing, now)
        self._leave_out(skipped)
        core.ask_aside(part.key, probe, now)
        if ask:
            self._submit(part.key, ask, texts=False, deadline=self._deadline)
        return True

    def _leave_out(self, skipped: dict[int, str]) -> None:
        if skipped:
            self._skipped |= skipped
            self._set_aside = True

    def _submit(self, key: Key, zones: int, *, texts: bool, deadline: float) -> None:
        now = monotonic()
        assert self._waiter is not None
        tickets = self._core.ask(
            key,
            zones,
            self._waiter,
            deadline - now,
            now,
            texts=texts,
            each=self._decide is not None,
            owner=self,
        )
        self._tickets += tickets
        self._fans += [(ticket.fan, zones) for ticket in tickets]

    def advance(self) -> bool:
        """Take in what its tickets have. True: the verdict is there."""
        # Looked at first: what is done now is taken in whole.
        waiting = self._waiting()
        with self._core.lock:
            for fan, _ in self._fans:
                self._core.absorb(fan)
        return self._next(waiting)

    def _waiting(self) -> bool:
        return not all(ticket.done for ticket in self._tickets)

    def _next(self, waiting: bool) -> bool:
        if waiting and not (self._decide is not None and not self._reasoning and self._decided()):
            return False
        if self._reasoning:
            self._collect_texts()
        else:
            pending = self._collect_answers(waiting)
            without_reason = self._without_reason()
            if without_reason and (self._waiter is None or self._ask_reasons(without_reason)):
                return False
            self._conclude(pending)
            return True
        self._conclude(())
        return True

    def abandon(self) -> None:
        """Nobody waits for this lookup any more; its answers still reach the cache."""
        if self._waiter is not None:
            for ticket in self._tickets:
                self._waiter.forget(ticket)
        self._tickets = []

    # ---- answers ----

    def _collect_answers(self, decided: bool) -> tuple[int, ...]:
        """Move the fans' answers to `_found`; what is open is pending when decided, else timed out."""
        pending: list[int] = []
        for fan, wanted in self._fans:
            answers = fan.tag.found
            for zone in fan.indices:
                if not wanted >> zone & 1:
                    continue
                if zone in answers:
                    self._found[zone] = answers[zone]
                elif decided:
                    pending.append(zone)
                else:
                    self._time_out(fan, zone)
        self.abandon()
        self._fans = []
        return tuple(sorted(pending))

    def _time_out(self, fan: Fan, zone: int) -> None:
        asked: Asked = fan.tag
        answers: dict[int, Held] = {}
        with self._core.lock:
            self._core.count_timeout(zone, asked, monotonic(), answers)
            if answers:
                self._core.cache.put(fan.key, answers)
        self._found[zone] = Found(TIMED_OUT, self._core.readings.of(zone, TIMED_OUT), 0.0, fan.key, False)

    # ---- early answer ----

    def _decided(self) -> bool:
        """No outstanding zone can change on which side of each threshold the score lies."""
        assert self._decide is not None
        low = high = sum(found.reading.score for found in self._found.values())
        for fan, wanted in self._fans:
            answers = fan.tag.found
            for zone in fan.indices:
                if not wanted >> zone & 1:
                    continue
                if zone in answers:
                    low += answers[zone].reading.score
                    high += answers[zone].reading.score
                else:
                    least, most = score_bounds(self._core.zones[zone])
                    low += least
                    high += most
        low, high = round(low, DECIMALS), round(high, DECIMALS)
        return all(low >= at or high < at for at in self._decide.values())

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
            askable = ((key, core.askable_for_texts(zones)) for key, zones in wanted.items())
            return {key: zones for key, zones in askable if zones}

    def _ask_reasons(self, wanted: dict[Key, int]) -> bool:
        """Ask for the TXT records of these zones. True: they are waited for."""
        now = monotonic()
        deadline = min(self._deadline, now + self._core.settings.reason_timeout_s)
        if deadline <= now:
            return False
        with self._core.lock:
            if self._core.closed:
                return False
            for key, zones in wanted.items():
                if self._decide is not None:
                    self._core.ask_aside(key, zones, now, texts=True)
                else:
                    self._submit(key, zones, texts=True, deadline=deadline)
        self._reasoning = bool(self._tickets)
        return self._reasoning

    def _collect_texts(self) -> None:
        core = self._core
        for fan, wanted in self._fans:
            answers = fan.answers()
            self._texts |= {zone: answer[8] for zone, answer in answers.items()}
            late = [zone for zone in fan.indices if wanted >> zone & 1 and zone not in answers]
            if late:
                # Held as a failure, or who comes again and again would wait again and again.
                until = monotonic() + core.settings.ttl_rules.hold_s(Status.TIMEOUT, False, None, None)
                with core.lock:
                    core.cache.put(fan.key, {}, {zone: HeldTexts((), until) for zone in late})
        self.abandon()
        self._fans = []

    # ---- the verdict ----

    def _conclude(self, pending: tuple[int, ...]) -> None:
        core = self._core
        score, listed, complete = 0.0, False, not pending
        expires = float("inf")
        for found in self._found.values():
            reading, until = found.reading, found.expires
            score += reading.score
            listed = listed or reading.positive
            complete = complete and reading.outcome not in ERRORS
            if until < expires:
                expires = until
        now = monotonic()
        self.verdict = Verdict(
            self.subject.text,
            listed,
            complete and not self._set_aside,
            round(score, DECIMALS),
            Answers(core.readings.zones, self.subject.text, self._found, self._texts, self._skipped, now),
            now - self._started,
            expires - now if now < expires < float("inf") else None,
            tuple(core.zones[zone].name for zone in pending),
        )


def score_bounds(zone: Zone) -> tuple[float, float]:
    """The least and the most that a zone's answer can add to the score: see `interpret.read`."""
    if zone.filters:
        weights = [entry.weight for entry in zone.filters]
    else:
        listed = [code for code in zone.codes if code.outcome == "listed"]
        weights = [zone.weight if code.weight is None else code.weight for code in listed] or [zone.weight]
    least = sum(min(weight, 0.0) for weight in weights)
    most = sum(max(weight, 0.0) for weight in weights)
    failed = failure_weight(zone)
    return round(min(least, failed), DECIMALS), round(max(most, failed), DECIMALS)
