"""SpamAssassin's sub-tests: what of a list's answers a rule takes, as sets of codes. Pure.

Source: Mail::SpamAssassin::Conf on check_rbl and check_rbl_sub, Mail::SpamAssassin::Plugin::URIDNSBL on
urirhssub, and check_subtest in Dns.pm (SpamAssassin 4.0).
"""

from __future__ import annotations

import re
from typing import Final

from dnsbl.migrate.collect import Accepted
from dnsbl.migrate.octets import ALL, LOOPBACK, Octets, of_address, union, with_bits

MAX_SPAN: Final = 1 << 16
"""Widest range `n1-n2` read, in addresses."""

_NUMBER: Final = re.compile(r"[0-9]{1,10}|0x[0-9a-fA-F]{1,8}")
_FRAGMENT: Final = re.compile(
    r"(?:[0-9|]|\\d|\[\^?[0-9-]{1,20}\]|\((?:\?:)?[0-9|]{1,40}\)|[?+*]|\{[0-9](?:,[0-9]?)?\}){0,60}"
)
"""What one octet of a regular expression may hold: digits, classes, one level of alternatives, counts."""
_LOOPBACK: Final = 0x7F000000
_FIRST_LISTING: Final = 0x7F000002
_LAST_LISTING: Final = 0x7FFEFFFF
"""A range over all that a list can say of a subject takes any listing."""
_DOT: Final = re.compile(r"\\?\.(?![*+?{])")


def parse_subtest(text: str) -> list[Accepted]:
    """The sets that a sub-test takes; one bit of the last octet is that bit. Empty: cannot be said here.

    Read are an address, a bit mask, `n1-n2`, `n/m` (numbers decimal, 0x... or dotted), and regular
    expressions whose octets are written one by one, as `^127\\.0\\.0\\.[23]$`.

    >>> parse_subtest("8")
    [8]
    """
    text = text.strip()
    if (address := of_address(text)) is not None:
        return list(in_loopback([address]))
    if _NUMBER.fullmatch(text):
        return _any_bit(_value(text) or 0)
    low, dash, high = text.partition("-")
    if dash and (first := _value(low)) is not None and (last := _value(high)) is not None:
        takes_any = _LOOPBACK <= first <= _FIRST_LISTING and _LAST_LISTING <= last <= _LOOPBACK | 0xFFFFFF
        return [None] if takes_any else list(_span(first, last))
    number, slash, mask = text.partition("/")
    if slash and _value(number) is not None and _value(mask) is not None:
        return list(masked(_value(number) or 0, _value(mask) or 0))
    return list(expression(text))


def _value(text: str) -> int | None:
    """A number of a sub-test: decimal, hexadecimal or dotted; at most 32 bits."""
    if (octets := of_address(text)) is not None:
        value = 0
        for octet in octets:
            value = value << 8 | octet.bit_length() - 1
        return value
    if not _NUMBER.fullmatch(text):
        return None
    value = int(text, 16 if text.startswith("0x") else 10)
    return value if value < 1 << 32 else None


def _any_bit(mask: int) -> list[Accepted]:
    """The codes in 127.0.0.0/8 that have some bit of `mask`."""
    bits = [1 << bit for bit in range(24) if mask >> bit & 1]
    if len(bits) == 1 and bits[0] < 256:
        return [bits[0]]
    return list(union(with_bits(bit) for bit in bits))


def _span(low: int, high: int) -> list[Octets]:
    if not low <= high < low + MAX_SPAN:
        return []
    sets = []
    for block in range(low >> 8, (high >> 8) + 1):
        first, last = max(low, block << 8) & 255, min(high, block << 8 | 255) & 255
        upper = [1 << (block >> shift & 255) for shift in (16, 8, 0)]
        sets.append((upper[0], upper[1], upper[2], (2 << last) - (1 << first)))
    return in_loopback(union(sets))


def masked(number: int, mask: int) -> list[Octets]:
    """The codes r with (r & mask) == (number & mask)."""
    fields = []
    for shift in (24, 16, 8, 0):
        want, bits = number >> shift & 255, mask >> shift & 255
        fields.append(sum(1 << octet for octet in range(256) if octet & bits == want & bits))
    return in_loopback([(fields[0], fields[1], fields[2], fields[3])])


def expression(text: str) -> list[Octets]:
    """The codes whose dotted form a regular expression matches; it is open at the end unless it ends in `$`.

    Empty: none, or it cannot be read octet by octet.
    """
    body = re.sub(r"(?:\$|\\z|\\Z)$", "", text.removeprefix("^"))
    is_closed = len(body) < len(text.removeprefix("^"))
    fragments = _DOT.split(body)
    if not 2 <= len(fragments) <= 4 or (is_closed and len(fragments) < 4):
        return []
    fields = []
    for place, fragment in enumerate(fragments):
        is_open = not is_closed and place == len(fragments) - 1
        field = _octets_of(fragment, is_open)
        if not field:
            return []
        fields.append(field)
    fields += [ALL] * (4 - len(fields))
    return in_loopback([(fields[0], fields[1], fields[2], fields[3])])


def _octets_of(fragment: str, is_open: bool) -> int:
    """The octets whose decimal text the fragment matches, as a 256-bit number; 0: none, or not readable."""
    if not _FRAGMENT.fullmatch(fragment) or (not fragment and not is_open):
        return 0
    try:
        pattern = re.compile(fragment)
    except re.error:
        return 0
    match = pattern.match if is_open else pattern.fullmatch
    return sum(1 << octet for octet in range(256) if match(str(octet)))


def in_loopback(sets: list[Octets]) -> list[Octets]:
    """The sets cut down to 127.0.0.0/8, where a list answers; those that have nothing there are left out."""
    return [(LOOPBACK, *octets[1:]) for octets in sets if octets[0] & LOOPBACK]
