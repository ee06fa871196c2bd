"""Judging zones by the answers to their test entries: every way to fail, each told from the others."""

from __future__ import annotations

import itertools
import json

import pytest

from dnsbl.health.judge import BROKEN, ProbeAnswer, State, ZoneHealth, judge, untested
from dnsbl.model import Kind, Status, Wire
from dnsbl.zones import catalogue
from dnsbl.zones.replyfilter import parse_reply_filter
from dnsbl.zones.zone import Code, Filter, Probe, Zone

NXDOMAIN = Wire(Status.NXDOMAIN, 3)
NO_RECORD = Wire(Status.OK, 0)
REFUSED = Wire(Status.REFUSED, 5)
SERVFAIL = Wire(Status.RCODE, 2)
SILENCE = Wire(Status.TIMEOUT, -1)
GARBAGE = Wire(Status.MALFORMED, -1)


def a(*addresses: str) -> Wire:
    """NOERROR with these A records."""
    numbers = {int.from_bytes(bytes(map(int, address.split("."))), "big") for address in addresses}
    return Wire(Status.OK, 0, tuple(sorted(numbers)))


LISTED = a("127.0.0.2")
PARKED = a("203.0.113.80")


def zone_of(*kinds: Kind, **given: object) -> Zone:
    return Zone("bl.example.com", subjects=frozenset(kinds), **given)  # type: ignore[arg-type]


def judged(zone: Zone, must: Wire, must_not: Wire, **of: Wire) -> ZoneHealth:
    """`zone` with one answer to what it must list and one to what it must not; `of` names other ones."""
    names = {"127.0.0.2": "two", "127.0.0.1": "one", "::ffff:127.0.0.2": "six"}
    return judge(
        zone,
        [
            ProbeAnswer(probe, of.get(names.get(probe.subject, ""), must if probe.listed else must_not))
            for probe in zone.probes
        ],
    )


KINDS = [("ip4",), ("ip6",), ("domain",), ("ip4", "ip6"), ("ip4", "ip6", "domain")]

EVERY_KIND = [
    (LISTED, NXDOMAIN, State.HEALTHY),
    (LISTED, NO_RECORD, State.HEALTHY),  # a negative answer too (RFC 2308)
    (a("127.0.0.10", "127.0.0.4", "127.0.0.2"), NXDOMAIN, State.HEALTHY),
    (LISTED, LISTED, State.WILDCARDED),  # H2
    (NXDOMAIN, LISTED, State.WILDCARDED),
    (PARKED, PARKED, State.PARKED),  # H1
    (PARKED, NXDOMAIN, State.PARKED),
    (LISTED, a("203.0.113.7"), State.HIJACKED),  # A2
    (LISTED, a("127.0.0.2", "203.0.113.7"), State.HIJACKED),
    (NO_RECORD, PARKED, State.HIJACKED),
    (NO_RECORD, NXDOMAIN, State.STRIPPED),  # A10
    (NO_RECORD, NO_RECORD, State.STRIPPED),
    (a("127.255.255.254"), a("127.255.255.254"), State.REFUSED),
    (a("127.255.255.255"), NXDOMAIN, State.REFUSED),
    (REFUSED, REFUSED, State.REFUSED),
    (a("127.0.0.1"), a("127.0.0.1"), State.REFUSED),  # A3
    (LISTED, a("127.0.0.1"), State.REFUSED),
    (a("127.255.255.251"), a("127.255.255.251"), State.WRONG_KEY),
    (a("127.255.255.250"), NXDOMAIN, State.WRONG_KEY),
    (SILENCE, SILENCE, State.NO_ANSWER),
    (SERVFAIL, SERVFAIL, State.NO_ANSWER),
    (GARBAGE, GARBAGE, State.NO_ANSWER),
    (LISTED, SILENCE, State.NO_ANSWER),
    (NXDOMAIN, SERVFAIL, State.NO_ANSWER),
    # What is wrong for certain comes before what is missing.
    (LISTED, a("127.0.0.2", "127.255.255.254"), State.REFUSED),
    (SILENCE, LISTED, State.WILDCARDED),
    (NO_RECORD, SILENCE, State.STRIPPED),
]


@pytest.mark.parametrize("kinds", KINDS, ids="+".join)
@pytest.mark.parametrize(("must", "must_not", "state"), EVERY_KIND)
def test_a_state_for_every_pair_of_answers(
    kinds: tuple[Kind, ...], must: Wire, must_not: Wire, state: State
) -> None:
    health = judged(zone_of(*kinds), must, must_not)
    assert health.state is state
    assert health.broken == (state not in (State.HEALTHY, State.NO_ANSWER))
    assert bool(health.hint) == bool(health.detail) == (state is not State.HEALTHY)


def test_every_failure_says_in_one_line_what_was_seen_and_what_to_do() -> None:
    told = {judged(zone_of("ip4"), must, must_not) for must, must_not, _ in EVERY_KIND}
    seen = {}
    for health in told:
        for text in (health.detail, health.hint):
            assert text.isprintable()
            assert len(text) < 250
        if health.state is not State.HEALTHY:
            seen[health.state] = health.hint
    assert len(seen) == 7
    assert len(set(seen.values())) == 7  # no two states have the same remedy


def test_h3_each_kind_has_its_own_test_entries() -> None:
    subjects = {kind: [probe.subject for probe in zone_of(kind).probes] for kind in ("ip4", "ip6", "domain")}
    assert subjects == {
        "ip4": ["127.0.0.2", "127.0.0.1"],
        "ip6": ["::ffff:127.0.0.2", "::ffff:127.0.0.1"],
        "domain": ["test", "invalid"],
    }


# ---- empty lists, and weak evidence ----


@pytest.mark.parametrize("kinds", [("ip4",), ("ip6",), ("ip4", "ip6"), ("ip4", "domain")], ids="+".join)
def test_a_list_that_lists_no_test_address_is_empty(kinds: tuple[Kind, ...]) -> None:
    health = judged(zone_of(*kinds), NXDOMAIN, NXDOMAIN)
    assert (health.state, health.broken) == (State.EMPTY, True)
    assert "127.0.0.2" in health.detail


def test_a_missing_test_alone_is_weak_evidence() -> None:
    health = judged(zone_of("domain"), NXDOMAIN, NXDOMAIN)
    assert (health.state, health.broken) == (State.UNPROVEN, False)
    assert "test" in health.detail


def test_a_domain_list_without_its_own_test_entry_is_empty() -> None:
    own = (Probe("domain", "dbltest.com", True), Probe("domain", "invalid", False))
    health = judged(zone_of("domain", tests=own), NXDOMAIN, NXDOMAIN)
    assert (health.state, health.broken) == (State.EMPTY, True)


@pytest.mark.parametrize("missing", [NXDOMAIN, NO_RECORD])
def test_a_list_of_which_one_kind_answers_stays_in_use(missing: Wire) -> None:
    health = judged(zone_of("ip4", "ip6"), LISTED, NXDOMAIN, six=missing)
    assert (health.state, health.broken) == (State.UNPROVEN, False)
    assert "::ffff:127.0.0.2" in health.detail
    assert "leave ip6 out of its subjects" in health.hint


def test_one_kind_wildcarded_is_enough() -> None:
    health = judged(zone_of("ip4", "ip6"), LISTED, NXDOMAIN, one=LISTED)
    assert health.state is State.WILDCARDED


# ---- keys ----


@pytest.mark.parametrize(("must", "must_not"), [(NXDOMAIN, NXDOMAIN), (REFUSED, REFUSED)])
def test_a_keyed_zone_that_gives_nothing_has_a_wrong_key(must: Wire, must_not: Wire) -> None:
    key = "s3cr3tkey0123456789abcdef"
    keyed = Zone("zen.dq.spamhaus.net", key=key, key_place="{key}.zen.dq.spamhaus.net")
    health = judged(keyed, must, must_not)
    assert (health.state, health.broken) == (State.WRONG_KEY, True)
    assert "key" in health.hint
    assert key not in json.dumps(health.to_dict()) + repr(health)


def test_a_keyed_zone_behind_a_public_resolver_is_refused_not_mistaken_for_a_wrong_key() -> None:
    keyed = zone_of("ip4", key="s3cr3tkey0123456789abcdef")
    assert judged(keyed, a("127.255.255.254"), a("127.255.255.254")).state is State.REFUSED


# ---- lists of their own kind ----


COMBINED = (
    Code(parse_reply_filter("127.0.0.1"), outcome="listed", weight=-1.0, meaning="white"),
    Code(parse_reply_filter("127.0.0.2"), meaning="black"),
)


def test_a_combined_list_that_holds_127_0_0_1_is_not_wildcarded() -> None:
    combined = zone_of("ip4", codes=COMBINED)
    assert judged(combined, LISTED, a("127.0.0.1")).state is State.HEALTHY
    assert judged(combined, a("127.0.0.1"), a("127.0.0.1")).state is State.WILDCARDED
    assert judged(combined, LISTED, LISTED).state is State.WILDCARDED


def test_hostkarma_by_its_own_test_entries() -> None:
    zone = catalogue.load().zone("hostkarma.junkemailfilter.com")
    assert [(probe.subject, probe.listed) for probe in zone.probes] == [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
    ]
    sound = judged(zone, NXDOMAIN, NXDOMAIN, one=a("127.0.0.1"), two=LISTED)
    assert sound.state is State.HEALTHY
    assert "lists everything" in sound.detail  # says what it could not see
    assert judged(zone, LISTED, NXDOMAIN).state is State.WILDCARDED  # one answer to everything: H2
    assert judged(zone, PARKED, NXDOMAIN).state is State.PARKED
    assert judged(zone, NXDOMAIN, NXDOMAIN).state is State.EMPTY


def test_the_test_entry_of_an_allowlist_is_neutral_and_still_counts() -> None:
    zone = catalogue.load().zone("list.dnswl.org")
    assert judged(zone, a("127.0.10.0"), NXDOMAIN).state is State.HEALTHY
    assert judged(zone, a("127.0.0.255"), a("127.0.0.255")).state is State.REFUSED


def test_a_bitmask_list_with_a_bit_for_refusals() -> None:
    zone = catalogue.load().zone("multi.uribl.com")
    assert judged(zone, a("127.0.0.14"), NXDOMAIN).state is State.HEALTHY
    refused = judged(zone, a("127.0.0.1"), a("127.0.0.1"))
    assert refused.state is State.REFUSED
    assert "uribl.com/refused.shtml" in refused.hint  # the catalogue's own remedy


def test_a_reply_filter_does_not_make_a_list_sick() -> None:
    pbl_only = zone_of("ip4", filters=(Filter(parse_reply_filter("127.0.0.[10;11]"), 1.0),))
    assert judged(pbl_only, LISTED, NXDOMAIN).state is State.HEALTHY


def test_without_an_entry_that_must_be_listed_only_the_others_count() -> None:
    zrd = catalogue.load().zone("zrd.dq.spamhaus.net", key="s3cr3tkey0123456789abcdef")
    assert [probe.listed for probe in zrd.probes] == [False]
    health = judged(zrd, NXDOMAIN, NXDOMAIN)
    assert health.state is State.HEALTHY
    assert "emptied" in health.detail
    assert judged(zrd, NXDOMAIN, a("127.0.2.2")).state is State.WILDCARDED


def test_a_zone_without_answers_is_untested() -> None:
    health = judge(zone_of("ip4"), [])
    assert (health.state, health.broken) == (State.UNTESTED, False)
    assert untested(zone_of("ip4"), "why").detail == "why"


def test_every_row_of_the_catalogue_passes_with_what_its_table_says() -> None:
    """A sound answer for each list that may be used: its first listing code, at what it must list."""
    judged_rows = 0
    for row in catalogue.load():
        if row.status != "alive":
            continue
        if not row.zone.probes:  # lists by hash and of signers publish no test entry
            assert set(row.zone.subjects) <= {"email", "url", "dkim"}, row.name
            continue
        judged_rows += 1
        codes = [code for code in row.zone.codes if code.outcome == "listed"]
        answers = itertools.cycle([_example(code) for code in codes] or [LISTED])
        zone = row.zone
        points = [ProbeAnswer(probe, next(answers) if probe.listed else NXDOMAIN) for probe in zone.probes]
        assert judge(zone, points).state is State.HEALTHY, row.name
    assert judged_rows > 30


def _example(code: Code) -> Wire:
    if code.mask is not None:
        return Wire(Status.OK, 0, (0x7F000000 | code.mask,))
    every = (0x7F000000 | third << 8 | last for third in range(256) for last in range(256))
    return Wire(Status.OK, 0, (next(address for address in every if code.matches(address)),))


# ---- values ----


def test_json_and_latency() -> None:
    zone = zone_of("ip4")
    answers = [ProbeAnswer(zone.probes[0], LISTED, 12.5), ProbeAnswer(zone.probes[1], NXDOMAIN, 3.0)]
    health = judge(zone, answers)
    assert health.latency_ms == 12.5
    told = json.loads(json.dumps(health.to_dict()))
    assert told["state"] == "healthy"
    assert told["answers"][0] == {
        "subject": "127.0.0.2",
        "kind": "ip4",
        "must_be_listed": True,
        "status": "ok",
        "codes": ["127.0.0.2"],
        "latency_ms": 12.5,
    }
    assert judge(zone, [ProbeAnswer(zone.probes[0], SILENCE)]).latency_ms is None


def test_broken_is_what_the_answers_prove() -> None:
    assert set(State) - BROKEN == {State.HEALTHY, State.UNPROVEN, State.NO_ANSWER, State.UNTESTED}
