"""Whether a request is decided while some answers are still to come. No I/O.

The rules keep their order: the first that surely matches decides, if each before it surely does not. A
condition is sure where the answers that are awaited cannot turn it: a score, by what each zone can add or
take (`dnsbl.policy.findings.corners`); `zones` and `codes`, by a listing that is there already, or because no
zone that is meant is awaited; `incomplete`, by an answer that has failed.

A rule without a condition on the verdict whose text names what was found waits for all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dnsbl.policy.findings import Findings, Scope, Verdicts, ZoneBounds, corners

if TYPE_CHECKING:
    from dnsbl.policy.conditions import VerdictCondition
    from dnsbl.policy.rules import Rule


def is_decided(
    rules: Sequence[Rule], verdicts: Verdicts, zones: ZoneBounds, without: frozenset[str] = frozenset()
) -> bool:
    """Whatever the answers that the verdicts await, the same of these rules decides, or none.

    without: zones that are left out.
    """
    joined: dict[Scope, list[Findings]] = {}
    for rule in rules:
        if not rule.needs_lookup:
            return True
        found = joined.get(rule.scope)
        if found is None:
            found = joined[rule.scope] = corners(verdicts, rule.scope, zones, without)
        if not rule.of_verdict:
            return not found[0].awaited
        outcomes = [_outcome(condition, found) for condition in rule.of_verdict]
        if False in outcomes:
            continue
        return None not in outcomes
    return True


def _outcome(condition: VerdictCondition, found: Sequence[Findings]) -> bool | None:
    """True or False whatever comes; None: that is still open."""
    first, *others = [condition.test(each) for each in found]
    return first if all(other is first for other in others) else None
