"""What a text that is no subject was probably meant as, and what to write instead.

Ranges, networks, an address with its port, options, files. Only for the message: whether a text is a
subject is decided in parse.py. The command line asks `looks_like_file` besides, for `hosts.txt` has the form
of a domain.
"""

from __future__ import annotations

import re
from typing import Final

from dnsbl.names._qname import parse_address
from dnsbl.subject.domain import has_public_suffix, shown

_RANGE: Final = re.compile(
    r"(?:\d{1,3}\.){1,3}\d{1,3}\s*-\s*[\d.]+|\[?[0-9a-fA-F:]+:[0-9a-fA-F:]*\]?-[0-9a-fA-F:.]+"
)
_HOST: Final = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})+")
_FILE_ENDINGS: Final = frozenset(
    {
        "bz2", "cf", "cfg", "conf", "csv", "dat", "eml", "gz", "html", "ini", "json", "jsonl", "list", "log",
        "lst", "mbox", "old", "out", "ips", "toml", "tsv", "txt", "xml", "xz", "yaml", "yml", "zst",
    }
)  # fmt: skip


def hint(text: str) -> str | None:
    """A whole message for a text that `parse_subject` refuses; None where nothing better is known.

    >>> hint("192.0.2.1:25")
    "'192.0.2.1:25' is an address with a port: write 192.0.2.1"
    >>> hint("example..com") is None
    True
    """
    if _RANGE.fullmatch(text):
        return f"{shown(text)} is a range of addresses: write each address, one a line, to `dnsbl check -`"
    host, slash, rest = text.partition("/")
    if slash and rest.isdigit() and parse_address(host.strip("[]")) is not None:
        return f"{shown(text)} is a network: write one address, or each of its addresses to `dnsbl check -`"
    before, colon, port = text.rpartition(":")
    if colon and port.isdigit() and (alone := _without_brackets(before)):
        kind = "an address" if parse_address(alone) is not None else "a host"
        return f"{shown(text)} is {kind} with a port: write {alone}"
    if text.startswith("-"):
        return f"{shown(text)} is neither an address nor a domain; options stand before `--`"
    if text.startswith(("/", "./", "../", "~/")):
        return _file(text)
    if slash and _HOST.fullmatch(host):
        return f"{shown(text)} is a URL without its scheme: write https://{text}, or the host alone"
    return None


def _without_brackets(text: str) -> str | None:
    """The host of `host` or `[address]`; None where it is neither."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else ""
    if parse_address(inner or text) is not None and (inner or ":" not in text):
        return inner or text
    return text if _HOST.fullmatch(text) else None


def looks_like_file(text: str) -> str | None:
    """A whole message for a domain that ends like a file and has no public suffix; else None.

    >>> looks_like_file("hosts.txt")
    "'hosts.txt' looks like a file: write `dnsbl check - < hosts.txt` to look up what is in it"
    >>> looks_like_file("example.com") is None
    True
    """
    head, _, ending = text.lower().rpartition(".")
    if not head or "@" in text or ":" in text or ending not in _FILE_ENDINGS or has_public_suffix(text):
        return None
    return _file(text)


def _file(text: str) -> str:
    return f"{shown(text)} looks like a file: write `dnsbl check - < {text}` to look up what is in it"
