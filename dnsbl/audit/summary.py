"""What a bulk run found, in numbers: by zone, and by network on request. Memory is bounded."""

from __future__ import annotations

from collections import Counter
from typing import Final

from dnsbl.audit.bulk import Done
from dnsbl.model import Outcome
from dnsbl.subject import address_key

MAX_NETWORKS: Final = 65_536
OTHERS: Final = "other networks"


class Summary:
    """Counts over the rows of a run. networks: count by /24 (IPv6: /64) too, the first 65,536 of them."""

    def __init__(self, networks: bool = False) -> None:
        self.items = self.listed = self.incomplete = self.bad = self.repeated = self.unasked = 0
        self.zone_listings: Counter[str] = Counter()
        self.zone_errors: Counter[str] = Counter()
        self.networks: dict[str, Counter[str]] | None = {} if networks else None

    def add(self, done: Done) -> None:
        """Count one row. A repeated subject counts as an item, and not for the zones, that were not asked."""
        self.items += 1
        verdict = done.verdict
        if done.error is not None:
            self.bad += 1
        elif verdict is None:
            self.repeated += 1
        else:
            self.listed += verdict.listed
            self.incomplete += not verdict.complete
            if verdict.listed or not verdict.complete or verdict.score:
                self.zone_listings.update(answer.zone for answer in verdict.listings)
                self.zone_errors.update(answer.zone for answer in verdict.errors)
            elif verdict.ttl_s is None:  # else some zone has answered
                self.unasked += all(answer.outcome is Outcome.SKIPPED for answer in verdict.answers)
            if self.networks is not None:
                self._add_network(verdict.subject, verdict.listed)

    @property
    def line(self) -> str:
        """The counts in one line."""
        unasked = f", {self.unasked:,} not looked up" if self.unasked else ""
        return (
            f"{self.items:,} items: {self.listed:,} listed, {self.incomplete:,} incomplete, "
            f"{self.repeated:,} repeated, {self.bad:,} bad{unasked}"
        )

    def _add_network(self, subject: str, listed: bool) -> None:
        assert self.networks is not None
        network = network_of(subject)
        if network is None:
            return
        if network not in self.networks and len(self.networks) >= MAX_NETWORKS:
            network = OTHERS
        self.networks.setdefault(network, Counter()).update(asked=1, listed=int(listed))


def network_of(subject: str) -> str | None:
    """The /24 of an IPv4 address, the /64 of an IPv6 one, None of a domain.

    >>> network_of("192.0.2.99"), network_of("2001:db8::1")
    ('192.0.2.0/24', '2001:db8::/64')
    """
    key = address_key(subject)
    if key is None:
        return None
    if len(key) == 4:
        return f"{key[0]}.{key[1]}.{key[2]}.0/24"
    from ipaddress import IPv6Network

    return str(IPv6Network((key[:8] + bytes(8), 64)))
