"""What a zone of the loopback server says: entries, networks, texts, negative answers, test points."""

from __future__ import annotations

import dns.rdatatype
import pytest
from support.loopback_client import ask, exchange, name_of

from dnsbl.errors import SubjectError, ZoneError
from dnsbl.model import TextKind as Kind
from dnsbl.testing import DnsblServer


@pytest.mark.parametrize("address", ["192.0.2.99", "203.0.113.255", "2001:db8::2", "2001:db8::ffff:629"])
def test_a_listed_address_has_its_code_and_no_other_address_has(
    dnsbl_server: DnsblServer, address: str
) -> None:
    dnsbl_server.zone("bl.example").list(address, codes="127.0.0.4")
    assert ask(dnsbl_server, name_of(address)) == ["127.0.0.4"]
    assert ask(dnsbl_server, name_of("192.0.2.98")) == ["NXDOMAIN"]
    assert ask(dnsbl_server, name_of("2001:db8::3")) == ["NXDOMAIN"]


@pytest.mark.parametrize(
    ("subjects", "listed", "not_listed"),
    [
        (("ip4",), "2.0.0.127", "1.0.0.127"),
        (("ip6",), "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20, "1.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20),
        ("domain", "TEST", "INVALID"),
    ],
)
def test_rfc5782_test_points(
    dnsbl_server: DnsblServer, subjects: tuple[Kind, ...], listed: str, not_listed: str
) -> None:
    dnsbl_server.zone("bl.example", subjects)
    assert ask(dnsbl_server, f"{listed}.bl.example") == ["127.0.0.2"]
    assert ask(dnsbl_server, f"{listed}.bl.example", "TXT") == ['"bl.example test entry"']
    assert ask(dnsbl_server, f"{not_listed}.bl.example") == ["NXDOMAIN"]


def test_both_address_families_have_test_points_unless_told_not_to(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    dnsbl_server.zone("bare.example", test_points=False)
    for name in ("2.0.0.127", "2.0.0.0.0.0.f.7.f.f.f.f" + ".0" * 20):
        assert ask(dnsbl_server, f"{name}.bl.example") == ["127.0.0.2"]
        assert ask(dnsbl_server, f"{name}.bare.example") == ["NXDOMAIN"]
    assert ask(dnsbl_server, "test.bl.example") == ["NXDOMAIN"]


def test_a_longer_prefix_beats_a_shorter_one_and_an_address_beats_both(dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example", test_points=False)
    zone.list("192.0.2.0/24", codes="127.0.0.24")
    zone.list("192.0.2.128/25", codes="127.0.0.25")
    zone.list("192.0.2.200", codes="127.0.0.32")
    zone.list("0.0.0.0/0", codes="127.0.0.9")
    zone.list("2001:db8::/32", codes="127.0.0.6")
    expected = {
        "192.0.2.1": ["127.0.0.24"],
        "192.0.2.129": ["127.0.0.25"],
        "192.0.2.200": ["127.0.0.32"],
        "198.51.100.7": ["127.0.0.9"],
        "2001:db8::1": ["127.0.0.6"],
        "2001:db9::1": ["NXDOMAIN"],
    }
    assert {address: ask(dnsbl_server, name_of(address)) for address in expected} == expected


@pytest.mark.parametrize(
    "name", ["2.0.192", "1.1.2.0.192", "01.2.0.192", "256.2.0.192", "x.2.0.192", "a.b.c.d"]
)
def test_a_name_that_is_no_address_is_in_no_network(dnsbl_server: DnsblServer, name: str) -> None:
    dnsbl_server.zone("bl.example").list("0.0.0.0/0")
    assert ask(dnsbl_server, f"{name}.bl.example") == ["NXDOMAIN"]


def test_a_domain_stands_for_itself_only_whatever_its_case(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("uri.example", "domain").list("Example.COM.", codes="127.0.1.2")
    assert ask(dnsbl_server, "eXample.com.URI.example") == ["127.0.1.2"]
    assert ask(dnsbl_server, "www.example.com.uri.example") == ["NXDOMAIN"]
    assert ask(dnsbl_server, "com.uri.example") == ["NXDOMAIN"]


def test_several_codes_come_in_the_order_given_duplicates_included(dnsbl_server: DnsblServer) -> None:
    codes = ["127.0.0.10", "127.0.0.4", "127.0.0.10", "203.0.113.7", "127.255.255.254"]
    dnsbl_server.zone("bl.example").list("192.0.2.99", codes)
    assert ask(dnsbl_server, name_of("192.0.2.99")) == codes


@pytest.mark.parametrize(
    ("txt", "records"),
    [
        ("one text", [[b"one text"]]),
        (["a", "b"], [[b"a"], [b"b"]]),
        ([("see http://ex", "ample.com/"), "second"], [[b"see http://ex", b"ample.com/"], [b"second"]]),
        ([b"ab\x00cd", b"caf\xe9", "café"], [[b"ab\x00cd"], [b"caf\xe9"], [b"caf\xc3\xa9"]]),
        ("", [[b""]]),
        ("x" * 300, [[b"x" * 255, b"x" * 45]]),
    ],
)
def test_texts_of_every_shape(dnsbl_server: DnsblServer, txt: object, records: list[list[bytes]]) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", txt=txt)  # type: ignore[arg-type]
    answer = exchange(dnsbl_server, name_of("192.0.2.99"), "TXT").answer
    assert [list(rrset[0].strings) for rrset in answer] == records


def test_listed_without_a_text_is_nodata_for_txt(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    reply = exchange(dnsbl_server, name_of("192.0.2.99"), "TXT")
    assert (reply.rcode(), reply.answer) == (0, [])
    assert reply.authority[0].rdtype == dns.rdatatype.SOA


def test_no_codes_at_all_is_nodata_for_a(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", codes=(), txt="only a text")
    assert ask(dnsbl_server, name_of("192.0.2.99")) == ["NOERROR"]
    assert ask(dnsbl_server, name_of("192.0.2.99"), "TXT") == ['"only a text"']


def test_ttl_of_every_record(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99", ["127.0.0.2", "127.0.0.3"], txt="text", ttl=7)
    for kind in ("A", "TXT"):
        assert exchange(dnsbl_server, name_of("192.0.2.99"), kind).answer[0].ttl == 7


def test_negative_answers_carry_the_soa_as_set(dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")
    zone.negative(ttl=120, minimum=40)
    reply = exchange(dnsbl_server, name_of("192.0.2.1"))
    soa = reply.authority[0]
    assert (soa.name.to_text(), soa.ttl, soa[0].minimum) == ("bl.example.", 120, 40)
    zone.negative(soa=False)
    reply = exchange(dnsbl_server, name_of("192.0.2.1"))
    assert (reply.rcode(), reply.authority) == (3, [])
    zone.negative("NOERROR")
    reply = exchange(dnsbl_server, name_of("192.0.2.1"))
    assert (reply.rcode(), reply.answer, len(reply.authority)) == (0, [], 1)


def test_the_zone_itself_has_a_soa_and_no_address(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example")
    assert ask(dnsbl_server, "bl.example", "SOA") == [
        "ns.bl.example. hostmaster.bl.example. 1 7200 3600 604800 300"
    ]
    assert ask(dnsbl_server, "bl.example", "A") == ["NOERROR"]


def test_another_type_of_a_listed_name_is_nodata(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").list("192.0.2.99")
    assert ask(dnsbl_server, name_of("192.0.2.99"), "AAAA") == ["NOERROR"]


def test_listing_again_replaces_and_unlisting_takes_away(dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("bl.example")
    for subject, address in (("192.0.2.99", "192.0.2.99"), ("2001:db8::/32", "2001:db8::5")):
        zone.list(subject, codes="127.0.0.2")
        zone.list(subject, codes="127.0.0.3")
        assert ask(dnsbl_server, name_of(address)) == ["127.0.0.3"]
        zone.unlist(subject)
        assert ask(dnsbl_server, name_of(address)) == ["NXDOMAIN"]
        with pytest.raises(SubjectError, match="has no entry in bl"):
            zone.unlist(subject)


def test_a_list_may_lose_its_test_point(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("bl.example").unlist("127.0.0.2")
    assert ask(dnsbl_server, "2.0.0.127.bl.example") == ["NXDOMAIN"]


@pytest.mark.parametrize(
    "subject",
    [
        *("", "192.0.2.256", "192.0.2", "192.0.2.1/24", "192.0.2.99/33", "2001:db8::1/32", "fe80::1%eth0"),
        *("ex..ample", "a b", "straße.example", "x" * 64, ".example.com"),
    ],
)
def test_an_unusable_subject_is_refused(dnsbl_server: DnsblServer, subject: str) -> None:
    with pytest.raises(SubjectError) as caught:
        dnsbl_server.zone("bl.example").list(subject)
    assert caught.value.text == subject
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codes": ["127.0.0"]}, "Expected 4 octets in '127.0.0'"),
        ({"codes": "2001:db8::1"}, "Expected 4 octets"),
        ({"ttl": -1}, "no TTL: -1"),
        ({"ttl": 2**31}, "no TTL: 2147483648"),
        ({"txt": [("x" * 256,)]}, "at most 255 bytes"),
        ({"txt": "x" * 70_000}, "more than 60000 bytes"),
        ({"codes": ["127.0.0.2"] * 5_000}, "more than 60000 bytes"),
    ],
    ids=range(7),
)
def test_unusable_records_are_refused(
    dnsbl_server: DnsblServer, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        dnsbl_server.zone("bl.example").list("192.0.2.99", **options)  # type: ignore[arg-type]
    assert ask(dnsbl_server, name_of("192.0.2.99")) == ["NXDOMAIN"]


@pytest.mark.parametrize(
    "name", ["", ".", "bl..example", "straße.example", "bl example", "x" * 64, "a." * 127 + "b"]
)
def test_an_unusable_zone_name_is_refused(dnsbl_server: DnsblServer, name: str) -> None:
    with pytest.raises(ZoneError) as caught:
        dnsbl_server.zone(name)
    assert caught.value.text == name


def test_a_zone_is_one_however_its_name_is_written(dnsbl_server: DnsblServer) -> None:
    zone = dnsbl_server.zone("BL.Example.")
    assert dnsbl_server.zone("bl.example") is zone
    assert zone.name == "bl.example"
    with pytest.raises(ValueError, match="there already"):
        dnsbl_server.zone("bl.example", "domain")
    with pytest.raises(ZoneError, match="no kind of subject: 'ip5'"):
        dnsbl_server.zone("other.example", "ip5")  # type: ignore[arg-type]


def test_negative_takes_only_negative_rcodes(dnsbl_server: DnsblServer) -> None:
    with pytest.raises(ValueError, match="no negative answer"):
        dnsbl_server.zone("bl.example").negative("SERVFAIL")
