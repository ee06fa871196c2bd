"""A verdict's ZoneAnswers, built when they are first read: from a lookup's findings or from a cache entry.

A verdict kept unread keeps the zones, and neither the resolver nor its engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from struct import Struct
from types import MappingProxyType
from typing import Final

from dnsbl.cache.answers import Key, unpack
from dnsbl.lookup.readings import Readings
from dnsbl.lookup.values import Found, PlainFound, bits, mask_of
from dnsbl.model import Evidence, Outcome, Status, Wire, ZoneAnswer, rcode_name
from dnsbl.names._qname import join_name, reverse_name
from dnsbl.text.reason import clean_text
from dnsbl.zones.interpret import failure_weight
from dnsbl.zones.secret import Secret
from dnsbl.zones.zone import Zone

WAY: Final = Struct("=Ih")
"""In `Plain.way`, of each answer: latency in microseconds, index of the nameserver in its set."""


class Answers:
    """Builds a verdict's ZoneAnswers when they are first read."""

    __slots__ = (
        "_found", "_now", "_plain", "_readings", "_servers", "_set_aside", "_skipped", "_text", "_texts",
        "_zones",
    )  # fmt: skip

    def __init__(
        self,
        readings: Readings,
        text: str,
        found: Mapping[int, Found],
        texts: Mapping[int, tuple[bytes, ...]],
        skipped: Mapping[int, str],
        now: float,
        set_aside: int = 0,
        plain: Sequence[PlainFound] = (),
        servers: Mapping[int, tuple[str, ...]] = MappingProxyType({}),
    ) -> None:
        self._set_aside = set_aside
        self._readings = readings
        self._zones = readings.zones
        self._plain = plain
        self._servers = servers
        self._text = text
        self._found = found
        self._texts = texts
        self._skipped = skipped
        self._now = now

    def __call__(self) -> tuple[ZoneAnswer, ...]:
        found = self._found
        for each in self._plain:
            found = {**found, **unpacked(self._readings, each, self._servers)}
        return tuple(self._answer(index, zone, found.get(index)) for index, zone in enumerate(self._zones))

    def _answer(self, index: int, zone: Zone, found: Found | None) -> ZoneAnswer:
        if found is None:
            why = self._skipped.get(index, "not waited for: it could not change the decision")
            score = failure_weight(zone) if self._set_aside >> index & 1 else 0.0
            return ZoneAnswer(zone.name, Outcome.SKIPPED, score=score, detail=why)
        reading = found.reading
        listed = reading.outcome is Outcome.LISTED
        ttl_s = 0.0 if zone.file else found.expires - self._now
        return ZoneAnswer(
            zone=zone.name,
            outcome=reading.outcome,
            codes=reading.codes,
            meanings=reading.meanings,
            score=reading.score,
            reason=reason_text(self._texts.get(index, ()), zone) if listed else None,
            detail=reading.detail,
            delist_url=zone.delist_link(self._text) if reading.positive else None,
            ttl_s=round(ttl_s, 3) if ttl_s > 0 else None,
            query_name=None if zone.file else query_name(found.key, zone.masked_name),
            cached=found.cached,
            evidence=evidence(found),
        )


def cached_answers(
    readings: Readings, text: str, key: bytes, entry: bytes | None, now: float, local: int
) -> tuple[ZoneAnswer, ...]:
    """As `Answers`, from one packed cache entry that answers for all zones that apply.

    entry: None where only files apply. local: zones, as a bit mask, whose files were found not to list the address.
    """
    kind = "ip4" if len(key) == 4 else "ip6"
    # Others may be in it too: of a zone that took this kind when the entry was saved.
    takes = mask_of(index for index, zone in enumerate(readings.zones) if kind in zone.subjects)
    held = {} if entry is None else unpack(entry, now, takes).answers
    found = {
        zone: Found(wire, readings.of(zone, wire), expires, key, True)
        for zone, (wire, expires) in held.items()
    }
    found |= clean_local(readings, local, key)
    skipped = {
        index: f"{zone.name} takes no {kind}"
        for index, zone in enumerate(readings.zones)
        if kind not in zone.subjects
    }
    return Answers(readings, text, found, {}, skipped, now)()


def unpacked(readings: Readings, of: PlainFound, servers: Mapping[int, tuple[str, ...]]) -> dict[int, Found]:
    """Plain answers as what they are, by zone. servers: the names of each set of nameservers."""
    found = {}
    held = unpack(of.plain.entry, -inf).answers
    for (zone, (wire, expires)), (latency_us, server) in zip(
        held.items(), WAY.iter_unpack(of.plain.way), strict=True
    ):
        if of.zones >> zone & 1:
            names = servers.get(of.sets[zone], ())
            name = names[server] if 0 <= server < len(names) else ""
            reading = readings.of(zone, wire)
            found[zone] = Found(wire, reading, expires, of.key, False, latency_us, name)
    return found


def clean_local(readings: Readings, zones: int, key: bytes) -> dict[int, Found]:
    """The answers of local zones (a bit mask) that take this kind of address and do not list it."""
    kind, wire = ("ip4" if len(key) == 4 else "ip6"), Wire(Status.NXDOMAIN, 3)
    return {
        index: Found(wire, readings.of(index, wire), inf, key, False)
        for index in bits(zones)
        if kind in readings.zones[index].subjects
    }


def evidence(found: Found) -> Evidence:
    wire = found.wire
    answered = wire.rcode >= 0
    latency_ms = None if found.latency_us is None or not answered else found.latency_us / 1000
    rcode = rcode_name(wire.rcode) if answered else ""
    return Evidence(rcode, found.server, latency_ms, found.reading.matched)


def query_name(key: Key, zone: str) -> str:
    """The name asked, without a trailing dot."""
    return reverse_name(key, zone) if isinstance(key, bytes) else join_name(key, zone)


def reason_text(texts: tuple[bytes, ...], zone: Zone) -> str | None:
    """The TXT records as one clean line, in a stable order and without the zone's key; None without any."""
    text = " / ".join(filter(None, map(clean_text, texts)))
    if isinstance(zone.key, Secret):
        text = zone.key.mask_in(text)
    return text or None
