"""The options that several commands share, each defined once.

Only what is typed is handled here; what it means (zone text, nameserver text, the file) is checked by
the parts it belongs to, and their `InputError` is what the user reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dnsbl.cli import complain

if TYPE_CHECKING:
    from dnsbl.resolver import Resolver
    from dnsbl.zones.catalogue import Catalogue
    from dnsbl.zones.zone import Zone

F = TypeVar("F", bound=Callable[..., Any])

zone_option = click.option(
    "-z",
    "--zone",
    "zones",
    metavar="ZONE",
    multiple=True,
    help="Zone to ask, as Postfix writes it: NAME[=FILTER][*WEIGHT]; file:PATH for a list file. "
    "Repeatable; default: as configured, else the default ones of `dnsbl zones list`.",
)
nameserver_option = click.option(
    "--nameserver",
    "nameservers",
    metavar="HOST[:PORT]",
    multiple=True,
    help="Nameserver to ask, an IP address. Repeatable; default: as configured, else the system's.",
)
deadline_option = click.option(
    "--deadline",
    "deadline_s",
    metavar="SECONDS",
    type=float,
    help="How long one lookup may take. Default: as configured, else 3.",
)
config_option = click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Configuration. Default: $DNSBL_CONFIG, else /etc/dnsbl.toml if there is one.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


class Complaints(logging.Handler):
    """Shows what the library logs as the command's own complaints."""

    def emit(self, record: logging.LogRecord) -> None:
        complain(record.getMessage())


def lookup_options(function: F) -> F:
    """All of them: for a command that looks something up."""
    return source_options(deadline_option(function))


def source_options(function: F) -> F:
    """What is asked, of whom, by which configuration, and the form of what is printed."""
    for option in (json_option, config_option, nameserver_option, zone_option):
        function = option(function)
    return function


@contextmanager
def open_resolver(
    zones: tuple[str | Zone, ...],
    nameservers: tuple[str, ...],
    deadline_s: float | None,
    config_path: Path | None,
    *,
    prove: bool = False,
    **more: Any,
) -> Iterator[tuple[Resolver, Catalogue]]:
    """The resolver that these options ask for, and its catalogue; what is not given is as configured.

    prove: look first whether the zones exist that the catalogue does not know.
    more: further arguments of the Resolver, which win over the configuration.

    Raises InputError for what cannot be used. What the library warns of meanwhile goes to stderr.
    """
    from dnsbl.config import file as config
    from dnsbl.resolver import Resolver

    log, complaints = logging.getLogger("dnsbl"), Complaints(logging.WARNING)
    log.addHandler(complaints)
    try:
        settings = config.load(config_path)
        for warning in settings.warnings:
            complain(warning)
        with Resolver(zones or None, nameservers or None, deadline_s, config=settings, **more) as resolver:
            if prove:
                from dnsbl.cli.unknown import UnknownZones

                UnknownZones(resolver, settings.catalogue).prove()
            yield resolver, settings.catalogue
    finally:
        log.removeHandler(complaints)
