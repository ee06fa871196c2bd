"""`dnsbl policyd`: the Postfix policy daemon, its configuration checked, one of its requests explained."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnsbl.cli import EXIT_USAGE, complain, render
from dnsbl.cli.options import lookup_options
from dnsbl.errors import DnsblError
from dnsbl.text.printable import printable

if TYPE_CHECKING:
    from dnsbl.policy.explain import RuleOutcome
    from dnsbl.policy.protocol import Attributes
    from dnsbl.policyd.log import Log, Write
    from dnsbl.policyd.settings import Options, Settings
    from dnsbl.resolver import Resolver

MAX_REQUEST_FILE_BYTES = 1 << 20
STDERR = 2


@click.command("policyd")
@click.option(
    "--listen",
    "listen",
    metavar="ADDRESS",
    multiple=True,
    help="Where to listen: 127.0.0.1:10040, [::1]:10040 or unix:/PATH. Repeatable; default: as configured, "
    "else 127.0.0.1:10040. Sockets that systemd passes come before either.",
)
@click.option("--spawn", is_flag=True, help="Serve stdin and stdout, for Postfix's spawn(8).")
@click.option("--check-config", is_flag=True, help="Check the configuration, and do nothing else.")
@click.option(
    "--explain",
    "explain_file",
    metavar="FILE",
    type=click.File("rb"),
    help="Read a request's text (- is stdin) and show every rule's outcome and the zones' answers.",
)
@click.option("--dry-run", is_flag=True, help="Only log, and prepend a header, whatever the rules say.")
@click.option("--metrics", metavar="ADDRESS:PORT", help="Serve Prometheus metrics there.")
@click.option("--allow-remote", is_flag=True, help="Allow addresses beyond loopback, for --metrics too.")
@lookup_options
def command(
    listen: tuple[str, ...],
    spawn: bool,
    check_config: bool,
    explain_file: Any,
    dry_run: bool,
    metrics: str | None,
    allow_remote: bool,
    zones: tuple[str, ...],
    nameservers: tuple[str, ...],
    deadline_s: float | None,
    config_path: Path | None,
    as_json: bool,
) -> int:
    """Answer Postfix's check_policy_service: reject clients that are listed.

    The log goes to stderr, one line per decision; with --json, one object per line. SIGHUP reads the
    configuration again, SIGTERM ends. A ready main.cf fragment and a systemd unit are in contrib/.
    """
    from dnsbl.policyd.settings import Options

    options = Options(
        config_path, zones, nameservers, deadline_s, listen, metrics or None, dry_run, allow_remote
    )
    if check_config:
        return _check(options)
    if explain_file is not None:
        return _explain(options, explain_file.read(MAX_REQUEST_FILE_BYTES), as_json)
    return _spawn(options, as_json) if spawn else _serve(options, as_json)


def _check(options: Options) -> int:
    """Say that the configuration is good, or raise what is wrong with it. Opens no socket."""
    from dnsbl.policyd.backend import make_resolver
    from dnsbl.policyd.listeners import check_address
    from dnsbl.policyd.server import summary
    from dnsbl.policyd.settings import cache_file_fault, load_settings

    settings = load_settings(options)
    if fault := cache_file_fault(settings):
        raise fault
    make_resolver(settings, options).close()
    for address in (*settings.listen, *([settings.metrics] if settings.metrics else [])):
        check_address(address, allow_remote=options.allow_remote, group=settings.socket_group)
    for warning in settings.config.warnings:
        complain(warning)
    click.echo(f"{printable(settings.config.source.name)}: good: {printable(summary(settings))}")
    return 0


def _serve(options: Options, as_json: bool) -> int:
    import asyncio

    from dnsbl.policyd.log import FdWriter
    from dnsbl.policyd.server import serve

    log = _open_log(FdWriter(STDERR), as_json)
    try:
        asyncio.run(serve(options, log))
    finally:
        log.later = None
        log.flush()
    return 0


def _spawn(options: Options, as_json: bool) -> int:
    """As stderr may be the socket to Postfix, even what is wrong with the configuration goes to the log."""
    from dnsbl.policyd.spawn import open_log_writer, run_spawned

    log = _open_log(open_log_writer(), as_json)
    try:
        run_spawned(options, log)
    except (DnsblError, OSError) as error:
        log.error(str(error))
        return EXIT_USAGE
    return 0


def _open_log(write: Write, as_json: bool) -> Log:
    """The daemon's log, which also takes what the library says by `logging`."""
    from dnsbl.policyd.log import Log, LogHandler

    log = Log(write, as_json=as_json, with_time="JOURNAL_STREAM" not in os.environ)
    root = logging.getLogger()
    root.addHandler(LogHandler(log))
    logging.getLogger("dnsbl").setLevel(logging.INFO)
    return log


def _explain(options: Options, data: bytes, as_json: bool) -> int:
    from dnsbl.policy.explain import parse_requests
    from dnsbl.policyd.backend import make_resolver
    from dnsbl.policyd.settings import load_settings

    requests = parse_requests(data)
    settings = load_settings(options)
    with make_resolver(settings, options) as resolver:
        for request in requests:
            _explain_one(settings, resolver, request, as_json)
    return 0


def _explain_one(settings: Settings, resolver: Resolver, request: Attributes, as_json: bool) -> None:
    from dnsbl.policy.explain import explain_rules
    from dnsbl.subject import address_key

    client = request.get("client_address", "")
    verdict = resolver.check(client) if address_key(client) is not None else None
    policy = settings.policy
    decision = policy.decision(request, policy.candidates(request), verdict)
    outcomes = explain_rules(policy, request, verdict)
    if as_json:
        out = {
            "client": printable(client),
            "action": decision.action,
            "would": decision.would or None,
            "own_network": policy.is_own(client),
            "rules": [
                {"rule": o.number, "action": o.action, "outcome": o.outcome, "failing": list(o.failing)}
                for o in outcomes
            ],
            "verdict": verdict.to_dict(explain=True) if verdict is not None else None,
        }
        click.echo(json.dumps(out))
        return
    _show_rules(client, policy.is_own(client), outcomes)
    if verdict is None:
        click.echo("no lookup: client_address is no IP address")
    else:
        render.show_verdict(verdict, explain=True)
    if decision.would:
        click.echo(f"without dry run: {printable(decision.would)}")
    click.echo(f"action={decision.action}")


def _show_rules(client: str, is_own: bool, outcomes: Any) -> None:
    click.echo(f"client {printable(client) or '-'}" + (" is in own_networks: DUNNO" if is_own else ""))
    outcome: RuleOutcome
    for outcome in outcomes:
        click.echo(f"rule {outcome.number}: {printable(outcome.action)}")
        why = f": {printable('; '.join(outcome.failing))}" if outcome.failing else ""
        click.echo(f"    {outcome.outcome}{why}")
