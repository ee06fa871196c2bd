"""Where the log's lines go: a descriptor, a file, syslog; none of them keeps the daemon waiting.

    [policy]
    log = "stderr"                       # or "syslog" (facility mail), or a file: "/var/log/dnsbl-policyd.log"
    log_level = "info"                   # or "warning", "error"; decisions are info

Under systemd stderr is the journal's: each line has its priority then. A file is opened again at SIGHUP, so
that logrotate can move it away.
"""

from __future__ import annotations

import os
import re
import select
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dnsbl.policyd.log import Log

if TYPE_CHECKING:
    from dnsbl.policyd.settings import Settings

STDERR: Final = "stderr"
SYSLOG: Final = "syslog"
FILE_MODE: Final = 0o640
"""It holds addresses of senders and recipients."""
MAX_WAITING_BYTES: Final = 1 << 20
"""What is kept for a reader that does not read; later lines are dropped."""

_PIECE_BYTES: Final = 4_096
"""POSIX: where poll() says that a pipe takes data, it takes PIPE_BUF bytes without blocking; Linux: 4096."""
_LEVEL: Final = re.compile(r"<[0-7]>")


class FdWriter:
    """Writes to a descriptor and never blocks on it: what its reader does not take is kept, then dropped."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._kept = bytearray()
        self._lost = 0
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def __call__(self, data: bytes) -> int:
        if len(self._kept) + len(data) > MAX_WAITING_BYTES:
            self._lost += data.count(b"\n")
        else:
            self._kept += data
        try:
            while self._kept and self._poll.poll(0):
                done = os.write(self._fd, self._kept[:_PIECE_BYTES])
                del self._kept[:done]
        except OSError:  # the reader has gone; the log is not worth a lost decision
            self._lost += self._kept.count(b"\n")
            self._kept.clear()
            return 0
        if self._kept:
            return 0
        lost, self._lost = self._lost, 0
        return lost


class FileWriter(FdWriter):
    """Appends to a file. Raises OSError where it cannot be opened."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        super().__init__(os.open(path, flags, FILE_MODE))

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)


class SyslogWriter:
    """Writes lines to syslog, facility mail: for a process whose stderr is Postfix's socket (spawn(8))."""

    def __init__(self) -> None:
        import syslog

        syslog.openlog("dnsbl-policyd", syslog.LOG_PID, syslog.LOG_MAIL)
        self._syslog = syslog.syslog

    def __call__(self, data: bytes) -> int:
        for line in data.decode("ascii").splitlines():
            level, text = (int(line[1]), line[3:]) if _LEVEL.match(line) else (6, line)
            self._syslog(level, text)
        return 0


def is_journal(fd: int, env: Mapping[str, str]) -> bool:
    """The descriptor is the stream that $JOURNAL_STREAM names, and not what was put in its place since."""
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return env.get("JOURNAL_STREAM", "") == f"{found.st_dev}:{found.st_ino}"


def direct(log: Log, settings: Settings) -> None:
    """Write where the configuration says; where that cannot be, go on as before, with one line that says so."""
    log.only(settings.log_level)
    if settings.log == STDERR:
        log.redirect(None)
        return
    try:
        write = SyslogWriter() if settings.log == SYSLOG else FileWriter(Path(settings.log))
    except OSError as error:
        log.error(
            f"cannot write the log to {settings.log} (log): {error.strerror or error}; it goes on as before"
        )
        return
    log.info(f"the log goes to {settings.log}")
    log.redirect(write, with_time=settings.log != SYSLOG, with_level=settings.log == SYSLOG)
