"""The daemon under Postfix's spawn(8): one connection, on stdin and stdout, in a process of its own.

spawn(8) connects stderr to the same socket, so that a line of log there would be read as a reply: the log
goes to syslog then. One process serves one smtpd and has a cache of its own; a daemon that listens is
quicker and asks the lists less.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
from types import FrameType
from typing import Final

from dnsbl.policy.protocol import Attributes, ProtocolError, RequestReader
from dnsbl.policyd.backend import make_backend, make_resolver
from dnsbl.policyd.log import Log, Write
from dnsbl.policyd.service import Pending, Service
from dnsbl.policyd.settings import Options, load_settings
from dnsbl.policyd.spawnhealth import SharedHealth, default_file
from dnsbl.policyd.stats import Stats
from dnsbl.policyd.writers import FdWriter, SyslogWriter, direct

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
READ_BYTES: Final = 16_384


def open_log_writer() -> Write:
    """Where lines may go: stderr, unless that is the socket to Postfix, which is taken off it then."""
    if not (_same(STDERR, STDIN) or _same(STDERR, STDOUT)):
        return FdWriter(STDERR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDERR)
    os.close(nowhere)
    return SyslogWriter()


def _same(one: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False


def run_spawned(options: Options, log: Log) -> None:
    """Serve stdin and stdout until stdin ends, or SIGTERM. Raises DnsblError as `load_settings`."""
    settings = load_settings(options)
    direct(log, settings)
    with make_resolver(settings, options) as resolver:
        service = Service(make_backend(settings, options, resolver), log, Stats())
        health = SharedHealth(resolver, settings.health_file or default_file(), log)
        _Session(service, log, settings.idle_timeout_s, settings.read_timeout_s, health).run()


class _Ended(Exception):
    """There is nothing more to do."""


class _Session:
    def __init__(
        self, service: Service, log: Log, idle_timeout_s: float, read_timeout_s: float, health: SharedHealth
    ) -> None:
        self._health = health
        self._service = service
        self._log = log
        self._idle_timeout_s = idle_timeout_s
        self._read_timeout_s = read_timeout_s
        self._reader = RequestReader()
        self._waiting = False
        self._stop = False

    def run(self) -> None:
        before = signal.signal(signal.SIGTERM, self._on_signal)
        try:
            with asyncio.Runner() as runner:
                while True:
                    self._read()
                    self._answer(runner)
        except _Ended:
            pass
        except ProtocolError as error:
            self._log.warning(f"the client sent {error}; the connection is closed")
        except OSError as error:
            self._log.warning(f"the client has gone: {error.strerror or error}")
        finally:
            signal.signal(signal.SIGTERM, before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = True
        if self._waiting:
            raise _Ended

    def _read(self) -> None:
        timeout_s = self._read_timeout_s if self._reader.size_bytes else self._idle_timeout_s
        self._waiting = True  # from here on the signal ends it; before, `_stop` is seen on the next line
        if self._stop:
            raise _Ended
        readable, _, _ = select.select([STDIN], [], [], timeout_s)
        self._waiting = False
        data = os.read(STDIN, READ_BYTES) if readable else b""
        if not data:
            if self._reader.size_bytes:
                self._log.info("the client stopped within a request")
            raise _Ended
        self._reader.feed(data)

    def _answer(self, runner: asyncio.Runner) -> None:
        while (request := self._reader.next()) is not None:
            self._health.refresh()
            self._write(runner.run(self._reply_to(request)))

    async def _reply_to(self, request: Attributes) -> bytes:
        answer = self._service.begin(request)
        return await self._service.finish(answer) if isinstance(answer, Pending) else answer

    def _write(self, data: bytes) -> None:
        while data:
            _, writable, _ = select.select([], [STDOUT], [], self._read_timeout_s)
            if not writable:
                raise _Ended
            data = data[os.write(STDOUT, data) :]
