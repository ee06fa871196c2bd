"""The monitor as a service: rounds when they are due, notices until they are taken, a ping when all is well."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

from dnsbl.errors import DnsblError
from dnsbl.monitor.grid import make_grid
from dnsbl.monitor.metrics import Collector
from dnsbl.monitor.rounds import Clock, Round, Rounds
from dnsbl.monitor.setup import Load, Setup
from dnsbl.monitor.sinks import Delivery, http_client, request
from dnsbl.monitor.state import Reader, State
from dnsbl.policyd.log import Log
from dnsbl.policyd.metrics import MetricsServer
from dnsbl.policyd.notify import Notifier

LOOK_EVERY_S = 10.0
"""The longest sleep: the clock may be set meanwhile, and systemd wants to hear."""
MIN_SLEEP_S = 1.0


class Daemon:
    """Runs until `stop` is set.

    load: reads the configuration, again when `reload` is set; one that is wrong is said so, and left.
    state: what is written; another path of it in the configuration takes a new start.
    """

    def __init__(self, setup: Setup, load: Load, state: State, log: Log, clock: Clock = time.time) -> None:
        self._load, self._state, self._log, self._clock = load, state, log, clock
        self.wake, self.stop, self.reload = threading.Event(), False, False
        self._metrics: MetricsServer | None = None
        self._troubles: tuple[str, ...] = ()
        self._notifier = Notifier(os.environ)
        self._take(setup)

    def run(self) -> None:
        """Rounds until the end. Raises DnsblError where the metrics cannot be served."""
        self._serve_metrics()
        self._log.info(f"watching {len(self._setup.settings.watch)} items on {len(self._setup.zones)} lists")
        self._notifier.ready()
        next_at = self._clock()
        try:
            while not self.stop:
                if self.reload:
                    self._reload()
                    next_at = self._clock()
                if self._clock() >= next_at:
                    next_at = self._round()
                waiting = self._tell()
                self._notifier.watchdog()
                until = next_at if waiting is None else min(next_at, waiting)
                self.wake.wait(min(max(until - self._clock(), MIN_SLEEP_S), LOOK_EVERY_S))
                self.wake.clear()
                if next_at - self._clock() > self._setup.settings.interval_s + LOOK_EVERY_S:
                    next_at = self._clock()  # it was set back
        finally:
            self._notifier.stopping()
            if self._metrics is not None:
                self._metrics.close()

    def _take(self, setup: Setup) -> None:
        self._setup = setup
        names = [sink.name for sink in setup.sinks]
        self._rounds = Rounds(
            self._state,
            setup.settings,
            setup.zones,
            setup.nameservers,
            setup.open_resolver,
            names,
            self._clock,
        )
        self._delivery = Delivery(self._state, setup.sinks, self._log.warning)

    def _serve_metrics(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None
        address = self._setup.settings.metrics
        if address is not None:
            sinks = tuple(sink.name for sink in self._setup.sinks)
            self._metrics = MetricsServer(address, Collector(self._state.path, self._delivery.told, sinks))
            self._log.info(f"metrics on {self._metrics.address}")

    def _reload(self) -> None:
        self.reload = False
        self._notifier.reloading()
        try:
            self._take(self._load())
            self._log.info("configuration read again")
        except (DnsblError, OSError) as error:
            self._log.error(f"{error}; going on as before")
        else:
            try:
                self._serve_metrics()
            except DnsblError as error:
                self._log.error(f"{error}; going on without")
        self._notifier.ready()

    def _round(self) -> float:
        """One round and what follows it; when the next is due."""
        now = self._clock()
        try:
            done = self._rounds.run()
        except (DnsblError, sqlite3.Error) as error:
            self._log.error(f"no round: {error}")
            return now + self._setup.settings.interval_s
        for change in done.changes:
            self._log.info(f"{change.subject} {change.what} by {change.zone} {change.reason}".rstrip())
        for trouble in done.troubles:
            if trouble not in self._troubles:
                self._log.warning(trouble)
        self._troubles = done.troubles
        self._log.info(
            f"round: {done.asked} asked, {done.answered} answered, {len(done.changes)} changes, "
            f"{done.took_s:.3f} s; the next in {max(done.next_at - now, 0):.0f} s"
        )
        self._after(done)
        return done.next_at

    def _tell(self) -> float | None:
        try:
            return self._delivery.run(self._clock())
        except sqlite3.Error as error:
            self._log.error(f"{self._state.path}: {error}")
            return self._clock() + self._setup.settings.interval_s

    def _after(self, done: Round) -> None:
        settings = self._setup.settings
        if settings.grid is not None:
            try:
                write_grid(settings.grid, self._state)
            except OSError as error:
                self._log.error(f"{settings.grid}: cannot be written: {error.strerror}")
        if settings.ping and (done.answered or not done.asked):
            try:
                request(http_client(), "GET", settings.ping, {"user-agent": "dnsbl-monitor"})
            except DnsblError as error:
                self._log.warning(f"ping: {error}")


def write_grid(path: Path, state: Reader) -> None:
    """Put the picture of all that is watched at `path`, in one step. Raises OSError."""
    items = sorted({item for via in state.subjects().values() for item in via})
    text = make_grid(state.entries(), ", ".join(items))
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
