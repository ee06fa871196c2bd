"""The [[policy.rule]] tables that decide as postscreen and smtpd's lists of restrictions do. Pure.

postscreen's score refuses first. Then each list of restrictions is its own (dnsbl/migrate/order.py). While a
list that could permit does not answer, what its list of restrictions rejects is deferred, as Postfix does.
"""

from __future__ import annotations

from dnsbl.config.rules import BASE_RULES, REFUSE
from dnsbl.migrate.imported import ANY, Import
from dnsbl.migrate.order import PASS, Rules, Step, in_a_row
from dnsbl.migrate.postfix_uses import WARN, Use


def rules(
    into: Import, sites: list[Use], lists: list[list[Use]], threshold: int, dry: set[str], *, with_score: bool
) -> Rules:
    """The rules that decide as main.cf does; none where the policy's own do: a score of 1 refuses.

    dry: the zones that only `warn_if_reject` names: the policy only logs what they would do. with_score: False
    leaves postscreen's score out.
    """
    loud = [[use for use in uses if not use.is_warning or use.name in dry] for uses in lists]
    _note_warnings(into, sites, lists, dry)
    uses = [use for each in loud for use in each]
    if _is_plain(sites, uses) and (threshold == 1 or not sites):
        return []
    score: Rules = []
    if sites and with_score:
        score = [{"look_up": ["client"]} if any(use.source != "client" for use in uses) else {}]
        score[0] |= {"score": f">={threshold}", "action": REFUSE}
    return [*BASE_RULES, *score, *in_a_row(into, [[_step(use) for use in each] for each in loud])]


def _step(use: Use) -> Step:
    return Step(
        use.line,
        use.parameter,
        use.text,
        use.name,
        use.source,
        () if use.reply == ANY else (use.reply,),
        REFUSE if use.weight > 0 else PASS,
        waits=use.weight < 0,
    )


def _is_plain(sites: list[Use], uses: list[Use]) -> bool:
    """Whether a score of 1 says it all: nothing speaks for a client, and every zone counts wherever it is named.

    The policy's own rules would also wait for a silent list that speaks for a client; postscreen does not.
    """
    places, names = {site.place for site in sites}, {site.name for site in sites}
    return all(site.weight > 0 for site in sites) and all(
        use.weight > 0 and use.source == "client" and (use.name not in names or use.place in places)
        for use in uses
    )


def _note_warnings(into: Import, sites: list[Use], lists: list[list[Use]], dry: set[str]) -> None:
    uses = [use for each in lists for use in each]
    loud = {use.name for use in (*sites, *uses) if not use.is_warning}
    for use in uses:
        if use.is_warning and use.name in loud:
            into.note(use.line, use.written, f"no counterpart: {use.name} is asked elsewhere without {WARN}")
