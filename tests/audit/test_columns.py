"""Arrow batches made from bytes: the same as pyarrow makes of the same rows, and without pandas."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from dnsbl.audit.columns import record_batch

SCHEMA = pyarrow.schema(
    [
        ("item", pyarrow.int64()),
        ("subject", pyarrow.string()),
        ("listed", pyarrow.bool_()),
        ("score", pyarrow.float64()),
        ("listings", pyarrow.list_(pyarrow.string())),
    ]
)
CLEAN = (1, "192.0.2.1", False, 0.0, ())
LISTED = (2**40, "bücher.example", True, -1.5, ("a.example", "ä.example"))
ERROR: tuple[object, ...] = (3, None, None, None, [])


@pytest.mark.parametrize(
    "rows",
    [
        [CLEAN],
        [ERROR],
        [CLEAN, LISTED, ERROR],
        [LISTED, ERROR] * 4,
        [CLEAN] * 7 + [LISTED] + [CLEAN] * 9,
        [(n, f"{n}" * (n % 5), n % 3 == 0, n / 7, ("x",) * (n % 4)) for n in range(1000)],
        [(1, "\U0001f4e7 \0", True, float("inf"), ("",))],
    ],
)
def test_a_batch_is_what_pyarrow_makes_of_the_rows(rows: list[tuple[Any, ...]]) -> None:
    batch = record_batch(pyarrow, SCHEMA, rows)
    batch.validate(full=True)
    expected = pyarrow.record_batch([list(column) for column in zip(*rows, strict=True)], schema=SCHEMA)
    assert batch.equals(expected)
    assert batch.schema.equals(SCHEMA)
    assert [column.null_count for column in batch] == [column.null_count for column in expected]


def test_a_parquet_file_is_written_without_importing_pandas(tmp_path: Path) -> None:
    assert find_spec("pandas"), "to be told from a machine without it"
    code = f"""
import sys
from pathlib import Path
from pathlib import Path
from dnsbl.audit.output import open_output
from dnsbl.audit.rows import flat_error
output = open_output(Path({str(tmp_path / "out.parquet")!r}))
output.start()
output.write(1, "x", flat_error("no subject"))
output.close()
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == 1
