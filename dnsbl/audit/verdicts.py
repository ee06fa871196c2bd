"""What the candidate zones say of the clients of a log, added up by which zones list them together."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import combinations
from math import comb
from typing import Any, Final, NamedTuple

from dnsbl.audit.clients import Client, is_well_known
from dnsbl.model import Outcome, Verdict

MAX_SUSPECTS: Final = 200
MAX_WORK: Final = 3_000_000
"""Comparisons that the search for the smallest set may take; beyond, it goes by the most hits left."""


_KINDS: Final = ("authenticated", "well-known", "accepted")


class Suspect(NamedTuple):
    """A listed client that may be a good one. kind: `authenticated`, `well-known` or `accepted`."""

    address: str
    name: str
    kind: str
    accepted: int
    zones: tuple[str, ...]


class Found:
    """The verdicts of the clients over `zones` (their names, in the order of the verdicts' answers)."""

    def __init__(self, zones: Collection[str], well_known: Collection[str]) -> None:
        self.zones, self._well_known = tuple(zones), tuple(well_known)
        self._index = {zone: index for index, zone in enumerate(self.zones)}
        self._groups: dict[int, list[int]] = {}  # by zones that list, a bit each: clients, accepted, ...
        self._allowed: list[list[int]] = [[0, 0, 0, 0] for _ in self.zones]
        self.errors = [0] * len(self.zones)
        self._suspects: list[Suspect] = []
        self.suspected = 0
        """Listed clients that may be good; `suspects` has the first of them."""
        self.looked_up = 0

    def add(self, verdict: Verdict, client: Client) -> None:
        """Count the verdict on one client."""
        self.looked_up += 1
        if not (verdict.listed or verdict.score) and verdict.complete:
            return
        mask, allowed = 0, []
        for answer in verdict.answers:
            index = self._index[answer.zone]
            if answer.outcome is Outcome.LISTED:
                if answer.score < 0:
                    allowed.append(index)
                else:
                    mask |= 1 << index
        for answer in verdict.errors:
            self.errors[self._index[answer.zone]] += 1
        known = bool(allowed) or is_well_known(client.name, self._well_known)
        counts = (1, client.accepted > 0, client.authenticated > 0, known)
        for index in allowed:
            self._allowed[index] = [a + b for a, b in zip(self._allowed[index], counts, strict=True)]
        if mask:
            group = self._groups.setdefault(mask, [0, 0, 0, 0])
            for place, count in enumerate(counts):
                group[place] += count
            self._suspect(verdict.subject, client, mask, known)

    def _suspect(self, address: str, client: Client, mask: int, known: bool) -> None:
        if not (client.accepted or known):
            return
        self.suspected += 1
        kind = "authenticated" if client.authenticated else "well-known" if known else "accepted"
        self._suspects.append(Suspect(address, client.name, kind, client.accepted, self._names(mask)))
        if len(self._suspects) >= 2 * MAX_SUSPECTS:
            self._suspects = self.suspects

    @property
    def suspects(self) -> list[Suspect]:
        """Listed clients that may be good, at most 200 of them: those that logged in first, then the busy."""
        found = sorted(self._suspects, key=lambda each: (_KINDS.index(each.kind), -each.accepted))
        return found[:MAX_SUSPECTS]

    def _names(self, mask: int) -> tuple[str, ...]:
        return tuple(zone for index, zone in enumerate(self.zones) if mask >> index & 1)

    def of_zone(self, zone: str) -> dict[str, Any]:
        """The counts of one zone, under the names of the JSON form."""
        index = self._index[zone]
        bit = 1 << index
        groups = [(mask, counts) for mask, counts in self._groups.items() if mask & bit]
        hits, accepted, authenticated, known = (
            self._allowed[index][place] + sum(counts[place] for _, counts in groups) for place in range(4)
        )
        return {
            "zone": zone,
            "hits": hits,
            "unique_hits": sum(counts[0] for mask, counts in groups if mask == bit),
            "accepted_hits": accepted,
            "authenticated_hits": authenticated,
            "well_known_hits": known,
            "allowlist": bool(self._allowed[index][0]) and not groups,
            "errors": self.errors[index],
        }

    @property
    def listed(self) -> int:
        """Clients that at least one blocklist lists."""
        return sum(counts[0] for counts in self._groups.values())

    def overlap(self) -> dict[str, dict[str, int]]:
        """For each pair of zones the clients that both list; a zone with itself: its hits."""
        return {
            one: {other: self._both(1 << a | 1 << b) for b, other in enumerate(self.zones)}
            for a, one in enumerate(self.zones)
        }

    def _both(self, bits: int) -> int:
        return sum(counts[0] for mask, counts in self._groups.items() if mask & bits == bits)

    def covered(self, bits: int) -> int:
        """Clients that at least one of these zones lists."""
        return sum(counts[0] for mask, counts in self._groups.items() if mask & bits)

    def _harm(self, bits: int) -> int:
        """Of those, the clients that may be good."""
        return sum(counts[1] + counts[2] + counts[3] for mask, counts in self._groups.items() if mask & bits)

    def coverage(self) -> list[dict[str, Any]]:
        """Zone by zone, each time the one that adds most: the clients covered so far, and their share."""
        rows: list[dict[str, Any]] = []
        left, bits = set(range(len(self.zones))), 0
        while left:
            best = max(left, key=lambda index: (self.covered(bits | 1 << index), -index))
            if self.covered(bits | 1 << best) == self.covered(bits):
                break
            bits |= 1 << best
            left.remove(best)
            count = self.covered(bits)
            rows.append({"zone": self.zones[best], "covered": count, "share": round(count / self.listed, 4)})
        return rows

    def smallest_set(self, share: float) -> list[str]:
        """The fewest zones that list `share` (0 to 1) of all listed clients, in the order of coverage.

        Of several such sets the one with the fewest clients that may be good, then the most covered. With
        many zones, where trying all sets would take too long, it goes by the most clients left.
        """
        curve = self.coverage()
        wanted = share * self.listed - 1e-9
        greedy = [row["zone"] for row in curve[: _first(row["covered"] >= wanted for row in curve)]]
        useful = [self._index[row["zone"]] for row in curve]
        order = {row["zone"]: place for place, row in enumerate(curve)}
        for size in range(1, len(greedy) + 1):
            if comb(len(useful), size) * len(self._groups) > MAX_WORK:
                break
            sets = (sum(1 << index for index in chosen) for chosen in combinations(useful, size))
            enough = [bits for bits in sets if self.covered(bits) >= wanted]
            if enough:
                best = min(enough, key=lambda bits: (self._harm(bits), -self.covered(bits)))
                return sorted(self._names(best), key=lambda zone: order[zone])
        return greedy


def _first(tests: Iterable[bool]) -> int:
    """How many are needed until the first that holds, that one included."""
    return next((count for count, holds in enumerate(tests, 1) if holds), 0)
