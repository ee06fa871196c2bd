"""Lists of steps, each with its own order, as one row of [[policy.rule]] tables that decides as they do. Pure.

A step permits, which ends its own list alone, or refuses, which ends all. Rules stand in one row, of which the
first that holds decides, so:

1. What stands in a list before any of its permits is refused whatever another list says: such rules come first.
2. A permit with which all lists begin that are not at their end comes next, and ends them all.
3. Where they begin with different permits there is no such row; what is then permitted too much is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dnsbl.config.rules import COME_AGAIN
from dnsbl.migrate.imported import Import

PASS: Final = "DUNNO"
UNKNOWN_REFUSED: Final = "REJECT {client}: a list that has to answer does not"
UNKNOWN_DEFERRED: Final = "DEFER_IF_PERMIT {client}: a list that has to answer does not, try again later"

Rules = list[dict[str, object]]


@dataclass(frozen=True)
class Step:
    """One test of one zone. list_name: the list's, for notes. line, text: where it stood.

    source: what is asked about, as `look_up` calls it. codes: reply filters; empty: any listing. action: PASS
    permits, all else refuses. unknown: the action while the zone does not answer; empty: none.
    waits: what is refused behind a permit is deferred while that does not answer.
    """

    line: int
    list_name: str
    text: str
    zone: str
    source: str
    codes: tuple[str, ...]
    action: str
    unknown: str = ""
    waits: bool = False

    @property
    def permits(self) -> bool:
        return self.action == PASS

    def is_like(self, other: Step) -> bool:
        """The same test and the same end."""
        mine = self.zone, self.source, self.codes, self.action, self.unknown
        return mine == (other.zone, other.source, other.codes, other.action, other.unknown)


def in_a_row(into: Import, lists: Iterable[Sequence[Step]]) -> Rules:
    """The rules for these lists; a note in `into` where no row of rules decides alike."""
    kept = [list(steps) for steps in lists if steps]
    is_bound = any(step.source != "client" for steps in kept for step in steps)
    found: Rules = []
    for step, silent in _ordered(into, kept):
        found += _written(step, silent, is_bound)
    return [rule for at, rule in enumerate(found) if rule not in found[:at]]


def _written(step: Step, silent: Sequence[str], is_bound: bool) -> Rules:
    """silent: while one of these zones does not answer, what the step refuses is deferred."""
    head: dict[str, object] = {"look_up": [step.source]} if is_bound else {}
    test: dict[str, object] = {"zones": [step.zone]}
    if step.codes:
        test["codes"] = list(step.codes)
    found: Rules = []
    if silent:
        found.append({**head, **test, "silent": list(silent), "action": COME_AGAIN})
    found.append({**head, **test, "action": step.action})
    if step.unknown:
        found.append({**head, "silent": [step.zone], "action": step.unknown})
    return found


def _ordered(into: Import, lists: list[list[Step]]) -> list[tuple[Step, list[str]]]:
    """All lists as one, each refusal with the zones before it whose silence defers it."""
    left = [[(step, _waiting(steps[:at], step)) for at, step in enumerate(steps)] for steps in lists]
    row: list[tuple[Step, list[str]]] = []
    while True:
        for steps in left:
            while steps and not steps[0][0].permits:
                row.append(steps.pop(0))
            while steps and steps[-1][0].permits:
                steps.pop()  # it ends a list that is at its end
        left = [steps for steps in left if steps]
        if not left:
            return row
        permit = _common(left)
        if permit is None:
            permit = left[0][0][0]
            others = ", ".join(dict.fromkeys(steps[0][0].list_name for steps in left[1:]))
            message = f"here it also passes what {others} refuses, where it ends nothing"
            into.note(permit.line, permit.text, message)
        row.append((permit, []))
        for steps in left:
            if (at := _place(permit, steps)) is not None:
                del steps[at]


def _waiting(before: Sequence[Step], step: Step) -> list[str]:
    zones = [each.zone for each in before if each.permits and each.waits]
    return [] if step.permits else list(dict.fromkeys(zones))


def _common(lists: Sequence[Sequence[tuple[Step, list[str]]]]) -> Step | None:
    """A permit that every list has before it refuses anything."""
    for step, _ in lists[0]:
        if not step.permits:
            break
        if all(_place(step, steps) is not None for steps in lists[1:]):
            return step
    return None


def _place(permit: Step, steps: Sequence[tuple[Step, list[str]]]) -> int | None:
    """Where a list has the same permit before it refuses anything."""
    for at, (step, _) in enumerate(steps):
        if not step.permits:
            break
        if step.is_like(permit):
            return at
    return None
