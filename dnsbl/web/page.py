"""GET /: the one page. Complete without a script; the script shows answers as they come.

Everything that comes from a list, a file or whoever asks goes through `text`, which is the only way into the
markup.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dnsbl.errors import InputError, SubjectError
from dnsbl.model import Verdict
from dnsbl.web import state
from dnsbl.web.board import Board, Watched, before_of, read_board
from dnsbl.web.cards import Card, card_of, headline, link, shown
from dnsbl.web.lookups import MAX_SUBJECT, checked_subject

if TYPE_CHECKING:
    from dnsbl.monitor.entry import Change
    from dnsbl.web.app import Services

STATIC: Final = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
MAX_ROWS: Final = 300
"""Watched subjects shown; the clean ones come last."""

HEAD: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="static/page.css">
<script src="static/page.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<p class="name">dnsbl</p>
<nav aria-label="Sections"><a href="#lookup">Look up</a> <a href="#watched">Watched</a> <a
 href="#statistics">Statistics</a></nav>
</header>
<main id="main">
"""
FOOT: Final = "</main>\n</body>\n</html>\n"


def text(value: object) -> str:
    """Any text as markup that shows it, on one line and bounded."""
    return escape(shown(str(value)))


async def static(request: Request, services: Services) -> Response:
    """GET /static/NAME"""
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(404)
    return Response(_file(name), media_type=STATIC[name])


@cache
def _file(name: str) -> bytes:
    return (files("dnsbl.web") / "static" / name).read_bytes()


async def page(request: Request, services: Services) -> Response:
    """GET /"""
    query = request.query_params
    asked = query.get("q", "").strip()
    title, result, status = "Look up an address or a domain", "", 200
    if asked:
        try:
            verdict = await services.resolver.check_async(checked_subject(asked))
            title, result = headline(verdict), _result(verdict, services)
        except SubjectError as error:
            title, result, status = "Not looked up", f'<p class="problem">{text(error)}</p>\n', 400
    body = [
        HEAD.format(title=text(title)),
        _lookup(asked, result),
        await _watched_section(services, query.get("before")),
        _statistics(state.server_counts(services), await services.daemon.counts(), services),
        FOOT,
    ]
    return HTMLResponse("".join(body), status)


# ---- looking up ----


def _lookup(asked: str, result: str) -> str:
    return f"""<section id="lookup" aria-labelledby="lookup-title">
<h1 id="lookup-title">Is it listed?</h1>
<form action="" method="get" role="search" id="form">
<label for="q">Address or domain</label>
<div class="row"><input id="q" name="q" value="{text(asked[:MAX_SUBJECT])}" maxlength="{MAX_SUBJECT}" required
 autocomplete="off" autocapitalize="off" spellcheck="false" aria-describedby="hint">
<button type="submit">Look up</button></div>
<p id="hint" class="hint">As 192.0.2.99, 2001:db8::1, example.com, an e-mail address or a link.</p>
</form>
<p id="status" role="status"></p>
<div id="result">
{result}</div>
</section>
"""


def _result(verdict: Verdict, services: Services) -> str:
    catalogue = services.settings.config.catalogue
    cards = [card_of(answer, catalogue.row(answer.zone)) for answer in verdict.answers]
    cards.sort(key=lambda card: card.rank)
    asked = [card for card in cards if card.kind != "skipped"]
    skipped = [card for card in cards if card.kind == "skipped"]
    out = f'<h2 id="headline">{text(headline(verdict))}</h2>\n{_cards(asked)}'
    if skipped:
        out += f"<details><summary>Not asked: {len(skipped)}</summary>\n{_cards(skipped)}</details>\n"
    return out


def _cards(cards: Iterable[Card]) -> str:
    return '<ul class="cards">\n' + "".join(map(_card, cards)) + "</ul>\n"


def _card(card: Card) -> str:
    lines = "".join(
        f"<div><dt>{text(line.label)}</dt><dd>{_link(line.url, line.text)}</dd></div>" for line in card.lines
    )
    return (
        f'<li class="card {card.kind}"><h3>{text(card.zone)}</h3><p class="word">{text(card.word)}</p>'
        + (f"<dl>{lines}</dl>" if lines else "")
        + "</li>\n"
    )


def _link(url: str, shown_as: str) -> str:
    if not url:
        return text(shown_as)
    return f'<a href="{text(url)}" rel="noreferrer noopener">{text(shown_as)}</a>'


# ---- the monitor's state ----


async def _watched_section(services: Services, before: str | None) -> str:
    path, number = services.settings.state, before_of(before)
    if path is None:
        inner = '<p class="hint">No monitor\'s state is shown: name its file with <code>--state</code>.</p>\n'
    else:
        try:
            inner = _board(await asyncio.to_thread(read_board, path, None, number))
        except InputError as error:
            inner = f'<p class="problem">{text(error)}</p>\n'
    return f"""<section id="watched" aria-labelledby="watched-title">
<h2 id="watched-title">Watched addresses</h2>
{inner}</section>
"""


def _board(board: Board) -> str:
    listed = sum(bool(each.listed) for each in board.watched)
    told = f"{len(board.watched):,} watched, {listed:,} of them listed."
    if round_at := board.meta.get("round_at"):
        told += f" Last round {when(round_at)}."
    rows = "".join(map(_row, board.watched[:MAX_ROWS]))
    more = len(board.watched) - MAX_ROWS
    note = f'<p class="hint">{more:,} more are not shown; /watched has them all.</p>\n' if more > 0 else ""
    return (
        f"<p>{text(told)}</p>\n"
        + _table("What is watched", ["Subject", "Standing", "Lists", "Asked next"], rows)
        + note
        + _history(board.changes)
    )


def _row(each: Watched) -> str:
    if each.listed:
        kind, word = "listed", f"Listed by {len(each.listed)}"
    elif each.unknown:
        kind, word = "unknown", f"Unknown on {len(each.unknown)}"
    else:
        kind, word = "clean", "Not listed"
    entries = [
        f"{_link(link(entry.delist_url), entry.zone)} since {text(when(entry.listed_since))}"
        + (f": {text(entry.reason or entry.meaning)}" if entry.reason or entry.meaning else "")
        for entry in each.listed
    ] + [f"{text(entry.zone)}: {text(entry.detail or 'not asked yet')}" for entry in each.unknown]
    lists = "".join(f"<li>{entry}</li>" for entry in entries)
    via = f' <span class="hint">by {text(", ".join(each.via))}</span>' if each.via else ""
    return (
        f'<tr><th scope="row"><a href="?q={escape(quote(each.subject, safe=""))}">{text(each.subject)}</a>{via}</th>'
        f'<td><span class="word {kind}">{word}</span></td>'
        f"<td>{f'<ul>{lists}</ul>' if lists else f'{each.lists} asked'}</td>"
        f"<td>{text(when(each.due_at))}</td></tr>\n"
    )


def _history(changes: tuple[Change, ...]) -> str:
    if not changes:
        return '<h3 id="history">History</h3>\n<p class="hint">No change has been seen yet.</p>\n'
    rows = "".join(
        f'<tr><th scope="row">{text(when(change.at))}</th><td>{text(change.subject)}</td>'
        f'<td><span class="word {"listed" if change.what == "listed" else "clean"}">{text(change.what)}</span>'
        f"</td><td>{_link(link(change.delist_url), change.zone)}</td>"
        f"<td>{text(change.reason or change.meaning)}</td></tr>\n"
        for change in changes
    )
    older = changes[-1].id
    more = f'<p><a href="?before={older}#history">Older changes</a></p>\n' if older > 1 else ""
    return (
        '<h3 id="history">History</h3>\n'
        + _table("Changes, the newest first", ["When", "Subject", "Change", "List", "Why"], rows)
        + more
    )


# ---- statistics ----


def _statistics(server: dict[str, Any], daemon: dict[str, Any] | None, services: Services) -> str:
    cached = server["cache"]
    told = (
        f"{server['replies']:,} replies; {cached['currsize']:,} names held, {cached['hits']:,} answered from "
        f"them. Web visitors: {server['authz']['allowed']:,} let in, {server['authz']['refused']:,} refused, "
        f"{server['authz']['unknown']:,} let in unjudged."
    )
    rows = "".join(_zone_row(zone) for zone in state.zone_facts(services))
    return f"""<section id="statistics" aria-labelledby="statistics-title">
<h2 id="statistics-title">Statistics</h2>
<h3>This server</h3>
<p>{text(told)}</p>
{_table("Lists asked", ["List", "Standing", "Queries", "From the cache", "Listed"], rows)}<h3>Policy daemon</h3>
{_daemon(daemon)}</section>
"""


def _zone_row(zone: dict[str, Any]) -> str:
    aside = zone["set_aside"]
    return (
        f'<tr><th scope="row">{text(zone["zone"])}</th><td>{text(f"left out: {aside}" if aside else "asked")}</td>'
        f'<td class="number">{zone["queries"]:,}</td><td class="number">{zone["cache_hits"]:,}</td>'
        f'<td class="number">{zone["outcomes"].get("listed", 0):,}</td></tr>\n'
    )


def _daemon(found: dict[str, Any] | None) -> str:
    if found is None:
        return (
            '<p class="hint">None is known here: <code>control</code> under [policy] names its socket.</p>\n'
        )
    if "error" in found:
        return f'<p class="problem">{text(found["error"])}</p>\n'
    actions = ", ".join(f"{count:,} {action}" for action, count in found["decisions"].items())
    told = f"{found['requests']:,} requests" + (f": {actions}" if actions else "") + "."
    rows = "".join(
        f'<tr><th scope="row">{text(zone["zone"])}</th>'
        f"<td>{text(zone['set_aside'] or 'asked')}</td>"
        f'<td class="number">{zone["queries"]:,}</td><td class="number">{zone["listed"]:,}</td>'
        f"<td>{text(', '.join(f'{n:,} {action}' for action, n in zone['decisions'].items()) or '-')}</td></tr>\n"
        for zone in found["zones"]
    )
    warnings = "".join(f'<p class="problem">{text(warning)}</p>\n' for warning in found["warnings"])
    heads = ["List", "Standing", "Queries", "Listed", "Decisions"]
    return f"<p>{text(told)}</p>\n{_table('Lists of the daemon', heads, rows)}{warnings}"


# ---- parts ----


def _table(caption: str, heads: list[str], rows: str) -> str:
    """A table that scrolls by itself where the page is narrow, with the keyboard too."""
    head = "".join(f'<th scope="col">{text(each)}</th>' for each in heads)
    return (
        f'<div class="wide" role="region" aria-label="{text(caption)}" tabindex="0"><table>'
        f"<caption>{text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>\n"
    )


def when(at: float | None) -> str:
    """A time as people read it, in UTC."""
    if not at:
        return "never"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
