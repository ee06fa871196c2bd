"""What every request passes: the Host header, who asks, how much he asked, and what every reply says.

An ASGI application around the one that answers; no more than a look at the headers in the way of a lookup.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from functools import lru_cache
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from dnsbl.errors import ClosedError, DnsblError, SubjectError
from dnsbl.web.access import Access
from dnsbl.web.limits import Rates, client_key
from dnsbl.web.settings import Settings, is_loopback_name
from dnsbl.web.visitors import Address, is_trusted, parse_address, visitor

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("dnsbl.web")

PUBLIC: Final = frozenset({"/healthz"})
"""Asked by whoever watches the service; it tells nothing else."""
UNMETERED: Final = ("/healthz", "/authz", "/metrics", "/static/")
"""Not counted against the rate: it is the proxy or the page itself that asks."""
_NO_HOST: Final = "{!r} is no name of this server: add it to hosts under [serve], or use a token"
GUESSES: Final = 20
"""Wrong tokens and passwords that a client may send at once; one more every `GUESS_S`."""
GUESS_S: Final = 10.0

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS: Final = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
"""Of every reply."""
PAGE_HEADERS: Final = [
    *HEADERS,
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
"""Of all but the replies that programs ask for most, which no browser shows as a page."""
LEAN: Final = frozenset({"check", "authz"})


class Refusal(DnsblError):
    """A request that is answered with an error. status: of HTTP. headers: besides those of every reply."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}


class Guard:
    """Let requests pass to `app`.

    parts: the first parts of all paths there are. counts: replies by one of them, or "other", and status.
    """

    def __init__(self, app: ASGIApp, settings: Settings, parts: frozenset[str]) -> None:
        self._app = app
        self._parts = parts
        self._settings = settings
        self._access = Access(settings.token, settings.passwords)
        self.rates = Rates(settings.rate_per_s, settings.burst)
        self._guesses = Rates(1.0 / GUESS_S, GUESSES)
        self.counts: Counter[tuple[str, int]] = Counter()
        self._client_of = lru_cache(4_096)(self._find_client)
        self._is_known_host = lru_cache(1_024)(self._find_host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        part = path[1:].partition("/")[0]
        if part not in self._parts:
            part = "other"
        started, headers = False, HEADERS if part in LEAN else PAGE_HEADERS

        async def reply(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self.counts[part, message["status"]] += 1
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        scope["app"] = self  # has Starlette raise what it refuses itself, to be told as all else is
        try:
            await self._admit(scope, path)
            await self._app(scope, receive, reply)
        except Exception as error:
            refusal = _refusal(error)
            if started:
                raise
            await _send_error(reply, refusal)

    async def _admit(self, scope: Scope, path: str) -> None:
        """Raise Refusal, or leave who asks in `scope["state"]`."""
        host, authorization, forwarded, site = b"", b"", [], b""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value
            elif name == b"authorization":
                authorization = value
            elif name == b"x-forwarded-for":
                forwarded.append(value.decode("latin-1"))
            elif name == b"sec-fetch-site":
                site = value
        peer = scope["client"][0] if scope["client"] else ""
        state: dict[str, Any] = scope["state"]
        state["peer"], state["forwarded"] = peer, forwarded
        key = state["client"] = self._client_of(peer, tuple(forwarded))
        if path in PUBLIC:
            return
        if not path.startswith(UNMETERED):
            _meter(self.rates, key, 1)
        if path == "/authz" and self._is_proxy(peer):
            return
        if self._access.is_open:
            if path != "/authz" and not self._is_known_host(host):
                raise Refusal(421, _NO_HOST.format(host[:80].decode("latin-1")))
        else:
            await self._check_access(key, authorization)
        if site == b"cross-site" and path != "/":
            raise Refusal(403, "another web site asks in the name of its visitor")

    async def _check_access(self, client: str, authorization: bytes) -> None:
        if authorization:
            _meter(self._guesses, client, 0)
        if not await self._access.allows(authorization):
            if authorization:
                self._guesses.charge(client, 1, monotonic())
            raise Refusal(
                401,
                "a token or a password is needed: send Authorization: Bearer TOKEN",
                {"WWW-Authenticate": 'Basic realm="dnsbl", charset="UTF-8"'},
            )

    def _is_proxy(self, peer: str) -> bool:
        address: Address | None = parse_address(peer)
        return address is None or is_trusted(address, self._settings.trusted)

    def _find_client(self, peer: str, forwarded: tuple[str, ...]) -> str:
        return client_key(visitor(peer, forwarded, self._settings.trusted) or parse_address(peer))

    def _find_host(self, header: bytes) -> bool:
        """Without a token, whatever a browser was led here by (DNS rebinding) has another name in Host."""
        host = header.decode("latin-1").lower()
        name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
        return is_loopback_name(name) or name in self._settings.hosts


def _meter(rates: Rates, client: str, tokens: int) -> None:
    """Take tokens of a client's; raises Refusal once it has none."""
    wait_s = rates.take(client, tokens, monotonic())
    if wait_s:
        raise Refusal(
            429, f"too many requests: ask again in {wait_s:.0f} s", {"Retry-After": f"{wait_s + 1:.0f}"}
        )


def _refusal(error: Exception) -> Refusal:
    from starlette.exceptions import HTTPException

    if isinstance(error, Refusal):
        return error
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase.lower()
        return Refusal(error.status_code, phrase, dict(error.headers or {}))
    if isinstance(error, ClosedError):
        return Refusal(503, "the server is stopping")
    if isinstance(error, DnsblError):
        return Refusal(400 if isinstance(error, SubjectError) else 503, str(error))
    log.error("a request failed: %r", error, exc_info=error)
    return Refusal(500, "a fault of this program: its log says more")


async def _send_error(send: Send, refusal: Refusal) -> None:
    body = json.dumps({"error": str(refusal)}).encode() + b"\n"
    headers = [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
