"""The address one hop further out: the first that none of one's own and trusted hosts has.

Received headers are written on top: the newest is first, and each is only as good as the host that wrote
it. So the walk goes from the newest hop on, as long as each hop's peer is trusted, and ends at the first
that is not: what stands below was written by strangers. No I/O.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from dnsbl.errors import ConfigError
from dnsbl.mail.received import Hop, parse_received
from dnsbl.names._qname import is_local, parse_address

MAX_HOPS: Final = 100
"""Received headers that are looked at; mail servers take more for a loop (RFC 5321 section 6.3)."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FETCHED: Final = ("pop", "imap", "apop", "kpop", "etrn", "odmr", "sdps")
_DELIVERY: Final = ("lmtp", "local", "mapi", "maildrop")


@dataclass(frozen=True, slots=True)
class SkippedHop:
    """A hop that was passed by. index: its place, 0 is the newest. why: one line."""

    index: int
    hop: Hop
    why: str


@dataclass(frozen=True, slots=True)
class FirstUntrusted:
    """How the walk ended.

    address: the address to be asked about, canonical text; None: there is none, and `why` says why not.
    hop, index: the hop at which the walk ended and its place, 0 is the newest; None where it found no end.
    skipped: the hops before it, each with the reason.
    why: one line: why the walk ended here.
    """

    address: str | None
    hop: Hop | None
    index: int | None
    skipped: tuple[SkippedHop, ...]
    why: str


def first_untrusted(
    headers: Iterable[str | bytes | Hop], trusted: Iterable[str | Network] = ()
) -> FirstUntrusted:
    """The first hop, from the newest on, whose peer is neither trusted nor local.

    headers: the values of a message's Received headers, newest first, as they stand in it.
    trusted: networks whose hosts' own headers are believed: own relays, the provider that mail is fetched
        from. Text as `198.51.100.0/24`, an address, or a network of `ipaddress`. Private networks and
        loopback are always passed by, since no public list can hold them.

    A hop by which an authenticated user submitted the message ends the walk without an address: lists of
    dial-up and exploited hosts hold such users' addresses on purpose. So does a hop without an address:
    who wrote the headers below it is not known. At most 100 headers are looked at.

    Raises ConfigError for what is no network, and where one text is given in place of several.

    >>> found = first_untrusted(
    ...     ["from a ([198.51.100.1]) by mx", "from b ([203.0.113.7]) by a"], ["198.51.100.0/24"])
    >>> found.address, found.skipped[0].why
    ('203.0.113.7', '198.51.100.1 is in the trusted network 198.51.100.0/24')
    """
    networks = parse_networks(trusted)
    if isinstance(headers, str | bytes):
        raise ConfigError("one header is given where several are wanted: put it in a list", str(headers)[:80])
    skipped: list[SkippedHop] = []
    index = -1
    for index, header in enumerate(islice(headers, MAX_HOPS)):
        hop = header if isinstance(header, Hop) else parse_received(header)
        passed, why = _judge(hop, networks)
        if passed:
            skipped.append(SkippedHop(index, hop, why))
            continue
        ends_at = hop.address if not hop.authenticated else None
        return FirstUntrusted(ends_at, hop, index, tuple(skipped), why)
    if index + 1 == MAX_HOPS:
        why = f"none of the {MAX_HOPS} newest hops is untrusted; more are not looked at"
    else:
        why = "every hop is trusted or local" if skipped else "there is no Received header"
    return FirstUntrusted(None, None, None, tuple(skipped), why)


def parse_networks(trusted: Iterable[str | Network]) -> tuple[Network, ...]:
    """Networks from text; host bits are dropped. Raises ConfigError."""
    if isinstance(trusted, str | bytes):
        raise ConfigError(
            "trusted: one text is given where several are wanted: write a list of networks", str(trusted)[:80]
        )
    return tuple(map(_network, trusted))


def _network(value: Any) -> Network:
    if isinstance(value, Network):
        return value
    try:
        return ipaddress.ip_network(str(value).strip(), strict=False)
    except ValueError:
        raise ConfigError(
            f"trusted: {str(value)[:80]!r} is not a valid network: use 198.51.100.0/24, 2001:db8::/32 or "
            "an address",
            str(value),
        ) from None


def _judge(hop: Hop, networks: tuple[Network, ...]) -> tuple[bool, str]:
    """Whether to go on past this hop, and why or why not."""
    protocol = (hop.protocol or "").lower()
    if hop.authenticated:
        return False, "an authenticated user submitted the message here: no address is asked about"
    if protocol.startswith(_FETCHED):
        return True, f"the message was fetched here ({hop.protocol}), not received"
    if hop.address is None:
        if hop.local or protocol.startswith(_DELIVERY):
            return True, "a local delivery: no network peer is named"
        return False, "the receiving host wrote no address: who handed the message over is not known"
    key = parse_address(hop.address)
    assert key is not None
    address = ipaddress.ip_address(key)
    for network in networks:
        if address in network:
            return True, f"{hop.address} is in the trusted network {network}"
    if address.is_loopback:
        return True, f"{hop.address} is this host itself: a local delivery"
    if is_local(key):
        return True, f"{hop.address} is not a public address"
    return False, f"{hop.address} is the first address that is not trusted"
