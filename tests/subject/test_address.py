"""The key of an address, in whatever form the address comes."""

from __future__ import annotations

import enum
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsbl.subject import address_key


class Host(str, enum.Enum):  # noqa: UP042  # a StrEnum would give its value as str(), this one does not
    MAIL = "192.0.2.99"


def forms(address: IPv4Address | IPv6Address) -> list[object]:
    return [address, address.packed, str(address), address.exploded, str(address).upper()]


@given(st.ip_addresses())
def test_all_forms_of_an_address_have_one_key(address: IPv4Address | IPv6Address) -> None:
    expected = getattr(address, "ipv4_mapped", None) or address
    for form in forms(address):
        key = address_key(form)
        assert type(key) is bytes
        assert key == expected.packed


@given(st.ip_addresses(v=4))
def test_b3_the_mapped_form_is_the_ipv4_address(address: IPv4Address) -> None:
    mapped = IPv6Address(bytes(10) + b"\xff\xff" + address.packed)
    texts = [f"::ffff:{address}", f"::FFFF:{address.packed[:2].hex()}:{address.packed[2:].hex().upper()}"]
    for form in [*forms(mapped), *texts]:
        assert address_key(form) == address.packed


def test_other_embedded_forms_stay_ipv6() -> None:
    for text in ("::192.0.2.99", "64:ff9b::192.0.2.99", "2002:c000:263::1", "::ffff:0:192.0.2.99"):
        assert address_key(text) == address_key(IPv6Address(text)) == IPv6Address(text).packed


def test_b4_a_scope_id_means_link_local_and_is_dropped() -> None:
    plain = IPv6Address("fe80::1").packed
    for scope in ("eth0", "9", "br-lan.7"):
        assert address_key(f"fe80::1%{scope}") == plain
        assert address_key(IPv6Address(f"fe80::1%{scope}")) == plain
    assert address_key("2001:db8::1%eth0") is None
    assert address_key(IPv6Address("2001:db8::1%eth0")) is None
    assert address_key(IPv6Address("::ffff:192.0.2.1%eth0")) is None


@given(st.binary(max_size=40).filter(lambda b: len(b) not in (4, 16)))
def test_bytes_of_another_length_are_no_address(value: bytes) -> None:
    assert address_key(value) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        3221225985,
        192.02,
        True,
        bytearray(4),
        memoryview(b"1234"),
        ("192.0.2.1",),
        IPv4Interface("192.0.2.1/24"),
        IPv6Interface("2001:db8::1/64"),
        ip_network("192.0.2.1/32"),
        IPv6Network("2001:db8::1/128"),
        " 192.0.2.1",
        "192.0.2.1\n",
        "192.0.2.1/32",
        "192.0.2.010",
        "[192.0.2.1]",
        "example.com",
        "",
    ],
)
def test_everything_else_is_no_address(value: object) -> None:
    assert address_key(value) is None


def test_subclasses_count_as_what_they_hold() -> None:
    class Text(str):
        def __str__(self) -> str:
            return "198.51.100.1"

    class Address(IPv4Address):
        pass

    expected = IPv4Address("192.0.2.99").packed
    assert address_key(Host.MAIL) == expected
    assert address_key(Text("192.0.2.99")) == expected
    assert address_key(Address("192.0.2.99")) == expected


@given(st.text())
def test_no_text_raises(text: str) -> None:
    key = address_key(text)
    assert key is None or len(key) in (4, 16)
