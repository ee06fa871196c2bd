"""`dnsbl monitor`: own addresses and names watched, once for Nagios, or as a service that tells of changes."""

from __future__ import annotations

import json
import logging
import os
import signal
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import click

from dnsbl.cli import complain, render
from dnsbl.cli.options import lookup_options
from dnsbl.errors import ConfigError, DnsblError, InputError
from dnsbl.text.printable import printable

if TYPE_CHECKING:
    from dnsbl.monitor.entry import Entry
    from dnsbl.monitor.settings import Settings
    from dnsbl.monitor.setup import Setup

EXIT_UNKNOWN = 3
STDERR = 2


class _Command(click.Command):
    """With --once, what cannot be used ends with 3, UNKNOWN: Nagios reads 2 as CRITICAL."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "--once" not in given:
                raise
            click.echo(f"DNSBL UNKNOWN: {printable(' '.join(error.format_message().split()))}")
            raise click.exceptions.Exit(EXIT_UNKNOWN) from None


@click.command("monitor", cls=_Command)
@click.argument("watch", metavar="[ADDRESS|RANGE|NAME]...", nargs=-1)
@lookup_options
@click.option("--once", is_flag=True, help="One round; its exit code and output are a Nagios plugin's.")
@click.option("--status", is_flag=True, help="Show the state, and when what is asked next; asks nobody.")
@click.option("--warning", type=click.IntRange(1), metavar="N", help="With --once: N listings are a WARNING.")
@click.option("--critical", type=click.IntRange(1), metavar="N", help="With --once: N are CRITICAL.")
@click.option(
    "--severity",
    "severities",
    metavar="ZONE=ok|warning|critical",
    multiple=True,
    help="With --once: what one listing in ZONE is, instead of being counted. Repeatable.",
)
@click.option(
    "--state",
    "state_path",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The SQLite file that holds what is known. Default: as configured; with --once: none.",
)
@click.option(
    "--grid",
    "grid",
    metavar="FILE.svg",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a picture of what is watched: each address in its colour.",
)
def command(
    watch: tuple[str, ...],
    zones: tuple[str, ...],
    nameservers: tuple[str, ...],
    deadline_s: float | None,
    config_path: Path | None,
    as_json: bool,
    once: bool,
    status: bool,
    warning: int | None,
    critical: int | None,
    severities: tuple[str, ...],
    state_path: Path | None,
    grid: Path | None,
) -> int:
    """Watch addresses, ranges, host names and domains on all configured lists.

    A NAME is its domain and all its addresses; host:NAME its addresses only, domain:NAME the domain only.
    Without --once and --status: a service, that tells of each change once. See docs/monitor.md.

    Exit code of --once: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; else 0, or 2 for what cannot be used.
    """
    from dnsbl.config import file as config
    from dnsbl.monitor.setup import set_up

    def load() -> Setup:
        loaded = config.load(config_path)
        for text in loaded.warnings:
            complain(text)
        return set_up(loaded, watch, zones, nameservers, deadline_s)

    if once:
        try:
            if status:
                raise InputError("--once and --status: use one of the two", "--status")
            return _once(load(), state_path, (warning, critical), severities, grid, as_json)
        except (DnsblError, OSError) as error:
            click.echo(f"DNSBL UNKNOWN: {printable(str(error))}")
            return EXIT_UNKNOWN
    if status:
        return _status(state_path, config_path, watch, grid, as_json)
    return _serve(load, state_path, grid, as_json)


# ---- one round ----


def _once(
    setup: Setup,
    state_path: Path | None,
    thresholds: tuple[int | None, int | None],
    severities: tuple[str, ...],
    grid: Path | None,
    as_json: bool,
) -> int:
    """A round by itself, in a state of its own where every sight counts; or one more of a state that is kept."""
    from dnsbl.monitor.nagios import report

    logging.getLogger("dnsbl").addHandler(logging.NullHandler())
    settings = _wanting(setup, thresholds, severities)
    with ExitStack() as stack:
        if state_path is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dnsbl-monitor-"))
            alone = replace(setup, settings=replace(settings, confirm=1), sinks=())
            entries, took_s = _one_round(alone, Path(folder) / "state.db", grid)
        else:
            entries, took_s = _one_round(setup, state_path, grid)
    found = report(entries, settings.warning, settings.critical, settings.severity, took_s)
    if as_json:
        _print_json(entries)
    else:
        click.echo(printable_lines(found.text), nl=False)
    return found.code


def _one_round(setup: Setup, path: Path, grid: Path | None) -> tuple[list[Entry], float]:
    """One more round of a state, and what is to be told; its entries, and how long it took in seconds."""
    from dnsbl.monitor.daemon import write_grid
    from dnsbl.monitor.rounds import Rounds
    from dnsbl.monitor.sinks import Delivery
    from dnsbl.monitor.state import State

    names = [sink.name for sink in setup.sinks]
    with State(path) as state:
        asking = (setup.zones, setup.nameservers, setup.open_resolver)
        done = Rounds(state, setup.settings, *asking, names).run()
        Delivery(state, setup.sinks, complain).run(time())
        for trouble in done.troubles:
            complain(trouble)
        if grid is not None:
            write_grid(grid, state)
        return list(state.entries()), done.took_s


def _wanting(
    setup: Setup, thresholds: tuple[int | None, int | None], severities: tuple[str, ...]
) -> Settings:
    """The settings with the thresholds and severities of the command line."""
    settings = setup.settings
    if not settings.watch:
        raise InputError("nothing to watch: give addresses, ranges or names, or `watch` under [monitor]", "")
    warning, critical = thresholds
    severity = dict(settings.severity)
    known = {zone.name for zone in setup.zones}
    for text in severities:
        zone, _, level = text.rpartition("=")
        if zone not in known or level not in ("ok", "warning", "critical"):
            raise InputError(
                f"--severity {text}: use ZONE=ok|warning|critical, of a zone that is asked", text
            )
        severity[zone] = level  # type: ignore[assignment]  # checked just above
    return replace(
        settings,
        warning=warning or settings.warning,
        critical=critical or settings.critical,
        severity=severity,
    )


def printable_lines(text: str) -> str:
    return "".join(printable(line) + "\n" for line in text.splitlines())


# ---- the state ----


def _status(
    state_path: Path | None,
    config_path: Path | None,
    subjects: tuple[str, ...],
    grid: Path | None,
    as_json: bool,
) -> int:
    from dnsbl.config import file as config
    from dnsbl.monitor.daemon import write_grid
    from dnsbl.monitor.entry import by_number
    from dnsbl.monitor.settings import state_path as configured
    from dnsbl.monitor.state import Reader

    if state_path is None:
        state_path = configured(config.load(config_path, keys=False))
    if state_path is None:
        raise ConfigError("no state file: give --state FILE, or `state` under [monitor]", "")
    with Reader(state_path) as state:
        via, meta = state.subjects(), state.meta()
        entries = [entry for entry in state.entries() if _wanted(entry, via, subjects)]
        entries.sort(key=lambda entry: (by_number(entry.subject), entry.zone))
        changes = [] if as_json else state.changes(most=10)
        if grid is not None:
            write_grid(grid, state)
    if subjects and not entries:
        raise InputError(f"{subjects[0]}: not watched: leave it out to see what is", subjects[0])
    if as_json:
        _print_json(entries)
        return 0
    _show_subjects(entries, subjects)
    if changes:
        rows = [[_time(c.at), c.subject, c.what, printable(c.zone), printable(c.reason)] for c in changes]
        render.show_table("the last changes", ["at", "subject", "what", "zone", "reason"], rows)
    click.echo(f"round {meta.get('round', 0):.0f} at {_time(meta.get('round_at'))}; "
               f"the next at {_time(meta.get('next_round_at'))}")  # fmt: skip
    return 0


def _wanted(entry: Entry, via: dict[str, tuple[str, ...]], subjects: tuple[str, ...]) -> bool:
    return (
        not subjects
        or entry.subject in subjects
        or any(item in subjects for item in via.get(entry.subject, ()))
    )


def _show_subjects(entries: list[Entry], subjects: tuple[str, ...]) -> None:
    """A row a subject; where some were named, one for each list."""
    if subjects:
        rows = [
            [entry.subject, printable(entry.zone), entry.status, _time(entry.since), _time(entry.asked_at),
             _time(entry.due_at), printable(entry.reason if entry.status == "listed" else entry.detail)]
            for entry in entries
        ]  # fmt: skip
        heads = ["subject", "zone", "status", "since", "asked", "asked next", "why"]
        render.show_table(f"{len(rows)} entries", heads, rows)
        return
    by_subject: dict[str, list[Entry]] = {}
    for entry in entries:
        by_subject.setdefault(entry.subject, []).append(entry)
    rows = []
    for subject, found in by_subject.items():
        listed = [entry.zone for entry in found if entry.status == "listed"]
        unknown = sum(entry.status == "unknown" for entry in found)
        due = min(found, key=lambda entry: entry.due_at)
        counts = [f"{unknown}", f"{len(found)}"]
        rows.append([subject, printable(", ".join(listed)), *counts, _time(due.due_at), printable(due.zone)])
    heads = ["subject", "listed by", "unknown", "lists", "asked next", "by"]
    render.show_table(f"{len(rows)} subjects", heads, rows)


def _print_json(entries: list[Entry]) -> None:
    from dnsbl.monitor.notice import stamp

    for entry in entries:
        values = entry.to_dict()
        for name in ("since", "listed_since", "delisted_at", "asked_at", "due_at"):
            values[name] = None if values[name] is None else stamp(values[name])
        click.echo(json.dumps(values))


def _time(at: float | None) -> str:
    from dnsbl.monitor.notice import stamp

    return stamp(at) if at else "-"


# ---- the service ----


def _serve(load: Any, state_path: Path | None, grid: Path | None, as_json: bool) -> int:
    from dnsbl.monitor.daemon import Daemon
    from dnsbl.monitor.state import State
    from dnsbl.policyd.log import Log
    from dnsbl.policyd.writers import FdWriter, is_journal

    def load_all() -> Setup:
        setup: Setup = load()
        if not setup.settings.watch:
            raise ConfigError("nothing to watch: give addresses or names, or `watch` under [monitor]", "")
        return replace(setup, settings=replace(setup.settings, grid=grid or setup.settings.grid))

    setup = load_all()
    path = state_path or setup.settings.state
    if path is None:
        raise ConfigError("no state file: give --state FILE, or `state` under [monitor]", "")
    to_journal = is_journal(STDERR, os.environ)
    log = Log(FdWriter(STDERR), as_json=as_json, with_time=not to_journal, with_level=to_journal)
    with State(path) as state:
        # What a list's failure is, the monitor says itself, once, and not in every round.
        logging.getLogger("dnsbl").addHandler(logging.NullHandler())
        logging.getLogger("dnsbl").propagate = False
        daemon = Daemon(setup, load_all, state, log)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, partial(_end, daemon))
        signal.signal(signal.SIGHUP, partial(_reload, daemon))
        daemon.run()
    return 0


def _end(daemon: Any, number: int, frame: object) -> None:
    daemon.stop = True
    daemon.wake.set()


def _reload(daemon: Any, number: int, frame: object) -> None:
    daemon.reload = True
    daemon.wake.set()
