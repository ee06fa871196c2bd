"""What the rules see of one request: its verdicts joined, each listing with its source. No I/O.

One listing counts once: where HELO and client name are the same domain, a list that has it adds its weight
once. What speaks for a client (a negative weight) counts for its address and its verified name only, as the
rest can be forged; a rule that names such a source in its own `look_up` gets it all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from dnsbl.model import ERRORS, Outcome, Verdict, ZoneAnswer
from dnsbl.policy.sources import DEFAULT_LOOK_UP, FORGEABLE
from dnsbl.subject.address import address_key
from dnsbl.zones.zone import Zone

DECIMALS: Final = 6
"""Of a score, so that 0.5 + 0.2 is 0.7, as written."""

Verdicts = Mapping[str, Verdict]
"""By source."""


class Hit(NamedTuple):
    """One listing: of which subject, and where that came from."""

    source: str
    subject: str
    answer: ZoneAnswer


class Floor(NamedTuple):
    """Of a zone whose silence matters: the least it can add to the score, and what it takes."""

    least: float
    kinds: frozenset[str]


class Scope(NamedTuple):
    """What a rule looks at. forged: what speaks for a forgeable subject counts too.

    exact: see `_is_clean`.
    """

    look_up: tuple[str, ...] = DEFAULT_LOOK_UP
    forged: bool = False
    exact: bool = False


EVERYTHING: Final = Scope()


@dataclass(frozen=True, slots=True)
class Findings:
    """The joined verdicts. least: the score if each answer that is missing spoke for the client.

    missing: those of the zones with a floor whose answer is missing, for whichever subject of the request.
    """

    complete: bool = True
    score: float = 0.0
    hits: tuple[Hit, ...] = ()
    least: float = 0.0
    missing: frozenset[str] = frozenset()


CLEAN: Final = Findings()


def floors(zones: Iterable[Zone], watched: Collection[str] = ()) -> dict[str, Floor]:
    """The zones whose answer can lower a score, and those `watched`."""
    found = {}
    for zone in zones:
        if zone.filters:
            weights = [entry.weight for entry in zone.filters]
        else:
            listed = [code for code in zone.codes if code.outcome == "listed"]
            weights = [zone.weight if code.weight is None else code.weight for code in listed]
            weights = weights or [zone.weight]
        least = sum(min(weight, 0.0) for weight in weights)
        if least < 0 or zone.name in watched:
            found[zone.name] = Floor(least, frozenset(zone.subjects))
    return found


def join(
    verdicts: Verdicts,
    scope: Scope,
    zone_floors: Mapping[str, Floor] | None = None,
    without: frozenset[str] = frozenset(),
) -> Findings:
    """What a rule of this scope sees. without: zones that are left out, as if they had not been asked."""
    asked = [(source, verdicts[source]) for source in scope.look_up if source in verdicts]
    notable = [(source, verdict) for source, verdict in asked if not _is_clean(verdict, scope.exact)]
    missing = _missing(verdicts, zone_floors) if zone_floors else frozenset()
    if not notable:
        return CLEAN if not missing else Findings(missing=missing)
    joined = _Joined(scope.forged, zone_floors or {}, without)
    for source, verdict in notable:
        joined.take(source, verdict)
    score = round(joined.score, DECIMALS)
    complete = all(verdict.complete for _, verdict in asked)
    least = round(joined.score + joined.room, DECIMALS)
    return Findings(complete, score, tuple(joined.hits), least, missing)


def _missing(verdicts: Verdicts, zone_floors: Mapping[str, Floor]) -> frozenset[str]:
    return frozenset(
        answer.zone
        for verdict in verdicts.values()
        if not verdict.complete
        for answer in verdict.answers
        if _is_missing(verdict, answer, zone_floors)
    )


def _is_missing(verdict: Verdict, answer: ZoneAnswer, zone_floors: Mapping[str, Floor]) -> bool:
    """The answer was wanted and is not there, and could have spoken for the subject."""
    floor = zone_floors.get(answer.zone)
    if floor is None or verdict.complete or answer.zone in verdict.pending:
        return False
    if answer.outcome in ERRORS:
        return True
    key = address_key(verdict.subject)
    kind = "domain" if key is None else "ip4" if len(key) == 4 else "ip6"
    return answer.outcome is Outcome.SKIPPED and kind in floor.kinds


def _is_clean(verdict: Verdict, exact: bool) -> bool:
    """Nothing was found; told without building the answers, as this is the usual case.

    exact: what a list says at weight 0 is a finding too, and shows in no sum.
    """
    if not verdict.complete or verdict.listed or verdict.score:
        return False
    return not (exact and verdict.listings)


class _Joined:
    def __init__(self, forged: bool, zone_floors: Mapping[str, Floor], without: frozenset[str]) -> None:
        self._forged = forged
        self._floors = zone_floors
        self._without = without
        self._seen: set[tuple[str, str]] = set()
        self.score = 0.0
        self.room = 0.0
        self.hits: list[Hit] = []

    def take(self, source: str, verdict: Verdict) -> None:
        believed = self._forged or source not in FORGEABLE
        for answer in verdict.answers:
            if answer.zone in self._without:
                continue
            if self._floors and believed and _is_missing(verdict, answer, self._floors):
                self.room += self._floors[answer.zone].least
            if answer.score < 0 and not believed:
                continue
            asked = (answer.zone, answer.query_name or verdict.subject)
            if asked in self._seen:
                continue
            if answer.outcome is Outcome.LISTED:
                self._seen.add(asked)
                self.hits.append(Hit(source, verdict.subject, answer))
            elif answer.score:
                self._seen.add(asked)
            self.score += answer.score
