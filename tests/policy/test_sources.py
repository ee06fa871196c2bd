"""Which subjects a request has, and what the rules see of the verdicts on them."""

from __future__ import annotations

from typing import Any

import pytest

from dnsbl import Outcome, Verdict, Zone, ZoneAnswer
from dnsbl.errors import ConfigError
from dnsbl.policy.findings import Scope, bounds_of, join
from dnsbl.policy.rules import Policy, compile_rules
from dnsbl.policy.sources import DEFAULT_LOOK_UP, SOURCES, subjects
from dnsbl.subject import parse_subject

REQUEST = {
    "client_address": "192.0.2.99",
    "client_name": "mail.client.example",
    "reverse_client_name": "ptr.client.example",
    "helo_name": "helo.example.org",
    "sender": "user@From.example.net",
    "recipient": "me@own.example.com",
}


def found(subject: str, *scores: float, zone: str = "dbl.example", name: str = "", **more: Any) -> Verdict:
    answers = tuple(
        ZoneAnswer(
            zone, Outcome.LISTED, ("127.0.0.2",), score=s, query_name=name or f"{subject}.{zone}", **more
        )
        for s in scores
    )
    return Verdict(subject, any(s > 0 for s in scores), True, sum(scores), answers)


def texts(request: dict[str, str], *sources: str) -> dict[str, str]:
    """As `subjects`, each as text."""
    return {source: parse_subject(subject).text for source, subject in subjects(request, sources).items()}


def test_every_source() -> None:
    assert texts(REQUEST, *SOURCES) == {
        "client": "192.0.2.99",
        "sender": "from.example.net",
        "helo": "helo.example.org",
        "client_name": "mail.client.example",
        "reverse_client_name": "ptr.client.example",
        "recipient": "own.example.com",
    }
    assert "recipient" not in DEFAULT_LOOK_UP


@pytest.mark.parametrize(
    ("attribute", "source", "value"),
    [
        ("sender", "sender", ""),
        ("sender", "sender", "postmaster"),
        ("sender", "sender", "a@[192.0.2.1]"),
        ("sender", "sender", "a@[IPv6:2001:db8::1]"),
        ("sender", "sender", "a@192.0.2.1"),
        ("sender", "sender", "a@localhost"),
        ("sender", "sender", "a@"),
        ("sender", "sender", "a@b.example " + "x" * 2000),
        ("helo_name", "helo", "[192.0.2.1]"),
        ("helo_name", "helo", "192.0.2.1"),
        ("helo_name", "helo", "192.0.2.1."),
        ("helo_name", "helo", "2001:db8::1"),
        ("helo_name", "helo", "localhost"),
        ("helo_name", "helo", "a b.example"),
        ("helo_name", "helo", "http://a.example"),
        ("helo_name", "helo", "name.123"),
        ("client_name", "client_name", "unknown"),
        ("reverse_client_name", "reverse_client_name", "unknown"),
        ("client_address", "client", "unknown"),
        ("client_address", "client", ""),
    ],
)
def test_what_is_no_subject_is_left_out(attribute: str, source: str, value: str) -> None:
    assert texts({attribute: value}, source) == {}


def test_a_name_in_unicode_is_asked_in_a_labels() -> None:
    assert texts({"sender": "a@b\u00fccher.example"}, "sender") == {"sender": "xn--bcher-kva.example"}


# Joined


def test_scores_add_up_and_one_listing_counts_once() -> None:
    verdicts = {
        "client": found("192.0.2.99", 2.0, zone="bl.example"),
        "helo": found("mail.example.org", 1.5, name="example.org.dbl.example"),
        "client_name": found("www.example.org", 1.5, name="example.org.dbl.example"),
    }
    joined = join(verdicts, Scope())
    assert joined.score == 3.5
    assert [(hit.source, hit.subject) for hit in joined.hits] == [
        ("client", "192.0.2.99"),
        ("helo", "mail.example.org"),
    ]


def test_what_can_be_forged_never_speaks_for_a_client() -> None:
    good = {source: found(f"{source}.example", -5.0) for source in SOURCES}
    assert join(good, Scope(("sender", "helo", "reverse_client_name", "recipient"))).score == 0
    assert join(good, Scope(("sender",))).hits == ()
    assert join(good, Scope(("client_name",))).score == -5
    assert join(good, Scope(("sender",), forged=True)).score == -5
    same = {"sender": found("a.example", -5.0), "client_name": found("a.example", -5.0)}
    assert join(same, Scope()).score == -5


def test_a_list_that_allows_and_blocks() -> None:
    verdicts = {"sender": found("bad.example", 3.0), "client_name": found("good.example", -2.0)}
    assert join(verdicts, Scope()).score == 1
    verdicts = {"sender": found("good.example", -2.0), "client_name": found("bad.example", 3.0)}
    assert join(verdicts, Scope()).score == 3


def test_a_listing_of_weight_0_is_seen_where_a_rule_asks_for_zones() -> None:
    verdicts = {"client": found("192.0.2.99", 0.0)}
    assert [hit.answer.zone for hit in join(verdicts, Scope(exact=True)).hits] == ["dbl.example"]


# In rules


def decide(policy: Policy, verdicts: dict[str, Verdict], **more: str) -> str:
    request = REQUEST | more
    return policy.decision(request, policy.candidates(request), verdicts).action


def rules(*tables: dict[str, Any], **policy: Any) -> Policy:
    return compile_rules({"rule": list(tables), **policy})


def test_subject_and_source_in_an_action() -> None:
    policy = rules({"score": ">=1", "action": "REJECT {source} {subject} has {zones}"})
    verdicts = {"client": found("192.0.2.99"), "sender": found("from.example.net", 1.0, reason="spam")}
    assert decide(policy, verdicts) == "REJECT sender from.example.net has dbl.example"


def test_a_rule_can_be_bound_to_a_source() -> None:
    policy = rules(
        {"look_up": "helo", "zones": "dbl.example", "codes": "127.0.0.2", "action": "REJECT helo"},
        {"look_up": ["sender"], "score": ">=2", "action": "REJECT sender"},
        {"look_up": ["recipient"], "score": ">=1", "action": "REJECT recipient"},
    )
    assert decide(policy, {"helo": found("a.example", 1.0)}) == "REJECT helo"
    assert decide(policy, {"sender": found("a.example", 1.0), "helo": found("b.example")}) == "DUNNO"
    assert decide(policy, {"sender": found("a.example", 2.0), "helo": found("b.example")}) == "REJECT sender"
    assert decide(policy, {"client": found("192.0.2.99", 9.0)}) == "DUNNO"
    assert policy.look_up(policy.candidates(REQUEST)) == ("helo", "sender", "recipient")


def test_the_policys_look_up_is_every_rules() -> None:
    policy = rules({"score": ">=1", "action": "REJECT"}, look_up=["client", "helo"])
    assert policy.look_up(policy.rules) == ("client", "helo")
    assert decide(policy, {"sender": found("a.example", 1.0)}) == "DUNNO"
    with pytest.raises(ConfigError, match="look_up: 'ehlo' is not a valid source: use client, sender"):
        rules({"score": ">=1", "look_up": "ehlo", "action": "REJECT"})


def test_a_rule_without_a_condition_looks_up_what_its_text_names() -> None:  # N9
    tag = {"action": "PREPEND X-DNSBL: score {score} by {zones}"}
    policy = rules(tag)
    assert policy.look_up(policy.candidates(REQUEST)) == DEFAULT_LOOK_UP
    assert decide(policy, {"client": found("192.0.2.99", 2.0)}) == "PREPEND X-DNSBL: score 2 by dbl.example"
    policy = rules({"action": "REJECT {client}"})
    assert policy.look_up(policy.candidates(REQUEST)) == ()


def test_dry_run_scores_are_rounded() -> None:  # N6
    both = Verdict(
        "192.0.2.99", True, True, 0.3,
        (*found("x", 0.1, zone="a.example").answers, *found("x", 0.2, zone="b.example").answers),
    )  # fmt: skip
    policy = rules({"score": ">=0.2", "action": "REJECT score {score}"}, dry_run=["a.example"])
    assert decide(policy, {"client": both}) == "REJECT score 0.2"


# While an allowlist is silent (K5)

ZONES = (Zone("bl.example", weight=2), Zone("wl.example", weight=-3))


def silent(outcome: Outcome, *pending: str, complete: bool = False) -> Verdict:
    listed = ZoneAnswer("bl.example", Outcome.LISTED, ("127.0.0.2",), score=2.0)
    return Verdict(
        "192.0.2.99", True, complete, 2.0, (listed, ZoneAnswer("wl.example", outcome)), pending=pending
    )


def test_the_built_in_rules_defer_while_an_allowlist_could_turn_a_rejection() -> None:
    policy = compile_rules({}, None, ["bl.example", "wl.example"], ZONES)
    for outcome in (Outcome.TIMEOUT, Outcome.SERVFAIL, Outcome.BLOCKED, Outcome.INVALID, Outcome.SKIPPED):
        assert decide(policy, {"client": silent(outcome)}).startswith(
            "DEFER_IF_PERMIT 192.0.2.99 is listed by bl.example; "
        )
    assert decide(policy, {"client": silent(Outcome.NOT_LISTED, complete=True)}).startswith("REJECT ")
    assert decide(policy, {"client": silent(Outcome.SKIPPED, "wl.example")}).startswith("REJECT ")  # early


def test_an_allowlist_that_could_not_turn_it_does_not_defer() -> None:
    small = (Zone("bl.example", weight=2), Zone("wl.example", weight=-0.5))
    policy = compile_rules({}, None, ["bl.example", "wl.example"], small)
    assert decide(policy, {"client": silent(Outcome.TIMEOUT)}).startswith("REJECT ")


def test_an_allowlist_that_takes_no_such_subject_is_not_missing() -> None:
    domains = (Zone("bl.example", weight=2), Zone("wl.example", weight=-3, subjects=frozenset({"domain"})))
    policy = compile_rules({}, None, ["bl.example", "wl.example"], domains)
    assert decide(policy, {"client": silent(Outcome.SKIPPED)}).startswith("REJECT ")
    assert bounds_of(domains)["wl.example"].least == -3


def test_certain_needs_a_score() -> None:
    with pytest.raises(ConfigError, match="certain: needs a score"):
        rules({"certain": True, "action": "REJECT"})
    policy = compile_rules(
        {"rule": [{"score": ">=1", "certain": True, "action": "REJECT"}]}, None, None, ZONES
    )
    assert decide(policy, {"client": silent(Outcome.TIMEOUT)}) == "DUNNO"
    assert decide(policy, {"client": silent(Outcome.NOT_LISTED, complete=True)}) == "REJECT"


# Conditions on the rest of a request


@pytest.mark.parametrize(
    ("condition", "request_", "matches"),
    [
        ({"helo_name": "*.example.org"}, {"helo_name": "Mail.Example.ORG."}, True),
        ({"helo_name": ".example.org"}, {"helo_name": "example.org"}, False),
        ({"size": ">=1000"}, {"size": "1000"}, True),
        ({"size": "> 1000"}, {"size": "1000"}, False),
        ({"size": "<1000"}, {"size": "0"}, False),
        ({"size": "<1000"}, {}, False),
        ({"size": "<1000"}, {"size": "1" * 30}, False),
        ({"recipient_count": ">=50"}, {"recipient_count": "50"}, True),
        ({"recipient_count": "<=50"}, {"recipient_count": "51"}, False),
        ({"ccert_fingerprint": "AA" + ":bb" * 19}, {"ccert_fingerprint": "aa" + ":BB" * 19}, True),
        ({"ccert_fingerprint": "AA" + ":bb" * 31}, {"ccert_pubkey_fingerprint": "aa" + ":BB" * 31}, True),
        ({"ccert_fingerprint": "AA" + ":bb" * 19}, {"ccert_fingerprint": ""}, False),
    ],
)
def test_conditions_on_the_request(
    condition: dict[str, str], request_: dict[str, str], matches: bool
) -> None:
    policy = rules({**condition, "action": "REJECT"})
    assert (policy.decision(request_, policy.candidates(request_), None).action == "REJECT") is matches


@pytest.mark.parametrize(
    ("key", "value"), [("size", "1000"), ("recipient_count", ">many"), ("ccert_fingerprint", "AA:BB")]
)
def test_a_condition_that_is_wrong_is_named(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: '{value}' is not a valid "):
        rules({key: value, "action": "REJECT"})
