"""The lists' terms while much is asked: the free queries of a day, and a pace.

Counts one query for each zone and distinct subject: the resolver must not ask for reasons (TXT). The day is
that of UTC. A run that goes on with an earlier one's output counts that one's subjects in (`count_earlier`);
other runs of the same day are not known here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dnsbl.errors import ZoneError
from dnsbl.model import KINDS
from dnsbl.zones.name import known_name

if TYPE_CHECKING:
    from dnsbl.zones.zone import Zone

DAY_S: Final = 86_400
BURST_S: Final = 0.05
"""How much of the pace may be asked at once."""


def agreed(zones: Sequence[Zone], names: Iterable[str]) -> tuple[Zone, ...]:
    """The zones, without a daily limit where there is an agreement. Raises ZoneError for one not asked."""
    wanted = {known_name(name) for name in names}
    if unknown := wanted - {zone.name for zone in zones}:
        name = min(unknown)
        raise ZoneError(f"{name} is not among the zones asked here: use the name of one that is", name)
    return tuple(replace(zone, daily_limit=None) if zone.name in wanted else zone for zone in zones)


class Terms:
    """What may still be asked today, and when.

    zones: those asked. rate: queries a second over all zones; None: no pace.
    """

    def __init__(self, zones: Sequence[Zone], rate: float | None = None) -> None:
        self._zones = {kind: [zone for zone in zones if kind in zone.subjects] for kind in KINDS}
        self.rate = rate
        """Queries a second; may be changed at any time. None: no pace."""
        self._lock = threading.Lock()
        self._limits = {zone.name: zone.daily_limit for zone in zones if zone.daily_limit is not None}
        self._today = _today()
        self._asked = dict.fromkeys(self._limits, 0)
        self.stopped_by = ""
        """The zone whose limit ended the run; empty while none did."""
        self._free_at = 0.0

    def admit(self, key: str | bytes) -> bool:
        """Whether this subject may be asked now; waits for the pace; False at the first limit."""
        if not self._limits and self.rate is None:
            return True
        zones = self._zones_of(key)
        if self._limits:
            if self._today != (today := _today()):
                self._today, self._asked = today, dict.fromkeys(self._limits, 0)
            for zone in zones:
                limit = self._limits.get(zone.name)
                if limit is not None and self._asked[zone.name] >= limit:
                    self.stopped_by = zone.name
                    return False
            self.count_earlier(key)
        if (rate := self.rate) is not None:
            self._wait(len(zones) / rate)
        return True

    def count_earlier(self, key: str | bytes) -> None:
        """Count a subject as asked today."""
        for zone in self._zones_of(key):
            if zone.name in self._limits:
                self._asked[zone.name] += 1

    def _zones_of(self, key: str | bytes) -> list[Zone]:
        return self._zones["domain" if isinstance(key, str) else "ip4" if len(key) == 4 else "ip6"]

    def _wait(self, cost_s: float) -> None:
        now = time.monotonic()
        with self._lock:
            self._free_at = free_at = max(self._free_at, now - BURST_S) + cost_s
        if free_at > now:
            time.sleep(free_at - now)

    def message(self, *, resumable: bool) -> str:
        """One line on the limit that ended the run. resumable: its rows are in a file."""
        zone = self.stopped_by
        how = (
            "go on tomorrow with --resume" if resumable else "give fewer items, or an --output to go on with"
        )
        return (
            f"{zone}: stopped at its free limit of {self._limits[zone]:,} queries a day: {how}, or, if you have "
            f"an agreement with its operator, use --i-have-an-agreement {zone}"
        )


def _today() -> int:
    return int(time.time() // DAY_S)
