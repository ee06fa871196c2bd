"""The engine of one resolver and its nameservers: started by the first question, given up after a fork.

Under the resolver's lock, all of it.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dnsbl.cache.answers import Key
from dnsbl.config.settings import Settings
from dnsbl.errors import ClosedError, NameserverError
from dnsbl.health.journal import Journal
from dnsbl.lookup.resolvconf import SystemNameservers
from dnsbl.zones.zone import Zone

if TYPE_CHECKING:
    from dnsbl.engine._engine import Completions, Engine, Fan, Plan

log = logging.getLogger("dnsbl")


class Upstream:
    """`nameservers` None: those of /etc/resolv.conf, looked at again every 5 s at most."""

    def __init__(
        self,
        zones: tuple[Zone, ...],
        nameservers: tuple[str, ...] | None,
        settings: Settings,
        journal: Journal,
    ) -> None:
        self.closed = False
        self.engine: Engine | None = None
        self._zones = zones
        self._settings = settings
        self._journal = journal
        self._plan: Plan | None = None
        self.set_servers: dict[int, tuple[str, ...]] = {}
        """By set of nameservers, as the engine numbers them, their names; a new one after a fork."""
        self.when_started: Callable[[], None] = lambda: None
        self._nobody: Completions | None = None
        self._system = SystemNameservers(say=journal.say) if nameservers is None else None
        self.nameservers = self._system.found if self._system is not None else nameservers or ()

    @property
    def in_flight(self) -> int:
        """Fans the engine still listens to."""
        return 0 if self.engine is None else self.engine.in_flight

    @property
    def crowded(self) -> bool:
        """Who has much to ask had better wait: see `Engine.crowded`."""
        return self.engine is not None and self.engine.crowded

    def running(self) -> Engine:
        """The engine, started by the first question. Raises ClosedError after `close`."""
        if self.closed:
            raise ClosedError("the resolver is closed")
        if self.engine is None:
            from dnsbl.engine._engine import Completions, Engine

            self._nobody = Completions()
            self.engine = Engine()
            weakref.finalize(self, Engine.close, self.engine)
            self.when_started()
        return self.engine

    def plan(self, now: float) -> Plan:
        """Where each zone's questions go."""
        if self._plan is None or (self._system is not None and self._system.changed(now)):
            nameservers = self.nameservers if self._system is None else self._system.found
            try:
                self._plan = self._new_plan(nameservers)
                self.nameservers = nameservers
            except NameserverError as error:
                if self._plan is None:
                    raise
                kept = ", ".join(self.nameservers)
                self._journal.say(log, logging.WARNING, "%s; keeping %s", error, kept)
        return self._plan

    def _new_plan(self, nameservers: tuple[str, ...]) -> Plan:
        from dnsbl.engine._engine import Plan

        engine = self.running()
        sets = []
        self.set_servers = dict(self.set_servers)  # verdicts not read yet keep the one they know
        for zone in self._zones:
            servers = zone.nameservers or nameservers
            sets.append(engine.nameserver_set(servers))
            self.set_servers[sets[-1]] = servers
        return Plan(
            [zone.wire_name for zone in self._zones],
            sets,
            [zone.timeout_s or self._settings.timeout_s for zone in self._zones],
            engine,
        )

    def fan(self, key: Key, zones: Sequence[int], now: float, texts: bool, tag: Any) -> Fan:
        """Questions for `key` in `zones`, not asked yet."""
        from dnsbl.engine._engine import TYPE_A, TYPE_TXT

        record_type = TYPE_TXT if texts else TYPE_A
        return self.running().fan(self.plan(now), key, zones, record_type, self._settings.tries, tag)

    def listen_alone(self, fan: Fan, for_s: float, listen_s: float = 0.0) -> None:
        """Have a fan asked for so long without anybody waiting for it."""
        engine = self.running()
        assert self._nobody is not None
        self._nobody.forget(engine.submit(fan, self._nobody, for_s, listen_s))
        self._nobody.drain()  # what was answered before it was forgotten

    def server_name(self, number: int, server: int) -> str:
        """`ADDRESS:PORT` of the nameserver of a set that answered, or nothing."""
        return "" if server < 0 else self.set_servers[number][server]

    def close(self) -> Engine | None:
        """Start nothing any more; the engine, to be closed without the lock."""
        self.closed = True
        engine, self.engine, self._plan = self.engine, None, None
        return engine

    def after_fork(self) -> None:
        """In the child: the parent's engine has no thread here."""
        if self.engine is not None:
            self.engine.abandon_after_fork()
        self.engine = self._plan = self._nobody = None
        self.set_servers = {}
