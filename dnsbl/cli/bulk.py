"""`dnsbl bulk FILE|-`: look up whatever a file holds, and write a row for each of its items."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dnsbl.cli import EXIT_INTERRUPTED, EXIT_USAGE, complain, render
from dnsbl.cli.interrupts import Interrupts
from dnsbl.cli.options import lookup_options, open_resolver
from dnsbl.cli.progress import Progress
from dnsbl.errors import InputError
from dnsbl.text.printable import printable

if TYPE_CHECKING:
    from dnsbl.audit.bulk import Bulk, Done
    from dnsbl.audit.items import Item
    from dnsbl.audit.output import Output
    from dnsbl.audit.summary import Summary
    from dnsbl.audit.terms import Terms
    from dnsbl.resolver import Resolver

MAX_NETWORK = 1 << 24
SHOWN_NETWORKS = 50


@click.command("bulk")
@click.argument("file", metavar="FILE|-")
@lookup_options
@click.option("--column", help="Column of a CSV or Parquet file: its name, or its number from 1 (CSV).")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the rows to FILE.jsonl, FILE.csv or FILE.parquet (with --scheduler: a folder). "
    "Default: a summary.",
)
@click.option("--ordered", is_flag=True, help="Rows in the order of the input, not as the answers come.")
@click.option("--resume", is_flag=True, help="Go on where the run that wrote --output stopped.")
@click.option("--overwrite", is_flag=True, help="Replace --output if it holds rows already.")
@click.option("--by-network", "--by-24", is_flag=True, help="Sum up by /24 (IPv6: /64) too.")
@click.option(
    "--max-expand",
    type=click.IntRange(1, MAX_NETWORK),
    default=65_536,
    show_default=True,
    help="Addresses that one network of the input may be spread into.",
)
@click.option(
    "--rate", type=click.FloatRange(0.1, 1_000_000), metavar="QUERIES", help="Queries a second, at most."
)
@click.option(
    "--i-have-an-agreement",
    "agreements",
    metavar="ZONE",
    multiple=True,
    help="Ask ZONE beyond its free queries a day: its operator agreed. Repeatable.",
)
@click.option(
    "--scheduler",
    metavar="tcp://HOST:PORT",
    help="Share the work out over the workers of this Dask scheduler; Parquet in and out.",
)
def command(
    file: str,
    zones: tuple[str, ...],
    nameservers: tuple[str, ...],
    deadline_s: float | None,
    config_path: Path | None,
    as_json: bool,
    column: str | None,
    output: Path | None,
    ordered: bool,
    resume: bool,
    overwrite: bool,
    by_network: bool,
    max_expand: int,
    rate: float | None,
    agreements: tuple[str, ...],
    scheduler: str | None,
) -> int:
    """Look up many addresses, domains or networks.

    FILE holds one a line (# begins a comment line), or is CSV or Parquet with one in a column; - is standard
    input. Networks (192.0.2.0/24) are spread out. What is no subject is a row with an error. Each distinct
    subject is asked once; reasons (TXT) are not asked for.

    Ctrl-C ends it with what is done saved; --resume goes on from there. It stops before a list gets more
    queries than are free in a day.

    Exit code: 0 all items have a row; 2 bad usage, or stopped by a limit or by an output that cannot be
    written; 130 after Ctrl-C.
    """
    from dnsbl.audit.items import Source

    _check_files(file, output, as_json=as_json, resume=resume, by_network=by_network)
    source = (zones, nameservers, deadline_s, config_path)
    if scheduler is not None:
        if as_json or by_network or overwrite or file == "-":
            raise click.UsageError(
                "--scheduler reads a Parquet file or a folder of them and writes a folder: leave out -, --json, "
                "--by-24 and --overwrite"
            )
        return _run_on_cluster(scheduler, file, column, output, source, agreements, rate, resume)
    with ExitStack() as stack:
        source_file = stack.enter_context(Source(file, column, max_expand))
        total = source_file.count() if sys.stderr.isatty() else None
        items = source_file.items()
        resolver, terms = open_lookups(stack, source, agreements, rate)
        sink = _open_sink(stack, output, as_json, resume, overwrite)
        run = _Run(resolver, terms, sink, ordered=ordered, by_network=by_network, progress=Progress(total))
        code = run.run(items, output if resume else None)
    _tell(run.summary, output, as_json, [zone.name for zone in resolver.zones])
    return code


def _check_files(file: str, output: Path | None, *, as_json: bool, resume: bool, by_network: bool) -> None:
    """Raises UsageError for files and options that do not go together."""
    if resume and output is None:
        raise click.UsageError("--resume goes on with a file: give --output too")
    if output is not None and as_json:
        raise click.UsageError("--json writes to standard output: leave it out, or leave out --output")
    if by_network and as_json:
        raise click.UsageError("--by-24 prints a table: leave it out, or use --output in the place of --json")
    is_file = file != "-" and Path(file).exists()
    if is_file and output is not None and output.exists() and output.samefile(file):
        raise click.UsageError(f"{output} is the input too: use another name for --output")


def _tell(summary: Summary, output: Path | None, as_json: bool, zones: list[str]) -> None:
    """What a person is shown at the end."""
    if (output is None and not as_json) or summary.networks is not None:
        show_summary(summary, zones)
    elif output is not None and sys.stderr.isatty():
        click.echo(f"{printable(str(output))}: {summary.line}", err=True)
    if summary.unasked:
        complain(
            f"{summary.unasked:,} of {summary.items:,} items not looked up: they are not public, or of a kind that "
            "none of the zones takes"
        )


def _run_on_cluster(
    scheduler: str,
    file: str,
    column: str | None,
    output: Path | None,
    source: tuple[Any, Any, Any, Any],
    agreements: tuple[str, ...],
    rate: float | None,
    resume: bool,
) -> int:
    """The same over a cluster's workers: from a Parquet file or folder into a folder of Parquet files."""
    from dnsbl.audit.cluster import Lookups, annotate_partitions, cut

    if output is None or column is None:
        raise click.UsageError("--scheduler needs --column and --output, a folder for Parquet files")
    if not resume and output.exists() and any(output.iterdir()):
        raise click.UsageError(f"{output} holds files already: use --resume to go on, or another folder")
    zones, nameservers, deadline_s, config_path = source
    config = str(config_path.resolve()) if config_path else None
    lookups = Lookups(zones, nameservers, deadline_s, config, agreements)
    left = (part for part in cut(Path(file)) if not (output / part.name).exists())
    try:
        with Progress(sum(part.stop - part.start for part in left)) as progress:
            found = annotate_partitions(
                Path(file), output, column, scheduler, lookups, rate=rate, progress=progress.advance
            )
    except KeyboardInterrupt:
        complain(f"stopped: the parts in {output} are whole; --resume goes on from there")
        return EXIT_INTERRUPTED
    if found.left:
        complain(
            f"{found.stopped_by}: {found.left:,} of the parts are left, they could pass its free queries of a day: go "
            f"on tomorrow with --resume, or use --i-have-an-agreement {found.stopped_by} if you have one"
        )
        return EXIT_USAGE
    earlier = f"; {found.earlier:,} were there already" if found.earlier else ""
    click.echo(f"{found.rows:,} rows in {found.parts:,} files of {output}{earlier}", err=True)
    return 0


class _Run:
    """The items of a run on their way from the input to the output."""

    def __init__(
        self,
        resolver: Resolver,
        terms: Terms,
        sink: Output | None,
        *,
        ordered: bool,
        by_network: bool,
        progress: Progress,
    ) -> None:
        from dnsbl.audit.bulk import Bulk
        from dnsbl.audit.rows import flat, flat_error
        from dnsbl.audit.summary import Summary

        form = sink.form if sink else flat
        error_form = sink.error_form if sink else flat_error
        self.bulk: Bulk = Bulk(resolver, form, error_form, ordered=ordered, terms=terms)
        self.summary: Summary = Summary(networks=by_network)
        self._terms, self._sink, self._progress = terms, sink, progress
        self._zones = {zone.name for zone in resolver.zones}
        self._earlier = 0
        self._begun = False  # before that the output is as it was, and has not to be closed

    def run(self, items: Iterator[Item], earlier: Path | None) -> int:
        """Everything; the exit code."""
        with closing(self.bulk), Interrupts() as interrupts:
            try:
                if earlier is not None:
                    items = self._left(items, earlier)
                self._begun = True
                with self._progress:
                    whole = interrupts.held()
                    for done in self.bulk.run(items):
                        with whole:
                            self._take(done)
            except KeyboardInterrupt:
                self._close(interrupts)
                complain(f"stopped: {self._saved()}")
                return EXIT_INTERRUPTED
            except InputError:  # the input is broken, or another one: what is done stays
                self._close(interrupts)
                raise
            except OSError as error:
                return self._failed(error, interrupts)
            return self._close(interrupts)

    def _take(self, done: Done) -> None:
        if self._sink is not None:
            self._sink.write(done.item.number, done.item.given, done.row)
        self.summary.add(done)
        self._progress.advance()

    def _close(self, interrupts: Interrupts) -> int:
        """Save what is done."""
        try:
            if self._sink is not None and self._begun:
                with interrupts.held():
                    self._sink.close()
        except KeyboardInterrupt:
            pass  # a second Ctrl-C while all is being saved: it is saved
        except OSError as error:
            return self._failed(error, interrupts)
        if self._terms.stopped_by:
            complain(self._terms.message(resumable=hasattr(self._sink, "path")))
            return EXIT_USAGE
        return 0

    def _failed(self, error: OSError, interrupts: Interrupts) -> int:
        """The output (or the temporary file) cannot be written: what is there stays."""
        path = getattr(self._sink, "path", None)
        where = path or error.filename or "standard output"
        try:
            if self._sink is not None and self._begun:
                with interrupts.held():
                    self._sink.close()
        except OSError:
            pass  # the same fault again
        if isinstance(error, BrokenPipeError):
            raise error
        what = os.strerror(error.errno) if error.errno else str(error)
        kept = "the rows written so far are kept; make room and go on with --resume"
        complain(f"{where}: {what}: {kept if path else 'the rows after that are missing'}")
        return EXIT_USAGE

    def _saved(self) -> str:
        rows = self.summary.items + self._earlier
        path = getattr(self._sink, "path", None)
        return f"{rows:,} rows are in {path}; --resume goes on from there" if path else f"{rows:,} items done"

    def _left(self, items: Iterator[Item], path: Path) -> Iterator[Item]:
        """The items without a row in the output of the earlier run; its rows are taken up."""
        from dnsbl.audit.resume import Places
        from dnsbl.subject import parse_subject

        assert self._sink is not None
        sink, other = self._sink, set[str]()
        today = path.exists() and time.time() // 86_400 == path.stat().st_mtime // 86_400
        places = Places()
        for earlier in sink.resume():
            places.add(earlier.number, earlier.given)
            if earlier.subject is not None:
                other |= (
                    self._zones ^ set(earlier.zones)
                    if sink.names_all_zones
                    else set(earlier.zones) - self._zones
                )
                key = parse_subject(earlier.subject).key
                if self.bulk.answered.get(key) is None:
                    self.bulk.answered.put(key, earlier.row)
                    if today:
                        self._terms.count_earlier(key)
        self._earlier = len(places)
        self._progress.begin_at(self._earlier)
        return places.left(items, str(path)) if not other else _refused(path, other)


def _refused(path: Path, zones: set[str]) -> Iterator[Item]:
    """No item, but an error, once the rows are taken over."""
    raise InputError(
        f"{path}: its rows are of other zones ({', '.join(sorted(zones))}): use those of the run before, or another "
        "--output",
        str(path),
    )
    yield


def open_lookups(
    stack: ExitStack, source: tuple[Any, Any, Any, Any], agreements: tuple[str, ...], rate: float | None
) -> tuple[Resolver, Terms]:
    """The resolver these options ask for, and what its lists' free limits leave; `stack` closes it."""
    from dnsbl.audit.terms import Terms, agreed
    from dnsbl.cli.unknown import UnknownZones

    resolver, catalogue = stack.enter_context(open_resolver(*source, reasons=False))
    if agreements:
        given = agreed(resolver.zones, agreements)
        resolver, catalogue = stack.enter_context(open_resolver(given, *source[1:], reasons=False))
    unknown = UnknownZones(resolver, catalogue)
    unknown.prove(near_only=True)
    stack.push(lambda *exc: None if exc[0] else unknown.tell())
    return resolver, Terms(resolver.zones, rate)


def _open_sink(
    stack: ExitStack, output: Path | None, as_json: bool, resume: bool, overwrite: bool
) -> Output | None:
    if output is None:
        from dnsbl.cli.progress import Lines

        return Lines() if as_json else None
    from dnsbl.audit.output import open_output

    if output.is_dir():
        raise click.UsageError(f"{output} is a folder: give the name of a file")
    sink = open_output(output)
    partial = output.with_name(output.name + ".partial")
    rows = (output.is_file() and output.stat().st_size > 0) or partial.exists()
    goes_on = resume and (output.exists() or partial.exists())
    if rows and not overwrite and not goes_on:
        raise click.UsageError(f"{output} holds rows already: use --resume to go on, or --overwrite")
    _lock(stack, output)
    if not goes_on:
        sink.start()
    return sink


def _lock(stack: ExitStack, output: Path) -> None:
    """Two runs that write one file would both have all its rows. Held until the end."""
    fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    stack.callback(os.close, fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise click.UsageError(
            f"{output}: another run is writing it: wait for its end, or use another name"
        ) from None
    except OSError:
        pass  # a file system without locks


def show_summary(summary: Summary, zones: list[str]) -> None:
    """Print what a run found: by zone, then by network."""
    rows = [
        [printable(zone), f"{summary.zone_listings[zone]:,}", f"{summary.zone_errors[zone]:,}"]
        for zone in zones
    ]
    render.show_table(summary.line, ["zone", "listings", "errors"], rows)
    if summary.networks:
        found = sorted(summary.networks.items(), key=lambda entry: -entry[1]["listed"])
        lines = [
            [name, f"{count['asked']:,}", f"{count['listed']:,}", f"{count['listed'] / count['asked']:.0%}"]
            for name, count in found[:SHOWN_NETWORKS]
        ]
        title = f"{len(found):,} networks" + (
            f", the {SHOWN_NETWORKS} with most listings" if len(found) > SHOWN_NETWORKS else ""
        )
        render.show_table(title, ["network", "asked", "listed", "share"], lines)
