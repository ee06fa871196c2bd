"""How a resolver's zones read answers; remembered, because most answers of a zone are alike.

A verdict whose answers nobody has read yet keeps this, and so neither the resolver nor its engine.
"""

from __future__ import annotations

from typing import Final

from dnsbl.model import Wire
from dnsbl.zones.interpret import Reading, read
from dnsbl.zones.zone import Zone

READINGS_MAX: Final = 512
"""Readings remembered of one zone."""


class Readings:
    """`zones` in the order of every verdict's answers; a zone is its index there."""

    __slots__ = ("_found", "zones")

    def __init__(self, zones: tuple[Zone, ...]) -> None:
        self.zones = zones
        self._found: list[dict[Wire, Reading]] = [{} for _ in zones]

    def of(self, zone: int, wire: Wire) -> Reading:
        """How the zone reads this answer. Any thread."""
        readings = self._found[zone]
        found = readings.get(wire)
        if found is None:
            if len(readings) >= READINGS_MAX:
                readings.clear()
            found = readings[wire] = read(self.zones[zone], wire)
        return found
