"""The engine's completions in an asyncio event loop: one descriptor per loop, read when something is ready.

Imported by the first asynchronous lookup, because importing asyncio takes long.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from dnsbl.engine._engine import Waiter
from dnsbl.lookup import Lookup


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
