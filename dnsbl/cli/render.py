"""Verdicts as people read them: a table on a terminal, aligned columns anywhere else.

Turns values into text and decides nothing. Whatever came from the DNS is printed with everything a
terminal could act upon escaped, and never read as markup. rich (slow to import) is imported when a
table is drawn on a terminal, not before.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from dnsbl.cli.text import printable
from dnsbl.model import Outcome, Verdict, ZoneAnswer

_STYLES = {"listed": "bold red", "not listed": "green", "skipped": "dim"}
_STYLES |= dict.fromkeys(("blocked", "invalid", "timeout", "servfail"), "yellow")


def show_verdict(verdict: Verdict, *, explain: bool = False) -> None:
    """Print a verdict: the headline, then a row a zone; with `explain`, all the evidence behind it."""
    if explain:
        headers = ["zone", "outcome", "evidence"]
        rows = [[*_row(answer)[:2], evidence(answer)] for answer in verdict.answers]
    else:
        headers = ["zone", "outcome", "codes", "points", "why"]
        rows = [_row(answer) for answer in verdict.answers]
    show_table(headline(verdict), headers, rows)


def headline(verdict: Verdict) -> str:
    """The verdict in one line: `192.0.2.99: listed, score 3`."""
    if verdict.listed:
        text = f"listed, score {verdict.score:g}"
    elif verdict.complete and all(answer.outcome is Outcome.SKIPPED for answer in verdict.answers):
        text = "not looked up"
    else:
        text = "not listed" + (f", score {verdict.score:g}" if verdict.score else "")
    if verdict.errors:
        text += f", incomplete: no usable answer from {len(verdict.errors)} of {len(verdict.answers)} zones"
    elif not verdict.complete:
        text += ", incomplete: a zone was set aside"
    return f"{printable(verdict.subject)}: {text}"


def evidence(answer: ZoneAnswer) -> str:
    """Every fact behind an answer, one a line, `-` where there is none: what `--explain` shows."""
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
    return "\n".join(f"{name}: {printable(value or '-')}" for name, value in facts.items())


def show_table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under a title. A cell may have several lines; its characters are `printable` already.

    The word in a cell that names an outcome gets that outcome's colour, on a terminal that has colours.
    """
    if sys.stdout.isatty():
        _draw_table(title, headers, rows)
        return
    click.echo(title)
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    for row in (headers, *rows):
        *cells, last = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        start = "  ".join(["", *cells, ""])
        for line in last.split("\n"):
            click.echo((start + line).rstrip())
            start = " " * len(start)


def _draw_table(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    several_lines = any("\n" in cell for row in rows for cell in row)
    table = Table(title=Text(title), title_justify="left", show_lines=several_lines)
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(table)


def _row(answer: ZoneAnswer) -> list[str]:
    """Zone, outcome, codes, points, and why, each printable."""
    why = [
        *answer.meanings,
        f'"{answer.reason}"' if answer.reason else "",
        answer.detail,
        f"delist: {answer.delist_url}" if answer.delist_url and answer.outcome is Outcome.LISTED else "",
    ]
    return [
        printable(answer.zone),
        answer.outcome.replace("_", " "),
        " ".join(answer.codes),
        f"{answer.score:+g}" if answer.score else "",
        printable("; ".join(part for part in why if part)),
    ]
