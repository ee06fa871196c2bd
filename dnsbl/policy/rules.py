"""From a request and a verdict to an action: ordered rules, the first that matches decides. No I/O.

    [policy]
    own_networks = ["198.51.100.0/24"]     # DUNNO before any rule
    on_error = "DUNNO"                     # the action where something inside fails
    dry_run = true                         # or the zones it is for: ["bl.example.com"]

    [[policy.rule]]
    recipient = ["postmaster@*", "abuse@*"]
    action = "DUNNO"

    [[policy.rule]]
    score = ">=3"
    action = "REJECT {client} is listed by {zones}: {reason} {delist_url}"

All conditions of a rule must hold; a rule without any always matches. Where no rule matches: DUNNO. Where
the file has no rule: `DEFAULT_RULES`. A policy for one recipient domain, or for one `policy_context`, is
the rules that have that condition. A request whose client_address is no address has no verdict, and no
condition on a verdict holds for it.

Dry run: what would have been done is logged and put into a header (`DRY_RUN_HEADER`), and the mail passes.
Dry run of one zone: the rules decide without that zone, and what they would have done with it is logged,
and put into a header where the mail passes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from dnsbl.config.toml_table import Source, Table
from dnsbl.model import Verdict, ZoneAnswer
from dnsbl.policy.actions import FIELDS, Action, ActionError, parse_action
from dnsbl.policy.conditions import (
    REQUEST_KEYS,
    VERDICT_KEYS,
    Findings,
    RequestCondition,
    VerdictCondition,
    check_zones,
    compile_pattern,
    one_or_more,
    parse_score,
    request_conditions,
    verdict_conditions,
)
from dnsbl.policy.patterns import networks
from dnsbl.policy.protocol import Attributes, clean_text

DRY_RUN_HEADER: Final = "X-DNSBL-Dry-Run"

DEFAULT_RULES: Final[tuple[dict[str, Any], ...]] = (
    {"authenticated": True, "action": "DUNNO"},
    # Submission is a port, not encryption: servers too speak TLS among themselves on port 25.
    {"server_port": [465, 587], "action": "DUNNO"},
    {"client": ["private"], "action": "DUNNO"},
    # The score, not `listed`: an allowlist's hit must count.
    {"score": ">=1", "action": "REJECT {client} is listed by {zones}: {reason} {delist_url}"},
)

RULE_KEYS: Final = (*REQUEST_KEYS, *VERDICT_KEYS, "action")
POLICY_KEYS: Final = ("rule", "own_networks", "on_error", "dry_run", "restriction_classes")

_FIELD_CHARS: Final = {"client": 60, "zones": 120, "score": 12, "reason": 200, "codes": 80, "delist_url": 200}
"""So that a list's long text leaves room for the delist URL in the 512 characters of a reply."""

_NO_HEADER_STATES: Final = ("CONNECT", "EHLO", "HELO", "END-OF-MESSAGE", "VRFY", "ETRN")
"""Where Postfix cannot prepend a header (access(5), and Postfix's smtpd_check.c)."""

DUNNO: Final = "DUNNO"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. number: its place, from 1."""

    number: int
    action: Action
    of_request: tuple[RequestCondition, ...] = ()
    of_verdict: tuple[VerdictCondition, ...] = ()


class Decision(NamedTuple):
    """What to answer. action: as Postfix takes it. rule: the one that matched, or None.

    would: what a dry run kept from happening, an action; empty where there is none.
    """

    action: str
    rule: Rule | None = None
    would: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """Compiled rules. Make one with `compile_rules`.

    decide: thresholds by name: the verdict may come early once its score is known to be at or above, or
    below, each. None where a rule needs every answer.
    """

    rules: tuple[Rule, ...]
    on_error: Action
    is_own: Callable[[str], bool]
    dry_run: bool = False
    dry_zones: frozenset[str] = frozenset()
    decide: Mapping[str, float] | None = None

    def candidates(self, request: Attributes) -> Sequence[Rule]:
        """The rules whose conditions on the request hold, up to the first that needs no verdict."""
        if self.is_own(request.get("client_address", "")):
            return ()
        found = []
        for rule in self.rules:
            for condition in rule.of_request:
                if not condition.test(request):
                    break
            else:
                found.append(rule)
                if not rule.of_verdict:
                    break
        return found

    def decision(self, request: Attributes, candidates: Sequence[Rule], verdict: Verdict | None) -> Decision:
        """Choose among the candidates. verdict: None where there is none, as the client has no address."""
        real: Findings | None = verdict
        if verdict is not None and self.dry_zones and (verdict.listed or verdict.score):
            real = _without(verdict, self.dry_zones)
        rule = _first(candidates, real)
        if real is not verdict and (full := _first(candidates, verdict)) is not rule:
            return self._compared(request, rule, real, full, verdict)
        if rule is None:
            return _NOTHING
        action = _render(rule.action, request, real)
        if self.dry_run and not rule.action.is_dunno:
            return Decision(_dry_run_header(request, action), rule, action)
        return Decision(action, rule)

    def wants_text(self, candidates: Sequence[Rule], verdict: Verdict) -> bool:
        """The rule that decides says in its text what the verdict lacks as yet: the list's reason."""
        rule = _first(candidates, verdict)
        if rule is None or "reason" not in rule.action.parts[1::2]:
            return False
        return bool(verdict.listings) and not any(answer.reason for answer in verdict.listings)

    def failed(self, request: Attributes) -> Decision:
        """The decision where no verdict could be had: `on_error`."""
        action = _render(self.on_error, request, None)
        if self.dry_run and not self.on_error.is_dunno:
            return Decision(_dry_run_header(request, action), None, action)
        return Decision(action)

    def _compared(
        self,
        request: Attributes,
        rule: Rule | None,
        findings: Findings | None,
        full_rule: Rule | None,
        verdict: Findings | None,
    ) -> Decision:
        """A zone in dry run makes a difference: say what it would have been."""
        action = _render(rule.action, request, findings) if rule else DUNNO
        would = _render(full_rule.action, request, verdict) if full_rule else DUNNO
        if action == would:
            return Decision(action, rule)
        return Decision(_dry_run_header(request, would) if action == DUNNO else action, rule, would)


_NOTHING: Final = Decision(DUNNO)


def compile_rules(
    table: Mapping[str, Any], source: Source | None = None, zones: Collection[str] | None = None
) -> Policy:
    """Compile the [policy] table of a configuration.

    table: as TOML gives it; keys that are not of the rules are left alone. source: names the line in a
    complaint. zones: the names of the zones there are; None: any is taken.

    Raises ConfigError, one line with place and remedy, for a key that nobody knows and for every value
    that is wrong, the offending text in `.text`.

    >>> policy = compile_rules({"rule": [{"score": ">=3", "action": "REJECT listed by {zones}"}]})
    >>> policy.decide
    {'score>=3': 3.0}
    """
    top = Table(table, ("policy",), source or Source("dnsbl.toml"))
    classes = top.texts("restriction_classes") or ()
    tables = top.tables("rule")
    if "rule" in table and not tables:
        raise top.error(
            "rule", "is empty; write a [[policy.rule]], or leave the key out for the built-in rules"
        )
    if "rule" not in table:
        defaults = {"rule": [dict(rule) for rule in DEFAULT_RULES]}
        tables = Table(defaults, (), Source("built-in rules")).tables("rule")
    rules = tuple(_rule(rule, number, classes, zones) for number, rule in enumerate(tables, 1))
    dry_run, dry_zones = _dry_run(top, zones)
    return Policy(
        rules=rules,
        on_error=_on_error(top, classes),
        is_own=compile_pattern(top, "own_networks", networks) if "own_networks" in table else _nobody,
        dry_run=dry_run,
        dry_zones=dry_zones,
        decide=None if dry_zones else _thresholds(tables),
    )


def _rule(table: Table, number: int, classes: Collection[str], zones: Collection[str] | None) -> Rule:
    table.check_keys(RULE_KEYS)
    if "action" not in table.values:
        raise table.error("action", 'is missing; say what to do, as in action = "DUNNO"')
    return Rule(
        number, _action(table, "action", classes), request_conditions(table), verdict_conditions(table, zones)
    )


def _action(table: Table, key: str, classes: Collection[str]) -> Action:
    text = table.text(key) or ""
    try:
        return parse_action(text, classes)
    except ActionError as error:
        raise table.error(key, f"{text!r}: {error}", text) from None


def _on_error(top: Table, classes: Collection[str]) -> Action:
    if "on_error" not in top.values:
        return Action(DUNNO)
    action = _action(top, "on_error", classes)
    if any(place != "client" for place in action.parts[1::2]):
        raise top.error(
            "on_error", "may name {client} only: there is no verdict then", top.values["on_error"]
        )
    return action


def _dry_run(top: Table, zones: Collection[str] | None) -> tuple[bool, frozenset[str]]:
    value = top.values.get("dry_run", False)
    if isinstance(value, bool):
        return value, frozenset()
    return False, check_zones(top, "dry_run", one_or_more(top, "dry_run"), zones)


def _thresholds(tables: Sequence[Table]) -> Mapping[str, float] | None:
    """What the rules ask of a score, unless one asks for more than the score."""
    thresholds = {}
    for table in tables:
        if any(key in table.values for key in VERDICT_KEYS if key != "score"):
            return None
        if parsed := parse_score(table):
            thresholds["score" + table.values["score"].replace(" ", "")] = parsed[1]
    return thresholds or None


def _nobody(address: str) -> bool:
    return False


class _Findings(NamedTuple):
    complete: bool
    score: float
    listings: tuple[ZoneAnswer, ...]


def _without(verdict: Verdict, zones: frozenset[str]) -> Findings:
    """The verdict as if these zones had not been asked."""
    # Rounded as a verdict's own score is, so that 0.3 - 0.1 reaches a threshold of 0.2.
    score = round(verdict.score - sum(a.score for a in verdict.answers if a.zone in zones), 6)
    listings = tuple(answer for answer in verdict.listings if answer.zone not in zones)
    return _Findings(verdict.complete, score, listings)


def _first(candidates: Sequence[Rule], findings: Findings | None) -> Rule | None:
    for rule in candidates:
        if not rule.of_verdict:
            return rule
        if findings is not None and all(condition.test(findings) for condition in rule.of_verdict):
            return rule
    return None


def _render(action: Action, request: Attributes, findings: Findings | None) -> str:
    return action.render({} if action.is_constant else _values(request, findings))


def _values(request: Attributes, findings: Findings | None) -> dict[str, str]:
    """What the places of a text are filled with; empty where there is nothing to say."""
    values = dict.fromkeys(FIELDS, "")
    values["client"] = request.get("client_address", "")
    if findings is not None:
        hits = [answer for answer in findings.listings if answer.score > 0] or findings.listings
        ranked = sorted(hits, key=lambda answer: -answer.score)
        values["zones"] = ", ".join(answer.zone for answer in hits)
        values["score"] = f"{findings.score:g}"
        values["codes"] = ", ".join(dict.fromkeys(code for answer in hits for code in answer.codes))
        values["reason"] = next(filter(None, map(_reason, ranked)), "")
        values["delist_url"] = next((answer.delist_url for answer in ranked if answer.delist_url), "")
    if len(values["delist_url"]) > _FIELD_CHARS["delist_url"]:
        values["delist_url"] = ""  # half an URL is of no use
    return {name: clean_text(value, _FIELD_CHARS[name]) for name, value in values.items()}


def _reason(answer: ZoneAnswer) -> str:
    return answer.reason or "; ".join(answer.meanings)


def _dry_run_header(request: Attributes, would: str) -> str:
    if request.get("protocol_state") in _NO_HEADER_STATES:
        return DUNNO
    return f"PREPEND {DRY_RUN_HEADER}: {would}"
