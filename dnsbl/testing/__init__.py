"""A DNS blocklist server on loopback, for tests that must not ask any real list.

    from dnsbl.testing import DnsblServer, delay, rcode

    with DnsblServer(zones=["bl.example"]) as server:
        zone = server.zone("bl.example")
        zone.list("192.0.2.99", codes=["127.0.0.4"], txt="see http://bl.example/192.0.2.99")
        zone.fault(rcode("SERVFAIL"), times=1)         # the next query fails, then all is well again
        run_what_you_test(nameserver=server.nameserver)
        assert server.count(zone="bl.example", type="A") == 2

Under pytest the fixture `dnsbl_server` is such a server, new for each test (`dnsbl.testing.plugin`). The
server listens on 127.0.0.1 or ::1 only, on one port for UDP and TCP, in a thread of its own.

It is no general name server: it answers A, TXT and SOA, class IN, from entries held in memory, and knows no
delegation, no DNSSEC and no zone transfer. It needs dnspython: `pip install 'dnsbl-resolver[testing]'`.

Importing this package imports nothing heavy; dnspython comes with the first name that is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnsbl.testing.faults import (
        delay,
        garbage,
        hang_up,
        no_edns,
        parked,
        pieces,
        rcode,
        silence,
        stripped,
        truncated,
        wildcard,
    )
    from dnsbl.testing.server import DnsblServer
    from dnsbl.testing.wire import Handler, Query, Reply, build_reply
    from dnsbl.testing.zone import Zone

__all__ = [
    "DnsblServer",
    "Handler",
    "Query",
    "Reply",
    "Zone",
    "build_reply",
    "delay",
    "garbage",
    "hang_up",
    "no_edns",
    "parked",
    "pieces",
    "rcode",
    "silence",
    "stripped",
    "truncated",
    "wildcard",
]

_HOMES = {
    "DnsblServer": "server",
    "Handler": "wire",
    "Query": "wire",
    "Reply": "wire",
    "Zone": "zone",
    "build_reply": "wire",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'faults')}"), name)
