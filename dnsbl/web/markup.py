"""Texts as markup, and the parts that the page repeats. Pure.

Everything that comes from a list, a file or whoever asks goes through `text`, which is the only way into the
markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from dnsbl.web.cards import shown


def text(value: object) -> str:
    """Any text as markup that shows it, on one line and bounded.

    >>> text("<b>\\n")
    '&lt;b&gt;\\\\n'
    """
    return escape(shown(str(value)))


def anchor(url: str, shown_as: str) -> str:
    """A link to an address that `cards.link` let pass; without one the text alone."""
    if not url:
        return text(shown_as)
    return f'<a href="{text(url)}" rel="noreferrer noopener">{text(shown_as)}</a>'


def word(kind: str, said: str) -> str:
    """A standing in its colour. kind: as `cards.Kind`."""
    return f'<span class="word {kind}">{text(said)}</span>'


def hint(said: str) -> str:
    return f'<p class="hint">{text(said)}</p>\n'


def problem(said: object) -> str:
    return f'<p class="problem">{text(said)}</p>\n'


def table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table. rows: cells as markup; the first of each names its row.

    Where the page is narrow each row is drawn as a block and each cell says what it is; the roles are written
    out because a table that is not drawn as one loses them. Where it is wide and yet not wide enough, it
    scrolls by itself, with the keyboard too.
    """
    head = "".join(f'<th scope="col" role="columnheader">{text(each)}</th>' for each in heads)
    body = "".join(_row(heads, cells) for cells in rows)
    return (
        f'<div class="wide" role="region" aria-label="{text(caption)}" tabindex="0"><table role="table">'
        f'<caption>{text(caption)}</caption><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">\n{body}</tbody></table></div>\n'
    )


def _row(heads: Sequence[str], cells: Sequence[str]) -> str:
    first, *others = cells
    rest = "".join(
        f'<td role="cell" data-label="{text(name)}"><div>{cell}</div></td>'
        for name, cell in zip(heads[1:], others, strict=True)
    )
    return f'<tr role="row"><th scope="row" role="rowheader">{first}</th>{rest}</tr>\n'


def when(at: float | None) -> str:
    """A time as people read it, in UTC.

    >>> when(0.0), when(1_790_000_000)
    ('never', '2026-09-21 14:13 UTC')
    """
    if not at:
        return "never"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
