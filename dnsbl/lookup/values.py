"""Values about questions under way: what a fan carries, what was found, and sets of zones as bit masks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from dnsbl.cache.answers import Key, unpack
from dnsbl.model import Status, Wire
from dnsbl.zones.interpret import Reading

if TYPE_CHECKING:
    from dnsbl.engine._engine import Fan, Plain, Ticket

TIMED_OUT = Wire(Status.TIMEOUT, -1)


class Found(NamedTuple):
    """One zone's answer to an A question, as read. `latency_us` is None, `server` empty from the cache."""

    wire: Wire
    reading: Reading
    expires: float
    key: Key
    cached: bool
    latency_us: int | None = None
    server: str = ""


class Asked:
    """What a fan carries: questions for one name, one for each zone. Sets of zones are bit masks."""

    __slots__ = (
        "counted", "ends", "found", "newer", "open", "plain", "plain_zones", "sets", "stale", "started", "texts",
        "zones",
    )  # fmt: skip

    def __init__(self, zones: int, texts: bool, sets: tuple[int, ...], started: float, ends: float) -> None:
        self.zones = zones
        self.texts = texts
        """TXT records are asked for, not A records."""
        self.sets = sets
        """By zone, the set of nameservers asked: resolv.conf may change meanwhile."""
        self.started = started
        self.ends = ends
        """When the lists have had their full time: until then others join, from then on silence is theirs."""
        self.open = zones
        """Whose answers have not been taken in."""
        self.counted = 0
        """Whose silence has been counted."""
        self.stale = 0
        """Whose answers were flushed while they were on their way: for those who wait, and nobody else."""
        self.newer: dict[int, float] = {}
        """By zone, when another question for the same name got an answer meanwhile."""
        self.found: dict[int, Found] = {}
        """The answers taken in so far, by zone; of A questions only, and none that is in `plain`."""
        self.plain: list[Plain] = []
        """The answers taken in so far that are a plain no."""
        self.plain_zones = 0
        """Whose they are."""


class PlainFound(NamedTuple):
    """Answers of some zones (a bit mask) that are all a plain no, and by zone the set of nameservers asked."""

    key: Key
    plain: Plain
    zones: int
    sets: tuple[int, ...]

    @property
    def soonest(self) -> float:
        """When the first of them expires."""
        if self.zones == self.plain.zones:
            return self.plain.soonest
        held = unpack(self.plain.entry, float("-inf"), self.zones).answers
        return min([each.expires for each in held.values()], default=float("inf"))


def plain_of(fan: Fan, zones: int) -> list[PlainFound]:
    """Of `zones` (a bit mask) the answers of a fan that were a plain no."""
    asked: Asked = fan.tag
    return [PlainFound(fan.key, each, zones & each.zones, asked.sets) for each in asked.plain]


class Wait(NamedTuple):
    """A ticket, and the zones (a bit mask) whose answers are waited for with it."""

    ticket: Ticket
    zones: int


@lru_cache(maxsize=1024)
def bits(mask: int) -> tuple[int, ...]:
    """The numbers of the bits that are set, ascending."""
    out = []
    while mask:
        low = mask & -mask
        out.append(low.bit_length() - 1)
        mask ^= low
    return tuple(out)


def mask_of(indices: Iterable[int]) -> int:
    mask = 0
    for index in indices:
        mask |= 1 << index
    return mask


def kind_of(key: Key) -> int:
    """What a name is, as an index into `dnsbl.model.TEXT_KINDS`."""
    return 2 if isinstance(key, str) else 0 if len(key) == 4 else 1
