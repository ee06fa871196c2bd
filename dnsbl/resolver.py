"""The Resolver: what callers use. It decides who waits for a lookup, and how; the lookup itself is elsewhere.

`check` and `check_many` block the calling thread; `check_async` and `check_many_async` are for asyncio. One
Resolver serves any number of threads and event loops at once.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from functools import partial
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from dnsbl.cache.answers import HEADER, CacheInfo, Key
from dnsbl.cache.clock import now as clock
from dnsbl.config.settings import (
    checked_deadline,
    checked_nameservers,
    checked_number,
    checked_settings,
    chosen_zones,
)
from dnsbl.errors import ConfigError, SubjectError, ZoneError
from dnsbl.lookup.answers import cached_answers
from dnsbl.lookup.core import Core
from dnsbl.lookup.local import clean_verdict
from dnsbl.lookup.lookup import Decide, Lookup, asked_subject, parts_of
from dnsbl.lookup.stream import GRACE_S, results, room_in
from dnsbl.lookup.values import bits
from dnsbl.model import Verdict
from dnsbl.names._qname import format_address
from dnsbl.subject import address_key
from dnsbl.zones.name import known_name
from dnsbl.zones.secret import mask_keys
from dnsbl.zones.zone import Zone

if TYPE_CHECKING:
    from dnsbl.config.file import Config
    from dnsbl.engine._engine import Waiter
    from dnsbl.health.judge import ZoneHealth
    from dnsbl.lookup.aio import LoopWaiter
    from dnsbl.lookup.begun import Begun
    from dnsbl.lookup.message import MessageVerdict
    from dnsbl.lookup.rendered import RenderedVerdicts


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
    config: a `dnsbl.Config`, or the path of a configuration file; what is given here wins over it.
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
        config: Config | str | os.PathLike[str] | None = None,
        allow: Iterable[str] = (),
    ) -> None:
        given = {
            "nameservers": nameservers, "deadline_s": deadline_s, "timeout_s": timeout_s, "tries": tries,
            "cache_size": cache_size, "ttl_min_s": ttl_min_s, "ttl_max_s": ttl_max_s, "reasons": reasons,
            "reason_timeout_s": reason_timeout_s, "check_private": check_private,
        }  # fmt: skip
        if isinstance(config, str | os.PathLike):
            from dnsbl.config.file import load

            config = load(os.fspath(config))
        values: dict[str, Any] = config.resolver.given() if config is not None else {}
        values |= {name: value for name, value in given.items() if value is not None}
        self._core = Core(
            chosen_zones(zones, config, allow),
            checked_nameservers(values.get("nameservers")),
            checked_settings(values),
        )
        self._message = config.message if config is not None else None
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
        started = clock()
        if decide is not None:
            decide = _decide(decide)
        found = self._clean(subject, started)
        if found is not None:
            return found
        of_thread = self._core.of_thread
        # Taken while it is in use: a signal handler that calls `check` meanwhile gets one of its own.
        waiter: Waiter | None = of_thread.__dict__.pop("waiter", None)
        if waiter is None:
            from dnsbl.engine._engine import Waiter

            waiter = Waiter(alone=True)
        try:
            return self._wait(self._lookup(subject, waiter, started, deadline_s, decide), waiter)
        finally:
            of_thread.waiter = waiter

    def _wait(self, lookup: Lookup, waiter: Waiter) -> Verdict:
        finished = False
        try:
            finished = lookup.start()
            while not finished:
                left_s = lookup.deadline + GRACE_S - clock()
                if left_s <= 0:
                    lookup.expire()
                    break
                waiter.wait(left_s)
                finished = lookup.advance()
        finally:
            waiter.tell()  # of questions that were asked for others as well, or that nobody waited for
            if not finished:
                lookup.abandon()
        return lookup.verdict

    async def check_async(
        self, subject: object, *, deadline_s: float | None = None, decide: Decide | None = None
    ) -> Verdict:
        """As `check`, in an asyncio event loop. Cancelling it leaves the answers to the cache."""
        started = clock()
        if decide is not None:
            decide = _decide(decide)
        found = self._clean(subject, started)
        if found is not None:
            return found
        from dnsbl.lookup.aio import finish

        waiter = self._loop_waiter()
        lookup = self._lookup(subject, waiter.waiter, started, deadline_s, decide)
        if not lookup.start():
            await finish(lookup, waiter)
        return lookup.verdict

    def begin(self, subject: object, *, deadline_s: float | None = None) -> Begun:
        """Begin a lookup in the running event loop, for who looks at it before all zones have answered.

        The verdict is there at once (`Begun.done`) where the cache holds all of it. The rest is asked now, and
        each question once, however the lookup is followed.

        Raises as `check`; RuntimeError where no event loop runs.
        """
        from dnsbl.lookup.begun import Begun, FollowedLookup

        started = clock()
        found = self._clean(subject, started)
        if found is not None:
            return Begun(None, None, found)
        waiter = self._loop_waiter()
        lookup = self._lookup(subject, waiter.waiter, started, deadline_s, None, FollowedLookup)
        assert isinstance(lookup, FollowedLookup)
        return Begun(None, None, lookup.verdict) if lookup.start() else Begun(lookup, waiter, None)

    def check_cached(self, subject: object) -> Verdict | None:
        """The verdict if the cache holds all of it, reasons too, else None. Never asks and never waits.

        Raises SubjectError as `check`.
        """
        started = clock()
        found = self._clean(subject, started)
        if found is not None:
            return found
        lookup = self._lookup(subject, None, started, 0.0, None)
        return lookup.verdict if lookup.start() else None

    def rendered(self) -> RenderedVerdicts:
        """What writes the JSON of cached verdicts without making them: for a server that is asked for thousands.

        >>> texts = resolver.rendered()                                             # doctest: +SKIP
        >>> text = texts.get(subject) or texts.render(subject, resolver.check(subject))  # doctest: +SKIP
        """
        from dnsbl.lookup.rendered import RenderedVerdicts

        return RenderedVerdicts(self._core, self.check_cached)

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

        subjects, core = _many(subjects), self._core
        waiter, window, epoch = Waiter(), checked_number("window", window, 1, 65_536), core.epoch
        return results(
            lambda subject: self._begin(subject, waiter, deadline_s),
            subjects,
            waiter,
            ordered,
            room_in(window, core.upstream),
            lambda: core.check_epoch(epoch),
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

        subjects, stream, core = _many(subjects), object(), self._core
        window = checked_number("window", window, 1, 65_536)
        # A list of its own, so that single lookups in the same loop are not behind what the stream has ready.
        waiter = self._loop_waiter(stream)
        found = results_async(
            lambda subject: self._begin(subject, waiter.waiter, deadline_s),
            subjects,
            ordered,
            room_in(window, core.upstream),
        )
        try:
            async with aclosing(found):
                async for result in found:
                    yield result
        finally:
            waiter.let_go()
            core.of_loop.pop((waiter.loop, stream), None)

    async def check_each_async(
        self, subject: object, *, deadline_s: float | None = None
    ) -> AsyncIterator[Verdict]:
        """As `check_async`, but a verdict of each zone by itself, with its one answer, as soon as it is there.

        For who shows answers as they come; `check_async` is less work where all are waited for.
        `dnsbl.lookup.each.joined` makes one verdict of them.
        """
        from contextlib import aclosing

        from dnsbl.lookup.aio import results_async
        from dnsbl.lookup.each import ZoneLookup

        core, started = self._core, clock()
        wanted, waiter = asked_subject(core, subject), self._loop_waiter().waiter
        if deadline_s is None:
            deadline_s = core.settings.deadline_s
        wait_s = checked_number("deadline_s", deadline_s, 0.001, 300.0)

        def begin(zone: Any) -> Lookup | Verdict:
            lookup = ZoneLookup(core, wanted, zone, waiter, started, wait_s)
            return lookup.verdict if lookup.start() else lookup

        async with aclosing(results_async(begin, range(len(core.zones)), False, lambda _: True)) as found:
            async for result in found:
                assert isinstance(result, Verdict)
                yield result

    # ---- messages ----

    def check_message(
        self,
        message: bytes,
        *,
        trusted: Iterable[str] | None = None,
        harmless: Iterable[str] | None = None,
        deadline_s: float | None = None,
    ) -> MessageVerdict:
        """Look up what stands in a message: its first untrusted hop, links, senders, signers; one verdict.

        message: RFC 5322 bytes, as they came. trusted: networks of own relays and of the provider that mail
            is fetched from, `198.51.100.0/24`; None: as configured. harmless: domains not to be asked; None:
            as configured, else `dnsbl.mail.HARMLESS`. deadline_s: seconds for all of it, instead of the
            resolver's. How much of a message is looked at is configured: [message].

        A message raises nothing, however malformed it is. Raises ConfigError for what is no network.
        """
        from dnsbl.lookup.message import message_verdict, prepared

        found, asked = prepared(self._core, self._message, message, trusted, harmless, deadline_s)
        subjects = [item.subject for _, item in asked]
        return message_verdict(
            found, asked, self.check_many(subjects, ordered=True, window=1024, deadline_s=deadline_s)
        )

    async def check_message_async(
        self,
        message: bytes,
        *,
        trusted: Iterable[str] | None = None,
        harmless: Iterable[str] | None = None,
        deadline_s: float | None = None,
    ) -> MessageVerdict:
        """As `check_message`, in an asyncio event loop; the message is read in a thread of its own."""
        import asyncio

        from dnsbl.lookup.message import message_verdict, prepared

        found, asked = await asyncio.to_thread(
            prepared, self._core, self._message, message, trusted, harmless, deadline_s
        )
        subjects = [item.subject for _, item in asked]
        results = self.check_many_async(subjects, ordered=True, window=1024, deadline_s=deadline_s)
        return message_verdict(found, asked, [result async for result in results])

    # ---- state ----

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

    def _clean(self, subject: object, started: float) -> Verdict | None:
        """The verdict of an address that all zones are known not to list: the accept path's usual case."""
        key = address_key(subject)
        if key is None:
            return None
        core, local, wanted = self._core, self._core.local, self._wanted[len(key)]
        if core.inside():
            core.enter()
        if wanted & local.mask:
            if not local.none_lists(key):
                return None
            wanted &= ~local.mask
            if not wanted and not core.closed:
                return clean_verdict(core, key, started)
        with core.lock:
            if (core.breaker.unhealthy_mask | core.breaker.doubt_mask) & wanted or core.closed:
                return None
            engine = core.upstream.engine
            if engine is not None and engine.has_retired:
                core.questions.drain()
            entry = core.cache.get(key)
            if entry is None:
                return None
            soonest, _, present, notable = HEADER.unpack_from(entry)
            if started >= soonest or present & wanted != wanted or notable & wanted:
                return None
            core.cache.hits += 1
            core.stats.clean_hits[wanted] += 1
            if local.mask:
                core.stats.clean_files(local.mask_of_kind(key))
        if core.journal.waiting or core.close_wanted:
            core.unlocked()
        text = format_address(key)
        answers = partial(cached_answers, core.readings, text, key, entry, started, local.mask)
        return Verdict(text, False, True, 0.0, answers, clock() - started, soonest - started)

    def _lookup(
        self,
        subject: object,
        waiter: Waiter | None,
        started: float,
        deadline_s: float | None,
        decide: Decide | None,
        kind: type[Lookup] = Lookup,
    ) -> Lookup:
        if deadline_s is None:
            deadline_s = self._core.settings.deadline_s
        elif waiter is not None:
            deadline_s = checked_deadline(deadline_s)
        return kind(self._core, asked_subject(self._core, subject), waiter, started, deadline_s, decide)

    def _begin(
        self, subject: object, waiter: Waiter, deadline_s: float | None
    ) -> Lookup | Verdict | SubjectError:
        started = clock()
        found = self._clean(subject, started)
        if found is not None:
            return found
        try:
            lookup = self._lookup(subject, waiter, started, deadline_s, None)
            return lookup.verdict if lookup.start() else lookup
        except SubjectError as error:
            return error

    def _loop_waiter(self, stream: object = None) -> LoopWaiter:
        import asyncio

        from dnsbl.lookup.aio import LoopWaiter

        loop, core = asyncio.get_running_loop(), self._core
        core.enter()
        with core.lock:
            core.raise_if_closed()
            found = core.of_loop.get((loop, stream))
            if found is None:
                for other in [other for other in core.of_loop if other[0].is_closed()]:
                    del core.of_loop[other]
                found = core.of_loop[loop, stream] = LoopWaiter(loop)
            return found


def _decide(given: Decide) -> Decide:
    """The thresholds, read once and outside any lock: the mapping is the caller's."""
    decide = dict(given)
    if not decide:
        raise ConfigError("decide is empty: give at least one threshold, as {'reject': 3}, or None", "{}")
    for name, threshold in decide.items():
        checked_number(f"decide[{name!r}]", threshold, float("-inf"), float("inf"))
    return decide


_Subjects = TypeVar("_Subjects")


def _many(subjects: _Subjects) -> _Subjects:
    if isinstance(subjects, str | bytes):
        shown = repr(subjects)[:60]
        raise SubjectError(f"{shown} is one subject, not many: use check, or give a list", str(subjects))
    return subjects
