"""Names of zones: checked, folded, without keys. Pure."""

from __future__ import annotations

import os
import re
from typing import Final

from dnsbl.errors import ZoneError
from dnsbl.zones.replyfilter import MAX_TEXT, mark
from dnsbl.zones.secret import mask_keys, split_key

MAX_NAME: Final = 189
"""Longest zone name, in characters: a reversed IPv6 address (32 nibbles, 31 dots) and one dot more leave
this much of the 253 characters of a name in text form (RFC 1035 section 2.3.4)."""

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)


def check_name(name: str) -> str:
    """A zone name in the form used here: lower case, without one leading and one trailing dot.

    Labels of letters, digits, hyphens and underscores, 1 to 63 characters each; 189 in all; not a number
    in the last place (an address is no zone). A name beyond ASCII is given in its A-label form (`xn--...`).
    Raises ZoneError with the place marked.
    """
    shown = mask_keys(name) if isinstance(name, str) else repr(name)
    if not isinstance(name, str) or len(name) > MAX_TEXT:
        raise ZoneError("a zone is a DNS name such as zen.spamhaus.org", shown[:80])
    bare = name.removesuffix(".").removeprefix(".").lower()
    if not bare:
        raise ZoneError("an empty zone name: use a DNS name such as zen.spamhaus.org", shown)
    at = len(name) - len(name.removeprefix("."))
    for label in bare.split("."):
        if not _LABEL.fullmatch(label):
            raise ZoneError(f"zone name: {_label_fault(label)}: {mark(name, at)}", shown)
        at += len(label) + 1
    if len(bare) > MAX_NAME:
        raise ZoneError(
            f"zone name of {len(bare)} characters: at most {MAX_NAME}, for a reversed IPv6 address before it",
            shown,
        )
    if bare.rpartition(".")[2].isdigit():
        raise ZoneError(f"zone name: an address, not a DNS name such as zen.spamhaus.org: {shown}", shown)
    return bare


def file_zone_name(path: str | os.PathLike[str]) -> str:
    """A zone name for a list file: the file's name without its ending, other characters as hyphens.

    >>> file_zone_name("/srv/My list.txt")
    'my-list'
    """
    stem = os.path.basename(os.fspath(path)).partition(".")[0].lower()
    name = re.sub(r"[^a-z0-9_]+", "-", stem).strip("-")[:60].strip("-")
    return f"list-{name}" if name.isdigit() else name or "list"


def known_name(name: str) -> str:
    """As `check_name`, and without the key of a keyed operator's zone: the name that the zone has everywhere.

    >>> known_name("abc123.zen.dq.spamhaus.net")
    'zen.dq.spamhaus.net'
    """
    name = check_name(name)
    split = split_key(name)
    return split[1] if split else name


def _label_fault(label: str) -> str:
    if not label:
        return "two dots in a row leave an empty label"
    if len(label) > 63:
        return f"a label of {len(label)} characters, at most 63"
    if not label.isascii():
        return "only ASCII; write an international name in its xn-- form"
    return "only letters, digits, underscores and inner hyphens in a label"
