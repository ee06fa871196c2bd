"""Asks the zones' test entries and sets broken zones aside until they pass again.

What the answers mean is decided in `dnsbl.health.judge`; here they are asked and acted upon. Meant to run
rarely (at the start, about hourly, on demand), never per message. The queries go past cache and breaker and
count against the zones' daily budgets; a zone whose budget is spent is not asked.

A broken zone is set aside: lookups skip it, what it said goes out of the cache, and it is tested again soon.
A zone that does not answer keeps the state it had: silence proves nothing, and the breaker looks after it.

Where all zones of the same nameservers are broken alike, that is the nameservers' fault: none is set aside,
but no verdict on them is complete until they pass. Not so where they list everything: no list is worth that.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import time
from typing import TYPE_CHECKING, Final

from dnsbl.cache.clock import now as clock
from dnsbl.health.judge import ProbeAnswer, State, ZoneHealth, judge, untested
from dnsbl.lookup.admission import SPENT
from dnsbl.lookup.core import Core
from dnsbl.lookup.recheck import act, probe_key, read_probe
from dnsbl.zones.zone import Probe

if TYPE_CHECKING:
    from dnsbl.engine._engine import Answer

log = logging.getLogger("dnsbl.health")

_ALIKE: Final = {
    State.PARKED: "outside",
    State.HIJACKED: "outside",
    State.STRIPPED: "stripped",
    State.REFUSED: "refused",
    State.WRONG_KEY: "refused",
    State.EMPTY: "empty",
}
"""Ways to be broken that a nameserver can bring upon all zones. Not WILDCARDED: see the module."""


def check_health(core: Core, indices: Sequence[int], deadline_s: float) -> tuple[ZoneHealth, ...]:
    """Ask each test entry of these zones once, set broken ones aside and take sound ones back.

    Blocks for at most `deadline_s` seconds. Raises ClosedError once the resolver is closed.
    """
    core.enter()
    wall, asked_at = time(), clock()
    with core.lock:
        spent = {index for index in indices if core.budget.spent(index, wall)}
    local = {index for index in indices if core.zones[index].file}
    untold = dict.fromkeys(spent, SPENT) | dict.fromkeys(local, "a local file, which has no test entries")
    asked = [(index, probe) for index in indices if index not in untold for probe in core.zones[index].probes]
    of_zone: dict[int, list[ProbeAnswer]] = {index: [] for index in indices}
    answered = _ask(core, asked, deadline_s) if asked else []
    for (index, probe), answer in zip(asked, answered, strict=True):
        of_zone[index].append(read_probe(probe, answer))
    healths = {
        index: untested(core.zones[index], untold[index])
        if index in untold
        else judge(core.zones[index], answers)
        for index, answers in of_zone.items()
    }
    excused = _excused(core, healths)
    for index, health in healths.items():
        with core.lock:
            news = act(core.admission, index, health, asked_at, clock(), doubt=index in excused)
        if news:
            core.forget_zone(index)
    core.unlocked()
    return tuple(healths[index] for index in indices)


def _ask(core: Core, questions: Sequence[tuple[int, Probe]], deadline_s: float) -> list[Answer | None]:
    """One answer per test entry, past cache and breaker; None: nothing usable came before the deadline."""
    from dnsbl.engine._engine import Completions

    completions, now = Completions(), clock()
    until = (
        now + deadline_s + 1.0
    )  # the engine ends them in time; this is for an engine that has ended itself
    with core.lock:
        core.raise_if_closed()
        engine = core.upstream.running()
        fans = [core.upstream.fan(probe_key(probe), [zone], now, False, None) for zone, probe in questions]
        for zone, _ in questions:
            core.questions.count_sent(1 << zone)
        tickets = {engine.submit(fan, completions, deadline_s, 0.0) for fan in fans}
    while tickets and clock() < until:
        completions.wait(until - clock())
        tickets = {ticket for ticket in tickets if not ticket.done}
    answers = [fan.answers().get(zone) for fan, (zone, _) in zip(fans, questions, strict=True)]
    with core.lock:
        for (zone, _), answer in zip(questions, answers, strict=True):
            core.admission.sent(zone, 0 if answer is None else answer.queries - 1)
    return answers


def _excused(core: Core, healths: dict[int, ZoneHealth]) -> set[int]:
    """The zones that are broken as all others behind the same nameservers are: not their fault."""
    behind: dict[tuple[str, ...], list[int]] = {}
    for index, health in healths.items():
        if health.state not in (State.NO_ANSWER, State.UNTESTED, State.UNPROVEN):
            behind.setdefault(core.zones[index].nameservers, []).append(index)
    excused: set[int] = set()
    for nameservers, zones in behind.items():
        ways = {_ALIKE.get(healths[index].state) for index in zones}
        if len(zones) > 1 and len(ways) == 1 and None not in ways:
            excused |= set(zones)
            where = ", ".join(nameservers or core.upstream.nameservers)
            state = healths[zones[0]].state.replace("_", " ")
            log.warning(
                "all %d zones asked look %s alike: that is the nameserver's fault (%s)",
                len(zones),
                state,
                where,
            )
    return excused
