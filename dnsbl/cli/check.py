"""`dnsbl check SUBJECT...`: look subjects up and say what the zones say; the exit code sums it up."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dnsbl.cli import complain, render
from dnsbl.cli.options import lookup_options, open_resolver
from dnsbl.errors import SubjectError
from dnsbl.model import Verdict

EXIT_CLEAN = 0
EXIT_LISTED = 1
EXIT_BAD_INPUT = 2
EXIT_INCOMPLETE = 3

MOST_SERIOUS_FIRST = (EXIT_BAD_INPUT, EXIT_LISTED, EXIT_INCOMPLETE, EXIT_CLEAN)


@click.command("check")
@click.argument("subjects", metavar="SUBJECT...", nargs=-1, required=True)
@lookup_options
@click.option("--explain", is_flag=True, help="Show how each answer came about.")
def command(
    subjects: tuple[str, ...],
    zones: tuple[str, ...],
    nameservers: tuple[str, ...],
    deadline_s: float | None,
    config_path: Path | None,
    as_json: bool,
    explain: bool,
) -> int:
    """Look up IP addresses and domains.

    SUBJECT is an IPv4 or IPv6 address, a domain, an e-mail address or a URL; each zone is asked for what it
    takes.

    Exit code: 0 not listed, and every zone answered; 1 listed; 2 bad usage or bad input; 3 not listed,
    but a zone gave no usable answer. Several subjects: the most serious of 2, 1, 3, 0, in that order.
    """
    codes: set[int] = set()
    with open_resolver(zones, nameservers, deadline_s, config_path) as resolver:
        for item in resolver.check_many(subjects, ordered=True):
            if isinstance(item, SubjectError):
                complain(str(item))
                codes.add(EXIT_BAD_INPUT)
            else:
                _show(item, as_json=as_json, explain=explain)
                codes.add(exit_code(item))
    return next(code for code in MOST_SERIOUS_FIRST if code in codes)


def exit_code(verdict: Verdict) -> int:
    """The exit code for one verdict."""
    if verdict.listed:
        return EXIT_LISTED
    return EXIT_CLEAN if verdict.complete else EXIT_INCOMPLETE


def _show(verdict: Verdict, *, as_json: bool, explain: bool) -> None:
    if as_json:
        click.echo(json.dumps(verdict.to_dict(explain=explain)))
    else:
        render.show_verdict(verdict, explain=explain)
