"""Faults of reading what is to be looked up, reported of other software, each as its whole kind in every way.

What the parsers make of each form is tested by itself in tests/subject.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from support.everyway import EveryWay

from dnsbl import Resolver, SubjectError
from dnsbl.testing import DnsblServer

IP = "bl.example.net"
DOMAIN = '[[zone]]\nname = "dbl.example.net"\nsubjects = ["domain"]\ndomain = "{}"\n'
ANY = '[[zone]]\nname = "all.example.net"\nsubjects = ["ip4", "ip6", "domain"]\n'


@pytest.fixture
def every_way(
    dnsbl_server: DnsblServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> EveryWay:
    monkeypatch.delenv("DNSBL_CONFIG", raising=False)
    for name in (IP, "dbl.example.net", "all.example.net"):
        dnsbl_server.zone(name)
    return EveryWay(dnsbl_server, tmp_path, capsys)


def reversed_name(address: str, zone: str = IP) -> str:
    """The oracle: what Python's own reversal gives."""
    pointer = ipaddress.ip_address(address).reverse_pointer
    return f"{pointer.removesuffix('.in-addr.arpa').removesuffix('.ip6.arpa')}.{zone}"


# ---- B: addresses ----


@pytest.mark.parametrize(
    ("subject", "canonical"),
    [
        ("2001:db8::2", "2001:db8::2"),  # B1: the zeros are written out
        ("2001:DB8:0:0:0::2", "2001:db8::2"),
        ("[2001:db8::2]", "2001:db8::2"),
        ("2001:db8::629", "2001:db8::629"),  # B2
        ("64:ff9b::192.0.2.99", "64:ff9b::c000:263"),
        ("::ffff:192.0.2.99", "192.0.2.99"),  # B3: the IPv4-mapped form is the IPv4 address
        ("::FFFF:C000:263", "192.0.2.99"),
        ("0:0:0:0:0:ffff:192.0.2.99", "192.0.2.99"),
        ("[IPv6:::ffff:192.0.2.99]", "192.0.2.99"),
        ("203.0.113.255", "203.0.113.255"),  # B7: octets above 127
        ("128.0.2.200", "128.0.2.200"),
        ("[198.51.100.254]", "198.51.100.254"),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
def test_b_every_form_of_an_address_is_one_name(
    every_way: EveryWay, dnsbl_server: DnsblServer, subject: str, canonical: str, listed: bool
) -> None:
    if listed:
        dnsbl_server.zone(IP).list(canonical)
    ended = every_way.look_up(IP, subject)
    assert ended.asked == [reversed_name(canonical)]
    assert ended.verdict["subject"] == canonical
    assert ended.code == int(listed)


@pytest.mark.parametrize("zone", [IP, f".{IP}", f"{IP}.", f".{IP}.", IP.upper()])
@pytest.mark.parametrize("subject", ["2001:db8::629", "192.0.2.99"])
def test_b2_no_dot_of_the_zone_leaves_an_empty_label(every_way: EveryWay, zone: str, subject: str) -> None:
    assert every_way.look_up(zone, subject).asked == [reversed_name(subject)]


@pytest.mark.parametrize(
    "subject", ["fe80::1%eth0", "fe80::1%9", "FE80::1%eth0.100", "[fe80::1%25eth0]", "fe80::1"]
)
def test_b4_a_link_local_address_is_not_asked(every_way: EveryWay, subject: str) -> None:
    ended = every_way.look_up(f"{ANY}[[zone]]\nname = '{IP}'", subject)
    assert (ended.code, ended.asked, ended.outcomes) == (0, [], ["skipped", "skipped"])
    assert ended.verdict["complete"]
    assert ended.verdict["subject"] == "fe80::1"


@pytest.mark.parametrize(
    "subject",
    [
        "192.0.2.010",
        "0300.0.2.1",
        "0xc0.0.2.1",
        "192.0.2",
        "192.0.2.1.5",
        "192.0.2.256",
        "3221225985",
        "0xc0000201",
        " 192.0.2.1",
        "192.0.2.1 ",
        "192.0.2.1\n",
        "192.0.2.1/32",
        "192.0.2.1:25",
        "192.0.2.\uff11",
        "[192.0.2.010]",
        "[192.0.2.1",
        "user@192.0.2.010",
        "https://192.0.2.010/",
        "::ffff:192.0.2.010",
        "2001:db8::1::2",
        "2001:db8::g",
        "2001:db8:0:0:0:0:0:0:1",
        "2001:db8::1%eth0",
        "2001:db8::/32",
        " 2001:db8::1",
        "[2001:db8::1]:25",
    ],
)
def test_b5_what_is_nearly_an_address_is_refused_and_not_asked(every_way: EveryWay, subject: str) -> None:
    every_way.refuse(ANY, subject)


# ---- C: domains ----


@pytest.mark.parametrize("mode", ["registrable", "host"])
@pytest.mark.parametrize(
    "subject",
    [
        "example.com",
        "Example.COM",  # C1
        "EXAMPLE.com",
        "example.com.",  # C2
        "user@example.com",
        "user@Example.com.",
        '"a@b"@example.com',
        "https://example.com/x",
        "https://user:pw@EXAMPLE.COM.:8443/x?y=user@example.net#z",
        "http://example%2ecom/",
    ],
)
def test_c1_c2_every_form_of_a_domain_is_one_name(
    every_way: EveryWay, dnsbl_server: DnsblServer, subject: str, mode: str
) -> None:
    dnsbl_server.zone("dbl.example.net").list("example.com")
    ended = every_way.look_up(DOMAIN.format(mode), subject)
    assert ended.asked == ["example.com.dbl.example.net"]
    assert (ended.verdict["subject"], ended.code) == ("example.com", 1)


def test_c1_every_form_is_one_cache_entry(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("dbl.spamhaus.org")
    with Resolver(["dbl.spamhaus.org"], [dnsbl_server.nameserver]) as resolver:
        for subject in ("example.com", "Example.COM", "EXAMPLE.com.", "a@eXample.com", "http://EXAMPLE.com"):
            assert not resolver.check(subject).listed
        assert resolver.cache_info().currsize == 1
    assert dnsbl_server.count(type="A") == 1


@pytest.mark.parametrize(
    "subject",
    [
        "a..example.com",
        ".example.com",
        "",
        ".",
        "a.example.com\n",
        "a b.example",
        "example.com..",
        "user@example.com..",
        "user@",
        "@example.com",
        "https://",
        "https:///x",
        "https://a..example.com/",
        "exam\x00ple.com",
        "example.com\u2028",
        "ex*mple.com",
        "\U0001f4a9.example",  # C6: no emoji in IDNA 2008
        "a" * 64 + ".example",  # C4
        "ä" * 60 + ".example",
        ".".join(["a" * 63] * 4) + ".example",
    ],
)
def test_c3_what_is_no_domain_is_refused_and_not_asked(every_way: EveryWay, subject: str) -> None:
    every_way.refuse(ANY, subject)


def test_c3_a_batch_goes_on_with_the_next(dnsbl_server: DnsblServer) -> None:
    dnsbl_server.zone("dbl.spamhaus.org").list("example.com", codes=["127.0.1.2"])
    subjects = ["a..example.com", "example.com", "", "example.net", ".", "example.com"]
    with Resolver(["dbl.spamhaus.org"], [dnsbl_server.nameserver]) as resolver:
        found = list(resolver.check_many(subjects, ordered=True))
    listed = [item.text if isinstance(item, SubjectError) else item.listed for item in found]
    assert listed == ["a..example.com", True, "", False, ".", True]


def test_c4_63_characters_are_a_label(every_way: EveryWay) -> None:
    label = "a" * 63
    assert every_way.look_up(ANY, f"{label}.example").asked == [f"{label}.example.all.example.net"]


@pytest.mark.parametrize("length", [238, 239, 253])
def test_c4_a_name_that_does_not_fit_before_the_zone_is_refused_never_clean(
    every_way: EveryWay, length: int
) -> None:
    name = ".".join(["a" * 49] * 5)[: length - 8].rstrip(".") + ".example"
    name = "b" * (length - len(name)) + name
    assert len(name) == length
    every_way.refuse(DOMAIN.format("host"), name)  # dbl.example.net and a dot: 16 characters
    # Where only the registrable domain is asked there is room.
    assert every_way.look_up(DOMAIN.format("registrable"), name).code == 0


@pytest.mark.parametrize(
    ("subject", "asked"),
    [
        ("straße.example", "xn--strae-oqa.example"),
        ("STRASSE.example", "strasse.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bücher。example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("user@bücher.example.", "xn--bcher-kva.example"),
        ("https://www.bücher.example/x", "xn--bcher-kva.example"),
        ("\uff25\uff38\uff21\uff2d\uff30\uff2c\uff25.com", "example.com"),
    ],
)
def test_c6_idna_2008_in_every_spelling(every_way: EveryWay, subject: str, asked: str) -> None:
    assert every_way.look_up(DOMAIN.format("registrable"), subject).asked == [f"{asked}.dbl.example.net"]


@pytest.mark.parametrize(
    "subject",
    [
        "192.0.2.99",
        "2001:db8::99",
        "[192.0.2.99]",
        "[IPv6:2001:db8::99]",
        "[ipv6:2001:DB8::99]",
        "user@[192.0.2.99]",
        "user@[IPv6:2001:db8::99]",
        "https://[2001:db8::99]/",
        "http://192.0.2.99:8080/x",
    ],
)
@pytest.mark.parametrize("mode", ["registrable", "host"])
def test_c7_c9_an_address_is_not_asked_of_a_domain_list(every_way: EveryWay, subject: str, mode: str) -> None:
    ended = every_way.look_up(DOMAIN.format(mode), subject)
    assert (ended.code, ended.asked, ended.outcomes) == (0, [], ["skipped"])


@pytest.mark.parametrize(
    ("subject", "address"),
    [
        ("[192.0.2.1]", "192.0.2.1"),
        ("[IPv6:2001:db8::1]", "2001:db8::1"),
        ("[ipV6:2001:db8::1]", "2001:db8::1"),
    ],
)
def test_c9_a_literal_is_its_address_where_addresses_are_taken(
    every_way: EveryWay, subject: str, address: str
) -> None:
    assert every_way.look_up(ANY, subject).asked == [reversed_name(address, "all.example.net")]


@pytest.mark.parametrize(
    "subject", ["localhost", "printer", "printer.lan", "user@host.local", "http://intranet/"]
)
def test_c9_a_private_name_is_not_asked(every_way: EveryWay, subject: str) -> None:
    ended = every_way.look_up(ANY, subject)
    assert (ended.code, ended.asked, ended.outcomes) == (0, [], ["skipped"])
    assert ended.verdict["complete"]


@pytest.mark.parametrize(
    ("subject", "registrable", "host"),
    [
        ("www.shop.example.co.uk", "example.co.uk", "www.shop.example.co.uk"),
        ("example.co.uk.", "example.co.uk", "example.co.uk"),
        ("user@mail.example.co.uk", "example.co.uk", "mail.example.co.uk"),
        ("https://a.b.github.io/x", "b.github.io", "a.b.github.io"),
        ("co.uk", None, None),
        ("github.io", "github.io", "github.io"),  # L10: a private suffix is a domain too
        ("www.example.unknowntld", "example.unknowntld", "www.example.unknowntld"),
        ("münchen.例え.jp", "xn--r8jz45g.jp", "xn--mnchen-3ya.xn--r8jz45g.jp"),
    ],
)
def test_c10_the_registrable_domain_or_the_host_as_the_zone_says(
    every_way: EveryWay, subject: str, registrable: str | None, host: str | None
) -> None:
    for mode, name in (("registrable", registrable), ("host", host)):
        ended = every_way.look_up(DOMAIN.format(mode), subject)
        assert ended.asked == ([] if name is None else [f"{name}.dbl.example.net"])
        assert ended.outcomes == ["skipped" if name is None else "not_listed"]
