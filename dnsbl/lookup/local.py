"""Zones that are files: answered here, before the engine is asked for the others.

A local zone's answer passes the same rules as one from the wire. It is counted by its outcome, and neither
cached nor counted among the queries. It has no time to live, and holds for private addresses too: the file is
the site's own, and nothing of the subject leaves the host.
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from dnsbl.cache.answers import Key
from dnsbl.cache.clock import now as clock
from dnsbl.errors import InputError, ZoneError
from dnsbl.health.counters import Stats
from dnsbl.lookup.answers import Answers, clean_local
from dnsbl.lookup.readings import Readings
from dnsbl.lookup.values import Found, bits, mask_of
from dnsbl.model import Status, Verdict, Wire, ZoneAnswer
from dnsbl.names._qname import format_address
from dnsbl.zones.zone import Zone

if TYPE_CHECKING:
    from dnsbl.lists.builder import Answer
    from dnsbl.lists.loader import WatchedList
    from dnsbl.lookup.core import Core

_NOT_LISTED: Final = Wire(Status.NXDOMAIN, 3)


class LocalZones:
    """The local ones among a resolver's zones; `mask` has their bits. Raises ZoneError for a file that
    cannot be used."""

    def __init__(self, zones: tuple[Zone, ...], readings: Readings, stats: Stats) -> None:
        self._stats = stats
        self.mask = mask_of(index for index, zone in enumerate(zones) if zone.file)
        self._of_kind = {
            size: mask_of(index for index in bits(self.mask) if kind in zones[index].subjects)
            for size, kind in ((4, "ip4"), (16, "ip6"))
        }
        self._readings = readings
        self._lists = {index: _open(zones[index]) for index in bits(self.mask)}
        self._each = tuple(self._lists.values())

    def mask_of_kind(self, key: bytes) -> int:
        """Those that take addresses of this one's kind, as a bit mask."""
        return self._of_kind[len(key)]

    def none_lists(self, key: bytes) -> bool:
        """Whether no local zone has an entry for an address."""
        now = monotonic()
        for each in self._each:  # noqa: SIM110 - the accept path: a generator costs more
            if each.current(now).lists(key):
                return False
        return True

    def answer(
        self, key: Key, zones: int, found: dict[int, Found], texts: dict[int, tuple[bytes, ...]]
    ) -> int:
        """Answer for the local ones of `zones` (a bit mask); returns those that remain to be asked.

        Under the resolver's lock.
        """
        now = monotonic()
        for index in bits(zones & self.mask):
            answer: Answer = self._lists[index].current(now).answer(key)
            wire = Wire(Status.OK, 0, answer.addresses) if answer.addresses else _NOT_LISTED
            found[index] = Found(wire, self._readings.of(index, wire), inf, key, False, server="")
            self._stats.answered(index, found[index].reading.outcome, None)
            texts[index] = answer.texts
        return zones & ~self.mask

    def after_fork(self) -> None:
        """In the child: start over with watching."""
        for each in self._each:
            each.after_fork()


def _open(zone: Zone) -> WatchedList:
    from dnsbl.lists.loader import WatchedList  # most resolvers have no local zone

    try:
        return WatchedList(zone.file, zone.format)
    except InputError as error:
        raise ZoneError(f"zone {zone.name}: {error}", error.text) from None


class _CleanAnswers:
    """The ZoneAnswers of an address that no local zone lists, built when they are first read."""

    __slots__ = ("_key", "_mask", "_readings", "_text")

    def __init__(self, readings: Readings, mask: int, text: str, key: bytes) -> None:
        self._readings, self._mask, self._text, self._key = readings, mask, text, key

    def __call__(self) -> tuple[ZoneAnswer, ...]:
        found = clean_local(self._readings, self._mask, self._key)
        kind = "ip4" if len(self._key) == 4 else "ip6"
        skipped = {
            index: f"{zone.name} takes no {kind}"
            for index, zone in enumerate(self._readings.zones)
            if index not in found
        }
        return Answers(self._readings, self._text, found, {}, skipped, 0.0)()


def clean_verdict(core: Core, key: bytes, started: float) -> Verdict:
    """The verdict of an address that only local zones take, and none lists."""
    text = format_address(key)
    with core.lock:
        core.stats.clean_files(core.local.mask_of_kind(key))
    answers = _CleanAnswers(core.readings, core.local.mask, text, key)
    return Verdict(text, False, True, 0.0, answers, clock() - started)
