"""The Resolver: what callers use. It decides who waits for a lookup, and how; the lookup itself is elsewhere.

`check` and `check_many` block the calling thread; `check_async` and `check_many_async` are for asyncio. One
Resolver serves any number of threads and event loops at once.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from dnsbl.cache.clock import now as clock
from dnsbl.config.settings import (
    checked_deadline,
    checked_decide,
    checked_nameservers,
    checked_number,
    checked_settings,
    chosen_zones,
)
from dnsbl.errors import SubjectError
from dnsbl.lookup.clean import cached_clean
from dnsbl.lookup.core import Core
from dnsbl.lookup.lookup import Decide, Lookup
from dnsbl.lookup.parts import asked_subject
from dnsbl.lookup.resolver_state import ResolverState
from dnsbl.lookup.stream import results, room_in, wait_for
from dnsbl.model import Verdict
from dnsbl.zones.zone import Zone

if TYPE_CHECKING:
    from dnsbl.config.file import Config
    from dnsbl.engine._engine import Completions
    from dnsbl.lookup.begun import Begun
    from dnsbl.lookup.message import MessageVerdict
    from dnsbl.lookup.rendered import RenderedVerdicts


class Resolver(ResolverState):
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
            decide = checked_decide(decide)
        found = cached_clean(self._core, subject, started)
        if found is not None:
            return found
        of_thread = self._core.of_thread
        # Taken while it is in use: a signal handler that calls `check` meanwhile gets one of its own.
        completions: Completions | None = of_thread.__dict__.pop("completions", None)
        if completions is None:
            from dnsbl.engine._engine import Completions

            completions = Completions(alone=True)
        try:
            return wait_for(self._lookup(subject, completions, started, deadline_s, decide), completions)
        finally:
            of_thread.completions = completions

    async def check_async(
        self, subject: object, *, deadline_s: float | None = None, decide: Decide | None = None
    ) -> Verdict:
        """As `check`, in an asyncio event loop. Cancelling it leaves the answers to the cache."""
        started = clock()
        if decide is not None:
            decide = checked_decide(decide)
        found = cached_clean(self._core, subject, started)
        if found is not None:
            return found
        from dnsbl.lookup.aio import finish, loop_waiter

        waiter = loop_waiter(self._core)
        lookup = self._lookup(subject, waiter.completions, started, deadline_s, decide)
        if not lookup.start():
            await finish(lookup, waiter)
        return lookup.verdict

    def begin(self, subject: object, *, deadline_s: float | None = None) -> Begun:
        """Begin a lookup in the running event loop, for who looks at it before all zones have answered.

        The verdict is there at once (`Begun.done`) where the cache holds all of it. The rest is asked now, and
        each question once, however the lookup is followed.

        Raises as `check`; RuntimeError where no event loop runs.
        """
        from dnsbl.lookup.aio import loop_waiter
        from dnsbl.lookup.begun import Begun, FollowedLookup

        started = clock()
        found = cached_clean(self._core, subject, started)
        if found is not None:
            return Begun(None, None, found)
        waiter = loop_waiter(self._core)
        lookup = self._lookup(subject, waiter.completions, started, deadline_s, None, FollowedLookup)
        assert isinstance(lookup, FollowedLookup)
        return Begun(None, None, lookup.verdict) if lookup.start() else Begun(lookup, waiter, None)

    def check_cached(self, subject: object) -> Verdict | None:
        """The verdict if the cache holds all of it, reasons too, else None. Never asks and never waits.

        Raises SubjectError as `check`.
        """
        started = clock()
        found = cached_clean(self._core, subject, started)
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
        from dnsbl.engine._engine import Completions

        subjects, core = _many(subjects), self._core
        completions, window, epoch = Completions(), checked_number("window", window, 1, 65_536), core.epoch
        return results(
            lambda subject: self._begin(subject, completions, deadline_s),
            subjects,
            completions,
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

        from dnsbl.lookup.aio import loop_waiter, results_async

        subjects, stream, core = _many(subjects), object(), self._core
        window = checked_number("window", window, 1, 65_536)
        # A list of its own, so that single lookups in the same loop are not behind what the stream has ready.
        waiter = loop_waiter(core, stream)
        found = results_async(
            lambda subject: self._begin(subject, waiter.completions, deadline_s),
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

        from dnsbl.lookup.each import zones_async

        async with aclosing(zones_async(self._core, subject, deadline_s)) as found:
            async for verdict in found:
                yield verdict

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

    # ---- its end ----

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

    def _lookup(
        self,
        subject: object,
        completions: Completions | None,
        started: float,
        deadline_s: float | None,
        decide: Decide | None,
        kind: type[Lookup] = Lookup,
    ) -> Lookup:
        if deadline_s is None:
            deadline_s = self._core.settings.deadline_s
        elif completions is not None:
            deadline_s = checked_deadline(deadline_s)
        return kind(self._core, asked_subject(self._core, subject), completions, started, deadline_s, decide)

    def _begin(
        self, subject: object, completions: Completions, deadline_s: float | None
    ) -> Lookup | Verdict | SubjectError:
        started = clock()
        found = cached_clean(self._core, subject, started)
        if found is not None:
            return found
        try:
            lookup = self._lookup(subject, completions, started, deadline_s, None)
            return lookup.verdict if lookup.start() else lookup
        except SubjectError as error:
            return error


_Subjects = TypeVar("_Subjects")


def _many(subjects: _Subjects) -> _Subjects:
    if isinstance(subjects, str | bytes):
        shown = repr(subjects)[:60]
        raise SubjectError(f"{shown} is one subject, not many: use check, or give a list", str(subjects))
    return subjects
