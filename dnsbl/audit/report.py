"""An audit as one value: what was read, what was found, what to use; ready for JSON, a table and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from dnsbl.audit.clients import Clients
from dnsbl.audit.verdicts import Found
from dnsbl.migrate.postfix_export import export_postfix
from dnsbl.migrate.write import format_text
from dnsbl.subject import address_key
from dnsbl.zones.zone import Zone

MAX_DAYS: Final = 400


def make_report(
    clients: Clients,
    found: Found,
    zones: Sequence[Zone],
    stats: Mapping[str, Any],
    *,
    share: float,
    mask: bool,
) -> dict[str, Any]:
    """The report. stats: `Resolver.stats()`. share: of the listed clients, 0 to 1. mask: hide addresses."""
    smallest = found.smallest_set(share)
    chosen = [zone for zone in zones if zone.name in smallest]
    return {
        **_counts(clients, found),
        "zones": [_zone(zone, found, stats["zones"][zone.name], clients.busiest_day) for zone in zones],
        "overlap": found.overlap(),
        "coverage": found.coverage(),
        "share": share,
        "smallest_set": smallest,
        "likely_false_positives": [
            {
                "client": masked(each.address) if mask else each.address,
                "name": "" if mask else each.name,
                "kind": each.kind,
                "accepted": each.accepted,
                "zones": list(each.zones),
            }
            for each in found.suspects
        ],
        "likely_false_positives_in_all": found.suspected,
        "timeline": timeline(clients),
        "masked": mask,
        "dnsbl_toml": "\n".join(map(zone_table, chosen)),
        "postscreen_dnsbl_sites": export_postfix(chosen).text,
    }


def _counts(clients: Clients, found: Found) -> dict[str, Any]:
    every = clients.by_address.values()
    hours = sorted(clients.hours)
    return {
        "lines": clients.lines,
        "unparsed": clients.unparsed,
        "clients": len(clients.by_address),
        "accepted": sum(client.accepted > 0 for client in every),
        "rejected": sum(client.rejected > 0 for client in every),
        "authenticated": sum(client.authenticated > 0 for client in every),
        "looked_up": found.looked_up,
        "listed": found.listed,
        "first_hour": hours[0] if hours else None,
        "last_hour": hours[-1] if hours else None,
        "reject_reasons": dict(clients.reasons.most_common(20)),
    }


def _zone(zone: Zone, found: Found, stats: Mapping[str, Any], a_day: int) -> dict[str, Any]:
    counts = found.of_zone(zone.name)
    return counts | {
        "queries": stats["queries"],
        "latency_ms": stats["latency_ms"],
        "queries_per_day": a_day,
        "daily_limit": zone.daily_limit,
        "over_limit": zone.daily_limit is not None and a_day > zone.daily_limit,
    }


def masked(address: str) -> str:
    """An address that no longer names one machine: an IPv4 /24, an IPv6 /48.

    >>> masked("192.0.2.99"), masked("2001:db8:1:2::3")
    ('192.0.2.x', '2001:db8:1:x')
    """
    key = address_key(address)
    if key is None:
        return "x"
    if len(key) == 4:
        return f"{key[0]}.{key[1]}.{key[2]}.x"
    return ":".join(f"{int.from_bytes(key[at : at + 2], 'big'):x}" for at in (0, 2, 4)) + ":x"


def timeline(clients: Clients, most: int = 96) -> list[dict[str, Any]]:
    """Connections, accepted and rejected by hour, or by day where there are more than `most` hours."""
    if not clients.hours:
        return []
    first, last = (
        datetime.strptime(hour, "%Y-%m-%d %H") for hour in (min(clients.hours), max(clients.hours))
    )
    by_hour = last - first < timedelta(hours=most)
    length, step = (13, timedelta(hours=1)) if by_hour else (10, timedelta(days=1))
    if last - first > timedelta(days=MAX_DAYS):
        first = last - timedelta(days=MAX_DAYS)  # a time that is wrong must not make a bar a day for years
    sums: dict[str, list[int]] = {}
    while (name := first.strftime("%Y-%m-%d %H")[:length]) <= last.strftime("%Y-%m-%d %H"):
        sums[name] = [0, 0, 0]  # an hour without a line is one too
        first += step
    for hour, counts in clients.hours.items():
        if entry := sums.get(hour[:length]):
            entry[:] = (a + b for a, b in zip(entry, counts, strict=True))
    return [
        {"time": time, "connections": counts[0], "accepted": counts[1], "rejected": counts[2]}
        for time, counts in sums.items()
    ]


def zone_table(zone: Zone) -> str:
    """A [[zone]] table of dnsbl.toml that asks this zone as it was asked; without its key.

    >>> print(zone_table(Zone("bl.example.com", weight=2)))
    [[zone]]
    name = "bl.example.com"
    weight = 2
    <BLANKLINE>
    """
    lines = ["[[zone]]", f"name = {format_text(zone.name)}"]
    if len(zone.filters) == 1:
        (only,) = zone.filters
        lines.append(f"weight = {only.weight:g}")
        if only.reply is not None:
            lines.append(f"reply = {format_text(str(only.reply))}")
    elif zone.filters:
        codes = [
            f"  {{ match = {format_text(str(each.reply))}, weight = {each.weight:g} }},"
            for each in zone.filters
            if each.reply is not None
        ]
        lines += ["codes = [", *codes, "]"]
    else:
        lines.append(f"weight = {zone.weight:g}")
    if zone.key is not None:
        lines.append(f"key_env = {format_text('DNSBL_KEY')}  # set this variable to your key")
    return "\n".join(lines) + "\n"
