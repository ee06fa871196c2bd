"""DNS blocklist lookups for mail servers: fast, bounded in time, and never a wrong "listed".

    from dnsbl import Resolver

    with Resolver() as resolver:
        verdict = resolver.check("192.0.2.99")

Importing this package imports neither pycares nor asyncio; both come at first use.
"""

import logging
from typing import TYPE_CHECKING, Any

from dnsbl.errors import (
    ClosedError,
    ConfigError,
    DnsblError,
    ForkedError,
    NameserverError,
    ReentryError,
    SubjectError,
    ZoneError,
)
from dnsbl.model import Outcome, Verdict, ZoneAnswer
from dnsbl.zones.replyfilter import ReplyFilter, parse_reply_filter
from dnsbl.zones.zone import Code, Zone

if TYPE_CHECKING:
    from dnsbl.cache.answers import CacheInfo
    from dnsbl.config.file import Config
    from dnsbl.config.file import load as load_config
    from dnsbl.health.judge import ZoneHealth
    from dnsbl.resolver import Resolver

__all__ = [
    "CacheInfo",
    "ClosedError",
    "Code",
    "Config",
    "ConfigError",
    "DnsblError",
    "ForkedError",
    "NameserverError",
    "Outcome",
    "ReentryError",
    "ReplyFilter",
    "Resolver",
    "SubjectError",
    "Verdict",
    "Zone",
    "ZoneAnswer",
    "ZoneError",
    "ZoneHealth",
    "load_config",
    "parse_reply_filter",
]

# Without a handler Python prints warnings to stderr: whether they are to be seen is the application's choice.
logging.getLogger(__name__).addHandler(logging.NullHandler())


_LATER = {
    "CacheInfo": ("dnsbl.cache.answers", "CacheInfo"),
    "Config": ("dnsbl.config.file", "Config"),
    "Resolver": ("dnsbl.resolver", "Resolver"),
    "ZoneHealth": ("dnsbl.health.judge", "ZoneHealth"),
    "load_config": ("dnsbl.config.file", "load"),
}
"""Imported when named: importing the package stays cheap, and the command can say so where that fails."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, inside = _LATER[name]
    found = globals()[name] = getattr(import_module(module), inside)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
