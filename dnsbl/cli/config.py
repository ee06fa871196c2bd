"""`dnsbl config`: the configuration in effect, and an example of one.

What is in effect is found out in dnsbl/config/effective.py; here it is printed. No zone is asked, and no key
is read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnsbl.cli import complain
from dnsbl.cli.options import config_option, json_option
from dnsbl.text.printable import printable

if TYPE_CHECKING:
    from dnsbl.config.effective import Value


@click.command("config")
@click.option("--show", is_flag=True, help="Print what is in effect, with where it comes from; the default.")
@click.option("--example", is_flag=True, help="Print a dnsbl.toml with every key, commented out.")
@config_option
@json_option
def command(show: bool, example: bool, config_path: Path | None, as_json: bool) -> int:
    """Show the configuration in effect, or an example of one.

    Each value stands with its source: FILE:LINE, catalogue, default, or the system's. Keys of keyed zones are
    never shown, nor read. What is shown is read by --config again.

    Exit code: 0; 2 bad usage, or a configuration that cannot be used.
    """
    if example:
        if show or as_json:
            raise click.UsageError("--example goes with neither --show nor --json")
        from dnsbl.config.reference import format_example

        click.echo(format_example(), nl=False)
        return 0
    values = _values(config_path)
    if as_json:
        for value in values:
            click.echo(json.dumps(value._asdict()))
    else:
        _show(values)
    return 0


def _values(config_path: Path | None) -> list[Value]:
    from dataclasses import replace

    from dnsbl.config import file
    from dnsbl.config.effective import effective
    from dnsbl.lookup.resolvconf import SystemNameservers

    config = file.load(config_path, retired=True, keys=False)
    for warning in config.warnings:
        complain(warning)
    if not config.zones:
        config = replace(config, zones=config.catalogue.default())
    servers = () if config.resolver.nameservers else SystemNameservers().found
    return list(effective(config, servers))


def _show(values: list[Value]) -> None:
    from dnsbl.migrate.write import format_value

    table = ("", 0)
    for value in values:
        if (value.table, value.number) != table:
            table = (value.table, value.number)
            click.echo(f"\n{value.table}" if table != (values[0].table, 0) else value.table)
        if not value.is_set:
            click.echo(f"# {value.key}: {value.value}")
        elif value.source == "default" and isinstance(value.value, str) and value.table != "[[zone]]":
            click.echo(f"{value.key} = {value.value}  # default")
        else:
            click.echo(f"{value.key} = {format_value(value.value)}  # {printable(value.source)}")
