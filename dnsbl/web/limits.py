"""How much each client may ask: a token bucket by address, of which a bounded number is held."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from functools import lru_cache
from typing import Final

MAX_CLIENTS: Final = 10_000
IPV6_PREFIX: Final = 64
"""What one IPv6 client has: it may take any address in it."""


@lru_cache(4_096)
def client_key(address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> str:
    """What a client is counted under: its address, or the /64 of it; of a UNIX socket's, one for all."""
    if address is None:
        return ""
    if address.version == 6:
        return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)


class Rates:
    """rate_per_s: tokens that come back each second; 0: no limit. burst: the most that a client has.

    Who has any may take as many as it wants, and waits until the debt is paid: so that a request for many
    subjects is one request, and the rate still holds over time.
    """

    def __init__(self, rate_per_s: float, burst: int) -> None:
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, tokens: float, now: float) -> float:
        """Take tokens; 0.0 if they were given, else the seconds until one can be.

        now: seconds on a clock that does not go back.
        """
        if not self._rate_per_s:
            return 0.0
        level, at = self._buckets.pop(client, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._rate_per_s)
        given = level >= 1.0
        self._buckets[client] = (level - tokens if given else level, now)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if given else (1.0 - level) / self._rate_per_s

    def charge(self, client: str, tokens: float, now: float) -> None:
        """Take tokens whether they are there or not."""
        if self._rate_per_s:
            level, at = self._buckets.get(client, (self._burst, now))
            level = min(self._burst, level + (now - at) * self._rate_per_s)
            self._buckets[client] = (level - tokens, now)
