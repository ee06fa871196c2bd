"""Lookups in an asyncio event loop, whose descriptor is read when something is ready; and streams of many.

Imported by the first asynchronous lookup, because importing asyncio takes long.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Final

from dnsbl.cache.clock import now as clock
from dnsbl.engine._engine import Completions
from dnsbl.errors import ForkedError
from dnsbl.lookup.core import Core
from dnsbl.lookup.lookup import Lookup
from dnsbl.lookup.stream import Result, Stream

MANY: Final = 1 << 30

AT_ONCE: Final = 32
"""Lookups handled, or begun by a stream, until the loop's other callbacks have their turn."""

LATE_S: Final = 1.0
"""How long after its deadline a lookup is ended here if its ticket did not tell: a loop may be late."""


class LoopWaiter:
    """One event loop's completion list. Made and used in that loop's thread, except `close_soon`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.completions = Completions(with_fd=True)
        self.pending: set[Lookup] = set()
        self._late: asyncio.TimerHandle | None = None
        self._fd = self.completions.fileno()
        loop.add_reader(self._fd, self._ready)

    def watch(self, lookup: Lookup) -> None:
        """Someone waits for this lookup. Its ticket tells of its deadline; where it does not, because the
        engine has ended itself, one timer for all ends the lookup some time after."""
        self.pending.add(lookup)
        if self._late is None:
            self._late = self.loop.call_later(LATE_S, _end_late_of, weakref.ref(self))

    def end_late(self) -> None:
        """End what should have ended some time ago, and come back while anybody waits."""
        self._late, now = None, clock() - LATE_S
        for lookup in [each for each in self.pending if each.deadline <= now]:
            _expire(lookup)
        if self.pending:
            self._late = self.loop.call_later(LATE_S, _end_late_of, weakref.ref(self))

    def _ready(self, most: int = AT_ONCE) -> None:
        for ticket in self.completions.drain(most):
            lookup: Lookup = ticket.owner
            if lookup.on_done is None:
                continue
            try:
                finished = lookup.advance()
            except Exception as error:  # of this lookup: the others have news too
                lookup.failed, finished = error, True
            if finished:
                end(lookup)
            self.completions.give_way()

    def forked(self) -> None:
        """In a child after fork(): nobody will wake those who wait here."""
        if not self.loop.is_closed():
            self.loop.call_soon(_fail_all, [*self.pending])

    def close(self) -> None:
        """Hand out what is ready, then let go of the descriptor. In the loop's thread."""
        self._ready(MANY)
        self.let_go()

    def let_go(self) -> None:
        """As `close`, of one that has nothing to hand out any more."""
        if not self.loop.is_closed():
            self.loop.remove_reader(self._fd)

    def close_soon(self) -> None:
        """As `close`, from any thread."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self.close)


def loop_waiter(core: Core, stream: object = None) -> LoopWaiter:
    """The running loop's completion list, made if need be. stream: one of its own."""
    loop = asyncio.get_running_loop()
    core.enter()
    with core.lock:
        core.raise_if_closed()
        found = core.of_loop.get((loop, stream))
        if found is None:
            for other in [other for other in core.of_loop if other[0].is_closed()]:
                del core.of_loop[other]
            found = core.of_loop[loop, stream] = LoopWaiter(loop)
        return found


def _end_late_of(found: weakref.ref[LoopWaiter]) -> None:
    """The timer's part: it keeps no list alive, nor its descriptors."""
    waiter = found()
    if waiter is not None:
        waiter.end_late()


def end(lookup: Lookup) -> None:
    """Tell who waits for a lookup, once."""
    done, lookup.on_done = lookup.on_done, None
    if done is not None:
        done(lookup)


def _fail_all(lookups: Iterable[Lookup]) -> None:
    for lookup in lookups:
        lookup.failed = ForkedError("begun before fork(): begin it anew in the child")
        end(lookup)


async def finish(lookup: Lookup, waiter: LoopWaiter) -> None:
    """Wait until the lookup's verdict is there. Cancelled: its answers still reach the cache."""
    future = asyncio.get_running_loop().create_future()

    def done(_: Lookup) -> None:
        if not future.done():
            future.set_result(None)

    lookup.on_done = done
    waiter.watch(lookup)
    try:
        await future
    finally:
        waiter.pending.discard(lookup)
        if lookup.on_done is not None:
            lookup.on_done = None
            lookup.abandon()
    if lookup.failed is not None:
        raise lookup.failed


def _expire(lookup: Lookup) -> None:
    if lookup.on_done is not None:
        try:
            lookup.expire()
        except Exception as error:
            lookup.failed = error
        end(lookup)


async def results_async(
    begin: Callable[[object], Lookup | Result],
    subjects: Iterable[object] | AsyncIterable[object],
    ordered: bool,
    room: Callable[[int], bool],
) -> AsyncGenerator[Result, None]:
    """What becomes of each subject that is begun, while there is `room` beside so many.

    The source is read in a task of its own, so that no verdict waits for its next item.
    """
    stream, news, taken = Stream(ordered), asyncio.Event(), asyncio.Event()

    def finished(lookup: Lookup) -> None:
        stream.finished(lookup)
        news.set()

    async def feed() -> None:
        begun = 0
        async for subject in _as_async(subjects):
            item = begin(subject)
            if isinstance(item, Lookup):
                item.on_done = finished
            stream.add(item)
            news.set()
            begun += 1
            if begun % AT_ONCE == 0:
                await asyncio.sleep(0)  # a source that never waits would keep all others waiting
            while not room(stream.size):
                taken.clear()
                await taken.wait()

    feeder = asyncio.create_task(feed())
    feeder.add_done_callback(lambda _: news.set())
    try:
        while stream.size or not feeder.done():
            await _news_or_end(stream, news)
            for result in stream.ready():
                taken.set()
                yield result
        feeder.result()  # raises what the source raised, when all it gave before has been handed out
    finally:
        stream.abandon()
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)


async def _news_or_end(stream: Stream, news: asyncio.Event) -> None:
    """Until there is news, or a lookup's deadline has passed of which nothing told."""
    wait_s = stream.wait_s(clock()) + LATE_S if stream.under_way else None
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await news.wait()
    news.clear()
    if wait_s is not None:
        stream.expire(clock() - LATE_S)


async def _as_async(subjects: Iterable[object] | AsyncIterable[object]) -> AsyncIterator[object]:
    if isinstance(subjects, AsyncIterable):
        async for subject in subjects:
            yield subject
    else:
        for subject in subjects:
            yield subject
