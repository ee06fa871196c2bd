"""What all lookups of one resolver share: zones, cache, questions in flight, and the accounts.

Its parts: `upstream` (engine and nameservers), `admission` (breaker and budget), `questions` (in flight),
`cache`. How one subject's verdict comes about is in `dnsbl.lookup.lookup`.

One lock guards all of them. It is never held while waiting, and nothing foreign runs under it: log records
are kept in a journal and handed on by `unlocked`. No asyncio here.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from time import sleep, time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dnsbl.cache.answers import AnswerCache, Key
from dnsbl.cache.clock import now as clock
from dnsbl.config.settings import Settings
from dnsbl.errors import ClosedError, ForkedError, ReentryError
from dnsbl.health.counters import Stats
from dnsbl.health.journal import Journal
from dnsbl.lookup import forking
from dnsbl.lookup.admission import Admission
from dnsbl.lookup.inflight import InFlight
from dnsbl.lookup.local import LocalZones
from dnsbl.lookup.readings import Readings
from dnsbl.lookup.upstream import Upstream
from dnsbl.lookup.values import mask_of
from dnsbl.model import KINDS
from dnsbl.zones.zone import Zone

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from dnsbl.lookup.aio import LoopWaiter

STEP_ITEMS: Final = 200
"""Cache entries changed in one go, at 10 to 20 us each: no lookup waits longer than that."""
STEP_PAUSE_S: Final = 0.000_2
"""A lock that is taken again at once is not given to those who wait for it."""

_Item = TypeVar("_Item")


class Core:
    """See the module. `nameservers` None: those of /etc/resolv.conf, looked at again every 5 s at most."""

    def __init__(
        self,
        zones: tuple[Zone, ...],
        nameservers: tuple[str, ...] | None,
        settings: Settings,
    ) -> None:
        self.zones = zones
        self.all_zones = (1 << len(zones)) - 1
        self.settings = settings
        self._new_lock()
        self.epoch = 0
        """How many forks lie between this process and the one that made the resolver."""
        self.journal = Journal()
        self.cache = AnswerCache(settings.cache_size, clock)
        self.admission = Admission(zones, self.journal)
        self.breaker, self.budget = self.admission.breaker, self.admission.budget
        self.stats = Stats(zones)
        self.closed = False
        self.close_wanted = False
        self.of_thread = threading.local()
        self.of_loop: dict[tuple[AbstractEventLoop, object], LoopWaiter] = {}
        """What waits in each event loop: one for its single lookups (None), and one for each stream."""
        # A loop keeps what it watches, whether or not the resolver is still there.
        weakref.finalize(self, _let_go, self.of_loop).atexit = False
        self.readings = Readings(zones)
        self.local = LocalZones(zones, self.readings, self.stats)
        self.upstream = Upstream(zones, nameservers, settings, self.journal)
        self.questions = InFlight(
            settings, self.upstream, self.admission, self.cache, self.stats, self.readings
        )
        self.takes: dict[str, int] = {
            kind: mask_of(i for i, zone in enumerate(zones) if kind in zone.subjects) for kind in KINDS
        }
        # An address in a link is for lists of links: those that take domains as well.
        self.takes["link4"] = self.takes["ip4"] & self.takes["domain"]
        self.takes["link6"] = self.takes["ip6"] & self.takes["domain"]
        self.registrable = mask_of(i for i, zone in enumerate(zones) if zone.domain == "registrable")
        forking.add(self)

    # ---- the lock ----

    def _new_lock(self) -> None:
        # One that knows its owner: a signal handler may interrupt the very thread that holds it.
        self.lock = threading.RLock()
        self.inside: Callable[[], bool] = self.lock._is_owned  # type: ignore[attr-defined]
        """This thread holds the lock."""

    def enter(self) -> None:
        """Raises ReentryError in a signal handler that interrupted this resolver in the same thread."""
        if self.inside():
            raise ReentryError(
                "the resolver is at work in this very thread: a signal handler that interrupts it may call "
                "stats(), cache_info() and close(), and has to leave lookups to another thread"
            )

    def unlocked(self) -> None:
        """After the lock was given back: do what must not be done under it."""
        if self.close_wanted and not self.inside():
            self.close()
        self.journal.emit()

    # ---- state ----

    def snapshot(self) -> dict[str, Any]:
        """See `Resolver.stats`. Under the lock."""
        now, wall = clock(), time()
        zones = self.stats.snapshot()
        for index, zone in enumerate(self.zones):
            zones[zone.name]["breaker"] = self.breaker.state(index, now)._asdict()
            zones[zone.name]["budget"] = self.budget.state(index, wall)._asdict()
        return {
            "zones": zones,
            "cache": self.cache.info()._asdict(),
            "nameservers": list(self.upstream.nameservers),
            "in_flight": self.upstream.in_flight,
        }

    def close(self) -> None:
        """End everything. In a signal handler that interrupted the lock's holder: as soon as it is free."""
        if self.inside():
            self.closed = self.close_wanted = True
            return
        with self.lock:
            self.close_wanted = False
            self.closed = True
            engine = self.upstream.close()
            self.questions.open.clear()
            of_loop = dict(self.of_loop)
            self.of_loop.clear()
        if engine is not None:
            engine.close()
        _let_go(of_loop)

    def after_fork(self) -> None:
        """In the child: keep the cache, forget what is in flight, and start over at the first question."""
        self._new_lock()
        self.local.after_fork()
        self.journal.after_fork()
        self.epoch += 1
        self.of_thread = threading.local()
        for waiter in self.of_loop.values():
            waiter.forked()
        self.of_loop.clear()
        self.upstream.after_fork()
        self.questions.open = {}

    def check_epoch(self, epoch: int) -> None:
        """Raises ForkedError for what was begun in a process that has forked since."""
        if epoch != self.epoch:
            raise ForkedError("begun before fork(), its answers go to the parent: begin it anew in the child")

    # ---- the cache as a whole; takes the lock itself ----

    def forget(self, keys: Sequence[Key] | None, zone: int | None) -> None:
        """Forget what the cache holds, and what is on its way: of all names (None), of all zones (None)."""
        self.enter()
        zones = (1 << len(self.zones)) - 1 if zone is None else 1 << zone
        with self.lock:
            self.questions.drain()
            for key in [None] if keys is None else keys:
                self.questions.make_stale(zones, key)
        if keys is None:
            keys = () if zone is None else self.cached_names()
            if zone is None:
                with self.lock:
                    self.cache.flush()
        self.in_steps(keys, lambda key: self.cache.flush(key, zone))
        self.unlocked()

    def forget_zone(self, zone: int) -> None:
        """Forget all that a zone has said, and what it is about to say."""
        with self.lock:
            self.questions.make_stale(1 << zone)
        self.in_steps(self.cached_names(), lambda key: self.cache.flush(key, zone))

    def cached_entries(self) -> list[tuple[Key, bytes]]:
        """All entries, packed, oldest first."""
        entries: list[tuple[Key, bytes]] = []

        def take(key: Key) -> None:
            entry = self.cache.peek(key)
            if entry is not None:
                entries.append((key, entry))

        self.in_steps(self.cached_names(), take)
        return entries

    def cached_names(self) -> list[Key]:
        with self.lock:
            self.questions.drain()
            return self.cache.keys()

    def in_steps(self, items: Sequence[_Item], change: Callable[[_Item], object]) -> None:
        """Change the cache for each of many items, and let lookups have their turn in between."""
        self.enter()
        for start in range(0, len(items), STEP_ITEMS):
            with self.lock:
                for item in items[start : start + STEP_ITEMS]:
                    change(item)
            self.unlocked()
            sleep(STEP_PAUSE_S)

    def raise_if_closed(self) -> None:
        if self.closed:
            raise ClosedError("the resolver is closed")


def _let_go(of_loop: dict[tuple[AbstractEventLoop, object], LoopWaiter]) -> None:
    """Let each event loop hand out what is ready and forget the resolver. Any thread."""
    for waiter in list(of_loop.values()):
        waiter.close_soon()
