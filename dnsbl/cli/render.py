"""Verdicts as people read them: a table on a terminal, aligned columns anywhere else.

Turns values into text and decides nothing. Whatever came from the DNS is printed with everything a
terminal could act upon escaped, and never read as markup. rich (slow to import) is imported when a
table is drawn on a terminal, not before.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import Final

import click

from dnsbl.model import Outcome, Verdict, ZoneAnswer
from dnsbl.text.printable import printable

_STYLES = {"listed": "bold red", "not listed": "green", "skipped": "dim", "allowlisted": "green"}
_STYLES |= dict.fromkeys(("blocked", "invalid", "timeout", "servfail"), "yellow")

READABLE: Final = 14
"""Characters of its longest word that a table's column has room for, at the least."""


def show_verdict(verdict: Verdict, *, explain: bool = False) -> None:
    """Print a verdict: the headline, then a row a zone; with `explain`, all the evidence behind it."""
    if explain:
        _show_evidence(verdict)
        return
    # A reason and a delist URL are mostly long, and a URL that a table folds cannot be copied.
    on_terminal = sys.stdout.isatty()
    rows = [_row(answer, links=not on_terminal) for answer in verdict.answers]
    show_table(headline(verdict), ["zone", "outcome", "codes", "points", "why"], rows)
    for answer in verdict.listings if on_terminal else ():
        for link in _links(answer):
            click.echo(printable(f"{answer.zone}: {link}"))


def headline(verdict: Verdict) -> str:
    """The verdict in one line: `192.0.2.99: listed, score 3`."""
    if verdict.listed:
        text = f"listed, score {verdict.score:g}"
    elif verdict.complete and all(answer.outcome is Outcome.SKIPPED for answer in verdict.answers):
        text = "not looked up"
    else:
        text = "not listed" + (f", score {verdict.score:g}" if verdict.score else "")
    if verdict.errors:
        asked = sum(answer.outcome is not Outcome.SKIPPED for answer in verdict.answers)
        text += f", incomplete: no usable answer from {len(verdict.errors)} of {asked} zones"
    elif not verdict.complete:
        text += ", incomplete: a zone was left out"
    return f"{printable(verdict.subject)}: {text}"


def evidence(answer: ZoneAnswer) -> dict[str, str]:
    """Every fact behind an answer, printable, `-` where there is none; of a zone not asked, only why."""
    if answer.outcome is Outcome.SKIPPED:
        return {"detail": printable(answer.detail)}
    seen = answer.evidence
    facts = {
        "query": answer.query_name,
        "rcode": seen.rcode,
        "A": " ".join(answer.codes),
        "TTL": None if answer.ttl_s is None else f"{answer.ttl_s:.0f} s",
        "TXT": answer.reason,
        "nameserver": seen.nameserver,
        "ms": None if seen.latency_ms is None else f"{seen.latency_ms:.1f}",
        "cached": "yes" if answer.cached else "no",
        "matched": ", ".join(seen.matched),
        "points": f"{answer.score:+g}",
        "meaning": "; ".join(answer.meanings),
        "delist": answer.delist_url,
        "detail": answer.detail,
    }
    return {name: printable(value or "-") for name, value in facts.items()}


def _show_evidence(verdict: Verdict) -> None:
    click.echo(headline(verdict))
    for answer in verdict.answers:
        click.echo(f"  {printable(answer.zone)}: {answer.outcome.replace('_', ' ')}")
        for name, value in evidence(answer).items():
            click.echo(f"    {name}: {value}")


def show_table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a title; the characters of a cell are `printable` already, and one line.

    On a terminal a table, or, where that is too narrow for one, each row as a list. The word in a cell that
    names an outcome gets that outcome's colour, on a terminal that has colours.
    """
    if not sys.stdout.isatty():
        _print_columns(title, headers, rows)
    elif _needed_width(headers, rows) <= shutil.get_terminal_size().columns:
        _draw_table(title, headers, rows)
    else:
        _print_lists(title, headers, rows)


def _print_columns(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    click.echo(title)
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    for row in (headers, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(["", *cells]).rstrip())


def show_lines(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a title, each on one line, cut to the width of a terminal; the first cell is whole."""
    if not sys.stdout.isatty():
        _print_columns(title, headers, rows)
        return
    columns = shutil.get_terminal_size().columns
    click.echo(_cut(title, columns))
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    for row in (headers, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo(_cut("  ".join(cells).rstrip(), max(columns, len(row[0]))))


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def _needed_width(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    columns = zip(headers, *rows, strict=True)
    longest = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    return sum(min(length, READABLE) + 3 for length in longest) + 1  # 3: a rule, and a space at each side


def _draw_table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    click.echo(title)  # a title of rich's own would be folded to the width of the table
    table = Table()
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(table)


def _print_lists(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    click.echo(title)
    for first, *others in rows:
        click.echo(f"  {first}")
        for header, cell in zip(headers[1:], others, strict=True):
            if cell:
                click.echo(f"    {header}: {cell}")


def _row(answer: ZoneAnswer, *, links: bool) -> list[str]:
    """Zone, outcome, codes, points, and why, each printable."""
    meanings = [meaning for meaning in answer.meanings if meaning not in answer.detail]  # a refusal's
    why = [*meanings, *(_links(answer) if links else ()), answer.detail]
    is_allowed = answer.outcome is Outcome.LISTED and answer.score < 0
    return [
        printable(answer.zone),
        "allowlisted" if is_allowed else answer.outcome.replace("_", " "),
        " ".join(answer.codes),
        f"{answer.score:+g}" if answer.score else "",
        printable("; ".join(part for part in why if part)),
    ]


def _links(answer: ZoneAnswer) -> list[str]:
    """What a list says of its entry, and where one asks it to take the entry out."""
    links = [f'"{answer.reason}"'] if answer.reason else []
    if answer.delist_url and answer.outcome is Outcome.LISTED:
        links.append(f"delist: {answer.delist_url}")
    return links
