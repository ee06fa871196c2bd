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
    NameserverError,
    SubjectError,
    ZoneError,
)
from dnsbl.model import Outcome, Verdict, ZoneAnswer
from dnsbl.zones.zone import Zone

if TYPE_CHECKING:
    from dnsbl.resolver import Resolver

__all__ = [
    "ClosedError",
    "ConfigError",
    "DnsblError",
    "NameserverError",
    "Outcome",
    "Resolver",
    "SubjectError",
    "Verdict",
    "Zone",
    "ZoneAnswer",
    "ZoneError",
]

# Without a handler Python prints warnings to stderr: whether they are to be seen is the application's choice.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """The Resolver, imported when it is named: the command must be able to say so where that fails."""
    if name != "Resolver":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dnsbl.resolver import Resolver

    globals()[name] = Resolver
    return Resolver
