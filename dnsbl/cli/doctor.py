"""`dnsbl doctor`: look the nameservers, the zones and the configuration over, and say what to do."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dnsbl.cli import render
from dnsbl.cli.options import source_options
from dnsbl.text.printable import printable

if TYPE_CHECKING:
    from dnsbl.doctor.findings import Patient, Report

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
    from dnsbl.doctor.examine import examine

    logging.getLogger("dnsbl").addHandler(logging.NullHandler())  # what it would say is among the findings
    report = examine(zones, nameservers, deadline_s, config_path)
    if as_json:
        click.echo(json.dumps(report.to_dict()))
    else:
        _show(report)
    return EXIT_FINDINGS if report.findings else EXIT_HEALTHY


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
