"""One connection from Postfix: bytes to requests, requests to replies, in order and in bounded memory.

What bounds it: one request is answered at a time, the next is taken when its reply is out, and nothing more
is read meanwhile than one piece of `READ_BYTES` beyond a request. A client that does not read its replies is
not read from either. A client that stops within a request, or does not read, is closed after the read
timeout; one that is silent between requests after the idle timeout.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from dnsbl.policy.protocol import ProtocolError, RequestReader
from dnsbl.policyd.log import Log
from dnsbl.policyd.service import Pending, Service
from dnsbl.policyd.stats import Stats

READ_BYTES: Final = 16_384
TURN_REQUESTS: Final = 8
"""How many requests of one connection are answered before the others have their turn."""

WRITE_BYTES: Final = 16_384
"""A client with more than this many bytes of replies unread is not answered further."""

# One buffer for all connections: an event loop over selectors reads into it and hands it over at once, in
# one thread, before it reads for another connection. (A Protocol would get 256 KiB, new for every read.)
_BUFFER: Final = memoryview(bytearray(READ_BYTES))


class Owner(Protocol):
    """The server that a connection belongs to."""

    service: Service
    log: Log
    stats: Stats

    def opened(self, connection: Connection) -> bool:
        """Take the connection in; False: there are too many."""

    def closed(self, connection: Connection) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """The server's side of one connection."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._reader = RequestReader()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._busy = False  # a reply is being worked on, or the others have their turn
        self._stalled = False  # the client does not read
        self._paused = False  # nothing is read from the client
        self._eof = False  # the client has sent all: close once it is answered
        self._ending = False  # the server ends: close once nothing is left to answer
        self._within = False  # a request has begun and not ended
        self._task: asyncio.Task[None] | None = None
        self._since = self._loop.time()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if not self._owner.opened(self):
            transport.abort()
            return
        self._transport = transport
        transport.set_write_buffer_limits(WRITE_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self._reader.feed(_BUFFER[:nbytes])
        if self._busy or self._stalled:
            self._pause()
        else:
            self._work()

    def eof_received(self) -> bool:
        """The client has sent all; what it asked is still answered."""
        self._eof = True
        if not (self._busy or self._stalled):
            self._wait_for_more()
        return True  # closed by us, when all is answered

    def pause_writing(self) -> None:
        self._stalled = True
        self._since = self._loop.time()

    def resume_writing(self) -> None:
        self._stalled = False
        if not self._busy:
            self._work()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._owner.closed(self)
            self._transport = None
        if self._task is not None:
            self._task.cancel()

    # What the server calls

    def check_time(self, now: float, idle_timeout_s: float, read_timeout_s: float) -> None:
        """Close the connection if it has not gone on for too long. now: the event loop's time."""
        transport = self._transport
        if transport is None:
            return
        waited_s = now - self._since
        if self._stalled or transport.is_closing():
            if waited_s > read_timeout_s:
                self._give_up(transport, f"did not read its replies for {waited_s:.0f} s")
        elif self._busy:
            return
        elif self._within:
            if waited_s > read_timeout_s:
                self._give_up(transport, f"did not end its request within {waited_s:.0f} s")
        elif waited_s > idle_timeout_s:
            transport.close()

    def end(self) -> None:
        """Close once all that has come is answered; at once where there is nothing."""
        self._ending = True
        if not (self._busy or self._stalled):
            self._wait_for_more()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    # Inside

    def _work(self) -> None:
        """Answer what has come, until an answer has to be waited for."""
        transport = self._transport
        if transport is None:
            return
        for _ in range(TURN_REQUESTS):
            if self._stalled or transport.is_closing():  # or the client has gone: asyncio warns of each write
                return
            try:
                request = self._reader.next()
            except ProtocolError as error:
                self._broken(transport, str(error))
                return
            if request is None:
                self._wait_for_more()
                return
            self._within = False
            answer = self._owner.service.begin(request)
            if isinstance(answer, Pending):
                self._busy = True
                self._task = self._loop.create_task(self._finish(answer))
                return
            transport.write(answer)
        self._busy = True
        self._loop.call_soon(self._go_on)

    async def _finish(self, pending: Pending) -> None:
        reply = await self._owner.service.finish(pending)
        self._task = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(reply)
        self._go_on()

    def _go_on(self) -> None:
        self._busy = False
        if not self._stalled:
            self._work()

    def _wait_for_more(self) -> None:
        """All that was complete is answered: read on, or end."""
        transport = self._transport
        if transport is None:
            return
        unfinished = self._reader.size_bytes > 0
        if not (unfinished and self._within):
            self._since = self._loop.time()  # of an unfinished request, its beginning
        self._within = unfinished
        if self._eof or (self._ending and not unfinished):
            if unfinished:
                self._owner.log.info("a client closed its connection within a request")
            transport.close()
        elif self._paused:
            self._paused = False
            transport.resume_reading()

    def _pause(self) -> None:
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _broken(self, transport: asyncio.Transport, what: str) -> None:
        """In trouble: log, send no reply, and disconnect (SMTPD_POLICY_README)."""
        self._owner.stats.broken += 1
        self._owner.log.warning(f"a client sent {what}; its connection is closed")
        self._reader = RequestReader()
        self._since = self._loop.time()
        transport.close()

    def _give_up(self, transport: asyncio.Transport, what: str) -> None:
        self._owner.stats.broken += 1
        self._owner.log.warning(f"a client {what}; its connection is closed")
        transport.abort()
