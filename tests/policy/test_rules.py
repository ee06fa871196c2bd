"""Rules: order, conditions, defaults, dry run, early answers, and what a wrong one is told."""

from __future__ import annotations

from typing import Any

import pytest

from dnsbl.config.rules import DEFAULT_RULES
from dnsbl.config.toml_table import parse_toml
from dnsbl.errors import ConfigError
from dnsbl.model import Outcome, Verdict, ZoneAnswer
from dnsbl.policy.rules import DRY_RUN_HEADER, Decision, Policy, compile_rules
from dnsbl.zones.zone import Zone

URL = "https://bl.example.com/?192.0.2.99"


def listing(
    zone: str = "bl.example.com",
    score: float = 1.0,
    codes: tuple[str, ...] = ("127.0.0.2",),
    **more: Any,
) -> ZoneAnswer:
    return ZoneAnswer(zone, Outcome.LISTED, codes, score=score, **more)


def verdict(*answers: ZoneAnswer, complete: bool = True) -> Verdict:
    return Verdict(
        "192.0.2.99",
        any(answer.score > 0 for answer in answers),
        complete,
        sum(answer.score for answer in answers),
        answers,
    )


CLEAN = verdict()


def decide(policy: Policy, found: Verdict | None = CLEAN, **request: str) -> Decision:
    request = {"client_address": "192.0.2.99", "protocol_state": "RCPT"} | request
    verdicts = {"client": found} if found is not None else None
    return policy.decision(request, policy.candidates(request), verdicts)


def rule(action: str = "REJECT", **conditions: Any) -> Policy:
    return compile_rules({"rule": [{**conditions, "action": action}]})


# The built-in rules

BUILT_IN = compile_rules({})


def test_built_in_rejects_with_zone_reason_and_url() -> None:
    found = verdict(listing(reason="spam source", delist_url=URL))
    assert decide(BUILT_IN, found).action == (
        f"REJECT 192.0.2.99 is listed by bl.example.com: spam source {URL}"
    )


@pytest.mark.parametrize(
    "request_",
    [
        {"sasl_username": "user"},
        {"server_port": "465"},
        {"server_port": "587"},
        {"client_address": "10.1.2.3"},
        {"client_address": "127.0.0.1"},
        {"client_address": "fe80::1"},
        {"client_address": "::ffff:192.168.1.1"},
    ],
)
def test_built_in_exempts_without_a_lookup(request_: dict[str, str]) -> None:
    request = {"client_address": "192.0.2.99"} | request_
    [only] = BUILT_IN.candidates(request)
    assert not only.of_verdict
    assert decide(BUILT_IN, None, **request_).action == "DUNNO"


def test_built_in_checks_tls_on_port_25() -> None:
    found = verdict(listing())
    request = {"server_port": "25", "encryption_protocol": "TLSv1.3", "sasl_username": ""}
    assert decide(BUILT_IN, found, **request).action.startswith("REJECT")


def test_built_in_lets_an_allowlist_count() -> None:
    allowed = verdict(listing(), listing("allow.example.com", -2.0))
    assert allowed.listed
    assert decide(BUILT_IN, allowed).action == "DUNNO"


def test_built_in_passes_the_rest() -> None:
    assert decide(BUILT_IN) == Decision("DUNNO")
    assert decide(BUILT_IN, verdict(complete=False)).action == "DUNNO"


def test_own_networks_come_before_every_rule() -> None:  # B8
    policy = compile_rules({"own_networks": ["198.51.100.0/24", "2001:db8:5::/48"]})
    hit = verdict(listing())
    assert decide(policy, hit, client_address="2001:db8:5::9").action == "DUNNO"
    assert decide(policy, hit, client_address="2001:db8::1").action.startswith("REJECT")
    assert decide(policy, hit, client_address="198.51.100.9").action == "DUNNO"
    assert policy.candidates({"client_address": "198.51.100.9"}) == ()


@pytest.mark.parametrize("client", ["unknown", "", None])
def test_no_client_address_has_no_verdict(client: str | None) -> None:  # D3
    request = {} if client is None else {"client_address": client}
    assert BUILT_IN.decision(request, BUILT_IN.candidates(request), None) == Decision("DUNNO")
    strict = rule(incomplete=False)
    assert strict.decision(request, strict.candidates(request), None).action == "DUNNO"


def test_the_null_sender_is_checked_like_any() -> None:  # D2
    request = {"sender": "", "helo_name": "mail.example.com"}
    assert decide(BUILT_IN, verdict(listing()), **request).action.startswith("REJECT")


# Order and conditions


def test_the_first_that_matches_decides() -> None:
    policy = compile_rules(
        {
            "rule": [
                {"recipient": ["postmaster@*", "abuse@*"], "action": "DUNNO"},
                {"recipient": "example.org", "score": ">=5", "action": "REJECT strict"},
                {"recipient": "example.org", "action": "WARN lenient"},
                {"policy_context": "submission", "action": "OK"},
                {"score": ">=3", "action": "REJECT {score}"},
            ]
        }
    )
    three = verdict(listing(score=3.0))
    assert decide(policy, three, recipient="abuse@example.com").action == "DUNNO"
    assert decide(policy, three, recipient="a@example.org").action == "WARN lenient"
    assert decide(policy, verdict(listing(score=5)), recipient="a@example.org").action == "REJECT strict"
    assert decide(policy, three, recipient="a@example.net", policy_context="submission").action == "OK"
    assert decide(policy, three, recipient="a@example.net").action == "REJECT 3"
    assert decide(policy, verdict(listing(score=2.9)), recipient="a@example.net").action == "DUNNO"


def test_candidates_end_at_the_first_rule_without_need_of_a_verdict() -> None:
    policy = compile_rules(
        {"rule": [{"score": ">=1", "action": "REJECT"}, {"action": "OK"}, {"action": "WARN"}]}
    )
    assert [rule.number for rule in policy.candidates({})] == [1, 2]
    assert decide(policy).action == "OK"


@pytest.mark.parametrize(
    ("conditions", "request_", "matches"),
    [
        ({"client": "192.0.2.0/24"}, {}, True),
        ({"client": ["198.51.100.0/24"]}, {}, False),
        ({"authenticated": True}, {"sasl_username": "u"}, True),
        ({"authenticated": True}, {"sasl_method": "plain", "sasl_username": ""}, False),
        ({"authenticated": False}, {}, True),
        ({"server_port": 25}, {"server_port": "25"}, True),
        ({"server_port": [25, 2525]}, {"server_port": "587"}, False),
        ({"server_port": 25}, {}, False),
        ({"encrypted": True}, {"encryption_protocol": "TLSv1.3"}, True),
        ({"encrypted": True}, {"encryption_protocol": ""}, False),
        ({"encrypted": False}, {}, True),
        ({"protocol_state": "rcpt"}, {}, True),
        ({"protocol_state": ["DATA", "END-OF-MESSAGE"]}, {}, False),
        ({"sender": "<>"}, {"sender": ""}, True),
        ({"sender": "<>"}, {}, False),
        ({"sender": ".example.com"}, {"sender": "caf\udce9@m.example.com"}, True),
        ({"recipient": "example.com"}, {"recipient": "a@example.com"}, True),
        ({"client_name": "unknown"}, {"client_name": "unknown"}, True),
        ({"client_name": ".example.com"}, {}, False),
        ({"reverse_client_name": "*.dyn.*"}, {"reverse_client_name": "1.dyn.example"}, True),
        ({"policy_context": ["a", "b"]}, {"policy_context": "b"}, True),
        ({"policy_context": "a"}, {}, False),
        ({"server_port": 25, "authenticated": True}, {"server_port": "25"}, False),
    ],
)
def test_conditions_on_the_request(
    conditions: dict[str, Any], request_: dict[str, str], matches: bool
) -> None:
    assert (decide(rule(**conditions), None, **request_).action == "REJECT") is matches


@pytest.mark.parametrize(
    ("conditions", "found", "matches"),
    [
        ({"score": ">=3"}, verdict(listing(score=3)), True),
        ({"score": "> 3"}, verdict(listing(score=3)), False),
        ({"score": ">3"}, verdict(listing(score=3.000001)), True),
        ({"score": "<=-1"}, verdict(listing(score=-1)), True),
        ({"score": "<0"}, verdict(), False),
        ({"score": ">=0.5"}, verdict(listing(score=0.5)), True),
        ({"incomplete": True}, verdict(complete=False), True),
        ({"incomplete": True}, verdict(), False),
        ({"incomplete": False}, verdict(), True),
        ({"zones": "bl.example.com"}, verdict(listing()), True),
        ({"zones": ["BL.Example.com."]}, verdict(listing()), True),
        ({"zones": "other.example.com"}, verdict(listing()), False),
        ({"zones": "bl.example.com"}, verdict(ZoneAnswer("bl.example.com", Outcome.TIMEOUT)), False),
        ({"codes": "127.0.0.[2..4]"}, verdict(listing(codes=("127.0.0.9", "127.0.0.4"))), True),
        ({"codes": "127.0.0.[2..4]"}, verdict(listing(codes=("127.0.0.9",))), False),
        ({"zones": "a.example", "codes": "127.0.0.2"}, verdict(listing("a.example")), True),
        (
            {"zones": "a.example", "codes": "127.0.0.2"},
            verdict(listing("a.example", codes=("127.0.0.3",)), listing("b.example")),
            False,
        ),
    ],
)
def test_conditions_on_the_verdict(conditions: dict[str, Any], found: Verdict, matches: bool) -> None:
    assert (decide(rule(**conditions), found).action == "REJECT") is matches


@pytest.mark.parametrize("answer", ["BLOCKED", "INVALID", "TIMEOUT", "SERVFAIL", "SKIPPED"])
def test_an_error_of_a_list_rejects_nothing(answer: str) -> None:  # A1, A2, H2
    found = verdict(ZoneAnswer("bl.example.com", Outcome[answer], ("127.255.255.254",)), complete=False)
    assert decide(BUILT_IN, found).action == "DUNNO"


# Texts


def test_the_text_names_what_lists() -> None:
    found = verdict(
        listing("small.example", 1, ("127.0.0.9",), reason="small"),
        listing("big.example", 3, ("127.0.0.2", "127.0.0.10"), meanings=("exploit", "botnet")),
        listing("allow.example", -1, ("127.0.1.1",), reason="nice", delist_url="https://allow.example"),
    )
    policy = rule("REJECT {client} {zones} {score} {reason} {codes} {delist_url}", score=">=1")
    assert decide(policy, found).action == (
        "REJECT 192.0.2.99 small.example, big.example 3 exploit; botnet 127.0.0.9, 127.0.0.2, 127.0.0.10"
    )


def test_the_delist_url_survives_a_long_reason() -> None:  # D5
    url = "https://bl.example.com/" + "x" * 150
    found = verdict(listing(reason="r" * 600 + "\r\n\0", delist_url=url))
    action = decide(BUILT_IN, found).action
    assert action.endswith(url)
    assert len(action) <= 512
    found = verdict(listing(reason="r", delist_url=url * 3))
    assert decide(BUILT_IN, found).action.endswith(": r")


def test_a_hostile_reason() -> None:  # D5
    found = verdict(listing(reason="a\r\n\r\naction=OK\0{client}"))
    assert decide(BUILT_IN, found).action == (
        "REJECT 192.0.2.99 is listed by bl.example.com: a action=OK {client}"
    )


# Dry run


def test_dry_run_of_all() -> None:
    policy = compile_rules({"dry_run": True})
    would = "REJECT 192.0.2.99 is listed by bl.example.com"
    got = decide(policy, verdict(listing()))
    assert got.action == f"PREPEND {DRY_RUN_HEADER}: {would}"
    assert got.would == would
    assert decide(policy) == Decision("DUNNO")
    assert decide(policy, sasl_username="u") == Decision("DUNNO", policy.rules[0])


@pytest.mark.parametrize("state", ["CONNECT", "EHLO", "HELO", "END-OF-MESSAGE", "VRFY", "ETRN"])
def test_dry_run_where_postfix_takes_no_header(state: str) -> None:
    got = decide(compile_rules({"dry_run": True}), verdict(listing()), protocol_state=state)
    assert got.action == "DUNNO"
    assert got.would.startswith("REJECT")


def test_dry_run_of_one_zone() -> None:
    policy = compile_rules({"dry_run": ["new.example"]})
    both = verdict(listing("new.example", 2), listing("old.example", 1))
    assert decide(policy, both).action == "REJECT 192.0.2.99 is listed by old.example"
    assert decide(policy, both).would == ""
    new = decide(policy, verdict(listing("new.example", 2)))
    assert new.action == f"PREPEND {DRY_RUN_HEADER}: REJECT 192.0.2.99 is listed by new.example"
    assert new.would == "REJECT 192.0.2.99 is listed by new.example"
    assert decide(policy, verdict(listing("old.example"))).would == ""
    assert decide(policy) == Decision("DUNNO")


def test_dry_run_of_an_allowlist() -> None:
    policy = compile_rules({"dry_run": "allow.example"})
    got = decide(policy, verdict(listing("bl.example.com", 1), listing("allow.example", -1)))
    assert got.action.startswith("REJECT")
    assert got.would == "DUNNO"


def test_on_error() -> None:
    request = {"client_address": "192.0.2.99"}
    assert BUILT_IN.failed(request) == Decision("DUNNO")
    policy = compile_rules({"on_error": "DEFER_IF_PERMIT try again, {client}"})
    assert policy.failed(request).action == "DEFER_IF_PERMIT try again, 192.0.2.99"
    policy = compile_rules({"on_error": "REJECT", "dry_run": True})
    assert policy.failed(request) == Decision(f"PREPEND {DRY_RUN_HEADER}: REJECT", None, "REJECT")


# What is refused


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('[policy]\n[[policy.rule]]\nscor = ">=3"\naction = "OK"', 3, "did you mean 'score'?"),
        ('[policy]\n[[policy.rule]]\nscore = ">=3"', 2, "action: is missing"),
        ('[policy]\n[[policy.rule]]\nscore = "3"\naction = "OK"', 3, 'use ">=3"'),
        ('[policy]\n[[policy.rule]]\nscore = 3\naction = "OK"', 3, "not a text"),
        ('[policy]\n[[policy.rule]]\naction = "550"', 3, "means OK to Postfix"),
        ('[policy]\n[[policy.rule]]\naction = "REJECT {zone}"', 3, "unknown place {zone}"),
        ("[policy]\n[[policy.rule]]\naction = 5", 3, "not a text"),
        ('[policy]\n[[policy.rule]]\nclient = "192.0.2.1/24"\naction = "OK"', 3, "192.0.2.0/24?"),
        ('[policy]\n[[policy.rule]]\nclient = []\naction = "OK"', 3, "is empty"),
        ('[policy]\n[[policy.rule]]\nauthenticated = "yes"\naction = "OK"', 3, "not true or false"),
        ('[policy]\n[[policy.rule]]\nserver_port = 99999\naction = "OK"', 3, "1 to 65535"),
        ('[policy]\n[[policy.rule]]\nserver_port = ["25"]\naction = "OK"', 3, "1 to 65535"),
        ('[policy]\n[[policy.rule]]\nserver_port = []\naction = "OK"', 3, "is empty"),
        ('[policy]\n[[policy.rule]]\nserver_port = true\naction = "OK"', 3, "1 to 65535"),
        ('[policy]\n[[policy.rule]]\nprotocol_state = "RCTP"\naction = "OK"', 3, "use CONNECT"),
        ('[policy]\n[[policy.rule]]\nrecipient = "a b"\naction = "OK"', 3, "not a valid pattern"),
        ('[policy]\n[[policy.rule]]\nclient_name = "a@b"\naction = "OK"', 3, "not a valid host name"),
        ('[policy]\n[[policy.rule]]\nzones = "b.example"\naction = "OK"', 3, "not a zone of this"),
        ('[policy]\n[[policy.rule]]\ncodes = "127.0.0"\naction = "OK"', 3, "reply filter"),
        ('[policy]\nown_networks = ["x"]', 2, "not a valid network"),
        ('[policy]\non_error = "REJECT {zones}"', 2, "{client} only"),
        ('[policy]\non_error = "NO"', 2, "unknown action"),
        ('[policy]\ndry_run = ["b.example"]', 2, "not a zone of this"),
        ("[policy]\ndry_run = 1", 2, "not an array of texts"),
        ("[policy]\nrule = []", 2, "is empty"),
    ],
)
def test_a_wrong_policy_is_told_where(text: str, line: int, says: str) -> None:
    values, source = parse_toml(text, "dnsbl.toml")
    with pytest.raises(ConfigError) as caught:
        compile_rules(values["policy"], source, ["a.example"])
    message = str(caught.value)
    assert message.startswith(f"dnsbl.toml:{line}: ")
    assert says in message
    assert "\n" not in message


def test_the_offending_text_is_given() -> None:
    with pytest.raises(ConfigError) as caught:
        compile_rules({"rule": [{"action": "REJCT"}]})
    assert caught.value.text == "REJCT"


def test_restriction_classes() -> None:
    table = {"restriction_classes": ["greylist"], "rule": [{"action": "greylist"}]}
    assert decide(compile_rules(table)).action == "greylist"


def test_the_built_in_rules_can_be_written_down() -> None:
    written = compile_rules({"rule": [dict(table) for table in DEFAULT_RULES]})
    assert [str(rule.action) for rule in written.rules] == [str(rule.action) for rule in BUILT_IN.rules]


# silent


@pytest.mark.parametrize(
    ("answer", "action"),
    [
        (ZoneAnswer("wl.example.com", Outcome.TIMEOUT), "DEFER_IF_PERMIT"),
        (ZoneAnswer("wl.example.com", Outcome.SKIPPED, detail="set aside"), "DEFER_IF_PERMIT"),
        (ZoneAnswer("wl.example.com", Outcome.NOT_LISTED), "REJECT"),
    ],
)
def test_a_rule_can_ask_whether_a_list_is_silent(answer: ZoneAnswer, action: str) -> None:
    """While it is, what it could have permitted is deferred, as Postfix does it."""
    zones = [Zone("bl.example.com"), Zone("wl.example.com", weight=-1.0)]
    rules = [
        {"zones": ["bl.example.com"], "silent": ["wl.example.com"], "action": "DEFER_IF_PERMIT later"},
        {"zones": ["bl.example.com"], "action": "REJECT"},
    ]
    policy = compile_rules({"rule": rules}, zones=[zone.name for zone in zones], built=zones)
    complete = answer.outcome is Outcome.NOT_LISTED
    assert decide(policy, verdict(listing(), answer, complete=complete)).action.split()[0] == action


def test_a_silent_list_of_another_kind_is_not_missed() -> None:
    """A list of domains is skipped for an address, whatever else is missing."""
    zones = [Zone("bl.example.com"), Zone("wl.example.com", subjects=frozenset({"domain"}))]
    policy = compile_rules({"rule": [{"silent": ["wl.example.com"], "action": "REJECT"}]}, built=zones)
    skipped = ZoneAnswer("wl.example.com", Outcome.SKIPPED, detail="takes no ip4")
    missing = ZoneAnswer("bl.example.com", Outcome.TIMEOUT)
    assert decide(policy, verdict(skipped, missing, complete=False)).action == "DUNNO"
