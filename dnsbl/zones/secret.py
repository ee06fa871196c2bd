"""Keys in zone names: a wrapper that does not print, and a mask for text that may hold one.

A key is joined to a name in one place only, `Zone.wire_name`. It is not encrypted and not kept from a
debugger: this guards what is printed, logged, sent or serialised as text.
"""

from __future__ import annotations

import re
from typing import Final

from dnsbl.errors import ZoneError

MASK: Final = "***"

KEYED_DOMAINS: Final = ("dq.spamhaus.net", "mail.abusix.zone")
"""Below these, the label before the list's own is a customer's key: KEY.zen.dq.spamhaus.net (Spamhaus,
rspamd-dqs README, read 2026-11-25), KEY.combined.mail.abusix.zone (Abusix, production zones, read
2026-11-25). Known here and not only in the catalogue, so that even text that is not a zone is masked."""

PARTS: Final = ("_email", "_url", "_file", "_cw")
"""Parts of Spamhaus HBL: they stand before the key, _url.KEY.hbl.dq.spamhaus.net (rspamd-dqs
3.x/sh_rbl_hbl.conf, read 2026-11-27)."""

_OPERATORS: Final = "|".join(map(re.escape, KEYED_DOMAINS))
_KEYED_NAME: Final = re.compile(rf"([a-z0-9_.-]+)\.([a-z0-9_-]+\.(?:{_OPERATORS}))")
# Errors show mistyped names: a dot too many, or white space or a separator behind the key.
_LIST: Final = re.compile(
    r"(?<=\.)[a-z0-9_-]+\.+(?:" + _OPERATORS.replace(r"\.", r"\.+") + ")", re.IGNORECASE
)
_BEHIND_KEY: Final = "\t\n\v\f\r ,=*/"
_BEFORE_KEY: Final = re.compile(r"[\s,=*()\[\]\"'<>/@]")


class Secret:
    """A key that shows as `***` in `str`, `repr`, `format` and `dataclasses.asdict`; `reveal()` gives it.

    Compared by value, so that equal zones are equal.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself; only for the name that goes to the engine."""
        return self._value

    def mask_in(self, text: str) -> str:
        """`text` with this key, in any case of letters, replaced by `***`: a list may send it back."""
        return re.sub(re.escape(self._value), MASK, text, flags=re.IGNORECASE)

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))


def mask_keys(text: str) -> str:
    """`text` with the word before each keyed operator's list replaced by `***`.

    >>> mask_keys("abc123.zen.dq.spamhaus.net=127.0.0.2")
    '***.zen.dq.spamhaus.net=127.0.0.2'
    """
    parts, end = [], 0
    for found in _LIST.finditer(text):
        before = text[end : found.start()].rstrip(".").rstrip(_BEHIND_KEY)
        key_at = max((stop.end() for stop in _BEFORE_KEY.finditer(before)), default=0)
        part = before[key_at:].partition(".")[0]
        if part.lower() in PARTS:
            key_at += len(part) + 1
        if key_at < len(before):
            parts += [before[:key_at], f"{MASK}.", found[0]]
            end = found.end()
    return "".join(parts) + text[end:]


def split_key(name: str) -> tuple[str, str] | None:
    """The key and the name without it, where a checked zone name is KEY.LIST.OPERATOR of a keyed operator,
    or _PART.KEY.LIST.OPERATOR.

    None for any other name. Raises ZoneError where more than the key stands before the list.
    """
    found = _KEYED_NAME.fullmatch(name)
    if found is None:
        return None
    key, bare = found.groups()
    part, _, behind = key.partition(".")
    if part in PARTS:
        if not behind:
            return None
        key, bare = behind, f"{part}.{bare}"
    if "." in key:
        shown = f"{MASK}.{bare}"
        raise ZoneError(f"zone {shown}: one label, the key, stands before the list's name", shown)
    return key, bare


def key_place_of(name: str) -> str:
    """Where a key goes in a zone's name: before it, or behind its part.

    >>> key_place_of("zen.dq.spamhaus.net"), key_place_of("_url.hbl.dq.spamhaus.net")
    ('{key}.zen.dq.spamhaus.net', '_url.{key}.hbl.dq.spamhaus.net')
    """
    part, _, rest = name.partition(".")
    return f"{part}.{{key}}.{rest}" if part in PARTS else "{key}." + name
