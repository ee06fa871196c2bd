"""`dnsbl check SUBJECT...`: look subjects up and say what the zones say; the exit code sums it up."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from dnsbl.cli import complain, render
from dnsbl.cli.options import lookup_options, open_resolver
from dnsbl.cli.unknown import UnknownZones
from dnsbl.errors import SubjectError
from dnsbl.model import Verdict

if TYPE_CHECKING:
    from dnsbl.resolver import Resolver

EXIT_CLEAN = 0
EXIT_LISTED = 1
EXIT_BAD_INPUT = 2
EXIT_INCOMPLETE = 3

MOST_SERIOUS_FIRST = (EXIT_BAD_INPUT, EXIT_LISTED, EXIT_INCOMPLETE, EXIT_CLEAN)

MAX_LINE: Final = 10_000
"""Characters of a line of standard input; the longest subject has 8,192."""


@click.command("check")
@click.argument("subjects", metavar="SUBJECT...|-", nargs=-1, required=True)
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
    takes. - reads subjects from standard input, one a line; empty lines and lines that begin with # are
    left out.

    Exit code: 0 not listed, and every zone answered; 1 listed; 2 bad usage or bad input; 3 not listed,
    but a zone gave no usable answer. Several subjects: the most serious of 2, 1, 3, 0, in that order.
    """
    codes: set[int] = set()
    with open_resolver(zones, nameservers, deadline_s, config_path) as (resolver, catalogue):
        unknown = UnknownZones(resolver, catalogue)
        for item in _look_up(resolver, _texts(subjects)):
            if isinstance(item, SubjectError):
                complain(str(item))
                if as_json:
                    click.echo(json.dumps({"subject": item.text, "error": str(item)}))
                codes.add(EXIT_BAD_INPUT)
            else:
                verdict = unknown.proved(item)
                _show(verdict, as_json=as_json, explain=explain)
                codes.add(exit_code(verdict))
    if not codes:
        complain("standard input names nothing to look up: write one address or domain a line")
        return EXIT_BAD_INPUT
    return next(code for code in MOST_SERIOUS_FIRST if code in codes)


def exit_code(verdict: Verdict) -> int:
    """The exit code for one verdict."""
    if verdict.listed:
        return EXIT_LISTED
    return EXIT_CLEAN if verdict.complete else EXIT_INCOMPLETE


def _look_up(resolver: Resolver, texts: Iterable[str]) -> Iterator[Verdict | SubjectError]:
    """What comes of each text, in order; what looks like a file is not asked."""
    faults: deque[SubjectError | None] = deque()

    def asked() -> Iterator[str]:
        for text in texts:
            fault = _file_fault(text)
            faults.append(fault)
            yield "" if fault else text  # an empty text is never asked either

    for item in resolver.check_many(asked(), ordered=True):
        yield faults.popleft() or item


def _file_fault(text: str) -> SubjectError | None:
    from dnsbl.subject.misread import looks_like_file

    message = looks_like_file(text)
    return SubjectError(message, text) if message else None


def _texts(subjects: Iterable[str]) -> Iterator[str]:
    """The subjects, those on standard input in the place of `-`."""
    for subject in subjects:
        if subject == "-":
            yield from _lines()
        else:
            yield subject


def _lines() -> Iterator[str]:
    with click.open_file("-", errors="backslashreplace") as stream:
        while line := stream.readline(MAX_LINE):
            text = line.strip()
            while len(line) == MAX_LINE and not line.endswith("\n"):
                line = stream.readline(MAX_LINE)  # the rest of a line that is too long anyway
            if text and not text.startswith("#"):
                yield text


def _show(verdict: Verdict, *, as_json: bool, explain: bool) -> None:
    if as_json:
        click.echo(json.dumps(verdict.to_dict(explain=explain)))
    else:
        render.show_verdict(verdict, explain=explain)
