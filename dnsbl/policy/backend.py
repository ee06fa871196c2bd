"""From the settings to what answers: the rules with the resolver they ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dnsbl.policy.service import Backend
from dnsbl.policy.settings import Options, Settings

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
    from dnsbl.settings import DEADLINE_S

    return Backend(
        settings.policy, resolver, options.deadline_s or settings.config.resolver.deadline_s or DEADLINE_S
    )


def asks_alike(one: Settings, other: Settings) -> bool:
    """Both ask the same zones in the same way, so that a resolver, and its cache, serves both."""
    return one.zones == other.zones and one.config.resolver == other.config.resolver
