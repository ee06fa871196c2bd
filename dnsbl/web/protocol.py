"""uvicorn's HTTP protocol with bounds it has not: on the size of a request's head, and on slow clients.

A client that connects and is silent, that sends its head by the byte, or that does not take its reply, is
closed; each holds one of a bounded number of connections until then.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 32_768
HEAD_S: Final = 5.0
"""From a connection's or request's first byte to the end of its head."""
WRITE_S: Final = 30.0
"""How long a client may leave what was sent to it lying."""
SPARE: Final = 32
"""Connections over the limit that are still told 503; more are closed at once."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._head_since: float | None = None
        """When the head began that is not whole yet; None while there is none."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        limit = self.limit_concurrency
        if limit is not None and len(self.connections) > limit + SPARE:
            transport.abort()
            return
        self._head_since = self.loop.time()
        self._head_timer = self.loop.call_later(HEAD_S, self._look_at_head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:  # still: all of it was head
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        if self._head_since is None:
            self._head_since = self.loop.time()

    def on_headers_complete(self) -> None:
        self._in_head, self._head_since = False, None
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _look_at_head(self) -> None:
        """One timer a connection, not one a request, which would cost each of them some microseconds."""
        since, now = self._head_since, self.loop.time()
        if since is not None and now >= since + HEAD_S:
            self._head_timer = None
            self.transport.abort()
            return
        self._head_timer = self.loop.call_later(
            HEAD_S if since is None else since + HEAD_S - now, self._look_at_head
        )

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._write_timer = None
