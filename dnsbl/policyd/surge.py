"""Tells a list that suddenly lists far more than it did. Numbers in, a judgement out; no I/O.

The statistic, for each zone: of the last answers, `RECENT` at least, the share that were listings; and the
same share in all answers before them, of which the last `HISTORY` weigh most. A list is suspect where the
recent share is at least `SUSPECT`, and `FACTOR` times the earlier one; where the recent share is at least
`NEARLY_ALL`, it lists nearly every client, and is left out until it has been checked. Without a history
(`MIN_HISTORY` answers) the earlier share counts as `UNKNOWN`. Answers that the cache gave are not counted:
they say nothing new of the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

RECENT: Final = 50
HISTORY: Final = 2_000
MIN_HISTORY: Final = 200
SUSPECT: Final = 0.5
FACTOR: Final = 2.0
NEARLY_ALL: Final = 0.95
UNKNOWN: Final = 0.3
"""What a list may list of a mail server's clients before that is a surprise."""


class Surge(NamedTuple):
    """A zone that lists far more than before. nearly_all: it lists nearly every client."""

    zone: str
    recent: float
    before: float
    nearly_all: bool

    def __str__(self) -> str:
        return f"{self.zone} lists {self.recent:.0%} of the latest lookups, {self.before:.0%} before"


class _Zone:
    __slots__ = ("answers", "before_answers", "before_listed", "listed", "seen_answers", "seen_listed")

    def __init__(self) -> None:
        self.seen_answers = self.seen_listed = 0
        self.answers = self.listed = 0
        self.before_answers = self.before_listed = 0.0

    def take(self, answers: int, listed: int) -> None:
        """Add what is new in the running totals; totals that went back are those of a new resolver."""
        if answers < self.seen_answers or listed < self.seen_listed:
            self.seen_answers = self.seen_listed = 0
        self.answers += answers - self.seen_answers
        self.listed += listed - self.seen_listed
        self.seen_answers, self.seen_listed = answers, listed

    def judge(self) -> tuple[float, float] | None:
        """Recent share and earlier share, once enough has come; the recent ones become history."""
        if self.answers < RECENT:
            return None
        recent = self.listed / self.answers
        known = self.before_answers >= MIN_HISTORY
        before = self.before_listed / self.before_answers if known else UNKNOWN
        self.before_answers += self.answers
        self.before_listed += self.listed
        if self.before_answers > HISTORY:
            self.before_listed *= HISTORY / self.before_answers
            self.before_answers = HISTORY
        self.answers = self.listed = 0
        return recent, before


class SurgeWatch:
    """Follows the counters of `Resolver.stats()`."""

    def __init__(self) -> None:
        self._zones: dict[str, _Zone] = {}

    def look(self, zones: Mapping[str, Any]) -> list[Surge]:
        """The zones that list far more than before. zones: the part of that name of the counters."""
        found = []
        for name, counts in zones.items():
            outcomes = counts["outcomes"]
            listed = outcomes["listed"]
            zone = self._zones.setdefault(name, _Zone())
            zone.take(listed + outcomes["not_listed"], listed)
            shares = zone.judge()
            if shares and shares[0] >= max(SUSPECT, FACTOR * shares[1]):
                found.append(Surge(name, *shares, nearly_all=shares[0] >= NEARLY_ALL))
        self._zones = {name: self._zones[name] for name in zones}
        return found
