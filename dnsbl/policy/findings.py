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
from dnsbl.zones.interpret import failure_weight, score_bounds
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


class Bounds(NamedTuple):
    """What one zone's answer can add to a score, and what its failing does. kinds: of subjects that it takes.

    watched: some rule asks whether it is silent.
    """

    least: float
    most: float
    failed: float
    kinds: frozenset[str]
    watched: bool = False


ZoneBounds = Mapping[str, Bounds]


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

    awaited: zones whose answers are still to come; empty where the verdicts are taken as they are.
    missing: zones that could speak for the client, or are watched, whose answer is missing for some subject.
    """

    complete: bool = True
    score: float = 0.0
    hits: tuple[Hit, ...] = ()
    least: float = 0.0
    awaited: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


CLEAN: Final = Findings()
_UNKNOWN: Final = Bounds(float("-inf"), float("inf"), 0.0, frozenset())


def bounds_of(zones: Iterable[Zone], watched: Collection[str] = ()) -> dict[str, Bounds]:
    """Of each zone, by name. watched: the zones some rule asks about whether they are silent."""
    found = {}
    for zone in zones:
        least, most = score_bounds(zone)
        kinds = frozenset(zone.subjects)
        found[zone.name] = Bounds(least, most, failure_weight(zone), kinds, zone.name in watched)
    return found


def join(
    verdicts: Verdicts,
    scope: Scope,
    zones: ZoneBounds | None = None,
    without: frozenset[str] = frozenset(),
) -> Findings:
    """What a rule of this scope sees. without: zones that are left out, as if they had not been asked."""
    asked = [(source, verdicts[source]) for source in scope.look_up if source in verdicts]
    notable = [(source, verdict) for source, verdict in asked if not _is_clean(verdict, scope.exact)]
    if not notable and all([verdict.complete for verdict in verdicts.values()]):  # noqa: C419 - half the cost
        return CLEAN
    missing = _missing(verdicts, zones) if zones else frozenset()
    if not notable:
        return CLEAN if not missing else Findings(missing=missing)
    joined = _Joined(scope.forged, zones or {}, without)
    for source, verdict in notable:
        joined.take(source, verdict)
    score = round(joined.score, DECIMALS)
    complete = all(verdict.complete for _, verdict in asked)
    least = round(joined.score + joined.room, DECIMALS)
    return Findings(complete, score, tuple(joined.hits), least, missing=missing)


def _missing(verdicts: Verdicts, zones: ZoneBounds) -> frozenset[str]:
    return frozenset(
        answer.zone
        for verdict in verdicts.values()
        if not verdict.complete
        for answer in verdict.answers
        if _is_missing(verdict, answer, zones)
    )


def _is_missing(verdict: Verdict, answer: ZoneAnswer, zones: ZoneBounds) -> bool:
    """The answer was wanted and is not there, and could have spoken for the subject."""
    bounds = zones.get(answer.zone)
    if bounds is None or (bounds.least >= 0 and not bounds.watched):
        return False
    if verdict.complete or answer.zone in verdict.pending:
        return False
    if answer.outcome in ERRORS:
        return True
    key = address_key(verdict.subject)
    kind = "domain" if key is None else "ip4" if len(key) == 4 else "ip6"
    return answer.outcome is Outcome.SKIPPED and kind in bounds.kinds


def corners(
    verdicts: Verdicts,
    scope: Scope,
    zones: ZoneBounds | None = None,
    without: frozenset[str] = frozenset(),
) -> list[Findings]:
    """As `join`, while answers are still to come: the extremes of what it can turn out to be.

    A condition on a sum that has one value at all of them keeps that value, whatever comes.
    """
    known = join(verdicts, scope, zones, without)
    pending = _Pending(scope.forged, zones or {}, without)
    for source in scope.look_up:
        if source in verdicts:
            pending.take(source, verdicts[source])
    if not pending.open:
        return [known]
    awaited = frozenset(pending.zones)
    scores = {known.score + pending.least, known.score + pending.most}
    leasts = {known.least + pending.least_of_least, known.least + pending.most}
    return [
        Findings(complete, round(score, DECIMALS), known.hits, round(least, DECIMALS), awaited, known.missing)
        for complete in {False, not pending.failed}
        for score in scores
        for least in leasts
    ]


def _is_clean(verdict: Verdict, exact: bool) -> bool:
    """Nothing was found; told without building the answers, as this is the usual case.

    exact: what a list says at weight 0 is a finding too, and shows in no sum.
    """
    if not verdict.complete or verdict.listed or verdict.score:
        return False
    return not (exact and verdict.listings)


class _Joined:
    def __init__(self, forged: bool, zones: ZoneBounds, without: frozenset[str]) -> None:
        self._forged = forged
        self._zones = zones
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
            if believed and _is_missing(verdict, answer, self._zones):
                self.room += min(self._zones[answer.zone].least, 0.0)
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


class _Pending:
    """What the answers that are still to come can add."""

    def __init__(self, forged: bool, zones: ZoneBounds, without: frozenset[str]) -> None:
        self._forged = forged
        self._bounds = zones
        self._without = without
        self.zones: set[str] = set()
        self.least = self.most = 0.0
        self.least_of_least = 0.0
        self.failed = False
        self.open = False

    def take(self, source: str, verdict: Verdict) -> None:
        if not verdict.pending:
            self.failed = self.failed or not verdict.complete
            return
        self.open = True
        self.failed = self.failed or any(answer.outcome in ERRORS for answer in verdict.answers)
        believed = self._forged or source not in FORGEABLE
        for zone in verdict.pending:
            if zone in self._without:
                continue
            self.zones.add(zone)
            bounds = self._bounds.get(zone, _UNKNOWN)
            self.most += bounds.most
            if believed:
                self.least += bounds.least
                self.least_of_least += min(bounds.least, bounds.failed + bounds.least)
