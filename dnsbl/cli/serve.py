"""`dnsbl serve`: lookups over HTTP, and one page to look things up on."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import click

from dnsbl.cli import complain
from dnsbl.cli.options import Complaints, config_option, deadline_option, nameserver_option, zone_option
from dnsbl.errors import DnsblError


@click.command("serve")
@click.option(
    "--listen",
    "listen",
    metavar="ADDRESS",
    multiple=True,
    help="Where to listen: 127.0.0.1:10080, [::1]:10080 or unix:/PATH. Repeatable; default: as configured, "
    "else 127.0.0.1:10080. Beyond loopback only with a token or passwords.",
)
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File with the token that requests have to bring, as `openssl rand -hex 32` writes one.",
)
@click.option(
    "--password-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File with users and bcrypt hashes, as `htpasswd -B` writes it.",
)
@click.option(
    "--state",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The state file of `dnsbl monitor`, to be shown.",
)
@click.option("--check-config", is_flag=True, help="Check the configuration, and do nothing else.")
@zone_option
@nameserver_option
@config_option
@deadline_option
def command(
    listen: tuple[str, ...],
    token_file: Path | None,
    password_file: Path | None,
    state: Path | None,
    check_config: bool,
    zones: tuple[str, ...],
    nameservers: tuple[str, ...],
    config_path: Path | None,
    deadline_s: float | None,
) -> int:
    """Look addresses and domains up over HTTP.

    The page is at /, and what programs ask is described at /openapi.json: GET /check/SUBJECT, POST /check,
    /zones, /doctor, /metrics, /probe?target=SUBJECT, /authz, /healthz. docs/serve.md has an example of each.
    SIGTERM ends it.
    """
    from dnsbl.policyd.notify import Notifier
    from dnsbl.web.settings import Options, load_settings

    options = Options(config_path, zones, nameservers, deadline_s, listen, token_file, password_file, state)
    settings = load_settings(options)
    logging.getLogger().addHandler(Complaints(logging.WARNING))
    for warning in settings.config.warnings:
        complain(f"warning: {warning}")
    if check_config:
        click.echo(
            f"{settings.config.source.name}: good: to listen on {', '.join(map(str, settings.listen))}"
        )
        return 0
    _need_packages()
    from dnsbl.web.server import run

    run(settings, Notifier(os.environ), complain)
    return 0


def _need_packages() -> None:
    """Raise DnsblError where the extra `web` is not installed."""
    from importlib.util import find_spec

    missing = [
        name
        for name in ("starlette", "uvicorn", "httptools", "bcrypt", "prometheus_client")
        if find_spec(name) is None
    ]
    if missing:
        raise DnsblError(
            f"serve needs {', '.join(missing)}, which the extra web has: pip install 'dnsbl-resolver[web]'"
        )
