"""What an entry of a list answers: an A record and a TXT template, and how the template is filled in.

The rules are rbldnsd's (rbldnsd(8), "Resulting A values and TXT templates"; `txtsubst` in its source).
"""

from __future__ import annotations

from typing import Final, NamedTuple

BASE: Final = "="
"""The name of the base template among the substitutions."""
MAX_TEXT: Final = 254
"""Bytes of an expanded text: rbldnsd cuts it there."""
MAX_TEMPLATE: Final = 255

Substitutions = dict[str, str]


class Record(NamedTuple):
    """address: the A record, a 32-bit number in host order. template: of the TXT record, may be empty.
    substitutions: `$0` to `$9` and `$=` of the data set."""

    address: int
    template: str
    substitutions: Substitutions


DEFAULT_ADDRESS: Final = 0x7F000002
LISTED: Final = Record(DEFAULT_ADDRESS, "", {})
"""127.0.0.2 without a text: what an entry without a value answers."""

Value = tuple[Record, ...]
"""What is answered for one address or name; empty: not listed."""


def texts_of(value: Value, entry: str) -> tuple[bytes, ...]:
    """The TXT records of a value; `entry` takes the place of `$`. Records without a text are left out."""
    texts = (expand(record, entry) for record in value)
    return tuple(dict.fromkeys(text for text in texts if text))


def expand(record: Record, entry: str) -> bytes:
    """The text of one record, at most 254 bytes.

    >>> expand(Record(DEFAULT_ADDRESS, "$ costs $$5", {}), "192.0.2.8")
    b'192.0.2.8 costs $5'
    """
    template, given = _cut(record.template), record.substitutions
    if template.startswith("="):
        template = own = template[1:]
    elif base := given.get(BASE):
        own, template = template or entry, base
    else:
        own = template
    parts: list[str] = []
    while True:
        plain, dollar, template = template.partition("$")
        parts.append(plain)
        if not dollar:
            break
        sign = template[:1]
        if sign == "$":
            parts.append("$")
        elif sign == BASE:
            parts.append(own)
        elif sign.isascii() and sign.isdigit():
            parts.append(given.get(sign, "$" + sign))
        else:
            parts.append(entry)
            continue
        template = template[1:]
    return "".join(parts).encode("utf-8", "surrogateescape")[:MAX_TEXT]


def _cut(template: str) -> str:
    if len(template) * 4 <= MAX_TEMPLATE:
        return template
    data = template.encode("utf-8", "surrogateescape")[:MAX_TEMPLATE]
    return data.decode("utf-8", "surrogateescape")
