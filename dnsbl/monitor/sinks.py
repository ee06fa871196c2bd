"""Those who are told of changes: a program, a webhook, people by mail; and the ping that says all is well.

A notice is told at least once: it waits in the state file until its receiver has taken it, in the order of
the changes, and carries an `id` by which a receiver knows one that comes again. After a day without success it
is given up, with a line in the log.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import smtplib
import socket
import ssl
import subprocess
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING, Any, Final, Protocol

from dnsbl.errors import DnsblError
from dnsbl.monitor.notice import headline, text_of
from dnsbl.text.reason import clean_text

if TYPE_CHECKING:
    from dnsbl.monitor.settings import Settings
    from dnsbl.monitor.state import State
    from dnsbl.zones.secret import Secret

PROGRAM_S: Final = 30.0
HTTP_S: Final = 10.0
SMTP_S: Final = 20.0
GIVE_UP_S: Final = 86_400.0
RETRY_S: Final = (10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0)
"""Waits before the second try, the third, ...; the last again and again."""
MAX_OUTPUT: Final = 300


class SinkError(DnsblError):
    """A notice that could not be told; one line, without a key or a URL's path."""


class Sink(Protocol):
    """Somebody who is told. `send` raises SinkError."""

    name: str

    def send(self, notice: Mapping[str, Any], now: float) -> None: ...


class Program:
    """Runs a program for each notice: JSON on its standard input; exit code 0 is taken for success."""

    name = "program"

    def __init__(self, command: Sequence[str], timeout_s: float = PROGRAM_S) -> None:
        self._command, self._timeout_s = list(command), timeout_s

    def send(self, notice: Mapping[str, Any], now: float) -> None:
        try:
            ended = subprocess.run(
                self._command,
                input=json.dumps(notice).encode() + b"\n",
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=self._timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SinkError(f"{self._command[0]}: not done after {self._timeout_s:g} s: ended") from None
        except OSError as error:
            raise SinkError(f"{self._command[0]}: cannot be run: {error.strerror}") from None
        if ended.returncode:
            said = clean_text(ended.stderr, MAX_OUTPUT)
            raise SinkError(f"{self._command[0]}: exit code {ended.returncode}{said and ': ' + said}")


class Webhook:
    """Posts each notice, signed as standardwebhooks.com has it (specification of 2023, version 1).

    Headers: webhook-id, webhook-timestamp (seconds since 1970), and with a key webhook-signature: `v1,` and
    the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`. The key's bytes are its UTF-8 text, or, of one that
    begins with `whsec_`, what follows in base64.
    """

    name = "webhook"

    def __init__(self, url: str, key: Secret | None = None) -> None:
        self._url, self._key, self._http = url, key, http_client()
        if key is not None:
            try:
                sign(key.reveal(), "", "", b"")
            except ValueError:
                raise DnsblError("webhook_key: behind whsec_ comes base64, and this is none") from None

    def send(self, notice: Mapping[str, Any], now: float) -> None:
        body = json.dumps(notice, separators=(",", ":")).encode()
        headers = {
            "content-type": "application/json",
            "user-agent": "dnsbl-monitor",
            "webhook-id": str(notice["id"]),
            "webhook-timestamp": str(int(now)),
        }
        if self._key is not None:
            headers["webhook-signature"] = sign(
                self._key.reveal(), str(notice["id"]), headers["webhook-timestamp"], body
            )
        request(self._http, "POST", self._url, headers, body)


def sign(key: str, id: str, timestamp: str, body: bytes) -> str:
    """The value of webhook-signature.

    >>> sign("secret", "1700000000-1", "1700000000", b"{}")
    'v1,y1O2S9SvuWIO/s0Y/x4ZPk6onmb4wy38cyChMkPpzUs='
    """
    signed = f"{id}.{timestamp}.".encode() + body
    _, prefix, rest = key.rpartition("whsec_")
    secret = b64decode(rest) if prefix else key.encode()
    return "v1," + b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


class Mail:
    """Sends each notice as a mail of plain text, with the JSON's `id` in its Message-ID."""

    name = "mail"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._from = settings.mail_from or f"dnsbl@{socket.getfqdn()}"

    def send(self, notice: Mapping[str, Any], now: float) -> None:
        settings, (host, port) = self._settings, self._settings.smtp
        try:
            with self._connect(host, port) as server:
                if settings.smtp_tls == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if settings.smtp_user and settings.smtp_password is not None:
                    server.login(settings.smtp_user, settings.smtp_password.reveal())
                refused = server.send_message(self.message(notice, now), self._from, list(settings.mail_to))
        except (smtplib.SMTPException, OSError) as error:
            raise SinkError(f"mail by {host}:{port}: {clean_text(str(error), MAX_OUTPUT)}") from None
        if refused:
            raise SinkError(
                f"mail by {host}:{port}: refused for {clean_text(', '.join(refused), MAX_OUTPUT)}"
            )

    def _connect(self, host: str, port: int) -> smtplib.SMTP:
        if self._settings.smtp_tls == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=SMTP_S, context=ssl.create_default_context())
        return smtplib.SMTP(host, port, timeout=SMTP_S)

    def message(self, notice: Mapping[str, Any], now: float) -> EmailMessage:
        """The mail of a notice. RFC 3834 section 5: nobody's vacation is to answer it."""
        mail = EmailMessage()
        mail["From"], mail["To"] = self._from, ", ".join(self._settings.mail_to)
        mail["Subject"] = f"dnsbl: {headline(notice)}"
        mail["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
        mail["Message-ID"] = make_msgid(str(notice["id"]), self._from.rpartition("@")[2])
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(text_of(notice))
        return mail


def make_sinks(settings: Settings) -> list[Sink]:
    """Those that the configuration names. Raises DnsblError where one needs a package that is not there."""
    sinks: list[Sink] = []
    if settings.program:
        sinks.append(Program(settings.program))
    if settings.webhook:
        sinks.append(Webhook(settings.webhook, settings.webhook_key))
    if settings.mail_to:
        sinks.append(Mail(settings))
    return sinks


class Delivery:
    """Tells what waits in the state file. say: takes one line for the log. told: by sink and `sent`, `failed`
    or `given up`."""

    def __init__(self, state: State, sinks: Sequence[Sink], say: Callable[[str], object]) -> None:
        self._state, self._sinks, self._say = state, {sink.name: sink for sink in sinks}, say
        self.told: Counter[tuple[str, str]] = Counter()
        self._done: set[int] = set()
        """Those that were sent while the state could not be written: on a full disk, say."""

    def run(self, now: float) -> float | None:
        """Tell what is due; when the next is; None: nothing waits. One that fails holds up its own sink only."""
        held: dict[str, float] = {}
        for id, name, made_at, body, tries, try_at in self._state.notices():
            sink = self._sinks.get(name)
            if sink is None:
                self._end(id, name, f"{body['id']}: nobody is told by {name} any more", "given up")
            elif name not in held and try_at > now:
                held[name] = try_at
            elif name not in held:
                self._try(sink, id, made_at, body, tries, now, held)
        return min(held.values(), default=None)

    def _try(
        self, sink: Sink, id: int, made_at: float, body: Any, tries: int, now: float, held: dict[str, float]
    ) -> None:
        try:
            if id not in self._done:
                sink.send(body, now)
                self._done.add(id)
        except SinkError as error:
            self.told[sink.name, "failed"] += 1
            if now - made_at >= GIVE_UP_S:
                self._end(id, sink.name, f"{body['id']}: given up after a day: {error}", "given up")
                return
            wait_s = RETRY_S[min(tries, len(RETRY_S) - 1)]
            held[sink.name] = now + wait_s
            with self._state.change():
                self._state.defer_notice(id, now + wait_s)
            self._say(f"notice {body['id']}: {error}; again in {wait_s:g} s")
        else:
            self._end(id, sink.name, "", "sent")

    def _end(self, id: int, name: str, message: str, how: str) -> None:
        with self._state.change():
            self._state.drop_notice(id)
        self._done.discard(id)
        self.told[name, how] += 1
        if message:
            self._say(f"notice {message}")


def http_client() -> Any:
    """A pool of HTTP connections. Raises DnsblError without urllib3."""
    try:
        import urllib3
    except ImportError:
        raise DnsblError("webhooks and pings need urllib3: pip install 'dnsbl-resolver[fetch]'") from None
    return urllib3.PoolManager(maxsize=1, retries=False, timeout=HTTP_S)


def request(http: Any, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> None:
    """One request; a reply of 2xx is success. Redirects are not followed. Raises SinkError."""
    from urllib3.exceptions import HTTPError
    from urllib3.util import parse_url

    host = parse_url(url).host  # alone: the rest may hold a token
    try:
        reply = http.request(method, url, headers=dict(headers), body=body or None, preload_content=False)
        reply.close()  # unread: what it says beside its status is nothing to us
    except HTTPError as error:
        raise SinkError(f"{host}: no answer ({type(error).__name__})") from None
    if not 200 <= reply.status < 300:
        raise SinkError(f"{host}: it answers {reply.status} {clean_text(reply.reason or '', 60)}".rstrip())
