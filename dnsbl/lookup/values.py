"""Values about questions under way: what a fan carries, what was found, and sets of zones as bit masks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dnsbl.cache.answers import Key
from dnsbl.model import Wire
from dnsbl.zones.interpret import Reading


class Found(NamedTuple):
    """One zone's answer to an A question, as read. `latency_us` is None, `server` empty from the cache."""

    wire: Wire
    reading: Reading
    expires: float
    key: Key
    cached: bool
    latency_us: int | None = None
    server: str = ""


class Asked(NamedTuple):
    """What a fan carries."""

    zones: int
    """A bit mask."""
    texts: bool
    """TXT records are asked for, not A records."""
    sets: tuple[int, ...]
    """By zone, the set of nameservers asked: resolv.conf may change meanwhile."""
    started: float
    deadline: float
    """Of the lookup that asked first; others share the questions until then."""
    timed_out: set[int]
    """The zones already counted as timed out."""
    found: dict[int, Found]
    """The answers taken in so far, by zone; of A questions only."""


def bits(mask: int) -> list[int]:
    """The numbers of the bits that are set, ascending."""
    out = []
    while mask:
        low = mask & -mask
        out.append(low.bit_length() - 1)
        mask ^= low
    return out


def mask_of(indices: Iterable[int]) -> int:
    mask = 0
    for index in indices:
        mask |= 1 << index
    return mask
