"""A range as a picture: one cell an address, in its worst status; SVG text. Pure.

Colours are told apart in grey and by who is colour-blind (Okabe and Ito's), and every cell also carries a
mark and a title; no script, no style from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

from dnsbl.monitor.entry import CLEAR, LISTED, UNKNOWN, Entry, by_number
from dnsbl.text.reason import clean_text

CELL: Final = 26
COLUMNS: Final = 16
LEFT: Final = 150
TOP: Final = 64
_LOOK: Final = {LISTED: ("#d55e00", "#ffffff", "x"), UNKNOWN: ("#e6e6e6", "#222222", "?"),
                CLEAR: ("#b9e3d0", "#222222", "")}  # fmt: skip
_ORDER: Final = (LISTED, UNKNOWN, CLEAR)


def make_grid(entries: Iterable[Entry], title: str) -> str:
    """The picture of every address and domain in `entries`, in the order of their numbers.

    An address is listed where one list lists it; unknown where no list answers; else clear.
    """
    by_subject: dict[str, list[Entry]] = {}
    for entry in entries:
        by_subject.setdefault(entry.subject, []).append(entry)
    subjects = sorted(by_subject, key=by_number)
    rows = [subjects[at : at + COLUMNS] for at in range(0, len(subjects), COLUMNS)]
    width, height = LEFT + COLUMNS * CELL + 12, TOP + max(1, len(rows)) * CELL + 12
    counts = dict.fromkeys(_ORDER, 0)
    cells = []
    for y, row in enumerate(rows):
        cells.append(_text(8, TOP + y * CELL + 17, row[0], "start"))
        for x, subject in enumerate(row):
            status = status_of(by_subject[subject])
            counts[status] += 1
            cells.append(_cell(LEFT + x * CELL, TOP + y * CELL, status, _told(subject, by_subject[subject])))
    legend = ", ".join(f"{count} {status}" for status, count in counts.items())
    shown = clean_text(title, 100)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="t" font-family="sans-serif" font-size="12">\n'
        f'<title id="t">{escape(f"{shown}: {legend}")}</title>\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
        f'<text x="8" y="22" font-size="15" fill="#222222">{escape(shown)}</text>\n'
    )
    return head + _legend(counts) + "\n".join(cells) + "\n</svg>\n"


def status_of(entries: Sequence[Entry]) -> str:
    """Of one subject over its lists."""
    found = {entry.status for entry in entries}
    return LISTED if LISTED in found else CLEAR if CLEAR in found else UNKNOWN


def _legend(counts: Mapping[str, int]) -> str:
    parts, x = [], 8
    for status, count in counts.items():
        parts.append(_cell(x, 34, status, status, size=18))
        parts.append(_text(x + 24, 47, f"{status}: {count}", "start"))
        x += 120
    return "\n".join(parts) + "\n"


def _cell(x: int, y: int, status: str, title: str, size: int = CELL - 2) -> str:
    fill, ink, mark = _LOOK[status]
    inner = f"<title>{escape(title)}</title>"
    text = (
        f'<text x="{x + size // 2}" y="{y + size // 2 + 5}" text-anchor="middle" fill="{ink}">{mark}</text>'
        if mark
        else ""
    )
    return f'<g>{inner}<rect x="{x}" y="{y}" width="{size}" height="{size}" rx="3" fill="{fill}"/>{text}</g>'


def _text(x: int, y: int, text: str, anchor: str) -> str:
    shown = text if len(text) <= 20 else text[:18] + "…"
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="#222222">{escape(shown)}</text>'


def _told(subject: str, entries: Sequence[Entry]) -> str:
    listed = [
        f"{e.zone} ({e.reason or e.meaning or ' '.join(e.codes)})" for e in entries if e.status == LISTED
    ]
    if listed:
        return clean_text(f"{subject}: listed by {', '.join(listed)}", 500)
    return clean_text(f"{subject}: {status_of(entries)}", 300)
