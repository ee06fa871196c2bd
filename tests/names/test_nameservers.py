"""Nameservers as users and resolv.conf write them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsbl.errors import NameserverError
from dnsbl.names.nameserver import NAMESERVERS_MAX, is_loopback, parse_nameserver, parse_resolv_conf


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.53", "192.0.2.53:53"),
        ("192.0.2.53:5353", "192.0.2.53:5353"),
        ("[192.0.2.53]:53", "192.0.2.53:53"),
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("192.0.2.53:65535", "192.0.2.53:65535"),
        ("2001:db8::53", "[2001:db8::53]:53"),
        ("2001:DB8:0::53", "[2001:db8::53]:53"),
        ("[2001:db8::53]", "[2001:db8::53]:53"),
        ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ("::ffff:192.0.2.53", "192.0.2.53:53"),
        ("[::ffff:c000:235]:5353", "192.0.2.53:5353"),
        ("fe80::1%eth0", "[fe80::1]:53%eth0"),
        ("[fe80::1%eth0]", "[fe80::1]:53%eth0"),
        ("[fe80::1%eth0]:5353", "[fe80::1]:5353%eth0"),
        ("[fe80::1]:5353%eth0", "[fe80::1]:5353%eth0"),
        ("fe80::1%2", "[fe80::1]:53%2"),
        ("fe80::1%br-lan.7_a", "[fe80::1]:53%br-lan.7_a"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert parse_nameserver(text) == canonical
    assert parse_nameserver(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("dns.example.com", "host name"),
        ("dns.example.com:53", "host name"),
        ("localhost", "host name"),
        ("192.0.2.53:0", "port"),
        ("192.0.2.53:65536", "port"),
        ("[2001:db8::53]:70000", "port"),
        ("192.0.2.53:", "write ADDRESS"),
        ("192.0.2.53:-1", "write ADDRESS"),
        ("192.0.2.53:\uff15\uff13", "write ADDRESS"),
        ("192.0.2.53:000053", "write ADDRESS"),
        ("192.0.2.53#53", "write ADDRESS"),
        ("192.0.2.53:53:53", "write ADDRESS"),
        ("192.0.2.053", "write ADDRESS"),
        ("192.0.2", "write ADDRESS"),
        ("192.0.2.53 ", "write ADDRESS"),
        ("192.0.2.53\n", "write ADDRESS"),
        ("192.0.2.53,192.0.2.54", "write ADDRESS"),
        ("192.0.2.53%eth0", "write ADDRESS"),
        ("2001:db8::53%eth0", "write ADDRESS"),
        ("[2001:db8::53", "write ADDRESS"),
        ("2001:db8::53]:53", "write ADDRESS"),
        ("[fe80::1%eth0]:53%eth1", "write ADDRESS"),
        ("[]:53", "write ADDRESS"),
        (":53", "write ADDRESS"),
        ("", "write ADDRESS"),
        ("fe80::1", "add its interface"),
        ("[fe80::1]:53", "add its interface"),
        ("fe80::1%a,b", "interface name"),
    ],
)
def test_what_is_no_nameserver_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(NameserverError, match=why) as caught:
        parse_nameserver(text)
    assert caught.value.text == text
    assert "\n" not in str(caught.value)


@given(st.text() | st.text(alphabet="0129af:.[]%e/ ", max_size=30))
@settings(max_examples=500)
def test_any_text_is_canonical_or_refused(text: str) -> None:
    try:
        canonical = parse_nameserver(text)
    except NameserverError:
        return
    assert parse_nameserver(canonical) == canonical


@given(st.ip_addresses(), st.integers(1, 65535))
@settings(max_examples=300)
def test_every_address_with_every_port(address: IPv4Address | IPv6Address, port: int) -> None:
    if isinstance(address, IPv6Address):
        if address.is_link_local or address.ipv4_mapped:
            return
        assert parse_nameserver(f"[{address}]:{port}") == f"[{address}]:{port}"
    else:
        assert parse_nameserver(f"{address}:{port}") == f"{address}:{port}"


# ---- resolv.conf ----


def test_g7_lenient_where_people_are() -> None:
    text = (
        "\ufeff# made by hand\r\n"
        "nameserver 192.0.2.53 # note\r\n"
        "nameserver\t192.0.2.54;note\r\n"
        "  nameserver   2001:db8::53\t\r\n"
        "#nameserver 198.51.100.1\r\n"
        "; nameserver 198.51.100.2\r\n"
        "search corp.example\r\n"
        "options edns0 timeout:1\r\n"
        "NAMESERVER fe80::1%eth0 trailing words\r\n"
        "nameserver 192.0.2.53\r\n"
        "nameservers 198.51.100.3\r\n"
        "nameserver127.0.0.1\r\n"
        "nameserver 192.0.2.55"
    )
    conf = parse_resolv_conf(text)
    assert conf.nameservers == (
        "192.0.2.53:53", "192.0.2.54:53", "[2001:db8::53]:53", "[fe80::1]:53%eth0", "192.0.2.55:53",
    )  # fmt: skip
    assert conf.skipped == ()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("gap", [" ", "\t", " \t "])
@pytest.mark.parametrize("note", ["", " # note", "# note", " ; note", "\t#nameserver 198.51.100.1", " extra"])
@pytest.mark.parametrize(
    ("written", "canonical"),
    [("192.0.2.53", "192.0.2.53:53"), ("2001:db8::53", "[2001:db8::53]:53"), ("[::1]:5353", "[::1]:5353")],
)
def test_g7_in_all_its_spellings(end: str, gap: str, note: str, written: str, canonical: str) -> None:
    text = f"nameserver{gap}{written}{note}{end}#nameserver{gap}198.51.100.9{end}"
    assert parse_resolv_conf(text) == ((canonical,), ())


def test_unusable_lines_are_skipped_and_reported() -> None:
    conf = parse_resolv_conf(
        "nameserver\nnameserver dns.example.com\nnameserver fe80::1\nnameserver 192.0.2.53\n"
    )
    assert conf.nameservers == ("192.0.2.53:53",)
    assert len(conf.skipped) == 3
    for reason, part in zip(conf.skipped, ["''", "'dns.example.com'", "'fe80::1'"], strict=True):
        assert part in reason


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "search corp.example\n", "\ufeff"])
def test_an_empty_file_names_none(text: str) -> None:
    assert parse_resolv_conf(text) == ((), ())


def test_the_number_is_bounded() -> None:
    lines = [f"nameserver 192.0.2.{n}" for n in range(200)] + ["nameserver " + "x" * 10000] * 50
    conf = parse_resolv_conf("\n".join(lines))
    assert conf.nameservers == tuple(f"192.0.2.{n}:53" for n in range(NAMESERVERS_MAX))
    assert 0 < len(conf.skipped) <= 16
    assert all(len(reason) < 200 for reason in conf.skipped)


@given(st.text(alphabet="nameserver 192.0.2:#;\t\r\n[]%\ufeff\x00\u2028", max_size=200))
def test_any_resolv_conf_gives_canonical_nameservers(text: str) -> None:
    for nameserver in parse_resolv_conf(text).nameservers:
        assert parse_nameserver(nameserver) == nameserver


# ---- loopback ----


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.255.0.1:5353", True),
        ("::1", True),
        ("[::1]:5353", True),
        ("::ffff:127.0.0.1", True),
        ("128.0.0.1", False),
        ("12.7.0.1", False),
        ("::2", False),
        ("::1:1", False),
        ("2001:db8::1", False),
        ("fe80::1%lo", False),
    ],
)
def test_is_loopback(text: str, loopback: bool) -> None:
    assert is_loopback(parse_nameserver(text)) is loopback
