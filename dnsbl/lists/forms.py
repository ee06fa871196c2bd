"""The written forms of addresses in list files: octets left out, ranges, IPv6 words.

What rbldnsd takes (its ip4parse.c and ip6addr.c); None for everything else. Numbers in host order.
"""

from __future__ import annotations

import re
from typing import Final

_END: Final = r"(?=[ \t#;:]|$)"
_IP4: Final = re.compile(rf"([0-9.]+)(?:/([0-9]+)|-([0-9.]+))?{_END}", re.ASCII)
_IP6: Final = re.compile(r"([0-9A-Fa-f:]+)(?:/([0-9]+)(?=[ \t#;:]|$)|(?=[ \t#;]|$))", re.ASCII)
_ALL4: Final = 0xFFFFFFFF
_OCTETS: Final = frozenset(str(octet) for octet in range(256))

Range4 = tuple[int, int, int, int]
"""First address as written, last address, prefix length (32 for a range), where the text goes on."""


def octets(text: str) -> tuple[int, int] | None:
    """The number and the bits (8, 16, 24, 32) of up to four octets; the missing ones are 0.

    >>> octets("127.16") == (0x7F100000, 16)
    True
    """
    parts = text.split(".")
    if len(parts) > 4:
        return None
    number = 0
    for part in parts:
        if part not in _OCTETS and not (part.isdigit() and len(part) < 20 and int(part) <= 255):
            return None
        number = number << 8 | int(part)
    bits = 8 * len(parts)
    return number << (32 - bits), bits


def parse_range4(text: str) -> Range4 | None:
    """A prefix, CIDR or range at the start of `text`; a bare number is refused.

    The host part of `first` is left as written. In `a-b` a last boundary of one octet stands in the place of
    the first one's last octet, and missing octets are 255.
    """
    found = _IP4.match(text)
    start = octets(found[1]) if found else None
    if found is None or start is None:
        return None
    first, bits = start
    if found[3] is not None:
        last = _last(first, bits, found[3])
        return None if last is None or last < first else (first, last, 32, found.end())
    if found[2] is not None:
        if len(found[2]) > 10 or (bits := int(found[2])) > 32:
            return None
    elif bits == 8:
        return None
    return first, first | _ALL4 >> bits, bits, found.end()


def _last(first: int, bits: int, text: str) -> int | None:
    end = octets(text)
    if end is None:
        return None
    last, last_bits = end
    if last_bits == 8 and bits > 8:
        last = last >> (bits - 8) | first & ~(_ALL4 >> (bits - 8))
    elif last_bits != bits:
        return None
    return last | _ALL4 >> bits


def parse_prefix6(text: str) -> tuple[int, int, int] | None:
    """Number, prefix length and where the text goes on; words left out at the end are 0.

    Without a length it has 16 bits for each word, 128 with `::`; a single word needs a length.
    """
    found = _IP6.match(text)
    words = words6(found[1]) if found else None
    if found is None or words is None:
        return None
    number, bits = words
    if found[2] is not None:
        if len(found[2]) > 10 or (bits := int(found[2])) > 128:
            return None
    elif bits == 16:
        return None
    return number, bits, found.end()


def words6(text: str) -> tuple[int, int] | None:
    """The number and the bits (16 to 128) of up to eight words, `::` standing for those left out."""
    head, gap, tail = text.partition("::")
    before, after = head.split(":") if head else [], tail.split(":") if tail else []
    left = 8 - len(before) - len(after)
    if left < (1 if gap else 0) or not (before or gap):
        return None
    number = 0
    for word in [*before, *["0"] * left, *after]:
        # More than four digits are only zeros before them.
        if not word or len(word) > 40 or int(word, 16) > 0xFFFF:
            return None
        number = number << 16 | int(word, 16)
    return number, 128 if gap else 16 * len(before)


def parse_a(text: str) -> tuple[int, int] | None:
    """An A value at the start of `text` and where the text goes on: `5` is 127.0.0.5; 0 is none."""
    found = re.match(r"[0-9.]+", text, re.ASCII)
    value = octets(found[0]) if found else None
    if found is None or value is None:
        return None
    number, bits = value
    if bits == 8:
        number = number >> 24 and 0x7F000000 | number >> 24
    elif bits < 32:  # as inet_aton: the last number stands at the end
        last = 1 << (32 - bits)
        octet = number // last & 255
        number = number & ~(last * 256 - 1) | octet
    return (number, found.end()) if number else None
