"""The system's nameservers: those of /etc/resolv.conf, followed when the file changes.

c-ares would read the file again only with a thread of its own, and drops `nameserver 192.0.2.53 # note`; so
it is read here, by `dnsbl.names.nameserver`. Looked at every 5 s at most, and only when something is asked.
"""

from __future__ import annotations

import logging
import os
from typing import Final

from dnsbl.errors import NameserverError
from dnsbl.health.journal import Say, say_now
from dnsbl.names.nameserver import parse_resolv_conf

PATH: Final = "/etc/resolv.conf"
MAX_BYTES: Final = 65_536
LOOK_EVERY_S: Final = 5.0

log = logging.getLogger("dnsbl")


class SystemNameservers:
    """`found` is what the file (None: PATH) named last; an emptied or vanished one leaves it as it was.

    Raises NameserverError, when it is made, if the file names no nameserver.
    """

    def __init__(self, path: str | None = None, say: Say = say_now) -> None:
        self._say = say
        self._path = path = path or PATH
        self._stamp: tuple[int, int, int] | None = None
        self._looked_at = float("-inf")
        self.found = self._read()
        if not self.found:
            raise NameserverError(
                f"no nameserver: {path} names none; give nameservers=[...] or add a nameserver line there",
                path,
            )

    def changed(self, now: float) -> bool:
        """Look at the file if it is time to; True if `found` is now something else."""
        if now - self._looked_at < LOOK_EVERY_S:
            return False
        self._looked_at = now
        if self._stamp == self._stamp_now():
            return False
        found = self._read()
        if not found:
            kept = ", ".join(self.found)
            self._say(log, logging.WARNING, "%s names no nameserver any more; keeping %s", self._path, kept)
            return False
        if found == self.found:
            return False
        self._say(log, logging.WARNING, "%s changed: nameservers are now %s", self._path, ", ".join(found))
        self.found = found
        return True

    def _stamp_now(self) -> tuple[int, int, int] | None:
        try:
            stat = os.stat(self._path)
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self) -> tuple[str, ...]:
        self._stamp = self._stamp_now()
        try:
            with open(self._path, "rb") as file:
                text = file.read(MAX_BYTES).decode("utf-8", "replace")
        except OSError:
            return ()
        conf = parse_resolv_conf(text)
        for line in conf.skipped:
            self._say(log, logging.WARNING, "%s: a line that cannot be used: %s", self._path, line)
        return conf.nameservers
