"""Arrow tables with the verdicts on one of their columns: batches in, batches out.

Each distinct value of a batch is looked up once, by Arrow's dictionary encoding, and the answers are spread
over the rows by Arrow: there is no Python object for a row, only for a distinct value.

docs/bulk.md has the lines for Polars, pandas, DuckDB, Ray and Spark. A resolver cannot be sent to the processes of
the last two: `process_resolver` makes one in each. Needs the extra `arrow`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from dnsbl.audit.items import need_arrow
from dnsbl.audit.rows import flat
from dnsbl.errors import InputError, SubjectError
from dnsbl.subject import parse_subject

if TYPE_CHECKING:
    import pyarrow

    from dnsbl.audit.terms import Terms
    from dnsbl.resolver import Resolver

PREFIX: Final = "dnsbl_"
_NAMES: Final = (
    "subject", "listed", "complete", "score", "listings", "codes", "meanings", "errors", "ttl_s", "elapsed_s",
    "error",
)  # fmt: skip
_LEFT_OUT: Final = ("ttl_s", "elapsed_s")
_LISTS: Final = ("listings", "codes", "meanings", "errors")

T = TypeVar("T", "pyarrow.Table", "pyarrow.RecordBatch")


def annotate(table: T, column: str, resolver: Resolver, terms: Terms | None = None) -> T:
    """The table (or record batch) with the verdicts on `column` as further columns.

    column: text, or binary with the 4 or 16 bytes of an address; null stays null. Added, in this order:
    `dnsbl_subject` (text), `dnsbl_listed`, `dnsbl_complete` (bool), `dnsbl_score` (float64),
    `dnsbl_listings`, `dnsbl_codes`, `dnsbl_meanings`, `dnsbl_errors` (lists of text) and `dnsbl_error` (text:
    why the value could not be looked up; the others are null then). Rows keep their order and number.
    terms: its pace is kept.

    Raises InputError where there is no such column, it has another type, or a column to be added is there.
    """
    arrow = need_arrow()
    _check(arrow, table, column)
    values = table.column(column)
    if isinstance(values, arrow.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, arrow.ChunkedArray):  # more than one array can hold
        raise InputError(f"column {column} is too long for one array: annotate it batch by batch", column)
    if not arrow.types.is_dictionary(values.type):
        values = _plain(arrow, values).dictionary_encode()
    found = _look_up(values.dictionary.to_pylist(), resolver, terms)
    for name, answers in zip(_NAMES, found, strict=True):
        if name not in _LEFT_OUT:
            added = arrow.array(answers, type=_type(arrow, name)).take(values.indices)
            table = table.append_column(PREFIX + name, added)
    return table


def annotate_batches(
    batches: Iterable[pyarrow.RecordBatch], column: str, resolver: Resolver
) -> Iterator[pyarrow.RecordBatch]:
    """As `annotate`, batch by batch, in the memory of one."""
    for batch in batches:
        yield annotate(batch, column, resolver)


def process_resolver(zones: Iterable[str] = (), nameservers: Iterable[str] = ()) -> Resolver:
    """This process's resolver for these zones and nameservers, made at the first call and kept until it ends.

    zones, nameservers: as in `Resolver`; empty: what it takes without them. Reasons (TXT) are not asked for.
    For functions that are sent to other processes: what a script or notebook itself keeps with `functools.cache`
    is not found there.
    """
    return _process_resolver(tuple(zones), tuple(nameservers))


@functools.cache
def _process_resolver(zones: tuple[str, ...], nameservers: tuple[str, ...]) -> Resolver:
    from dnsbl.resolver import Resolver

    return Resolver(zones or None, nameservers or None, reasons=False)


def _check(arrow: Any, table: Any, column: str) -> None:
    names = table.schema.names
    if names.count(column) != 1:
        raise InputError(f"no column {column!r}: use one of these: {', '.join(names[:20])}", column)
    kind = table.schema.field(column).type
    if arrow.types.is_dictionary(kind):
        kind = kind.value_type
    if not (_is_text(arrow, kind) or _is_bytes(arrow, kind)):
        raise InputError(f"column {column} is of type {kind}: use text, or the bytes of addresses", column)
    for name in _NAMES:
        if PREFIX + name in names:
            raise InputError(f"the table has a column {PREFIX + name} already: drop or rename it", column)


def _is_text(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_bytes(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


def _plain(arrow: Any, values: Any) -> Any:
    """Polars' views of text as text, which Arrow can put into a dictionary."""
    return values.cast(arrow.large_string()) if arrow.types.is_string_view(values.type) else values


def _type(arrow: Any, name: str) -> Any:
    if name in _LISTS:
        return arrow.list_(arrow.string())
    kinds = {"listed": arrow.bool_(), "complete": arrow.bool_(), "score": arrow.float64()}
    return kinds.get(name, arrow.string())


def _look_up(values: list[str | bytes | None], resolver: Resolver, terms: Terms | None) -> list[list[Any]]:
    """The columns of `_NAMES` for these distinct values."""
    columns: list[list[Any]] = [[None] * len(values) for _ in _NAMES]
    asked = [at for at, value in enumerate(values) if value is not None]
    results = resolver.check_many((_subject(values[at], terms) for at in asked), ordered=True)
    for at, result in zip(asked, results, strict=True):
        if isinstance(result, SubjectError):
            columns[-1][at] = str(result)
        else:
            for column, cell in zip(columns, flat(result), strict=True):
                column[at] = cell
    return columns


def _subject(value: str | bytes | None, terms: Terms | None) -> object:
    """Parsed first, so that one subject written in two ways is one name to the resolver."""
    try:
        key = parse_subject(value).key
    except SubjectError:
        return value
    if terms is not None:
        terms.admit(key)
    return key
