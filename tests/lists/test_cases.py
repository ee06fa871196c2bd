"""Reported faults F1 to F10 of other readers of list files; each name has its case's number."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsbl.errors import InputError
from dnsbl.lists.builder import ListData
from dnsbl.lists.context import ListError
from dnsbl.lists.read import FORMATS, parse, read
from dnsbl.subject import address_key


def said(data: ListData, subject: str) -> list[str]:
    """A records as the last octet, then texts."""
    answer = data.answer(address_key(subject) or subject)
    return [str(address & 255) for address in answer.addresses] + [text.decode() for text in answer.texts]


def test_f1_drop_text() -> None:
    data = read(b"; Spamhaus DROP List\n192.0.2.0/24 ; SBL1\n198.51.100.0/22 ; SBL2\n; EOF")
    assert (data.format, data.entries, data.bad) == ("drop", 2, 0)
    assert said(data, "198.51.103.255") == ["2", "SBL2"]
    assert said(data, "192.0.2.1") == ["2", "SBL1"]


def test_f3_drop_json() -> None:
    lines = b'{"cidr":"192.0.2.0/24","sblid":"SBL1","rir":"x"}\n{"cidr":"2001:db8::/32","sblid":"SBL2"}\n'
    data = read(lines + b'{"type":"metadata","timestamp":0,"records":2}', now=1.0)
    assert (data.entries, data.warnings) == (2, ())
    assert said(data, "2001:db8::5") == ["2", "SBL2"]
    short = read(lines + b'{"type":"metadata","timestamp":0,"records":3}')
    assert "2 entries, its metadata says 3" in short.warnings[0].message
    assert parse(b'{"cidr":"192.0.2.0/24"}\n[1]\n{"x":\n{"cidr":7}\n').bad == 3


def test_f4_comments_line_ends_and_byte_order_mark() -> None:
    text = "\ufeff192.0.2.0/27    # office\r\n2001:db8::/32 ; x\r\n# whole line\r\n\r\n  198.51.100.7 \r\n"
    data = read((text + "203.0.113.1 // no comment\r\n").encode(), "plain")
    assert (data.entries, data.bad, data.problems[0].line) == (3, 1, 6)
    assert said(data, "192.0.2.31") == ["2"]
    assert said(data, "2001:db8:ffff::") == ["2"]
    assert said(data, "203.0.113.1") == []


def test_f5_host_bits_refuse_one_line() -> None:
    data = read(
        b"198.51.100.1\n192.0.2.67/24\n198.51.100.2\n2001:db8::1/64\n".replace(b"2001:db8::1/64\n", b"")
    )
    assert (data.entries, data.bad) == (2, 1)
    assert data.problems[0] == (2, "192.0.2.67/24 has host bits set: write 192.0.2.0/24, or 192.0.2.67 alone")
    assert parse(b"2001:db8::1/64\n").problems[0].message.startswith("2001:db8::1/64 has host bits set")


def test_f7_ip4set() -> None:
    data = read(
        b"$SOA 3000 ns.example admin.example 0 1h 1h 1h 1h\n$NS 1w ns.example\n$TTL 300\n"
        b":127.0.0.4:see http://example.com/?$\n192.0.2.10-20\n198.51.100\n!198.51.100.7\n"
        b"203.0.113.0/25 ; SBL1\n203.0.113.200 :9:own\n10\n"
    )
    assert data.format == "ip4set"
    for subject in ("192.0.2.10", "192.0.2.20", "198.51.100.1", "203.0.113.127"):
        assert said(data, subject) == ["4", f"see http://example.com/?{subject}"]
    for subject in ("192.0.2.21", "192.0.2.9", "198.51.100.7", "203.0.113.128", "10.0.0.1"):
        assert said(data, subject) == []
    assert said(data, "203.0.113.200") == ["9", "own"]
    assert [problem.line for problem in data.problems] == [10]


def test_f8_values() -> None:
    data = read(b":2:IP $ is bad\n192.0.2.5 :5\n192.0.2.6 :6:\n192.0.2.7 costs $$5\n192.0.2.8\n")
    assert said(data, "192.0.2.5") == ["5", "IP 192.0.2.5 is bad"]
    assert said(data, "192.0.2.6") == ["6"]
    assert said(data, "192.0.2.7") == ["2", "costs $5"]
    assert said(data, "192.0.2.8") == ["2", "IP 192.0.2.8 is bad"]


def test_f9_names() -> None:
    data = read(b"Example.com\n*.example.net\n.example.org\n!good.example.org\n")
    assert data.format == "dnset"
    for name in ("example.com", "a.b.example.net", "example.org", "x.example.org", "www.good.example.org"):
        assert said(data, name) == ["2"]
    for name in ("www.example.com", "example.net", "good.example.org", "com"):
        assert said(data, name) == []


def test_f10_combined() -> None:
    text = (
        b"$DATASET ip4set @\n:5:\n192.0.2.0/24\n$DATASET ip6trie @\n2001:db8::/32\n"
        b"$DATASET ip4set relays\n198.51.100.1\n$DATASET dnhash @\nx y z\n"
    )
    data, relays = read(text), read(text, "combined:relays")
    assert said(data, "192.0.2.9") == said(data, "::ffff:192.0.2.9") == ["5"]
    assert said(data, "2001:db8::9") == ["2"]
    assert said(data, "198.51.100.1") == [] != said(relays, "198.51.100.1")
    assert said(relays, "192.0.2.9") == []
    assert "dnhash is not read" in data.warnings[0].message


def test_exclusions_by_octet_level_and_by_prefix() -> None:
    """An open choice: as rbldnsd does, each format its own way."""
    text = b"!192.0.2.0/25\n192.0.2.5\n"
    assert said(parse(text, "ip4set"), "192.0.2.5") == []
    assert said(parse(text, "ip4trie"), "192.0.2.5") == ["2"]


def test_a_file_with_too_many_bad_lines_is_refused() -> None:
    good = b"".join(b"192.0.2.%d\n" % number for number in range(95))
    assert read(good + b"bad\n" * 5).bad == 5
    with pytest.raises(ListError, match=r"6 of 101 entries are bad .*line 96: 'bad' is not a valid address"):
        read(good + b"bad\n" * 6)
    with pytest.raises(ListError, match="1 of 1 entries are bad"):
        read(b"bad\n")
    assert read(good + b"bad\n" * 6, bad_share=0.1).bad == 6


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>", b"\n <HTML>", b"<?xml version='1.0'?><html>"])
def test_a_page_is_no_list(page: bytes) -> None:
    for format in FORMATS:
        with pytest.raises(ListError, match="HTML page"):
            read(page, format)


@pytest.mark.parametrize("text", [b"", b"; EDROP is merged into DROP\n", b"# none\r\n\r\n"])
def test_comments_alone_are_an_empty_list(text: bytes) -> None:
    assert read(text).entries == 0
    assert read(text).answer(b"\xc0\x00\x02\x01").addresses == ()


def test_dates() -> None:
    assert read(b"$TIMESTAMP 2024:01:02 +1d\n192.0.2.1\n", "ip4set").expires == 1704240000
    assert read(b"; Expires: Wed, 04 Sep 2024 10:00:00 GMT\n192.0.2.1\n").expires == 1725444000
    with pytest.raises(ListError, match="is in the future"):
        read(b"$TIMESTAMP 2030:01:02\n192.0.2.1\n", "ip4set", now=1704240000.0)


@pytest.mark.parametrize("format", ["csv", "dnhash", "aclkey", "combined:", "plain:x"])
def test_formats_that_are_not_read(format: str) -> None:
    with pytest.raises(ListError, match="is not a valid list format"):
        read(b"", format)


LINES = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.from_regex(
            r"[!]?[0-9]{1,3}(\.[0-9]{1,3}){0,3}(/[0-9]{1,3}|-[0-9.]{1,9})?[ ]?[:;#$]?[0-9a-z$:]{0,5}",
            fullmatch=True,
        ),
        st.from_regex(r"[!]?[0-9a-f:]{1,20}(/[0-9]{1,3})?", fullmatch=True),
        st.from_regex(r"[$:][A-Za-z0-9=]{1,9} [0-9:+a-z @$]{0,12}", fullmatch=True),
        st.sampled_from(["$DATASET ip4set @", "$DATASET dnset @", ":5:x$", '{"cidr":"192.0.2.0/24"}']),
    ),
    max_size=12,
)


@given(
    lines=LINES,
    format=st.sampled_from(FORMATS),
    key=st.binary(min_size=4, max_size=4),
    tail=st.binary(max_size=9),
)
def test_any_text_is_read_or_refused(lines: list[str], format: str, key: bytes, tail: bytes) -> None:
    """Nothing but a ListError comes out, and what was read can be asked."""
    data = "\n".join(lines).encode("utf-8", "surrogatepass") + tail
    try:
        found = parse(data, format)
    except InputError:
        return
    assert found.bad <= found.lines
    for each in (key, key * 4, "a.example.com"):
        answer = found.answer(each)
        assert bool(answer.addresses) == found.lists(each)
        assert all(len(text) <= 254 for text in answer.texts)


def test_an_ipv4_mapped_network_is_measured_as_it_is_written() -> None:
    """`::ffff:192.0.2.0/24` is a network of IPv6 with host bits, not 192.0.2.0/24."""
    found = parse(b"::ffff:192.0.2.0/120\n::ffff:192.0.2.0/24\n2001:db8::/32\n2001:db8::1/32\n", "plain")
    assert (found.ip4, found.ip6, [problem.line for problem in found.problems]) == (1, 1, [2, 4])
    assert found.lists(bytes((192, 0, 2, 255)))
    assert not found.lists(bytes((192, 0, 3, 0)))


def test_addresses_in_one_slash64_and_at_both_ends() -> None:
    """The second half of an address decides where its first half is that of an entry."""
    listed = [
        "::1",
        "2001:db8::5",
        "2001:db8::7",
        "2001:db8:0:1::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ]
    found = parse("\n".join(listed).encode(), "plain")
    for text in listed:
        number = int(IPv6Address(text))
        assert found.lists(number.to_bytes(16)), text
        for beside in (number - 1, number + 1):
            if 0 < beside < 1 << 128:
                assert not found.lists(beside.to_bytes(16)), text
