"""Sets of return codes as reply filters: what other programs write as addresses, masks or expressions.

A set is four 256-bit numbers, one per octet, as in `ReplyFilter.octets`: it holds every combination. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Octets = tuple[int, int, int, int]
ALL: Final = (1 << 256) - 1
LOOPBACK: Final = 1 << 127
"""The first octet of every return code: 127 (RFC 5782 section 2.3)."""

MAX_CODES: Final = 500
"""Most codes read from one place, as merging takes time by their square. Lists have a dozen or two."""


def of_address(text: str) -> Octets | None:
    """The set of one dotted address; None where `text` is none."""
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isdecimal() and part.isascii() and len(part) <= 3 for part in parts):
        return None
    numbers = [int(part) for part in parts]
    if max(numbers) > 255:
        return None
    first, second, third, last = (1 << number for number in numbers)
    return first, second, third, last


def with_bits(mask: int) -> Octets:
    """The codes in 127.0.0.0/8 that have every bit of `mask`, a 32-bit number in host order."""
    fields = [mask >> shift & 255 for shift in (24, 16, 8, 0)]
    first, second, third, last = (
        sum(1 << octet for octet in range(256) if octet & field == field) for field in fields
    )
    return first & LOOPBACK, second, third, last


def union(sets: Iterable[Octets]) -> list[Octets]:
    """As few sets as pairwise merging gives, which together hold the same codes and no others.

    >>> two_and_three = union([(1 << 127, 1, 1, 1 << 2), (1 << 127, 1, 1, 1 << 3)])
    >>> [format_filter(octets) for octets in two_and_three]
    ['127.0.0.[2..3]']
    """
    merged: list[Octets] = []
    for octets in sets:
        one = octets
        while (other := next((each for each in merged if _merge(each, one)), None)) is not None:
            merged.remove(other)
            one = _merge(other, one) or one
        merged.append(one)
    return merged


def _merge(one: Octets, other: Octets) -> Octets | None:
    """The union of two sets where it is one: they differ in one octet only, or one holds the other."""
    different = [place for place in range(4) if one[place] != other[place]]
    first, second, third, last = (one[place] | other[place] for place in range(4))
    whole = first, second, third, last
    return whole if len(different) <= 1 or whole in (one, other) else None


def format_filter(octets: Octets) -> str:
    """A set as a reply filter in Postfix's form.

    >>> format_filter((1 << 127, 1, ALL, 0b11100))
    '127.0.[0..255].[2..4]'
    """
    return ".".join(map(_format_octet, octets))


def _format_octet(field: int) -> str:
    numbers = [octet for octet in range(256) if field >> octet & 1]
    if len(numbers) == 1:
        return str(numbers[0])
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return "[" + ";".join(str(low) if low == high else f"{low}..{high}" for low, high in runs) + "]"
