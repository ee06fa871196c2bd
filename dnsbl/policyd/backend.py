"""From the settings to what answers: the rules with the resolver they ask."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from dnsbl.policyd.log import Log
from dnsbl.policyd.message import Backend
from dnsbl.policyd.settings import Options, Settings

if TYPE_CHECKING:
    from dnsbl.resolver import Resolver


def make_resolver(settings: Settings, options: Options) -> Resolver:
    """The resolver that the settings ask for; the command line's zones and nameservers before the file's.

    Raises ZoneError, NameserverError and ConfigError for what cannot be used.
    """
    from dnsbl.resolver import Resolver

    return Resolver(settings.zones, options.nameservers or None, options.deadline_s, config=settings.config)


def make_backend(settings: Settings, options: Options, resolver: Resolver) -> Backend:
    """The rules and the resolver, together."""
    from dnsbl.config.limits import DEADLINE_S

    return Backend(
        settings.policy,
        resolver,
        options.deadline_s or settings.config.resolver.deadline_s or DEADLINE_S,
        any("domain" in zone.subjects for zone in settings.zones),
        Event(),
    )


def load_answers(resolver: Resolver, path: Path | None, log: Log) -> None:
    """Take back the answers that `save_answers` wrote, as far as they still hold."""
    if path is not None and (count := resolver.load_cache(path)):
        log.info(f"the answers for {count:,} names are taken from {path}")


def save_answers(resolver: Resolver, path: Path | None, log: Log) -> None:
    """Keep the answers for the next start; not those of zones that are set aside, which would count there."""
    if path is None:
        return
    for name, zone in resolver.stats()["zones"].items():
        if zone["breaker"]["unhealthy"]:
            resolver.flush(zone=name)
    try:
        count = resolver.save_cache(path)
    except OSError as error:
        log.warning(f"the answers cannot be kept in {path} (cache_file): {error.strerror or error}")
    else:
        log.info(f"the answers for {count:,} names are kept in {path}")


def asks_alike(one: Settings, other: Settings) -> bool:
    """Both ask the same zones in the same way, so that a resolver, and its cache, serves both."""
    return one.zones == other.zones and one.config.resolver == other.config.resolver
