"""An IP address in any of the forms a caller may hold it, as bytes.

What it does: str, bytes and ipaddress objects to 4 or 16 bytes in network order, fast enough for the first
line of every lookup. What it does not: address literals, e-mail addresses, URLs and domains (parse.py).
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from dnsbl.names._qname import parse_address

MAPPED_PREFIX = bytes(10) + b"\xff\xff"
"""The first 12 bytes of an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2)."""


def address_key(value: object) -> bytes | None:
    """The 4 (IPv4) or 16 (IPv6) bytes of an address in network order, or None if `value` is none.

    Takes text (strict, no white space around it; a scope id on link-local addresses only, and dropped),
    bytes of length 4 or 16, and `ipaddress.IPv4Address` and `IPv6Address`. IPv4-mapped IPv6 gives the 4
    bytes of the IPv4 address in every form. Raises nothing.

    >>> address_key("192.0.2.99") == address_key(b"\\xc0\\x00\\x02c") == address_key("::ffff:c000:263")
    True
    >>> address_key("192.0.2.010") is None
    True
    """
    if type(value) is str:
        return parse_address(value)
    if type(value) is bytes:
        return value if len(value) == 4 else _fold(value)
    if type(value) is IPv4Address:
        return value.packed
    if type(value) is IPv6Address and value.scope_id is None:
        return _fold(value.packed)
    if isinstance(value, str):
        return parse_address(str.__str__(value))  # a subclass: its characters, whatever its own __str__ says
    if isinstance(value, IPv4Address | IPv6Address):
        return parse_address(str(value))  # scope ids, and an interface's "/24", which is refused
    return None


def _fold(packed: bytes) -> bytes | None:
    if len(packed) == 4:
        return packed
    if len(packed) != 16:
        return None
    return packed[12:] if packed.startswith(MAPPED_PREFIX) else packed
