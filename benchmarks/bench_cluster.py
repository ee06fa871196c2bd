"""The same Parquet data set annotated by one process, and by a Dask cluster of two workers on this machine.

A real scheduler and two worker processes on loopback, started beforehand; a list file in the place of lists, so
that the processor is the limit and not a nameserver: two workers on two cores are to be no slower than one
process. Needs the extra `cluster`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from common import median, spread, table, verdict

ROWS = 100_000
PART_ROWS = 10_000
RUNS = 3


def start(stack: ExitStack, *args: str) -> None:
    """One of Dask's processes, ended with the stack."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *args], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait)
    stack.callback(process.kill)


def main() -> None:
    import pyarrow
    from distributed import Client
    from pyarrow import parquet

    from dnsbl.audit.cluster import Lookups, annotate_partitions
    from dnsbl.audit.table import annotate

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "list.txt").write_text("".join(f"198.18.{n}.0/25\n" for n in range(256)))
        addresses = [f"198.{18 + (n >> 16)}.{n >> 8 & 255}.{n & 255}" for n in range(ROWS)]
        parquet.write_table(pyarrow.table({"ip": addresses}), folder / "in.parquet", row_group_size=PART_ROWS)
        lookups = Lookups((f"file:{folder}/list.txt",))
        scheduler = "tcp://127.0.0.1:8796"
        start(stack, "scheduler", "--host", "127.0.0.1", "--port", "8796", "--no-dashboard", "--no-show")
        for _ in range(2):
            start(stack, "worker", scheduler, "--no-nanny", "--nthreads", "1", "--no-dashboard")
        with Client(scheduler, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        alone, shared = [], []
        for run in range(RUNS):
            started = time.monotonic()
            with lookups.open() as resolver, parquet.ParquetFile(folder / "in.parquet") as file:
                for number, batch in enumerate(file.iter_batches(PART_ROWS)):
                    found = pyarrow.Table.from_batches([annotate(batch, "ip", resolver)])
                    parquet.write_table(found, folder / f"{number}.parquet")
            alone.append(ROWS / (time.monotonic() - started))
            started = time.monotonic()
            output = folder / f"out{run}"
            done = annotate_partitions(
                folder / "in.parquet", output, "ip", scheduler, lookups, part_rows=PART_ROWS
            )
            assert done.rows == ROWS
            shared.append(ROWS / (time.monotonic() - started))
    ratios = [ours / one for ours, one in zip(shared, alone, strict=True)]
    table(["", "rows/s"], [["one process", spread(alone)], ["Dask, two workers", spread(shared)]])
    print()
    verdict("Dask's two workers over one process", median(ratios), 1.0, at_least=True)


if __name__ == "__main__":
    main()
