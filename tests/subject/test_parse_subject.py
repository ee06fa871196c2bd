"""From whatever names an address or a domain to the one value that is looked up."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsbl.errors import DnsblError, SubjectError
from dnsbl.subject import Subject, parse_subject

HOSTS = {
    "example.com": "example.com",
    "Example.COM": "example.com",
    "example.com.": "example.com",
    "bücher.example": "xn--bcher-kva.example",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
    "192.0.2.99": "192.0.2.99",
    "[2001:db8::1]": "2001:db8::1",
    "[2001:DB8:0::1]": "2001:db8::1",
    "[::ffff:192.0.2.99]": "192.0.2.99",
}


def refused(value: object) -> SubjectError:
    with pytest.raises(SubjectError) as caught:
        parse_subject(value)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, DnsblError)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    if isinstance(value, str):
        assert caught.value.text == value
    return caught.value


def text_of(value: object) -> str:
    return parse_subject(value).text


# ---- addresses ----


@given(st.ip_addresses())
def test_an_address_in_every_form_is_one_subject(address: IPv4Address | IPv6Address) -> None:
    expected = getattr(address, "ipv4_mapped", None) or address
    subject = parse_subject(address)
    assert subject.kind == f"ip{expected.version}"
    assert subject.key == expected.packed
    assert subject.text == str(expected)
    assert subject.registrable is subject.asked_as("host") is subject.asked_as("registrable") is None
    literal = f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"
    for form in (address.packed, str(address), address.exploded, literal, f"user@{literal}"):
        assert parse_subject(form) == subject


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("192.0.2.99", False), ("127.0.0.1", False), ("127.0.0.2", False), ("127.0.0.3", True),
        ("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("::ffff:127.0.0.2", False), ("2001:db8::1", False),
        ("::1", True), ("fe80::1%eth0", True), ("fe80::1%9", True), ("fd00::1", True),
        ("[fe80::1%eth0]", True), ("example.com", False), ("localhost", True), ("printer.local", True),
        ("user@host.internal", True),
    ],
)  # fmt: skip
def test_local(text: str, local: bool) -> None:
    assert parse_subject(text).local is local


@pytest.mark.parametrize(
    "text", ["fe80::1%eth0", "fe80::1%9", "[IPv6:fe80::1%eth0]", "http://[fe80::1%25eth0]/"]
)
def test_b4_the_scope_id_is_in_no_part_of_the_subject(text: str) -> None:
    assert parse_subject(text) == Subject("ip6", IPv6Address("fe80::1").packed, "fe80::1", True)


@pytest.mark.parametrize(
    "text", ["192.0.2.010", "0300.0.2.1", "192.0.2", "192.0.2.1.5", "192.0.2.256", "3221225985", "0xc0000201"]
)
def test_b5_an_address_gone_wrong_is_never_a_domain(text: str) -> None:
    for form in (
        text,
        text + ".",
        f"[{text}]",
        f"user@{text}",
        f"http://{text}/",
        f"https://user@{text}:80/",
    ):
        refused(form)
    for form in (text, f"user@{text}", f"http://{text}/"):
        assert "four decimal numbers" in str(refused(form))


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\r\n", "\u3000", "\u00a0", "\x00", "\u2028"])
@pytest.mark.parametrize(
    "text", ["192.0.2.1", "2001:db8::1", "example.com", "user@example.com", "http://example.com"]
)
def test_b5_white_space_around_is_refused(text: str, space: str) -> None:
    refused(space + text)
    refused(text + space)


# ---- literals ----


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("[192.0.2.1]", "192.0.2.1"),
        ("[IPv6:2001:db8::1]", "2001:db8::1"),
        ("[ipv6:2001:DB8::1]", "2001:db8::1"),
        ("[IPV6:2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[IPv6:::ffff:192.0.2.1]", "192.0.2.1"),
        ("user@[192.0.2.1]", "192.0.2.1"),
        ("user@[IPv6:2001:db8::1]", "2001:db8::1"),
    ],
)
def test_c9_literals_are_addresses(text: str, address: str) -> None:
    subject = parse_subject(text)
    assert subject == parse_subject(address)
    assert subject.kind != "domain"


@pytest.mark.parametrize(
    "text",
    [
        "[]", "[", "[192.0.2.1", "192.0.2.1]", "[[192.0.2.1]]", "[IPv6:]", "[IPv6:192.0.2.1]",
        "[IPv4:192.0.2.1]", "[IPv6:IPv6:2001:db8::1]", "[example.com]", "[192.0.2.1].", "[192.0.2.1]:25",
        "[ 192.0.2.1 ]", "[192.0.2.256]", "[IPv6:2001:db8::1%eth0]", "[Foo:bar]", "user@[example.com]",
    ],
)  # fmt: skip
def test_c9_malformed_literals(text: str) -> None:
    refused(text)


# ---- domains ----


def test_a_domain() -> None:
    assert parse_subject("WWW.Example.CO.UK.") == Subject(
        "domain", "www.example.co.uk", "www.example.co.uk", False
    )


@pytest.mark.parametrize(
    ("text", "registrable", "host"),
    [
        ("www.shop.example.co.uk", "example.co.uk", "www.shop.example.co.uk"),
        ("example.co.uk.", "example.co.uk", "example.co.uk"),
        ("co.uk", None, None),
        ("user@co.uk", None, None),
        ("localhost", None, None),
        ("github.io", "github.io", "github.io"),  # L10: a private suffix is somebody's domain
        ("https://www.user.github.io/x", "user.github.io", "www.user.github.io"),
        ("straße.example", "xn--strae-oqa.example", "xn--strae-oqa.example"),
    ],
)
def test_c10_what_a_list_is_asked(text: str, registrable: str | None, host: str | None) -> None:
    subject = parse_subject(text)
    assert subject.registrable == subject.asked_as("registrable") == registrable
    assert subject.asked_as("host") == host


@pytest.mark.parametrize(
    "text", ["a..example.com", ".example.com", "", ".", "a.example.com\n", "a b.example", "example.com.."]
)
def test_c3_malformed_names_in_every_form(text: str) -> None:
    for form in (text, f"user@{text}", f"http://{text}/", f"http://user@{text}:80"):
        refused(form)


@pytest.mark.parametrize(
    "text", ["192.0.2.0/24", "2001:db8::/32", "example.com:25", "192.0.2.1:25", "//example.com", "a/b"]
)
def test_what_is_neither(text: str) -> None:
    refused(text)


# ---- e-mail ----


@pytest.mark.parametrize(
    "local_part", ["user", '"a b"', '"a@b"', "a@b", "user+tag", "д", '"http://x"', "caf\udce9", "mailto:user"]
)
@pytest.mark.parametrize("host", sorted(HOSTS))
def test_an_e_mail_address_is_its_domain(local_part: str, host: str) -> None:
    assert text_of(f"{local_part}@{host}") == HOSTS[host]


@pytest.mark.parametrize(
    "text", ["@", "@example.com", "user@", "user@example.com\r\nx", "a\x00b@example.com", "<u@example.com>"]
)
def test_malformed_e_mail_addresses(text: str) -> None:
    refused(text)


# ---- URLs ----


@pytest.mark.parametrize("scheme", ["http", "HTTPS", "ftp", "a+b.c-1"])
@pytest.mark.parametrize("user_info", ["", "user@", "user:pass@", "a@b@", ":@", "example.net%40x@"])
@pytest.mark.parametrize("port", ["", ":", ":80", ":65535"])
@pytest.mark.parametrize(
    "rest", ["", "/", "/a b?c=d@example.net#e", "?x@y", "#@example.net", "/\\@x", "?a=://b"]
)
def test_a_url_is_its_host(scheme: str, user_info: str, port: str, rest: str) -> None:
    for host, text in HOSTS.items():
        assert text_of(f"{scheme}://{user_info}{host}{port}{rest}") == text


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("http://ex%61mple.com/", "example.com"),
        ("http://b%C3%BCcher.example/", "xn--bcher-kva.example"),
        ("http://%31%39%32.0.2.99/", "192.0.2.99"),
    ],
)
def test_a_percent_encoded_host_is_decoded(text: str, host: str) -> None:
    assert text_of(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "http://", "http:///x", "file:///etc/passwd", "http://user@", "http://:80/",
        "http://example.com:65536/", "http://example.com:x/", "http://example.com:80:80/",
        "http://example.com:-1", "http://2001:db8::1/", "http://[::1", "http://::1]/", "http://[::1]x/",
        "http://[::1]80/", "http://[example.com]/", "https://example.net\\@example.com/",
        "http://exa mple.com/", "http://ex%00mple.com/", "http://ex%0ample.com/", "http://ex%2fmple.com/",
        "http://ex%C3mple.com/", "http://ex%ZZmple.com/", "://example.com", "1http://example.com",
        "http:/example.com", "http:example.com", "http://*.example.com/",
    ],
)  # fmt: skip
def test_malformed_urls(text: str) -> None:
    refused(text)


def test_the_length_is_bounded() -> None:
    assert text_of("https://example.com/" + "x" * 8000) == "example.com"
    for text in ("https://example.com/" + "x" * 1_000_000, "x" * 1_000_000, "@" * 1_000_000, "[" * 1_000_000):
        refused(text)
    refused("u" * 9000 + "@example.com")


# ---- anything ----


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"", ""),
        (b"abc", "616263"),
        (b"example.com", "6578616d706c652e636f6d"),
        (bytes(1000), "00" * 20),
        (None, "None"),
        (5, "5"),
        (IPv4Interface("192.0.2.1/24"), None),
    ],
)
def test_other_values(value: object, text: str | None) -> None:
    error = refused(value)
    if text is not None:
        assert error.text == text


def test_a_value_that_cannot_even_be_shown() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "Broken" in str(refused(Broken()))


FRAGMENTS = [
    "@", "://", "http://", "[", "]", "[IPv6:", "%", "%25", "%2e", "%C3%A9", ".", "..", "。", "ß",
    "\U0001f600", "\u200d", "\u0301", "א", "1", "٣", "192.0.2.1", "::1", "::ffff:", "2001:db8::1",
    "example", "com", "co.uk", "xn--", "-", "_", ":80", ":", " ", "\n", "\\", "/", "?", "#", '"', "0x1",
    "\ud800", "a" * 63, "\u00ad", "K", "İ", "ﬃ", "㏂", "Ⅷ",
]  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join) | st.text(max_size=60))
@settings(max_examples=2500, deadline=None)
def test_any_text_is_a_canonical_subject_or_refused(text: str) -> None:
    try:
        subject = parse_subject(text)
    except SubjectError:
        refused(text)
        return
    assert parse_subject(subject.text) == subject
    assert subject.text.isascii()
    if subject.kind == "domain":
        assert subject.key == subject.text
        for asked in (subject.asked_as("host"), subject.asked_as("registrable")):
            assert asked is None or f".{subject.text}".endswith(f".{asked}")
    else:
        assert len(subject.key) == (4 if subject.kind == "ip4" else 16)
