"""Zones that the catalogue does not know: a name that does not exist in the DNS answers "not listed" to all.

So a mistyped zone would pass for a clean answer for ever. When such a zone first says "not listed" (`check`),
or before anything is looked up (`message`, `filter`), its own name and its test entry are asked for, once a
process; where neither exists the zone is set aside, and the verdict is incomplete. `bulk` and `audit` do so
before they begin where a name is nearly one of the catalogue's; of other zones they ask at their end, about
one that has said nothing else and has no free limit that the asking could exceed. A zone of one's own that
exists is asked as ever, with test entries or without. The daemon's health check does as much.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from dnsbl.cli import complain
from dnsbl.model import Status, Verdict

if TYPE_CHECKING:
    from dnsbl.resolver import Resolver
    from dnsbl.zones.catalogue import Catalogue
    from dnsbl.zones.zone import Zone

DEADLINE_S: Final = 3.0
NEAR: Final = 0.88
"""How much alike two names are that differ by a letter or two, as difflib measures it."""


class UnknownZones:
    """The zones of a resolver that the catalogue does not know, and whether they exist."""

    def __init__(self, resolver: Resolver, catalogue: Catalogue) -> None:
        self._resolver = resolver
        self._catalogue = catalogue
        self._unproved = {zone.name for zone in resolver.zones if catalogue.row(zone.name) is None}
        self._absent: set[str] = set()

    def proved(self, verdict: Verdict) -> Verdict:
        """The verdict, without "not listed" of zones that do not exist; the user is told of them."""
        unlisted = {answer.zone for answer in verdict.answers if answer.evidence.rcode == "NXDOMAIN"}
        doubtful = unlisted & self._unproved
        self._unproved -= {answer.zone for answer in verdict.answers if answer.evidence.rcode == "NOERROR"}
        self._unproved -= doubtful
        for zone in self._resolver.zones:
            if zone.name in doubtful:
                self._judge(zone)
        # A stream asks ahead: later verdicts too may come from before the zone was set aside.
        return self._resolver.check(verdict.subject) if unlisted & self._absent else verdict

    def prove(self, *, near_only: bool = False) -> None:
        """Look at every such zone now: for what looks up many subjects at once.

        near_only: only at those that are nearly called as a known zone, which are most likely mistyped.
        """
        for zone in self._resolver.zones:
            if zone.name not in self._unproved or zone.file:
                continue
            if not near_only or nearest_zone(zone.name, self._catalogue):
                self._judge(zone)
                self._unproved.discard(zone.name)

    def tell(self) -> None:
        """Complain of what said "not listed" only, and does not exist."""
        counts = self._resolver.stats()
        for zone in self._resolver.zones:
            said = {outcome for outcome, count in counts["zones"][zone.name]["outcomes"].items() if count}
            may_ask = zone.name in self._unproved and not zone.file and zone.daily_limit is None
            if may_ask and said == {"not_listed"} and self._is_absent(zone):
                complain(f'{zone.name}: its "not listed" means nothing: {self._why_absent(zone.name)}')

    def _why_absent(self, name: str) -> str:
        near = nearest_zone(name, self._catalogue)
        advice = f"did you mean {near}?" if near else "look for a mistake in its name"
        return f"its name does not exist in the DNS; {advice}"

    def _judge(self, zone: Zone) -> None:
        if self._is_absent(zone):
            self._absent.add(zone.name)
            self._set_aside(zone.name)
        elif near := nearest_zone(zone.name, self._catalogue):
            complain(f"{zone.name} is not in the catalogue; did you mean {near}?")

    def _is_absent(self, zone: Zone) -> bool:
        entry = "test" if zone.subjects == {"domain"} else "2.0.0.127"
        return "." in zone.name and all(
            self._asked(zone, before) == Status.NXDOMAIN for before in ("", f"{entry}.")
        )

    def _asked(self, zone: Zone, before: str) -> int:
        """How `before` and the zone's name end, asked as the test entry of the zone above it."""
        from dnsbl.resolver import Resolver
        from dnsbl.zones.zone import Probe, Zone

        label, _, parent = zone.wire_name.partition(".")
        above = Zone(parent, frozenset({"domain"}), tests=(Probe("domain", before + label, False),))
        servers = zone.nameservers or self._resolver.nameservers
        with _quiet(), Resolver([above], servers, DEADLINE_S) as resolver:
            (health,) = resolver.health(deadline_s=DEADLINE_S)
        return health.answers[0].wire.status

    def _set_aside(self, name: str) -> None:
        index = [zone.name for zone in self._resolver.zones].index(name)
        core = self._resolver._core
        with core.lock:  # as the health check sets a broken zone aside; it logs, so the user is told
            core.breaker.set_aside(index, self._why_absent(name))


def nearest_zone(name: str, catalogue: Catalogue) -> str | None:
    """The catalogue's zone that `name` is nearly the name of; None where none is near."""
    nearest = get_close_matches(name, [row.name for row in catalogue], n=1, cutoff=NEAR)
    return nearest[0] if nearest else None


@contextmanager
def _quiet() -> Iterator[None]:
    """What the library would log about a zone that is only asked whether it exists is for nobody."""
    log = logging.getLogger("dnsbl")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
