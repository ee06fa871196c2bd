"""The server's thread: receives queries over UDP and TCP, sends replies when they are due.

A reply that is to wait stands in a queue ordered by time, so it holds up no other. Everything that grows is
bounded: replies waiting, connections, bytes not yet sent. Datagrams from beyond loopback are not answered.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from dnsbl.testing.wire import Reply, Transport

Respond = Callable[[bytes, Transport, int], Reply]
"""(message, transport, client port) -> what to do with it."""

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_BATCH_DATAGRAMS = 64  # read at one go, so that TCP and waiting replies get their turn
_MAX_WAITING = 100_000
_MAX_CONNECTIONS = 500
_MAX_UNSENT_BYTES = 1 << 20
_MAX_READY = 1000
_JOIN_S = 10.0


class Loop:
    """Runs from the moment it is made until `close()`; owns the two sockets it is given."""

    def __init__(self, udp: socket.socket, tcp: socket.socket, respond: Respond) -> None:
        self._udp, self._tcp, self.respond = udp, tcp, respond
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._connections: set[_Connection] = set()
        self._stopping = False
        self._wake_read, self._wake_write = socket.socketpair()
        self.selector = selectors.DefaultSelector()
        for sock, ready in ((udp, self._read_udp), (tcp, self._accept), (self._wake_read, _nothing)):
            self.selector.register(sock, _READ, ready)
        # A daemon, so that a server nobody stopped does not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._run, name="dnsbl-test-server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and close every socket. Raises RuntimeError if a handler blocks for over 10 s."""
        self._stopping = True
        self._wake_write.send(b"\0")
        self._thread.join(_JOIN_S)
        # Not by the thread: it may be gone, having seen `_stopping`, before the byte above is sent.
        self._wake_read.close()
        self._wake_write.close()
        if self._thread.is_alive():
            raise RuntimeError(f"the test server did not end within {_JOIN_S:g} s; a handler blocks it")

    def later(self, delay_s: float, do: Callable[[], None]) -> None:
        """Call `do` in the thread, `delay_s` seconds from now; at once if that is not positive."""
        if delay_s <= 0:
            do()
        elif len(self._waiting) < _MAX_WAITING:
            heapq.heappush(self._waiting, (time.monotonic() + delay_s, next(self._numbers), do))

    def forget(self, connection: _Connection) -> None:
        """Drop a connection that was closed."""
        self._connections.discard(connection)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._run_due()
                for key, events in self.selector.select(self._wait_s()):
                    key.data(events)
        finally:
            for connection in tuple(self._connections):
                connection.close()
            self.selector.close()
            self._udp.close()
            self._tcp.close()

    def _wait_s(self) -> float | None:
        return max(self._waiting[0][0] - time.monotonic(), 0.0) if self._waiting else None

    def _run_due(self) -> None:
        now_s = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now_s:
            heapq.heappop(self._waiting)[2]()

    def _read_udp(self, events: int) -> None:
        for _ in range(_BATCH_DATAGRAMS):
            try:
                wire, client = self._udp.recvfrom(65_535)
            except OSError:  # nothing left, or an ICMP error of an earlier reply
                return
            if not _is_loopback(client[0]):
                continue
            reply = self.respond(wire, "udp", client[1])
            if reply.wire is None:
                continue
            if reply.delay_s <= 0:
                self._send_udp(reply.wire, client)
            else:
                self._send_udp_later(reply.wire, client, reply.delay_s)

    def _send_udp_later(self, wire: bytes, client: tuple[str, int], delay_s: float) -> None:
        self.later(delay_s, lambda: self._send_udp(wire, client))

    def _send_udp(self, wire: bytes, client: tuple[str, int]) -> None:
        with suppress(OSError):  # the client is gone or its buffer full: UDP may lose a datagram
            self._udp.sendto(wire, client)

    def _accept(self, events: int) -> None:
        try:
            sock, client = self._tcp.accept()
        except OSError:  # the client went away meanwhile
            return
        if len(self._connections) >= _MAX_CONNECTIONS or not _is_loopback(client[0]):
            sock.close()
            return
        self._connections.add(_Connection(self, sock, client[1]))


class _Connection:
    """One TCP connection: messages with a length before each, replies one after the other."""

    def __init__(self, loop: Loop, sock: socket.socket, client_port: int) -> None:
        self._loop, self._sock, self._client_port = loop, sock, client_port
        self._received = bytearray()
        self._unsent = bytearray()
        self._ready: deque[Reply] = deque()
        self._in_pieces = False
        self._closing = False
        self._closed = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # so that pieces stay pieces
        loop.selector.register(sock, _READ, self._on_event)

    def close(self) -> None:
        """Close now; what was not sent is lost."""
        if not self._closed:
            self._closed = True
            self._loop.selector.unregister(self._sock)
            self._sock.close()
            self._loop.forget(self)

    def _on_event(self, events: int) -> None:
        if events & _READ:
            self._read()
        if events & _WRITE and not self._closed:
            self._flush()

    def _read(self) -> None:
        try:
            data = self._sock.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received += data
        while not self._closed and len(self._received) >= 2:
            end = 2 + int.from_bytes(self._received[:2], "big")
            if len(self._received) < end:
                break
            wire = bytes(self._received[2:end])
            del self._received[:end]
            reply = self._loop.respond(wire, "tcp", self._client_port)
            self._reply_later(reply)

    def _reply_later(self, reply: Reply) -> None:
        self._loop.later(reply.delay_s, lambda: self._reply(reply))

    def _reply(self, reply: Reply) -> None:
        self._ready.append(reply)
        if len(self._ready) > _MAX_READY:
            self.close()
        self._send_ready()

    def _send_ready(self) -> None:
        while self._ready and not (self._in_pieces or self._closing or self._closed):
            reply = self._ready.popleft()
            data = b"" if reply.wire is None else len(reply.wire).to_bytes(2, "big") + reply.wire
            self._write(data, reply)

    def _write(self, data: bytes, reply: Reply) -> None:
        """Send `data`, in pieces if the reply says so, then close if it says so."""
        size = reply.piece_bytes or len(data)
        self._unsent += data[:size]
        rest = data[size:]
        self._in_pieces = bool(rest)
        self._closing = reply.close and not rest
        if len(self._unsent) > _MAX_UNSENT_BYTES:
            self.close()
            return
        self._flush()
        if rest:
            # At least a moment, or the pieces of a reply would go out without a pause between them.
            self._loop.later(max(reply.pause_s, 1e-6), lambda: self._continue(rest, reply))

    def _continue(self, rest: bytes, reply: Reply) -> None:
        if self._closed:
            return
        self._write(rest, reply)
        self._send_ready()

    def _flush(self) -> None:
        try:
            if self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if self._closing and not self._unsent:
            self.close()
            return
        self._loop.selector.modify(self._sock, _READ | _WRITE if self._unsent else _READ, self._on_event)


def _nothing(events: int) -> None:
    """The wake-up needs no more than the loop going round."""


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"
