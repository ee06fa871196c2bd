"""Addresses and query names against CPython's `ipaddress`, over all address space."""

from __future__ import annotations

import ipaddress
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dnsbl.names import _qname
from dnsbl.names._qname import format_address, is_local, join_name, parse_address, reverse_name, scope_id

ZONE = "bl.example.com"

# Zeros are frequent, so that "::" comes in every place and length.
ip6_groups = st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF]) | st.integers(0, 0xFFFF), min_size=8, max_size=8)
ip6 = ip6_groups.map(lambda groups: IPv6Address(b"".join(g.to_bytes(2, "big") for g in groups)))
ip4 = st.ip_addresses(v=4)
mapped = ip4.map(lambda address: IPv6Address(bytes(10) + b"\xff\xff" + address.packed))
addresses = st.one_of(ip4, st.ip_addresses(v=6), ip6, mapped)


def test_the_c_code_is_what_is_tested() -> None:
    assert not _qname.__file__.endswith((".py", ".pyc"))


# ---- reversal ----


@given(addresses)
@settings(max_examples=800)
def test_reversal_is_that_of_ipaddress(address: IPv4Address | IPv6Address) -> None:
    head, suffix, tld = address.reverse_pointer.rsplit(".", 2)
    assert reverse_name(address.packed, f"{suffix}.{tld}") == address.reverse_pointer
    assert reverse_name(address.packed, ZONE) == f"{head}.{ZONE}"


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("2001:db8::2", "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"),
        ("::2", "2" + 31 * ".0"),
        ("2001:db8::629", "9.2.6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"),
        ("192.0.2.99", "99.2.0.192"),
        ("203.0.113.255", "255.113.0.203"),
        ("128.0.2.200", "200.2.0.128"),
        ("::ffff:192.0.2.99", "99.2.0.192"),
        ("::FFFF:C000:263", "99.2.0.192"),
    ],
)
@pytest.mark.parametrize("zone", [ZONE, f".{ZONE}", f"{ZONE}.", f"..{ZONE}.."])
def test_b1_b2_b3_b7_query_names(text: str, head: str, zone: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert reverse_name(address, zone) == f"{head}.{ZONE}"


def test_b3_the_mapped_form_keeps_its_32_nibbles_for_the_health_check() -> None:
    test_point = IPv6Address("::ffff:127.0.0.2").packed
    assert reverse_name(test_point, ZONE) == "2.0.0.0.0.0.f.7.f.f.f.f" + 20 * ".0" + f".{ZONE}"


@given(st.integers(0, 40).filter(lambda n: n not in (4, 16)).map(bytes))
def test_other_lengths_are_refused(address: bytes) -> None:
    with pytest.raises(ValueError, match="4 or 16 bytes"):
        reverse_name(address, ZONE)
    with pytest.raises(ValueError, match="4 or 16 bytes"):
        format_address(address)
    with pytest.raises(ValueError, match="4 or 16 bytes"):
        is_local(address)


@pytest.mark.parametrize(
    "zone", ["", ".", "..", "a..example", "a b.example", "b\n.example", "a\\.b", "é", "\ud800"]
)
def test_a_zone_that_makes_no_name_is_refused(zone: str) -> None:
    for address in (bytes(4), bytes(16)):
        with pytest.raises(ValueError, match="not a"):
            reverse_name(address, zone)
    with pytest.raises(ValueError, match="not "):
        join_name("example.com", zone)


@pytest.mark.parametrize("name", ["", ".", ".example", "example.", "a..example", "bücher.example", "a b"])
def test_a_name_that_makes_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not "):
        join_name(name, ZONE)


# ---- lengths ----


def name_of(length: int) -> str:
    """A name of exactly so many characters, in labels of at most 50."""
    name = ".".join(["a" * 49] * 8)[:length]
    return name[:-1] + "b" if name.endswith(".") else name


@given(st.integers(1, 300), st.integers(1, 300))
@settings(max_examples=200)
def test_c4_a_joined_name_has_at_most_253_characters(name_length: int, zone_length: int) -> None:
    name, zone = name_of(name_length), name_of(zone_length)
    if len(name) + 1 + len(zone) <= 253:
        assert join_name(name, zone) == f"{name}.{zone}"
    else:
        with pytest.raises(ValueError, match="longer than 253"):
            join_name(name, zone)


@pytest.mark.parametrize(("address", "longest"), [(bytes(4), 253 - 8), (bytes(16), 253 - 64)])
def test_c4_a_reversed_name_has_at_most_253_characters(address: bytes, longest: int) -> None:
    assert len(reverse_name(address, name_of(longest))) == 253
    with pytest.raises(ValueError, match="longer than 253"):
        reverse_name(address, name_of(longest + 1))


@pytest.mark.parametrize("over", ["a" * 64, f"x.{'a' * 64}.example"])
def test_c4_a_label_has_at_most_63_characters(over: str) -> None:
    fits = over.replace("a" * 64, "a" * 63)
    assert join_name(fits, ZONE) == f"{fits}.{ZONE}"
    assert reverse_name(bytes(4), fits) == f"0.0.0.0.{fits}"
    with pytest.raises(ValueError, match="1 to 63"):
        join_name(over, ZONE)
    with pytest.raises(ValueError, match="1 to 63"):
        reverse_name(bytes(4), over)


# ---- text to bytes ----


def oracle(text: str) -> bytes | None:
    """What `ipaddress` makes of a text, with the two differences that are meant: IPv4-mapped IPv6 is the IPv4
    address, and a scope id is a link-local address's only, in the characters of an interface's name."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address.packed
    scope = address.scope_id
    if scope is not None:
        link_local = address.packed[0] == 0xFE and address.packed[1] & 0xC0 == 0x80
        usable = len(scope) <= 15 and all("!" <= c <= "~" and c not in "/:[]" for c in scope)
        if not (link_local and usable):
            return None
    return address.packed if address.ipv4_mapped is None else address.ipv4_mapped.packed


def spelled(address: IPv4Address | IPv6Address) -> st.SearchStrategy[str]:
    spellings = [str(address), address.exploded, str(address).upper()]
    if isinstance(address, IPv6Address):
        tail = IPv4Address(address.packed[12:])
        head = str(IPv6Address(address.packed[:12] + b"\xff\xff\xff\xff")).rsplit(":", 2)[0]
        spellings += [f"{head}:{tail}", f"{address}%eth0", f"{address}%"]
    return st.sampled_from(spellings)


EDIT = "0123456789abcdefABCDEFxX.:%/[] \n\t\x00-+_é１٣"
texts = addresses.flatmap(spelled)
edits = st.lists(
    st.tuples(
        st.sampled_from(["insert", "delete", "replace", "double"]), st.integers(0, 60), st.sampled_from(EDIT)
    ),
    max_size=3,
)


def edited(text: str, changes: list[tuple[str, int, str]]) -> str:
    for kind, place, character in changes:
        at = min(place, len(text))
        rest = text[at + 1 :] if kind in ("delete", "replace") else text[at:]
        new = {"insert": character, "delete": "", "replace": character, "double": text[at : at + 1]}[kind]
        text = text[:at] + new + rest
    return text


@given(texts, edits)
@settings(max_examples=1500, deadline=None)
@example("192.0.2.010", [])
@example("fe80::1%0123456789abcde", [])
@example("fe80::1%0123456789abcdef", [])
@example("1:2:3:4:5:6:7::", [])
@example("::1:2:3:4:5:6:7:8", [])
def test_text_is_accepted_as_ipaddress_accepts_it(text: str, changes: list[tuple[str, int, str]]) -> None:
    text = edited(text, changes)
    assert parse_address(text) == oracle(text)


@given(st.text(alphabet=EDIT, max_size=24))
@settings(max_examples=800)
def test_any_text_is_accepted_as_ipaddress_accepts_it(text: str) -> None:
    assert parse_address(text) == oracle(text)


@given(st.text() | st.text().map(lambda s: s * 50))
def test_arbitrary_text_never_raises(text: str) -> None:
    assert parse_address(text) == oracle(text)


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.010", "0300.0.2.1", "192.0.2", "192.0.2.1.5", "192.0.2.256", " 192.0.2.1", "192.0.2.1 ",
        "192.0.2.1\n", "0xc0.0.2.1", "3221225985", "192.0.2.1/32", "192.0.2.1%eth0", "", "١٩٢.0.2.1",
        "192.0.2.1\x00", "::192.0.2.010", "2001:db8::1%eth0", "::1%lo", "::ffff:192.0.2.1%eth0",
        "fe80::1%", "fe80::1%9]]", "[::1]", "2001:db8::1::",
    ],
)  # fmt: skip
def test_b5_what_only_looks_like_an_address_is_none(text: str) -> None:
    assert parse_address(text) is None


@pytest.mark.parametrize(
    ("text", "scope"), [("fe80::1%eth0", "eth0"), ("fe80::1%9", "9"), ("fe80::1", ""), ("x", "")]
)
def test_b4_a_scope_id_is_reported_and_no_part_of_the_address(text: str, scope: str) -> None:
    assert scope_id(text) == scope
    if text != "x":
        assert parse_address(text) == IPv6Address("fe80::1").packed


@given(addresses)
@settings(max_examples=800)
def test_canonical_text(address: IPv4Address | IPv6Address) -> None:
    text = format_address(address.packed)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        assert text == f"::ffff:{address.ipv4_mapped}"  # RFC 5952 section 5; ipaddress does so from 3.13 on
    else:
        assert text == str(address)
    assert parse_address(text) == oracle(str(address))


# ---- not looked up ----

LOCAL = [
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.168.0.0/16", "224.0.0.0/3", "::/128", "::1/128", "fc00::/7", "fe80::/10", "ff00::/8",
    )
]  # fmt: skip
TEST_ENTRIES = {IPv4Address("127.0.0.1"), IPv4Address("127.0.0.2")}  # RFC 5782 section 5


def near_an_edge(offset: int) -> list[IPv4Address | IPv6Address]:
    """Every first and last address of the ranges, moved by `offset`, where that is an address."""
    edges = [edge for network in LOCAL for edge in (network[0], network[-1])]
    moved = [(int(edge) + offset, edge) for edge in edges]
    return [type(edge)(n) for n, edge in moved if 0 <= n < 1 << edge.max_prefixlen]


boundaries = st.sampled_from([address for offset in range(-3, 4) for address in near_an_edge(offset)])


@given(addresses | boundaries)
@settings(max_examples=800)
def test_local_addresses(address: IPv4Address | IPv6Address) -> None:
    judged = getattr(address, "ipv4_mapped", None) or address
    expected = judged not in TEST_ENTRIES and any(judged in network for network in LOCAL)
    assert is_local(address.packed) is expected


def test_documentation_addresses_are_looked_up() -> None:
    for text in ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"):
        assert not is_local(ip_address(text).packed)


def test_wrong_types_are_type_errors() -> None:
    for function, *arguments in (
        (parse_address, b"192.0.2.1"), (parse_address, None), (format_address, "1234"), (is_local, None),
        (reverse_name, bytes(4), b"zone"), (reverse_name, bytearray(4), ZONE), (join_name, None, ZONE),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            function(*arguments)


def test_no_reference_is_lost() -> None:
    text, zone = (
        "".join(["192.0.2", ".99"]),
        "".join(["bl.example", ".com"]),
    )  # no literals: those may be immortal
    before = sys.getrefcount(text), sys.getrefcount(zone)
    for _ in range(1000):
        address = parse_address(text)
        assert address is not None
        reverse_name(address, zone)
        with pytest.raises(ValueError, match="1 to 63"):
            reverse_name(address, "a..b")
    assert (sys.getrefcount(text), sys.getrefcount(zone)) == before


def test_the_oracle_is_strict_itself() -> None:
    with pytest.raises(ipaddress.AddressValueError):
        IPv4Address("192.0.2.010")
