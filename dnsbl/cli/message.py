"""`dnsbl message FILE|-`: look up what stands in messages; the exit code sums it up as `check`'s does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dnsbl.cli import render
from dnsbl.cli.check import EXIT_CLEAN, EXIT_INCOMPLETE, EXIT_LISTED, MOST_SERIOUS_FIRST
from dnsbl.cli.options import lookup_options, open_resolver
from dnsbl.text.printable import printable

if TYPE_CHECKING:
    from dnsbl.lookup.message import Finding, MessageVerdict

F = TypeVar("F", bound=Callable[..., Any])

PROGRESS_EVERY = 100
"""Messages between two lines on stderr."""
MAX_HARMLESS_BYTES = 1 << 20


def message_options(function: F) -> F:
    """Which relays are trusted and which domains are skipped."""
    for option in (
        click.option(
            "--harmless",
            "harmless_path",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Domains that are not asked, one a line; empty: none. Default: as configured, else a "
            "built-in list.",
        ),
        click.option(
            "--trusted",
            metavar="NETWORK",
            multiple=True,
            help="Network of own relays, or of the provider that mail is fetched from. Repeatable; "
            "default: as configured.",
        ),
    ):
        function = option(function)
    return function


@click.command("message")
@click.argument("path", metavar="FILE|-")
@message_options
@lookup_options
@click.option("--explain", is_flag=True, help="Show hops, sources and how each answer came about, as a tree.")
def command(
    path: str,
    trusted: tuple[str, ...],
    harmless_path: Path | None,
    zones: tuple[str, ...],
    nameservers: tuple[str, ...],
    deadline_s: float | None,
    config_path: Path | None,
    as_json: bool,
    explain: bool,
) -> int:
    """Look up the relay, links, senders and signers of mail messages.

    FILE is a message, an mbox or a Maildir; - reads a message or an mbox from stdin. Of each message the
    first untrusted Received hop is asked, and the domains of links, images and sender headers; zones that
    take e-mail addresses, URLs or signers get those.

    Exit code: as `dnsbl check`, over all messages.
    """
    from dnsbl.cli.mailbox import messages

    codes: set[int] = set()
    harmless = read_harmless(harmless_path)
    with open_resolver(zones, nameservers, deadline_s, config_path, prove=True) as (resolver, _):
        for number, source in enumerate(messages(path), 1):
            verdict = resolver.check_message(source.data, trusted=trusted or None, harmless=harmless)
            if as_json:
                click.echo(json.dumps({"message": source.name} | verdict.to_dict(explain=explain)))
            else:
                click.echo("\n".join(tree(source.name, verdict, explain=explain)))
            codes.add(exit_code(verdict))
            if number % PROGRESS_EVERY == 0:
                click.echo(f"dnsbl: {number} messages", err=True)
    return next((code for code in MOST_SERIOUS_FIRST if code in codes), EXIT_CLEAN)


def exit_code(verdict: MessageVerdict) -> int:
    """The exit code for one message."""
    if verdict.listed:
        return EXIT_LISTED
    return EXIT_CLEAN if verdict.complete else EXIT_INCOMPLETE


def read_harmless(path: Path | None) -> list[str] | None:
    """The domains of a file, one a line, `#` begins a comment; None without a file.

    Raises OSError for what cannot be read, SubjectError for what is no domain.
    """
    from dnsbl.subject.domain import parse_domain

    if path is None:
        return None
    with path.open("r", encoding="utf-8", errors="replace") as file:
        lines = file.read(MAX_HARMLESS_BYTES).splitlines()
    return [parse_domain(name) for line in lines if (name := line.partition("#")[0].strip())]


def headline(verdict: MessageVerdict) -> str:
    """The verdict in one line."""
    if verdict.listed:
        text = f"listed by {', '.join(verdict.zones)}, score {verdict.score:g}"
    else:
        text = "not listed" + (f", score {verdict.score:g}" if verdict.score else "")
    return text + ("" if verdict.complete else ", incomplete")


def tree(name: str, verdict: MessageVerdict, *, explain: bool) -> Iterator[str]:
    """The message's findings, listed ones only or, with `explain`, all of them with their hops."""
    yield printable(f"{name}: {headline(verdict)}")
    if explain:
        yield "  hops"
        for hop in verdict.hop.skipped:
            yield printable(f"    {hop.index}: passed by: {hop.why}")
        place = "-" if verdict.hop.index is None else str(verdict.hop.index)
        yield printable(f"    {place}: {verdict.hop.why}")
    for finding in verdict.findings:
        if explain or finding.verdict.listed:
            yield from _finding(finding, explain=explain)
    if explain:
        for title, values in (("missing headers", verdict.absent), ("harmless", verdict.harmless)):
            if values:
                yield printable(f"  {title}: {', '.join(values)}")
    for what in verdict.left_out:
        yield printable(f"  left out: {what}")


def _finding(finding: Finding, *, explain: bool) -> Iterator[str]:
    yield printable(f"  {finding.kind} {render.headline(finding.verdict)}")
    for place in finding.where:
        yield printable(f"    in {place}")
    for answer in finding.verdict.answers if explain else finding.verdict.listings:
        if not explain:
            why = "; ".join(filter(None, [*answer.meanings, answer.reason, answer.detail]))
            yield printable(f"    {answer.zone}: {' '.join(answer.codes)} {why}")
        elif answer.outcome != "skipped":
            yield printable(f"    {answer.zone}: {answer.outcome.replace('_', ' ')}")
            for fact, value in render.evidence(answer).items():
                if value != "-":
                    yield f"      {fact}: {value}"
