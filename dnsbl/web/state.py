"""What the server knows besides lookups: its lists, the doctor's findings, its own and the daemon's counts."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dnsbl.doctor.examine import examine
from dnsbl.errors import InputError
from dnsbl.policyd.control import ask
from dnsbl.web.settings import Options
from dnsbl.zones.zone import Zone

if TYPE_CHECKING:
    from pathlib import Path

    from dnsbl.web.app import Services
    from dnsbl.zones.row import Row

EXAMINED_S: Final = 300.0
"""How long an examination holds: each asks every list for its test entries."""
EXAMINE_S: Final = 5.0
ASKED_S: Final = 1.0


class Examiner:
    """Examines as `dnsbl doctor` does, at most once in `EXAMINED_S`, whoever asks."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = asyncio.Lock()
        self._found: dict[str, Any] = {}
        self._until = 0.0

    async def report(self) -> dict[str, Any]:
        """What `dnsbl doctor --json` prints."""
        async with self._lock:
            if monotonic() >= self._until:
                options = self._options
                found = await asyncio.to_thread(
                    examine, options.zones, options.nameservers, EXAMINE_S, options.config_path
                )
                self._found, self._until = found.to_dict(), monotonic() + EXAMINED_S
            return self._found


async def doctor(request: Request, services: Services) -> Response:
    """GET /doctor"""
    return JSONResponse(await services.examiner.report())


async def zones(request: Request, services: Services) -> Response:
    """GET /zones"""
    return JSONResponse({"zones": zone_facts(services)})


def zone_facts(services: Services) -> list[dict[str, Any]]:
    """Each zone asked, what is known of it, and how it fares."""
    catalogue, counts = services.settings.config.catalogue, services.resolver.stats()["zones"]
    asked_of_visitors = {zone.name for zone in services.authz.zones}
    return [
        _facts(zone, catalogue.row(zone.name), counts[zone.name], zone.name in asked_of_visitors)
        for zone in services.resolver.zones
    ]


def _facts(zone: Zone, row: Row | None, counts: dict[str, Any], of_visitors: bool) -> dict[str, Any]:
    breaker = counts["breaker"]
    aside = breaker["unhealthy"]
    if aside is None and breaker["state"] != "closed":
        aside = f"silent, after {breaker['failures']} failures in a row"
    return {
        "zone": zone.name,
        "subjects": sorted(zone.subjects),
        "weight": zone.weight,
        "authz": of_visitors,
        "operator": row.operator if row else "",
        "page": row.page if row else "",
        "holds": row.holds if row else "",
        "terms": row.terms if row else "",
        "delisting": row.delisting if row else "",
        "delist_url": zone.delist_url,
        "set_aside": aside,
        "queries": counts["queries"],
        "cache_hits": counts["cache_hits"],
        "outcomes": {str(outcome): count for outcome, count in counts["outcomes"].items()},
        "latency_ms": counts["latency_ms"],
        "budget": counts["budget"],
    }


async def statistics(request: Request, services: Services) -> Response:
    """GET /statistics"""
    return JSONResponse({"server": server_counts(services), "policyd": await services.daemon.counts()})


def server_counts(services: Services) -> dict[str, Any]:
    """This server's own counts."""
    stats = services.resolver.stats()
    replies = services.guard.counts if services.guard is not None else {}
    return {
        "replies": sum(replies.values()),
        "by_status": _by_status(dict(replies)),
        "cache": stats["cache"],
        "in_flight": stats["in_flight"],
        "authz": dict(services.authz.counts),
        "zones": [
            {"zone": name, "queries": counts["queries"], "cache_hits": counts["cache_hits"]}
            for name, counts in stats["zones"].items()
        ],
    }


def _by_status(replies: dict[tuple[str, int], int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, status), count in sorted(replies.items(), key=lambda item: item[0][1]):
        found[str(status)] = found.get(str(status), 0) + count
    return found


class Daemon:
    """The running policy daemon's counts, asked once a second at most, whoever wants them.

    path: its control socket; None: there is no daemon.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._found: dict[str, Any] | None = None
        self._until = 0.0

    async def counts(self) -> dict[str, Any] | None:
        """What `dnsbl policyd stats --json` prints; {"error": why} where it does not answer; None: none."""
        if self._path is None:
            return None
        async with self._lock:
            if monotonic() >= self._until:
                self._found, self._until = await self._ask(self._path), monotonic() + ASKED_S
            return self._found

    async def _ask(self, path: Path) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(ask, path, "stats")
        except InputError as error:
            return {"error": str(error)}
