"""Bulk finds an item again by its verdict's subject: that text and the key of the item agree for every kind of it."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dnsbl import Resolver
from dnsbl.audit.bulk import Bulk
from dnsbl.audit.items import numbered
from dnsbl.audit.rows import flat, flat_error
from dnsbl.errors import SubjectError
from dnsbl.model import Verdict
from dnsbl.subject import address_key, parse_subject

TEXTS = (
    "192.0.2.1", "::ffff:192.0.2.1", "::FFFF:C000:0201", "0:0:0:0:0:ffff:192.0.2.1", "[192.0.2.1]",
    "[::ffff:192.0.2.1]", "[IPv6:::ffff:192.0.2.1]", "user@[192.0.2.1]", "http://192.0.2.1:80/x", "a@192.0.2.1",
    "2001:DB8:0:0:0:0:0:1", "2001:db8::1", "[IPv6:2001:db8::1]", "https://[2001:db8::1]:8443/", "::192.0.2.1",
    "64:ff9b::192.0.2.1", "fe80::1%eth0", "fe80::1", "::", "::1", "0.0.0.0", "255.255.255.255", "127.0.0.1",
    "10.1.2.3", "example.com", "EXAMPLE.com.", "user@Example.COM", "https://user:pw@Example.com:80/path?q#f",
    "http://ex%61mple.com/", "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example", "xn--bcher-kva.example",
    "https://B\N{LATIN CAPITAL LETTER U WITH DIAERESIS}CHER.example/", "b%C3%BCcher.example",
    "\N{FULLWIDTH LATIN SMALL LETTER E}xample.com", "example\N{IDEOGRAPHIC FULL STOP}com", "_dmarc.example.com",
    "localhost", "single", "co.uk", "1.2.0.192.in-addr.arpa", "a.b.c.d.e.f.example.co.uk", "xn--.example",
    "256.0.0.1", "192.0.2.010", "0x7f.1", "192.0.2.1.", "http://[v1.x]/", "no such", "", "..", "a..b",
)  # fmt: skip
NETWORKS = (
    "192.0.2.0/30", "::ffff:192.0.2.0/126", "2001:db8::/126", "::ffff:0:0/127", "0.0.0.0/31", "::/126", "10.0.0.0/31",
    "255.255.255.254/31", "fe80::/127", "192.0.2.9/32", "2001:db8::9/128",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
)  # fmt: skip


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resolver]:
    """Of a list file, which answers at once."""
    file: Path = tmp_path_factory.mktemp("list") / "own.txt"
    file.write_text("192.0.2.1\n")
    with Resolver([f"file:{file}"]) as opened:
        yield opened


def key_of(verdict: Verdict) -> str | bytes:
    return address_key(verdict.subject) or verdict.subject


def agree(resolver: Resolver, value: object) -> None:
    """The verdict's text leads back to the key, and parsed it is the same subject."""
    try:
        subject = parse_subject(value)
    except SubjectError:
        with pytest.raises(SubjectError):
            resolver.check(value)
        return
    for asked in (value, subject, subject.key):
        verdict = resolver.check(asked)
        assert key_of(verdict) == subject.key
        assert verdict.subject == subject.text
        assert parse_subject(verdict.subject).key == subject.key


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_in_every_form(resolver: Resolver, text: str) -> None:
    agree(resolver, text)


@pytest.mark.parametrize("ordered", [False, True])
def test_every_item_has_its_own_row(resolver: Resolver, ordered: bool) -> None:
    """All forms of all subjects, each twice, and members of networks: as many rows, each with its item's subject."""
    items = [*numbered(iter((*TEXTS, *NETWORKS, *TEXTS, *NETWORKS)), max_expand=16)]
    bulk = Bulk(resolver, flat, flat_error, ordered=ordered)
    found = {done.item.number: done for done in bulk.run(items)}
    bulk.close()
    assert sorted(found) == [item.number for item in items]
    for item in items:
        row = found[item.number].row
        try:
            assert row[0] == parse_subject(item.subject).text
        except SubjectError:
            assert row[0] is None
            assert row[-1]
    asked = [key_of(done.verdict) for done in found.values() if done.verdict is not None]
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("text", NETWORKS)
def test_the_members_of_a_network(resolver: Resolver, text: str) -> None:
    members = [item.subject for item in numbered(iter([text]), max_expand=16)]
    assert len(members) == ip_network(text).num_addresses
    for member in members:
        assert isinstance(member, bytes)
        agree(resolver, member)


ADDRESSES = st.ip_addresses() | st.ip_addresses(network=IPv6Network("::ffff:0:0/96")) | st.ip_addresses(v=4)
FORMS = ("{}", "[{}]", "[IPv6:{}]", "user@[{}]", "http://{}/", "https://[{}]:443/x", "{}.", "a@{}")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(address=ADDRESSES, form=st.sampled_from(FORMS), exploded=st.booleans(), upper=st.booleans())
def test_any_address_in_any_form(
    resolver: Resolver, address: IPv4Address | IPv6Address, form: str, exploded: bool, upper: bool
) -> None:
    text = address.exploded if exploded else str(address)
    agree(resolver, form.format(text.upper() if upper else text))
    agree(resolver, address)
    agree(resolver, address.packed)


LABEL = st.text(
    st.characters(codec="utf-8", categories=("Ll", "Lu", "Nd", "Lo", "Mn")) | st.sampled_from("-_"),
    max_size=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.lists(LABEL, min_size=1, max_size=4), form=st.sampled_from(FORMS))
@example(labels=["stra\N{LATIN SMALL LETTER SHARP S}e", "example"], form="http://{}/")
@example(labels=["1", "2", "3", "4"], form="a@{}")
def test_any_name_in_any_form(resolver: Resolver, labels: list[str], form: str) -> None:
    agree(resolver, form.format(".".join(labels)))
