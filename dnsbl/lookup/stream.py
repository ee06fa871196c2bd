"""Many lookups at once: a bounded window of them, and their results as they come or in order.

`results` is for a blocking caller; that of an event loop is in `dnsbl.lookup.aio`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeAlias

from dnsbl.errors import SubjectError
from dnsbl.lookup.lookup import Lookup
from dnsbl.model import Verdict

if TYPE_CHECKING:
    from dnsbl.engine._engine import Ticket, Waiter

Result: TypeAlias = Verdict | SubjectError

WAIT_S: Final = 60.0
"""Every lookup ends by its deadline, so this only bounds one wait among several."""


class Stream:
    """Lookups under way and results not yet handed out; `size` counts both, so that memory is bounded."""

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._places: deque[Lookup | Result] = deque()  # ordered: all; else only what is ready
        self._open: set[Lookup] = set()

    @property
    def size(self) -> int:
        return len(self._places) if self._ordered else len(self._places) + len(self._open)

    def add(self, item: Lookup | Result) -> None:
        """A lookup under way, or the result of one that was answered at once."""
        if isinstance(item, Lookup):
            self._open.add(item)
            if not self._ordered:
                return
        self._places.append(item)

    def finished(self, lookup: Lookup) -> None:
        self._open.discard(lookup)
        if not self._ordered:
            self._places.append(lookup.verdict)

    def take(self, tickets: Iterable[Ticket]) -> None:
        """Lookups have news: take in what they have, and their verdicts where they are finished."""
        for ticket in tickets:
            lookup: Lookup = ticket.owner
            if lookup in self._open and lookup.advance():
                self.finished(lookup)

    def ready(self) -> Iterator[Result]:
        """The results that can be handed out now."""
        while self._places:
            first = self._places[0]
            if isinstance(first, Lookup):
                if first in self._open:
                    return
                first = first.verdict
            self._places.popleft()
            yield first

    def abandon(self) -> None:
        for lookup in self._open:
            lookup.abandon()
        self._open.clear()


def results(
    begin: Callable[[object], Lookup | Result],
    subjects: Iterable[object],
    waiter: Waiter,
    ordered: bool,
    window: int,
) -> Iterator[Result]:
    """What becomes of each subject that is begun on `waiter`, at most `window` at once."""
    stream, source, more = Stream(ordered), iter(subjects), True
    try:
        while more or stream.size:
            while more and stream.size < window:
                try:
                    stream.add(begin(next(source)))
                except StopIteration:
                    more = False
                stream.take(waiter.drain())  # a slow source holds no verdict up
                yield from stream.ready()
            if stream.size:
                stream.take(waiter.wait(WAIT_S))
                yield from stream.ready()
    finally:
        stream.abandon()
