"""What a hostile list can do to the questions of others, and what is taken for an answer: raw replies."""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from support.asking import answer_from, wait_done, wire_of

from dnsbl.engine._engine import Completions, Engine, Plan
from dnsbl.model import Status

Build = Callable[[bytes, bytes], list[bytes]]
"""From a query and its question to the datagrams that answer it."""


def question_of(query: bytes) -> bytes:
    at = 12
    while query[at]:
        at += query[at] + 1
    return query[12 : at + 5]


def reply(answers: list[bytes], flags: int = 0x8400, authorities: list[bytes] | None = None) -> Build:
    more = authorities or []

    def build(query: bytes, question: bytes) -> list[bytes]:
        head = struct.pack("!HHHHH", flags, 1, len(answers), len(more), 0)
        return [query[:2] + head + question + b"".join([*answers, *more])]

    return build


def record(data: bytes, kind: int = 1, owner: bytes = b"\xc0\x0c", rr_class: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", kind, rr_class, 300, len(data)) + data


def a(last: int, owner: bytes = b"\xc0\x0c", rr_class: int = 1) -> bytes:
    return record(bytes([127, 0, 0, last]), 1, owner, rr_class)


@contextmanager
def nameserver(build: Build) -> Iterator[str]:
    """A nameserver on loopback that answers so."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            query, client = listening.recvfrom(2048)
            if not query:
                return
            for datagram in build(query, question_of(query)):
                listening.sendto(datagram, client)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", listening.getsockname())
        thread.join()
        listening.close()


OTHER = b"\x04evil\x07example\x00"

UNUSABLE = {
    "another owner": reply([a(2, OTHER)]),
    "class CH": reply([a(2, rr_class=3)]),
    "QR 0": reply([a(2)], flags=0x0400),
    "an echo": lambda query, question: [query],
    "opcode UPDATE": reply([a(2)], flags=0xAC00),
    "a referral": reply([], 0x8000, [record(b"\x02ns" + OTHER, 2)]),
    "half a record": lambda query, question: [reply([a(2)])(query, question)[0][:-2]],
    "an alias of another name": reply([record(OTHER, 5, b"\x01x" + OTHER), a(2, OTHER)]),
}


@pytest.mark.parametrize("name", sorted(UNUSABLE))
def test_what_is_no_answer_is_malformed(engine: Engine, name: str) -> None:
    with nameserver(UNUSABLE[name]) as at:
        answer = answer_from(engine, [at], deadline_s=2.0)
    assert wire_of(answer) == (Status.MALFORMED, -1, ())


def test_the_end_of_a_chain_of_aliases_is_an_answer(engine: Engine) -> None:
    chain = [
        a(2, OTHER),
        record(OTHER, 5, b"\x01x" + OTHER),
        record(b"\x01X" + OTHER, 5),
        a(9, b"\x01z" + OTHER),
    ]
    with nameserver(reply(chain)) as at:
        assert wire_of(answer_from(engine, [at])) == (Status.OK, 0, (0x7F000002,))


HOSTILE = {
    "half": lambda query, question: [reply([a(2)])(query, question)[0][:-9]],
    "RDLENGTH 0": reply([record(b"", 16), record(b"", 1)]),
    "echo": lambda query, question: [query],
    "random": lambda query, question: [bytes(range(64)), b"", b"\0", query[:2], query[:12]],
    "false ids": lambda query, question: [
        struct.pack("!H", n) + reply([a(2)])(query, question)[0][2:-3] for n in range(0, 65536, 7001)
    ],
    "REFUSED of others": lambda query, question: [
        query[:2] + struct.pack("!HHHHH", 0x8405, 1, 0, 0, 0) + b"\x01q\x02z1\x07example\0\0\x01\0\x01"
    ],
}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_one_lists_bytes_touch_no_other_lists_answer(engine: Engine, kind: str) -> None:
    def build(query: bytes, question: bytes) -> list[bytes]:
        if b"bad" in question:
            return HOSTILE[kind](query, question)
        return reply([a(2 + question[-15] % 2)])(query, question)

    zones = ["z0.example", "z1.example", "bad.example", "z2.example"]
    with nameserver(build) as at:
        number = engine.nameserver_set([at])
        plan = Plan(zones, [number] * 4, [0.3] * 4)
        completions = Completions()
        honest_tickets, hostile_tickets = [], []
        for i in range(300):  # the honest have all the time that a slow machine needs
            key = bytes([10, 0, i >> 8, i & 255])
            honest_tickets.append(engine.submit(engine.fan(plan, key, [0, 1, 3]), completions, 30.0))
            hostile_tickets.append(engine.submit(engine.fan(plan, key, [2]), completions, 1.0))
        for ticket in honest_tickets + hostile_tickets:
            wait_done(completions, ticket, 60.0)
    honest = Counter(answer.status for ticket in honest_tickets for answer in ticket.fan.answers().values())
    assert honest == {Status.OK: 900}
    engine.retired()


@pytest.mark.parametrize("listed_first", [True, False])
def test_of_two_answers_the_first_counts(engine: Engine, listed_first: bool) -> None:
    """Both are in the socket when it is read, as a rule; the second may change nothing of the first."""
    listed = reply([a(2)])
    clean = reply([], 0x8403, [record(b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, 900), 6)])
    order = [listed, clean] if listed_first else [clean, listed]
    expected = (Status.OK, 0, (0x7F000002,)) if listed_first else (Status.NXDOMAIN, 3, ())
    with nameserver(lambda query, question: [*order[0](query, question), *order[1](query, question)]) as at:
        plan = Plan(["two.example"], [engine.nameserver_set([at])], [5.0])
        completions = Completions()
        tickets = [
            engine.submit(engine.fan(plan, bytes([10, 0, 0, n]), [0]), completions, 30.0) for n in range(100)
        ]
        for ticket in tickets:
            wait_done(completions, ticket, 60.0)
    answers = [ticket.fan.answers()[0] for ticket in tickets]
    assert {wire_of(answer) for answer in answers} == {expected}
    assert {answer.soa_minimum_s for answer in answers} == {None if listed_first else 900}
    engine.retired()


def test_servfail_is_asked_again_with_a_pause(engine: Engine) -> None:
    asked: list[bytes] = []

    def build(query: bytes, question: bytes) -> list[bytes]:
        asked.append(query)
        return reply([], 0x8402)(query, question) if len(asked) < 3 else reply([a(2)])(query, question)

    with nameserver(build) as at:
        answer = answer_from(engine, [at], deadline_s=3.0)
        assert wire_of(answer) == (Status.OK, 0, (0x7F000002,))
        assert answer.queries == len(asked) == 3
        assert answer.latency_us >= 250_000  # microseconds: 100 ms, then 200


@pytest.mark.parametrize(("flags", "queries"), [(0x8402, 3), (0x8405, 1)])
def test_servfail_is_asked_twice_again_and_refused_is_not(engine: Engine, flags: int, queries: int) -> None:
    with nameserver(reply([], flags)) as at:
        answer = answer_from(engine, [at], deadline_s=3.0)
    assert (answer.rcode, answer.queries) == (flags & 15, queries)
