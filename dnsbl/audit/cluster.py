"""A Parquet data set annotated by the workers of a Dask cluster, an engine that exists (extra `cluster`).

The rules:
1. The data set is cut into parts of rows; each part is one task, and one file of the output.
2. A file of the output appears whole or not at all, under its part's name: a part done twice, its worker
   being lost at the end of it, is there once, and a run that goes on leaves out the parts that are there.
3. A worker process has one Resolver, made at its first part from the same options; the package, the data set,
   the output folder and the configuration file, if one is used, are found on every worker at the same path.
4. A pace is shared out over the workers that are there when a part is handed out. No part is handed out that
   could pass a list's free queries of a day, counted here over all workers.

A subject in two parts is asked twice, but for what the worker's cache still holds.
"""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from dnsbl.audit.items import open_parquet
from dnsbl.audit.table import annotate
from dnsbl.audit.terms import Terms
from dnsbl.config import file as config_file
from dnsbl.errors import InputError
from dnsbl.resolver import Resolver

PART_ROWS: Final = 50_000
AHEAD: Final = 2
"""Parts handed out for each worker: one at work, one to go on with."""
CONNECT_S: Final = 10


class Part(NamedTuple):
    """Rows `start` to `stop` (not included) of one file; name: of the file of the output."""

    path: str
    start: int
    stop: int
    name: str


@dataclass(frozen=True)
class Lookups:
    """How every worker makes its Resolver: zones as text, else those of the configuration."""

    zones: tuple[str, ...] = ()
    nameservers: tuple[str, ...] = ()
    deadline_s: float | None = None
    config: str | None = None
    agreements: tuple[str, ...] = ()

    def open(self) -> Resolver:
        """A new Resolver. Raises InputError for what cannot be used."""
        from dnsbl.audit.terms import agreed

        settings = config_file.load(Path(self.config) if self.config else None)
        zones: Any = self.zones or None
        if self.agreements:
            with Resolver(zones, self.nameservers or None, config=settings) as resolver:
                zones = agreed(resolver.zones, self.agreements)
        return Resolver(zones, self.nameservers or None, self.deadline_s, reasons=False, config=settings)


class Finished(NamedTuple):
    """parts, rows: written by this run. left: parts not handed out, for `stopped_by`'s free limit. earlier: parts
    that an earlier run had written."""

    parts: int
    rows: int
    left: int
    stopped_by: str
    earlier: int


def annotate_partitions(
    source: Path,
    output: Path,
    column: str,
    scheduler: str,
    lookups: Lookups,
    *,
    rate: float | None = None,
    part_rows: int = PART_ROWS,
    progress: Callable[[int], None] = lambda rows: None,
) -> Finished:
    """Annotate every row of a Parquet file or folder of them, over the workers of a cluster.

    output: a folder; parts that are there are not done again. column: as in `annotate`. scheduler:
    `tcp://HOST:PORT`. rate: queries a second of the whole cluster. progress: called with each part's rows.

    Raises InputError where there is no scheduler, no worker, nothing to read, no such column, or parts of another
    data set in the output; and what a part raised when it was done three times in vain.
    """
    parts = cut(source, part_rows)
    with lookups.open() as resolver:
        limits = {zone.name: zone.daily_limit for zone in resolver.zones if zone.daily_limit is not None}
        annotate(open_parquet(Path(parts[0].path)).schema_arrow.empty_table(), column, resolver)
    left = [part for part in parts if not _is_done(part, output / part.name, column)]
    output.mkdir(parents=True, exist_ok=True)
    client = _connect(scheduler)
    try:
        return _Run(client, left, output, column, lookups, limits, rate, progress).run(len(parts) - len(left))
    finally:
        client.close()


def _is_done(part: Part, file: Path, column: str) -> bool:
    """Whether an earlier run has written this part. Raises InputError where its rows are of another data set."""
    if not file.exists():
        return False
    written = open_parquet(file)
    names = written.schema_arrow.names
    if column not in names or not written.read([column]).column(0).equals(_read(part, [column]).column(0)):
        raise InputError(
            f"{file}: its rows are not those of {part.path}: give the data set it was made from, or another --output",
            str(file),
        )
    return True


def cut(source: Path, part_rows: int = PART_ROWS) -> list[Part]:
    """The parts of a Parquet file, or of all `*.parquet` in a folder, by their names. Raises InputError."""
    files = sorted(source.glob("*.parquet")) if source.is_dir() else [source]
    parts: list[Part] = []
    for file in files:
        rows = open_parquet(file).metadata.num_rows
        for start in range(0, rows, part_rows):
            name = f"part-{len(parts):06}.parquet"
            parts.append(Part(str(file.resolve()), start, min(start + part_rows, rows), name))
    if not parts:
        raise InputError(f"{source}: no rows in it: give a Parquet file or a folder of them", str(source))
    return parts


def _connect(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("--scheduler needs Dask: pip install 'dnsbl-resolver[cluster]'") from None
    try:
        client = Client(scheduler, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{scheduler}: no Dask scheduler answers there: {error}", scheduler) from None
    if not client.scheduler_info()["workers"]:
        client.close()
        raise InputError(f"{scheduler}: no worker there: start one with `dask worker {scheduler}`", scheduler)
    return client


class _Run:
    """The parts on their way through the cluster."""

    def __init__(
        self,
        client: Any,
        parts: Sequence[Part],
        output: Path,
        column: str,
        lookups: Lookups,
        limits: dict[str, int],
        rate: float | None,
        progress: Callable[[int], None],
    ) -> None:
        self._client, self._parts, self._output = client, list(reversed(parts)), str(output.resolve())
        self._column, self._lookups, self._rate, self._progress = column, lookups, rate, progress
        self._limit_of = min(limits, key=lambda zone: limits[zone]) if limits else ""
        self._limit = min(limits.values(), default=None)
        self._asked = self._on_their_way = self._done = self._rows = 0

    def run(self, earlier: int) -> Finished:
        from distributed import as_completed

        first = [self._hand_out(part) for part in self._next()]
        waiting = as_completed(first, loop=self._client.loop)
        for future in waiting:
            rows, asked = future.result()
            self._on_their_way -= rows
            self._asked += asked
            self._rows += rows
            self._done += 1
            self._progress(rows)
            for part in self._next(waiting.count()):
                waiting.add(self._hand_out(part))
        stopped_by = self._limit_of if self._parts else ""
        return Finished(self._done, self._rows, len(self._parts), stopped_by, earlier)

    def _next(self, waiting: int = 0) -> Iterator[Part]:
        """The parts that may be handed out now."""
        wanted = AHEAD * max(self._workers, 1)
        while self._parts and waiting < wanted:
            rows = self._parts[-1].stop - self._parts[-1].start
            if self._limit is not None and self._asked + self._on_their_way + rows > self._limit:
                return
            waiting += 1
            self._on_their_way += rows
            yield self._parts.pop()

    @property
    def _workers(self) -> int:
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def _hand_out(self, part: Part) -> Any:
        share = None if self._rate is None else self._rate / max(self._workers, 1)
        arguments = (part, self._output, self._column, self._lookups, share)
        return self._client.submit(do_part, *arguments, key=f"{part.name}-{uuid.uuid4()}", retries=2)


@functools.cache
def _of_process(lookups: Lookups) -> tuple[Resolver, Terms]:
    """This worker process's Resolver and pace."""
    resolver = lookups.open()
    return resolver, Terms([_without_limit(zone) for zone in resolver.zones])


def _without_limit(zone: Any) -> Any:
    from dataclasses import replace

    return replace(zone, daily_limit=None)  # counted where the parts are handed out


def do_part(part: Part, output: str, column: str, lookups: Lookups, rate: float | None) -> tuple[int, int]:
    """In a worker: annotate one part and write its file; rows written and subjects asked for."""
    from pyarrow.parquet import write_table

    resolver, terms = _of_process(lookups)
    terms.rate = rate
    found = annotate(_read(part), column, resolver, terms)
    new = Path(output, f".{part.name}.{os.getpid()}.{uuid.uuid4().hex}")
    try:
        write_table(found, new, compression="zstd")
        new.replace(Path(output, part.name))
    finally:
        new.unlink(missing_ok=True)
    return found.num_rows, len(found.column(column).combine_chunks().unique())


def _read(part: Part, columns: Sequence[str] | None = None) -> Any:
    """The rows of a part; of the file only the row groups that hold them."""
    file = open_parquet(Path(part.path))
    groups, first, at = [], None, 0
    for group in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if at < part.stop and at + rows > part.start:
            first = at if first is None else first
            groups.append(group)
        at += rows
    table = file.read_row_groups(groups, columns)
    file.close()
    assert first is not None
    return table.slice(part.start - first, part.stop - part.start)
