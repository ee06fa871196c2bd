"""Rows as an Arrow record batch, each column made from its bytes.

`pyarrow.array` would do, but it imports pandas, if that is installed, to see whether it was given something of
it: half a second of processor time in every run.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow

_DIGITS: Final = bytes.maketrans(b"\0\1", b"01")


def record_batch(arrow: Any, schema: pyarrow.Schema, rows: Sequence[tuple[Any, ...]]) -> pyarrow.RecordBatch:
    """The rows, at least one, as a batch. Types: string, int64, float64, bool, and lists of string.

    All text of a column must be under 2 GiB: Arrow's offsets have 32 bits.
    """
    columns = zip(*rows, strict=True)
    arrays = [_column(arrow, field.type, column) for field, column in zip(schema, columns, strict=True)]
    return arrow.RecordBatch.from_arrays(arrays, schema=schema)


def _column(arrow: Any, kind: pyarrow.DataType, values: Sequence[Any]) -> pyarrow.Array:
    types, children = arrow.types, None
    nulls = values.count(None)
    valid = _bits([value is not None for value in values]) if nulls else None
    if types.is_string(kind):
        buffers = _text(["" if value is None else value for value in values] if nulls else values)
    elif types.is_list(kind):
        buffers = [_offsets(values)]
        children = [_column(arrow, kind.value_type, list(chain.from_iterable(values)))]
    elif types.is_boolean(kind):
        buffers = [_bits(values)]
    else:
        known = [0 if value is None else value for value in values] if nulls else values
        buffers = [array("q" if types.is_int64(kind) else "d", known)]
    held = [None if buffer is None else arrow.py_buffer(buffer) for buffer in (valid, *buffers)]
    return arrow.Array.from_buffers(kind, len(values), held, nulls, children=children)


def _text(values: Sequence[str]) -> list[array[int] | bytes]:
    joined = "".join(values)
    if joined.isascii():
        return [_offsets(values), joined.encode()]
    encoded = [value.encode() for value in values]
    return [_offsets(encoded), b"".join(encoded)]


def _offsets(values: Sequence[Any]) -> array[int]:
    """Where each of them begins, and the last ends, if they lie one after the other."""
    return array("i", accumulate(map(len, values), initial=0))


def _bits(values: Sequence[bool | None]) -> bytes:
    """A bit for each, the first one lowest, as Arrow has them."""
    digits = bytes(map(bool, values)).translate(_DIGITS)
    return int(digits[::-1], 2).to_bytes((len(values) + 7) // 8, "little")
