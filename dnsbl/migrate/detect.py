"""Whose configuration a text is: by the words that only that program has. Pure."""

from __future__ import annotations

import re
from typing import Final

_SIGNS: Final = {
    "postfix": re.compile(
        r"^\s*(?:[\w.]+/inet/)?(?:postscreen_\w+|smtpd_\w+|my(?:hostname|networks|destination|origin)|"
        r"(?:rbl|default_rbl)_\w+|inet_interfaces|compatibility_level)\s*=|\breject_(?:rbl|rhsbl)_\w+"
        r"|^\S+\s+(?:inet|unix|pass)\s+[-yn]\s+[-yn]\s+[-yn]\s",
        re.MULTILINE,
    ),
    "exim": re.compile(r"\bdnslists\s*=|^\s*acl_smtp_\w+\s*=|^\s*begin\s+acl\b", re.MULTILINE),
    "spamassassin": re.compile(
        r"\beval:check_(?:rbl|uridnsbl|hashbl|dnsbl)\w*|^\s*(?:urirhs(?:sub|bl)|urinsrhs(?:sub|bl)|uridnsbl|"
        r"uridnssub|uridnsbl_skip_domain|rbl_\w+|dns_available|score|describe|tflags|ifplugin|loadplugin)\s+\S",
        re.MULTILINE,
    ),
    "rspamd": re.compile(
        r"^\s*\"?(?:rbls?|surbl|symbols)\"?\s*[{=]|^\s*\"?[\w-]+\"?\s*\{\s*$|\breturncodes\b|^\s*rbl\s*=\s*\"",
        re.MULTILINE,
    ),
}
_ZONE_LINE: Final = re.compile(r"\s*[\w.-]+\.[\w.-]+(?:=[^\s*]+)?(?:\*[-+\d.]+)?,?\s*(?:[#;].*)?", re.ASCII)


def detect(text: str) -> str | None:
    """`"postfix"`, `"exim"`, `"spamassassin"`, `"rspamd"`, `"plain"`, or None where nothing speaks for one.

    >>> detect("postscreen_dnsbl_sites = bl.example.com"), detect("bl.example.com\\n")
    ('postfix', 'plain')
    """
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith(("#", ";"))]
    if lines and all(_ZONE_LINE.fullmatch(line) for line in lines):
        return "plain"
    bare = "\n".join(lines)
    counts = {name: sum(1 for _ in sign.finditer(bare)) for name, sign in _SIGNS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else None
