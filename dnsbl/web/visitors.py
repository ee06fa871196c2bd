"""Who a request comes from: the peer itself, or whom a trusted proxy names in X-Forwarded-For.

Pure. The header is read from its right end, where the nearest proxy wrote; what stands to the left of the
first address that is no trusted proxy was written by the visitor and is never believed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_HOPS: Final = 32
MAX_HEADER: Final = 4_096


def parse_network(text: str) -> Network:
    """An address or a network. Raises ValueError, which names the text.

    >>> parse_network("192.0.2.0/24")
    IPv4Network('192.0.2.0/24')
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a valid network: use 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
        ) from None


@lru_cache(4_096)
def parse_address(text: str) -> Address | None:
    """An address as proxies write it, with a port or in brackets too; an IPv4-mapped one is IPv4.

    >>> parse_address("[2001:db8::1]:443"), parse_address("192.0.2.1:5000"), parse_address("unknown")
    (IPv6Address('2001:db8::1'), IPv4Address('192.0.2.1'), None)
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(4_096)
def is_trusted(address: Address, trusted: tuple[Network, ...]) -> bool:
    """Whether one of the networks has the address."""
    return any(address in network for network in trusted)


def visitor(peer: str, forwarded: Sequence[str], trusted: tuple[Network, ...]) -> Address | None:
    """The visitor's address; None where the trusted proxy that asks does not name one.

    peer: the address of the other end of the connection; empty for a UNIX socket, which is trusted.
    forwarded: the values of the X-Forwarded-For headers, in order.

    >>> visitor("127.0.0.1", ["198.51.100.7, 192.0.2.1"], (parse_network("127.0.0.1"),))
    IPv4Address('192.0.2.1')
    """
    address = parse_address(peer) if peer else None
    if address is not None and not is_trusted(address, trusted):
        return address
    hops = ",".join(forwarded)[-MAX_HEADER:].split(",")[-MAX_HOPS:]
    for hop in reversed(hops):
        address = parse_address(hop)
        if address is None or not is_trusted(address, trusted):
            return address
    return address  # all of them are proxies of one's own: the outermost asks for itself
