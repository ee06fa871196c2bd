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
the rules that have that condition. A request whose client_address is not an address has no verdict, and no
condition on a verdict holds for it.

Dry run: what would have been done is logged and put into a header (`DRY_RUN_HEADER`), and the mail passes.
Dry run of one zone: the rules decide without that zone, and what they would have done with it is logged,
and put into a header where the mail passes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from dnsbl.config.rules import DEFAULT_RULES
from dnsbl.config.toml_table import Source, Table
from dnsbl.model import ZoneAnswer
from dnsbl.policy.actions import FIELDS, Action, ActionError, parse_action
from dnsbl.policy.conditions import (
    REQUEST_KEYS,
    VERDICT_KEYS,
    RequestCondition,
    VerdictCondition,
    Watch,
    check_zones,
    compile_pattern,
    no_files,
    one_or_more,
    request_conditions,
    verdict_conditions,
)
from dnsbl.policy.early import is_decided
from dnsbl.policy.findings import EVERYTHING, Findings, Scope, Verdicts, ZoneBounds, bounds_of, join
from dnsbl.policy.patterns import networks
from dnsbl.policy.protocol import Attributes, clean_text
from dnsbl.policy.sources import SOURCES
from dnsbl.zones.zone import Zone

DRY_RUN_HEADER: Final = "X-DNSBL-Dry-Run"

RULE_KEYS: Final = (*REQUEST_KEYS, *VERDICT_KEYS, "look_up", "action")
POLICY_KEYS: Final = ("rule", "own_networks", "on_error", "dry_run", "restriction_classes", "look_up")

_FIELD_CHARS: Final = {
    "client": 60, "zones": 120, "score": 12, "reason": 200, "codes": 80, "delist_url": 200, "subject": 100,
    "source": 20,
}  # fmt: skip
"""So that a list's long text leaves room for the delist URL in the 512 characters of a reply."""

_NO_HEADER_STATES: Final = ("CONNECT", "EHLO", "HELO", "END-OF-MESSAGE", "VRFY", "ETRN")
"""Where Postfix cannot prepend a header (access(5), and Postfix's smtpd_check.c)."""

DUNNO: Final = "DUNNO"
BUILT_IN: Final = "built-in rules"
"""What stands for the file where it has no rules."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. number: its place, from 1. scope: which subjects' findings it looks at.

    is_built_in: it is one of those that hold where the file has none.
    """

    number: int
    action: Action
    of_request: tuple[RequestCondition, ...]
    of_verdict: tuple[VerdictCondition, ...]
    scope: Scope
    is_built_in: bool

    @property
    def name(self) -> str:
        """`rule 4`, or `built-in rule 4`, which the file does not have."""
        return f"built-in rule {self.number}" if self.is_built_in else f"rule {self.number}"

    @property
    def needs_lookup(self) -> bool:
        """For a condition, or for its text."""
        return bool(self.of_verdict) or self.action.names_findings


class Decision(NamedTuple):
    """What to answer. action: as Postfix takes it. rule: the one that matched, or None.

    would: what a dry run kept from happening, an action; empty where there is none. zones: those whose
    listing the rule saw.
    """

    action: str
    rule: Rule | None = None
    would: str = ""
    zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """Compiled rules. Make one with `compile_rules`. bounds: of the zones there are."""

    rules: tuple[Rule, ...]
    on_error: Action
    is_own: Callable[[str], bool]
    dry_run: bool
    dry_zones: frozenset[str]
    bounds: ZoneBounds

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

    def look_up(self, candidates: Sequence[Rule]) -> Sequence[str]:
        """The sources whose subjects these rules ask about, each once; none where nothing is to look up."""
        return tuple(
            dict.fromkeys(source for rule in candidates if rule.needs_lookup for source in rule.scope.look_up)
        )

    def decision(
        self, request: Attributes, candidates: Sequence[Rule], verdicts: Verdicts | None
    ) -> Decision:
        """Choose among the candidates. verdicts: None where nothing could be looked up."""
        full = _View(self, verdicts, frozenset())
        real = _View(self, verdicts, self.dry_zones) if self.dry_zones else full
        rule = _first(candidates, real)
        if real is not full and (full_rule := _first(candidates, full)) is not rule:
            return self._compared(request, rule, real, full_rule, full)
        if rule is None:
            return _NOTHING
        action = _render(rule, request, real)
        zones = real.zones_of(rule)
        if self.dry_run and not rule.action.is_dunno:
            return Decision(_dry_run_header(request, action), rule, action, zones)
        return Decision(action, rule, "", zones)

    def is_decided(self, candidates: Sequence[Rule], verdicts: Verdicts) -> bool:
        """No answer that is still to come (`Verdict.pending`) can change which rule decides."""
        if not any(verdict.pending for verdict in verdicts.values()):
            return True
        return is_decided(candidates, verdicts, self.bounds) and (
            not self.dry_zones or is_decided(candidates, verdicts, self.bounds, self.dry_zones)
        )

    def findings(self, rule: Rule, verdicts: Verdicts | None) -> Findings | None:
        """What a rule sees, zones in dry run included; None where nothing could be looked up."""
        return _View(self, verdicts, frozenset()).of(rule)

    def wants_text(self, candidates: Sequence[Rule], verdicts: Verdicts) -> bool:
        """The rule that decides says in its text what the verdict lacks as yet: the list's reason."""
        view = _View(self, verdicts, frozenset())
        rule = _first(candidates, view)
        if rule is None or "reason" not in rule.action.parts[1::2]:
            return False
        found = view.of(rule)
        return found is not None and bool(found.hits) and not any(hit.answer.reason for hit in found.hits)

    def failed(self, request: Attributes) -> Decision:
        """The decision where no verdict could be had: `on_error`."""
        action = self.on_error.render(_values(request, None))
        if self.dry_run and not self.on_error.is_dunno:
            return Decision(_dry_run_header(request, action), None, action)
        return Decision(action)

    def _compared(
        self, request: Attributes, rule: Rule | None, real: _View, full_rule: Rule | None, full: _View
    ) -> Decision:
        """A zone in dry run makes a difference: say what it would have been."""
        action = _render(rule, request, real) if rule else DUNNO
        would = _render(full_rule, request, full) if full_rule else DUNNO
        zones = real.zones_of(rule) if rule else ()
        if action == would:
            return Decision(action, rule, "", zones)
        return Decision(_dry_run_header(request, would) if action == DUNNO else action, rule, would, zones)


_NOTHING: Final = Decision(DUNNO)


def compile_rules(
    table: Mapping[str, Any],
    source: Source | None = None,
    zones: Collection[str] | None = None,
    built: Iterable[Zone] = (),
    watch: Watch = no_files,
) -> Policy:
    """Compile the [policy] table of a configuration.

    table: as TOML gives it; keys that are not of the rules are left alone. source: names the line in a
    complaint. zones: the names of the zones there are; None: any is taken. built: the zones themselves, for
    what `certain` has to know of them. watch: follows the files that `file:` entries name.

    Raises ConfigError, one line with place and remedy, for an unknown key and for every value
    that is wrong, the offending text in `.text`.

    >>> policy = compile_rules({"rule": [{"score": ">=3", "action": "REJECT listed by {zones}"}]})
    >>> policy.rules[0].of_verdict[0].text
    '>=3'
    """
    top = Table(table, ("policy",), source or Source("dnsbl.toml"))
    classes = top.texts("restriction_classes") or ()
    tables = _rule_tables(top)
    scope = _scope(top, EVERYTHING)
    exact = any(key in rule.values for rule in tables for key in ("zones", "codes", "silent"))
    scope = scope._replace(exact=exact)
    rules = tuple(_rule(rule, number, classes, zones, scope, watch) for number, rule in enumerate(tables, 1))
    dry_run, dry_zones = _dry_run(top, zones)
    return Policy(
        rules=rules,
        on_error=_on_error(top, classes),
        is_own=compile_pattern(top, "own_networks", networks, watch) if "own_networks" in table else _nobody,
        dry_run=dry_run,
        dry_zones=dry_zones,
        bounds=bounds_of(built, _silent_zones(tables)),
    )


def _silent_zones(tables: Sequence[Table]) -> frozenset[str]:
    return frozenset(
        name.lower().strip(".")
        for table in tables
        if "silent" in table.values
        for name in one_or_more(table, "silent")
    )


def _rule_tables(top: Table) -> Sequence[Table]:
    if "rule" not in top.values:
        defaults = {"rule": [dict(rule) for rule in DEFAULT_RULES]}
        return Table(defaults, (), Source(BUILT_IN)).tables("rule")
    tables = top.tables("rule")
    if not tables:
        raise top.error(
            "rule", "is empty; write a [[policy.rule]], or leave the key out for the built-in rules"
        )
    return tables


def _rule(
    table: Table,
    number: int,
    classes: Collection[str],
    zones: Collection[str] | None,
    scope: Scope,
    watch: Watch,
) -> Rule:
    table.check_keys(RULE_KEYS)
    if "action" not in table.values:
        raise table.error("action", 'is missing; say what to do, as in action = "DUNNO"')
    return Rule(
        number,
        _action(table, "action", classes),
        request_conditions(table, watch),
        verdict_conditions(table, zones),
        _scope(table, scope),
        table.source.name == BUILT_IN,
    )


def _scope(table: Table, default: Scope) -> Scope:
    """`look_up` of the policy or of a rule, which a rule's own wins over."""
    if "look_up" not in table.values:
        return default
    names = one_or_more(table, "look_up")
    for name in names:
        if name not in SOURCES:
            raise table.error("look_up", f"{name!r} is not a valid source: use {', '.join(SOURCES)}", name)
    return default._replace(look_up=tuple(dict.fromkeys(names)), forged=len(table.path) > 1)


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


def _nobody(address: str) -> bool:
    return False


class _View:
    """One request's verdicts as the rules see them, joined once for each scope."""

    def __init__(self, policy: Policy, verdicts: Verdicts | None, without: frozenset[str]) -> None:
        self._policy = policy
        self._verdicts = verdicts
        self._without = without
        self._joined: dict[Scope, Findings] = {}

    def of(self, rule: Rule) -> Findings | None:
        if self._verdicts is None:
            return None
        found = self._joined.get(rule.scope)
        if found is None:
            found = join(self._verdicts, rule.scope, self._policy.bounds, self._without)
            self._joined[rule.scope] = found
        return found

    def zones_of(self, rule: Rule) -> tuple[str, ...]:
        found = self.of(rule) if rule.needs_lookup else None
        return tuple(dict.fromkeys(hit.answer.zone for hit in found.hits)) if found and found.hits else ()


def _first(candidates: Sequence[Rule], view: _View) -> Rule | None:
    for rule in candidates:
        if not rule.of_verdict:
            return rule
        found = view.of(rule)
        if found is not None and all(condition.test(found) for condition in rule.of_verdict):
            return rule
    return None


def _render(rule: Rule, request: Attributes, view: _View) -> str:
    action = rule.action
    if action.is_constant:
        return action.render({})
    return action.render(_values(request, view.of(rule) if action.names_findings else None))


def _values(request: Attributes, findings: Findings | None) -> dict[str, str]:
    """What the places of a text are filled with; empty where there is nothing to say."""
    values = dict.fromkeys(FIELDS, "")
    values["client"] = values["subject"] = request.get("client_address", "")
    if findings is not None:
        hits = [hit for hit in findings.hits if hit.answer.score > 0] or findings.hits
        ranked = sorted(hits, key=lambda hit: -hit.answer.score)
        told = next((hit for hit in ranked if _reason(hit.answer)), ranked[0] if ranked else None)
        values["zones"] = ", ".join(dict.fromkeys(hit.answer.zone for hit in hits))
        values["score"] = f"{findings.score:g}"
        values["codes"] = ", ".join(dict.fromkeys(code for hit in hits for code in hit.answer.codes))
        values["delist_url"] = next((hit.answer.delist_url for hit in ranked if hit.answer.delist_url), "")
        if told is not None:
            values["reason"] = _reason(told.answer)
            values["subject"], values["source"] = told.subject, told.source
    if len(values["delist_url"]) > _FIELD_CHARS["delist_url"]:
        values["delist_url"] = ""  # half an URL is of no use
    return {name: clean_text(value, _FIELD_CHARS[name]) for name, value in values.items()}


def _reason(answer: ZoneAnswer) -> str:
    return answer.reason or "; ".join(answer.meanings)


def _dry_run_header(request: Attributes, would: str) -> str:
    if request.get("protocol_state") in _NO_HEADER_STATES:
        return DUNNO
    return f"PREPEND {DRY_RUN_HEADER}: {would}"
