"""A plain list of zones, one a line, as many programs and pages have them. Pure: text in, values out.

A line is `zone`, `zone=filter`, `zone*weight` or `zone=filter*weight` (Postfix' form); what follows # or ; is
a comment. What a line leaves out comes from the catalogue.
"""

from __future__ import annotations

import re
from typing import Final

from dnsbl.migrate.imported import ANY, Entry, Import, Imported
from dnsbl.zones.catalogue import Catalogue

_COMMENT: Final = re.compile(r"(^|\s)[#;].*")
_LINE: Final = re.compile(r"([^\s=*]+)(?:=([^*\s]+))?(?:\*([+-]?\d{1,6}(?:\.\d{1,6})?))?", re.ASCII)


def import_plain(text: str, catalogue: Catalogue) -> Imported:
    """Read a list of zones. Raises ConfigError for a text that is too long; anything else wrong is a note.

    >>> from dnsbl.zones.catalogue import load
    >>> [entry.name for entry in import_plain("bl.example.com  # ours\\n", load()).entries]
    ['bl.example.com']
    """
    into = Import(text, catalogue)
    seen: dict[tuple[str, str], int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        written = _COMMENT.sub("", line).strip().rstrip(",")
        if not written:
            continue
        parts = _LINE.fullmatch(written)
        if parts is None:
            into.note(number, written, "left out: not a zone, as in zen.spamhaus.org or bl.example.com*2")
            continue
        name, reply, weight = parts.groups()
        found = into.zone(number, written, name)
        if found is None or (reply and not into.is_filter(number, written, reply)):
            continue
        first = seen.setdefault((found[0], reply or ""), number)
        if first != number:
            into.note(number, written, f"left out: it stands on line {first} already", lost=False)
            continue
        counts = float(weight) if weight else (1.0 if reply else None)
        said = reply or (ANY if weight else None)
        into.add(Entry(number, found[0], reply=said, weight=counts, key_env=found[1]), written)
    return into.finish()
