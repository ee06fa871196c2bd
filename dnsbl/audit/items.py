"""What a bulk run is given: the items of a file, one at a time, in flat memory.

Reads lines, a column of a CSV file, or a column of a Parquet file, and spreads networks out into their
addresses. Whether an item can be looked up is not decided here, but for a network that is no network.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from contextlib import ExitStack, closing
from ipaddress import ip_network
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple, Self

from dnsbl.errors import InputError, SubjectError

if TYPE_CHECKING:
    import pyarrow

MAX_LINE: Final = 65_536
"""Characters of one line; what is beyond is dropped, and the line is an item with an error."""
MAX_EXPAND: Final = 65_536
"""Addresses that one network may be spread into by default: an IPv4 /16."""
BATCH_ROWS: Final = 65_536

_PARQUET: Final = b"PAR1"
_PACKED: Final = (
    (b"\x1f\x8b", "zcat"),
    (b"\xfd7zX", "xzcat"),
    (b"BZh", "bzcat"),
    (b"\x28\xb5\x2f\xfd", "zstdcat"),
)
"""How packed files begin, and what unpacks them."""
_NETWORK: Final = re.compile(r"[0-9A-Fa-f:.]{2,45}/[0-9]{1,3}")


class Item(NamedTuple):
    """One thing to look up.

    number: its place, from 1, networks spread out. given: the text of the file. subject: what is looked up,
    text or the 4 or 16 bytes of an address of a network; a SubjectError where it cannot be.
    """

    number: int
    given: str
    subject: str | bytes | SubjectError


class Source:
    """An input: `-` (standard input) or the path of a file; lines, or a column of CSV or Parquet.

    column: None for lines, and for a Parquet file with one column.
    """

    def __init__(self, file: str, column: str | None = None, max_expand: int = MAX_EXPAND) -> None:
        self._file, self._column, self._max_expand = file, column, max_expand
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._open.close()

    def items(self) -> Iterator[Item]:
        """The items. A file that cannot be read raises OSError here, its content later on."""
        start = b"" if self._file == "-" else _start(Path(self._file))
        if start == _PARQUET:
            return numbered(read_parquet(Path(self._file), self._column), self._max_expand)
        if packed := next((tool for magic, tool in _PACKED if start.startswith(magic)), None):
            raise InputError(
                f"{self._file} is packed: use `{packed} {self._file} | dnsbl bulk -` and the options",
                self._file,
            )
        encoding = "utf-16" if start.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig"
        file = self._open.enter_context(
            _open_text(self._file, "\n" if self._column is None else "", encoding)
        )
        texts = read_lines(file) if self._column is None else read_csv(file, self._column, self._file)
        return numbered(_telling(texts, self._file), self._max_expand)

    def count(self) -> int | None:
        """How many items there are, where that can be known without asking: of a file. Reads it once."""
        if not Path(self._file).is_file():
            return None
        return sum(1 for _ in self.items())


def _telling(texts: Iterator[str], name: str) -> Iterator[str]:
    """The texts; what goes wrong in reading them is told apart from what goes wrong in writing the output."""
    try:
        yield from texts
    except OSError as error:
        raise InputError(f"{name}: cannot be read further: {error.strerror}", name) from None


def _open_text(file: str, newline: str, encoding: str) -> IO[str]:
    source: str | int = sys.stdin.fileno() if file == "-" else file
    return open(source, encoding=encoding, errors="replace", newline=newline, closefd=file != "-")


def numbered(texts: Iterator[str], max_expand: int = MAX_EXPAND) -> Iterator[Item]:
    """The items of these texts; networks with at most `max_expand` addresses are spread out.

    >>> [item.subject for item in numbered(iter(["192.0.2.0/31", "example.com"]))]
    [b'\\xc0\\x00\\x02\\x00', b'\\xc0\\x00\\x02\\x01', 'example.com']
    """
    number = 0
    for text in texts:
        if "/" in text and _NETWORK.fullmatch(text):
            for subject in _spread(text, max_expand):
                number += 1
                yield Item(number, text, subject)
        else:
            number += 1
            if len(text) > MAX_LINE:
                error = SubjectError(f"longer than {MAX_LINE} characters: one subject a line", text[:80])
                yield Item(number, text[:80], error)
            else:
                yield Item(number, text, text)


def _spread(text: str, max_expand: int) -> Iterator[bytes | SubjectError]:
    try:
        network = ip_network(text)
    except ValueError:
        yield SubjectError(_network_fault(text), text)
        return
    if network.num_addresses > max_expand:
        yield SubjectError(
            f"{text} has {network.num_addresses:,} addresses, at most {max_expand:,} are looked up: "
            "give a smaller network, or raise --max-expand",
            text,
        )
        return
    first, size = int(network.network_address), network.max_prefixlen // 8
    for value in range(first, first + network.num_addresses):
        yield value.to_bytes(size, "big")


def _network_fault(text: str) -> str:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return f"{text} is not a valid network: use 192.0.2.0/24 or 2001:db8::/120"
    return f"{text} is not a valid network, it has bits beyond its prefix: use {network}"


def read_lines(file: IO[str]) -> Iterator[str]:
    """The texts of a file with one a line; empty lines and lines that begin with `#` are left out."""
    while line := file.readline(MAX_LINE + 2):
        whole = line
        while not line.endswith("\n") and len(line) == MAX_LINE + 2:  # the rest of an endless line
            line = file.readline(MAX_LINE + 2)
        text = whole.strip() if len(whole) <= MAX_LINE + 1 else whole
        if text and not text.startswith("#"):
            yield text


def read_csv(file: IO[str], column: str, name: str) -> Iterator[str]:
    """The texts of one column, by its name in the first line or by its number from 1 (then no line of names).

    Raises InputError where there is no such column, and where the file is no CSV.
    """
    csv.field_size_limit(MAX_LINE * 16)
    rows: Iterator[list[str]] = csv.reader(file)
    try:
        first = next(rows, [])
        if column in first:
            index = first.index(column)
        elif column.isascii() and column.isdigit() and 0 < int(column) <= len(first):
            index, rows = int(column) - 1, chain([first], rows)
        else:
            raise _no_column(name, column, first)
        for row in rows:
            text = row[index].strip() if index < len(row) else ""
            if text:
                yield text
    except csv.Error as error:
        raise InputError(f"{name}: not valid CSV: {error}", name) from None


def read_parquet(path: Path, column: str | None) -> Iterator[str]:
    """The texts of one column of a Parquet file (None: its only one). Raises InputError as `read_csv`."""
    with closing(open_parquet(path)) as source:
        names = source.schema_arrow.names
        if column is None and len(names) == 1:
            column = names[0]
        if column not in names:
            raise _no_column(str(path), column or "", names)
        try:
            for batch in source.iter_batches(BATCH_ROWS, columns=[column]):
                for value in batch.column(0):
                    text = value.as_py()
                    if text is not None:
                        yield text.strip() if isinstance(text, str) else str(text)
        except (need_arrow().ArrowException, OSError) as error:
            raise InputError(f"{path}: damaged, read up to there: {_first_line(error)}", str(path)) from None


def open_parquet(path: Path) -> pyarrow.parquet.ParquetFile:
    """A Parquet file to read batch by batch. Raises InputError where it is none, or pyarrow is missing."""
    arrow = need_arrow()
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(path)
    except arrow.ArrowException as error:
        raise InputError(f"{path}: not a valid Parquet file: {_first_line(error)}", str(path)) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else _first_line(error)
        raise InputError(f"{path}: {reason}", str(path)) from None


def need_arrow() -> pyarrow:
    """The module pyarrow. Raises ImportError with one line that says how to install it."""
    try:
        import pyarrow
    except ImportError:
        raise ImportError("Parquet needs pyarrow: pip install 'dnsbl-resolver[arrow]'") from None
    return pyarrow


def _start(path: Path) -> bytes:
    """The first four bytes of a regular file; of another (a pipe) none, which could not be read again."""
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(4)


def _no_column(name: str, column: str, known: list[str]) -> InputError:
    shown = ", ".join(known[:20]) or "none"
    what = f"no column {column!r}" if column else "more than one column"
    return InputError(f"{name}: {what}: use --column with one of these: {shown}", name)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
