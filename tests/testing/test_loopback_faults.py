"""Every fault of the loopback server, on one zone and on all, for a while and until healed; own handlers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest
from support.loopback_client import TIMEOUT_S, ask, exchange, name_of, texts

from dnsbl.testing import (
    DnsblServer,
    Handler,
    Query,
    Reply,
    Zone,
    delay,
    garbage,
    hang_up,
    no_edns,
    parked,
    pieces,
    rcode,
    silence,
    stripped,
    truncated,
    wildcard,
)

LISTED, CLEAN, OTHER = name_of("192.0.2.99"), name_of("192.0.2.1"), name_of("192.0.2.99", "other.example")
QUIET_S = 0.2


@pytest.fixture
def zone(dnsbl_server: DnsblServer) -> Zone:
    """bl.example with 192.0.2.99 listed; other.example has it too and never a fault."""
    dnsbl_server.zone("other.example").list("192.0.2.99")
    zone = dnsbl_server.zone("bl.example")
    zone.list("192.0.2.99", txt="text")
    return zone


def raw(server: DnsblServer, name: str = LISTED, *, timeout_s: float = TIMEOUT_S) -> tuple[bytes, bytes]:
    """A query and the datagram that came back, whatever it is."""
    wire = dns.message.make_query(name, "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout_s)
        sock.connect(("127.0.0.1", server.port))
        sock.send(wire)
        return wire, sock.recv(4096)


def test_silence_counts_the_query_all_the_same(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(silence())
    with pytest.raises(TimeoutError):
        raw(dnsbl_server, timeout_s=QUIET_S)
    assert dnsbl_server.count(zone="bl.example") == 1
    assert ask(dnsbl_server, OTHER) == ["127.0.0.2"]


@pytest.mark.parametrize("tcp", [False, True])
def test_delay_holds_up_no_other_query(dnsbl_server: DnsblServer, zone: Zone, tcp: bool) -> None:
    zone.fault(delay(0.3))
    late: list[float] = []

    def ask_late() -> None:
        start_s = time.monotonic()
        assert ask(dnsbl_server, LISTED, tcp=tcp) == ["127.0.0.2"]
        late.append(time.monotonic() - start_s)

    threads = [threading.Thread(target=ask_late) for _ in range(5)]
    for thread in threads:
        thread.start()
    start_s = time.monotonic()
    assert ask(dnsbl_server, OTHER) == ["127.0.0.2"]
    assert time.monotonic() - start_s < 0.2
    for thread in threads:
        thread.join(10)
    assert len(late) == 5
    assert all(0.3 <= took_s < 0.6 for took_s in late)


def test_replies_of_different_delays_come_in_the_order_of_their_times(
    dnsbl_server: DnsblServer, zone: Zone
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(("127.0.0.1", dnsbl_server.port))
        for number, seconds in enumerate((0.15, 0.05, 0.1)):
            zone.heal()
            zone.fault(delay(seconds))
            query = dns.message.make_query(LISTED, "A")
            query.id = number
            sock.send(query.to_wire())
            while dnsbl_server.count() <= number:
                time.sleep(0.001)
        assert [sock.recv(512)[1] for _ in range(3)] == [1, 2, 0]


@pytest.mark.parametrize(
    ("code", "number"), [("SERVFAIL", 2), ("REFUSED", 5), ("NOTAUTH", 9), ("notimp", 4), (11, 11), (15, 15)]
)
def test_rcodes(dnsbl_server: DnsblServer, zone: Zone, code: str | int, number: int) -> None:
    zone.fault(rcode(code))
    for tcp in (False, True):
        reply = exchange(dnsbl_server, LISTED, tcp=tcp)
        assert (int(reply.rcode()), reply.answer, reply.authority) == (number, [], [])


@pytest.mark.parametrize("code", ["BADVERS", "NONSENSE", "", -1, 16])
def test_an_rcode_outside_the_header_is_refused(code: str | int) -> None:
    with pytest.raises(ValueError, match="no rcode of a DNS header"):
        rcode(code)


def test_truncation_over_udp_and_the_answer_over_tcp(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(truncated())
    reply = exchange(dnsbl_server, LISTED)
    assert reply.flags & dns.flags.TC
    assert reply.answer == []
    assert ask(dnsbl_server, LISTED, tcp=True) == ["127.0.0.2"]


def test_tcp_in_single_bytes_then_closed(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(truncated())
    zone.fault(pieces(1, 0.001))
    assert exchange(dnsbl_server, LISTED).flags & dns.flags.TC
    with socket.create_connection(("127.0.0.1", dnsbl_server.port), timeout=TIMEOUT_S) as sock:
        query = dns.message.make_query(LISTED, "A")
        sock.sendall(query.to_wire(prepend_length=True))
        parts = list(iter(lambda: sock.recv(4096), b""))  # ends as the server closes
    received = b"".join(parts)
    assert len(parts) > 10
    assert int.from_bytes(received[:2], "big") == len(received) - 2
    assert texts(dns.message.from_wire(received[2:])) == ["127.0.0.2"]


def test_pieces_without_closing_keep_the_replies_apart(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(pieces(7, 0.001, close=False))
    with socket.create_connection(("127.0.0.1", dnsbl_server.port), timeout=TIMEOUT_S) as sock:
        queries = [dns.message.make_query(LISTED, kind) for kind in ("A", "TXT", "A")]
        sock.sendall(b"".join(query.to_wire(prepend_length=True) for query in queries))
        replies = [dns.query.receive_tcp(sock, time.time() + TIMEOUT_S)[0] for _ in queries]
    assert [texts(reply) for reply in replies] == [["127.0.0.2"], ['"text"'], ["127.0.0.2"]]
    assert [reply.id for reply in replies] == [query.id for query in queries]


def test_tcp_closed_without_an_answer(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(truncated())
    zone.fault(hang_up())
    assert exchange(dnsbl_server, LISTED).flags & dns.flags.TC
    with pytest.raises(EOFError):
        exchange(dnsbl_server, LISTED, tcp=True)


def test_a_wildcard_lists_everything_even_what_must_not_be(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(wildcard())
    for name in (CLEAN, "1.0.0.127.bl.example", "anything.bl.example", LISTED):
        assert ask(dnsbl_server, name) == ["127.0.0.2"]
    assert ask(dnsbl_server, CLEAN, "TXT") == ["NOERROR"]
    zone.heal()
    zone.fault(wildcard("127.0.0.3", "127.0.0.3", ttl=5))
    reply = exchange(dnsbl_server, CLEAN)
    assert (texts(reply), reply.answer[0].ttl) == (["127.0.0.3", "127.0.0.3"], 5)


def test_a_parked_list_has_one_web_address(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(parked())
    assert {ask(dnsbl_server, name)[0] for name in (CLEAN, LISTED, "x.bl.example")} == {"203.0.113.80"}


def test_stripped_answers_are_noerror_without_records(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(stripped())
    reply = exchange(dnsbl_server, "2.0.0.127.bl.example")
    assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])


def test_garbage_of_every_kind(dnsbl_server: DnsblServer, zone: Zone) -> None:
    _, right = raw(dnsbl_server)
    right = right[2:]

    zone.fault(garbage("empty"))
    assert raw(dnsbl_server)[1] == b""
    zone.heal()
    zone.fault(garbage("half"))
    query, half = raw(dnsbl_server)
    assert half == (query[:2] + right)[: len(half)]
    assert len(half) == (len(right) + 2) // 2
    zone.heal()
    zone.fault(garbage("id"))
    query, reply = raw(dnsbl_server)
    assert reply[2:] == right
    assert reply[:2] != query[:2]
    zone.heal()
    zone.fault(garbage("question"))
    query, reply = raw(dnsbl_server)
    message = dns.message.from_wire(reply)
    assert message.id == dns.message.from_wire(query).id
    assert message.question[0].name.to_text() == "x9.2.0.192.bl.example."
    zone.heal()
    zone.fault(garbage("random"))
    first, second = raw(dnsbl_server)[1], raw(dnsbl_server)[1]
    assert len(first) == 64
    assert first != second
    with pytest.raises(ValueError, match="no such garbage"):
        garbage("rubbish")  # type: ignore[arg-type]


def test_no_edns_refuses_an_opt_record_and_tells_of_it(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(no_edns())
    reply = exchange(dnsbl_server, LISTED, edns=0)
    assert (reply.rcode(), reply.edns) == (dns.rcode.FORMERR, -1)
    assert texts(exchange(dnsbl_server, LISTED)) == ["127.0.0.2"]
    assert [query.had_opt for query in dnsbl_server.queries] == [True, False]


@pytest.mark.parametrize("types", ["TXT", ["txt", "AAAA"]])
def test_the_text_may_fail_while_the_address_works(
    dnsbl_server: DnsblServer, zone: Zone, types: str | list[str]
) -> None:
    zone.fault(rcode("SERVFAIL"), types=types)
    assert ask(dnsbl_server, LISTED) == ["127.0.0.2"]
    assert ask(dnsbl_server, LISTED, "TXT") == ["SERVFAIL"]


def test_one_transport_may_fail_while_the_other_works(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(rcode("SERVFAIL"), transport="tcp")
    assert ask(dnsbl_server, LISTED) == ["127.0.0.2"]
    assert ask(dnsbl_server, LISTED, tcp=True) == ["SERVFAIL"]


def test_a_fault_for_the_next_queries_ends_by_itself(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(rcode("SERVFAIL"), times=2, types="A")
    answers = [ask(dnsbl_server, LISTED, kind)[0] for kind in ("A", "TXT", "A", "A")]
    assert answers == ["SERVFAIL", '"text"', "SERVFAIL", "127.0.0.2"]
    with pytest.raises(ValueError, match="times is 0"):
        zone.fault(silence(), times=0)


def test_the_latest_fault_is_asked_first_and_healing_ends_all(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(rcode("SERVFAIL"))
    zone.fault(rcode("REFUSED"), times=1)
    assert [ask(dnsbl_server, LISTED)[0] for _ in range(2)] == ["REFUSED", "SERVFAIL"]
    zone.heal()
    assert ask(dnsbl_server, LISTED) == ["127.0.0.2"]


def test_faults_combine(dnsbl_server: DnsblServer, zone: Zone) -> None:
    zone.fault(delay(0.1))
    zone.fault(delay(0.1))
    zone.fault(no_edns())
    start_s = time.monotonic()
    assert exchange(dnsbl_server, LISTED, edns=0).rcode() == dns.rcode.FORMERR
    assert time.monotonic() - start_s < 0.1
    assert ask(dnsbl_server, LISTED) == ["127.0.0.2"]
    assert time.monotonic() - start_s >= 0.2


def test_a_fault_of_the_server_meets_every_name(dnsbl_server: DnsblServer, zone: Zone) -> None:
    dnsbl_server.fault(rcode("SERVFAIL"))
    zone.fault(wildcard())
    assert [ask(dnsbl_server, name)[0] for name in (LISTED, OTHER, "x.elsewhere")] == ["SERVFAIL"] * 3
    dnsbl_server.heal()
    assert [ask(dnsbl_server, name)[0] for name in (CLEAN, OTHER)] == ["127.0.0.2"] * 2


def as_bytes(query: Query, answer: Callable[[], Reply]) -> bytes:
    return query.wire[:2] + b"\x80\x03" + b"\0" * 8


def as_message(query: Query, answer: Callable[[], Reply]) -> dns.message.Message:
    reply = dns.message.make_response(query.message)
    reply.set_rcode(dns.rcode.NXDOMAIN)
    return reply


def as_changed_reply(query: Query, answer: Callable[[], Reply]) -> Reply:
    reply = answer()
    assert reply.wire
    return reply._replace(wire=reply.wire[:3] + b"\x03" + reply.wire[4:6] + b"\0" * 6)


@pytest.mark.parametrize("handler", [as_bytes, as_message, as_changed_reply])
def test_a_handler_may_return_any_form(dnsbl_server: DnsblServer, zone: Zone, handler: Handler) -> None:
    zone.fault(handler)
    query, reply = raw(dnsbl_server)
    assert reply[:2] == query[:2]
    assert reply[3] & 15 == 3


def test_a_handler_that_answers_only_sometimes(dnsbl_server: DnsblServer, zone: Zone) -> None:
    seen: list[str] = []

    def flaky(query: Query, answer: Callable[[], Reply]) -> Reply | None:
        seen.append(query.name)
        return answer() if len(seen) % 2 == 0 else None

    zone.fault(flaky)
    with pytest.raises(TimeoutError):
        raw(dnsbl_server, timeout_s=QUIET_S)
    assert ask(dnsbl_server, LISTED) == ["127.0.0.2"]
    assert seen == [LISTED, LISTED]


def test_a_handler_that_raises_is_told_at_the_end_and_the_server_goes_on() -> None:
    server = DnsblServer("bl.example")
    server.start()
    zone = server.zone("bl.example")
    zone.fault(lambda query, answer: 1 / 0, times=1)  # type: ignore[arg-type,return-value]
    zone.fault(lambda query, answer: b"x" * 65_536, times=1)
    assert [ask(server, "2.0.0.127.bl.example")[0] for _ in range(3)] == ["SERVFAIL", "SERVFAIL", "127.0.0.2"]
    with pytest.raises(ValueError, match="a reply of 65536 bytes"):
        server.stop()
    server.start()
    server.stop()


def test_the_failure_of_the_test_is_not_hidden_by_that_of_a_handler() -> None:
    def fail_twice() -> None:
        with DnsblServer("bl.example") as server:
            server.fault(lambda query, answer: 1 / 0)  # type: ignore[arg-type,return-value]
            ask(server, "2.0.0.127.bl.example")
            raise AssertionError("the test's own")

    with pytest.raises(AssertionError, match="the test's own"):
        fail_twice()


@pytest.mark.parametrize("make", [lambda: delay(-1), lambda: delay(float("nan")), lambda: pieces(0)], ids=str)
def test_unusable_faults_are_refused(make: Callable[[], Handler]) -> None:
    with pytest.raises(ValueError, match="give"):
        make()
