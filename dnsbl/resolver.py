"""The Resolver: what callers use. It decides who waits for a lookup, and how; the lookup itself is elsewhere.

`check` and `check_many` block the calling thread; `check_async` and `check_many_async` are for asyncio. One
Resolver serves any number of threads and event loops at once.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from time import monotonic, time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from dnsbl.cache.answers import HEADER, CacheInfo, Key
from dnsbl.config.settings import checked_nameservers, checked_number, checked_settings, chosen_zones
from dnsbl.errors import ClosedError, SubjectError, ZoneError
from dnsbl.lookup.answers import CachedAnswers
from dnsbl.lookup.core import Core
from dnsbl.lookup.local import clean_verdict
from dnsbl.lookup.lookup import Decide, Lookup, parts_of
from dnsbl.lookup.stream import results
from dnsbl.model import Verdict
from dnsbl.names._qname import format_address
from dnsbl.subject import address_key, parse_subject
from dnsbl.zones.secret import mask_keys
from dnsbl.zones.zone import Zone, known_name

if TYPE_CHECKING:
    from dnsbl.config.file import Config
    from dnsbl.engine._engine import Waiter
    from dnsbl.health.judge import ZoneHealth

GRACE_S: Final = 0.05
"""How much later than its deadline a lookup may end."""


class Resolver:
    """Looks addresses and domains up in DNS blocklists.

    zones: names, Postfix text (`"zen.spamhaus.org=127.0.0.[2..11]*3"`) or `Zone` objects, at most 64; None:
        those of `config`, else the curated default. What a text leaves out comes from the catalogue.
    nameservers: `"127.0.0.1"`, `"127.0.0.1:5353"`, `"[::1]:53"`, at most 8, in order of preference; None:
        those of /etc/resolv.conf, followed when it changes.
    deadline_s: seconds a lookup may take in all (default 3.0; at most 300).
    timeout_s: seconds until an unanswered question is asked again (default 1.0).
    tries: how often a question is asked at the most (1 to 100); None: as often as fits before the deadline.
    cache_size: entries of the answer cache (default 80,000), one with long texts counting as several; 0 holds
        nothing.
    ttl_min_s, ttl_max_s: floor and ceiling of what the cache holds, in seconds (default 0 and 86,400).
    reasons: ask zones that list the subject for their TXT record (default true), for `reason_timeout_s`
        seconds at the most (default 0.5).
    check_private: look up private and other non-public subjects too (default false).
    config: a `dnsbl.config.file.Config`; what is given here wins over it.
    allow: names among `zones` that are used although they are retired or unfit, and without a warning.

    Raises ZoneError, NameserverError and ConfigError (all ValueError) for what cannot be used. Nothing is
    asked before the first lookup.

    >>> with Resolver(zones=["bl.example.com"], nameservers=["127.0.0.1:5353"]) as resolver:
    ...     [zone.name for zone in resolver.zones]
    ['bl.example.com']
    """

    def __init__(
        self,
        zones: Iterable[str | Zone] | None = None,
        nameservers: Sequence[str] | None = None,
        deadline_s: float | None = None,
        timeout_s: float | None = None,
        tries: int | None = None,
        cache_size: int | None = None,
        ttl_min_s: float | None = None,
        ttl_max_s: float | None = None,
        reasons: bool | None = None,
        reason_timeout_s: float | None = None,
        check_private: bool | None = None,
        config: Config | None = None,
        allow: Iterable[str] = (),
    ) -> None:
        given = {
            "nameservers": nameservers, "deadline_s": deadline_s, "timeout_s": timeout_s, "tries": tries,
            "cache_size": cache_size, "ttl_min_s": ttl_min_s, "ttl_max_s": ttl_max_s, "reasons": reasons,
            "reason_timeout_s": reason_timeout_s, "check_private": check_private,
        }  # fmt: skip
        values: dict[str, Any] = config.resolver.given() if config is not None else {}
        values |= {name: value for name, value in given.items() if value is not None}
        self._core = Core(
            chosen_zones(zones, config, allow),
            checked_nameservers(values.get("nameservers")),
            checked_settings(values),
        )
        self._wanted = {4: self._core.takes["ip4"], 16: self._core.takes["ip6"]}

    # ---- lookups ----

    def check(
        self, subject: object, *, deadline_s: float | None = None, decide: Decide | None = None
    ) -> Verdict:
        """Look one subject up and wait for the verdict.

        subject: an address as text, as 4 or 16 bytes in network order, or as an `ipaddress` object; a domain,
            an e-mail address or a URL as text.
        deadline_s: seconds, instead of the resolver's.
        decide: thresholds by name, as `{"reject": 3}`: the verdict comes as soon as no outstanding zone can
            change on which side of each threshold the score lies; `Verdict.pending` names what was not waited
            for, and reasons are then only those the cache has.

        Raises SubjectError for what is neither an address nor a domain, ClosedError after `close`. A DNS
        failure raises nothing: it is in the verdict.
        """
        found = self._clean(subject)
        if found is not None:
            return found
        waiter = self._thread_waiter()
        lookup = self._lookup(subject, waiter, deadline_s, decide)
        finished = lookup.start()
        try:
            while not finished:
                for ticket in waiter.wait(GRACE_S + self._core.settings.deadline_s):
                    finished = finished or (ticket.owner is lookup and lookup.advance())
        finally:
            if not finished:
                lookup.abandon()
        return lookup.verdict

    async def check_async(
        self, subject: object, *, deadline_s: float | None = None, decide: Decide | None = None
    ) -> Verdict:
        """As `check`, in an asyncio event loop. Cancelling it leaves the answers to the cache."""
        found = self._clean(subject)
        if found is not None:
            return found
        from dnsbl.lookup.aio import finish

        lookup = self._lookup(subject, self._loop_waiter(), deadline_s, decide)
        if not lookup.start():
            await finish(lookup)
        return lookup.verdict

    def check_cached(self, subject: object) -> Verdict | None:
        """The verdict if the cache holds all of it, reasons too, else None. Never asks and never waits.

        Raises SubjectError as `check`.
        """
        found = self._clean(subject)
        if found is not None:
            return found
        lookup = self._lookup(subject, None, 0.0, None)
        return lookup.verdict if lookup.start() else None

    def check_many(
        self,
        subjects: Iterable[object],
        *,
        ordered: bool = False,
        window: int = 256,
        deadline_s: float | None = None,
    ) -> Iterator[Verdict | SubjectError]:
        """Look many subjects up, at most `window` at once, and yield each verdict as it comes.

        A subject that cannot be looked up yields its SubjectError in the place of a verdict. `ordered` keeps
        the order of `subjects`. Memory is bounded by `window`, however long the input is.
        """
        from dnsbl.engine._engine import Waiter

        waiter, window = Waiter(), checked_number("window", window, 1, 65_536)
        yield from results(
            lambda subject: self._begin(subject, waiter, deadline_s), subjects, waiter, ordered, window
        )

    async def check_many_async(
        self,
        subjects: Iterable[object] | AsyncIterable[object],
        *,
        ordered: bool = False,
        window: int = 256,
        deadline_s: float | None = None,
    ) -> AsyncIterator[Verdict | SubjectError]:
        """As `check_many`, in an asyncio event loop; `subjects` may be asynchronous too."""
        from contextlib import aclosing

        from dnsbl.lookup.aio import results_async

        waiter, window = self._loop_waiter(), checked_number("window", window, 1, 65_536)
        found = results_async(
            lambda subject: self._begin(subject, waiter, deadline_s), subjects, ordered, window
        )
        async with aclosing(found):
            async for result in found:
                yield result

    # ---- state ----

    @property
    def zones(self) -> tuple[Zone, ...]:
        """The zones asked, each once, in the order of every verdict's answers."""
        return self._core.zones

    @property
    def nameservers(self) -> tuple[str, ...]:
        """`ADDRESS:PORT` of the nameservers in use, those that a zone has for itself not among them."""
        return self._core.nameservers

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
        keys: list[Key | None] = [None]
        if subject is not None:
            keys = [part.key for part in parts_of(self._core, parse_subject(subject))[0]]
        elif index is not None:
            keys = [*self._core.cached_names()]
        self._core.in_steps(keys, lambda key: self._core.cache.flush(key, index))

    def save_cache(self, path: str | os.PathLike[str]) -> int:
        """Write the cached answers to a file, so that a restart does not ask every list again.

        The file appears whole or not at all, readable by its owner only. It holds what was looked up and what
        the zones said, and no key of a zone. Returns how many names (addresses, domains) it holds. May be
        called after `close`. Raises OSError where the file cannot be written.
        """
        from dnsbl.cache.file import save_cache, zone_id

        ids = [zone_id(zone.name, zone.nameservers) for zone in self.zones]
        return save_cache(path, self._core.cached_entries(), ids, now=monotonic(), wall_now=time())

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
            now=monotonic(),
            wall_now=time(),
            max_entries=core.settings.cache_size,
            max_ttl_s=core.settings.ttl_rules.max_s,
        )
        core.in_steps(entries, lambda entry: core.cache.fill(*entry))
        return len(entries)

    def stats(self) -> dict[str, Any]:
        """Counters since the start, ready for JSON.

        zones: by name, `queries` (given to the engine, TXT among them), `cache_hits`, `outcomes` of queries,
            `latency_ms` (p50, p90, p99), `breaker` (state, failures, next_probe_s, unhealthy) and `budget`
            (queries_today, daily_limit, state).
        cache: as `cache_info`. nameservers: those in use. in_flight: lookups the engine still listens to.
        """
        with self._core.lock:
            self._core.drain()
            return self._core.snapshot()

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
        return check_health(self._core, indices, checked_number("deadline_s", deadline_s, 0.001, 300.0))

    async def health_async(
        self, zones: Iterable[str] | None = None, *, deadline_s: float = 5.0
    ) -> tuple[ZoneHealth, ...]:
        """As `health`, in a thread of its own, so that the event loop goes on."""
        import asyncio

        return await asyncio.to_thread(self.health, zones, deadline_s=deadline_s)

    def close(self) -> None:
        """Stop the engine. Lookups under way end with what they have; later ones raise ClosedError."""
        self._core.close()

    async def aclose(self) -> None:
        """As `close`, in an asyncio event loop."""
        import asyncio

        self._core.close()
        await asyncio.sleep(0)  # so that this loop has let go too

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # ---- inside ----

    def _zone_index(self, name: str) -> int:
        wanted = known_name(name)
        for index, zone in enumerate(self._core.zones):
            if zone.name == wanted:
                return index
        raise ZoneError(f"{wanted} is not among the zones asked here", mask_keys(name))

    def _clean(self, subject: object) -> Verdict | None:
        """The verdict of an address that all zones are known not to list: the accept path's usual case."""
        started = monotonic()
        key = address_key(subject)
        if key is None:
            return None
        core = self._core
        wanted = self._wanted[len(key)]
        local = core.local
        if wanted & local.mask:
            if not local.none_lists(key):
                return None
            wanted &= ~local.mask
            if not wanted and not core.closed:
                return clean_verdict(core, key, started)
        with core.lock:
            if core.breaker.unhealthy_mask & wanted or core.closed:
                return None
            core.drain()
            entry = core.cache.get(key)
            if entry is None:
                return None
            soonest, _, present, notable = HEADER.unpack_from(entry)
            if started >= soonest or present & wanted != wanted or notable & wanted:
                return None
            core.cache.hits += 1
            core.stats.clean_hit(wanted)
        text = format_address(key)
        answers = CachedAnswers(core.readings, text, key, entry, started, local.mask)
        return Verdict(text, False, True, 0.0, answers, monotonic() - started, soonest - started)

    def _lookup(
        self, subject: object, waiter: Waiter | None, deadline_s: float | None, decide: Decide | None
    ) -> Lookup:
        if deadline_s is None:
            deadline_s = self._core.settings.deadline_s
        elif waiter is not None:
            deadline_s = checked_number("deadline_s", deadline_s, 0.001, 300.0)
        for name, threshold in (decide or {}).items():
            checked_number(f"decide[{name!r}]", threshold, float("-inf"), float("inf"))
        return Lookup(self._core, parse_subject(subject), waiter, deadline_s, decide)

    def _begin(
        self, subject: object, waiter: Waiter, deadline_s: float | None
    ) -> Lookup | Verdict | SubjectError:
        found = self._clean(subject)
        if found is not None:
            return found
        try:
            lookup = self._lookup(subject, waiter, deadline_s, None)
            return lookup.verdict if lookup.start() else lookup
        except SubjectError as error:
            return error

    def _thread_waiter(self) -> Waiter:
        of_thread = self._core.of_thread
        found: Waiter | None = getattr(of_thread, "waiter", None)
        if found is None:
            from dnsbl.engine._engine import Waiter

            found = of_thread.waiter = Waiter()
        return found

    def _loop_waiter(self) -> Waiter:
        import asyncio

        from dnsbl.lookup.aio import LoopWaiter

        loop, core = asyncio.get_running_loop(), self._core
        with core.lock:
            if core.closed:
                raise ClosedError("the resolver is closed")
            found = core.of_loop.get(loop)
            if found is None:
                for other in [other for other in core.of_loop if other.is_closed()]:
                    del core.of_loop[other]
                found = core.of_loop[loop] = LoopWaiter(loop)
            return found.waiter
