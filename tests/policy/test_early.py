"""Decided while answers are still to come: only where none of them can change which rule decides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsbl import Outcome, Verdict, Zone, ZoneAnswer
from dnsbl.model import ERRORS
from dnsbl.policy.rules import Policy, compile_rules
from dnsbl.zones.interpret import failure_weight

REQUEST = {
    "client_address": "192.0.2.99",
    "helo_name": "helo.example.org",
    "sender": "user@from.example.net",
    "client_name": "mail.client.example",
}
ZONES = (
    Zone("bl.example", weight=2),
    Zone("more.example", weight=1),
    Zone("wl.example", weight=-3),
    Zone("sure.example", weight=1, on_error="listed"),
)
NAMES = [zone.name for zone in ZONES]


def policy_of(*rules: dict[str, Any], zones: tuple[Zone, ...] = ZONES, **more: Any) -> Policy:
    table = {"rule": list(rules), **more} if rules else more
    return compile_rules(table, None, [zone.name for zone in zones], zones)


def answer(zone: Zone, outcome: Outcome | None, code: str = "127.0.0.2") -> ZoneAnswer:
    """None: it is still to come."""
    if outcome is None:
        return ZoneAnswer(zone.name, Outcome.SKIPPED)
    if outcome is Outcome.LISTED:
        return ZoneAnswer(zone.name, outcome, (code,), score=zone.weight)
    return ZoneAnswer(zone.name, outcome, score=failure_weight(zone) if outcome in ERRORS else 0.0)


def verdict(
    subject: str, outcomes: dict[str, tuple[Outcome | None, str]], zones: tuple[Zone, ...] = ZONES
) -> Verdict:
    answers = tuple(answer(zone, *outcomes.get(zone.name, (Outcome.NOT_LISTED, ""))) for zone in zones)
    pending = tuple(zone.name for zone in zones if outcomes.get(zone.name, (1,))[0] is None)
    complete = not pending and not any(each.outcome in ERRORS for each in answers)
    score = round(sum(each.score for each in answers), 6)
    listed = any(each.outcome is Outcome.LISTED and each.score > 0 for each in answers)
    return Verdict(subject, listed, complete, score, answers, pending=pending)


def decided(policy: Policy, **sources: Verdict) -> bool:
    return policy.is_decided(policy.candidates(REQUEST), sources)


def known(subject: str = "192.0.2.99", **outcomes: Outcome | None) -> Verdict:
    """By the first label of a zone's name."""
    return verdict(subject, {f"{name}.example": (value, "127.0.0.2") for name, value in outcomes.items()})


LISTED, ABSENT, TIMEOUT = Outcome.LISTED, Outcome.NOT_LISTED, Outcome.TIMEOUT


def test_a_rejection_does_not_wait_for_a_silent_list() -> None:
    policy = policy_of()
    assert decided(policy, client=known(bl=LISTED, more=None))
    assert not decided(policy, client=known(bl=LISTED, wl=None))
    assert not decided(policy, client=known(more=None))


def test_nor_for_one_that_is_asked_about_another_subject() -> None:
    policy = policy_of()
    hit, clean = known(bl=LISTED), known()
    silent = known("helo.example.org", bl=None, more=None)
    assert decided(policy, client=hit, helo=silent)
    assert decided(policy, client=hit, helo=known("helo.example.org", wl=None))  # its word is worth nothing
    assert not decided(policy, client=hit, client_name=known("mail.client.example", wl=None))
    assert not decided(policy, client=clean, helo=silent)


def test_the_order_of_the_rules_is_kept() -> None:
    first = {"zones": "more.example", "action": "HOLD"}
    second = {"score": ">=1", "action": "REJECT"}
    assert not decided(policy_of(first, second), client=known(bl=LISTED, more=None))
    assert decided(policy_of(second, first), client=known(bl=LISTED, more=None))
    assert decided(policy_of(first, second), client=known(bl=LISTED, more=ABSENT, sure=None))
    assert decided(policy_of(first, second), client=known(more=LISTED, bl=None, wl=None))


def test_what_an_incomplete_answer_settles() -> None:
    policy = policy_of({"incomplete": True, "action": "DEFER"}, {"score": ">=1", "action": "REJECT"})
    assert not decided(policy, client=known(bl=LISTED, more=None))
    assert decided(policy, client=known(wl=TIMEOUT, more=None))


def test_a_rule_bound_to_one_source_waits_for_that_one_only() -> None:
    policy = policy_of({"look_up": "sender", "score": ">=1", "action": "REJECT"}, {"action": "DUNNO"})
    assert decided(policy, sender=known("from.example.net"), client=known(bl=None, wl=None))
    assert not decided(policy, sender=known("from.example.net", bl=None), client=known())


def test_a_text_that_shows_the_findings_waits_for_all_of_them() -> None:
    policy = policy_of({"action": "PREPEND X-Score: {score}"})
    assert not decided(policy, client=known(bl=LISTED, more=None))
    assert decided(policy, client=known(bl=LISTED))


def test_dry_run_of_a_zone_has_to_be_decided_with_and_without_it() -> None:
    policy = policy_of({"score": ">=2", "action": "REJECT"}, dry_run=["bl.example"])
    assert not decided(policy, client=known(bl=LISTED, more=None, sure=LISTED))
    assert not decided(policy, client=known(bl=None, more=LISTED))
    assert decided(policy, client=known(more=LISTED, sure=LISTED, bl=None))


def test_an_unknown_zone_may_say_anything() -> None:
    policy = compile_rules({"rule": [{"score": ">=1", "action": "REJECT"}]})
    assert not decided(policy, client=known(bl=LISTED, more=None))


# Whatever comes

OUTCOMES = st.sampled_from([LISTED, ABSENT, TIMEOUT, Outcome.SERVFAIL])
CODES = st.sampled_from(["127.0.0.2", "127.0.0.3"])
RULE = st.fixed_dictionaries(
    {"action": st.sampled_from(["REJECT", "DUNNO", "PREPEND X-A: {score}"])},
    optional={
        "score": st.sampled_from([">=1", ">0", "<0", "<=-1", ">=3", "<2"]),
        "certain": st.booleans(),
        "incomplete": st.booleans(),
        "zones": st.sampled_from(NAMES),
        "codes": CODES,
        "look_up": st.sampled_from([["client"], ["helo"], ["client", "helo"]]),
    },
).filter(lambda rule: "certain" not in rule or "score" in rule)
OF_ZONES = st.fixed_dictionaries({name: st.tuples(OUTCOMES, CODES) for name in NAMES})


@settings(deadline=None)
@given(
    rules=st.lists(RULE, min_size=1, max_size=4),
    dry=st.sampled_from([[], ["bl.example"], ["wl.example"]]),
    whole=st.fixed_dictionaries({"client": OF_ZONES, "helo": OF_ZONES}),
    awaited=st.sets(st.tuples(st.sampled_from(["client", "helo"]), st.sampled_from(NAMES)), min_size=1),
)
def test_what_is_decided_early_is_decided_alike_when_all_is_there(
    rules: list[dict[str, Any]],
    dry: list[str],
    whole: dict[str, dict[str, tuple[Outcome, str]]],
    awaited: set[tuple[str, str]],
) -> None:
    options: dict[str, Any] = {"dry_run": dry} if dry else {}
    policy = policy_of(*rules, **options)
    candidates = policy.candidates(REQUEST)
    early, late = {}, {}
    for source, outcomes in whole.items():
        late[source] = verdict(f"{source}.example", dict(outcomes))
        early[source] = verdict(
            f"{source}.example",
            {zone: (None, "") if (source, zone) in awaited else of for zone, of in outcomes.items()},
        )
    if policy.is_decided(candidates, early):
        one, other = (policy.decision(REQUEST, candidates, verdicts) for verdicts in (early, late))
        assert one.rule is other.rule
        assert bool(one.would) == bool(other.would)


@pytest.mark.parametrize("outcome", [LISTED, ABSENT, TIMEOUT])
def test_whole_verdicts_are_always_decided(outcome: Outcome) -> None:
    policy = policy_of({"incomplete": True, "action": "DEFER"}, {"zones": "bl.example", "action": "HOLD"})
    assert decided(policy, client=known(bl=outcome))
