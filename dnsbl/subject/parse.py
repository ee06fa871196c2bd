"""Whatever a caller wants looked up, as one value: parse_subject.

What it does: addresses, address literals, domains, e-mail addresses and URLs, down to the address or host
in them. What it does not: no I/O, and no judgement of what surrounds the host (local part, user info, path).
"""

from __future__ import annotations

import re
from reprlib import repr as _repr  # bounded, and it survives a broken __repr__
from typing import Literal, NamedTuple

from dnsbl.errors import SubjectError
from dnsbl.model import SubjectKind
from dnsbl.names._qname import format_address, is_local, parse_address
from dnsbl.subject.address import address_key
from dnsbl.subject.domain import is_local_domain, parse_domain, registrable_domain, shown

TEXT_MAX = 8192
"""Characters of a subject's text. A URL may have 8,000 octets and more (RFC 9110 section 4.1)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_URL_START = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}://")  # RFC 3986 section 3.1
_AUTHORITY_END = re.compile(r"[/?#]")  # RFC 3986 section 3.2
_PORT = re.compile(r"[0-9]{0,5}")  # RFC 3986 section 3.2.3: it may be empty


class Subject(NamedTuple):
    """What is looked up.

    kind: "ip4", "ip6" or "domain"; what `SubjectKind` has besides is made by the functions below.
    key: the 4 or 16 bytes of an address in network order, or the host name as lower-case A-labels; of an
        "email" or "url" the text to be hashed.
    text: the canonical text (RFC 5952 for IPv6); parsing it gives the same subject again.
    local: no public list can hold it (a private address, a single label, a special-use name), so that it
        is not asked by default.
    """

    kind: SubjectKind
    key: bytes | str
    text: str
    local: bool

    @property
    def registrable(self) -> str | None:
        """The registrable domain; None of an address or a bare public suffix. Computed when it is read."""
        return registrable_domain(self.key) if isinstance(self.key, str) else None

    def asked_as(self, domain: Literal["registrable", "host"]) -> str | None:
        """The name a domain list is asked for: the registrable domain, or the whole host.

        None where there is nothing to ask: an address, or a bare public suffix in either way.

        >>> parse_subject("www.example.co.uk").asked_as("registrable")
        'example.co.uk'
        >>> parse_subject("co.uk").asked_as("host") is None
        True
        """
        registrable = self.registrable
        return registrable if domain == "registrable" or registrable is None else self.text


def parse_subject(value: object) -> Subject:
    """The address or domain in `value`; SubjectError, with the text in `.text`, if it has none.

    Takes
    - `bytes` of length 4 or 16, `ipaddress.IPv4Address` and `IPv6Address`;
    - the text of an address: strict, without white space around it (it is refused, not stripped: a value
      read with its line end is a fault to be seen). A scope id makes it link-local and is dropped;
    - an address literal: `[192.0.2.1]`, `[IPv6:2001:db8::1]` (RFC 5321 section 4.1.3; the tag in any case,
      or left out as in a URL);
    - a domain, in ASCII or Unicode, with or without a trailing dot;
    - an e-mail address: what follows its last `@`, a domain, a literal, or an address;
    - a URL: the host between user info and port;
    - a Subject, which is given back.

    IPv4-mapped IPv6 is the IPv4 address in every form. An address given as a host is the address.

    >>> parse_subject("user@Example.COM").text
    'example.com'
    >>> parse_subject("https://[2001:db8::1]:8443/x").kind
    'ip6'
    """
    key = address_key(value)
    if key is not None:
        return _address(key)
    if isinstance(value, Subject):
        return value
    if not isinstance(value, str):
        raise _not_a_subject(value)
    text = str.__str__(value)
    host = _host(text)
    try:
        return _literal(host) if host.startswith("[") else _name_or_address(host)
    except SubjectError as error:
        from dnsbl.subject.misread import hint  # only a message needs it

        raise SubjectError(hint(text) or str(error), text) from None


def email_subject(text: str) -> Subject:
    """An e-mail address as one to be asked by hash, in lower case. Raises SubjectError.

    >>> email_subject("Someone@Example.COM").text
    'someone@example.com'
    """
    host = parse_subject(text)
    if "@" not in text or _URL_START.match(text):
        raise SubjectError(f"{shown(text)} is not a valid e-mail address: use name@example.com", text)
    domain = host.text if isinstance(host.key, str) else text.rpartition("@")[2].lower()
    address = f"{text.rpartition('@')[0].lower()}@{domain}"
    return Subject("email", address, address, host.local)


def url_subject(text: str) -> Subject:
    """A URL as one to be asked by hash, with its host in lower-case A-labels. Raises SubjectError.

    >>> url_subject("HTTP://user@Example.COM:80/Path").text
    'http://example.com/Path'
    """
    start = _URL_START.match(text)
    host = parse_subject(text)
    if start is None:
        raise SubjectError(f"{shown(text)} is not a valid URL: use https://example.com/path", text)
    authority = _AUTHORITY_END.split(text[start.end() :], maxsplit=1)[0]
    shown_host = f"[{host.text}]" if host.kind == "ip6" else host.text
    url = f"{start.group().lower()}{shown_host}{text[start.end() + len(authority) :]}"
    return Subject("url", url, url, host.local)


def _address(key: bytes) -> Subject:
    return Subject("ip4" if len(key) == 4 else "ip6", key, format_address(key), is_local(key))


def _name_or_address(host: str) -> Subject:
    key = parse_address(host)
    if key is not None:
        return _address(key)
    name = parse_domain(host)
    return Subject("domain", name, name, is_local_domain(name))


def _literal(host: str) -> Subject:
    inner = host[1:-1] if host.endswith("]") else ""
    if inner[:5].lower() == "ipv6:":
        inner = inner[5:] if ":" in inner[5:] else ""
    key = parse_address(inner)
    if key is None:
        raise SubjectError(
            f"{shown(host)} is not a valid address literal: write [192.0.2.1] or [IPv6:2001:db8::1]", host
        )
    return _address(key)


def _host(text: str) -> str:
    """The part of a text that names the host or address."""
    if not text:
        raise SubjectError("nothing to look up: the text is empty", text)
    if len(text) > TEXT_MAX:
        raise SubjectError(f"{shown(text)} is too long: {len(text)} characters, of at most {TEXT_MAX}", text)
    if found := _CONTROL.search(text):
        raise SubjectError(f"{shown(text)} holds the control character {found.group()!r}: remove it", text)
    if text != text.strip():
        raise SubjectError(f"{shown(text)} has white space around it: remove it", text)
    if start := _URL_START.match(text):
        return _url_host(text, start.end())
    if "@" not in text:
        return text
    local_part, _, host = text.rpartition("@")
    if not local_part or not host:
        raise SubjectError(
            f"{shown(text)} is not a valid e-mail address: a part beside the @ is missing", text
        )
    return host


def _url_host(text: str, start: int) -> str:
    authority = _AUTHORITY_END.split(text[start:], maxsplit=1)[0]
    if "\\" in authority:
        # Browsers end the host there, RFC 3986 does not: which one is meant cannot be known.
        raise SubjectError(f"{shown(text)} has a backslash in its host: write a slash after the host", text)
    address = authority.rpartition("@")[2]
    bracket = address.rfind("]") + 1
    rest, _, port = address[bracket:].partition(":")
    host = address[:bracket] + rest
    if not host:
        raise SubjectError(f"{shown(text)} is a URL without a host", text)
    if not _PORT.fullmatch(port) or int(port or 0) > 65535:
        raise SubjectError(f"{shown(text)} has {shown(port)} for a port: 0 to 65535, or none", text)
    return _percent_decoded(host, text) if "%" in host and not bracket else host


def _percent_decoded(host: str, text: str) -> str:
    """RFC 3986 section 3.2.2: a host may come percent-encoded, in UTF-8; browsers follow it."""
    from urllib.parse import unquote

    try:
        return unquote(host, errors="strict")
    except UnicodeDecodeError:
        raise SubjectError(f"{shown(text)} has a host that is not UTF-8 behind its %", text) from None


def _not_a_subject(value: object) -> SubjectError:
    if isinstance(value, bytes):
        return SubjectError(f"an address has 4 or 16 bytes, this has {len(value)}", value[:20].hex())
    kind = type(value).__name__
    return SubjectError(f"a subject is str, bytes, IPv4Address or IPv6Address, not {kind}", _repr(value))
