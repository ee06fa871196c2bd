"""What decides, where two conditions meet: every verdict condition of a rule, each of several codes, each outcome of
--explain, each field's end."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from policy.test_rules import CLEAN, decide, listing, rule, verdict

from dnsbl.errors import ConfigError
from dnsbl.model import Verdict
from dnsbl.policy.actions import FIELDS, VERBS, ActionError, parse_action
from dnsbl.policy.explain import explain_rules
from dnsbl.policy.findings import Findings
from dnsbl.policy.protocol import MAX_ACTION_BYTES, MAX_ATTRIBUTES, ProtocolError, RequestReader, format_reply
from dnsbl.policy.rules import compile_rules

TWO = verdict(listing("a.example", 2.0, ("127.0.0.2",)), listing("b.example", 1.0, ("127.0.0.4",)))


@pytest.mark.parametrize(
    ("conditions", "matches"),
    [
        ({"score": ">=3", "zones": ["a.example"]}, True),
        ({"score": ">=4", "zones": ["a.example"]}, False),
        ({"score": ">=3", "zones": ["c.example"]}, False),
        ({"codes": ["127.0.0.2"], "zones": ["a.example"]}, True),
        ({"codes": ["127.0.0.4"], "zones": ["a.example"]}, False),
    ],
)
def test_all_conditions_of_a_rule_must_hold(conditions: dict[str, Any], matches: bool) -> None:
    assert (decide(rule(**conditions), TWO).action != "DUNNO") == matches


@pytest.mark.parametrize(
    ("codes", "matches"),
    [
        (["127.0.0.9", "127.0.0.4"], True),
        (["127.0.0.4", "127.0.0.9"], True),
        (["127.0.0.8", "127.0.0.9"], False),
        (["127.0.0.[2..3]", "127.0.0.[5..9]"], True),
    ],
)
def test_any_of_several_codes_is_enough(codes: list[str], matches: bool) -> None:
    assert (decide(rule(codes=codes), TWO).action != "DUNNO") == matches


@pytest.mark.parametrize("port", [1, 65_535])
def test_the_first_and_the_last_port(port: int) -> None:
    assert decide(rule(server_port=port), server_port=str(port)).action == "REJECT"
    assert decide(rule(server_port=port), server_port="25").action == "DUNNO"


@pytest.mark.parametrize("port", [0, 65_536, -1, True, "25", 1.0])
def test_what_is_no_port(port: object) -> None:
    with pytest.raises(ConfigError, match="valid port"):
        rule(server_port=port)


@pytest.mark.parametrize(
    ("client", "matches"), [("192.0.2.1", True), ("192.0.2.2", True), ("192.0.2.3", False)]
)
@pytest.mark.parametrize("of_file", ["192.0.2.1", "192.0.2.2"])
def test_a_files_lines_count_beside_what_is_given(client: str, matches: bool, of_file: str) -> None:
    files = {"/a": [of_file], "/b": ["198.51.100.1"]}
    given = {"192.0.2.1": "192.0.2.2", "192.0.2.2": "192.0.2.1"}[of_file]
    table = {"client": [given, "file:/a", "file:/b"], "action": "REJECT"}
    policy = compile_rules({"rule": [table]}, watch=lambda path, compile_: compile_(files[path]))
    assert (decide(policy, client_address=client).action == "REJECT") is matches


@pytest.mark.parametrize(
    ("size", "matches"), [("9" * 18, True), ("9" * 19, False), ("0", False), ("٣", False)]
)
def test_the_longest_number(size: str, matches: bool) -> None:
    assert (decide(rule(size=">0"), size=size).action == "REJECT") is matches


def test_a_condition_is_shown_as_it_is_written() -> None:
    [condition] = rule(authenticated=True).rules[0].of_request
    assert (condition.key, condition.text) == ("authenticated", "true")
    [condition] = rule(server_port=[25, 465]).rules[0].of_request
    assert condition.text == "25, 465"
    [condition] = rule(policy_context="Submission").rules[0].of_request
    assert condition.text == "Submission"


@pytest.mark.parametrize(
    ("missing", "awaited", "is_silent"),
    [
        (("a",), (), True),
        (("a",), ("b",), True),
        (("c",), (), False),
        ((), ("c",), False),
        ((), ("b",), None),
    ],
)
def test_whether_a_list_is_silent_may_be_open(
    missing: tuple[str, ...], awaited: tuple[str, ...], is_silent: bool | None
) -> None:
    [condition] = rule(silent=["a", "b"]).rules[0].of_verdict
    found = Findings(awaited=frozenset(awaited), missing=frozenset(missing))
    assert condition.test(found) is is_silent


CERTAIN = rule("REJECT x", authenticated=True, score=">=1")


@pytest.mark.parametrize(
    "made", [CERTAIN, CERTAIN.rules[0], CERTAIN.rules[0].action, *CERTAIN.rules[0].of_request], ids=type
)
def test_what_is_compiled_cannot_be_changed(made: Any) -> None:
    assert not hasattr(made, "__dict__")
    with pytest.raises(AttributeError):
        setattr(made, fields(made)[0].name, None)


# ---- whether a reason is still to be asked for ----


@pytest.mark.parametrize(
    ("action", "reason", "wants"),
    [
        ("REJECT {reason}", None, True),
        ("REJECT {reason}", "seen", False),
        ("REJECT {client} {reason}", None, True),
        ("REJECT {client} {client} {reason}", None, True),
        ("REJECT {zones}", None, False),
        ("REJECT listed", None, False),
    ],
)
def test_a_reason_is_wanted_where_the_text_names_it(action: str, reason: str | None, wants: bool) -> None:
    policy = rule(action, zones=["bl.example.com"])
    found = {"client": verdict(listing(reason=reason))}
    request = {"client_address": "192.0.2.99"}
    assert policy.wants_text(policy.candidates(request), found) is wants
    assert policy.wants_text(policy.candidates(request), {"client": CLEAN}) is False


def test_any_reason_there_is_is_enough() -> None:
    policy = rule("REJECT {client}: {reason}", zones=["a.example", "b.example"])
    some = verdict(listing("a.example", reason="seen"), listing("b.example"))
    none = verdict(listing("a.example"), listing("b.example"))
    candidates = policy.candidates({"client_address": "192.0.2.99"})
    assert [policy.wants_text(candidates, {"client": found}) for found in (some, none)] == [False, True]


# ---- what a text is filled with ----


@pytest.mark.parametrize(
    ("place", "longest"),
    [("client", 60), ("zones", 120), ("reason", 200), ("codes", 80), ("subject", 100)],
)
def test_the_longest_of_each_place(place: str, longest: int) -> None:
    """Each leaves room for the delist URL: what is longer is cut."""
    listed = listing("z" * 300, 1, ("c" * 300,), reason="r" * 300)
    found = Verdict("s" * 300, True, True, 1, (listed,))
    policy = rule(f"REJECT {{{place}}}")
    request = {"client_address": "i" * 300}
    [candidate] = policy.candidates(request)
    text = policy.decision(request, [candidate], {"client": found}).action.removeprefix("REJECT ")
    assert len(text) == longest


@pytest.mark.parametrize(("length", "is_told"), [(200, True), (201, False)])
def test_an_url_is_told_whole_or_not_at_all(length: int, is_told: bool) -> None:
    url = "https://bl.example.com/".ljust(length, "x")
    got = decide(rule("REJECT see {delist_url}"), verdict(listing(delist_url=url))).action
    assert got == (f"REJECT see {url}" if is_told else "REJECT see")


def test_what_lists_is_told_before_what_is_worth_nothing() -> None:
    found = verdict(
        listing("none.example", 0, reason="none"), listing("bl.example", 1, delist_url="https://b")
    )
    policy = rule("REJECT {zones} {subject} {source} {reason} {delist_url}", zones=["none.example"])
    assert decide(policy, found).action == "REJECT bl.example 192.0.2.99 client https://b"
    found = verdict(listing("none.example", 0, reason="none"))
    assert decide(policy, found).action == "REJECT none.example 192.0.2.99 client none"


def test_what_is_worth_nothing_is_told_only_where_a_rule_names_zones() -> None:
    found = verdict(listing("none.example", 0))
    assert decide(rule("REJECT {zones}", score=">=0"), found).action == "REJECT"
    assert decide(rule("REJECT {zones}", score=">=0", zones=["none.example"]), found).action == (
        "REJECT none.example"
    )


def test_a_forged_name_speaks_for_a_client_only_where_a_rule_itself_looks_it_up() -> None:
    request = {"client_address": "192.0.2.99", "sender": "a@example.org"}
    good = {"sender": verdict(listing("allow.example", -5))}
    allows = {"score": "<0", "action": "OK"}
    of_policy = compile_rules({"look_up": ["sender"], "rule": [allows]})
    of_rule = compile_rules({"rule": [{**allows, "look_up": ["sender"]}]})
    said = [each.decision(request, each.rules, good).action for each in (of_policy, of_rule)]
    assert said == ["DUNNO", "OK"]


# ---- what a decision says of itself ----


def test_the_zones_of_a_decision_are_those_its_rule_looked_at() -> None:
    assert decide(rule(score=">=1"), TWO).zones == ("a.example", "b.example")
    assert decide(rule("REJECT {zones}"), TWO).zones == ("a.example", "b.example")
    assert decide(rule("REJECT {client}"), TWO).zones == ()


def test_a_dry_run_that_changes_the_rule_but_not_the_action() -> None:
    rules = [{"zones": ["a.example"], "action": "REJECT"}, {"zones": ["b.example"], "action": "REJECT"}]
    policy = compile_rules({"dry_run": ["a.example"], "rule": rules})
    assert decide(policy, TWO) == ("REJECT", policy.rules[1], "", ("b.example",))


@pytest.mark.parametrize(
    "text", ["REJECT {zones}", "REJECT {client} {zones}", "REJECT {client} {client} {score}"]
)
def test_on_error_names_nothing_of_a_verdict(text: str) -> None:
    with pytest.raises(ConfigError, match=r"may name \{client\} only"):
        compile_rules({"on_error": text})
    policy = compile_rules({"on_error": "REJECT {client} {client}"})
    assert policy.failed({"client_address": "a"}).action == "REJECT a a"


def test_a_policy_that_says_nothing_of_errors_lets_pass() -> None:
    assert compile_rules({"rule": RULES}).failed({}) == ("DUNNO", None, "", ())


# ---- --explain ----


def outcomes(policy_table: dict[str, object], **request: str) -> list[str]:
    policy = compile_rules(policy_table)
    asked = {"client_address": "192.0.2.99"} | request
    return [found.outcome for found in explain_rules(policy, asked, {"client": TWO})]


RULES = [
    {"zones": ["c.example"], "action": "OK"},
    {"zones": ["a.example"], "action": "DEFER a"},
    {"score": ">0", "action": "REJECT any"},
]


def test_explain_names_the_rule_that_decides() -> None:
    assert outcomes({"rule": RULES}) == ["does not match", "decides", "matches, but rule 2 decides"]


def test_explain_names_own_networks() -> None:
    own = {"own_networks": ["192.0.2.0/24"], "rule": RULES}
    assert outcomes(own)[1:] == ["matches, but own_networks decides"] * 2
    assert outcomes(own, client_address="198.51.100.1")[1] == "decides"


def test_explain_names_a_dry_run() -> None:
    dry = {"dry_run": ["a.example", "b.example"], "rule": RULES[1:]}
    assert outcomes(dry) == ["matches with a zone in dry run only"] * 2


# ---- the protocol's ends ----


def test_too_many_attributes_are_found_before_the_request_ends() -> None:
    for piece in (1, 7, 30, 10_000):
        reader = RequestReader()
        lines = [f"a{number}=1\n".encode() for number in range(MAX_ATTRIBUTES + 1)]
        data, at = b"".join(lines), 0
        with pytest.raises(ProtocolError, match=str(MAX_ATTRIBUTES)):  # noqa: PT012
            while at < len(data):
                reader.feed(data[at : at + piece])
                at += piece
                assert reader.next() is None
        assert at >= len(data) - piece, f"one too early, in pieces of {piece}"


def test_the_bytes_held_are_counted() -> None:
    reader = RequestReader()
    reader.feed(b"a=1\n\nb=")
    assert reader.size_bytes == 7
    assert reader.next() == {"a": "1"}
    assert reader.size_bytes == 2
    assert reader.next() is None
    reader.feed(b"2\n\n")
    assert reader.next() == {"b": "2"}
    assert reader.size_bytes == 0


def test_the_longest_action() -> None:
    assert format_reply("x" * MAX_ACTION_BYTES) == b"action=" + b"x" * MAX_ACTION_BYTES + b"\n\n"
    assert format_reply("x" * (MAX_ACTION_BYTES + 1)) == b"action=" + b"x" * MAX_ACTION_BYTES + b"\n\n"
    assert format_reply("REJECT  a\tb ") == b"action=REJECT a b\n\n"
    for empty in ("", " ", "\t", "\u2003"):
        with pytest.raises(ValueError, match="empty"):
            format_reply(empty)


# ---- actions ----


def test_the_longest_action_of_a_rule() -> None:
    assert parse_action("REJECT " + "x" * (MAX_ACTION_BYTES - 7)).verb == "REJECT"
    with pytest.raises(ActionError, match="longer"):
        parse_action("REJECT " + "x" * (MAX_ACTION_BYTES - 6))


@pytest.mark.parametrize("verb", VERBS)
def test_only_dunno_goes_on(verb: str) -> None:
    text = {"PREPEND": "X-A: b", "BCC": "a@b", "REDIRECT": "a@b", "FILTER": "a:b"}.get(verb, "")
    assert parse_action(f"{verb} {text}").is_dunno == (verb == "DUNNO")


@pytest.mark.parametrize(
    ("text", "constant", "findings"),
    [
        ("REJECT", True, False),
        ("REJECT no {client}", False, False),
        ("REJECT {client} {zones}", False, True),
        ("REJECT {reason}", False, True),
    ],
)
def test_what_a_text_needs(text: str, constant: bool, findings: bool) -> None:
    action = parse_action(text)
    assert (action.is_constant, action.names_findings) == (constant, findings)


def test_places_are_filled_once_and_punctuation_goes() -> None:
    values = {**dict.fromkeys(FIELDS, ""), "client": "{zones}", "zones": "bl.example"}
    assert parse_action("REJECT {client}: {reason}").render(values) == "REJECT {zones}"
    assert parse_action("REJECT {zones}; {client}").render(values) == "REJECT bl.example; {zones}"
    assert parse_action("PREPEND X-List: {reason}").render(values) == "PREPEND X-List:"
    assert parse_action("550 {reason}").render(values) == "550 Access denied"
    assert parse_action("REJECT a:").render(values) == "REJECT a:"
