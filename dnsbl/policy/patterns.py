"""What a rule's patterns match: networks, host names, mail addresses. Text in, a test out; no I/O.

What is matched comes from whoever sends mail, so no test takes time that grows faster than the text: there
are no regular expressions here, and what is too long matches nothing.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from dnsbl.errors import SubjectError
from dnsbl.names._qname import is_local
from dnsbl.subject.address import address_key
from dnsbl.subject.domain import parse_domain

Test = Callable[[str], bool]

MAX_VALUE_CHARS: Final = 1_000
"""A longer sender, recipient or host name matches no pattern. RFC 5321 section 4.5.3.1 allows 320."""

MAX_ADDRESS_CHARS: Final = 100
"""A longer text is not an address: 45 characters, and a scope id (RFC 4007 section 11) with them."""

PRIVATE: Final = "private"
"""Stands in a list of networks for every address that no public list can hold, 127.0.0.0/8 included."""

_REMEMBERED: Final = 4_096  # addresses and names; each about 200 bytes


def networks(texts: Iterable[str]) -> Test:
    """Compile `192.0.2.0/24`, `192.0.2.1`, `2001:db8::/32`, `private` into a test of an address's text.

    An address of one family is never in a network of the other; `::ffff:192.0.2.1` is 192.0.2.1. What is
    no address is in no network. Raises ValueError, which names the text.

    >>> is_ours = networks(["198.51.100.0/24", "2001:db8:5::/48"])
    >>> is_ours("2001:db8:5::9"), is_ours("2001:db8::1"), is_ours("unknown")
    (True, False, False)
    """
    spans: dict[int, list[tuple[bytes, bytes]]] = {4: [], 16: []}
    private = False
    for text in texts:
        if text == PRIVATE:
            private = True
        else:
            first, last = _network(text)
            spans[len(first)].append((first, last))

    merged = {size: _merged(found) for size, found in spans.items()}

    @lru_cache(_REMEMBERED)
    def find(address: str) -> bool:
        packed = client_key(address)
        if packed is None:
            return False
        if private and (is_local(packed) or (packed[:1] == b"\x7f" and len(packed) == 4)):
            return True
        firsts, lasts = merged[len(packed)]
        at = bisect_right(firsts, packed) - 1
        return at >= 0 and packed <= lasts[at]

    return lambda address: len(address) <= MAX_ADDRESS_CHARS and find(address)


@lru_cache(_REMEMBERED)
def _known_key(address: str) -> bytes | None:
    return address_key(address)


def client_key(address: str) -> bytes | None:
    """The bytes of an address as Postfix sends it, read once however many rules look at it; None: no address."""
    return _known_key(address) if len(address) <= MAX_ADDRESS_CHARS else None


def _merged(spans: list[tuple[bytes, bytes]]) -> tuple[list[bytes], list[bytes]]:
    """The first and the last addresses of spans that do not overlap, ascending."""
    firsts: list[bytes] = []
    lasts: list[bytes] = []
    for first, last in sorted(spans):
        if lasts and first <= lasts[-1]:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return firsts, lasts


def _network(text: str) -> tuple[bytes, bytes]:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        try:
            hint = f"did you mean {ipaddress.ip_network(text, strict=False)}?"
        except ValueError:
            hint = f"use 192.0.2.0/24, 2001:db8::/32, one address, or {PRIVATE}"
        raise ValueError(f"{text!r} is not a valid network: {hint}") from None
    first, last = network.network_address, network.broadcast_address
    if isinstance(first, ipaddress.IPv6Address) and first.ipv4_mapped:
        raise ValueError(f"{text!r} never matches; use the IPv4 network")
    return first.packed, last.packed


def host_names(texts: Iterable[str]) -> Test:
    """Compile `mail.example.com` (that name), `.example.com` (those below it), `*.dyn.example.com`.

    Case and a trailing dot do not count; a name outside ASCII is compared in its A-label form. `unknown` is
    what Postfix sends for a client without a name. Raises ValueError, which names the text.
    """
    made = [(text, _host_pattern(text)) for text in texts]
    tests = [pattern for text, pattern in made if not _is_whole(text)]
    names = frozenset(fold_host(text) for text, _ in made if _is_whole(text))

    def test(name: str) -> bool:
        if len(name) > MAX_VALUE_CHARS:
            return False
        name = fold_host(name)
        return name in names or any(matches(name) for matches in tests)

    return test


def mail_addresses(texts: Iterable[str]) -> Test:
    """Compile `user@example.com`, `postmaster@*`, `*@*.example.com`, a domain as in `host_names`, or `<>`.

    `<>` is the null sender. Case does not count, in local parts neither. Raises ValueError, which names
    the text.

    >>> test = mail_addresses(["abuse@*", ".example.org"])
    >>> test("Abuse@example.com"), test("user@mail.example.org"), test("user@example.org")
    (True, True, False)
    """
    made = [(text, _mail_pattern(text)) for text in texts]
    tests = [pattern for text, pattern in made if not ("@" in text and _is_whole(text))]
    whole = frozenset(_folded(text) for text, _ in made if "@" in text and _is_whole(text))

    def test(address: str) -> bool:
        if len(address) > MAX_VALUE_CHARS:
            return False
        return (bool(whole) and _folded(address) in whole) or any(matches(address) for matches in tests)

    return test


def _is_whole(text: str) -> bool:
    """The pattern stands for one name or address."""
    return "*" not in text and not text.rpartition("@")[2].startswith(".")


def _folded(address: str) -> tuple[str, str]:
    local, _, domain = address.rpartition("@")
    return local.lower(), fold_host(domain)


@lru_cache(_REMEMBERED)
def fold_host(name: str) -> str:
    """A host name as names are compared: lower case, no trailing dot, A-labels for what is not ASCII."""
    if not name.isascii():
        try:
            return parse_domain(name)
        except SubjectError:
            pass  # no name of the DNS; it is compared as it stands
    return name.lower().removesuffix(".")


def _host_pattern(text: str) -> Test:
    if not text or any(c.isspace() or c in "@/:" for c in text):
        raise ValueError(
            f"{text!r} is not a valid host name: use mail.example.com, .example.com or *.dyn.example.com"
        )
    folded = fold_host(text)
    return _glob(f"*{folded}" if folded.startswith(".") else folded)


def _mail_pattern(text: str) -> Test:
    if text == "<>":
        return lambda address: address == ""
    local, at, domain = text.rpartition("@")
    if any(c.isspace() for c in text) or not domain or (at and not local):
        raise ValueError(
            f"{text!r} is not a valid pattern: use user@example.com, user@*, example.com or .example.com"
        )
    is_local_part, is_domain = _glob(local.lower() if at else "*"), _host_pattern(domain)

    def test(address: str) -> bool:
        local, at, domain = address.rpartition("@")
        return at != "" and is_local_part(local.lower()) and is_domain(fold_host(domain))

    return test


def _glob(pattern: str) -> Test:
    """`*` stands for any text, an empty one included; everything else for itself."""
    first, *rest = pattern.split("*")
    if not rest:
        return lambda text: text == pattern
    *middle, last = rest

    def test(text: str) -> bool:
        at, end = len(first), len(text) - len(last)
        if at > end or not (text.startswith(first) and text.endswith(last)):
            return False
        for piece in middle:
            at = text.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return True

    return test
