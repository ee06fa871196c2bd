"""The daemon: listens, serves connections, reloads on SIGHUP, ends on SIGTERM with all answered.

What a connection does is in `connection`, what is answered in `service`. A fault in one connection closes
that connection; a fault in the configuration at a reload keeps the one in use.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dnsbl.errors import DnsblError
from dnsbl.policyd.backend import asks_alike, load_answers, make_backend, make_resolver, save_answers
from dnsbl.policyd.connection import Connection
from dnsbl.policyd.control import ControlServer
from dnsbl.policyd.health import HealthWatch
from dnsbl.policyd.listeners import BACKLOG, Listener, check_address, open_listener, passed_listeners
from dnsbl.policyd.log import Log, describe
from dnsbl.policyd.message import Backend
from dnsbl.policyd.notify import Notifier
from dnsbl.policyd.report import report
from dnsbl.policyd.service import GRACE_S, Service
from dnsbl.policyd.setaside import take_over
from dnsbl.policyd.settings import Options, Settings, load_settings
from dnsbl.policyd.startup import log_warnings, raise_descriptor_limit, summary, warm_up
from dnsbl.policyd.stats import Stats
from dnsbl.policyd.waiting import TEXT_WAIT_S
from dnsbl.policyd.writers import direct

if TYPE_CHECKING:
    from dnsbl.policyd.metrics import MetricsServer
    from dnsbl.resolver import Resolver

END_AFTER_S: Final = 0.05
"""At the end, connections are given this long to bring what was on its way when the signal came."""
ACCEPT_FOR_S: Final = 5.0
"""At the end, those that wait to be accepted are taken in for so long; on a busy machine each takes some ms."""
ACCEPTED_S: Final = 0.01
ACCEPTED_TURNS: Final = 4
"""What asyncio needs to make connections of the last it accepted, in turns of its loop: a closed server makes
none."""
FILES_S: Final = 2.0
KEEP_S: Final = 60.0
"""A resolver that a reload has replaced stays for the messages it has begun to judge; and at most
`MAX_KEPT` of them stay so long."""
MAX_KEPT: Final = 4
_MOST_SWEEP_S: Final = 5.0


class Server:
    """One daemon in one event loop. See `serve`."""

    def __init__(self, settings: Settings, options: Options, log: Log, notifier: Notifier) -> None:
        self.log = log
        self.stats = Stats()
        self._settings = settings
        self._options = options
        self._notifier = notifier
        self._resolver = make_resolver(settings, options)
        self.service = Service(make_backend(settings, options, self._resolver), log, self.stats)
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._listeners: list[Listener] = []
        self._metrics: MetricsServer | None = None
        self._control: ControlServer | None = None
        self._stop = asyncio.Event()
        self._empty = asyncio.Event()
        self._reload_wanted = asyncio.Event()
        self._reloads: asyncio.Task[None] | None = None
        self._health: asyncio.Task[None] | None = None
        self._files: asyncio.Task[None] | None = None
        self.health = HealthWatch(lambda: self._resolver, log)
        self._retired: list[tuple[Backend, Resolver]] = []
        self._refusal_logged_s = 0.0
        self._most_connections = raise_descriptor_limit(settings.max_connections, log)

    # What connections call

    def opened(self, connection: Connection) -> bool:
        if len(self._connections) >= self._most_connections:
            self._refuse()
            return False
        self._connections.add(connection)
        self.stats.accepted += 1
        self.stats.connections = len(self._connections)
        return True

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self.stats.connections = len(self._connections)
        if not self._connections:
            self._empty.set()

    def _refuse(self) -> None:
        """Closed at once, so that Postfix goes on with its default_action rather than wait."""
        self.stats.refused += 1
        now = self._loop.time()
        if now - self._refusal_logged_s >= 1.0:
            self._refusal_logged_s = now
            self.log.warning(
                f"more than {self._most_connections} connections (max_connections): the newest are closed"
            )

    # The course of the daemon

    async def run(self, listeners: list[Listener]) -> None:
        """Serve until SIGTERM or SIGINT, then answer what is in flight."""
        try:
            await self._start(listeners)
            await self._stop.wait()
            self.log.info("ending: answering what is in flight")
        finally:
            self._notifier.stopping()
            await self._end()

    async def _start(self, listeners: list[Listener]) -> None:
        # From the start: a SIGHUP that nobody handles ends a process.
        self._loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        await asyncio.to_thread(load_answers, self._resolver, self._settings.cache_file, self.log)
        await asyncio.to_thread(warm_up)
        # Before the first answer: else a list that lists everybody would have all mail refused until then.
        await self.health.first_pass(self._resolver)
        if self._settings.metrics is not None:
            self._start_metrics()
        if self._settings.control is not None:
            await self._start_control(self._settings.control)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        self._sweep()
        self._feed_watchdog()
        self._reloads = self._loop.create_task(self._reload_on_demand())
        self._health = self._loop.create_task(self.health.run())
        self._files = self._loop.create_task(self._follow_files())
        # Last: who reads that it listens may send a signal, or ask over the control socket.
        for listener in listeners:
            # asyncio tries to accept as often in one go as the backlog is long, logs each failure, and comes
            # back for each: without descriptors that is a thousand lines a second, and soon many more.
            server = await self._loop.create_server(lambda: Connection(self), sock=listener.sock, backlog=1)
            listener.sock.listen(BACKLOG)
            self._servers.append(server)
            self._listeners.append(listener)
            self.log.info(f"listening on {listener.name}")
        gc.collect()
        gc.freeze()  # what lives as long as the daemon is not looked at again at every collection
        self._notifier.ready()

    async def _end(self) -> None:
        for task in (self._reloads, self._health, self._files):
            if task is not None:
                task.cancel()
        await self._accept_all()
        for server in self._servers:
            server.close()
        if self._control is not None:
            self._control.close()
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.close)
        await asyncio.sleep(END_AFTER_S)
        for connection in list(self._connections):
            connection.end()
        if self._connections:
            self._empty.clear()
            try:
                longest_s = self.service.backend.deadline_s + 2 * TEXT_WAIT_S + 2 * GRACE_S
                async with asyncio.timeout(longest_s):
                    await self._empty.wait()
            except TimeoutError:
                self.log.warning(f"{len(self._connections)} connections did not end, and are closed")
                for connection in list(self._connections):
                    connection.abort()
                await asyncio.sleep(0)
        await asyncio.to_thread(save_answers, self._resolver, self._settings.cache_file, self.log)
        for resolver in (self._resolver, *(resolver for _, resolver in self._retired)):
            await resolver.aclose()
        self._ignore_signals()

    def _ignore_signals(self) -> None:
        """All is answered: a second SIGTERM, as the interpreter ends, must not look like a failure."""
        numbers = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        for number in numbers:
            self._loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _start_metrics(self) -> None:
        from dnsbl.policyd.metrics import Collector, MetricsServer

        assert self._settings.metrics is not None
        try:
            self._metrics = MetricsServer(
                self._settings.metrics,
                Collector(self.stats, lambda: self._resolver.stats()),
                allow_remote=self._options.allow_remote,
            )
        except (DnsblError, OSError) as error:
            self.log.error(f"{error}; mail goes on without metrics")
            return
        self.log.info(f"metrics on http://{self._metrics.address}/metrics")

    async def _follow_files(self) -> None:
        """Have the files of patterns read again where they have changed."""
        while True:
            await asyncio.sleep(FILES_S)
            for renewed in await asyncio.to_thread(self._settings.files.refresh):
                (self.log.info if renewed.good else self.log.warning)(renewed.message)

    async def _start_control(self, path: Path) -> None:
        """As with metrics: mail goes on without it."""
        commands = {"stats": self._say_stats, "flush": self._flush, "recheck": self._recheck}
        try:
            self._control = ControlServer(path, commands)
            await self._control.start()
        except (DnsblError, OSError) as error:
            self.log.error(f"{error} (control); mail goes on without it")

    async def _say_stats(self, rest: str) -> dict[str, Any]:
        at, bridge = self.health.next_check, self.service.bridge
        next_check_s = None if at is None else max(0.0, round(at - time.time(), 1))
        warning = bridge.warning if bridge.address else ""
        return report(self.stats, self._resolver.stats(), warning, next_check_s)

    async def _flush(self, subject: str) -> dict[str, Any]:
        before = self._resolver.cache_info().currsize
        await asyncio.to_thread(self._resolver.flush, subject or None)
        self.log.info(f"answers forgotten on demand: {subject or 'all'}")
        return {"forgotten": max(0, before - self._resolver.cache_info().currsize)}

    async def _recheck(self, rest: str) -> dict[str, Any]:
        self.health.check_now()
        return {"zones": [zone.name for zone in self._resolver.zones]}

    async def _accept_all(self) -> None:
        """Take the connections that wait to be accepted, or closing the socket would reset them.

        Not from a socket of systemd's, where they wait for the next daemon. The path of a UNIX socket goes
        first, so that whoever comes later finds the next one's.
        """
        own = [listener for listener in self._listeners if not listener.passed]
        for listener in own:
            listener.unlink()
        end = self._loop.time() + ACCEPT_FOR_S
        while self._loop.time() < end and any(listener.has_waiting() for listener in own):
            await asyncio.sleep(0)  # the loop accepts
        for _ in range(ACCEPTED_TURNS):
            await asyncio.sleep(ACCEPTED_S)

    def _sweep(self) -> None:
        """Look again and again for connections that do not go on."""
        idle_s, read_s = self._settings.idle_timeout_s, self._settings.read_timeout_s
        self._loop.call_later(min(_MOST_SWEEP_S, idle_s / 4, read_s / 4), self._sweep)
        now = self._loop.time()
        for connection in list(self._connections):
            connection.check_time(now, idle_s, read_s)

    def _feed_watchdog(self) -> None:
        """From the event loop, so that systemd hears of it when the loop stands still."""
        if self._notifier.watchdog_s:
            self._notifier.watchdog()
            self._loop.call_later(self._notifier.watchdog_s / 3, self._feed_watchdog)

    # Reload

    async def _reload_on_demand(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            self._notifier.reloading()
            try:
                await self._reload()
                self.stats.reloads += 1
            except Exception as error:
                self.stats.failed_reloads += 1
                reason = str(error) if isinstance(error, DnsblError | OSError) else describe(error)
                self.log.error(f"reload failed, the configuration in use is kept: {reason}")
            finally:
                self._notifier.ready()

    async def _reload(self) -> None:
        """Read the configuration again; all of it is good before any of it is used."""
        settings = await asyncio.to_thread(load_settings, self._options)
        old = self._resolver
        resolver = old
        if not asks_alike(settings, self._settings):
            resolver = await asyncio.to_thread(make_resolver, settings, self._options)
            await asyncio.to_thread(save_answers, old, settings.cache_file, self.log)
            await asyncio.to_thread(load_answers, resolver, settings.cache_file, self.log)
            take_over(old, resolver)
            await self.health.first_pass(resolver)
        before = self.service.backend
        self.service.backend = make_backend(settings, self._options, resolver)
        self._resolver = resolver
        self._warn_of_restart(settings)
        self._most_connections = raise_descriptor_limit(settings.max_connections, self.log)
        self._settings = settings
        direct(self.log, settings)
        log_warnings(settings, self.log)
        self.log.info(f"reloaded {settings.config.source.name}: {summary(settings)}")
        self.health.check_now()
        if resolver is not old:
            self._retire(before, old)

    def _warn_of_restart(self, new: Settings) -> None:
        for name in ("listen", "socket_mode", "socket_group", "metrics", "control"):
            if getattr(new, name) != getattr(self._settings, name):
                self.log.warning(f"{name} changed; that takes a restart")

    def _retire(self, backend: Backend, resolver: Resolver) -> None:
        """Close a resolver once the messages that it judges are over, each lookup with its own deadline."""
        lookups_s = backend.deadline_s + 2 * TEXT_WAIT_S + 2 * GRACE_S
        self._retired.append((backend, resolver))
        self._loop.call_later(max(KEEP_S, lookups_s), self._let_go, backend, lookups_s)
        for early, _ in self._retired[:-MAX_KEPT]:
            self._let_go(early, lookups_s)

    def _let_go(self, backend: Backend, lookups_s: float) -> None:
        """No further request asks it; what it has under way still ends."""
        if not backend.retired.is_set():
            backend.retired.set()
            self._loop.call_later(lookups_s, self._close_retired, backend)

    def _close_retired(self, backend: Backend) -> None:
        for retired in [retired for retired in self._retired if retired[0] is backend]:
            self._retired.remove(retired)
            retired[1].close()


async def serve(options: Options, log: Log) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Raises DnsblError, before anything is answered, where the configuration or a socket cannot be used.
    """
    settings = load_settings(options)
    loop = asyncio.get_running_loop()
    log.later = loop.call_later
    direct(log, settings)
    log_warnings(settings, log)
    notifier = Notifier(os.environ)
    with ExitStack() as stack:
        listeners = list(passed_listeners(os.environ, allow_remote=options.allow_remote))
        for listener in listeners:
            stack.callback(listener.close)
        for address in () if listeners else settings.listen:
            listener = open_listener(
                address,
                allow_remote=options.allow_remote,
                mode=settings.socket_mode,
                group=settings.socket_group,
            )
            listeners.append(listener)
            stack.callback(listener.close)
        if settings.metrics is not None:  # not worth ending for what else may be wrong with it
            check_address(settings.metrics, allow_remote=options.allow_remote, group="")
        server = Server(settings, options, log, notifier)
        log.info(f"{settings.config.source.name}: {summary(settings)}")
        await server.run(listeners)
    log.info("ended")
