"""Where the daemon listens, as text: `127.0.0.1:10040`, `[::1]:10040`, `unix:/run/dnsbl/policy.sock`.

No I/O: whether it can be listened on is another matter.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

MAX_PATH_BYTES: Final = 107
"""unix(7): sun_path holds 108 bytes, the closing NUL included."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """host: an IP address. port: 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """path: absolute."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


def parse_tcp(text: str) -> TcpAddress:
    """Read `ADDRESS:PORT`, an IPv6 address in brackets. Raises ValueError, which names the text.

    >>> parse_tcp("[::1]:10040")
    TcpAddress(host='::1', port=10040)
    """
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
        if bracketed is not (address.version == 6) or not (port.isascii() and port.isdigit()):
            raise ValueError
        if int(port) > 65_535:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{text!r} is not a valid address to listen on: use 127.0.0.1:10040 or [::1]:10040"
        ) from None
    return TcpAddress(str(address), int(port))


def parse_listen(text: str) -> TcpAddress | UnixAddress:
    """Read what `parse_tcp` takes, or `unix:/ABSOLUTE/PATH`. Raises ValueError, which names the text."""
    if not text.startswith("unix:"):
        return parse_tcp(text)
    path = text.removeprefix("unix:")
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f"{text!r} has no absolute path; use unix:/run/dnsbl/policy.sock")
    if len(path.encode("utf-8", "surrogateescape")) > MAX_PATH_BYTES:
        raise ValueError(f"{text!r} is longer than the {MAX_PATH_BYTES} bytes a socket's path may have")
    return UnixAddress(path)
