"""Domains and addresses in a message's headers: who it says it is from, and who signed it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message as EmailMessage
from typing import Final, NamedTuple

from dnsbl.mail.links import clean_link, visible

ADDRESS_HEADERS: Final = ("From", "Reply-To", "Return-Path")
OTHER_HEADERS: Final = ("Message-ID", "List-Unsubscribe", "DKIM-Signature")
MAX_CHARS: Final = 4096
"""Of one header that are read."""
MAX_SAME: Final = 10
"""Headers of one name that are read."""

_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"(?=@)|("(?:[^"\\]|\\.)*")')
_ANGLE: Final = re.compile(r"<([^<>]*)>")
_EMAIL: Final = re.compile(
    r"[^\s<>()@,;:\\\"\[\]]{1,64}@(?:\[[^\[\]\s]{1,60}\]|[^\s<>()@,;:\\\"\[\]]{1,253})"
)
_SIGNER: Final = re.compile(r"(?:^|;)\s*d\s*=([^;]*)", re.IGNORECASE)
_SPACE: Final = re.compile(r"\s+")


class Named(NamedTuple):
    """What a header names. kind: "email", "host" or "dkim". where: the header's name."""

    kind: str
    text: str
    where: str


def values_of(headers: EmailMessage, name: str, most: int = MAX_SAME) -> list[str]:
    """The values of a header, unparsed, newest first as they stand; UTF-8 where they are not ASCII."""
    wanted, found = name.lower(), []
    for key, value in headers.raw_items():
        if key.lower() == wanted:
            text = str(value)[: 4 * MAX_CHARS]
            found.append(text.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
            if len(found) == most:
                break
    return found


def named_in(headers: EmailMessage) -> Iterator[Named]:
    """Every address, domain and signer that the headers name."""
    for name in ADDRESS_HEADERS:
        for value in values_of(headers, name):
            for email in addresses_in(value):
                yield Named("email", email, name)
    for value in values_of(headers, "Message-ID"):
        host = value[:MAX_CHARS].strip().rstrip(">").rpartition("@")[2].strip()
        if host and "@" in value:
            yield Named("host", host, "Message-ID")
    for value in values_of(headers, "List-Unsubscribe"):
        for found in _ANGLE.finditer(_SPACE.sub("", value[:MAX_CHARS])):
            if link := clean_link(found[1]):
                yield Named("email" if link.email else "url", link.url, "List-Unsubscribe")
    for value in values_of(headers, "DKIM-Signature"):
        if signer := _SIGNER.search(value[:MAX_CHARS]):
            yield Named("dkim", _SPACE.sub("", signer[1]), "DKIM-Signature d=")


def addresses_in(value: str) -> list[str]:
    """The addresses of a From-like header; one that a display name only shows is none.

    >>> addresses_in('"service@bank.example" <someone@evil.example>')
    ['someone@evil.example']
    """
    text = visible(value[:MAX_CHARS])
    text = _QUOTED.sub(lambda found: "" if found[1] else found[0].replace(" ", ""), text)
    angles = [found[1] for found in _ANGLE.finditer(text) if "@" in found[1]]
    return [found.group() for part in (angles or [text]) for found in _EMAIL.finditer(part)]


def absent(headers: EmailMessage) -> tuple[str, ...]:
    """Which of the headers looked at are missing: nothing is known of those, which is not to say clean."""
    present = {key.lower() for key, _ in headers.raw_items()}
    return tuple(name for name in (*ADDRESS_HEADERS, *OTHER_HEADERS) if name.lower() not in present)
