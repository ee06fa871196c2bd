"""What the engine makes of the answers that real servers send; those that send none: test_engine_time.py."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from support.asking import ADDRESS, KEY, NAME, answer_from, look_up, plan_for, ttls_of, wire_of
from support.servers import HAS_IP6, Rbldnsd, report_missing

from dnsbl.engine._engine import MAX_NAMESERVERS, MAX_ZONES, TYPE_TXT, Completions, Engine, Fan, Plan, now
from dnsbl.errors import ClosedError, NameserverError
from dnsbl.model import Status
from dnsbl.testing import DnsblServer, garbage, hang_up, no_edns, pieces, rcode, stripped, truncated

LOCALHOST_2 = 0x7F000002


# ---- one answer ----


def test_addresses_are_sorted_and_unique(engine: Engine, dnsbl_server: DnsblServer) -> None:
    codes = ["127.0.0.10", "127.0.0.4", "127.0.0.2", "127.0.0.4", "127.255.255.254", "1.2.3.4"]
    dnsbl_server.zone("bl.example").list(ADDRESS, codes=codes, ttl=123)
    before = now()
    answer = answer_from(engine, [dnsbl_server.nameserver])
    assert before < answer.arrived < now()
    assert answer.queries == 1
    assert wire_of(answer) == (Status.OK, 0, (0x01020304, 0x7F000002, 0x7F000004, 0x7F00000A, 0x7FFFFFFE))
    assert (answer.server, answer.texts) == (0, ())
    assert ttls_of(answer) == (123, None, None)
    assert 0 < answer.latency_us < 5_000_000


def test_all_addresses_are_kept(engine: Engine, dnsbl_server: DnsblServer) -> None:
    codes = [f"127.0.{i // 200}.{250 - i % 200}" for i in range(600)]
    dnsbl_server.zone("bl.example").list(ADDRESS, codes=[*codes, "127.255.255.254"])
    addresses = answer_from(engine, [dnsbl_server.nameserver]).addresses
    assert len(addresses) == 601
    assert addresses[-1] == 0x7FFFFFFE


@pytest.mark.parametrize(
    ("negative", "status", "number"), [("NXDOMAIN", Status.NXDOMAIN, 3), ("NOERROR", Status.OK, 0)]
)
def test_negative_answers_have_the_soa_record(
    engine: Engine, dnsbl_server: DnsblServer, negative: str, status: Status, number: int
) -> None:
    dnsbl_server.zone("bl.example").negative(negative, ttl=700, minimum=60)
    answer = answer_from(engine, [dnsbl_server.nameserver])
    assert wire_of(answer) == (status, number, ())
    assert ttls_of(answer) == (None, 700, 60)
    dnsbl_server.zone("bl.example").negative(negative, soa=False)
    answer = answer_from(engine, [dnsbl_server.nameserver])
    assert wire_of(answer) == (status, number, ())
    assert ttls_of(answer) == (None, None, None)


def test_an_answer_stripped_by_a_resolver_is_no_data(engine: Engine, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").fault(stripped())
    answer = answer_from(engine, [dnsbl_server.nameserver])
    assert wire_of(answer) == (Status.OK, 0, ())
    assert ttls_of(answer) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "status", "number"),
    [
        ("FORMERR", Status.RCODE, 1),
        ("SERVFAIL", Status.RCODE, 2),
        ("NOTIMP", Status.RCODE, 4),
        ("REFUSED", Status.REFUSED, 5),
        ("NOTAUTH", Status.RCODE, 9),  # c-ares' own status knows rcodes up to 5 only
        (15, Status.RCODE, 2),  # one that is not assigned is read by c-ares as SERVFAIL
    ],
)
def test_error_rcodes_end_the_question(
    engine: Engine, dnsbl_server: DnsblServer, name: str | int, status: Status, number: int
) -> None:
    dnsbl_server.zone("bl.example").fault(rcode(name))
    answer = answer_from(engine, [dnsbl_server.nameserver])
    assert wire_of(answer) == (status, number, ())
    assert answer.server == 0  # the server that said so
    assert answer.latency_us < 900_000  # without waiting for the next attempt


def test_texts_keep_every_octet(engine: Engine, dnsbl_server: DnsblServer) -> None:
    records: list[Any] = [("see http://ex", "ample.com/"), b"ab\0cd", b"caf\xe9"]
    dnsbl_server.zone("bl.example").list(ADDRESS, txt=records, ttl=77)
    answer = answer_from(engine, [dnsbl_server.nameserver], record_type=TYPE_TXT)
    assert answer.texts == (b"ab\0cd", b"caf\xe9", b"see http://example.com/")
    assert (answer.addresses, answer.ttl_s) == ((), 77)
    assert dnsbl_server.count("bl.example", "TXT") == 1


def test_texts_are_cut(engine: Engine, dnsbl_server: DnsblServer) -> None:
    long = b"x" * 511 + b"yz"
    dnsbl_server.zone("bl.example").list(ADDRESS, txt=[long, b"2", b"3", b"4", b"5"])
    for order in range(3):  # which four are kept does not depend on the order they come in
        texts = answer_from(engine, [dnsbl_server.nameserver], record_type=TYPE_TXT).texts
        assert texts == (b"2", b"3", b"4", b"5"), order
    dnsbl_server.zone("short.example").list(ADDRESS, txt=[long, b"2"])
    texts = answer_from(engine, [dnsbl_server.nameserver], zone="short.example", record_type=TYPE_TXT).texts
    assert texts == (b"2", b"x" * 511 + b"y")


def test_truncated_answers_come_over_tcp_in_pieces(engine: Engine, dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list(ADDRESS)
    zone.fault(truncated())
    zone.fault(pieces(1, close=True), transport="tcp")
    for _ in range(2):  # the connection was closed after the first
        assert wire_of(answer_from(engine, [dnsbl_server.nameserver])) == (Status.OK, 0, (LOCALHOST_2,))
    assert [query.transport for query in dnsbl_server.queries] == ["udp", "tcp"] * 2


def test_truncated_and_then_hung_up_is_a_timeout(engine: Engine, dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").fault(truncated())
    dnsbl_server.zone("bl.example").fault(hang_up())
    fan = look_up(engine, plan_for(engine, [dnsbl_server.nameserver]), deadline_s=0.6)
    assert fan.answers() == {}
    assert 2 <= dnsbl_server.count() <= 8  # every 250 ms, over UDP and TCP


def test_nothing_is_asked_with_edns(engine: Engine, dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list(ADDRESS)
    zone.fault(no_edns())
    assert wire_of(answer_from(engine, [dnsbl_server.nameserver])) == (Status.OK, 0, (LOCALHOST_2,))
    assert [query.had_opt for query in dnsbl_server.queries] == [False]


def test_nonsense_three_times_is_malformed(engine: Engine, dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list(ADDRESS)
    zone.fault(garbage("half"))
    assert wire_of(answer_from(engine, [dnsbl_server.nameserver])) == (Status.MALFORMED, -1, ())
    assert dnsbl_server.count() == 3


def test_nonsense_twice_and_then_an_answer(engine: Engine, dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list(ADDRESS)
    zone.fault(garbage("half"), times=2)
    assert wire_of(answer_from(engine, [dnsbl_server.nameserver])) == (Status.OK, 0, (LOCALHOST_2,))


@pytest.mark.parametrize("kind", ["id", "question", "empty"])
def test_answers_to_something_else_are_ignored(engine: Engine, dnsbl_server: DnsblServer, kind: str) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.list(ADDRESS)
    zone.fault(garbage(kind), times=1)  # type: ignore[arg-type]
    answer = answer_from(engine, [dnsbl_server.nameserver], timeout_s=0.2)
    assert wire_of(answer) == (Status.OK, 0, (LOCALHOST_2,))
    assert answer.latency_us >= 200_000
    assert dnsbl_server.count() == 2


# ---- many answers ----


def test_each_zone_has_its_own_answer(engine: Engine, dnsbl_server: DnsblServer) -> None:
    zones = [f"z{i}.example" for i in range(MAX_ZONES)]
    for i, zone in enumerate(zones):
        dnsbl_server.zone(zone).list("2001:db8::1", codes=[f"127.0.1.{i}"])
    fan = look_up(
        engine, plan_for(engine, [dnsbl_server.nameserver], zones), bytes.fromhex("20010db8" + "0" * 23 + "1")
    )
    assert fan.finished
    assert fan.open_indices == ()
    assert {i: answer.addresses for i, answer in fan.answers().items()} == {
        i: (0x7F000100 + i,) for i in range(MAX_ZONES)
    }
    assert dnsbl_server.count() == MAX_ZONES


def test_only_the_zones_asked_for_are_asked(engine: Engine, dnsbl_server: DnsblServer) -> None:
    zones = ["a.example", "b.example", "c.example"]
    for zone in zones:
        dnsbl_server.zone(zone, ["domain"]).list("example.net")
    completions = Completions()
    fan = engine.fan(plan_for(engine, [dnsbl_server.nameserver], zones), "example.net", [2, 0])
    engine.submit(fan, completions, 5.0)
    completions.wait(10)
    assert set(fan.answers()) == {0, 2}
    assert {query.name for query in dnsbl_server.queries} == {
        "example.net.a.example",
        "example.net.c.example",
    }


def test_each_answer_is_told(engine: Engine, dnsbl_server: DnsblServer) -> None:
    zones = ["fast.example", "silent.example"]
    for zone in zones:
        dnsbl_server.zone(zone).list(ADDRESS)
    dnsbl_server.zone("silent.example").fault(lambda query, answer: None)
    completions = Completions()
    fan = engine.fan(plan_for(engine, [dnsbl_server.nameserver], zones), KEY, range(2))
    ticket = engine.submit(fan, completions, 0.5, each=True, owner="me")
    assert completions.wait(10) == [ticket]
    assert (ticket.done, ticket.fan, ticket.owner, fan.open_indices) == (False, fan, "me", (1,))
    assert list(fan.answers()) == [0]
    assert completions.wait(10) == [ticket]
    assert ticket.done


def test_rbldnsd() -> None:
    zones = {
        "bl.example": {
            "ip4set": ":127.0.0.4:see http://bl.example/?$\n192.0.2.0/24\n!192.0.2.7",
            "ip6trie": ":127.0.0.6:six\n2001:db8::/32",
        },
        "uri.example": {"dnset": ":127.0.0.2:a domain\nexample.com\n.example.net"},
    }
    made = Engine()
    with Rbldnsd(zones) as rbldnsd:
        at = [rbldnsd.nameserver]
        listed = answer_from(made, at)
        assert wire_of(listed) == (Status.OK, 0, (0x7F000004,))
        assert ttls_of(listed) == (300, None, None)
        assert answer_from(made, at, record_type=TYPE_TXT).texts == (b"see http://bl.example/?192.0.2.99",)
        answer = answer_from(made, at, bytes([192, 0, 2, 7]))
        assert wire_of(answer) == (Status.NXDOMAIN, 3, ())
        assert ttls_of(answer) == (None, 300, 300)
        assert answer_from(made, at, bytes.fromhex("20010db8" + "ab" * 12)).addresses == (0x7F000006,)
        assert answer_from(made, at, "a.b.example.net", zone="uri.example").addresses == (LOCALHOST_2,)
        assert answer_from(made, at, "www.example.com", zone="uri.example").status == Status.NXDOMAIN
        assert wire_of(answer_from(made, at, zone="elsewhere.example")) == (Status.REFUSED, 5, ())
        made.close()


def test_a_nameserver_on_ipv6(engine: Engine) -> None:
    if not HAS_IP6:
        report_missing("IPv6 on loopback")
    with DnsblServer(["bl.example"], host="::1") as server:
        server.zone("bl.example").list(ADDRESS)
        assert wire_of(answer_from(engine, [server.nameserver])) == (Status.OK, 0, (LOCALHOST_2,))


def test_no_search_list_is_used(
    engine: Engine, dnsbl_server: DnsblServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALDOMAIN", "corp.example")  # what c-ares reads besides resolv.conf
    monkeypatch.setenv("RES_OPTIONS", "ndots:9")
    dnsbl_server.zone("corp.example", ["domain"])
    dnsbl_server.zone("bl.example")
    assert answer_from(engine, [dnsbl_server.nameserver]).status == Status.NXDOMAIN
    assert [query.name for query in dnsbl_server.queries] == [f"{NAME}.bl.example"]


# ---- what the caller can get wrong ----


def test_questions_that_cannot_be_made(engine: Engine) -> None:
    plan = plan_for(engine, ["127.0.0.1:9"], ["bl.example"])
    for key in (b"", b"12345", "x" * 64, ".", "a" * 250 + ".b"):
        with pytest.raises(ValueError, match="query name"):
            engine.fan(plan, key, [0])
    with pytest.raises(UnicodeEncodeError):
        engine.fan(plan, "b\u00fccher.example", [0])
    with pytest.raises(IndexError):
        engine.fan(plan, KEY, [1])
    for indices in ([], [0] * (MAX_ZONES + 1)):
        with pytest.raises(ValueError, match="1 to 64"):
            engine.fan(plan, KEY, indices)
    with pytest.raises(ValueError, match="at most 64"):
        Plan(["bl.example"] * 65, [0] * 65, [1.0] * 65)
    with pytest.raises(ValueError, match="each with a set"):
        Plan(["bl.example"], [0, 0], [1.0])


def test_a_plan_of_another_engine(engine: Engine) -> None:
    other = Engine()
    plans = [plan_for(other, [f"127.0.0.1:{port}"]) for port in (9, 10)]
    other.close()
    plan_for(engine, ["127.0.0.1:11"])
    with pytest.raises(ValueError, match="1 is no nameserver set of this engine"):
        engine.fan(plans[1], KEY, [0])
    with pytest.raises(ValueError, match="-1 is no nameserver set"):
        engine.fan(Plan(["bl.example"], [-1], [1.0]), KEY, [0])


def test_nameserver_sets(engine: Engine) -> None:
    first = engine.nameserver_set(["127.0.0.1:9", "127.0.0.1:10"])
    assert engine.nameserver_set(["127.0.0.1:9", "127.0.0.1:10"]) == first
    assert engine.nameserver_set(["127.0.0.1:10", "127.0.0.1:9"]) != first
    for count in (0, MAX_NAMESERVERS + 1):
        with pytest.raises(NameserverError, match="1 to 8"):
            engine.nameserver_set(["127.0.0.1:9"] * count)
    for port in range(9, 9 + 254):  # 256 with the two above
        engine.nameserver_set([f"127.0.0.1:{port}"])
    with pytest.raises(NameserverError, match="too many"):
        engine.nameserver_set(["127.0.0.1:999"])
    assert engine.nameserver_set(["127.0.0.1:9", "127.0.0.1:10"]) == first


def test_a_closed_engine_is_a_clear_error(engine: Engine) -> None:
    fan: Fan = engine.fan(plan_for(engine, ["127.0.0.1:9"]), KEY, [0])
    engine.close()
    with pytest.raises(ClosedError):
        engine.submit(fan, Completions(), 1.0)
    with pytest.raises(ClosedError):
        engine.nameserver_set(["127.0.0.1:9"])
    assert (engine.retired(), engine.has_retired, engine.in_flight) == ([], False, 0)


def test_a_socket_that_only_swallows_is_not_an_answer(engine: Engine) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        fan = look_up(engine, plan_for(engine, [f"127.0.0.1:{sink.getsockname()[1]}"]), deadline_s=0.2)
        assert fan.answers() == {}
        assert fan.open_indices == (0,)
        assert sink.recv(512)[2:4] == b"\x01\0"  # a query, recursion desired
