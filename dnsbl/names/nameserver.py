"""Nameservers as text: what a user writes, and what stands in resolv.conf.

What it does: one canonical text for each nameserver. What it does not: no I/O, no choice among nameservers,
no host names (to resolve one takes a nameserver).

The canonical text is `ADDRESS:PORT`, `[IPV6]:PORT`, or `[IPV6]:PORT%INTERFACE` for a link-local address,
which is how c-ares takes them (ares_set_servers_csv(3), c-ares 1.34).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dnsbl.errors import NameserverError
from dnsbl.names._qname import format_address, parse_address, scope_id

DEFAULT_PORT = 53
NAMESERVERS_MAX = 8
"""Nameservers taken from one resolv.conf. glibc stops at 3 (resolv.conf(5), MAXNS), c-ares has no limit;
what comes after the eighth would not be asked before any deadline."""
_SKIPPED_MAX = 16
_SHOWN_MAX = 80

# What stands around an address: brackets, a port, and an interface in either of the usual places.
_SHAPE = re.compile(
    r"(?:\[(?P<bracketed>[^\[\]]*)\]|(?P<bare>[^\[\]:%]*))(?::(?P<port>[0-9]{1,5}))?(?P<scope>%[^\[\]:%]+)?"
)
_INTERFACE = re.compile(r"[A-Za-z0-9._-]+")
_FORMS = "write ADDRESS, ADDRESS:PORT or [IPV6]:PORT"


class ResolvConf(NamedTuple):
    """What a resolv.conf says about nameservers.

    nameservers: canonical, in the order of the file, without repetitions, at most `NAMESERVERS_MAX`.
    skipped: nameserver lines that could not be used, each with the reason, for the log.
    """

    nameservers: tuple[str, ...]
    skipped: tuple[str, ...]


def parse_nameserver(text: str) -> str:
    """The canonical text of a nameserver: `ADDRESS:PORT`, `[IPV6]:PORT` or `[IPV6]:PORT%INTERFACE`.

    Takes an IPv4 or IPv6 address, with a port or without (then 53); IPv6 with a port needs brackets.
    IPv4-mapped IPv6 is the IPv4 address. A link-local address needs its interface, as
    `fe80::1%eth0`, `[fe80::1%eth0]:53` or `[fe80::1]:53%eth0`. NameserverError for everything else, host
    names included.

    >>> parse_nameserver("192.0.2.53"), parse_nameserver("[2001:db8::53]:5353")
    ('192.0.2.53:53', '[2001:db8::53]:5353')
    """
    address, port = text, DEFAULT_PORT
    if parse_address(text) is None:
        address, port = _split(text)
    packed = parse_address(address)
    if packed is None:
        raise NameserverError(f"{_shown(text)} is not a valid nameserver: {_FORMS}", text)
    if not 1 <= port <= 65535:
        raise NameserverError(f"{_shown(text)} has the port {port}: 1 to 65535", text)
    if len(packed) == 4:
        return f"{format_address(packed)}:{port}"
    if packed[0] == 0xFE and packed[1] & 0xC0 == 0x80:
        return f"[{format_address(packed)}]:{port}%{_interface(address, text)}"
    return f"[{format_address(packed)}]:{port}"


def parse_resolv_conf(text: str) -> ResolvConf:
    """The nameservers of a resolv.conf(5), read leniently; see `ResolvConf`.

    Only `nameserver` lines are read, in any case, and of those the first word; `#` and `;` start a comment
    anywhere, lines may end in CR LF, the text may start with a byte order mark. No search list is read:
    a query name is always absolute (RFC 1535). Raises nothing; no nameserver at all is an empty tuple,
    not the 127.0.0.1 that glibc would ask.

    >>> parse_resolv_conf("nameserver 192.0.2.53 # note").nameservers
    ('192.0.2.53:53',)
    """
    found: list[str] = []
    skipped: list[str] = []
    for line in text.removeprefix("\ufeff").split("\n"):
        words = re.split("[#;]", line, maxsplit=1)[0].split()
        if not words or words[0].lower() != "nameserver":
            continue
        try:
            nameserver = parse_nameserver(words[1] if len(words) > 1 else "")
        except NameserverError as error:
            skipped.append(str(error))
            continue
        if nameserver in found:
            continue
        if len(found) < NAMESERVERS_MAX:
            found.append(nameserver)
        else:
            skipped.append(f"{nameserver} is one more than the {NAMESERVERS_MAX} that are used")
    return ResolvConf(tuple(found), tuple(skipped[:_SKIPPED_MAX]))


def is_loopback(nameserver: str) -> bool:
    """Whether a nameserver (as from `parse_nameserver`) is on this machine: 127.0.0.0/8 or ::1.

    >>> is_loopback("127.0.0.1:5353"), is_loopback("[2001:db8::53]:53")
    (True, False)
    """
    return nameserver.startswith(("127.", "[::1]:"))


def _split(text: str) -> tuple[str, int]:
    """What stands for the address, its interface behind a `%`, and the port."""
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise NameserverError(f"{_shown(text)} is not a valid nameserver: {_FORMS}", text)
    bracketed, bare, port, scope = shape.group("bracketed", "bare", "port", "scope")
    if bare and re.search("[A-Za-z]", bare):
        raise NameserverError(f"{_shown(text)} is a host name: give the nameserver's address", text)
    return (bare if bracketed is None else bracketed) + (scope or ""), int(port or DEFAULT_PORT)


def _interface(address: str, text: str) -> str:
    """The scope id, which a link-local nameserver must have: c-ares drops one without, and tells nobody."""
    interface = scope_id(address)
    if not interface:
        raise NameserverError(f"{_shown(text)} is link-local: add its interface, as in fe80::1%eth0", text)
    if not _INTERFACE.fullmatch(interface):
        raise NameserverError(f"{_shown(text)} has an interface name that cannot be used", text)
    return interface


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "...")
