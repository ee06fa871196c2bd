"""`dnsbl zones compile FILE`: check a list file and say what is in it."""

from __future__ import annotations

import json
from time import time

import click

from dnsbl.cli import complain
from dnsbl.cli.options import json_option
from dnsbl.lists import BAD_SHARE
from dnsbl.text.printable import printable

EXIT_OK = 0
EXIT_FINDINGS = 1
SHOWN = 20
"""Bad lines that are shown; --json has up to a thousand."""


@click.command("compile")
@click.argument("file", type=click.Path(path_type=str))
@click.option("--format", "format", default="auto", show_default=True, help="The file's format.")
@click.option(
    "--bad-share", type=click.FloatRange(0, 1), default=BAD_SHARE, show_default=True,
    help="With a greater share of bad entries the file is refused, as with the configuration's bad_share.",
)  # fmt: skip
@json_option
def compile_list(file: str, format: str, bad_share: float, as_json: bool) -> int:
    """Check a list FILE as it would be loaded: counts, overlaps, bad lines.

    FILE is a plain list of addresses, Spamhaus DROP (text or JSON), or a data set of rbldnsd.

    Exit code: 0 no findings; 1 findings (bad lines, dates, duplicates), which are named; 2 the file cannot be
    used at all, or bad usage.
    """
    from dnsbl.lists.loader import load, warnings_of

    found = load(file, format, bad_share=bad_share, survey=True)
    overlaps = found.overlaps
    if as_json:
        facts = {
            "file": file, "format": found.format, "entries": found.entries,
            "ip4": found.ip4, "ip6": found.ip6,
            "names": found.names, "exclusions": found.exclusions, "overlaps": overlaps, "lines": found.lines,
            "bad": found.bad, "memory_bytes": found.nbytes, "expires": found.expires,
            "problems": [problem._asdict() for problem in found.problems],
            "warnings": [warning._asdict() for warning in found.warnings],
        }  # fmt: skip
        click.echo(json.dumps(facts))
    else:
        click.echo(
            f"{printable(file)}: {found.format}, {found.entries:,} entries: {found.ip4:,} IPv4, "
            f"{found.ip6:,} IPv6, {found.names:,} names; {found.exclusions:,} exclusions; "
            f"{overlaps:,} inside another; {found.bad:,} bad lines of {found.lines:,}"
        )
    for problem in found.problems[:SHOWN]:
        complain(printable(f"{file}:{problem.line}: {problem.message}"))
    if found.bad > SHOWN:
        complain(f"{file}: {found.bad - SHOWN} more bad lines; --json has them")
    said = warnings_of(file, found, time())
    for warning in said[1:] if found.bad else said:
        complain(printable(warning))
    if not found.entries and not found.bad:
        complain(f"{file}: an empty list: it lists nothing")
    return EXIT_FINDINGS if found.bad or said else EXIT_OK
