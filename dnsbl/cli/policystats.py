"""The table of `dnsbl policyd stats`."""

from __future__ import annotations

from typing import Any

import click

from dnsbl.text.printable import printable


def show(found: dict[str, Any]) -> None:
    """Print the running daemon's counts: a line each for what is one thing, a table for rules and zones."""
    actions = ", ".join(f"{count:,} {action}" for action, count in found["decisions"].items())
    click.echo(f"requests    {found['requests']:,}" + (f": {actions}" if actions else ""))
    for name, text in (
        ("incomplete", "decided while a zone was missing"),
        ("failures", "answered with on_error"),
        ("dry_run", "held back by a dry run"),
    ):
        if found[name]:
            click.echo(f"            {found[name]:,} {text}")
    latency = ", ".join(f"{part} {_ms(value)}" for part, value in found["latency_ms"].items())
    if latency:
        click.echo(f"latency     {latency}")
    cache = found["cache"]
    click.echo(
        f"cache       {cache['currsize']:,} of {cache['maxsize']:,} names, "
        f"{cache['hits']:,} hits, {cache['misses']:,} misses"
    )
    click.echo(f"connections {found['connections']:,}")
    if found["next_check_s"] is not None:
        click.echo(f"next check  of the lists in {found['next_check_s']:.0f} s")
    if found["rules"]:
        click.echo()
    for rule in found["rules"]:
        name = f"rule {rule['rule']}" if rule["rule"] else "no rule"
        click.echo(f"{name:<8}  {rule['action']:<16}  {rule['count']:>12,}")
    click.echo()
    width = max([4, *(len(zone["zone"]) for zone in found["zones"])])
    click.echo(f"{'zone':<{width}}  {'queries':>10}  {'cached':>10}  {'listed':>10}  decisions")
    for zone in found["zones"]:
        told = ", ".join(f"{count:,} {action}" for action, count in zone["decisions"].items())
        click.echo(
            f"{zone['zone']:<{width}}  {zone['queries']:>10,}  {zone['cache_hits']:>10,}  "
            f"{zone['listed']:>10,}  {told or '-'}"
        )
        if zone["set_aside"]:
            click.echo(f"{'':<{width}}  set aside: {printable(zone['set_aside'])}")
    for warning in found["warnings"]:
        click.echo(f"warning: {printable(warning)}")


def _ms(value: float | None) -> str:
    return "above 5 s" if value is None else f"below {value:g} ms"
