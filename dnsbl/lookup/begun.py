"""A lookup that has begun in an event loop, for who may not wait for all of it; see `Resolver.begin`.

One lookup, begun once: what the cache holds is known at once, each zone's answer as it comes (`follow`), and
the lists' reasons before the last answer is there (`ask_reasons`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from dnsbl.cache.answers import Key
from dnsbl.cache.clock import now as clock
from dnsbl.lookup.aio import end
from dnsbl.lookup.core import Core
from dnsbl.lookup.lookup import Decide, Lookup
from dnsbl.lookup.values import Asked, Found, PlainFound, Wait, bits, plain_of
from dnsbl.model import Outcome, Status, Verdict
from dnsbl.subject import Subject

if TYPE_CHECKING:
    from dnsbl.engine._engine import Completions
    from dnsbl.lookup.aio import LoopWaiter

_LISTED: Final = Outcome.LISTED


class FollowedLookup(Lookup):
    """A lookup that tells what it knows before it ends. on_news: called after each answer, once followed."""

    __slots__ = ("_asked_texts", "_text_waits", "on_news")

    def __init__(
        self,
        core: Core,
        subject: Subject,
        completions: Completions | None,
        started: float,
        deadline_s: float,
        decide: Decide | None,
    ) -> None:
        super().__init__(core, subject, completions, started, deadline_s, decide)
        self._text_waits: list[Wait] = []
        self._asked_texts = 0
        self.on_news: Callable[[], None] | None = None

    @property
    def awaits_reasons(self) -> bool:
        """Some list has been asked for its reason and has not answered."""
        return self._reasoning or any(wait.zones & wait.ticket.fan.tag.open for wait in self._text_waits)

    def so_far(self) -> Verdict:
        """What is known now; `Verdict.pending` names the zones whose answers are still to come."""
        found, plain, pending = self._found_so_far()
        texts = dict(self._texts)
        for ticket, wanted in self._waits if self._reasoning else self._text_waits:
            answers = ticket.fan.answers()
            for zone in bits(wanted):
                if zone in answers:
                    texts[zone] = self._core.questions.clean_texts(zone, answers[zone].texts)
        return self._verdict_of(found, plain, texts, pending)

    def _found_so_far(self) -> tuple[dict[int, Found], list[PlainFound], tuple[int, ...]]:
        found, plain, pending = dict(self._found), list(self._plain), []
        for ticket, wanted in () if self._reasoning else self._waits:
            asked: Asked = ticket.fan.tag
            plain += plain_of(ticket.fan, wanted)
            for zone in bits(wanted & ~asked.plain_zones):
                if zone in asked.found and asked.found[zone].wire.status != Status.UNSENT:
                    found[zone] = asked.found[zone]
                else:
                    pending.append(zone)
        return found, plain, tuple(sorted(pending))

    def follow(self) -> bool:
        """From now on be woken at every zone's answer. True: the verdict is there."""
        if self.advance():
            return True
        assert self._completions is not None
        questions, waits = self._core.questions, self._waits
        with self._core.lock:
            for at, (ticket, zones) in enumerate(waits):
                if zones & ticket.fan.tag.open:
                    waits[at] = Wait(questions.rejoin(ticket, self._completions, self.deadline), zones)
                    self._completions.forget(ticket)
        return self.advance()  # what came before the new tickets

    def ask_reasons(self) -> None:
        """Ask the lists that have the subject why, while others are still to answer."""
        core, now = self._core, clock()
        deadline = min(self.deadline, now + core.settings.reason_timeout_s)
        if self._reasoning or not core.settings.reasons or deadline <= now or self._completions is None:
            return
        wanted: dict[Key, int] = {}
        for zone, found in self._found_so_far()[0].items():
            known = zone in self._texts or self._asked_texts >> zone & 1
            if found.reading.outcome is _LISTED and not known:
                wanted[found.key] = wanted.get(found.key, 0) | 1 << zone
        with core.lock:
            if core.closed:
                return
            for key, zones in wanted.items():
                self._asked_texts |= zones
                if askable := core.admission.for_texts(key, zones):
                    self._text_waits += core.questions.ask(
                        key, askable, self._completions, now, deadline, texts=True, each=True, owner=self
                    )

    def advance(self) -> bool:
        if self._text_waits:
            with self._core.lock:
                for wait in self._text_waits:
                    self._core.questions.absorb(wait.ticket.fan)
        finished = super().advance()
        if not finished and self.on_news is not None:
            self.on_news()
        return finished

    def abandon(self) -> None:
        super().abandon()
        if self._completions is not None and self._epoch == self._core.epoch:
            for wait in self._text_waits:
                self._completions.forget(wait.ticket)
        self._text_waits = []


class Begun:
    """A lookup begun in the running event loop; to be used in that loop's thread only.

    Whoever begins one ends it: with `abandon`, which is harmless after its end.
    """

    __slots__ = ("_lookup", "_news", "_verdict", "_waiter")

    def __init__(
        self, lookup: FollowedLookup | None, waiter: LoopWaiter | None, verdict: Verdict | None
    ) -> None:
        self._lookup = lookup
        self._waiter = waiter
        self._verdict = verdict
        self._news: Callable[[], None] | None = None
        if lookup is not None and waiter is not None:
            lookup.on_done = self._done
            waiter.watch(lookup)

    @property
    def done(self) -> bool:
        """The verdict is whole, or the lookup has failed."""
        return self._lookup is None or self._verdict is not None or self._lookup.failed is not None

    @property
    def awaits_reasons(self) -> bool:
        """`ask_reasons` has asked a list that has not answered yet."""
        return not self.done and self._lookup is not None and self._lookup.awaits_reasons

    def so_far(self) -> Verdict:
        """The verdict; before `done` what is known of it, and `Verdict.pending` names the zones to come.

        Raises what the lookup has failed with.
        """
        if self._lookup is not None and self._lookup.failed is not None:
            raise self._lookup.failed
        if self._verdict is not None:
            return self._verdict
        assert self._lookup is not None
        return self._lookup.so_far()

    def tell(self, news: Callable[[], None]) -> None:
        """Have `news` called once the verdict is whole; after `follow`, at every zone's answer too."""
        self._news = news
        if self._lookup is not None:
            self._lookup.on_news = news

    def follow(self) -> None:
        """Be told of every zone's answer from now on, which costs some 20 us each."""
        if not self.done and self._lookup is not None and self._lookup.follow():
            end(self._lookup)

    def ask_reasons(self) -> None:
        """Ask those that list the subject for their TXT records now, not when all zones have answered."""
        if not self.done and self._lookup is not None:
            self._lookup.ask_reasons()

    def abandon(self) -> None:
        """Wait no longer; what is under way still reaches the cache."""
        if not self.done and self._lookup is not None and self._lookup.on_done is not None:
            self._lookup.on_done = self._lookup.on_news = None
            self._lookup.abandon()
            self._let_go()

    def _done(self, lookup: Lookup) -> None:
        if lookup.failed is None:
            self._verdict = lookup.verdict
        self._let_go()
        if self._news is not None:
            self._news()

    def _let_go(self) -> None:
        if self._waiter is not None and self._lookup is not None:
            self._waiter.pending.discard(self._lookup)
