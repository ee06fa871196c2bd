"""GET /: the one page. Complete without a script; the script shows answers as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dnsbl.errors import InputError, SubjectError
from dnsbl.model import Verdict
from dnsbl.web import sections, state
from dnsbl.web.board import before_of, read_board
from dnsbl.web.cards import Card, card_of, headline
from dnsbl.web.lookups import MAX_SUBJECT, checked_subject
from dnsbl.web.markup import anchor, hint, problem, text

if TYPE_CHECKING:
    from pathlib import Path

    from dnsbl.web.app import Services

STATIC: Final = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}

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
            title, result, status = "Not looked up", problem(error), 400
    body = [
        HEAD.format(title=text(title)),
        _lookup(asked, result),
        sections.watched_section(await _watched(services.settings.state, query.get("before"))),
        sections.statistics_section(
            state.server_counts(services), state.zone_facts(services), await services.daemon.counts()
        ),
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
        f"<div><dt>{text(line.label)}</dt><dd>{anchor(line.url, line.text)}</dd></div>" for line in card.lines
    )
    return (
        f'<li class="card {card.kind}"><h3>{text(card.zone)}</h3><p class="word">{text(card.word)}</p>'
        + (f"<dl>{lines}</dl>" if lines else "")
        + "</li>\n"
    )


async def _watched(path: Path | None, before: str | None) -> str:
    number = before_of(before)
    if path is None:
        return hint("No monitor's state is shown: name its file with --state.")
    try:
        return sections.board_markup(await asyncio.to_thread(read_board, path, None, number))
    except InputError as error:
        return problem(error)
