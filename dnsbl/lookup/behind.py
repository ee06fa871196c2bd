"""What stands behind a link's host: its addresses, and those of its domain's nameservers.

Only asked where a zone takes `link_a` or `link_ns`: it tells whoever runs the host's DNS that the message was
looked at, and costs time. Bounded in hosts, records and seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Final

from dnsbl.cache.clock import now as clock
from dnsbl.names._qname import parse_address
from dnsbl.subject import registrable_domain

if TYPE_CHECKING:
    from dnsbl.cache.clock import now as clock
    from dnsbl.engine.plain import RecordType
from dnsbl.lookup.core import Core

MAX_HOSTS: Final = 20
MAX_RECORDS: Final = 4
"""Of one kind, of one name."""
PART_OF_DEADLINE: Final = 0.5
"""Of the time for the whole lookup that may pass here."""


def addresses_behind(
    core: Core, hosts: Iterable[str], of_nameservers: bool, deadline_s: float
) -> dict[str, tuple[bytes, ...]]:
    """By host, addresses of 4 and 16 bytes: its own, or those of its domain's nameservers.

    hosts: names as A-labels; the first 20 are asked about. What does not come in time is missing.
    """
    from dnsbl.engine.plain import records

    with core.lock:
        core.upstream.plan(clock())  # the nameservers of resolv.conf as they are now
        nameservers = core.upstream.nameservers
    end = monotonic() + deadline_s * PART_OF_DEADLINE
    chosen = list(hosts)[:MAX_HOSTS]
    names: dict[str, tuple[str, ...]] = {host: (host,) for host in chosen}
    if of_nameservers:
        domains = {host: domain for host in chosen if (domain := registrable_domain(host))}
        answers = records([(domain, "NS") for domain in domains.values()], nameservers, end - monotonic())
        names = {host: answers.get((domain, "NS"), ())[:MAX_RECORDS] for host, domain in domains.items()}
    wanted: list[tuple[str, RecordType]] = []
    for several in names.values():
        for name in several:
            wanted += [(name, "A"), (name, "AAAA")]
    found = records(wanted, nameservers, max(end - monotonic(), 0.05))
    return {host: _addresses(several, found) for host, several in names.items()}


def _addresses(
    names: Iterable[str], found: Mapping[tuple[str, RecordType], tuple[str, ...]]
) -> tuple[bytes, ...]:
    types: tuple[RecordType, ...] = ("A", "AAAA")
    texts = [text for name in names for kind in types for text in found.get((name, kind), ())[:MAX_RECORDS]]
    return tuple(dict.fromkeys(key for text in texts if (key := parse_address(text))))
