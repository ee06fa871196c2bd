"""`dnsbl zones fetch`: get the list files that the configuration names by URL."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from dnsbl.cli import complain
from dnsbl.cli.options import config_option
from dnsbl.errors import ConfigError
from dnsbl.text.printable import printable

EXIT_OK = 0
EXIT_FAILED = 1


@click.command("fetch")
@click.argument("zones", metavar="[ZONE]...", nargs=-1)
@config_option
def fetch_lists(zones: tuple[str, ...], config_path: Path | None) -> int:
    """Get the list files that the configuration names by `url`; with ZONE only these.

    Each is asked for no more often than its `interval_s` says, is checked before it replaces the old file,
    and on any doubt the old file stays. Needs the extra: pip install 'dnsbl-resolver[fetch]'.

    Exit code: 0 all are up to date; 1 a list could not be fetched, which stderr names; 2 bad usage or
    bad input.
    """
    if find_spec("urllib3") is None:
        raise ConfigError("zones fetch needs urllib3: pip install 'dnsbl-resolver[fetch]'", "urllib3")
    from dnsbl.config import file as config
    from dnsbl.lists.fetch import fetch

    sources = config.load(config_path, keys=False).sources
    unknown = [zone for zone in zones if zone not in {source.zone for source in sources}]
    if unknown:
        raise ConfigError(f"{unknown[0]}: no [[zone]] with this name has both file and url", unknown[0])
    if not sources:
        raise ConfigError("no [[zone]] of the configuration has both file and url: nothing to fetch", "")
    code = EXIT_OK
    for source in sources:
        if zones and source.zone not in zones:
            continue
        found = fetch(
            source.url, source.path, source.format, interval_s=source.interval_s, bad_share=source.bad_share
        )
        if found.what == "failed":
            complain(printable(f"{source.zone}: {found.message}"))
            code = EXIT_FAILED
        else:
            click.echo(printable(f"{source.zone}: {found.what}: {found.message}"))
    return code
