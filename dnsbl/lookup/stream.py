"""Many lookups at once: a bounded window of them, and their results as they come or in order.

`results`, and `wait_for` for one lookup, are for a blocking caller; those of an event loop are in `dnsbl.lookup.aio`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from dnsbl.cache.clock import now as clock
from dnsbl.errors import SubjectError
from dnsbl.lookup.lookup import Lookup
from dnsbl.lookup.upstream import Upstream
from dnsbl.model import Verdict

if TYPE_CHECKING:
    from dnsbl.engine._engine import Completions, Ticket

Result: TypeAlias = Verdict | SubjectError

GRACE_S: Final = 0.05
"""How much later than its deadline a lookup may end."""

LEAST: Final = 16
"""So many lookups a stream may have under way however much waits at the nameservers: others may fill them."""


class Stream:
    """Lookups under way and results not yet handed out; `size` counts both, so that memory is bounded."""

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._places: deque[Lookup | Result] = deque()  # ordered: all; else only what is ready
        self._open: set[Lookup] = set()
        self._begun: deque[Lookup] = deque()

    @property
    def size(self) -> int:
        return len(self._places) if self._ordered else len(self._places) + len(self._open)

    @property
    def under_way(self) -> bool:
        """Some lookup has not ended."""
        return bool(self._open)

    def add(self, item: Lookup | Result) -> None:
        """A lookup under way, or the result of one that was answered at once."""
        if isinstance(item, Lookup):
            self._open.add(item)
            self._begun.append(item)
            if not self._ordered:
                return
        self._places.append(item)

    def finished(self, lookup: Lookup) -> None:
        self._open.discard(lookup)
        if not self._ordered:
            self._places.append(lookup)

    def take(self, tickets: Iterable[Ticket], pause: Callable[[], None]) -> None:
        """Lookups have news: take in what they have, and their verdicts where they are finished.

        pause: called between one and the next.
        """
        for ticket in tickets:
            lookup: Lookup = ticket.owner
            if lookup in self._open and lookup.advance():
                self.finished(lookup)
            pause()

    def wait_s(self, now: float) -> float:
        """Seconds until the first of the lookups under way ought to have ended; 0.0: at once."""
        first = self._first()
        return 0.0 if first is None else max(0.0, first.deadline + GRACE_S - now)

    def expire(self, now: float) -> None:
        """End the lookups of which no ticket told that their deadline has passed."""
        while (first := self._first()) is not None and first.deadline + GRACE_S <= now:
            first.expire()
            self.finished(first)

    def _first(self) -> Lookup | None:
        """The lookup under way that was begun first, and so ends first."""
        while self._begun and self._begun[0] not in self._open:
            self._begun.popleft()
        return self._begun[0] if self._begun else None

    def ready(self) -> Iterator[Result]:
        """The results that can be handed out now. Raises what a lookup failed with."""
        while self._places:
            first = self._places[0]
            if isinstance(first, Lookup):
                if first in self._open:
                    return
                if first.failed is not None:
                    raise first.failed
                first = first.verdict
            self._places.popleft()
            yield first

    def abandon(self) -> None:
        for lookup in self._open:
            lookup.abandon()
        self._open.clear()


def wait_for(lookup: Lookup, completions: Completions) -> Verdict:
    """Begin a lookup and wait for its verdict in this thread."""
    finished = False
    try:
        finished = lookup.start()
        while not finished:
            left_s = lookup.deadline + GRACE_S - clock()
            if left_s <= 0:
                lookup.expire()
                break
            completions.wait(left_s)
            finished = lookup.advance()
    finally:
        completions.tell()  # of questions that were asked for others as well, or that nobody waited for
        if not finished:
            lookup.abandon()
    return lookup.verdict


def room_in(window: int, upstream: Upstream) -> Callable[[int], bool]:
    """Whether a stream may begin a lookup beside so many: not while more waits than can be asked soon."""
    return lambda size: size < window and (size < LEAST or not upstream.crowded)


def results(
    begin: Callable[[object], Lookup | Result],
    subjects: Iterable[object],
    completions: Completions,
    ordered: bool,
    room: Callable[[int], bool],
    check: Callable[[], None],
) -> Iterator[Result]:
    """What becomes of each subject that is begun on `completions`, while there is `room` beside so many.

    What the source raises is raised when all that it gave before has been handed out. `check` raises where
    the stream cannot go on (after a fork).
    """
    stream, source = Stream(ordered), iter(subjects)
    more, failure = True, None
    try:
        while more or stream.size:
            while more and room(stream.size):
                try:
                    subject = next(source)
                except StopIteration:
                    more = False
                except Exception as error:
                    more, failure = False, error
                else:
                    stream.add(begin(subject))
                check()
                completions.give_way()
                stream.take(completions.drain(), completions.give_way)  # a slow source holds no verdict up
                yield from stream.ready()
                check()
            if stream.size:
                stream.take(completions.wait(stream.wait_s(clock())), completions.give_way)
                stream.expire(clock())
                yield from stream.ready()
                check()
        if failure is not None:
            raise failure
    finally:
        stream.abandon()
