"""Hostile and odd messages to the loopback server: it answers what it can, never dies, reads names right."""

from __future__ import annotations

import random
import socket
import struct

import dns.message
import dns.name
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.loopback_client import TIMEOUT_S, ask

from dnsbl.testing import DnsblServer
from dnsbl.testing.wire import find_opt, read_question

QUERY = dns.message.make_query("2.0.0.127.bl.example", "A", use_edns=0).to_wire()


def send(server: DnsblServer, wire: bytes) -> bytes:
    """The reply to a datagram, or nothing: the reply to a good query after it shows that none came."""
    marker = b"\xab\xcd" + QUERY[2:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(("127.0.0.1", server.port))
        sock.send(wire)
        sock.send(marker)
        first = sock.recv(4096)
        if first[:2] == marker[:2]:
            return b""
        assert sock.recv(4096)[:2] == marker[:2]
        return first


@pytest.mark.parametrize(
    "wire",
    [b"", b"\x01", QUERY[:11], QUERY[:2] + b"\x81" + QUERY[3:]],
    ids=["empty", "one byte", "short header", "a reply"],
)
def test_what_is_no_query_is_not_answered(dnsbl_server: DnsblServer, wire: bytes) -> None:
    dnsbl_server.zone("bl.example")
    assert send(dnsbl_server, wire) == b""
    assert dnsbl_server.count() == 1


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (QUERY[:12], "FORMERR"),
        (QUERY[:20], "FORMERR"),
        (QUERY[:4] + b"\0\0" + QUERY[6:], "FORMERR"),
        (QUERY[:4] + b"\0\2" + QUERY[6:], "FORMERR"),
        (QUERY[:12] + b"\xc0\x0c" + QUERY[12:], "FORMERR"),
        (QUERY[:12] + b"\1a" * 127 + QUERY[12:], "FORMERR"),
        (QUERY[:2] + b"\x28" + QUERY[3:], "NOTIMP"),
    ],
    ids=["no question", "cut short", "count 0", "count 2", "pointer", "name too long", "update"],
)
def test_what_cannot_be_read_is_refused_with_its_rcode(
    dnsbl_server: DnsblServer, wire: bytes, code: str
) -> None:
    dnsbl_server.zone("bl.example")
    reply = send(dnsbl_server, wire)
    assert reply[:2] == wire[:2]
    assert reply[2] & 0x80
    assert dns.rcode.to_text(dns.rcode.Rcode(reply[3] & 15)) == code
    assert dnsbl_server.count() == 1


def test_random_and_changed_messages_do_no_harm(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    numbers = random.Random(5782)
    for _ in range(500):
        wire = bytearray(QUERY)
        for _ in range(numbers.randrange(1, 6)):
            wire[numbers.randrange(2, len(wire))] = numbers.randrange(256)
        send(dnsbl_server, bytes(wire))
        send(dnsbl_server, b"\0\0" + numbers.randbytes(numbers.randrange(0, 100)))
    assert ask(dnsbl_server, "2.0.0.127.bl.example") == ["127.0.0.2"]


@pytest.mark.parametrize("data", [b"\0\0", b"\0\1x", b"\0\x0c" + QUERY[:12], b"\xff\xff" + b"x" * 70_000])
def test_odd_messages_over_tcp_do_no_harm(dnsbl_server: DnsblServer, data: bytes) -> None:
    dnsbl_server.zone("bl.example")
    with socket.create_connection(("127.0.0.1", dnsbl_server.port), timeout=TIMEOUT_S) as sock:
        sock.sendall(data)
        assert ask(dnsbl_server, "2.0.0.127.bl.example", tcp=True) == ["127.0.0.2"]


def test_more_connections_than_it_keeps_do_no_harm(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    socks = [socket.create_connection(("127.0.0.1", dnsbl_server.port), TIMEOUT_S) for _ in range(520)]
    try:
        assert ask(dnsbl_server, "2.0.0.127.bl.example") == ["127.0.0.2"]
        assert socks[-1].recv(1) == b""
    finally:
        for sock in socks:
            sock.close()
    assert ask(dnsbl_server, "2.0.0.127.bl.example", tcp=True) == ["127.0.0.2"]


labels = st.lists(st.binary(min_size=1, max_size=63), max_size=8).filter(
    lambda parts: sum(len(part) + 1 for part in parts) < 255
)


@given(labels, st.integers(0, 65535))
def test_names_and_types_read_as_dnspython_reads_them(parts: list[bytes], kind: int) -> None:
    name = dns.name.Name([*parts, b""])
    header = struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0)
    wire = header + (name.to_wire() or b"") + struct.pack("!HH", kind, 1)
    question = read_question(wire)
    assert question
    assert question.end == len(wire)
    assert question.name == ("" if not parts else name.to_text(omit_final_dot=True).lower())
    assert (question.type_number, question.class_number) == (kind, 1)
    assert read_question(wire[:-1]) is None


@given(st.binary(min_size=12, max_size=80))
@settings(max_examples=300)
def test_reading_any_bytes_never_fails(wire: bytes) -> None:
    question = read_question(wire[:4] + b"\0\1" + wire[6:])
    if question:
        assert 17 <= question.end <= len(wire)
        payload = find_opt(wire, question.end)
        assert payload is None or 0 <= payload <= 65535


@pytest.mark.parametrize(
    "edns", [{}, {"payload": 4096}, {"options": [dns.edns.CookieOption(b"12345678", b"")]}]
)
def test_an_opt_record_is_found(edns: dict[str, object]) -> None:
    query = dns.message.make_query("bl.example", "A", use_edns=0, **edns)  # type: ignore[arg-type]
    question = read_question(query.to_wire())
    assert question
    assert find_opt(query.to_wire(), question.end) == query.payload
    assert find_opt(dns.message.make_query("bl.example", "A").to_wire(), question.end) is None
