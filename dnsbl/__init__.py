"""DNS blocklist lookups for mail servers: fast, bounded in time, and never a wrong "listed".

    from dnsbl import Resolver

    with Resolver() as resolver:
        verdict = resolver.check("192.0.2.99")

Importing this package imports neither pycares nor asyncio; both come at first use.
"""

import logging

from dnsbl.errors import (
    ClosedError,
    ConfigError,
    DnsblError,
    NameserverError,
    SubjectError,
    ZoneError,
)
from dnsbl.model import Outcome, Verdict, ZoneAnswer
from dnsbl.resolver import Resolver
from dnsbl.zones.zone import Zone

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
