"""The loopback server: one thread, one port, UDP and TCP.

What a reply says is decided in `zone.py` and `faults.py`, receiving and sending is done in `loop.py`; here
queries are counted and led to their zone. Nothing is asked of any other server.
"""

from __future__ import annotations

import ipaddress
import random
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from types import TracebackType

from dnsbl.errors import NameserverError
from dnsbl.model import TextKind
from dnsbl.testing.faults import FaultChain
from dnsbl.testing.loop import Loop
from dnsbl.testing.wire import (
    HEADER_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_UDP_BYTES,
    MAX_UDP_PLAIN_BYTES,
    ParsedQuestion,
    Query,
    Reply,
    Transport,
    as_tuple,
    build_reply,
    error_reply,
    find_opt,
    read_question,
)
from dnsbl.testing.zone import Zone, zone_name

_FORMERR, _SERVFAIL, _NOTIMP, _REFUSED = 1, 2, 4, 5
_IN = 1
_LOG_QUERIES = 100_000
_RECEIVE_BUFFER_BYTES = 4 << 20
# Below the ranges Linux (32768 on) and macOS (49152 on) give to clients: no client's socket takes the
# port while the server is stopped, and no client connects to itself on it.
_PORTS = range(20_000, 32_000)
_BIND_TRIES = 100


class DnsblServer(FaultChain):
    """A DNS blocklist server on loopback, for tests.

    zones: names of zones to have from the start, each as `zone(name)` makes it.
    host: 127.0.0.1, another address of 127.0.0.0/8, or ::1; anything else is a NameserverError.
    port: UDP and TCP; 0 finds a free one. It stays the same over `stop()` and `start()`.

    A context manager: started on entry, stopped on exit, no thread or socket left. A name in no zone is
    REFUSED. Faults set here (`fault`, `heal`) come before those of a zone and meet every query.

    >>> with DnsblServer(zones=["bl.example"]) as server:
    ...     server.zone("bl.example").list("192.0.2.99", txt="spam seen")
    ...     server.nameserver                              # doctest: +SKIP
    '127.0.0.1:20853'
    """

    def __init__(self, zones: str | Iterable[str] = (), *, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__()
        if not _is_loopback(host):
            raise NameserverError(
                f"no loopback address: {host!r}; the test server listens on those only", host
            )
        self._host = host
        self._port = port
        self._zones: dict[str, Zone] = {}
        self._deepest = 0
        self._log: deque[Query] = deque(maxlen=_LOG_QUERIES)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._log_lock = threading.Lock()
        self._loop: Loop | None = None
        self._error: Exception | None = None
        for name in as_tuple(zones):
            self.zone(name)

    def zone(
        self,
        name: str,
        subjects: TextKind | Iterable[TextKind] | None = None,
        *,
        test_points: bool | None = None,
    ) -> Zone:
        """The zone of that name, made if it is not there yet.

        subjects: what is listed there, any of "ip4", "ip6" (the default, both) and "domain"; it only
            decides which test points of RFC 5782 section 5 the new zone has.
        test_points: False makes a zone without them; default True.

        Raises ZoneError for an unusable name, ValueError if options are given for a zone that is there.

        >>> server.zone("uri.example", subjects="domain").list("example.com")      # doctest: +SKIP
        """
        key = zone_name(name)
        if key in self._zones:
            if subjects is not None or test_points is not None:
                raise ValueError(f"the zone {key} is there already; options only count when it is made")
            return self._zones[key]
        zone = Zone(
            key,
            ("ip4", "ip6") if subjects is None else subjects,
            test_points=test_points is not False,
        )
        self._zones[key] = zone
        self._deepest = max(self._deepest, key.count(".") + 1)
        return zone

    @property
    def port(self) -> int:
        """The port, of UDP and TCP. Raises RuntimeError before the first start if it is to be found."""
        if not self._port:
            raise RuntimeError("the server has no port before it was started")
        return self._port

    @property
    def nameserver(self) -> str:
        """Where it listens, `127.0.0.1:PORT` or `[::1]:PORT`."""
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    @property
    def queries(self) -> list[Query]:
        """The last 100,000 queries, oldest first; those without a readable question are not among them."""
        with self._log_lock:
            return list(self._log)

    def count(self, zone: str | None = None, type: str | None = None) -> int:
        """How many queries came since the last `clear()`, of this zone and record type if given.

        zone: its name; the empty text counts those that belong to none. type: A, TXT, ...
        """
        name = zone_name(zone) if zone else zone
        with self._log_lock:
            counts = list(self._counts.items())
        return sum(
            number
            for (of_zone, of_type), number in counts
            if name in (None, of_zone) and type in (None, of_type)
        )

    def clear(self) -> None:
        """Forget the queries so far; entries and faults stay."""
        with self._log_lock:
            self._log.clear()
            self._counts.clear()

    def start(self) -> None:
        """Listen, on the same port as before if it ran before.

        Raises OSError if the port is taken, RuntimeError if the server runs.
        """
        if self._loop:
            raise RuntimeError("the server runs already")
        udp, tcp = _bind(self._host, self._port)
        self._port = udp.getsockname()[1]
        self._loop = Loop(udp, tcp, self._respond)

    def stop(self) -> None:
        """Stop listening and close every connection; replies that wait are dropped. Entries stay.

        Does nothing if the server does not run. Raises what a handler of yours raised meanwhile.
        """
        if self._loop:
            self._loop.close()
            self._loop = None
        error, self._error = self._error, None
        if error:
            raise error

    def __enter__(self) -> DnsblServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except Exception:
            if error is None:  # else the test's own failure is the one to see
                raise

    def _respond(self, wire: bytes, transport: Transport, client_port: int) -> Reply:
        if len(wire) < HEADER_BYTES or wire[2] & 0x80:  # no query: answering could make a loop
            return Reply(None)
        if wire[2] & 0x78:
            return Reply(error_reply(wire, _NOTIMP))
        question = read_question(wire)
        if question is None:
            return Reply(error_reply(wire, _FORMERR))
        zone, below = self._find_zone(question.labels)
        payload = find_opt(wire, question.end)
        limit = MAX_MESSAGE_BYTES
        if transport == "udp":
            limit = max(MAX_UDP_PLAIN_BYTES, min(payload or 0, MAX_UDP_BYTES))
        query = Query(
            question.name,
            question.type,
            payload is not None,
            transport,
            client_port,
            time.monotonic(),
            zone.name if zone else "",
            wire,
            question.end,
            limit,
        )
        with self._log_lock:
            self._log.append(query)
            self._counts[query.zone, query.type] += 1
        try:
            reply = self.respond(query, lambda: _answer(zone, below, question, query))
            if reply.wire is not None and len(reply.wire) > MAX_MESSAGE_BYTES:
                raise ValueError(f"a reply of {len(reply.wire)} bytes; DNS carries {MAX_MESSAGE_BYTES}")
            return reply
        except Exception as error:  # a handler's; raised by stop(), where the test sees it
            self._error = self._error or error
            return Reply(build_reply(query, _SERVFAIL))

    def _find_zone(self, labels: Sequence[str]) -> tuple[Zone | None, Sequence[str]]:
        """The zone nearest to the name, and the labels below it."""
        for at in range(max(len(labels) - self._deepest, 0), len(labels)):
            zone = self._zones.get(".".join(labels[at:]))
            if zone:
                return zone, labels[:at]
        return None, ()


def _answer(zone: Zone | None, below: Sequence[str], question: ParsedQuestion, query: Query) -> Reply:
    if zone is None or question.class_number != _IN:
        return Reply(build_reply(query, _REFUSED))
    return zone.respond(query, lambda: zone.answer(query, below))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bind(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a listening TCP socket on one port, non-blocking."""
    for tries_left in reversed(range(1 if port else _BIND_TRIES)):
        try:
            return _bind_both(host, port or random.choice(_PORTS))
        except OSError:
            if not tries_left:
                raise
    raise AssertionError


def _bind_both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tcp = socket.socket(family, socket.SOCK_STREAM)
    udp = socket.socket(family, socket.SOCK_DGRAM)
    try:
        # Past connections in TIME_WAIT would keep the port for a minute.
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((host, port))
        udp.bind((host, port))
        tcp.listen(128)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        tcp.setblocking(False)
        udp.setblocking(False)
    except BaseException:
        tcp.close()
        udp.close()
        raise
    return udp, tcp
