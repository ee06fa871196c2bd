"""The pieces of a lookup that need no nameserver: which names are asked, and how far a score may still go."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.lookups import resolver_for

from dnsbl import Resolver, Zone
from dnsbl.lookup.parts import parts_of
from dnsbl.model import Kind, Status, Wire
from dnsbl.subject import parse_subject
from dnsbl.testing import DnsblServer
from dnsbl.zones.interpret import read, score_bounds
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.zone import Code, Filter

ALL: frozenset[Kind] = frozenset({"ip4", "ip6", "domain"})


def a(*addresses: str) -> Wire:
    numbers = (int.from_bytes(bytes(map(int, address.split("."))), "big") for address in addresses)
    return Wire(Status.OK, 0, tuple(sorted(numbers)))


# ---- which names are asked of which zones ----


def asked(subject: str, *zones: Zone, check_private: bool = False) -> dict[object, list[str]]:
    with Resolver(zones, ["127.0.0.1:5353"], check_private=check_private) as resolver:
        core = resolver._core
        parts, _ = parts_of(core, parse_subject(subject))
        return {
            part.key: [zone.name for n, zone in enumerate(core.zones) if part.zones >> n & 1]
            for part in parts
        }


IP = Zone("ip.example")
IP4 = Zone("ip4.example", subjects=frozenset({"ip4"}))
REGISTRABLE = Zone("reg.example", subjects=frozenset({"domain"}))
HOST = Zone("host.example", subjects=frozenset({"domain"}), domain="host")
BOTH = Zone("both.example", subjects=ALL, domain="host")


@pytest.mark.parametrize(
    ("subject", "names"),
    [
        ("192.0.2.1", {b"\xc0\0\2\1": ["ip.example", "ip4.example", "both.example"]}),
        ("2001:db8::1", {b" \x01\r\xb8" + bytes(11) + b"\1": ["ip.example", "both.example"]}),
        ("10.0.0.1", {}),
        (
            "www.example.co.uk",
            {"example.co.uk": ["reg.example"], "www.example.co.uk": ["host.example", "both.example"]},
        ),
        ("example.co.uk", {"example.co.uk": ["reg.example", "host.example", "both.example"]}),
        ("co.uk", {}),
        ("[192.0.2.1]", {b"\xc0\0\2\1": ["ip.example", "ip4.example", "both.example"]}),
    ],
)
def test_each_name_is_asked_of_the_zones_that_take_it(subject: str, names: dict[object, list[str]]) -> None:
    assert asked(subject, IP, IP4, REGISTRABLE, HOST, BOTH) == names


def test_what_is_private_is_asked_only_if_wished() -> None:
    assert asked("10.0.0.1", IP, check_private=True) == {b"\x0a\0\0\1": ["ip.example"]}
    assert asked("127.0.0.2", IP) == {b"\x7f\0\0\2": ["ip.example"]}


def test_a_subject_that_no_zone_takes_is_complete_and_says_why(dnsbl_server: DnsblServer) -> None:
    with resolver_for(dnsbl_server, REGISTRABLE) as resolver:
        verdict = resolver.check("192.0.2.1")
        assert (verdict.complete, verdict.listed, verdict.ttl_s) == (True, False, None)
        assert verdict.answers[0].detail == "reg.example takes no ip4"
        verdict = resolver.check("co.uk")
        assert "public suffix" in verdict.answers[0].detail
        assert verdict.complete
    assert dnsbl_server.count() == 0


# ---- how far a score may still go ----

BITS = tuple(Code(mask=1 << bit, weight=weight) for bit, weight in ((1, 2.0), (2, None), (3, -1.5)))
NEUTRAL = Code(parse_reply_filter("127.0.0.3"), outcome="neutral")
BLOCKED = Code(parse_reply_filter("127.0.0.255"), outcome="blocked", weight=50)
TWO = parse_reply_filter("127.0.0.[2..4]")


@pytest.mark.parametrize(
    ("zone", "bounds"),
    [
        (Zone("bl.example", weight=2), (0, 2)),
        (Zone("bl.example", weight=-2), (-2, 0)),
        (Zone("bl.example", weight=0), (0, 0)),
        (Zone("bl.example", codes=BITS), (-1.5, 3)),
        (
            Zone("bl.example", weight=4, codes=(NEUTRAL, BLOCKED)),
            (0, 4),
        ),  # what no line explains is a listing
        (Zone("bl.example", weight=4, codes=(*BITS, NEUTRAL, BLOCKED)), (-1.5, 6)),
        (Zone("bl.example", filters=(Filter(TWO, 3), Filter(None, 1), Filter(TWO, -2))), (-2, 4)),
        (Zone("bl.example", weight=2, on_error="listed"), (0, 2)),
        (Zone("bl.example", weight=9, codes=BITS, on_error="listed"), (-1.5, 11)),
        (Zone("bl.example", weight=5, codes=(Code(TWO, weight=1),), on_error="listed"), (0, 5)),
        (Zone("bl.example", filters=(Filter(TWO, -3),), on_error="listed"), (-3, 0)),
    ],
)
def test_the_bounds_of_a_zones_score_are_tight(zone: Zone, bounds: tuple[float, float]) -> None:
    assert score_bounds(zone) == bounds


weights = st.floats(-10, 10).map(lambda number: round(number, 3))
replies = st.sampled_from(["127.0.0.2", "127.0.0.[2..9]", "127.0.[0;1].4", "127.0.0.1", "127.0.0.3"]).map(
    parse_reply_filter
)
codes = st.builds(
    lambda match, mask, outcome, weight: Code(match, None if match else 1 << mask, outcome, "", weight),
    st.none() | replies,
    st.integers(0, 7),
    st.sampled_from(["listed", "listed", "neutral", "blocked"]),
    st.none() | weights,
)
zones = st.builds(
    lambda weight, filters, table, on_error: Zone(
        "bl.example", weight=weight, filters=tuple(filters), codes=tuple(table), on_error=on_error
    ),
    weights,
    st.lists(st.builds(Filter, st.none() | replies, weights), max_size=3),
    st.lists(codes, max_size=4),
    st.sampled_from(["no_opinion", "listed"]),
)
wires = st.one_of(
    st.sets(st.integers(0x7F000000, 0x7F000010) | st.just(0x7FFFFFFE), min_size=1, max_size=5).map(
        lambda found: Wire(Status.OK, 0, tuple(sorted(found)))
    ),
    st.sampled_from(
        [
            Wire(Status.NXDOMAIN, 3),
            Wire(Status.OK, 0),
            Wire(Status.RCODE, 2),
            Wire(Status.TIMEOUT, -1),
            Wire(Status.REFUSED, 5),
            Wire(Status.MALFORMED, -1),
            a("203.0.113.80"),
        ]
    ),
)


@settings(max_examples=500, deadline=None)
@given(zones, wires)
def test_no_answer_can_go_beyond_the_bounds(zone: Zone, wire: Wire) -> None:
    least, most = score_bounds(zone)
    assert least <= read(zone, wire).score <= most


def test_a_score_is_as_the_weights_are_written(dnsbl_server: DnsblServer) -> None:
    """0.7 + 0.1 + 0.2 in binary is a little less than 1, whose threshold it must reach."""
    zones = []
    for number, weight in enumerate((0.7, 0.1, 0.2)):
        dnsbl_server.zone(f"bl{number}.example").list("192.0.2.99")
        zones.append(Zone(f"bl{number}.example", weight=weight))
    with resolver_for(dnsbl_server, *zones, reasons=False) as resolver:
        for decide in (None, {"reject": 1}):
            verdict = resolver.check("192.0.2.99", decide=decide)
            assert (verdict.score, verdict.complete) == (1.0, True)
            resolver.flush()
