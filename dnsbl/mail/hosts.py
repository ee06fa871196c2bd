"""The host of a link or header, as text that can be looked up."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from dnsbl.errors import SubjectError
from dnsbl.names._qname import format_address, parse_address
from dnsbl.subject import Subject, parse_subject

_AUTHORITY: Final = re.compile(r"[a-z][a-z0-9+.-]*://([^/?#\\]*)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)


def host_of_url(url: str) -> Subject | None:
    """The address or domain behind a cleaned URL (`scheme://...`); None where it has none.

    >>> host_of_url("http://good.example@evil.example:8080/x").text
    'evil.example'
    >>> host_of_url("http://3221225994/").text
    '192.0.2.10'
    """
    found = _AUTHORITY.match(url)
    if not found:
        return None
    host = found[1].rpartition("@")[2]
    if not host.startswith("["):
        host = host.partition(":")[0]
        if "%" in host:
            host = unquote(host, errors="replace")
    return subject_of(host.rstrip("."))


def subject_of(host: str) -> Subject | None:
    """A host name or address as a subject, or None. Trailing dots and characters that end a name are cut."""
    if not host or len(host) > 1024:
        return None
    if not host.startswith("[") and (number := _as_address(host)):
        host = number
    try:
        return parse_subject(host) if "@" not in host and "/" not in host else None
    except SubjectError:
        return None


def _as_address(host: str) -> str | None:
    """An IPv4 address in any of the ways browsers take one: 1 to 4 numbers, octal and hexadecimal too.

    The URL standard, section 3.5 (IPv4 parser).
    """
    parts = host.split(".")
    if not 1 <= len(parts) <= 4 or not all(_NUMBER.fullmatch(part) and len(part) < 40 for part in parts):
        return None
    if parse_address(host):
        return None
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        return None
    *octets, last = numbers
    if any(octet > 255 for octet in octets) or last >= 256 ** (5 - len(parts)):
        return None
    value = last + sum(octet << 8 * (3 - at) for at, octet in enumerate(octets))
    return format_address(value.to_bytes(4, "big"))


def _number(part: str) -> int:
    if part[:2].lower() == "0x":
        return int(part[2:] or "0", 16)
    return int(part, 8) if len(part) > 1 and part[0] == "0" else int(part)
