"""DNS messages as bytes: a query taken apart, a reply put together. No I/O.

The common query is read and answered with `struct`, because dnspython takes longer over one message than
the whole server does; dnspython reads the uncommon ones and what a handler asks for (`Query.message`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

try:
    import dns.message
    import dns.name
    import dns.rcode
    import dns.rdatatype
except ImportError:
    raise ImportError(
        "dnsbl.testing needs dnspython, which is not installed: pip install 'dnsbl-resolver[testing]'"
    ) from None

if TYPE_CHECKING:
    from typing import TypeAlias

Transport = Literal["udp", "tcp"]

HEADER_BYTES = 12
_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHHIH")  # the owner as a pointer, type, class, TTL, length of the data
RECORD_BYTES = _RECORD.size
_QUESTION_POINTER = 0xC000 | HEADER_BYTES
MAX_UDP_BYTES = 1232  # what fits into one packet on any network, whatever the client would take
_OPT = b"\0" + struct.pack("!HHIH", 41, MAX_UDP_BYTES, 0, 0)
_PLAIN_NAME = re.compile(rb"[0-9A-Za-z_.-]*")
_TYPE_NAMES = {1: "A", 6: "SOA", 16: "TXT", 28: "AAAA"}
MAX_MESSAGE_BYTES = 65_535  # the length field of DNS over TCP, RFC 1035 section 4.2.2
MAX_UDP_PLAIN_BYTES = 512  # RFC 1035 section 2.3.4, for a query without EDNS


class Query(NamedTuple):
    """One query as it came in.

    name: the name asked, lower case, without a trailing dot; the root is the empty text. Bytes that are not
        printable ASCII, and dots within a label, are written as in a zone file: `\\000`, `\\.`.
    type: the record type as text: A, TXT, ...; TYPE65280 for one without a name.
    had_opt: an OPT record came with it (EDNS, RFC 6891).
    transport: udp or tcp.
    client_port: the port it came from.
    time_s: when it was read, on `time.monotonic()`.
    zone: the name of the server's zone it belongs to; empty if to none.
    wire: the whole message. question_end: where its question ends. size_limit_bytes: the longest reply taken.
    """

    name: str
    type: str
    had_opt: bool
    transport: Transport
    client_port: int
    time_s: float
    zone: str
    wire: bytes
    question_end: int
    size_limit_bytes: int

    @property
    def message(self) -> dns.message.Message:
        """The query as dnspython reads it. Raises dns.exception.DNSException if it cannot."""
        return dns.message.from_wire(self.wire)


class Reply(NamedTuple):
    """What the server does with one query.

    wire: the message to send, any bytes; None sends nothing.
    delay_s: seconds to wait first; other queries are answered meanwhile.
    piece_bytes: over TCP, send so many bytes at a time (0: all at once), `pause_s` seconds apart.
    close: over TCP, close the connection after it.
    """

    wire: bytes | None
    delay_s: float = 0.0
    piece_bytes: int = 0
    pause_s: float = 0.0
    close: bool = False


Handler: TypeAlias = Callable[[Query, Callable[[], Reply]], Reply | bytes | dns.message.Message | None]
"""Called in the server's thread with the query and with a function that makes the reply due otherwise.

Returns a `Reply`, a whole message (bytes or dnspython's), or None for silence. It must not block.
"""


class ParsedQuestion(NamedTuple):
    """The part of a query that `read_question` finds. `labels` are latin-1 text in lower case."""

    labels: list[str]
    name: str
    type: str
    type_number: int
    class_number: int
    end: int


def read_question(wire: bytes) -> ParsedQuestion | None:
    """The single question of a message of 12 bytes or more; None unless it has one, well formed."""
    if wire[4:6] != b"\0\1":
        return None
    labels: list[bytes] = []
    at = HEADER_BYTES
    try:
        while length := wire[at]:
            if length > 63:  # no compression in a first name, RFC 1035 section 4.1.4
                return None
            labels.append(wire[at + 1 : at + 1 + length])
            at += 1 + length
    except IndexError:
        return None
    end = at + 5
    if end > len(wire) or at + 1 - HEADER_BYTES > 255:
        return None
    type_number, class_number = struct.unpack_from("!HH", wire, at + 1)
    return ParsedQuestion(
        [label.decode("latin-1").lower() for label in labels],
        _name_text(labels),
        _TYPE_NAMES.get(type_number) or dns.rdatatype.to_text(dns.rdatatype.RdataType.make(type_number)),
        type_number,
        class_number,
        end,
    )


def _name_text(labels: list[bytes]) -> str:
    joined = b".".join(labels)
    if _PLAIN_NAME.fullmatch(joined) and joined.count(b".") == max(len(labels) - 1, 0):
        return joined.decode("ascii").lower()
    return dns.name.Name(labels).to_text(omit_final_dot=True).lower()


def find_opt(wire: bytes, question_end: int) -> int | None:
    """The UDP payload size an OPT record in the query gives, or None without one (RFC 6891 section 6.1.2)."""
    answers, authorities, additionals = struct.unpack_from("!HHH", wire, 6)
    if not additionals:
        return None
    if answers == authorities == 0 and wire[question_end : question_end + 3] == b"\0\0\x29":
        size: int = struct.unpack_from("!H", wire + b"\0\0", question_end + 3)[0]
        return size
    try:
        message = dns.message.from_wire(wire)
    except Exception:  # whatever is wrong with it, there is no usable OPT record
        return None
    return message.payload if message.edns >= 0 else None


def record(type_number: int, ttl_s: int, data: bytes) -> bytes:
    """A record of class IN owned by the name asked, ready for `build_reply`."""
    return _RECORD.pack(_QUESTION_POINTER, type_number, 1, ttl_s, len(data)) + data


def build_reply(
    query: Query,
    rcode: int = 0,
    answers: Iterable[bytes] = (),
    authorities: Iterable[bytes] = (),
    *,
    truncated: bool = False,
) -> bytes:
    """A reply to `query`: its question, the records given (as wire bytes), an OPT record if it had one.

    rcode: 0 to 15. A reply longer than the query allows over UDP is sent empty and truncated instead.
    """
    answers, authorities = tuple(answers), tuple(authorities)
    wire = query.wire
    # QR, AA, TC, and the query's RD (RFC 1035 section 4.1.1).
    flags = 0x8400 | (wire[2] & 1) << 8 | (0x0200 if truncated else 0) | rcode
    head = wire[:2] + _HEADER.pack(0, flags, 1, len(answers), len(authorities), query.had_opt)[2:]
    tail = _OPT if query.had_opt else b""
    reply = b"".join((head, wire[HEADER_BYTES : query.question_end], *answers, *authorities, tail))
    if len(reply) > query.size_limit_bytes:
        return build_reply(query, rcode, truncated=True)
    return reply


def error_reply(wire: bytes, rcode: int) -> bytes:
    """A bare header that refuses a message whose question could not be read."""
    return wire[:2] + _HEADER.pack(0, 0x8000 | (wire[2] & 0x79) << 8 | rcode, 0, 0, 0, 0)[2:]


def rcode_number(rcode: str | int) -> int:
    """The number of an rcode given as number or name (NOTAUTH). Raises ValueError outside 0 to 15."""
    try:
        number = int(rcode) if isinstance(rcode, int) else int(dns.rcode.from_text(rcode))
    except dns.rcode.UnknownRcode:
        number = -1
    if not 0 <= number <= 15:
        raise ValueError(f"no rcode of a DNS header: {rcode!r}; give a name (SERVFAIL) or a number 0 to 15")
    return number


def as_tuple(values: str | Iterable[str]) -> tuple[str, ...]:
    """One text or several as a tuple: a text is never taken for a sequence of letters."""
    return (values,) if isinstance(values, str) else tuple(values)


def as_reply(value: Reply | bytes | dns.message.Message | None) -> Reply:
    """What a handler returned, as a `Reply`."""
    if isinstance(value, Reply):
        return value
    if value is None or isinstance(value, bytes):
        return Reply(value)
    return Reply(value.to_wire())
