"""Networks, host names and mail addresses of rules."""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsbl.policy.patterns import host_names, mail_addresses, networks


def test_families_do_not_mix() -> None:  # B8
    exempt = networks(["198.51.100.0/24", "2001:db8:5::/48"])
    assert not exempt("2001:db8::1")
    assert exempt("2001:db8:5::9")
    assert exempt("198.51.100.255")
    assert not exempt("198.51.101.0")
    assert not networks(["::/0"])("192.0.2.1")
    assert not networks(["0.0.0.0/0"])("2001:db8::1")
    assert exempt("::ffff:198.51.100.7")
    assert exempt("::FFFF:C633:6407")
    assert exempt("2001:DB8:0005:0::9")


@pytest.mark.parametrize("text", ["unknown", "", "192.0.2.010", "192.0.2", "example.com", "1" * 100_000])
def test_what_is_no_address_is_in_no_network(text: str) -> None:
    assert not networks(["0.0.0.0/0", "::/0", "private"])(text)


@pytest.mark.parametrize(
    "text",
    ["10.1.2.3", "127.0.0.1", "127.0.0.2", "127.9.9.9", "::1", "fe80::1%eth0", "fc00::1", "192.168.0.1"],
)
def test_private(text: str) -> None:
    assert networks(["private"])(text)


@pytest.mark.parametrize("text", ["192.0.2.99", "2001:db8::1", "172.32.0.1", "126.255.255.255"])
def test_not_private(text: str) -> None:
    assert not networks(["private"])(text)


@given(st.lists(st.tuples(st.ip_addresses(), st.integers(0, 128)), min_size=1, max_size=5), st.ip_addresses())
def test_membership_is_that_of_ipaddress(pairs: list[tuple[object, int]], address: object) -> None:
    nets = [
        ip_network((str(base), min(bits, ip_address(str(base)).max_prefixlen)), False) for base, bits in pairs
    ]
    nets = [net for net in nets if not getattr(net.network_address, "ipv4_mapped", None)]
    asked = ip_address(str(address))
    asked = getattr(asked, "ipv4_mapped", None) or asked
    if nets:
        expected = any(asked in net for net in nets if net.version == asked.version)
        assert networks([str(net) for net in nets])(str(asked)) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("192.0.2.1/24", "did you mean 192.0.2.0/24?"),
        ("192.0.2.010", "use 192.0.2.0/24"),
        ("::ffff:192.0.2.0/120", "use the IPv4 network"),
        ("example.com", "not a valid network"),
        ("Private", "private"),
    ],
)
def test_a_network_that_is_none(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="network") as caught:
        networks([text])
    assert says in str(caught.value)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("mail.example.com", "mail.example.com", True),
        ("mail.example.com", "MAIL.Example.com.", True),
        ("Mail.Example.Com.", "mail.example.com", True),
        ("mail.example.com", "xmail.example.com", False),
        (".example.com", "a.b.example.com", True),
        (".example.com", "example.com", False),
        (".example.com", "badexample.com", False),
        ("*.dyn.example.com", "1-2-3.dyn.example.com", True),
        ("*dyn*.example.com", "host.dyn4.example.com", True),
        ("*dyn*.example.com", "host.example.com", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*ab*ba*", "aba", False),
        ("*ab*ba*", "xabbay", True),
        ("unknown", "unknown", True),
        ("bücher.example", "xn--bcher-kva.example", True),
        ("xn--bcher-kva.example", "BÜCHER.example", True),
        ("*", "", True),
        ("example.com", "", False),
        ("*", "\udce9", True),
    ],
)
def test_host_names(pattern: str, name: str, matches: bool) -> None:
    assert host_names([pattern])(name) is matches


@pytest.mark.parametrize(
    ("pattern", "address", "matches"),
    [
        ("postmaster@*", "Postmaster@example.com", True),
        ("postmaster@*", "postmaster", False),
        ("user@example.com", "USER@EXAMPLE.COM.", True),
        ("user@example.com", "other@example.com", False),
        ("example.com", "anyone@example.com", True),
        ("example.com", "anyone@mail.example.com", False),
        (".example.com", "anyone@mail.example.com", True),
        ("*@.example.com", "anyone@mail.example.com", True),
        ("*+spam@example.com", "me+spam@example.com", True),
        ("example.com", '"a@b"@example.com', True),
        ("example.com", "caf\udce9@example.com", True),
        ("xn--e1aybc.example", "д@тест.example", True),
        ("<>", "", True),
        ("<>", "a@example.com", False),
        ("*", "", False),
        ("*@*", "a@b", True),
    ],
)
def test_mail_addresses(pattern: str, address: str, matches: bool) -> None:  # D2, D9
    assert mail_addresses([pattern])(address) is matches


@pytest.mark.parametrize("text", ["user@", "@example.com", "a b@example.com", "a/b", "", "<a@b.example>x y"])
def test_a_pattern_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"pattern|host name"):
        mail_addresses([text])


def test_long_values_and_many_stars_cost_little() -> None:
    test = mail_addresses(["*a*a*a*a*a*a*a*a*b@*a*a*a*a*b"])
    started = time.perf_counter()
    for _ in range(1_000):
        assert not test("a" * 900 + "@" + "a" * 99)
        assert not test("a" * 100_000 + "@example.com")
    assert time.perf_counter() - started < 2.0
