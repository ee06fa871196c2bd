"""A nameserver of several lists, one of which does everything to harm the others: every field of its responses is
mutated, from valid ones, so that most still parse; datagrams come twice, late, early, for others; TCP comes in
pieces, cut, and with more than was asked for. The honest lists answer what they should, at once.

One seed, one course of events. `Hostile` is a context manager; `what` counts what was done.
"""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
from collections import Counter
from typing import Self

A, CNAME, SOA, NS, TXT, IN = 1, 5, 6, 2, 16, 1
HEADER = 12
POINTER = b"\xc0\x0c"
OTHER = b"\x05other\x07example\x00"
HOSTILE_LABEL = b"\x07hostile"


def question_end(query: bytes) -> int:
    at = HEADER
    while query[at]:
        at += query[at] + 1
    return at + 5


def record(owner: bytes, kind: int, data: bytes, ttl: int = 300, rr_class: int = IN) -> bytes:
    return owner + struct.pack("!HHIH", kind, rr_class, ttl, len(data)) + data


def honest_code(question: bytes) -> int | None:
    """What an honest list says of a name: the last octet of 127.0.0.x, or None for not listed."""
    return None if sum(question) % 3 == 0 else 2 + sum(question) % 100


def response(
    query: bytes,
    answers: list[bytes],
    authority: list[bytes] | None = None,
    rcode: int = 0,
    flags: int = 0x8400,
) -> bytes:
    more = authority or []
    end = question_end(query)
    head = query[:2] + struct.pack("!HHHHH", flags | rcode, 1, len(answers), len(more), 0)
    return head + query[HEADER:end] + b"".join([*answers, *more])


def honest(query: bytes) -> bytes:
    end = question_end(query)
    code = honest_code(query[HEADER : end - 4])
    if code is None:
        soa = record(b"\x00", SOA, b"\x00\x00" + struct.pack("!5I", 1, 60, 60, 60, 60))
        return response(query, [], [soa], rcode=3)
    if query[end - 3] == TXT:
        return response(query, [record(POINTER, TXT, b"\x0blisted here")])
    return response(query, [record(POINTER, A, bytes([127, 0, 0, code]))])


class Mutator:
    """Valid responses with faults in chosen fields."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.what: Counter[str] = Counter()

    def valid(self, query: bytes) -> bytes:
        """One of the responses that a list, or a resolver in between, may give."""
        pick = self.chance.randrange(9)
        txt = query[question_end(query) - 3] == TXT
        one = record(POINTER, TXT, b"\x03abc\x04defg") if txt else record(POINTER, A, b"\x7f\0\0\2")
        soa = record(
            POINTER, SOA, b"\xc0\x0c\xc0\x0c" + struct.pack("!5I", 1, 2, 3, 4, self.chance.getrandbits(32))
        )
        match pick:
            case 0:
                return response(query, [], [soa], rcode=3)
            case 1:
                return response(query, [], [record(POINTER, NS, b"\x02ns\xc0\x0c")], flags=0x8000)
            case 2:
                return response(query, [record(POINTER, CNAME, OTHER), one.replace(POINTER, OTHER, 1)])
            case 3:
                long = record(POINTER, TXT, (b"\xff" + b"x" * 255) * 3) if txt else one
                return response(query, [long] * self.chance.randint(1, 30))
            case 4:
                return response(query, [one, soa], [soa], rcode=self.chance.randrange(16))
            case 5:
                ring = [record(POINTER, CNAME, OTHER), record(OTHER, CNAME, b"\xc0\x0c")]
                return response(query, [*ring, one])
            case _:
                return response(query, [one] * self.chance.randint(1, 3))

    def mutate(self, query: bytes) -> bytes:
        wire = bytearray(self.valid(query))
        end = question_end(query)
        for _ in range(self.chance.choice((0, 1, 1, 1, 2, 3))):
            if len(wire) < end:
                break  # cut short
            name = self.chance.choice(FIELDS)
            self.what[name] += 1
            getattr(self, f"_{name}")(wire, end)
        return bytes(wire)

    def _id(self, wire: bytearray, end: int) -> None:
        wire[0:2] = self.chance.randbytes(2)

    def _flags(self, wire: bytearray, end: int) -> None:
        wire[2] ^= 1 << self.chance.randrange(8)

    def _rcode(self, wire: bytearray, end: int) -> None:
        wire[3] = self.chance.randrange(256)

    def _count(self, wire: bytearray, end: int) -> None:
        at = 4 + 2 * self.chance.randrange(4)
        struct.pack_into("!H", wire, at, self.chance.choice((0, 1, 2, 3, 255, 65535)))

    def _question_name(self, wire: bytearray, end: int) -> None:
        wire[self.chance.randrange(HEADER, end - 4)] = self.chance.randrange(256)

    def _question_type(self, wire: bytearray, end: int) -> None:
        wire[end - self.chance.randint(1, 4)] = self.chance.choice((0, 1, 3, 16, 28, 255))

    def _pointer(self, wire: bytearray, end: int) -> None:
        """To itself, forward, beyond the end, into the header, into the middle of a label."""
        at = wire.find(0xC0, end)
        if 0 <= at < len(wire) - 1:
            target = self.chance.choice((at, at + 2, len(wire), 0x3FFF, 0, HEADER + 1, HEADER - 2, at - 1))
            struct.pack_into("!H", wire, at, 0xC000 | max(target, 0) & 0x3FFF)

    def _record(self, wire: bytearray, end: int) -> None:
        """Type, class, TTL or length of the first record."""
        at = end + 2 + self.chance.randrange(10)
        if at < len(wire):
            wire[at] = self.chance.choice((0, 1, 2, 5, 16, 0x7F, 0x80, 0xFF))

    def _bytes(self, wire: bytearray, end: int) -> None:
        for _ in range(self.chance.randint(1, 4)):
            wire[self.chance.randrange(len(wire))] ^= 1 << self.chance.randrange(8)

    def _short(self, wire: bytearray, end: int) -> None:
        del wire[self.chance.randrange(len(wire)) :]

    def _long(self, wire: bytearray, end: int) -> None:
        wire += self.chance.randbytes(self.chance.choice((1, 11, 500)))

    def _truncated(self, wire: bytearray, end: int) -> None:
        """TC: the same is asked by TCP, where the next mutation waits."""
        wire[2] |= 2

    def _label(self, wire: bytearray, end: int) -> None:
        """A label's length in the question, or a type of label that nobody uses."""
        wire[HEADER] = self.chance.choice((0, 1, 63, 64, 0x80, 0xC0, 255))


FIELDS = (
    "id", "flags", "rcode", "count", "question_name", "question_type", "pointer", "record", "bytes", "short", "long",
    "truncated", "label",
)  # fmt: skip


class Hostile:
    """On 127.0.0.1:`port`, UDP and TCP. Names below a label `hostile` are answered hostilely, others honestly."""

    def __init__(self, seed: int = 1) -> None:
        self.mutator = Mutator(random.Random(seed))
        self.queries: Counter[str] = Counter()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._bind()
        self._tcp.listen(64)
        self._wake, self._woken = socket.socketpair()
        self._streams: dict[socket.socket, bytearray] = {}
        self._thread = threading.Thread(target=self._serve)
        self._kept: list[bytes] = []

    def _bind(self) -> None:
        for _ in range(50):
            self._udp.bind(("127.0.0.1", 0))
            self.port = self._udp.getsockname()[1]
            try:
                self._tcp.bind(("127.0.0.1", self.port))
                return
            except OSError:
                self._udp.close()
                self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        raise OSError("no port that is free for UDP and TCP")

    @property
    def nameserver(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def what(self) -> Counter[str]:
        """How often each field was mutated."""
        return self.mutator.what

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.send(b"x")
        self._thread.join()
        for each in (self._udp, self._tcp, self._wake, self._woken, *self._streams):
            each.close()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._udp, self._tcp, self._woken, *self._streams], [], [])
            if self._woken in ready:
                return
            for each in ready:
                if each is self._udp:
                    self._datagram(*each.recvfrom(4096))
                elif each is self._tcp:
                    stream = each.accept()[0]
                    self._streams[stream] = bytearray()
                else:
                    self._stream(each)

    # ---- UDP ----

    def _datagram(self, query: bytes, client: tuple[str, int]) -> None:
        if HOSTILE_LABEL not in query:
            self.queries["honest"] += 1
            self._udp.sendto(honest(query), client)
            return
        self.queries["hostile"] += 1
        for wire in self._datagrams(query):
            self._udp.sendto(wire, client)

    def _datagrams(self, query: bytes) -> list[bytes]:
        """One, none, several, the wrong before the right and after it, and old ones again."""
        one = self.mutator.mutate(query)
        self._kept = [*self._kept[-5:], one]
        match self.mutator.chance.randrange(8):
            case 0:
                return []
            case 1:
                return [one, one]
            case 2:  # a spoofer that has guessed all but the id, and one that comes second
                false = [struct.pack("!H", n) + one[2:] for n in self.mutator.chance.sample(range(65536), 20)]
                return [*false, self.mutator.valid(query), one]
            case 3:
                return [*self._kept, one]
            case 4:
                return [b"", b"\0", self.mutator.chance.randbytes(self.mutator.chance.randint(1, 600)), one]
            case _:
                return [one]

    # ---- TCP ----

    def _stream(self, stream: socket.socket) -> None:
        try:
            data = stream.recv(65536)
        except OSError:
            data = b""
        held = self._streams[stream]
        held += data
        if not data:
            del self._streams[stream]
            stream.close()
        while len(held) >= 2 and len(held) >= 2 + int.from_bytes(held[:2]):
            size = int.from_bytes(held[:2])
            query = bytes(held[2 : 2 + size])
            del held[: 2 + size]
            self._reply(stream, query)

    def _reply(self, stream: socket.socket, query: bytes) -> None:
        chance = self.mutator.chance
        self.queries["tcp"] += 1
        try:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wire = honest(query) if HOSTILE_LABEL not in query else self.mutator.mutate(query)
            frame = struct.pack("!H", len(wire)) + wire
            if HOSTILE_LABEL in query:
                frame = self._spoiled(frame)
            step = chance.choice((1, 3, len(frame)))
            for at in range(0, len(frame), step):
                stream.sendall(frame[at : at + step])
        except OSError:
            return

    def _spoiled(self, frame: bytes) -> bytes:
        """Frames of no bytes, too long ones, two at once, half of one."""
        match self.mutator.chance.randrange(6):
            case 0:
                return b"\0\0" + frame + frame
            case 1:
                return b"\0\1x" + frame
            case 2:
                return b"\xff\xff" + frame[2:]
            case 3:
                return frame[: len(frame) // 2]
            case _:
                return frame
