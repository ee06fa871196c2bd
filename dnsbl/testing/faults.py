"""Faults on demand: the chain a zone or the server keeps, and functions that make ready ones. No I/O.

Each function here returns a `Handler` for `Zone.fault()` or `DnsblServer.fault()`.

Combine them by setting several: `truncated()` and then `hang_up()` gives a list whose UDP replies point to a
TCP port that closes without an answer. A `Handler` of your own does what is not here.
"""

from __future__ import annotations

import ipaddress
import random
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

from dnsbl.testing.wire import (
    HEADER_BYTES,
    Handler,
    Query,
    Reply,
    Transport,
    as_reply,
    as_tuple,
    build_reply,
    rcode_number,
    record,
)

_FORMERR = 1


class FaultChain:
    """The faults in force, the latest asked first. Safe to change while the server runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: tuple[_Fault, ...] = ()

    def fault(
        self,
        handler: Handler,
        *,
        times: int | None = None,
        types: str | Iterable[str] | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Let `handler` answer from now on; see `dnsbl.testing` for ready ones.

        times: only the next so many queries; None: until `heal()`.
        types: only queries for these record types, such as "TXT". transport: only "udp" or "tcp".
        The latest fault is asked first and may call for the answer of the one before, so a delay and an
        rcode can be in force together.

        >>> zone.fault(delay(0.4), times=3)                    # doctest: +SKIP
        """
        if times is not None and times < 1:
            raise ValueError(f"times is {times}; give 1 or more, or None for every query")
        kinds = None if types is None else frozenset(name.upper() for name in as_tuple(types))
        with self._lock:
            self._faults = (_Fault(handler, times, kinds, transport), *self._faults)

    def heal(self) -> None:
        """End every fault set here."""
        with self._lock:
            self._faults = ()

    def respond(self, query: Query, answer: Callable[[], Reply]) -> Reply:
        """The reply to `query`, `answer()` if no fault applies."""
        faults = self._faults
        return _walk(self, faults, 0, query, answer) if faults else answer()

    def _take(self, fault: _Fault) -> bool:
        """Count one use of `fault`; False if it was used up meanwhile."""
        if fault.left is None:
            return True
        with self._lock:
            if not fault.left:
                return False
            fault.left -= 1
            if not fault.left:
                self._faults = tuple(other for other in self._faults if other is not fault)
        return True


class _Fault:
    __slots__ = ("handler", "left", "transport", "types")

    def __init__(
        self, handler: Handler, left: int | None, types: frozenset[str] | None, transport: Transport | None
    ) -> None:
        self.handler, self.left, self.types, self.transport = handler, left, types, transport

    def applies(self, query: Query) -> bool:
        return (self.types is None or query.type in self.types) and self.transport in (None, query.transport)


def _walk(
    chain: FaultChain, faults: tuple[_Fault, ...], at: int, query: Query, answer: Callable[[], Reply]
) -> Reply:
    for index in range(at, len(faults)):
        fault = faults[index]
        if fault.applies(query) and chain._take(fault):
            return as_reply(fault.handler(query, partial(_walk, chain, faults, index + 1, query, answer)))
    return answer()


def silence() -> Handler:
    """No reply at all."""
    return lambda query, answer: None


def delay(seconds: float) -> Handler:
    """The reply comes `seconds` later; other queries are answered meanwhile."""
    if not 0 <= seconds <= 3600:
        raise ValueError(f"no delay: {seconds}; give seconds, 0 to 3600")

    def late(query: Query, answer: Callable[[], Reply]) -> Reply:
        reply = answer()
        return reply._replace(delay_s=reply.delay_s + seconds)

    return late


def rcode(code: str | int) -> Handler:
    """An empty reply with this rcode: SERVFAIL, REFUSED, NOTAUTH, ... or a number from 0 to 15."""
    number = rcode_number(code)
    return lambda query, answer: build_reply(query, number)


def truncated() -> Handler:
    """Over UDP an empty reply with the TC bit set, so that the client asks again over TCP (RFC 7766)."""
    return lambda query, answer: build_reply(query, truncated=True) if query.transport == "udp" else answer()


def pieces(size_bytes: int = 1, pause_s: float = 0.001, *, close: bool = True) -> Handler:
    """Over TCP the reply comes `size_bytes` at a time, `pause_s` seconds apart; then it is closed."""
    if size_bytes < 1:
        raise ValueError(f"no piece size: {size_bytes}; give 1 byte or more")

    def in_pieces(query: Query, answer: Callable[[], Reply]) -> Reply:
        return answer()._replace(piece_bytes=size_bytes, pause_s=pause_s, close=close)

    return in_pieces


def hang_up() -> Handler:
    """Over TCP the connection closes without a reply."""
    return lambda query, answer: Reply(None, close=True) if query.transport == "tcp" else answer()


def wildcard(*codes: str, ttl: int = 300) -> Handler:
    """Every name has these A records (127.0.0.2 if none is given), as when a list closes by listing all."""
    packed = [ipaddress.IPv4Address(code).packed for code in codes or ("127.0.0.2",)]
    records = tuple(record(1, ttl, data) for data in packed)
    return lambda query, answer: build_reply(query, 0, records if query.type == "A" else ())


def parked() -> Handler:
    """Every name has one web address, 203.0.113.80, as of a list whose domain was let go."""
    return wildcard("203.0.113.80")


def stripped() -> Handler:
    """NOERROR without a record, as of a resolver whose rebinding protection takes away 127.0.0.0/8."""
    return lambda query, answer: build_reply(query)


def no_edns() -> Handler:
    """FORMERR, without an OPT record, to a query that has one (RFC 6891 section 7); others are answered."""

    def formerr(query: Query, answer: Callable[[], Reply]) -> Reply | bytes:
        return build_reply(query._replace(had_opt=False), _FORMERR) if query.had_opt else answer()

    return formerr


def garbage(kind: Literal["random", "id", "question", "half", "empty"] = "random") -> Handler:
    """A reply that is none.

    random: 64 random bytes. id: the right reply with another id. question: it answers another name. half: the
    first half of the right reply. empty: a datagram (over TCP a message) of no bytes.
    """
    if kind not in _SPOILERS:
        raise ValueError(f"no such garbage: {kind!r}; one of {', '.join(_SPOILERS)}")
    spoil = _SPOILERS[kind]

    def spoilt(query: Query, answer: Callable[[], Reply]) -> Reply:
        reply = answer()
        return reply if reply.wire is None else reply._replace(wire=spoil(reply.wire))

    return spoilt


def _other_id(wire: bytes) -> bytes:
    return bytes([wire[0] ^ 0x5A, wire[1]]) + wire[2:]


def _other_question(wire: bytes) -> bytes:
    """Change the first letter or digit of the name asked into another one."""
    at = HEADER_BYTES + 1
    other = b"y" if wire[at : at + 1] == b"x" else b"x"
    return wire[:at] + other + wire[at + 1 :]


_SPOILERS: dict[str, Callable[[bytes], bytes]] = {
    "random": lambda wire: random.randbytes(64),
    "id": _other_id,
    "question": _other_question,
    "half": lambda wire: wire[: len(wire) // 2],
    "empty": lambda wire: b"",
}
