"""A message's bytes to what of it is asked: hosts of links and images, senders, signers, the hop outside.

Reading only: what a list says of it, and who asks, is in dnsbl.lookup. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dnsbl.errors import SubjectError
from dnsbl.mail.headers import absent, named_in, values_of
from dnsbl.mail.hops import MAX_HOPS, FirstUntrusted, Network, first_untrusted
from dnsbl.mail.hosts import host_of_url, subject_of
from dnsbl.mail.links import Link, links_in_html, links_in_text
from dnsbl.mail.mime import Limits, Reader
from dnsbl.subject import Subject, email_subject, url_subject

MAX_WHERE: Final = 10
"""Places that are kept for one subject."""

HARMLESS: Final = (
    "ajax.googleapis.com", "apple.com", "fonts.googleapis.com", "fonts.gstatic.com", "gmail.com",
    "hotmail.com", "icloud.com", "live.com", "openxmlformats.org", "outlook.com", "purl.org",
    "schemas.microsoft.com", "w3.org", "xmlns.com", "yahoo.com",
)  # fmt: skip
"""Domains that are skipped, with all below them, where no other list is given: namespaces and fonts of
message templates, and mail providers of millions, which no domain list holds. Addresses and URLs of theirs
are still asked by hash."""


class Found(NamedTuple):
    """A subject, and where in the message it stood: `From`, `link in part 2 (text/html)`."""

    subject: Subject
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """What of a message can be asked.

    hop: the first untrusted hop, and what was passed by.
    hosts: domains, and addresses standing in their place, of links, images and headers.
    emails, urls: for lists by hash. signers: the domains of DKIM-Signature.
    absent: the headers that would have been looked at, and are missing.
    harmless: domains that were skipped as well known.
    left_out: what the limits kept from being looked at, one line each.
    """

    hop: FirstUntrusted
    hosts: tuple[Found, ...] = ()
    emails: tuple[Found, ...] = ()
    urls: tuple[Found, ...] = ()
    signers: tuple[Found, ...] = ()
    absent: tuple[str, ...] = ()
    harmless: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def read_message(
    data: bytes,
    *,
    trusted: Iterable[str | Network] = (),
    harmless: Iterable[str] = HARMLESS,
    limits: Limits = Limits(),  # noqa: B008  # a NamedTuple: immutable
) -> Message:
    """What of a message (RFC 5322 bytes; line ends CRLF or LF) can be asked. Malformed ones raise nothing.

    trusted: as in `first_untrusted`. harmless: domains, lower-case A-labels, to be skipped with all below.
    Raises ConfigError for what is no network, TypeError for text in the place of bytes.

    >>> message = read_message(b"From: a@example.com\\r\\n\\r\\nsee http://shop.example.net/x.\\r\\n")
    >>> [(found.subject.text, found.where) for found in message.hosts]
    [('example.com', ('From',)), ('shop.example.net', ('link in part 1 (text/plain)',))]
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"a message is bytes, as it came: not {type(data).__name__}")
    data = bytes(data[: limits.message_bytes + 1])
    reader = Reader(limits)
    if len(data) > limits.message_bytes:
        reader.left_out[f"all beyond {limits.message_bytes} bytes of the message"] = None
    headers, body = reader.headers_and_body(data)
    received = values_of(headers, "Received", MAX_HOPS + 1)
    collected = _Collected(limits, frozenset(harmless), reader.left_out)
    for named in named_in(headers):
        collected.add_named(named.kind, named.text, named.where)
    links_left = limits.links
    for part in reader.text_parts(headers, body):
        links, full = _links(part.text, part.is_html, links_left)
        links_left -= len(links)
        if full:
            reader.left_out[f"links beyond {limits.links}"] = None
        collected.add_links(links, f"in part {part.number} ({part.kind})")
    return Message(
        hop=first_untrusted(received, trusted),
        hosts=collected.hosts.all(),
        emails=collected.emails.all(),
        urls=collected.urls.all(),
        signers=collected.signers.all(),
        absent=absent(headers),
        harmless=tuple(collected.skipped),
        left_out=tuple(reader.left_out),
    )


def _links(text: str, is_html: bool, most: int) -> tuple[list[Link], bool]:
    if is_html:
        return links_in_html(text, most)
    links: list[Link] = []
    for link in links_in_text(text):
        if len(links) == most:
            return links, True
        links.append(link)
    return links, False


class _Kept:
    """Subjects, each once, at most `most`, with where they stood."""

    def __init__(self, most: int, what: str, left_out: dict[str, None]) -> None:
        self._found: dict[str, tuple[Subject, list[str]]] = {}
        self._most = most
        self._what = what
        self._left_out = left_out

    def add(self, subject: Subject, where: str) -> None:
        found = self._found.get(subject.text)
        if found is None:
            if len(self._found) >= self._most:
                self._left_out[f"{self._what} beyond {self._most}"] = None
                return
            self._found[subject.text] = (subject, [where])
        elif where not in found[1] and len(found[1]) < MAX_WHERE:
            found[1].append(where)

    def all(self) -> tuple[Found, ...]:
        return tuple(Found(subject, tuple(where)) for subject, where in self._found.values())


@dataclass(slots=True)
class _Collected:
    """Everything found so far, in the order of the message."""

    limits: Limits
    harmless: frozenset[str]
    left_out: dict[str, None]
    skipped: dict[str, None] = field(default_factory=dict)
    hosts: _Kept = field(init=False)
    emails: _Kept = field(init=False)
    urls: _Kept = field(init=False)
    signers: _Kept = field(init=False)
    _of_authority: dict[str, Subject | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.hosts = _Kept(self.limits.domains, "domains", self.left_out)
        self.emails = _Kept(self.limits.emails, "e-mail addresses", self.left_out)
        self.urls = _Kept(self.limits.urls, "URLs", self.left_out)
        self.signers = _Kept(self.limits.domains, "signers", self.left_out)

    def add_named(self, kind: str, text: str, where: str) -> None:
        if kind == "email":
            self._add_email(text, where)
        elif kind == "url":
            self._add_url(text, where)
        elif subject := subject_of(text):
            self._add_host(subject, where)
            if kind == "dkim" and subject.kind == "domain":
                self.signers.add(subject._replace(kind="dkim"), where)

    def add_links(self, links: list[Link], place: str) -> None:
        for link in links:
            if link.email:
                self._add_email(link.url, f"address {place}")
            else:
                self._add_url(link.url, f"{link.kind} {place}")

    def _add_url(self, url: str, where: str) -> None:
        authority = url.split("/", 3)[2].partition("?")[0].partition("#")[0]
        if authority not in self._of_authority:
            self._of_authority[authority] = host_of_url(url)
        host = self._of_authority[authority]
        if host is None:
            return
        self._add_host(host, where)
        rest = url.partition("://")[2][len(authority) :]
        if rest not in ("", "/"):
            self._add(self.urls, url_subject, f"http://{_authority_of(host)}{rest}", where)

    def _add_email(self, text: str, where: str) -> None:
        if host := subject_of(text.rpartition("@")[2]):
            self._add_host(host, where)
            self._add(self.emails, email_subject, text, where)

    def _add_host(self, host: Subject, where: str) -> None:
        if self._is_harmless(host.text):
            self.skipped[host.text] = None
        elif host.kind == "domain":
            self.hosts.add(host, where)
        else:
            self.hosts.add(host._replace(kind="link4" if host.kind == "ip4" else "link6"), where)

    def _is_harmless(self, name: str) -> bool:
        if name in self.skipped:
            return True
        labels = name.split(".")
        return any(".".join(labels[at:]) in self.harmless for at in range(len(labels)))

    @staticmethod
    def _add(kept: _Kept, make: Callable[[str], Subject], text: str, where: str) -> None:
        with suppress(SubjectError):  # its host was taken all the same
            kept.add(make(text), where)


def _authority_of(host: Subject) -> str:
    return f"[{host.text}]" if host.kind == "ip6" else host.text
