"""What `dnsbl doctor` finds wrong with zones that are files: missing, unreadable, empty, out of date."""

from __future__ import annotations

from collections.abc import Iterable

from dnsbl.doctor.findings import Finding
from dnsbl.lists.context import ListError
from dnsbl.lists.loader import load, warnings_of
from dnsbl.zones.zone import Zone

_REMEDY = "write the file anew (dnsbl zones fetch gets a published one), or take the zone out"


def examine_files(
    zones: Iterable[Zone], now: float
) -> tuple[tuple[Zone, ...], dict[str, int], tuple[Finding, ...]]:
    """The zones that can be used, how many entries each file has, and what is wrong with files. Reads them.

    now: as `time.time()`, for files that say how long they hold.
    """
    usable: list[Zone] = []
    entries: dict[str, int] = {}
    found: list[Finding] = []
    for zone in zones:
        if not zone.file:
            usable.append(zone)
            continue
        try:
            data = load(zone.file, zone.format, bad_share=zone.bad_share)
        except ListError as error:
            found.append(Finding(zone.name, str(error), _REMEDY))
            continue
        usable.append(zone)
        entries[zone.name] = data.entries
        if not data.entries:
            found.append(Finding(zone.name, f"list file {zone.file}: it has no entry", _REMEDY))
        found += [Finding(zone.name, warning, _REMEDY) for warning in warnings_of(zone.file, data, now)]
    return tuple(usable), entries, tuple(found)
