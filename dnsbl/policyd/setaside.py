"""What is known of broken zones, taken out of one resolver and put into another, or into a file.

A daemon that makes a new resolver at a reload, and short-lived processes that share a file, go on with what
the last health check found instead of trusting a broken zone until the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from dnsbl.policyd.log import Log
from dnsbl.policyd.surge import SurgeWatch

if TYPE_CHECKING:
    from dnsbl.resolver import Resolver

EVERY_S: Final = 3600.0
"""How often all lists are checked."""
JITTER: Final = 0.1
"""Part of the interval by which it varies, so that machines started together do not ask together."""


def broken_zones(resolver: Resolver) -> dict[str, str]:
    """The zones that a health check has set aside, each with why."""
    zones = resolver.stats()["zones"]
    return {name: of["breaker"]["unhealthy"] for name, of in zones.items() if of["breaker"]["unhealthy"]}


def set_aside(resolver: Resolver, reasons: Mapping[str, str]) -> None:
    """Leave these zones out, as a health check does, until one finds them sound; other names are ignored."""
    for zone in resolver.zones:
        if zone.name in reasons:
            resolver.set_aside(zone.name, reasons[zone.name])


def leave_out_surges(watch: SurgeWatch, resolver: Resolver, log: Log) -> bool:
    """Set aside each list that suddenly lists nearly everybody. True: some list is to be checked at once."""
    files = {zone.name for zone in resolver.zones if zone.file}
    suspect = False
    for surge in watch.look(resolver.stats()["zones"]):
        if surge.zone in files:  # it has no test entries that could tell
            log.warning(f"{surge}: it counts; look at the file")
            continue
        suspect = True
        meanwhile = "it is left out meanwhile" if surge.nearly_all else "it counts meanwhile"
        log.warning(f"{surge}: it is checked now, and {meanwhile}")
        if surge.nearly_all:
            set_aside(resolver, {surge.zone: f"suddenly lists {surge.recent:.0%} of all that is asked"})
    return suspect


def take_over(old: Resolver, new: Resolver) -> None:
    """Let `new` leave out what `old` has found broken, as far as the zone is the same."""
    same = {zone.name for zone in new.zones if zone in old.zones}
    set_aside(new, {name: why for name, why in broken_zones(old).items() if name in same})
