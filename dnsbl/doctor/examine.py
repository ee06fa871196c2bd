"""The whole examination: the zones in use are asked for their test entries, and what is found is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import time
from typing import Any

from dnsbl.config import file as config
from dnsbl.config.file import Config
from dnsbl.doctor.files import examine_files
from dnsbl.doctor.findings import (
    Finding,
    Patient,
    Report,
    findings_of,
    findings_of_servers,
    split_remedy,
    split_retired,
)
from dnsbl.errors import ConfigError, DnsblError
from dnsbl.health.judge import ZoneHealth
from dnsbl.policy.rules import Policy
from dnsbl.policyd.advice import advise
from dnsbl.policyd.control import DEFAULT_CONTROL, ask
from dnsbl.policyd.settings import Options, load_settings
from dnsbl.resolver import Resolver
from dnsbl.zones.zone import parse_zone


def examine(
    zones: tuple[str, ...], nameservers: tuple[str, ...], deadline_s: float, config_path: Path | None
) -> Report:
    """Examine nameservers, zones and configuration; blocks for `deadline_s` seconds and a little more.

    zones, nameservers: empty: as configured. Raises ConfigError where the configuration is not there.
    """
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

    try:
        return ask(control or DEFAULT_CONTROL, "stats")
    except (DnsblError, OSError):
        return None


def _ask(
    settings: Config, nameservers: tuple[str, ...], deadline_s: float, entries: Mapping[str, int]
) -> tuple[Patient, ...]:

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
