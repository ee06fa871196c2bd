"""Received headers: of each mail server's shape, the address that the receiving host saw."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsbl.errors import ConfigError
from dnsbl.mail import Hop, first_untrusted, parse_received
from dnsbl.mail.received import MAX_CHARS, MAX_DEPTH
from dnsbl.names._qname import format_address, parse_address

DATE = "; Tue, 24 Nov 2026 10:00:00 +0000"

SHAPES = {
    "postfix": (
        "from mail.example.com (mail.example.com [192.0.2.10])\r\n\t(using TLSv1.3 with cipher "
        "TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n\t key-exchange X25519)\r\n\t(No client certificate)"
        "\r\n\tby mx.example.org (Postfix) with ESMTPS id 4F1\r\n\tfor <u@example.org>",
        ("192.0.2.10", "mail.example.com", "mx.example.org", "ESMTPS"),
    ),
    "postfix ipv6": (
        "from a.example (unknown [IPv6:2001:db8::7]) by mx.example.org (Postfix) with ESMTP id 1",
        ("2001:db8::7", "a.example", "mx.example.org", "ESMTP"),
    ),
    "postfix, HELO is an address literal": (
        "from [198.51.100.9] (dsl.example.net [192.0.2.10]) by mx.example.org (Postfix) with ESMTP id 1",
        ("192.0.2.10", "[198.51.100.9]", "mx.example.org", "ESMTP"),
    ),
    "postfix, client gone": (
        "from [198.51.100.9] (unknown [unknown]) by mx.example.org (Postfix) with SMTP id 1",
        (None, "[198.51.100.9]", "mx.example.org", "SMTP"),
    ),
    "exim": (
        "from mail.example.com ([192.0.2.10] helo=[198.51.100.9] ident=u) by mx.example.org with esmtps  "
        "(TLS1.3) tls TLS_AES_256_GCM_SHA384 (Exim 4.98) (envelope-from <a@b.example>) id 1t-00-1",
        ("192.0.2.10", "[198.51.100.9]", "mx.example.org", "esmtps tls TLS_AES_256_GCM_SHA384"),
    ),
    "exim without a name": (
        "from [192.0.2.10] (port=41234 helo=a.example) by mx.example.org with esmtp (Exim 4.98)",
        ("192.0.2.10", "a.example", "mx.example.org", "esmtp"),
    ),
    "exim with a port": (
        "from a.example ([192.0.2.10]:41234) by mx.example.org with esmtp (Exim 4.98) id 1",
        ("192.0.2.10", "a.example", "mx.example.org", "esmtp"),
    ),
    "sendmail": (
        "from HELO.example (root@name.example [192.0.2.10] (may be forged)) by mx.example.org "
        "(8.18.1/8.18.1) with ESMTP id 3AO",
        ("192.0.2.10", "HELO.example", "mx.example.org", "ESMTP"),
    ),
    "qmail": (
        "from unknown (HELO mail.example.com) (192.0.2.10)\n  by mx.example.org with SMTP",
        ("192.0.2.10", "mail.example.com", "mx.example.org", "SMTP"),
    ),
    "qmail with ident": (
        "from name.example (HELO [198.51.100.9]) (198.51.100.8@192.0.2.10) by mx.example.org with ESMTP",
        ("192.0.2.10", "[198.51.100.9]", "mx.example.org", "ESMTP"),
    ),
    "exchange": (
        "from A.example (192.0.2.10) by B.example (198.51.100.1) with Microsoft SMTP Server\n "
        "(version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.1.2507.6",
        ("192.0.2.10", "A.example", "B.example", "Microsoft SMTP Server"),
    ),
    "outlook, folded, IPv6": (
        "from a.example\n (2001:db8::d2) by b.example\n (2001:db8::29) with Microsoft SMTP Server",
        ("2001:db8::d2", "a.example", "b.example", "Microsoft SMTP Server"),
    ),
    "outlook, a bracket too many": (
        "from a.example ([fe80::1]) by b.example ([fe80::1%9]]) with mapi id 1",
        ("fe80::1", "a.example", "b.example", "mapi"),
    ),
    "windows smtp service": (
        "from  ([192.168.0.249]) by host.example.com with Microsoft SMTPSVC(6.0.3790)",
        ("192.168.0.249", None, "host.example.com", "Microsoft SMTPSVC"),
    ),
    "gmail": (
        "from mail.example.com (mail.example.com. [192.0.2.10]) by mx.google.com with ESMTPS id a1-2 for "
        "<u@example.org> (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256)",
        ("192.0.2.10", "mail.example.com", "mx.google.com", "ESMTPS"),
    ),
    "gmail, inside": (
        "by 2002:a05:6214:1234:b0:6d8:1 with SMTP id 5614csp1",
        (None, None, "2002:a05:6214:1234:b0:6d8:1", "SMTP"),
    ),
    "amazon ses": (
        "from a8-20.smtp-out.example.com (a8-20.smtp-out.example.com [192.0.2.10]) by "
        "inbound-smtp.us-east-1.example.com with SMTP id abc for u@example.org",
        ("192.0.2.10", "a8-20.smtp-out.example.com", "inbound-smtp.us-east-1.example.com", "SMTP"),
    ),
    "fetchmail": (
        "from pop.example.com [192.0.2.10] by localhost with POP3 (fetchmail-6.5.2) for <u@localhost> "
        "(single-drop)",
        ("192.0.2.10", "pop.example.com", "localhost", "POP3"),
    ),
    "getmail": (
        "from imap.example.com by host.example.org with IMAP4",
        (None, "imap.example.com", "host.example.org", "IMAP4"),
    ),
    "an appliance that writes no address": (
        "from mail.example.com by gateway.example.org with ESMTP id 77",
        (None, "mail.example.com", "gateway.example.org", "ESMTP"),
    ),
    "an appliance that writes a name only": (
        "from [198.51.100.9] (mail.example.com) by gateway.example.org with ESMTP",
        (None, "[198.51.100.9]", "gateway.example.org", "ESMTP"),
    ),
    "no brackets": (
        "from 192.0.2.10 by gateway.example.org with SMTP",
        ("192.0.2.10", "192.0.2.10", "gateway.example.org", "SMTP"),
    ),
    "a parenthesis never closed": (
        "from a.example (b.example [192.0.2.10] by mx.example.org with SMTP",
        ("192.0.2.10", "a.example", "mx.example.org", "SMTP"),
    ),
    "HELO is a keyword": (
        "from by (b.example [192.0.2.10]) by mx.example.org with SMTP",
        ("192.0.2.10", "by", "mx.example.org", "SMTP"),
    ),
    "local delivery": (
        "from root by mx.example.org with local (Exim 4.98)",
        (None, "root", "mx.example.org", "local"),
    ),
    "a pickup": ("by mx.example.org (Postfix, from userid 1000)", (None, None, "mx.example.org", None)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape(shape: str) -> None:
    text, wanted = SHAPES[shape]
    for value in (text + DATE, "Received: " + text + DATE, text.encode() + DATE.encode()):
        hop = parse_received(value)
        assert (hop.address, hop.helo, hop.by, hop.protocol) == wanted


@pytest.mark.parametrize(
    "value",
    [
        "from a ([192.0.2.10] helo=[198.51.100.9]) by m",
        "from a ([192.0.2.10] helo=h ident=u) by m",
        "from [192.0.2.10] (helo=a) ([198.51.100.9]) by m",
        "from [192.0.2.10] (helo=a)([198.51.100.9]) by m",
        "from a ([192.0.2.10] ident=[198.51.100.9]) by m",
        "from a (HELO b) (198.51.100.9@192.0.2.10) by m ([203.0.113.1])",
        "from a (b [192.0.2.10]) by m (198.51.100.9) with SMTP; [198.51.100.9]",
        "from [198.51.100.9] ([192.0.2.10]) by m",
        "from a (a [::ffff:192.0.2.10]) by m",
    ],
)
def test_never_the_senders_own_words(value: str) -> None:
    """Case E1: HELO, ident, `by` and what follows are no address of the peer."""
    assert parse_received(value).address == "192.0.2.10"


@pytest.mark.parametrize("protocol", ["ESMTPA", "ESMTPSA", "esmtpsa", "LMTPSA", "UTF8SMTPSA", "asmtp"])
def test_authenticated_by_keyword(protocol: str) -> None:
    assert parse_received(f"from a ([203.0.113.9]) by mx.example.org with {protocol} id 1").authenticated


@pytest.mark.parametrize(
    "value",
    [
        "from a (b [203.0.113.9]) (Authenticated sender: u@example.org) by mx (Postfix) with ESMTP id 1",
        "from a (b [203.0.113.9]) (authenticated bits=0) by mx (8.18.1/8.18.1) with ESMTP id 1",
        "from 203.0.113.9 (SquirrelMail authenticated user u) by web.example.org with HTTP",
    ],
)
def test_authenticated_by_comment(value: str) -> None:
    assert parse_received(value).authenticated


@pytest.mark.parametrize(
    "value",
    [
        "from a (b [203.0.113.9]) by mx with ESMTPS",
        "from a ([203.0.113.9] helo=authenticated user) by mx with smtp",
    ],
)
def test_not_authenticated(value: str) -> None:
    assert not parse_received(value).authenticated


RELAYS = ["from r1 ([198.51.100.1]) by mx", "from r2 ([198.51.100.2]) by r1", "from s ([203.0.113.7]) by r2"]


def test_walk_through_trusted_relays() -> None:
    """Case E6: older, forgeable hops are not looked at."""
    found = first_untrusted([*RELAYS, "from forged ([192.0.2.99]) by s"], trusted=["198.51.100.0/24"])
    assert (found.address, found.index) == ("203.0.113.7", 2)
    assert [(hop.index, hop.hop.address) for hop in found.skipped] == [
        (0, "198.51.100.1"),
        (1, "198.51.100.2"),
    ]
    assert all("198.51.100.0/24" in hop.why for hop in found.skipped)


def test_nothing_trusted_ends_at_the_first() -> None:
    assert first_untrusted(RELAYS).address == "198.51.100.1"


def test_an_authenticated_hop_ends_it_without_an_address() -> None:
    """Case E6, and a dial-up submitter behind a provider's smarthost (rspamd#1958)."""
    own = first_untrusted(["from [192.168.1.2] (dsl [203.0.113.9]) by mx with ESMTPSA id 1"])
    behind = first_untrusted(
        ["from out ([198.51.100.20]) by mx with ESMTPS", "from pc ([203.0.113.9]) by out with esmtpsa"],
        trusted=["198.51.100.0/24"],
    )
    for found in (own, behind):
        assert found.address is None
        assert found.hop is not None
        assert found.hop.authenticated
        assert "authenticated" in found.why


def test_fetched_mail() -> None:
    """rspamd#520: fetchmail's own hops are passed by, the provider's by its network."""
    found = first_untrusted(
        [
            "from localhost (localhost [127.0.0.1]) by home.example (Postfix) with ESMTP id 1",
            "from pop.example.net [198.51.100.5] by home.example with POP3 (fetchmail-6.5.2)",
            "from mx.example.net ([10.0.0.3]) by store.example.net with LMTP id 2",
            "from sender.example (sender.example [203.0.113.7]) by mx.example.net with ESMTPS id 3",
        ],
    )
    assert found.address == "203.0.113.7"
    assert ["127.0.0.1" in found.skipped[0].why, "fetched" in found.skipped[1].why] == [True, True]


def test_a_gateway_without_an_address_ends_it() -> None:
    """rspamd#539: who handed the message to it is not known, and what stands below may be forged."""
    found = first_untrusted(
        ["from a.example by gw.example.org with ESMTP", "from b ([203.0.113.7]) by a.example"]
    )
    assert (found.address, found.index) == (None, 0)
    assert "no address" in found.why


@pytest.mark.parametrize("address", ["fe80::1", "192.168.0.249", "10.1.2.3", "127.0.0.2", "::1"])
def test_private_addresses_are_passed_by(address: str) -> None:
    """Cases E3 and E5."""
    found = first_untrusted([f"from a ([{address}]) by b", "from c ([203.0.113.7]) by a"])
    assert found.address == "203.0.113.7"
    assert address in found.skipped[0].why


def test_no_headers_at_all() -> None:
    assert first_untrusted([]) == first_untrusted(iter(()), trusted=["192.0.2.1"])
    assert first_untrusted([]).why == "there is no Received header"


@pytest.mark.parametrize("trusted", ["198.51.100.0/24", ["example.com"], ["198.51.100.0/33"], [""]])
def test_what_is_no_network(trusted: object) -> None:
    with pytest.raises(ConfigError, match="trusted"):
        first_untrusted(RELAYS, trusted)  # type: ignore[arg-type]


def test_one_header_for_many() -> None:
    with pytest.raises(ConfigError, match="list"):
        first_untrusted(RELAYS[0])


ATOMS = st.sampled_from(
    ["from", "by", "with", "id", "for", "via", "(", ")", "[", "]", "192.0.2.10", "[192.0.2.10]", "[IPv6:",
     "helo=",
     "HELO ", "ident=", "::1", "%9", ";", "\\", "\n ", " ", "ESMTPSA", "@", "a.example", "\x00", "é", '"']
)  # fmt: skip


@given(st.one_of(st.text(max_size=200), st.lists(ATOMS, max_size=60).map("".join), st.binary(max_size=200)))
def test_any_text_is_a_hop(value: str | bytes) -> None:
    hop = parse_received(value)
    assert isinstance(hop, Hop)
    if hop.address is not None:
        key = parse_address(hop.address)
        assert key is not None
        assert format_address(key) == hop.address
    first_untrusted([value])


@given(st.lists(st.lists(ATOMS, max_size=20).map("".join), max_size=5))
def test_the_peer_is_found_behind_any_helo(helo: list[str]) -> None:
    """Whatever the client says after `helo=`, the address before it is the one."""
    said = "".join(helo).replace("(", "").replace(")", "").replace("\\", "")
    assert parse_received(f"from ([192.0.2.55] helo={said}) by mx.example.org").address == "192.0.2.55"


@pytest.mark.parametrize(
    "value",
    [
        "(" * 1_000_000,
        "from " + "a " * 500_000,
        "[" * 1_000_000,
        "from (" + "x [" * 300_000,
        "\n" * 2_000_000,
    ],
)
def test_hostile_headers_are_quick(value: str) -> None:
    started = time.process_time()
    parse_received(value)
    assert time.process_time() - started < 0.1


def test_ten_thousand_headers_are_quick() -> None:
    started = time.process_time()
    found = first_untrusted(["from a ([10.0.0.1] helo=x) by b with ESMTP id 1"] * 10_000)
    assert time.process_time() - started < 0.5
    assert len(found.skipped) == 100
    assert "not looked at" in found.why


def test_nothing_is_said_of_a_hop_that_is_not_written() -> None:
    assert Hop() == Hop(None, None, None, None, authenticated=False, local=False)


@pytest.mark.parametrize(
    ("value", "local"),
    [
        ("by mx.example.org with ESMTP id 1", True),
        ("from pickup by mx.example.org with local id 1", True),
        ("from client.example ([192.0.2.1]) by mx.example.org with ESMTP", False),
        ("from client.example by mx.example.org", False),
        ("from ([192.0.2.1]) by mx.example.org", False),
    ],
)
def test_local_is_who_names_no_peer_or_says_so(value: str, local: bool) -> None:
    assert parse_received(value).local is local


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("from pop.example.com [192.0.2.10] (mail.example.com) by localhost with POP3", "192.0.2.10"),
        ("from 192.0.2.10 (using TLSv1.3 with cipher X) by mx", "192.0.2.10"),
        ("from 192.0.2.10 (Webmail authenticated user u) by mx", "192.0.2.10"),
        ("from 198.51.100.9 (mail.example.com) by mx", None),
        ("from a (b 192.0.2.10) by mx", "192.0.2.10"),
        ("from a (a b 192.0.2.10) by mx", None),
        ("Received:from a ([192.0.2.10]) by mx", "192.0.2.10"),
        ("from a" + " " * MAX_CHARS + "([192.0.2.10]) by mx", "192.0.2.10"),
        ("from a" + " " * 2 * MAX_CHARS + "([192.0.2.10]) by mx", None),
    ],
)
def test_where_the_address_stands(value: str, address: str | None) -> None:
    assert parse_received(value).address == address


def test_a_client_that_calls_itself_by() -> None:
    hop = parse_received("from by by mx.example.org with SMTP")
    assert (hop.helo, hop.by) == ("by", "mx.example.org")


def test_a_protocol_is_bounded() -> None:
    assert parse_received("from a by mx with " + "x" * 300).protocol == "x" * 80


def test_the_deepest_comment() -> None:
    nested = ["by " + "(" * depth + ")" * depth + " mx" for depth in (1, MAX_DEPTH, MAX_DEPTH + 1)]
    assert [parse_received(value).by for value in nested] == ["mx", "mx", ")"]


def test_a_scope_is_not_part_of_the_address() -> None:
    assert parse_received("from x ([IPv6:fe80::1%eth0]) by mx.example.org").address == "fe80::1"
    assert parse_received("from x ([2001:db8::1%eth0]) by mx.example.org").address == "2001:db8::1"


def test_a_hop_cannot_be_changed() -> None:
    hop = Hop(by="mx.example.org")
    assert not hasattr(hop, "__dict__")
    with pytest.raises(AttributeError):
        hop.by = "other"  # type: ignore[misc]
