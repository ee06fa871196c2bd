"""`dnsbl policyd`: the Postfix policy daemon, its configuration checked, one of its requests explained."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnsbl.cli import EXIT_USAGE, complain, render
from dnsbl.cli.options import config_option, json_option, lookup_options
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


@click.group("policyd", invoke_without_command=True)
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
@click.option(
    "--test",
    "test_address",
    metavar="ADDRESS",
    help="Answer as if this client had come, and show why, as --explain; no mail is needed.",
)
@click.option("--sender", default="sender@example.org", show_default=True, help="The sender, for --test.")
@click.option("--helo", default="", metavar="NAME", help="The HELO name, for --test.")
@click.option("--client-name", default="", metavar="NAME", help="The client's name, for --test.")
@click.option("--recipient", default="", metavar="ADDRESS", help="The recipient, for --test.")
@click.option("--dry-run", is_flag=True, help="Only log, and prepend a header, whatever the rules say.")
@click.option("--metrics", metavar="ADDRESS:PORT", help="Serve Prometheus metrics there.")
@click.option("--allow-remote", is_flag=True, help="Allow addresses beyond loopback, for --metrics too.")
@click.option(
    "--recheck", is_flag=True, help="As `policyd recheck`: ask the running daemon to check its lists."
)
@lookup_options
@click.pass_context
def command(
    context: click.Context,
    listen: tuple[str, ...],
    spawn: bool,
    check_config: bool,
    explain_file: Any,
    test_address: str | None,
    sender: str,
    helo: str,
    client_name: str,
    recipient: str,
    dry_run: bool,
    metrics: str | None,
    allow_remote: bool,
    recheck: bool,
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

    if recheck or context.invoked_subcommand is not None:
        return _recheck(config_path, None, as_json) if recheck else 0
    options = Options(
        config_path, zones, nameservers, deadline_s, listen, metrics or None, dry_run, allow_remote
    )
    if check_config:
        return _check(options)
    if test_address is not None:
        return _test(options, _pretended(test_address, sender, helo, client_name, recipient), as_json)
    if explain_file is not None:
        return _explain(options, explain_file.read(MAX_REQUEST_FILE_BYTES), as_json)
    return _spawn(options, as_json) if spawn else _serve(options, as_json)


_socket_option = click.option(
    "--socket",
    "socket_path",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="The daemon's control socket. Default: `control` of the configuration, else /run/dnsbl/control.",
)


def _ask(config_path: Path | None, socket_path: Path | None, line: str) -> dict[str, Any]:
    """Ask the running daemon."""
    from dnsbl.policyd.control import DEFAULT_CONTROL, ask
    from dnsbl.policyd.settings import Options, load_settings

    if socket_path is None:
        socket_path = load_settings(Options(config_path)).control or DEFAULT_CONTROL
    return ask(socket_path, line)


@command.command("stats")
@_socket_option
@config_option
@json_option
def show_stats(socket_path: Path | None, config_path: Path | None, as_json: bool) -> int:
    """Show what the running daemon has done: decisions, lists set aside, cache, latency."""
    found = _ask(config_path, socket_path, "stats")
    if as_json:
        click.echo(json.dumps(found))
    else:
        from dnsbl.cli.policystats import show

        show(found)
    return 0


@command.command("flush")
@click.argument("subject", default="")
@_socket_option
@config_option
@json_option
def flush(subject: str, socket_path: Path | None, config_path: Path | None, as_json: bool) -> int:
    """Let the running daemon forget the answers about SUBJECT, or all of them."""
    found = _ask(config_path, socket_path, f"flush {subject}".strip())
    click.echo(json.dumps(found) if as_json else f"forgotten: {found['forgotten']:,} names")
    return 0


@command.command("recheck")
@_socket_option
@config_option
@json_option
def recheck_lists(socket_path: Path | None, config_path: Path | None, as_json: bool) -> int:
    """Let the running daemon ask its lists' test entries now."""
    return _recheck(config_path, socket_path, as_json)


def _recheck(config_path: Path | None, socket_path: Path | None, as_json: bool) -> int:
    found = _ask(config_path, socket_path, "recheck")
    click.echo(json.dumps(found) if as_json else f"being checked: {printable(', '.join(found['zones']))}")
    return 0


def _check(options: Options) -> int:
    """Say that the configuration is good, or raise what is wrong with it. Opens no socket."""
    from dnsbl.policyd.advice import advise
    from dnsbl.policyd.backend import make_resolver
    from dnsbl.policyd.listeners import check_address
    from dnsbl.policyd.settings import cache_file_fault, load_settings
    from dnsbl.policyd.startup import summary

    settings = load_settings(options)
    if fault := cache_file_fault(settings):
        raise fault
    make_resolver(settings, options).close()
    for address in (*settings.listen, *([settings.metrics] if settings.metrics else [])):
        check_address(address, allow_remote=options.allow_remote, group=settings.socket_group)
    warnings = [*settings.config.warnings, *advise(settings, nameservers=options.nameservers)]
    for warning in warnings:
        complain(f"warning: {warning}")
    more = f", {len(warnings)} warning{'s' if len(warnings) > 1 else ''}" if warnings else ""
    click.echo(f"{printable(settings.config.source.name)}: good{more}: {printable(summary(settings))}")
    return 0


def _serve(options: Options, as_json: bool) -> int:
    import asyncio

    from dnsbl.policyd.server import serve
    from dnsbl.policyd.writers import FdWriter

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
    from dnsbl.policyd.writers import SyslogWriter, is_journal

    to_journal = is_journal(STDERR, os.environ)
    with_level = to_journal or isinstance(write, SyslogWriter)
    log = Log(write, as_json=as_json, with_time=not with_level, with_level=with_level)
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


def _pretended(address: str, sender: str, helo: str, client_name: str, recipient: str) -> Attributes:
    """The request that Postfix would send at RCPT for such a client."""
    from dnsbl.errors import InputError
    from dnsbl.policy.protocol import REQUEST_TYPE
    from dnsbl.subject import address_key

    if address_key(address) is None:
        raise InputError(
            f"--test: {address!r} is not a valid IP address: use 192.0.2.99 or 2001:db8::99", address
        )
    return {
        "request": REQUEST_TYPE, "protocol_state": "RCPT", "protocol_name": "ESMTP", "server_port": "25",
        "client_address": address, "client_name": client_name or "unknown",
        "reverse_client_name": client_name or "unknown", "helo_name": helo or client_name,
        "sender": sender, "recipient": recipient,
    }  # fmt: skip


def _test(options: Options, request: Attributes, as_json: bool) -> int:
    """Whoever asks for a private address wants to see what a list says; the rules still exempt it."""
    from dnsbl.policyd.backend import make_resolver
    from dnsbl.policyd.settings import load_settings

    settings = load_settings(options)
    with make_resolver(settings, options) as resolver:
        _explain_one(settings, resolver, request, as_json)
    if not as_json and request["client_address"].startswith("127."):
        click.echo(
            "an address of this machine is exempt; to see a listed client's reply, take one that a list has"
        )
    return 0


def _explain_one(settings: Settings, resolver: Resolver, request: Attributes, as_json: bool) -> None:
    from dnsbl.policy.explain import explain_rules
    from dnsbl.policy.sources import SOURCES, subjects

    client = request.get("client_address", "")
    policy = settings.policy
    asked = tuple(dict.fromkeys(source for rule in policy.rules for source in rule.scope.look_up))
    asked = tuple(source for source in SOURCES if source in asked)
    of_subject = {subject: resolver.check(subject) for subject in subjects(request, asked).values()}
    verdicts = {source: of_subject[subject] for source, subject in subjects(request, asked).items()}
    decision = policy.decision(request, policy.candidates(request), verdicts or None)
    outcomes = explain_rules(policy, request, verdicts or None)
    if as_json:
        verdict = verdicts.get("client")
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
            "verdicts": {source: found.to_dict(explain=True) for source, found in verdicts.items()},
        }
        click.echo(json.dumps(out))
        return
    _show_rules(client, policy.is_own(client), outcomes)
    if "client" not in verdicts:
        click.echo("no lookup: client_address is not an IP address")
    for source, verdict in verdicts.items():
        if source != "client":
            click.echo(f"{source}:")
        render.show_verdict(verdict, explain=True)
    if decision.would:
        click.echo(f"without dry run: {printable(decision.would)}")
    click.echo(f"action={decision.action}")


def _show_rules(client: str, is_own: bool, outcomes: Any) -> None:
    click.echo(f"client {printable(client) or '-'}" + (" is in own_networks: DUNNO" if is_own else ""))
    outcome: RuleOutcome
    for outcome in outcomes:
        click.echo(f"{outcome.name}: {printable(outcome.action)}")
        why = f": {printable('; '.join(outcome.failing))}" if outcome.failing else ""
        click.echo(f"    {outcome.outcome}{why}")
