"""`dnsbl audit MAILLOG...`: which few lists are worth having here, by the clients of a mail log."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnsbl.cli import complain, render
from dnsbl.cli.bulk import open_lookups
from dnsbl.cli.interrupts import Interrupts
from dnsbl.cli.options import lookup_options
from dnsbl.cli.progress import Progress
from dnsbl.errors import SubjectError
from dnsbl.text.printable import printable

if TYPE_CHECKING:
    from dnsbl.audit.clients import Clients
    from dnsbl.audit.verdicts import Found
    from dnsbl.resolver import Resolver

EXIT_OK = 0
EXIT_BAD_INPUT = 2
SHOWN = 10


@click.command("audit")
@click.argument("logs", metavar="MAILLOG...|-", nargs=-1, required=True)
@lookup_options
@click.option(
    "--html",
    "page",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one self-contained HTML page too.",
)
@click.option(
    "--share",
    type=click.FloatRange(0.01, 1.0),
    default=0.95,
    show_default=True,
    help="Of the listed clients, how many the smallest set of zones has to list.",
)
@click.option("--mask", is_flag=True, help="Show networks in the place of addresses, and no host names.")
@click.option(
    "--well-known",
    metavar="DOMAIN",
    multiple=True,
    help="Host names of clients below DOMAIN are good senders, beside the built-in ones. Repeatable.",
)
@click.option("--rate", type=click.FloatRange(0.1, 1_000_000), metavar="QUERIES", help="Queries a second.")
@click.option(
    "--i-have-an-agreement",
    "agreements",
    metavar="ZONE",
    multiple=True,
    help="Ask ZONE beyond its free queries a day: its operator agreed. Repeatable.",
)
def command(
    logs: tuple[str, ...],
    zones: tuple[str, ...],
    nameservers: tuple[str, ...],
    deadline_s: float | None,
    config_path: Path | None,
    as_json: bool,
    page: Path | None,
    share: float,
    mask: bool,
    well_known: tuple[str, ...],
    rate: float | None,
    agreements: tuple[str, ...],
) -> int:
    """Read Postfix logs and say which zones are worth asking.

    MAILLOG is a log file, plain, gzip or xz, with syslog's or RFC 3339 times, or the output of `journalctl -o
    export`; - is standard input. Its clients are looked up in the zones of -z, else the configured ones.

    Exit code: 0; 2 bad usage, no client in the logs, stopped at a list's free limit, or a page that cannot be
    written.
    """
    from dnsbl.audit.clients import WELL_KNOWN, Clients
    from dnsbl.audit.report import make_report

    if page is not None:
        page.open("ab").close()  # what cannot be written is told before anything is asked
    clients = Clients(date.today())
    _read(logs, clients)
    if not clients.by_address:
        complain(f"{', '.join(logs)}: no client of a Postfix smtpd or postscreen in {clients.lines:,} lines")
        return EXIT_BAD_INPUT
    with ExitStack() as stack:
        source = (zones, nameservers, deadline_s, config_path)
        resolver, code, found = _look_up(
            stack, source, clients, (*WELL_KNOWN, *map(str.lower, well_known)), rate, agreements
        )
        report = make_report(clients, found, resolver.zones, resolver.stats(), share=share, mask=mask)
    if as_json:
        click.echo(json.dumps(report))
    else:
        _show(report)
    return code if page is None or _write_page(page, report) else EXIT_BAD_INPUT


def _write_page(page: Path, report: dict[str, Any]) -> bool:
    from dnsbl.audit.page import make_page

    try:
        page.write_text(make_page(report), encoding="utf-8")
    except OSError as error:
        complain(f"{page}: {error.strerror}: the page is not whole")
        return False
    return True


def _read(logs: tuple[str, ...], clients: Clients) -> None:
    """All the logs; a damaged one is read as far as it goes."""
    from dnsbl.audit.logfile import read_log
    from dnsbl.errors import InputError

    for log in logs:
        try:
            clients.add_all(read_log(log))
        except InputError as error:
            complain(str(error))


def _look_up(
    stack: ExitStack,
    source: tuple[Any, Any, Any, Any],
    clients: Clients,
    well_known: tuple[str, ...],
    rate: float | None,
    agreements: tuple[str, ...],
) -> tuple[Resolver, int, Found]:
    """Every client in every zone, as far as the zones' free limits go."""
    from dnsbl.audit.verdicts import Found
    from dnsbl.subject import address_key

    resolver, terms = open_lookups(stack, source, agreements, rate)
    found = Found([zone.name for zone in resolver.zones], well_known)
    admitted = (address for address in clients.by_address if terms.admit(address_key(address) or ""))
    with Interrupts(), Progress(len(clients.by_address)) as progress:
        for verdict in resolver.check_many(admitted):
            assert not isinstance(verdict, SubjectError), "the addresses were read before"
            found.add(verdict, clients.by_address[verdict.subject])
            progress.advance()
    if terms.stopped_by:
        complain(
            f"{terms.stopped_by}: only {found.looked_up:,} of {len(clients.by_address):,} clients were "
            f"looked up, to stay within its free queries a day: give a shorter log, leave the zone out, or, "
            f"if you have an agreement with its operator, use --i-have-an-agreement {terms.stopped_by}"
        )
        return resolver, EXIT_BAD_INPUT, found
    return resolver, EXIT_OK, found


def _show(report: dict[str, Any]) -> None:
    title = (
        f"{report['lines']:,} lines ({report['unparsed']:,} not readable), {report['clients']:,} clients: "
        f"{report['accepted']:,} accepted, {report['rejected']:,} rejected, "
        f"{report['authenticated']:,} authenticated; {report['listed']:,} are listed"
    )
    heads = [
        "zone",
        "hits",
        "only here",
        "accepted",
        "logged in",
        "well-known",
        "errors",
        "ms",
        "queries/day",
        "free",
    ]
    render.show_table(title, heads, [_zone_row(zone) for zone in report["zones"]])
    suspects = report["likely_false_positives"]
    if suspects:
        rows = [
            [each["client"], printable(each["name"]), each["kind"], printable(" ".join(each["zones"]))]
            for each in suspects[:SHOWN]
        ]
        every = report["likely_false_positives_in_all"]
        more = f", the first {SHOWN} of {every:,}" if every > SHOWN else ""
        render.show_table(f"listed, but perhaps good{more}", ["client", "name", "why", "zones"], rows)
    rows = [[f"{n}", printable(row["zone"]), f"{row['covered']:,}", f"{row['share']:.1%}"]
            for n, row in enumerate(report["coverage"], 1)]  # fmt: skip
    render.show_table("coverage, zone by zone", ["zones", "with", "clients", "share"], rows)
    if not report["smallest_set"]:
        click.echo("no zone lists any of these clients: none is worth asking here")
        return
    click.echo(f"smallest set for {report['share']:.0%}: {printable(', '.join(report['smallest_set']))}")
    click.echo(
        f"\n# dnsbl.toml\n{report['dnsbl_toml']}\n# main.cf\n{report['postscreen_dnsbl_sites']}", nl=False
    )


def _zone_row(zone: dict[str, Any]) -> list[str]:
    latency, limit = zone["latency_ms"], zone["daily_limit"]
    middle = latency.get("p50") if isinstance(latency, dict) else latency
    counts = ("hits", "unique_hits", "accepted_hits", "authenticated_hits", "well_known_hits", "errors")
    return [
        printable(zone["zone"]),
        *(f"{zone[name]:,}" for name in counts),
        "" if middle is None else f"{middle:.1f}",
        f"{zone['queries_per_day']:,}",
        "" if limit is None else f"{limit:,}" + (" EXCEEDED" if zone["over_limit"] else ""),
    ]
