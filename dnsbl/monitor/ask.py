"""Asks one list about many subjects, once, and says what it saw of each.

A list whose own test entries are wrong, or get no answer, is not asked further: what it said would be no word
about anybody (it lists the whole world, or is empty, or refuses us).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from dnsbl.errors import SubjectError
from dnsbl.health.judge import State as Health
from dnsbl.model import Outcome, Verdict, ZoneAnswer
from dnsbl.monitor.entry import CLEAR, LISTED, UNKNOWN, Seen
from dnsbl.zones.zone import Zone

if TYPE_CHECKING:
    from dnsbl.resolver import Resolver

HEALTH_S: Final = 5.0

Open = Callable[[Zone], "Resolver"]
"""A resolver that asks this zone alone."""


class Asked(NamedTuple):
    """seen: by subject, of each that was given. queries: sent, those asked again and TXT among them; 0 where
    the zone has no limit, so that nobody counts. trouble: why the list gave no word at all; else empty."""

    seen: dict[str, Seen]
    queries: int
    trouble: str


def ask(
    zone: Zone, subjects: Sequence[str], left: int | None, open_resolver: Open, health_s: float = HEALTH_S
) -> Asked:
    """Ask `zone` about each subject. left: queries it may have today; None: no limit. health_s: seconds that
    its test entries may take."""
    limited = zone if left is None else replace(zone, daily_limit=left)
    with open_resolver(limited) as resolver:
        trouble = "" if zone.file else _trouble(resolver, health_s)
        seen = dict.fromkeys(subjects, Seen(UNKNOWN, detail=trouble)) if trouble else {}
        if not trouble:
            results = resolver.check_many(subjects, ordered=True)
            seen = {subject: see(result) for subject, result in zip(subjects, results, strict=True)}
        queries = resolver.stats()["zones"][zone.name]["budget"]["queries_today"]
    return Asked(seen, queries if left is not None else 0, trouble)


def _trouble(resolver: Resolver, health_s: float) -> str:
    (health,) = resolver.health(deadline_s=health_s)
    if health.broken or health.state is Health.NO_ANSWER:
        return f"its test entries: {health.state.replace('_', ' ')}: {health.detail}".rstrip(": ")
    return ""


def see(result: Verdict | SubjectError) -> Seen:
    """What one verdict on one list says.

    Listed is what counts against the subject: a code of reputation that is none, and an allowlist's, is not.
    """
    if isinstance(result, SubjectError):
        return Seen(UNKNOWN, detail=str(result))
    return see_answer(result.answers[0])


def see_answer(answer: ZoneAnswer) -> Seen:
    """As `see`, of the list's own answer."""
    if answer.outcome is Outcome.LISTED and answer.score > 0:
        return Seen(
            LISTED,
            codes=answer.codes,
            meaning="; ".join(answer.meanings),
            reason=answer.reason or "",
            delist_url=answer.delist_url or "",
            ttl_s=answer.ttl_s,
        )
    if answer.outcome in (Outcome.LISTED, Outcome.NOT_LISTED):
        return Seen(CLEAR, ttl_s=answer.ttl_s)
    name = answer.outcome.replace("_", " ")
    return Seen(UNKNOWN, detail=f"{name}: {answer.detail}" if answer.detail else name)
