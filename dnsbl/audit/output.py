"""The files a bulk run writes, and what an earlier run left in them.

JSON lines and CSV grow line by line. A Parquet file can be read only when it is whole, so its rows go to an
Arrow stream beside it (`NAME.partial`) and become Parquet at the end; a run that is killed leaves the stream,
and `--resume` takes it up. A last line or batch that is not whole is dropped when a run goes on.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from dnsbl.audit.columns import record_batch
from dnsbl.audit.items import need_arrow, open_parquet
from dnsbl.audit.rows import COLUMNS, flat, flat_error, json_error, json_line, json_text, one_line
from dnsbl.errors import InputError
from dnsbl.model import Verdict

if TYPE_CHECKING:
    import pyarrow

EVERY_ROWS: Final = 256
"""Rows of a text file that are written at once: so many are asked again after a crash, at the most."""
BATCH_ROWS: Final = 16_384
BATCH_CHARACTERS: Final = 1 << 24
"""Characters of input after which a batch ends earlier."""
LISTS: Final = ("listings", "codes", "meanings", "errors")
LISTINGS, ERRORS = COLUMNS.index("listings") - 2, COLUMNS.index("errors") - 2  # in a row of `flat`
BETWEEN: Final = " | "
"""Between the parts of a list in one CSV field."""


class Earlier(NamedTuple):
    """A row of an earlier run. subject: None where the item has an error. zones: those that the row names."""

    number: int
    given: str
    subject: str | None
    row: Any
    zones: Sequence[str]


class Output(Protocol):
    """A file that rows go to."""

    def form(self, verdict: Verdict, /) -> Any:
        """The row of a verdict."""

    def error_form(self, error: str, /) -> Any:
        """The row of an item that could not be looked up."""

    def start(self) -> None:
        """Begin the file anew. Raises OSError."""

    names_all_zones: bool
    """Whether a row names every zone that was asked, and not only those that list the subject or failed."""

    def resume(self) -> Iterator[Earlier]:
        """The rows of an earlier run; the file then ends after the last whole one. To be read to its end."""

    def write(self, number: int, given: str, row: Any) -> None: ...

    def close(self) -> None:
        """Write the rest out; the file is complete. Raises OSError."""


def open_output(path: Path) -> Output:
    """The output for a name that ends in .jsonl, .csv or .parquet. Raises InputError for another."""
    makers: dict[str, Callable[[Path], Output]] = {".jsonl": JsonLines, ".csv": Csv, ".parquet": Parquet}
    maker = makers.get(path.suffix.lower())
    if maker is None:
        raise InputError(f"{path}: unknown form: use a name that ends in .jsonl, .csv or .parquet", str(path))
    return maker(path)


class _Text:
    """A file of lines, to which whole groups of rows are added."""

    head = ""
    names_all_zones = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        self._lines: list[str] = []

    def _open(self, *flags: int) -> int:
        if self._fd is None:
            mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            for flag in flags:
                mode |= flag
            self._fd = os.open(self.path, mode, 0o666)
            if os.fstat(self._fd).st_size == 0 and self.head:
                self._put(self.head)
        return self._fd

    def start(self) -> None:
        """Begin the file anew. Raises OSError."""
        self._open(os.O_TRUNC)

    def _add(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) >= EVERY_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what waits. What failed is not tried again: a half line is dropped on resuming."""
        lines, self._lines = self._lines, []
        if lines:
            self._put("".join(lines))

    def _put(self, text: str) -> None:
        data = memoryview(text.encode())
        while data:
            data = data[os.write(self._open(), data) :]

    def close(self) -> None:
        try:
            self.flush()
        finally:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _cut(self, size: int) -> None:
        os.truncate(self.path, size)
        self._open()


class JsonLines(_Text):
    """One JSON object a line: `item`, `input`, then a verdict's `to_dict()` or `error`."""

    form = staticmethod(json_text)
    error_form = staticmethod(json_error)
    names_all_zones = True

    def write(self, number: int, given: str, row: Any) -> None:
        self._add(json_line(number, given, row) + "\n")

    def resume(self) -> Iterator[Earlier]:
        good = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    values = json.loads(line)
                    number, given = int(values.pop("item")), str(values.pop("input"))
                    zones = [answer["zone"] for answer in values.get("answers", ())]
                except (ValueError, KeyError, TypeError, AttributeError):
                    raise _not_ours(self.path) from None
                good += len(line)
                yield Earlier(number, given, values.get("subject"), json.dumps(values)[1:], zones)
        self._cut(good)


class Csv(_Text):
    """A CSV file with the columns of `rows.COLUMNS`; the parts of a list with ` | ` between them."""

    form = staticmethod(flat)
    error_form = staticmethod(flat_error)
    head = ",".join(COLUMNS) + "\n"

    def write(self, number: int, given: str, row: Sequence[Any]) -> None:
        line = io.StringIO()
        cells = [BETWEEN.join(cell) if isinstance(cell, list | tuple) else _cell(cell) for cell in row]
        csv.writer(line, lineterminator="\n").writerow([number, one_line(given), *cells])
        self._add(line.getvalue())

    def resume(self) -> Iterator[Earlier]:
        good = 0
        with self.path.open("rb") as file:
            if file.readline() != self.head.encode():
                raise _not_ours(self.path)
            good = file.tell()
            for line in file:
                if not line.endswith(b"\n"):
                    break
                (cells,) = csv.reader([line.decode()])
                if len(cells) != len(COLUMNS) or not cells[0].isdigit():
                    raise _not_ours(self.path)
                good += len(line)
                yield _flat_earlier(int(cells[0]), cells[1], _from_cells(cells[2:]))
        self._cut(good)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return one_line(value) if isinstance(value, str) else value


def _from_cells(cells: list[str]) -> tuple[Any, ...]:
    row: list[Any] = []
    for name, cell in zip(COLUMNS[2:], cells, strict=True):
        if name in LISTS:
            row.append(cell.split(BETWEEN) if cell else [])
        elif cell == "":
            row.append(None)
        elif name in ("listed", "complete"):
            row.append(cell == "true")
        else:
            row.append(float(cell) if name in ("score", "ttl_s", "elapsed_s") else cell)
    return tuple(row)


def _flat_earlier(number: int, given: str, row: tuple[Any, ...]) -> Earlier:
    return Earlier(number, given, row[0], row, (*row[LISTINGS], *row[ERRORS]))


class Parquet:
    """A Parquet file with the columns of `rows.COLUMNS`; listings, codes, meanings and errors are lists."""

    form = staticmethod(flat)
    error_form = staticmethod(flat_error)

    names_all_zones = False

    def __init__(self, path: Path) -> None:
        self._arrow = need_arrow()
        self.path, self.partial = path, path.with_name(path.name + ".partial")
        self._rows: list[tuple[Any, ...]] = []
        self._characters = 0
        self._schema = _schema(self._arrow)
        self._sink: Any = None
        self._stream: Any = None
        self._broken = False

    def start(self) -> None:
        """Begin anew. Raises OSError, for the Parquet file too, before anything is asked."""
        self.path.open("ab").close()
        self._begin(self.partial)

    def _begin(self, path: Path) -> None:
        self._sink = self._arrow.OSFile(str(path), "wb")
        self._stream = self._arrow.ipc.new_stream(self._sink, self._schema)

    def write(self, number: int, given: str, row: Sequence[Any]) -> None:
        self._rows.append((number, given, *row))
        self._characters += len(given)
        if len(self._rows) >= BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Add the rows that wait to the stream."""
        rows, self._rows, self._characters = self._rows, [], 0
        if rows:
            batch = record_batch(self._arrow, self._schema, rows)
            try:
                self._stream.write_batch(batch)
            except OSError:
                self._broken = True  # its end is not whole: it stays as it is, for --resume
                raise

    def close(self) -> None:
        """The stream becomes the Parquet file."""
        try:
            if not self._broken:
                self.flush()
                self._stream.close()
        finally:
            if self._sink is not None:
                self._sink.close()
        if not self._broken:
            self._finish()

    def _finish(self) -> None:
        from pyarrow.parquet import ParquetWriter

        new = self.path.with_name(self.path.name + ".new")
        try:
            with ParquetWriter(new, self._schema, compression="zstd") as writer:
                for batch in self._whole_batches(self.partial):
                    writer.write_batch(batch)
            new.replace(self.path)
        except OSError:
            new.unlink(missing_ok=True)
            raise
        self.partial.unlink()

    def resume(self) -> Iterator[Earlier]:
        is_partial = self.partial.exists()
        batches = self._whole_batches(self.partial) if is_partial else self._parquet_batches()
        new = self.partial.with_name(self.partial.name + ".new")
        self._begin(new)
        try:
            for batch in batches:
                self._stream.write_batch(batch)
                for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    yield _flat_earlier(values[0], values[1], tuple(values[2:]))
            new.replace(self.partial)
        except BaseException:  # what was there before stays as it was
            new.unlink(missing_ok=True)
            raise

    def _whole_batches(self, path: Path) -> Iterator[pyarrow.RecordBatch]:
        """The batches of a stream up to its end, or to where a run was cut off."""
        with path.open("rb") as file:
            try:
                yield from self._arrow.ipc.open_stream(file)
            except (self._arrow.ArrowInvalid, OSError, EOFError):
                return

    def _parquet_batches(self) -> Iterator[pyarrow.RecordBatch]:
        if not self.path.stat().st_size:
            return iter(())
        file = open_parquet(self.path)
        if file.schema_arrow.names != list(COLUMNS):
            raise _not_ours(self.path)
        batches: Iterator[pyarrow.RecordBatch] = file.iter_batches(BATCH_ROWS)
        return batches


def _schema(arrow: Any) -> Any:
    text, texts = arrow.string(), arrow.list_(arrow.string())
    kinds = {
        "item": arrow.int64(), "listed": arrow.bool_(), "complete": arrow.bool_(), "score": arrow.float64(),
        "ttl_s": arrow.float64(), "elapsed_s": arrow.float64(), **dict.fromkeys(LISTS, texts),
    }  # fmt: skip
    return arrow.schema([(name, kinds.get(name, text)) for name in COLUMNS])


def _not_ours(path: Path) -> InputError:
    return InputError(f"{path}: not the output of `dnsbl bulk`: use another name, or no --resume", str(path))
