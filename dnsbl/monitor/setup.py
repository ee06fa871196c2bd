"""From a configuration and a command's options to all that a monitor runs with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dnsbl.config.file import Config
from dnsbl.config.settings import checked_nameservers
from dnsbl.lookup.resolvconf import SystemNameservers
from dnsbl.monitor.ask import Open
from dnsbl.monitor.settings import Settings, load_settings
from dnsbl.monitor.sinks import Sink, http_client, make_sinks
from dnsbl.resolver import Resolver
from dnsbl.zones.zone import Zone


@dataclass(frozen=True, slots=True)
class Setup:
    """settings: of [monitor]. zones: those asked. nameservers: those in use now, for host names.

    open_resolver: for one zone.
    """

    settings: Settings
    zones: tuple[Zone, ...]
    nameservers: Callable[[], Sequence[str]]
    open_resolver: Open
    sinks: tuple[Sink, ...]


Load = Callable[[], Setup]


def set_up(
    config: Config,
    watch: Sequence[str] = (),
    zones: Sequence[str] = (),
    nameservers: Sequence[str] = (),
    deadline_s: float | None = None,
) -> Setup:
    """What is given wins over the configuration. Raises InputError for what cannot be used."""
    given = tuple(nameservers) or None
    with Resolver(tuple(zones) or None, given, deadline_s, config=config) as resolver:
        asked = resolver.zones
    settings = load_settings(config, [zone.name for zone in asked], watch)

    def open_resolver(zone: Zone) -> Resolver:
        # What is to be said of the zone was said above: no word of it again in every round.
        return Resolver((zone,), given, deadline_s, config=config, allow=(zone.name,))

    def servers() -> Sequence[str]:
        return checked_nameservers(given or config.resolver.nameservers) or SystemNameservers().found

    if settings.ping:
        http_client()  # said now, and not after each round
    return Setup(settings, asked, servers, open_resolver, tuple(make_sinks(settings)))
