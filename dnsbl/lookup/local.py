"""Zones that are files: answered here, before the engine is asked for the others.

A local zone's answer passes the same rules as one from the wire. It is counted by its outcome, and neither
cached nor counted among the queries. It has no time to live, and holds for private addresses too: the file is
the site's own, and nothing of the subject leaves the host.
"""

from __future__ import annotations

from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from dnsbl.cache.answers import Key
from dnsbl.cache.clock import now as clock
from dnsbl.errors import InputError, ZoneError
from dnsbl.health.counters import Stats
from dnsbl.lookup.answers import cached_answers
from dnsbl.lookup.readings import Readings
from dnsbl.lookup.values import Found, bits, mask_of
from dnsbl.model import Status, Verdict, Wire
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
        self._readings = readings
        self._lists = {index: _open(zones[index]) for index in bits(self.mask)}
        self._each = tuple(self._lists.values())

    def none_lists(self, key: bytes, now: float) -> bool:
        """Whether no local zone has an entry for an address; `now` by `dnsbl.cache.clock`."""
        for each in self._each:
            data = each.data if now < each.next_look else each.current(now)
            if data.lists_address(key):
                return False
        return True

    def answer(
        self, key: Key, zones: int, found: dict[int, Found], texts: dict[int, tuple[bytes, ...]]
    ) -> int:
        """Answer for the local ones of `zones` (a bit mask); returns those that remain to be asked.

        Under the resolver's lock.
        """
        now = clock()
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
        return WatchedList(zone.file, zone.format, bad_share=zone.bad_share)
    except InputError as error:
        raise ZoneError(f"zone {zone.name}: {error}", error.text) from None


def clean_verdict(core: Core, key: bytes, zones: int, started: float) -> Verdict:
    """The verdict of an address that only local zones take (the bit mask `zones`), and none lists."""
    text = format_address(key)
    with core.lock:
        core.stats.clean_files[zones] += 1
    answers = partial(cached_answers, core.readings, text, key, None, started, zones)
    return Verdict(text, False, True, 0.0, answers, clock() - started)
