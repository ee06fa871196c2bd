"""Domain names: what is one, what is asked of it, and what no public list can hold."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsbl.errors import SubjectError
from dnsbl.names._qname import join_name
from dnsbl.subject import registrable_domain
from dnsbl.subject.domain import LOCAL_TLDS, has_public_suffix, is_local_domain, parse_domain, shown


def refused(text: str) -> str:
    """The message a text is refused with."""
    with pytest.raises(SubjectError) as caught:
        parse_domain(text)
    assert caught.value.text == text
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    return str(caught.value)


@pytest.mark.parametrize(
    "text", ["Example.COM", "EXAMPLE.com", "example.com", "example.com.", "EXAMPLE.COM."]
)
def test_c1_c2_one_spelling(text: str) -> None:
    assert parse_domain(text) == "example.com"


@pytest.mark.parametrize(
    "text",
    [
        "example.com..", "a..example.com", ".example.com", "..", "", ".", "a.example.com\n",
        "\na.example.com", "a b.example", " example.com", "example.com ", "example.com\x00",
        "example.com\r", "example.com\t.", "exam\\.ple.com", "exam/ple.com", "example.com:25",
        "user@example.com", "*.example.com", "a,b.example", "[192.0.2.1]", "http://example.com",
        "exa%6dple.com", "a。.example", "。example.com", "a\u3000b.example", "\u200b", "\u00ad.example",
        "a\u2028b.example", "\ud800.example", "exam\uff01ple.com", "a\u00a0b.example",
    ],
)  # fmt: skip
def test_c2_c3_malformed_names(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    "label", ["a" * 63, "-", "_dmarc", "a-", "-a", "r3---sn", "a_b", "0", "xn--e1aybc", "xn--a"]
)
def test_labels_of_dns(label: str) -> None:
    assert parse_domain(f"{label.upper()}.example.com") == f"{label}.example.com"


def test_c4_labels() -> None:
    assert parse_domain("a" * 63 + ".example") == "a" * 63 + ".example"
    assert "64 characters" in refused("a" * 64 + ".example")
    assert "64 characters" in refused("x." + "a" * 64)


def test_c4_the_label_limit_holds_for_the_a_label_form() -> None:
    fits, over = "ü" * 57, "ü" * 63
    assert len(parse_domain(f"{fits}.example").split(".")[0]) <= 63
    refused(f"{over}.example")


def test_c4_names() -> None:
    longest = ".".join(["a" * 49] * 5 + ["abc"])
    assert len(longest) == 253
    assert parse_domain(longest) == parse_domain(longest + ".") == longest
    assert "254 characters" in refused("b" + longest)
    unicode = ".".join(["ü" * 40] * 6)
    assert len(unicode) < 253
    refused(unicode)


def test_c4_a_name_that_leaves_no_room_for_the_zone() -> None:
    name = parse_domain(".".join(["a" * 49] * 5))
    with pytest.raises(ValueError, match="longer than 253"):
        join_name(name, "dbl.example")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("straße.example", "xn--strae-oqa.example"),
        ("STRASSE.example", "strasse.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bücher.example.", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("bücher。example", "xn--bcher-kva.example"),
        ("bücher\uff0eexample\uff61", "xn--bcher-kva.example"),
        ("\uff45\uff58ample.com", "example.com"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("тест.example", "xn--e1aybc.example"),
        ("_dmarc.bücher.example", "_dmarc.xn--bcher-kva.example"),
        ("exam\u00adple.com", "example.com"),
    ],
)
def test_c6_idna_2008_after_uts_46(text: str, name: str) -> None:
    assert parse_domain(text) == name
    assert parse_domain(name) == name


@pytest.mark.parametrize(
    "text", ["☃.example", "\U0001f600.example", "-ü.example", "ab--ü.example", "a\u0301\u200d.example"]
)
def test_c6_what_idna_2008_does_not_allow(text: str) -> None:
    assert "IDNA 2008" in refused(text)


def test_an_a_label_is_asked_as_it_stands() -> None:
    assert parse_domain("xn--e28h.example") == "xn--e28h.example"  # an emoji that some registry let in


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.010", "192.0.2", "1.2.3.4.5", "0300.0.2.1", "192.0.2.256", "192.0.2.1.", "3221225985", "1",
        "1.2", "0xc0000201", "0xC0.0.2.0X1", "example.123", "example.0x", "mail.0x1f.",
        "\uff11\uff19\uff12.0.2.1",
    ],
)  # fmt: skip
def test_b5_what_looks_like_an_address_is_no_domain(text: str) -> None:
    assert "neither an address nor a domain name" in refused(text)


@pytest.mark.parametrize(
    "text", ["1.example", "192.0.2.1.example.com", "0xff.example", "3com.com", "example.0y", "a.x1"]
)
def test_numbers_elsewhere_are_fine(text: str) -> None:
    assert parse_domain(text) == text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a b.example", "' ' cannot stand in one"),
        ("", "it has no labels"),
        (".", "it has no labels"),
        ("a" * 64 + ".example", "a label has 64 characters, and 63 is the limit"),
        ("a." * 126 + "ab", "it has 254 characters, and 253 is the limit"),
        ("a..example", "between two dots, or before the first, a label is missing"),
        ("a" * 63 + "..example", "between two dots, or before the first, a label is missing"),
        ("." + "a." * 125 + "ab", "between two dots, or before the first, a label is missing"),
        ("-x", "it begins with a hyphen"),
    ],
)
def test_the_message_says_what_is_wrong(text: str, why: str) -> None:
    assert refused(text) == f"{shown(text)} is not a valid domain name: {why}"


def test_a_long_text_is_shown_cut() -> None:
    assert shown("a" * 80) == repr("a" * 80)
    assert shown("a" * 81) == repr("a" * 77 + "...")


def test_the_limit_before_the_mapping() -> None:
    soft_hyphens = "\u00ad" * 1020 + "a.de"
    assert parse_domain(soft_hyphens) == "a.de"
    assert "too long for a domain name: at most 253" in refused("\u00ad" + soft_hyphens)


@given(st.text(max_size=80))
@settings(max_examples=600, deadline=None)
def test_any_text_is_a_canonical_name_or_refused(text: str) -> None:
    try:
        name = parse_domain(text)
    except SubjectError:
        return
    assert name.isascii()
    assert name == name.lower()
    assert len(name) <= 253
    assert all(0 < len(label) <= 63 for label in name.split("."))
    assert parse_domain(name) == name
    assert len(name) > 251 or join_name(name, "x") == f"{name}.x"


def test_a_huge_text_is_refused_at_once() -> None:
    refused("ü" * 1_000_000)
    refused("a." * 1_000_000)


# ---- not asked ----


@pytest.mark.parametrize(
    "name", ["localhost", "mail", "a" * 63, *(f"host.{tld}" for tld in sorted(LOCAL_TLDS))]
)
def test_names_no_public_list_can_hold(name: str) -> None:
    assert is_local_domain(name)


@pytest.mark.parametrize(
    "name", ["home.arpa", "a.home.arpa", "localhost.localdomain", "x.y.internal", "1.2.0.192.in-addr.arpa"]
)
def test_more_of_them(name: str) -> None:
    assert is_local_domain(name)


@pytest.mark.parametrize(
    "name", ["example.com", "mail.example", "local.example", "test.com", "lan.de", "xn--e1aybc.example"]
)
def test_public_names(name: str) -> None:
    assert not is_local_domain(name)


# ---- registrable ----


@pytest.mark.parametrize(
    ("name", "known"),
    [("example.co.uk", True), ("EXAMPLE.Com.", True), ("hosts.txt", False), ("a.b.unheard-of", False)],
)
def test_a_public_suffix_is_one_the_list_knows(name: str, known: bool) -> None:
    assert has_public_suffix(name) is known


@pytest.mark.parametrize(
    ("name", "registrable"),
    [
        ("www.shop.example.co.uk", "example.co.uk"),
        ("example.co.uk", "example.co.uk"),
        ("co.uk", None),
        ("uk", None),
        ("com", None),
        ("example.com", "example.com"),
        ("a.b.c.example.com", "example.com"),
        ("user.github.io", "user.github.io"),  # the private section counts
        ("www.user.github.io", "user.github.io"),
        ("github.io", "github.io"),  # itself registered, as the registries' section says (L10)
        ("duckdns.org", "duckdns.org"),
        ("br.com", "br.com"),
        ("www.ck", "www.ck"),  # an exception to the wildcard *.ck
        ("x.www.ck", "www.ck"),
        ("other.ck", None),
        ("a.other.ck", "a.other.ck"),
        ("www.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"),  # rules in Unicode, names in A-labels
        ("xn--55qx5d.cn", None),
        ("a.b.example", "b.example"),  # a top-level domain the list does not know
        ("example", None),
    ],
)
def test_c10_registrable_domain(name: str, registrable: str | None) -> None:
    assert registrable_domain(name) == registrable


LOADED = """
import sys
from dnsbl.subject import parse_subject
heavy = ("idna", "publicsuffixlist")
for text in ("192.0.2.99", "2001:db8::1", "www.example.co.uk", "user@xn--bcher-kva.example", "http://example.com/"):
    subject = parse_subject(text)
print([name for name in heavy if name in sys.modules])
subject.registrable
parse_subject("b\\xfccher.example")
print([name for name in heavy if name in sys.modules])
"""


def test_tables_are_loaded_when_they_are_needed() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert done.stdout.splitlines() == ["[]", "['idna', 'publicsuffixlist']"], done.stderr
