"""GET /authz: whether a web visitor is let in, for nginx's auth_request, Caddy's forward_auth and Traefik.

Lists that are for mail only are not asked: that an address should not send mail directly is true of most
people's, and says nothing about a visitor. Nor are allowlists, which are of mail servers. No answer is no
opinion: a visitor is kept out by a listing only.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response

from dnsbl.errors import ConfigError
from dnsbl.lookup.lookup import DECIMALS
from dnsbl.model import Outcome, Verdict, ZoneAnswer
from dnsbl.resolver import Resolver
from dnsbl.web.cards import shown
from dnsbl.web.settings import Settings
from dnsbl.web.visitors import visitor
from dnsbl.zones.catalogue import Catalogue
from dnsbl.zones.interpret import score_bounds
from dnsbl.zones.zone import IP_KINDS, Zone

if TYPE_CHECKING:
    from dnsbl.web.app import Services

log = logging.getLogger("dnsbl.web")

WHOLE: Final = "any"
"""In `Row.mail_only`: all of the list is for mail only."""


class Authz:
    """Judges visitors. counts: by "allowed", "refused" and "unknown"."""

    def __init__(self, settings: Settings, resolver: Resolver) -> None:
        """Raises ConfigError for a name in `authz_zones` that is not asked, or is for mail only."""
        catalogue = settings.config.catalogue
        self._zones = web_zones(resolver.zones, catalogue, settings.authz_zones)
        self._mail_only = {zone.name: mail_only(catalogue, zone.name) for zone in self._zones}
        self._score = settings.authz_score
        self._deadline_s = settings.authz_deadline_s
        self.counts = {"allowed": 0, "refused": 0, "unknown": 0}
        self._said_missing = False
        options = settings.options
        self._resolver = (
            Resolver(self._zones, options.nameservers or None, config=settings.config)
            if self._zones
            else None
        )

    @property
    def zones(self) -> tuple[Zone, ...]:
        """Those that visitors are looked up in."""
        return self._zones

    def close(self) -> None:
        if self._resolver is not None:
            self._resolver.close()

    async def judge(self, address: object) -> tuple[str, tuple[ZoneAnswer, ...]]:
        """ "allowed", "refused" or "unknown", and the listings that counted."""
        if self._resolver is None:
            return "unknown", ()
        verdict = await self._resolver.check_async(address, deadline_s=self._deadline_s)
        counted = self._counted(verdict) if verdict.listed else ()
        if counted and round(sum(answer.score for answer in counted), DECIMALS) >= self._score:
            return "refused", counted
        return ("allowed" if verdict.complete else "unknown"), ()

    def _counted(self, verdict: Verdict) -> tuple[ZoneAnswer, ...]:
        """Listings, those left out that have codes for mail only."""
        return tuple(
            answer
            for answer in verdict.answers
            if answer.outcome is Outcome.LISTED
            and answer.score > 0
            and not set(answer.codes) <= self._mail_only[answer.zone]
        )

    def miss(self) -> None:
        """Say once that a proxy does not tell who its visitor is."""
        if not self._said_missing:
            self._said_missing = True
            log.warning("/authz was asked without an address in X-Forwarded-For: let the proxy set it")


def mail_only(catalogue: Catalogue, name: str) -> frozenset[str]:
    """The codes of a list that say nothing about a web visitor; `WHOLE` among them: none does."""
    row = catalogue.row(name)
    return frozenset(row.mail_only) if row is not None else frozenset()


def web_zones(zones: tuple[Zone, ...], catalogue: Catalogue, chosen: tuple[str, ...]) -> tuple[Zone, ...]:
    """The zones that visitors are looked up in, their codes for mail only made neutral.

    chosen: names; empty: all that take addresses, are no allowlists and are not for mail only.
    Raises ConfigError for a chosen name that is not among `zones`, or is for mail only.
    """
    by_name = {zone.name: zone for zone in zones}
    for name in chosen:
        if name not in by_name:
            raise ConfigError(
                f"authz_zones: {name} is not among the zones asked: add a [[zone]] for it", name
            )
        if WHOLE in mail_only(catalogue, name):
            raise ConfigError(f"authz_zones: {name} is for mail only and would keep most visitors out", name)
    return tuple(
        _for_visitors(zone, mail_only(catalogue, zone.name))
        for zone in (by_name[name] for name in chosen or by_name)
        if chosen or (_may_refuse(zone) and WHOLE not in mail_only(catalogue, zone.name))
    )


def _may_refuse(zone: Zone) -> bool:
    return bool(zone.subjects & IP_KINDS) and score_bounds(zone)[1] > 0


def _for_visitors(zone: Zone, codes: frozenset[str]) -> Zone:
    if not codes or zone.filters:  # a filter decides before the table does: `_counted` leaves the codes out
        return zone
    neutral = tuple(
        replace(code, outcome="neutral", weight=None) if str(code) in codes else code for code in zone.codes
    )
    return replace(zone, codes=neutral)


async def authz(request: Request, services: Services) -> Response:
    """GET /authz: 204, or 403 with one line that says why. Never another status where the proxy is right."""
    asked = request.scope["state"]
    address = visitor(asked["peer"], asked["forwarded"], services.settings.trusted)
    judge = services.authz
    listings: tuple[ZoneAnswer, ...] = ()
    if address is None:
        judge.miss()
        said = "unknown"
    else:
        said, listings = await judge.judge(str(address))
    judge.counts[said] += 1
    if said != "refused":
        return Response(status_code=204, headers={"X-Dnsbl": said})
    zones = ", ".join(answer.zone for answer in listings)
    text = "\n".join(_why(str(address), answer) for answer in listings) + "\n"
    return Response(text, 403, {"X-Dnsbl": f"refused by {zones}"[:500]}, "text/plain")


def _why(address: str, answer: ZoneAnswer) -> str:
    parts = [f"{address} is listed by {answer.zone}", answer.reason or "; ".join(answer.meanings)]
    return shown(": ".join(filter(None, parts)) + (f" ({answer.delist_url})" if answer.delist_url else ""))
