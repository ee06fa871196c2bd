"""A round in the words of Nagios and those who speak like it: an exit code, a line, figures. Pure.

https://nagios-plugins.org/doc/guidelines.html: sections 2 (output), 2.6 (performance data), 3 (exit codes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from dnsbl.monitor.entry import LISTED, UNKNOWN, Entry
from dnsbl.text.reason import clean_text

Severity = Literal["ok", "warning", "critical"]
OK, WARNING, CRITICAL, NO_WORD = 0, 1, 2, 3
NAMES: Final = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
MAX_LINES: Final = 100
_OWN: Final = {"ok": OK, "warning": WARNING, "critical": CRITICAL}


class Report(NamedTuple):
    """code: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. text: what a plugin prints, with a line end."""

    code: int
    text: str


def report(
    entries: Sequence[Entry],
    warning: int,
    critical: int,
    severity: Mapping[str, Severity],
    took_s: float,
) -> Report:
    """What a round comes to.

    warning, critical: so many listings, or more, are one; from 1. severity, by zone: every listing there is
    that, and is not counted towards the two numbers; "ok": only shown. UNKNOWN is where there is nothing
    worse and of some subject nothing is known, or whether a list that had it still has it: that list failed.
    """
    listings = [entry for entry in entries if entry.status == LISTED]
    unknown = sum(entry.status == UNKNOWN for entry in entries)
    counted = sum(entry.zone not in severity for entry in listings)
    own = max((_OWN[severity[entry.zone]] for entry in listings if entry.zone in severity), default=OK)
    by_number = CRITICAL if counted >= critical else WARNING if counted >= warning else OK
    code = max(own, by_number)
    if code == OK and (not entries or _without_word(entries)):
        code = NO_WORD
    subjects = len({entry.subject for entry in entries})
    zones = len({entry.zone for entry in entries})
    head = f"DNSBL {NAMES[code]}: {len(listings)} listed, {unknown} unknown, of {subjects} by {zones} zones"
    shown = [f"{entry.subject} by {entry.zone}" for entry in listings[:3]]
    if shown:
        head += ": " + ", ".join(shown) + (", ..." if len(listings) > len(shown) else "")
    figures = (
        f"listed={len(listings)};{warning - 1};{critical - 1};0;{len(entries)} "
        f"unknown={unknown};;;0;{len(entries)} time={took_s:.3f}s;;;0"
    )
    return Report(code, "\n".join([f"{_plain(head)} | {figures}", *_details(entries)]) + "\n")


def _without_word(entries: Sequence[Entry]) -> bool:
    if any(entry.status == UNKNOWN and entry.standing == LISTED for entry in entries):
        return True
    known = {entry.subject for entry in entries if entry.status != UNKNOWN}
    return any(entry.subject not in known for entry in entries)


def _details(entries: Sequence[Entry]) -> Iterator[str]:
    """A line for each listing, then one for each zone that gave no answer, at most `MAX_LINES`."""
    lines = [
        f"{entry.subject} listed by {entry.zone} ({' '.join(entry.codes)})"
        + (f": {entry.reason or entry.meaning}" if entry.reason or entry.meaning else "")
        + (f" {entry.delist_url}" if entry.delist_url else "")
        for entry in entries
        if entry.status == LISTED
    ]
    silent = {entry.zone: entry.detail for entry in entries if entry.status == UNKNOWN}
    lines += [f"{zone} unknown: {detail or 'not asked yet'}" for zone, detail in silent.items()]
    yield from map(_plain, lines[:MAX_LINES])
    if len(lines) > MAX_LINES:
        yield f"and {len(lines) - MAX_LINES} lines more"


def _plain(text: str) -> str:
    """One line without the mark that begins the figures."""
    return clean_text(text, 500).replace("|", "/")
