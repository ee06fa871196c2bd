"""Runs the application on uvicorn: sockets, limits, signals, and what systemd is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn

from dnsbl.policyd.listeners import Listener, open_listener
from dnsbl.policyd.notify import Notifier
from dnsbl.resolver import Resolver
from dnsbl.web.app import make_app
from dnsbl.web.protocol import BoundedProtocol
from dnsbl.web.settings import Settings

GRACE_S: Final = 5
"""How long replies under way may take once the server is told to end."""
KEEP_ALIVE_S: Final = 75

log = logging.getLogger("dnsbl.web")


def run(settings: Settings, notifier: Notifier, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. say: takes the lines that tell where it listens.

    Raises ListenError, ConfigError and ZoneError for what cannot be used.
    """
    options = settings.options
    with contextlib.ExitStack() as stack:
        listeners = [open_listener(address, allow_remote=True) for address in settings.listen]
        for listener in listeners:
            stack.callback(listener.close)
            if listener.sock.family != socket.AF_UNIX:
                # What is accepted inherits it; else the head and the body of a reply, written one after the
                # other, are 40 ms apart, the time of a delayed acknowledgement.
                listener.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        resolver = stack.enter_context(
            Resolver(
                options.zones or None, options.nameservers or None, options.deadline_s, config=settings.config
            )
        )
        app, services = make_app(settings, resolver)
        stack.callback(services.authz.close)
        if not services.authz.zones:
            log.warning("/authz lets everybody in: no list asked says anything about web visitors")
        config = uvicorn.Config(
            app, http=BoundedProtocol, ws="none", lifespan="off", log_config=None, log_level="error", access_log=False,
            proxy_headers=False, server_header=False, limit_concurrency=settings.max_connections,
            timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=GRACE_S, backlog=1_024,
        )  # fmt: skip
        _Server(config, listeners, notifier, say).run([listener.sock for listener in listeners])


class _Server(uvicorn.Server):
    """uvicorn's, which ends by a signal as a program that did what it was told: with exit code 0."""

    def __init__(
        self,
        config: uvicorn.Config,
        listeners: list[Listener],
        notifier: Notifier,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(config)
        self._listeners = listeners
        self._notifier = notifier
        self._say = say

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        yield

    def _end(self) -> None:
        self.should_exit = True
        self._notifier.stopping()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in self._listeners:
            self._say(f"listening on {_shown(listener)}")
        self._notifier.ready()

    async def on_tick(self, counter: int) -> bool:
        if counter % 50 == 0:  # every five seconds
            self._notifier.watchdog()
        return await super().on_tick(counter)


def _shown(listener: Listener) -> str:
    return listener.name if listener.name.startswith("unix:") else f"http://{listener.name}/"
