"""The page's sections beside the lookup: what is watched, its history, and counts. Values in, markup out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from dnsbl.web.board import Board, Watched
from dnsbl.web.cards import link
from dnsbl.web.markup import anchor, hint, problem, table, text, when, word

if TYPE_CHECKING:
    from dnsbl.monitor.entry import Change

MAX_ROWS: Final = 300
"""Watched subjects shown; the clean ones come last."""
MAX_CHANGES: Final = 20


# ---- the monitor's state ----


def watched_section(inner: str) -> str:
    return f"""<section id="watched" aria-labelledby="watched-title">
<h2 id="watched-title">Watched addresses</h2>
{inner}</section>
"""


def board_markup(board: Board) -> str:
    """What is watched, and what changed."""
    listed = sum(bool(each.listed) for each in board.watched)
    told = f"{len(board.watched):,} watched, {listed:,} of them listed."
    if round_at := board.meta.get("round_at"):
        told += f" Last round {when(round_at)}."
    rows = [_watched(each) for each in board.watched[:MAX_ROWS]]
    more = len(board.watched) - MAX_ROWS
    note = hint(f"{more:,} more are not shown; /watched has them all.") if more > 0 else ""
    heads = ["Subject", "Standing", "Lists", "Asked next"]
    shown = table("What is watched", heads, rows) if rows else ""
    return f"<p>{text(told)}</p>\n{shown}{note}{_history(board.changes[:MAX_CHANGES])}"


def _watched(each: Watched) -> list[str]:
    if each.listed:
        standing = word("listed", f"Listed by {len(each.listed)}")
    elif each.unknown:
        standing = word("unknown", f"Unknown on {len(each.unknown)}")
    else:
        standing = word("clean", "Not listed")
    entries = [
        f"{anchor(link(entry.delist_url), entry.zone)} since {text(when(entry.listed_since))}"
        + (f": {text(entry.reason or entry.meaning)}" if entry.reason or entry.meaning else "")
        for entry in each.listed
    ] + [f"{text(entry.zone)}: {text(entry.detail or 'not asked yet')}" for entry in each.unknown]
    via = f' <span class="hint">by {text(", ".join(each.via))}</span>' if each.via else ""
    return [
        f'<a href="?q={escape(quote(each.subject, safe=""))}">{text(each.subject)}</a>{via}',
        standing,
        f"<ul>{''.join(f'<li>{entry}</li>' for entry in entries)}</ul>" if entries else f"{each.lists} asked",
        text(when(each.due_at)),
    ]


def _history(changes: Sequence[Change]) -> str:
    title = '<h3 id="history">History</h3>\n'
    if not changes:
        return title + hint("No change has been seen yet.")
    heads = ["When", "Subject", "Change", "List", "Why"]
    rows = [
        [
            text(when(change.at)),
            text(change.subject),
            word("listed" if change.what == "listed" else "clean", change.what),
            anchor(link(change.delist_url), change.zone),
            text(change.reason or change.meaning or "-"),
        ]
        for change in changes
    ]
    older = changes[-1].id
    more = f'<p><a href="?before={older}#history">Older changes</a></p>\n' if older > 1 else ""
    return title + table("Changes, the newest first", heads, rows) + more


# ---- statistics ----


def statistics_section(
    server: dict[str, Any], zones: Iterable[dict[str, Any]], daemon: dict[str, Any] | None
) -> str:
    """server, zones, daemon: as `/statistics` and `/zones` have them."""
    cached, visitors = server["cache"], server["authz"]
    told = (
        f"{server['replies']:,} replies; {cached['currsize']:,} names held, {cached['hits']:,} answered from "
        f"them. Web visitors: {visitors['allowed']:,} let in, {visitors['refused']:,} refused, "
        f"{visitors['unknown']:,} let in unjudged."
    )
    rows = [_zone(zone) for zone in zones]
    return f"""<section id="statistics" aria-labelledby="statistics-title">
<h2 id="statistics-title">Statistics</h2>
<h3>This server</h3>
<p>{text(told)}</p>
{table("Lists asked", ["List", "Standing", "Queries", "From the cache", "Listed"], rows)}<h3>Policy daemon</h3>
{_daemon(daemon)}</section>
"""


def _zone(zone: dict[str, Any]) -> list[str]:
    aside = zone["set_aside"]
    return [
        text(zone["zone"]),
        text(f"left out: {aside}" if aside else "asked"),
        f"{zone['queries']:,}",
        f"{zone['cache_hits']:,}",
        f"{zone['outcomes'].get('listed', 0):,}",
    ]


def _daemon(found: dict[str, Any] | None) -> str:
    if found is None:
        return hint("None is known here: control under [policy] names its socket.")
    if "error" in found:
        return problem(found["error"])
    told = f"{found['requests']:,} requests{_counted(found['decisions'], ': ')}."
    rows = [
        [
            text(zone["zone"]),
            text(f"left out: {zone['set_aside']}" if zone["set_aside"] else "asked"),
            f"{zone['queries']:,}",
            f"{zone['listed']:,}",
            text(_counted(zone["decisions"]) or "-"),
        ]
        for zone in found["zones"]
    ]
    heads = ["List", "Standing", "Queries", "Listed", "Decisions"]
    warnings = "".join(map(problem, found["warnings"]))
    return f"<p>{text(told)}</p>\n{table('Lists of the daemon', heads, rows)}{warnings}"


def _counted(counts: dict[str, int], before: str = "") -> str:
    """`12 REJECT, 3 DUNNO`; nothing where there is nothing."""
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{before}{told}" if told else ""
