"""Telling systemd how the daemon is: sd_notify(3) and sd_watchdog_enabled(3), in plain code.

Where there is no systemd nothing happens. Nothing here raises: whether systemd listens is not worth a mail.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends states to the socket that $NOTIFY_SOCKET names, a path or, with `@`, an abstract name.

    watchdog_s: how often systemd wants to hear WATCHDOG=1 at the latest, in seconds; 0: not at all.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        path = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        usec = env.get("WATCHDOG_USEC", "")
        is_ours = env.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(usec) / 1e6 if is_ours and usec.isascii() and usec.isdigit() else 0.0

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """READY=1 must follow, whether the new configuration was good or not."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(state.encode(), self._address)
        except OSError:
            pass
