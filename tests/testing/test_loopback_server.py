"""The loopback server as its users see it: where it listens, what it counts, how it starts and stops."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdataclass
import pytest
from support.loopback_client import TIMEOUT_S, ask, exchange, name_of, texts

from dnsbl.errors import NameserverError
from dnsbl.testing import DnsblServer, delay
from dnsbl.testing import server as server_module

LISTED = name_of("192.0.2.99")


def test_a_name_in_no_zone_is_refused(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    for name in ("192.0.2.99.other.example", "example", ".", "xbl.example"):
        assert ask(dnsbl_server, name) == ["REFUSED"], name


def test_the_nearest_zone_answers(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", codes="127.0.0.2")
    dnsbl_server.zone("sbl.bl.example").list("192.0.2.99", codes="127.0.0.3")
    assert ask(dnsbl_server, LISTED) == ["127.0.0.2"]
    assert ask(dnsbl_server, name_of("192.0.2.99", "sbl.bl.example")) == ["127.0.0.3"]


def test_tcp_says_the_same_and_takes_several_queries_on_one_connection(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", txt="text")
    with socket.create_connection(("127.0.0.1", dnsbl_server.port), timeout=TIMEOUT_S) as sock:
        queries = [dns.message.make_query(LISTED, kind) for kind in ("A", "TXT")]
        wire = b"".join(query.to_wire(prepend_length=True) for query in queries)
        for byte in wire:  # in pieces
            sock.sendall(bytes([byte]))
        replies = [dns.query.receive_tcp(sock, time.time() + TIMEOUT_S)[0] for _ in queries]
    assert [texts(reply) for reply in replies] == [["127.0.0.2"], ['"text"']]
    assert all(query.is_response(reply) for query, reply in zip(queries, replies, strict=True))


def test_the_reply_is_authoritative_and_echoes_the_question_as_written(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("example.com")
    query = dns.message.make_query("eXaMple.COM.bl.EXAMPLE", "A")
    reply = dns.query.udp(query, "127.0.0.1", port=dnsbl_server.port, timeout=TIMEOUT_S)
    assert reply.flags & dns.flags.AA
    assert reply.question[0].name.to_text() == "eXaMple.COM.bl.EXAMPLE."
    assert dnsbl_server.queries[0].name == "example.com.bl.example"


def test_edns_is_answered_with_edns_only(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    assert exchange(dnsbl_server, LISTED, edns=0).edns == 0
    assert exchange(dnsbl_server, LISTED).edns == -1
    assert [query.had_opt for query in dnsbl_server.queries] == [True, False]


@pytest.mark.parametrize(("edns", "payload", "fits"), [(-1, 0, False), (0, 512, False), (0, 1232, True)])
def test_what_is_too_long_for_udp_comes_truncated_and_whole_over_tcp(
    dnsbl_server: DnsblServer, edns: int, payload: int, fits: bool
) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", txt="x" * 800)
    reply = exchange(dnsbl_server, LISTED, "TXT", edns=edns, payload=payload)
    assert bool(reply.flags & dns.flags.TC) is not fits
    assert bool(reply.answer) is fits
    whole = exchange(dnsbl_server, LISTED, "TXT", tcp=True)
    assert b"".join(whole.answer[0][0].strings) == b"x" * 800


def test_another_class_is_refused(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    query = dns.message.make_query(LISTED, "A", rdclass=dns.rdataclass.CH)
    reply = dns.query.udp(query, "127.0.0.1", port=dnsbl_server.port, timeout=TIMEOUT_S)
    assert reply.rcode() == dns.rcode.REFUSED


def test_queries_are_recorded_and_counted(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    dnsbl_server.zone("uri.example", "domain")
    before_s = time.monotonic()
    ask(dnsbl_server, LISTED)
    ask(dnsbl_server, LISTED, "TXT", tcp=True)
    ask(dnsbl_server, "example.com.uri.example")
    ask(dnsbl_server, "elsewhere.example", "AAAA")
    assert [(query.name, query.type, query.transport, query.zone) for query in dnsbl_server.queries] == [
        (LISTED, "A", "udp", "bl.example"),
        (LISTED, "TXT", "tcp", "bl.example"),
        ("example.com.uri.example", "A", "udp", "uri.example"),
        ("elsewhere.example", "AAAA", "udp", ""),
    ]
    first = dnsbl_server.queries[0]
    assert before_s < first.time_s < time.monotonic()
    assert 1024 <= first.client_port <= 65535
    assert first.message.question[0].name.to_text() == f"{LISTED}."
    assert dnsbl_server.count() == 4
    assert dnsbl_server.count(zone="bl.example") == 2
    assert dnsbl_server.count(zone="BL.example.", type="TXT") == 1
    assert dnsbl_server.count(type="A") == 2
    assert dnsbl_server.count(zone="") == 1
    dnsbl_server.clear()
    assert (dnsbl_server.count(), dnsbl_server.queries) == (0, [])


def test_the_record_is_bounded_and_the_count_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_LOG_QUERIES", 5)
    with DnsblServer("bl.example") as server:
        for last in range(9):
            ask(server, name_of(f"192.0.2.{last}"))
        assert [query.name for query in server.queries] == [name_of(f"192.0.2.{n}") for n in range(4, 9)]
        assert server.count() == 9


def test_it_stops_refuses_and_comes_back_on_its_port(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    port = dnsbl_server.port
    for _ in range(3):
        dnsbl_server.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(TIMEOUT_S)
            sock.connect(("127.0.0.1", port))
            sock.send(b"anybody there?")
            with pytest.raises(ConnectionRefusedError):
                sock.recv(512)
        dnsbl_server.start()
        assert dnsbl_server.port == port
        assert ask(dnsbl_server, LISTED) == ["127.0.0.2"]
        assert ask(dnsbl_server, LISTED, tcp=True) == ["127.0.0.2"]
    dnsbl_server.stop()
    dnsbl_server.stop()


def test_starting_twice_and_asking_for_the_port_too_early_are_errors(dnsbl_server: DnsblServer) -> None:
    with pytest.raises(RuntimeError, match="runs already"):
        dnsbl_server.start()
    with pytest.raises(RuntimeError, match="no port before"):
        _ = DnsblServer().nameserver


def test_a_port_may_be_given_and_a_taken_one_is_an_error(dnsbl_server: DnsblServer) -> None:
    port = dnsbl_server.port
    with pytest.raises(OSError, match="in use"):
        DnsblServer(port=port).start()
    dnsbl_server.stop()
    with DnsblServer("bl.example", port=port) as other:
        assert other.nameserver == f"127.0.0.1:{port}"
        assert ask(other, "2.0.0.127.bl.example") == ["127.0.0.2"]


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "example.com", "", "127.0.0.1/8"]
)
def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(NameserverError, match="no loopback address") as caught:
        DnsblServer(host=host)
    assert caught.value.text == host


def test_ipv6_loopback() -> None:
    with DnsblServer("bl.example", host="::1") as server:
        assert server.nameserver == f"[::1]:{server.port}"
        assert ask(server, "2.0.0.127.bl.example") == ["127.0.0.2"]
        assert ask(server, "2.0.0.127.bl.example", tcp=True) == ["127.0.0.2"]


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def _idle_connections(server: DnsblServer) -> None:
    for _ in range(5):
        sock = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S)
        sock.sendall(b"\0")
        sock.close()


def _waiting_replies(server: DnsblServer) -> None:
    server.fault(delay(3600))
    wire = dns.message.make_query(LISTED, "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(wire, ("127.0.0.1", server.port))
        end_s = time.monotonic() + TIMEOUT_S
        while not server.count() and time.monotonic() < end_s:
            time.sleep(0.001)
    assert server.count() == 1


@pytest.mark.parametrize("use", [lambda server: None, _idle_connections, _waiting_replies], ids=str)
def test_no_thread_or_socket_is_left(use: Callable[[DnsblServer], None]) -> None:
    threads, files = threading.active_count(), _open_files()
    for _ in range(20):
        with DnsblServer("bl.example") as server:
            use(server)
    assert (threading.active_count(), _open_files()) == (threads, files)


def test_the_server_closes_connections_that_are_open_when_it_stops(dnsbl_server: DnsblServer) -> None:
    with socket.create_connection(("127.0.0.1", dnsbl_server.port), timeout=TIMEOUT_S) as sock:
        dns.query.send_tcp(sock, dns.message.make_query(LISTED, "A"), time.time() + TIMEOUT_S)
        dns.query.receive_tcp(sock, time.time() + TIMEOUT_S)
        dnsbl_server.stop()
        assert sock.recv(1) == b""


def test_a_failing_block_stops_the_server_too() -> None:
    threads = threading.active_count()
    server = DnsblServer("bl.example")

    def fail_inside() -> None:
        with server:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert threading.active_count() == threads


def test_a_single_query_takes_well_under_a_millisecond(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    wire = dns.message.make_query(LISTED, "A").to_wire()
    took_s = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(("127.0.0.1", dnsbl_server.port))
        for _ in range(1000):
            start_s = time.perf_counter()
            sock.send(wire)
            sock.recv(512)
            took_s.append(time.perf_counter() - start_s)
    assert sorted(took_s)[500] < 0.001


def test_it_keeps_up_with_5000_queries_a_second(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    wire = dns.message.make_query(LISTED, "A").to_wire()
    best_s = min(_time_queries(dnsbl_server, wire, 2_000) for _ in range(3))
    assert best_s < 2_000 / 5_000


def _time_queries(server: DnsblServer, wire: bytes, number: int) -> float:
    """How long so many queries take, 50 at a time, all answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(("127.0.0.1", server.port))
        start_s = time.perf_counter()
        for _ in range(number // 50):
            for _ in range(50):
                sock.send(wire)
            for _ in range(50):
                sock.recv(512)
        return time.perf_counter() - start_s


def test_many_threads_may_list_and_ask_at_once(dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example", test_points=False)
    failures: list[str] = []

    def work(number: int) -> None:
        for last in range(50):
            address = f"198.51.{number}.{last}"
            zone.list(f"{address}/32" if last % 2 else address, codes=f"127.0.{number}.{last}")
            zone.list(f"203.{number}.{last}.0/24")
            if ask(dnsbl_server, name_of(address)) != [f"127.0.{number}.{last}"]:
                failures.append(address)
            zone.unlist(address)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert dnsbl_server.count(type="A") == 200


def test_stopping_under_load_never_trips() -> None:
    # The threads change places as often as they can, and the server's is never just waiting.
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    server = DnsblServer("bl.example")
    server.start()
    done = threading.Event()
    flood = threading.Thread(target=_flood, args=(server.port, done))
    flood.start()
    try:
        for _ in range(500):
            server.stop()
            server.start()
        done.set()
        flood.join(10)
        assert ask(server, LISTED) == ["NXDOMAIN"]
    finally:
        sys.setswitchinterval(before_s)
        done.set()
        flood.join(10)
        server.stop()


def _flood(port: int, done: threading.Event) -> None:
    wire = dns.message.make_query(LISTED, "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        while not done.is_set():
            sock.sendto(wire, ("127.0.0.1", port))
