"""Sees that nearly all clients come from one private address: a bridge or proxy hides them. No I/O.

A container's bridge with userland proxy or masquerading shows Postfix its own address for every client. A
private address is on no list and is exempt: nothing is being checked, and nothing else would tell.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from dnsbl.names._qname import is_local
from dnsbl.subject.address import address_key

WINDOW: Final = 200
"""Requests that are looked at together."""
SHARE: Final = 0.95


class BridgeWatch:
    """Counts clients, `WINDOW` requests at a time; those of users who have logged in are not to be given."""

    def __init__(self) -> None:
        self._clients: Counter[str] = Counter()
        self._left = WINDOW
        self.address = ""
        """The address that hid nearly all clients of the last full window; empty: there was none."""

    def take(self, client: str) -> bool:
        """Count one request. True: a window has just shown a bridge where the one before had not."""
        self._clients[client] += 1
        self._left -= 1
        if self._left:
            return False
        before = self.address
        [(most, count)] = self._clients.most_common(1)
        self.address = most if count >= SHARE * WINDOW and _is_private(most) else ""
        self._clients.clear()
        self._left = WINDOW
        return self.address != "" and self.address != before

    @property
    def warning(self) -> str:
        """What is wrong and what to do, in one line."""
        return (
            f"nearly all clients come from {self.address}, a private address: a bridge or proxy "
            "hides them, and nothing is being checked; give Postfix the host network, or the PROXY "
            "protocol (smtpd_upstream_proxy_protocol)"
        )


def _is_private(client: str) -> bool:
    key = address_key(client)
    return key is not None and is_local(key) and not (len(key) == 4 and key[:1] == b"\x7f")
