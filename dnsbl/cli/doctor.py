"""`dnsbl doctor`: look the nameservers, the zones and the configuration over, and say what to do."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import click

from dnsbl.cli import render
from dnsbl.cli.options import source_options
from dnsbl.errors import ConfigError, DnsblError
from dnsbl.text.printable import printable

if TYPE_CHECKING:
    from dnsbl.config.file import Config
    from dnsbl.doctor.findings import Finding, Patient, Report
    from dnsbl.health.judge import ZoneHealth
    from dnsbl.policy.rules import Policy

DEADLINE_S = 5.0

EXIT_HEALTHY = 0
EXIT_FINDINGS = 1


@click.command("doctor")
@source_options
@click.option(
    "--deadline",
    "deadline_s",
    metavar="SECONDS",
    type=float,
    default=DEADLINE_S,
    show_default=True,
    help="How long the whole examination may take.",
)
def command(
    zones: tuple[str, ...],
    nameservers: tuple[str, ...],
    deadline_s: float,
    config_path: Path | None,
    as_json: bool,
) -> int:
    """Examine nameservers, zones and configuration.

    Asks the zones in use for their test entries (RFC 5782 section 5), each once, and where there are several
    nameservers each of them for those of one zone; nothing else. Reads list files, and asks a policy daemon that
    runs here whether a bridge hides its clients. The budget shown is that of this
    run; a running policy daemon counts its own.

    Exit code: 0 healthy; 1 something was found; 2 bad usage.
    """
    logging.getLogger("dnsbl").addHandler(logging.NullHandler())  # what it would say is among the findings
    report = _examine(zones, nameservers, deadline_s, config_path)
    if as_json:
        click.echo(json.dumps(report.to_dict()))
    else:
        _show(report)
    return EXIT_FINDINGS if report.findings else EXIT_HEALTHY


def _examine(
    zones: tuple[str, ...], nameservers: tuple[str, ...], deadline_s: float, config_path: Path | None
) -> Report:
    from dnsbl.config import file as config
    from dnsbl.doctor.files import examine_files
    from dnsbl.doctor.findings import (
        Finding,
        Report,
        findings_of,
        findings_of_servers,
        split_remedy,
        split_retired,
    )
    from dnsbl.zones.zone import parse_zone

    try:
        settings = config.load(config_path, retired=True)
    except ConfigError as error:
        if config_path is not None and not config_path.is_file():
            raise
        return Report((), (Finding("configuration", str(error), "correct it and run this again"),))
    wanted = list(map(parse_zone, zones)) or settings.zones or settings.catalogue.default()
    alive, findings = split_retired(wanted, settings.catalogue, settings.resolver.allow)
    warnings = settings.warnings
    if zones:
        alive, warnings = settings.catalogue.build(alive, allow=settings.resolver.allow)
    policy = None
    if not zones and not findings:
        policy, mistakes = _daemon(config_path, nameservers)
        findings += mistakes
    findings += tuple(split_remedy(warning, "configuration") for warning in warnings)
    alive, entries, broken = examine_files(alive, time())
    patients = _ask(replace(settings, zones=alive), nameservers, deadline_s, entries) if alive else ()
    findings += (*broken, *findings_of_servers(_ask_alone(settings, patients, deadline_s)))
    return Report(patients, (*findings, *findings_of(patients, settings.catalogue, policy)))


def _ask_alone(settings: Config, patients: tuple[Patient, ...], deadline_s: float) -> dict[str, ZoneHealth]:
    """One zone's state through each nameserver by itself, where there are several.

    Else the others hide what one of them lacks: a lookup goes on to the next.
    """
    from dnsbl.resolver import Resolver

    asked = [each for each in patients if not each.zone.file]
    if not asked:
        return {}
    patient = next((each for each in asked if not each.zone.nameservers), asked[0])
    found = {}
    for server in patient.nameservers if len(patient.nameservers) > 1 else ():
        alone = replace(settings, zones=(replace(patient.zone, nameservers=(server,)),))
        with Resolver(nameservers=[server], config=alone) as resolver:
            (found[server],) = resolver.health(deadline_s=deadline_s / len(patient.nameservers))
    return found


def _daemon(
    config_path: Path | None, nameservers: tuple[str, ...]
) -> tuple[Policy | None, tuple[Finding, ...]]:
    """The policy daemon's rules, and what is wrong with its part of the configuration or where it runs."""
    from dnsbl.doctor.findings import Finding, split_remedy
    from dnsbl.policyd.advice import advise
    from dnsbl.policyd.settings import Options, load_settings

    try:
        settings = load_settings(Options(config_path))
    except ConfigError as error:
        return None, (Finding("configuration", str(error), "correct it: the policy daemon does not start"),)
    running = _running(settings.control)
    said = advise(
        settings,
        nameservers=nameservers,
        metrics=running is None,
        has_rules=running is not None or bool(settings.config.policy),
    )
    warnings = [*said, *(running["warnings"] if running else ())]
    return settings.policy, tuple(split_remedy(warning, "policy daemon") for warning in warnings)


def _running(control: Path | None) -> dict[str, Any] | None:
    """What the daemon that runs here says of itself (`dnsbl policyd stats`); None: none does, or not to us."""
    from dnsbl.policyd.control import DEFAULT_CONTROL, ask

    try:
        return ask(control or DEFAULT_CONTROL, "stats")
    except (DnsblError, OSError):
        return None


def _ask(
    settings: Config, nameservers: tuple[str, ...], deadline_s: float, entries: Mapping[str, int]
) -> tuple[Patient, ...]:
    from dnsbl.doctor.findings import Patient
    from dnsbl.resolver import Resolver

    with Resolver(nameservers=nameservers or None, config=settings) as resolver:
        healths = resolver.health(deadline_s=deadline_s)
        stats = resolver.stats()["zones"]
        return tuple(
            Patient(
                zone=zone,
                row=settings.catalogue.row(zone.name),
                health=health,
                nameservers=() if zone.file else zone.nameservers or resolver.nameservers,
                budget=stats[zone.name]["budget"],
                entries=entries.get(zone.name),
            )
            for zone, health in zip(resolver.zones, healths, strict=True)
        )


# ---- what is shown ----


def _show(report: Report) -> None:
    for server, operator in report.nameservers.items():
        click.echo(f"nameserver {printable(server)}" + (f", public: {operator}" if operator else ""))
    if report.patients:
        headers = ["zone", "health", "ms", "budget", "terms"]
        render.show_table("zones", headers, [_row(patient) for patient in report.patients])
    if not report.findings:
        click.echo("healthy")
        return
    click.echo("findings")
    for finding in report.findings:
        click.echo(f"  {printable(finding.about)}: {printable(finding.problem)}")
        click.echo(f"    do: {printable(finding.remedy)}")


def _row(patient: Patient) -> list[str]:
    if patient.zone.file:
        shown = f"{patient.entries:,} entries"
        return [printable(patient.zone.name), "a file", "", "", printable(f"{shown}: {patient.zone.file}")]
    latency_ms, limit = patient.health.latency_ms, patient.budget["daily_limit"]
    return [
        printable(patient.zone.name),
        patient.health.state.replace("_", " "),
        "" if latency_ms is None else f"{latency_ms:.1f}",
        "none known" if limit is None else f"{patient.budget['queries_today']:,} of {limit:,} a day",
        printable(_terms(patient)),
    ]


def _terms(patient: Patient) -> str:
    if patient.row is None:
        return "not in the catalogue: its operator's page says"
    registered = patient.zone.key is not None or not patient.row.registration
    registration = "" if registered else f"to do first: {patient.row.registration}"
    return "; ".join(filter(None, (patient.row.terms, registration))) or "not known"
