"""The [[policy.rule]] tables that decide as postscreen and smtpd's lists of restrictions do. Pure.

postscreen's score refuses first. Each list of restrictions is its own: what it permits ends it alone, what
any of them rejects is rejected. Rules stand in one row, of which the first that holds decides, so:

1. What stands in a list before any of its permits is rejected whatever another list says: such rules come first.
2. A permit with which all lists begin that are not at their end comes next, and ends them all.
3. Where they begin with different permits there is no such row; what is then permitted too much is named.
"""

from __future__ import annotations

from dnsbl.config.rules import BASE_RULES, COME_AGAIN, REFUSE
from dnsbl.migrate.imported import ANY, Import
from dnsbl.migrate.postfix_uses import WARN, Use

Rules = list[dict[str, object]]


def rules(into: Import, sites: list[Use], lists: list[list[Use]], threshold: int, dry: set[str]) -> Rules:
    """The rules that decide as main.cf does; none where the policy's own do: a score of 1 refuses.

    dry: the zones that only `warn_if_reject` names: the policy only logs what they would do.
    """
    loud = [[use for use in uses if not use.is_warning or use.name in dry] for uses in lists]
    _note_warnings(into, sites, lists, dry)
    uses = [use for each in loud for use in each]
    if _is_plain(sites, uses) and (threshold == 1 or not sites):
        return []
    is_bound = any(use.source != "client" for use in uses)
    score: Rules = []
    if sites:
        score = [{"look_up": ["client"]} if is_bound else {}]
        score[0] |= {"score": f">={threshold}", "action": REFUSE}
    return [*BASE_RULES, *score, *_written(_in_a_row(into, loud), loud, is_bound)]


def _written(row: list[Use], lists: list[list[Use]], is_bound: bool) -> Rules:
    """One rule for each restriction. Before one that rejects, after a permit: come again while that is silent.

    So does Postfix, which defers what it would reject while a list that could permit it does not answer.
    """
    found: Rules = []
    for use in row:
        rule: dict[str, object] = {"look_up": [use.source]} if is_bound else {}
        rule["zones"] = [use.name]
        if use.reply != ANY:
            rule["codes"] = [use.reply]
        if use.weight > 0 and (silent := _permits_before(use, lists)):
            found.append({**rule, "silent": silent, "action": COME_AGAIN})
        found.append({**rule, "action": REFUSE if use.weight > 0 else "DUNNO"})
    return [rule for at, rule in enumerate(found) if rule not in found[:at]]


def _permits_before(use: Use, lists: list[list[Use]]) -> list[str]:
    """The zones that could have let pass what `use` rejects, in the list that rejects it."""
    uses = next(uses for uses in lists if any(each is use for each in uses))
    before = uses[: next(at for at, each in enumerate(uses) if each is use)]
    return list(dict.fromkeys(each.name for each in before if each.weight < 0))


def _is_plain(sites: list[Use], uses: list[Use]) -> bool:
    """Whether a score says it all: nothing permits, and every zone counts alike wherever it is named."""
    places, names = {site.place for site in sites}, {site.name for site in sites}
    return all(
        use.weight > 0 and use.source == "client" and (use.name not in names or use.place in places)
        for use in uses
    )


def _note_warnings(into: Import, sites: list[Use], lists: list[list[Use]], dry: set[str]) -> None:
    uses = [use for each in lists for use in each]
    loud = {use.name for use in (*sites, *uses) if not use.is_warning}
    for use in uses:
        if use.is_warning and use.name in loud:
            into.note(use.line, use.written, f"no counterpart: {use.name} is asked elsewhere without {WARN}")


def _in_a_row(into: Import, lists: list[list[Use]]) -> list[Use]:
    """All lists as one; see the top of this file."""
    row: list[Use] = []
    left = [list(uses) for uses in lists]
    while True:
        for uses in left:
            while uses and uses[0].weight > 0:
                row.append(uses.pop(0))
            while uses and uses[-1].weight < 0:
                uses.pop()  # it ends a list that is at its end
        left = [uses for uses in left if uses]
        if not left:
            return row
        use = _common_permit(left)
        if use is None:
            use = left[0][0]
            others = ", ".join(dict.fromkeys(uses[0].parameter for uses in left[1:]))
            message = f"here it also passes what {others} refuses; in Postfix each list is its own"
            into.note(use.line, use.text, message)
        row.append(use)
        for uses in left:
            if (at := _place(use, uses)) is not None:
                del uses[at]


def _common_permit(lists: list[list[Use]]) -> Use | None:
    """A permit that every list has before it rejects anything."""
    for use in lists[0]:
        if use.weight > 0:
            break
        if all(_place(use, uses) is not None for uses in lists[1:]):
            return use
    return None


def _place(permit: Use, uses: list[Use]) -> int | None:
    """Where a list has the same permit before it rejects anything."""
    for at, use in enumerate(uses):
        if use.weight > 0:
            break
        if (use.place, use.source) == (permit.place, permit.source):
            return at
    return None
