"""What an answer means: the gate that all answers pass, then filters, masks and code tables."""

from __future__ import annotations

import random
from collections.abc import Mapping
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsbl.model import ERRORS, Outcome, Status, Wire
from dnsbl.zones.interpret import Reading, failure_weight, read, score_bounds
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.row import parse_code
from dnsbl.zones.zone import Code, Filter, Zone, parse_zone


def wire(*addresses: str) -> Wire:
    return Wire(Status.OK, 0, tuple(int(IPv4Address(address)) for address in addresses))


def codes(*tables: Mapping[str, object]) -> tuple[Code, ...]:
    return tuple(map(parse_code, tables))


def filters(*texts: str) -> Zone:
    entries = tuple(entry for text in texts for entry in parse_zone(f"bl.example{text}").filters)
    return Zone("bl.example", filters=entries)


PLAIN = Zone("bl.example")
BITS = Zone("bl.example", codes=codes({"mask": 2}, {"mask": 4}, {"mask": 8}))
URIBL = Zone(
    "uri.example",
    codes=codes(
        {"mask": 1, "outcome": "blocked", "meaning": "query refused"},
        {"mask": 2, "meaning": "black"},
        {"mask": 4, "meaning": "grey"},
        {"mask": 8, "meaning": "red"},
    ),
)
COMBINED = Zone(
    "karma.example",
    codes=codes(
        {"match": "127.0.0.1", "weight": -1, "meaning": "white"},
        {"match": "127.0.0.2", "meaning": "black"},
        {"match": "127.0.0.3", "outcome": "neutral", "meaning": "yellow"},
    ),
)
MASK_ONE = Zone("score.example", codes=codes({"mask": 1, "meaning": "bot"}, {"mask": 2}))
EVERY_KIND = [
    PLAIN, BITS, URIBL, COMBINED, MASK_ONE,
    filters("=127.0.0.[0..255]*3"), filters("=127.[0..255].[0..255].[0..255]"), filters("*-2"),
    filters("=127.0.0.[2..11]*3", "=127.0.0.10*-1", "*2"),
    Zone("b.example", weight=-2), Zone("b.example", on_error="listed", weight=3),
    Zone("b.example", codes=codes({"match": "127.[0..255].[0..255].[0..255]"})),
    Zone("b.example", codes=codes({"match": "127.0.0.9", "outcome": "blocked"})),
    Zone("b.example", codes=codes({"mask": 128}), filters=(Filter(parse_reply_filter("127.0.0.2")),)),
]  # fmt: skip


# --- the gate ---


@pytest.mark.parametrize("zone", EVERY_KIND)
@pytest.mark.parametrize("last", [0, 1, 2, 128, 250, 251, 252, 253, 254, 255])
def test_a1_a_query_error_is_blocked_in_every_kind_of_zone(zone: Zone, last: int) -> None:
    for answer in (
        wire(f"127.255.255.{last}"),
        wire("127.0.0.2", f"127.255.255.{last}"),
        wire("127.0.0.2", f"127.255.255.{last}", "203.0.113.7"),
    ):
        reading = read(zone, answer)
        assert reading.outcome is Outcome.BLOCKED
        assert reading.positive is False
        assert f"127.255.255.{last}" in reading.codes


@pytest.mark.parametrize("zone", EVERY_KIND)
@pytest.mark.parametrize(
    "address",
    [
        "203.0.113.7",
        "192.0.2.143",
        "0.0.0.0",
        "126.255.255.255",
        "128.0.0.2",
        "255.255.255.255",
        "10.0.0.2",
        "203.255.255.254",
    ],
)
def test_a2_an_address_outside_127_is_invalid_in_every_kind_of_zone(zone: Zone, address: str) -> None:
    for answer in (wire(address), wire("127.0.0.2", address), wire(address, "127.0.0.2")):
        reading = read(zone, answer)
        assert reading.outcome is Outcome.INVALID
        assert address in reading.codes
        assert address in reading.detail
        assert reading.positive is False


def test_a3_localhost_is_refused_where_the_list_says_so_else_invalid() -> None:
    assert read(URIBL, wire("127.0.0.1")).outcome is Outcome.BLOCKED
    assert read(PLAIN, wire("127.0.0.1")).outcome is Outcome.INVALID
    assert read(PLAIN, wire("127.0.0.1", "127.0.0.2")).outcome is Outcome.INVALID
    assert read(BITS, wire("127.0.0.1")).outcome is Outcome.INVALID


@pytest.mark.parametrize(
    ("zone", "outcome", "score"),
    [
        (COMBINED, Outcome.LISTED, -1),
        (MASK_ONE, Outcome.LISTED, 1),
        (filters("=127.0.0.1*2"), Outcome.LISTED, 2),
        (filters("=127.0.0.[1..3]*2"), Outcome.LISTED, 2),
        (filters("=127.0.[0..255].[1..3]*-4"), Outcome.INVALID, 0),  # taken in by the way, not named
        (filters("=127.0.0.[2..11]"), Outcome.INVALID, 0),
        (filters("*3"), Outcome.INVALID, 0),
        (Zone("b.example", codes=codes({"match": "127.0.0.1", "outcome": "neutral"})), Outcome.NOT_LISTED, 0),
    ],
)
def test_a7_localhost_means_what_names_it_says(zone: Zone, outcome: Outcome, score: float) -> None:
    reading = read(zone, wire("127.0.0.1"))
    assert (reading.outcome, reading.score) == (outcome, score)


def test_a_list_that_really_uses_the_error_range_says_so_by_a_line_that_names_it() -> None:
    own = Zone("b.example", codes=codes({"match": "127.255.255.[2..4]"}))
    assert read(own, wire("127.255.255.3")).outcome is Outcome.LISTED
    assert read(own, wire("127.255.255.254")).outcome is Outcome.BLOCKED
    # Neither a mask, nor a pattern that takes it in by the way, nor a user's filter does.
    for zone in (BITS, filters("=127.255.255.[0..255]"), filters("=127.255.[0..255].254*-3")):
        assert read(zone, wire("127.255.255.254")).outcome is Outcome.BLOCKED


def test_blocked_comes_before_invalid_and_both_before_any_match() -> None:
    assert read(URIBL, wire("203.0.113.7", "127.0.0.3")).outcome is Outcome.BLOCKED
    assert read(URIBL, wire("203.0.113.7", "127.0.0.2")).outcome is Outcome.INVALID
    assert read(URIBL, wire("203.0.113.7")).outcome is Outcome.INVALID  # odd, but no refusal there


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("127.255.255.250", "key is disabled"),
        ("127.255.255.251", "key was rejected"),
        ("127.255.255.252", "typing error"),
        ("127.255.255.254", "public or unattributable resolver; run your own recursive resolver"),
        ("127.255.255.255", "too many queries"),
        ("127.255.255.7", "query errors"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(address: str, word: str) -> None:
    assert word in read(PLAIN, wire(address)).detail


def test_a_refusal_is_told_in_the_lists_own_words_where_there_are_some() -> None:
    line = {"match": "127.255.255.254", "outcome": "blocked", "meaning": "ask for a key"}
    zone = Zone("b.example", codes=codes(line))
    reading = read(zone, wire("127.255.255.254"))
    assert reading.meanings == ("ask for a key",)
    assert reading.detail == "127.255.255.254: the list refuses: ask for a key"
    assert reading.matched == ("127.255.255.254 blocked",)
    wordless = Zone("b.example", codes=codes({"mask": 1, "outcome": "blocked"}))
    assert "refuses" in read(wordless, wire("127.0.0.1")).detail


# --- codes, masks, filters ---


@pytest.mark.parametrize(
    ("address", "masks"),
    [
        ("127.0.0.14", [2, 4, 8]),
        ("127.0.0.16", []),
        ("127.0.0.6", [2, 4]),
        ("127.0.0.8", [8]),
        ("127.0.3.4", [4]),
    ],
)
def test_a5_a_mask_tests_its_bit_of_the_last_octet(address: str, masks: list[int]) -> None:
    reading = read(BITS, wire(address))
    assert reading.matched == tuple(f"mask {mask} +1" for mask in masks)
    assert reading.outcome is (Outcome.LISTED if masks else Outcome.NOT_LISTED)
    assert reading.score == len(masks)


def test_a5_sixteen_matches_mask_16_only() -> None:
    zone = Zone("b.example", codes=tuple(Code(mask=1 << bit) for bit in range(8)))
    for value in range(2, 255):
        expected = tuple(f"mask {1 << bit} +1" for bit in range(8) if value >> bit & 1)
        assert read(zone, wire(f"127.0.0.{value}")).matched == expected


def test_a5_every_bit_set_is_a_refusal_of_a_list_that_refuses_with_bit_1() -> None:
    assert read(URIBL, wire("127.0.0.255")).outcome is Outcome.BLOCKED
    assert read(URIBL, wire("127.0.0.14")).meanings == ("black", "grey", "red")


def test_a7_allow_neutral_and_block_in_one_zone() -> None:
    white, black, yellow = (read(COMBINED, wire(f"127.0.0.{last}")) for last in (1, 2, 3))
    assert (white.outcome, white.score, white.positive) == (Outcome.LISTED, -1, False)
    assert (black.outcome, black.score, black.positive) == (Outcome.LISTED, 1, True)
    assert (yellow.outcome, yellow.score, yellow.positive) == (Outcome.NOT_LISTED, 0, False)
    assert [reading.meanings for reading in (white, black, yellow)] == [("white",), ("black",), ("yellow",)]
    assert "neutral" in yellow.detail
    both = read(COMBINED, wire("127.0.0.1", "127.0.0.2", "127.0.0.3"))
    assert (both.outcome, both.score, both.positive) == (Outcome.LISTED, 0, True)
    assert both.meanings == ("white", "black", "yellow")
    other = read(COMBINED, wire("127.0.0.9"))
    assert (other.outcome, other.matched) == (Outcome.NOT_LISTED, ())
    assert "not a code of this zone" in other.detail


def test_a_zone_without_rules_lists_whatever_the_gate_lets_through_once() -> None:
    for address in ("127.0.0.2", "127.0.0.255", "127.0.0.0", "127.1.2.3", "127.255.254.255"):
        assert read(PLAIN, wire(address)).outcome is Outcome.LISTED
    reading = read(Zone("b.example", weight=2), wire("127.0.0.2", "127.0.0.3"))
    assert (reading.score, reading.matched) == (2, ("any code +2",))


def test_a_table_without_a_listed_line_leaves_the_other_codes_listings() -> None:
    zone = Zone(
        "b.example",
        codes=codes(
            {"match": "127.0.0.9", "outcome": "blocked"}, {"match": "127.0.0.3", "outcome": "neutral"}
        ),
    )
    assert read(zone, wire("127.0.0.9")).outcome is Outcome.BLOCKED
    assert read(zone, wire("127.0.0.3")).outcome is Outcome.NOT_LISTED
    assert read(zone, wire("127.0.0.2")).outcome is Outcome.LISTED
    assert read(zone, wire("127.0.0.2", "127.0.0.3")).outcome is Outcome.LISTED


def test_each_matched_code_counts_with_its_own_weight_or_the_zones() -> None:
    zone = Zone(
        "b.example",
        weight=2,
        codes=codes(
            {"match": "127.0.0.2"}, {"match": "127.0.0.[3..5]", "weight": 0.5}, {"match": "127.0.0.9"}
        ),
    )
    assert read(zone, wire("127.0.0.2", "127.0.0.9")).score == 4
    assert read(zone, wire("127.0.0.3", "127.0.0.4")).score == 0.5  # one line, however many records
    reading = read(zone, wire("127.0.0.2", "127.0.0.3", "127.0.0.77"))
    assert (reading.score, reading.matched) == (2.5, ("127.0.0.2 +2", "127.0.0.[3..5] +0.5"))


def test_a_code_of_weight_nothing_is_told_but_does_not_count() -> None:
    reading = read(Zone("b.example", codes=codes({"match": "127.0.0.2", "weight": 0})), wire("127.0.0.2"))
    assert (reading.outcome, reading.score, reading.positive) == (Outcome.LISTED, 0, False)


def test_each_filter_counts_once_and_weights_add() -> None:
    zone = filters("=127.0.0.[2..11]*3", "=127.0.0.[10;11]*-2", "*1")
    reading = read(zone, wire("127.0.0.2", "127.0.0.4", "127.0.0.10"))
    assert reading.score == 2
    assert reading.matched == ("127.0.0.[2..11] +3", "127.0.0.[10;11] -2", "any listing +1")
    assert read(zone, wire("127.0.0.2")).score == 4
    assert read(zone, wire("127.0.0.200")).score == 1


def test_a_filter_that_matches_nothing_says_so() -> None:
    reading = read(filters("=127.0.0.[2..11]*3"), wire("127.0.0.12"))
    assert (reading.outcome, reading.score) == (Outcome.NOT_LISTED, 0)
    assert reading.detail == "127.0.0.12: matches no reply filter given for this zone"


def test_filters_decide_what_counts_and_codes_what_it_means() -> None:
    zone = Zone(
        "b.example",
        filters=(Filter(parse_reply_filter("127.0.0.[2..3]"), 3),),
        codes=codes(
            {"match": "127.0.0.2", "meaning": "source"},
            {"match": "127.0.0.3", "outcome": "neutral", "meaning": "mixed"},
            {"match": "127.0.0.4", "meaning": "proxy"},
            {"match": "127.0.0.9", "outcome": "blocked", "meaning": "refused"},
        ),
    )
    assert read(zone, wire("127.0.0.2"))[:4] == (Outcome.LISTED, ("127.0.0.2",), ("source",), 3)
    assert read(zone, wire("127.0.0.3"))[:4] == (Outcome.LISTED, ("127.0.0.3",), ("mixed",), 3)
    assert read(zone, wire("127.0.0.4"))[:4] == (Outcome.NOT_LISTED, ("127.0.0.4",), ("proxy",), 0)
    assert read(zone, wire("127.0.0.9", "127.0.0.2")).outcome is Outcome.BLOCKED


@pytest.mark.parametrize("zone", EVERY_KIND)
def test_what_was_not_sent_is_skipped(zone: Zone) -> None:
    reading = read(zone, Wire(Status.UNSENT, -1, ()))
    assert (reading.outcome, reading.codes, reading.positive) == (Outcome.SKIPPED, (), False)
    assert reading.detail.startswith("not sent in time")


def test_a_listing_scores_by_its_codes_whatever_a_failure_would() -> None:
    zone = Zone("b.example", weight=5, on_error="listed", codes=codes({"match": "127.0.0.2", "weight": 2}))
    assert read(zone, wire("127.0.0.2")).score == 2
    assert read(zone, wire("127.0.0.9")).score == 0
    assert read(zone, Wire(Status.TIMEOUT, -1, ())).score == 5


def test_a_score_has_six_decimals_and_a_detail_four_codes() -> None:
    assert read(Zone("b.example", weight=0.12345678), wire("127.0.0.2")).score == 0.123457
    many = wire(*(f"127.0.0.{last}" for last in range(20, 26)))
    detail = read(filters("=127.0.0.9"), many).detail
    assert detail.startswith("127.0.0.20, 127.0.0.21, 127.0.0.22, 127.0.0.23: ")


LINES = codes(
    {"match": "127.0.0.2", "weight": 0.1},
    {"match": "127.0.0.3", "weight": 0.2},
    {"match": "127.0.0.4", "weight": -1},
    {"match": "127.0.0.5", "weight": -3},
    {"match": "127.0.0.6", "outcome": "neutral"},
)


@pytest.mark.parametrize(
    ("zone", "least", "most"),
    [
        (Zone("b.example", weight=2), 0, 2),
        (Zone("b.example", weight=-2), -2, 0),
        (filters("=127.0.0.2*3", "=127.0.0.3*2", "=127.0.0.4*-1"), -1, 5),
        (Zone("b.example", weight=2, codes=LINES), -4, 0.3),
        (Zone("b.example", weight=2, codes=codes({"match": "127.0.0.6", "outcome": "neutral"})), 0, 2),
        (Zone("b.example", weight=2, codes=codes({"mask": 2}, {"mask": 4})), 0, 4),
        (Zone("b.example", weight=2, codes=LINES, on_error="listed"), -4, 2),
        (Zone("b.example", weight=-5, codes=LINES, on_error="listed"), -5, 0.3),
        (Zone("b.example", weight=0.12345678), 0, 0.123457),
        (Zone("b.example", weight=-0.12345678), -0.123457, 0),
    ],
)
def test_the_least_and_the_most_that_a_zone_can_add(zone: Zone, least: float, most: float) -> None:
    assert score_bounds(zone) == (least, most)


@pytest.mark.parametrize(
    ("weight", "code_weight", "counts"),
    [
        (0.2, -0.1, False),  # an allow code, however small, and a filter against the client
        (0.2, 0.1, True),
        (-0.2, -0.1, True),
        (-0.2, 0.1, False),
        (-0.2, None, True),
        (0.2, None, True),
        (-3.0, 0.5, False),
    ],
)
def test_a_filter_counts_codes_of_its_own_sign(
    weight: float, code_weight: float | None, counts: bool
) -> None:
    line: dict[str, object] = {"match": "127.0.0.2"}
    if code_weight is not None:
        line["weight"] = code_weight
    zone = Zone("b.example", filters=(Filter(None, weight),), codes=codes(line))
    assert (read(zone, wire("127.0.0.2")).outcome is Outcome.LISTED) == counts


def test_the_evidence_names_neutral_codes_only() -> None:
    zone = Zone(
        "b.example",
        filters=(Filter(parse_reply_filter("127.0.0.9"), 1),),
        codes=codes({"match": "127.0.0.2", "outcome": "neutral"}, {"match": "127.0.0.3"}),
    )
    assert read(zone, wire("127.0.0.2", "127.0.0.3")).matched == ("127.0.0.2 neutral",)


def test_a_weight_without_a_filter_counts_what_the_table_calls_a_listing() -> None:
    zone = Zone("karma.example", filters=parse_zone("karma.example*2").filters, codes=COMBINED.codes)
    assert read(zone, wire("127.0.0.2")).score == 2
    assert read(zone, wire("127.0.0.3")).outcome is Outcome.NOT_LISTED
    assert read(zone, wire("127.0.0.9")).outcome is Outcome.NOT_LISTED
    allowed = read(zone, wire("127.0.0.1"))  # an allow code never counts against the client
    assert (allowed.outcome, allowed.score) == (Outcome.NOT_LISTED, 0)
    assert "allow code" in allowed.detail
    assert read(zone, wire("127.0.0.1", "127.0.0.2")).score == 2


# --- records, and what is no answer ---


def test_a12_all_records_count_sorted_and_once() -> None:
    records = ["127.0.0.10", "127.0.0.4", "127.0.0.2", "127.0.0.10"]
    zone = Zone("b.example", codes=codes(*({"match": f"127.0.0.{n}", "meaning": str(n)} for n in (2, 4, 10))))
    for _ in range(6):
        random.shuffle(records)
        reading = read(zone, wire(*records))
        assert reading.codes == ("127.0.0.2", "127.0.0.4", "127.0.0.10")
        assert reading.meanings == ("2", "4", "10")
        assert reading.score == 3


@pytest.mark.parametrize(
    ("answer", "outcome", "word"),
    [
        (Wire(Status.NXDOMAIN, 3), Outcome.NOT_LISTED, ""),
        (Wire(Status.OK, 0), Outcome.NOT_LISTED, "no A record"),
        (Wire(Status.REFUSED, 5), Outcome.BLOCKED, "REFUSED"),
        (Wire(Status.RCODE, 2), Outcome.SERVFAIL, "SERVFAIL"),
        (Wire(Status.RCODE, 1), Outcome.SERVFAIL, "FORMERR"),
        (Wire(Status.RCODE, 4), Outcome.SERVFAIL, "NOTIMP"),
        (Wire(Status.RCODE, 9), Outcome.SERVFAIL, "NOTAUTH"),
        (Wire(Status.RCODE, 77), Outcome.SERVFAIL, "rcode 77"),
        (Wire(Status.TIMEOUT, -1), Outcome.TIMEOUT, "in time"),
        (Wire(Status.MALFORMED, -1), Outcome.INVALID, "malformed"),
    ],
)
@pytest.mark.parametrize("zone", EVERY_KIND)
def test_a9_no_failure_is_a_listing_nor_clean(zone: Zone, answer: Wire, outcome: Outcome, word: str) -> None:
    reading = read(zone, answer)
    assert reading.outcome is outcome
    assert word in reading.detail
    assert (reading.codes, reading.matched, reading.positive) == ((), (), False)
    failed_and_told_to_count = zone.on_error == "listed" and outcome in ERRORS
    assert reading.score == (zone.weight if failed_and_told_to_count else 0)


@pytest.mark.parametrize(
    ("zone", "weight"),
    [
        (Zone("b.example", weight=3), 0),
        (Zone("b.example", weight=3, on_error="listed"), 3),
        (Zone("b.example", on_error="listed", filters=(Filter(None, 2), Filter(None, 5))), 5),
    ],
)
def test_a_failed_zone_adds_its_weight_only_if_told_to(zone: Zone, weight: float) -> None:
    assert failure_weight(zone) == weight
    assert read(zone, wire("203.0.113.7")) == read(zone, wire("203.0.113.7"))._replace(score=weight)
    assert read(zone, wire()).score == 0


# --- whatever comes ---

last_octets = st.integers(0, 255)
addresses = st.one_of(
    st.integers(0, 2**32 - 1),
    st.integers(0x7F000000, 0x7FFFFFFF),
    st.builds(lambda last: 0x7F000000 + last, last_octets),
    st.builds(lambda last: 0x7FFFFF00 + last, last_octets),
)
patterns = st.one_of(
    last_octets.map(lambda last: {"match": f"127.0.0.{last}"}),
    st.tuples(last_octets, last_octets)
    .map(sorted)
    .map(lambda two: {"match": f"127.0.[0..255].[{two[0]}..{two[1]}]"}),
    st.just({"match": "127.[0..255].[0..255].[0..255]"}),
    st.integers(0, 7).map(lambda bit: {"mask": 1 << bit}),
)
lines = st.builds(
    lambda pattern, outcome, weight: parse_code(pattern | {"outcome": outcome, "weight": weight}),
    patterns,
    st.sampled_from(["listed", "listed", "neutral", "blocked"]),
    st.one_of(st.none(), st.integers(-3, 3)),
)
entries = st.builds(
    lambda pattern, weight: Filter(parse_code(pattern).match, weight), patterns, st.integers(-3, 3)
)
zones = st.builds(
    lambda codes, filters, weight, on_error: Zone(
        "b.example", codes=tuple(codes), filters=tuple(filters), weight=weight, on_error=on_error
    ),
    st.lists(lines, max_size=5),
    st.lists(entries, max_size=3),
    st.integers(-3, 3),
    st.sampled_from(["no_opinion", "listed"]),
)


@given(zones, st.lists(addresses, min_size=1, max_size=6))
def test_never_listed_for_what_is_no_answer_of_a_list(zone: Zone, found: list[int]) -> None:
    reading = read(zone, Wire(Status.OK, 0, tuple(found)))
    if any(address >> 24 != 127 for address in found):
        assert reading.outcome in (Outcome.INVALID, Outcome.BLOCKED)
    if any(address >> 8 == 0x7FFFFF for address in found):
        assert reading.outcome is Outcome.BLOCKED
    if reading.outcome is not Outcome.LISTED:
        assert reading.positive is False
    if reading.outcome is Outcome.NOT_LISTED:
        assert reading.score == 0


@given(zones, st.lists(addresses, min_size=1, max_size=6), st.randoms())
def test_order_and_repetition_change_nothing(zone: Zone, found: list[int], dice: random.Random) -> None:
    again = [*found, dice.choice(found)]
    dice.shuffle(again)
    first = read(zone, Wire(Status.OK, 0, tuple(found)))
    assert read(zone, Wire(Status.OK, 0, tuple(again))) == first
    assert first.codes == tuple(str(IPv4Address(address)) for address in sorted(set(found)))


@given(zones, st.lists(addresses, max_size=6), st.integers(-1, 7), st.integers(-1, 5000))
def test_any_wire_gives_a_reading_of_one_line(zone: Zone, found: list[int], status: int, rcode: int) -> None:
    reading = read(zone, Wire(status, rcode, tuple(found)))
    assert isinstance(reading, Reading)
    assert reading.detail.isprintable()
    assert reading.positive <= (reading.outcome is Outcome.LISTED)
