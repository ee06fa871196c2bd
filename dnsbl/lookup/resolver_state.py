"""What a resolver is asked about itself: its zones and nameservers, its cache, its counters, its health.

The other half of `dnsbl.Resolver`, which adds the lookups and who waits for them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from time import time
from typing import TYPE_CHECKING, Any

from dnsbl.cache.answers import CacheInfo, Key
from dnsbl.cache.clock import now as clock
from dnsbl.config.settings import checked_deadline
from dnsbl.errors import ZoneError
from dnsbl.lookup.core import Core
from dnsbl.lookup.parts import asked_subject, parts_of
from dnsbl.lookup.values import bits
from dnsbl.zones.name import known_name
from dnsbl.zones.secret import mask_keys
from dnsbl.zones.zone import Zone

if TYPE_CHECKING:
    from dnsbl.health.judge import ZoneHealth


class ResolverState:
    """See `dnsbl.Resolver`."""

    _core: Core

    @property
    def zones(self) -> tuple[Zone, ...]:
        """The zones asked, each once, in the order of every verdict's answers."""
        return self._core.zones

    @property
    def nameservers(self) -> tuple[str, ...]:
        """`ADDRESS:PORT` of the nameservers in use, those that a zone has for itself not among them."""
        return self._core.upstream.nameservers

    def cache_info(self) -> CacheInfo:
        """Hits, misses, the bound and the present size of the answer cache; sizes in asked names."""
        with self._core.lock:
            return self._core.cache.info()

    def flush(self, subject: object = None, zone: str | None = None) -> None:
        """Forget cached answers: all of them, those of one subject, those of one zone, or of both.

        One zone of all subjects takes some 10 us for each name held; lookups go on meanwhile. Event loops do
        not: call it, `save_cache` and `load_cache` in a thread there (`asyncio.to_thread`).

        Raises SubjectError and ZoneError for what is not one, and ZoneError for a zone not asked here.
        """
        index = None if zone is None else self._zone_index(zone)
        keys: list[Key] | None = None
        if subject is not None:
            keys = [part.key for part in parts_of(self._core, asked_subject(self._core, subject))[0]]
        self._core.forget(keys, index)

    def save_cache(self, path: str | os.PathLike[str]) -> int:
        """Write the cached answers to a file, so that a restart does not ask every list again.

        The file appears whole or not at all, readable by its owner only. It holds what was looked up and what
        the zones said, and no key of a zone. Returns how many names (addresses, domains) it holds. May be
        called after `close`. Raises OSError where the file cannot be written.
        """
        from dnsbl.cache.file import save_cache, zone_id

        ids = [zone_id(zone.name, zone.nameservers) for zone in self.zones]
        return save_cache(path, self._core.cached_entries(), ids, now=clock(), wall_now=time())

    def load_cache(self, path: str | os.PathLike[str]) -> int:
        """Take back what `save_cache` wrote, as far as it is still valid; returns how many names.

        A zone is known again by its name and, if it has its own, its nameservers; answers of other zones are
        dropped. What the cache holds already stays. Raises nothing because of the file: one that is damaged,
        foreign or of another version is ignored with one warning, and one that is missing without any.
        """
        from dnsbl.cache.file import load_cache, zone_id

        core = self._core
        entries = load_cache(
            path,
            [zone_id(zone.name, zone.nameservers) for zone in self.zones],
            now=clock(),
            wall_now=time(),
            max_entries=core.settings.cache_size,
            max_ttl_s=core.settings.ttl_rules.max_s,
        )
        core.in_steps(entries, lambda entry: core.cache.fill(*entry))
        for zone in bits(core.breaker.unhealthy_mask):
            core.forget_zone(zone)
        return len(entries)

    def stats(self) -> dict[str, Any]:
        """Counters since the start, ready for JSON.

        zones: by name, `queries` (given to the engine, TXT among them), `cache_hits`, `outcomes` of queries
            (of a list file, of every look-up), `latency_ms` (p50, p90, p99), `breaker` (state, failures,
            next_probe_s, unhealthy; of the kind of subject that fares worst) and `budget` (queries_today,
            daily_limit, state).
        cache: as `cache_info`. nameservers: those in use. in_flight: lookups the engine still listens to.
        """
        core = self._core
        interrupted = core.inside()  # by a signal handler: only read then
        with core.lock:
            if not interrupted:
                core.questions.drain()
            found = core.snapshot()
        core.unlocked()
        return found

    # ---- health ----

    def health(
        self, zones: Iterable[str] | None = None, *, deadline_s: float = 5.0
    ) -> tuple[ZoneHealth, ...]:
        """Ask each zone's test entries (RFC 5782 section 5) once; set broken zones aside until they pass.

        zones: names; None: all zones. deadline_s: seconds it may take. Not for every message: a zone gets
        2 queries for each kind of subject it takes.

        Raises ZoneError for a zone not asked here, ClosedError after `close`.
        """
        from dnsbl.lookup.healthcheck import check_health

        indices = range(len(self.zones)) if zones is None else [self._zone_index(name) for name in zones]
        return check_health(self._core, indices, checked_deadline(deadline_s))

    async def health_async(
        self, zones: Iterable[str] | None = None, *, deadline_s: float = 5.0
    ) -> tuple[ZoneHealth, ...]:
        """As `health`, in a thread of its own, so that the event loop goes on."""
        import asyncio

        return await asyncio.to_thread(self.health, zones, deadline_s=deadline_s)

    def set_aside(self, zone: str, why: str) -> None:
        """Leave a zone out, as `health` does with a broken one, until a health check finds it sound.

        why: one line, for `ZoneAnswer.detail` and `stats`. Raises ZoneError for a zone not asked here.
        """
        core, index, now = self._core, self._zone_index(zone), clock()
        core.enter()
        with core.lock:
            core.breaker.set_aside(index, why, now, now)
        core.unlocked()

    def _zone_index(self, name: str) -> int:
        wanted = known_name(name)
        for index, zone in enumerate(self._core.zones):
            if zone.name == wanted:
                return index
        raise ZoneError(f"{wanted} is not among the zones asked here", mask_keys(name))
