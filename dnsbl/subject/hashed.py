"""E-mail addresses and URLs as lists hold them by hash: each operator's normal form, digest and encoding.

What it does: text to the label that is put before a list's zone. What it does not: no I/O; which list takes
what stands in its catalogue row (`hash`, `normal_form`).

Sources, all read 2026-11-27:

- MSBL EBL: https://msbl.org/ebl-design.html (lower case; a tag from `+` on dropped; dots in the name of Gmail
  addresses dropped; googlemail.com is gmail.com), SHA-1 in hexadecimal.
- Spamhaus HBL, addresses: github.com/spamhaus/spamassassin-dqs 4.0.0+/sh_hbl.cf (the same steps, SHA-1).
- Spamhaus HBL, URLs: the same file's urihash lines, and SH.pm there: the lower-case host and the part of the
  path, from its first `/` or `?` on, that a pattern takes, percent-decoded; which pattern depends on the
  host; outside the named hosts the path is lower-case too. SHA-1. A user's debug log of that plugin, in
  spamassassin-dqs#63, gives a vector: fonts.googleapis.com/css2 is de3a274a294f996687e3e29faa9c8a0685be0fac.
- SURBL hashbl: no page of the operator that says it could be read. As rspamd asks it (host, `/`, path without
  query; MD5 in hexadecimal): its results in archived mail show `SURBL_HASHBL_ABUSE` with `ipfs.io/ipfs/...`,
  and Stalwart's rule is the MD5 of host and path. Addresses in lower case, as rspamd has them.

Test vectors, looked for on 2026-11-27 in stored copies of the operators' pages and of public code:

- Spamhaus HBL: three of its test entries (an address and two URLs at hbltest.com) with their SHA-256 in base32,
  as a public program's tests give them as published by the operator; the page itself could not be read whole.
- MSBL EBL and SURBL hashbl: no page of the operators with a vector was found. Stalwart's tests
  (github.com/stalwartlabs/stalwart, tests/resources/smtp/antispam/rbl.test and the DNS records beside it) have
  two addresses and three URLs with the names that it asks.

All of them are in tests/mail/test_check_message.py, beside forms hashed by hashlib.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from collections.abc import Callable
from typing import Final, Literal
from urllib.parse import unquote_to_bytes

from dnsbl.subject.hbl import NO_SLASH_HOSTS, OWN_CASE_HOSTS, QUESTION_HOSTS

Hash = Literal["sha1", "md5", "sha256"]
NormalForm = Literal["plain", "msbl", "spamhaus", "surbl"]

HASHES: Final = ("sha1", "md5", "sha256")
"""sha1 and md5 are written in hexadecimal, sha256 in base32 without padding (RFC 4648 section 6)."""
NORMAL_FORMS: Final = ("plain", "msbl", "spamhaus", "surbl")

_GMAIL: Final = ("gmail.com", "googlemail.com")
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[^/?#]*@)?([^/?#:]+|\[[^\]]*\])(?::[0-9]*)?(.*)", re.DOTALL)
_PATHS: Final = {
    "default": re.compile(r"[/?](?:[a-zA-Z0-9()_.=~!/-]|%[0-9a-fA-F]{2}){2,512}"),
    "noslash": re.compile(r"[/?](?:[a-zA-Z0-9()_.=~-]|%[0-9a-fA-F]{2}){2,512}"),
    "withqm": re.compile(r"[/?](?:[a-zA-Z0-9()_.~/-?]|%[0-9a-fA-F]{2}){2,512}"),
}


def hash_label(kind: str, text: str, digest: str, form: str) -> str | None:
    """The label for an e-mail address (`kind` "email") or a URL ("url"); None where the list takes no such.

    text: the address, or a URL with its scheme. digest: one of HASHES. form: one of NORMAL_FORMS.

    >>> hash_label("email", "Some.One+tag@googlemail.com", "sha1", "msbl")
    '4f6cf3301a26050a3f1dfa4a2541c361350e3d8a'
    >>> hash_label("url", "https://fonts.googleapis.com/css2?family=X", "sha1", "spamhaus")
    'de3a274a294f996687e3e29faa9c8a0685be0fac'
    """
    normal = (_EMAIL_FORMS if kind == "email" else _URL_FORMS)[form](text)
    if normal is None:
        return None
    if digest == "sha256":
        return b32encode(hashlib.sha256(normal).digest()).decode("ascii").rstrip("=").lower()
    return hashlib.new(digest, normal, usedforsecurity=False).hexdigest()


def _plain_email(text: str) -> bytes:
    return text.lower().encode("utf-8", "replace")


def canonical_email(text: str) -> bytes:
    """Lower case, without a tag; at Gmail without dots, and as gmail.com.

    >>> canonical_email("Some.One+tag@GoogleMail.com")
    b'someone@gmail.com'
    """
    name, _, domain = text.lower().rpartition("@")
    name = name.partition("+")[0] or name
    if domain in _GMAIL:
        name, domain = name.replace(".", ""), _GMAIL[0]
    return f"{name}@{domain}".encode("utf-8", "replace")


def _split_url(text: str) -> tuple[str, str] | None:
    """Lower-case host, and all from its first `/` or `?` on, without a fragment."""
    found = _URL.fullmatch(text)
    return (found[1].lower().rstrip("."), found[2].partition("#")[0]) if found else None


def _plain_url(text: str) -> bytes | None:
    split = _split_url(text)
    return "".join(split).encode("utf-8", "replace") if split else None


def _spamhaus_url(text: str) -> bytes | None:
    split = _split_url(text)
    if split is None:
        return None
    host, path = split
    pattern = "noslash" if host in NO_SLASH_HOSTS else "withqm" if host in QUESTION_HOSTS else "default"
    found = _PATHS[pattern].match(path)
    if found is None:
        return None  # the list holds no bare hosts: those are for the domain lists
    taken = found.group()
    if pattern == "default" and host not in OWN_CASE_HOSTS:
        taken = taken.lower()
    return host.encode("utf-8", "replace") + unquote_to_bytes(taken)


def _surbl_url(text: str) -> bytes | None:
    split = _split_url(text)
    if split is None:
        return None
    host, path = split
    path = path.partition("?")[0].lstrip("/")
    return f"{host}/{path}".encode("utf-8", "replace") if path else None


_EMAIL_FORMS: Final[dict[str, Callable[[str], bytes | None]]] = {
    "plain": _plain_email,
    "msbl": canonical_email,
    "spamhaus": canonical_email,
    "surbl": _plain_email,
}
_URL_FORMS: Final[dict[str, Callable[[str], bytes | None]]] = {
    "plain": _plain_url,
    "msbl": lambda text: None,  # it holds addresses only
    "spamhaus": _spamhaus_url,
    "surbl": _surbl_url,
}
