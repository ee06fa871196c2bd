"""`annotate`: an Arrow table with verdicts; the same in Polars, pandas, DuckDB and Arrow maps."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow
import pytest

from dnsbl import Resolver
from dnsbl.audit.table import annotate, annotate_batches
from dnsbl.errors import InputError
from dnsbl.testing import DnsblServer

ZONE = "bl.example.com"
VALUES = ["192.0.2.99", "192.0.2.1", None, "no subject", "192.0.2.99"]
LISTED = [True, False, None, None, True]


@pytest.fixture
def resolver(dnsbl_server: DnsblServer) -> Iterator[Resolver]:
    dnsbl_server.zone(ZONE).list("192.0.2.99")
    with Resolver([ZONE], [dnsbl_server.nameserver], reasons=False) as resolver:
        yield resolver


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view"])
def test_rows_keep_their_place(resolver: Resolver, dnsbl_server: DnsblServer, kind: str) -> None:
    table = pyarrow.table({"n": [1, 2, 3, 4, 5], "ip": pyarrow.array(VALUES, getattr(pyarrow, kind)())})
    found = annotate(table, "ip", resolver)
    assert found.column("n").to_pylist() == [1, 2, 3, 4, 5]
    assert found.column("ip").to_pylist() == VALUES
    assert found.column("dnsbl_listed").to_pylist() == LISTED
    assert found.column("dnsbl_listings").to_pylist() == [[ZONE], [], None, None, [ZONE]]
    assert found.column("dnsbl_codes").to_pylist()[0] == ["127.0.0.2"]
    errors = found.column("dnsbl_error").to_pylist()
    assert "no subject" in errors[3]
    assert errors[:3] + errors[4:] == [None] * 4
    assert dnsbl_server.count(ZONE) == 2


def test_the_bytes_of_addresses_and_dictionaries(resolver: Resolver) -> None:
    values = pyarrow.array([bytes([192, 0, 2, 99]), None, bytes([192, 0, 2, 1])], pyarrow.binary(4))
    assert annotate(pyarrow.table({"ip": values}), "ip", resolver).column("dnsbl_listed").to_pylist() == [
        True, None, False,
    ]  # fmt: skip
    table = pyarrow.table({"ip": pyarrow.array(VALUES).dictionary_encode()})
    assert annotate(table, "ip", resolver).column("dnsbl_listed").to_pylist() == LISTED


def test_an_empty_table_has_the_columns(resolver: Resolver) -> None:
    table = pyarrow.table({"ip": pyarrow.array([], pyarrow.string())})
    full = annotate(pyarrow.table({"ip": VALUES}), "ip", resolver)
    assert annotate(table, "ip", resolver).schema == full.schema


def test_what_cannot_be_annotated_is_said(resolver: Resolver) -> None:
    table = pyarrow.table({"ip": VALUES, "n": range(5)})
    with pytest.raises(InputError, match=r"no column 'client': use one of these: ip, n"):
        annotate(table, "client", resolver)
    with pytest.raises(InputError, match="type int64: use text"):
        annotate(table, "n", resolver)
    with pytest.raises(InputError, match="already"):
        annotate(annotate(table, "ip", resolver), "ip", resolver)


def documented(name: str) -> str:
    """The lines of docs/bulk.md for one of the libraries, as they stand there."""
    text = (Path(__file__).parents[2] / "docs/bulk.md").read_text()
    block = text.partition(f"    # {name}")[2].partition("\n\n")[0]
    return textwrap.dedent(block.partition("\n")[2])


def test_polars(resolver: Resolver) -> None:
    """What follows may name the new columns, and is put before the lookups where it can be."""
    names = {"frame": polars.LazyFrame({"n": range(5), "ip": VALUES})}
    exec(documented("Polars"), globals() | {"resolver": resolver}, names)
    found: Any = names["found"]
    assert found.collect()["dnsbl_listed"].to_list() == LISTED
    listed = found.filter(polars.col("dnsbl_listed")).select("ip", "dnsbl_listings").collect()
    assert listed.rows() == [("192.0.2.99", ["bl.example.com"])] * 2
    assert found.filter(polars.col("n") > 0).select("dnsbl_listed").collect().height == 4


def test_pandas(resolver: Resolver) -> None:
    names: dict[str, Any] = {"frame": pandas.DataFrame({"ip": VALUES})}
    exec(documented("pandas"), globals() | {"resolver": resolver}, names)
    assert names["found"]["dnsbl_listed"].tolist() == LISTED


def test_duckdb(resolver: Resolver) -> None:
    with duckdb.connect() as connection:
        connection.sql("CREATE TABLE clients AS SELECT unnest(['192.0.2.99', '192.0.2.1']) AS ip")
        names: dict[str, Any] = {"connection": connection}
        exec(documented("DuckDB"), globals() | {"resolver": resolver} | names, names)
        assert names["found"].fetchall() == [("192.0.2.99", ["bl.example.com"])]


def test_an_iterator_of_batches_as_spark_and_ray_give_it(resolver: Resolver) -> None:
    """Spark's mapInArrow gives an iterator of record batches; Ray's map_batches one table at a time."""
    table = pyarrow.table({"ip": VALUES})
    batches = list(annotate_batches(iter(table.to_batches(max_chunksize=2)), "ip", resolver))
    assert [batch.num_rows for batch in batches] == [2, 2, 1]
    assert pyarrow.Table.from_batches(batches).column("dnsbl_listed").to_pylist() == LISTED


SENT = """
import sys, cloudpickle, pyarrow
from dnsbl.audit.table import annotate, process_resolver
ZONE, NAMESERVER = sys.argv[1:]
sys.stdout.buffer.write(cloudpickle.dumps(
    lambda part: annotate(part, "ip", process_resolver([ZONE], [NAMESERVER]))
))
"""
DONE = """
import pickle, sys, pyarrow
function = pickle.load(sys.stdin.buffer)
for _ in range(2):
    print(function(pyarrow.table({"ip": ["192.0.2.99", "192.0.2.1"]})).column("dnsbl_listed").to_pylist())
"""


def test_a_function_of_a_script_works_in_another_process(dnsbl_server: DnsblServer) -> None:
    """Ray, Spark and Dask send it with cloudpickle: what it refers to has to be found or made there."""
    dnsbl_server.zone(ZONE).list("192.0.2.99")

    def python(code: str, given: bytes, *args: str) -> bytes:
        command = [sys.executable, "-c", code, *args]
        return subprocess.run(command, input=given, capture_output=True, timeout=120, check=True).stdout

    function = python(SENT, b"", ZONE, dnsbl_server.nameserver)
    assert python(DONE, function).decode().split("\n")[:2] == ["[True, False]"] * 2
