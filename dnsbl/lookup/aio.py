"""Lookups in an asyncio event loop, whose descriptor is read when something is ready; and streams of many.

Imported by the first asynchronous lookup, because importing asyncio takes long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import suppress

from dnsbl.engine._engine import Waiter
from dnsbl.lookup.lookup import Lookup
from dnsbl.lookup.stream import Result, Stream


class LoopWaiter:
    """One event loop's completion list. Made and used in that loop's thread, except `close_soon`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.waiter = Waiter(with_fd=True)
        self._fd = self.waiter.fileno()
        loop.add_reader(self._fd, self._ready)

    def _ready(self) -> None:
        for ticket in self.waiter.drain():
            lookup: Lookup = ticket.owner
            if lookup.on_done is not None and lookup.advance():
                done, lookup.on_done = lookup.on_done, None
                done(lookup)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand out what is ready, then let go of the descriptor. In the loop's thread."""
        self._ready()
        if not loop.is_closed():
            loop.remove_reader(self._fd)

    def close_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """As `close`, from any thread."""
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(self.close, loop)


async def finish(lookup: Lookup) -> None:
    """Wait until the lookup's verdict is there. Cancelled: its answers still reach the cache."""
    future = asyncio.get_running_loop().create_future()

    def done(_: Lookup) -> None:
        if not future.done():
            future.set_result(None)

    lookup.on_done = done
    try:
        await future
    finally:
        if lookup.on_done is not None:
            lookup.on_done = None
            lookup.abandon()


async def results_async(
    begin: Callable[[object], Lookup | Result],
    subjects: Iterable[object] | AsyncIterable[object],
    ordered: bool,
    window: int,
) -> AsyncGenerator[Result, None]:
    """What becomes of each subject that is begun, at most `window` at once.

    The source is read in a task of its own, so that no verdict waits for its next item.
    """
    stream, news, room = Stream(ordered), asyncio.Event(), asyncio.Event()

    def finished(lookup: Lookup) -> None:
        stream.finished(lookup)
        news.set()

    async def feed() -> None:
        async for subject in _as_async(subjects):
            item = begin(subject)
            if isinstance(item, Lookup):
                item.on_done = finished
            stream.add(item)
            news.set()
            while stream.size >= window:
                room.clear()
                await room.wait()

    feeder = asyncio.create_task(feed())
    feeder.add_done_callback(lambda _: news.set())
    try:
        while stream.size or not feeder.done():
            await news.wait()
            news.clear()
            for result in stream.ready():
                room.set()
                yield result
            if feeder.done():
                feeder.result()  # raises what the source raised
    finally:
        stream.abandon()
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)


async def _as_async(subjects: Iterable[object] | AsyncIterable[object]) -> AsyncIterator[object]:
    if isinstance(subjects, AsyncIterable):
        async for subject in subjects:
            yield subject
    else:
        for subject in subjects:
            yield subject
