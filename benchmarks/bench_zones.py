"""What a query costs where 64 zones are asked, beside 6: CPU of `check_many`, a query, in processes of their own.

All zones are answered by one rbldnsd on loopback; every address is asked once and listed nowhere. Not measured:
64 lists behind as many nameservers.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from common import RUNS, median, rbldnsd, run, spread, table, verdict, worst_ratio

COUNTS = (6, 64)
QUERIES = 24_000
TARGET = 1.0
TOLERANCE = 0.05
"""Two runs of the same thing differ by as much."""


def zones(count: int) -> list[str]:
    return [f"zone{number}.bl.example" for number in range(count)]


def one(port: int, count: int, offset: int) -> None:
    """Print the figures of one run."""
    from dnsbl import Resolver, Verdict

    with Resolver(zones(count), [f"127.0.0.1:{port}"], deadline_s=30) as resolver:

        def many(first: int, lookups: int) -> None:
            subjects = [(0x0B000000 + first + number).to_bytes(4, "big") for number in range(lookups)]
            for found in resolver.check_many(subjects):
                assert isinstance(found, Verdict)
                assert found.complete

        many(offset, 300)
        wall, cpu = time.perf_counter(), time.process_time()
        many(offset + 300, QUERIES // count)
        queries = QUERIES // count * count
        figures = {
            "queries_s": queries / (time.perf_counter() - wall),
            "cpu_us": (time.process_time() - cpu) / queries * 1e6,
        }
    print(json.dumps(figures))


def main() -> None:
    found: dict[int, list[dict[str, float]]] = {count: [] for count in COUNTS}
    offset = 0
    with rbldnsd(zones(max(COUNTS))) as port:
        for _ in range(RUNS):
            for count in COUNTS:
                found[count].append(run(Path(__file__), port, count, offset))
                offset += QUERIES
    rows = []
    for count, runs in found.items():
        speeds, used = ([each[figure] for each in runs] for figure in ("queries_s", "cpu_us"))
        rows.append([f"{count} zones", spread(speeds), spread(used, ".1f")])
    table(["check_many", "queries/s", "CPU us a query"], rows)
    few, many = ([each["cpu_us"] for each in found[count]] for count in COUNTS)
    ratio = median([b / a for a, b in zip(few, many, strict=True)])
    worst = worst_ratio(many, few, at_least=False)
    what = f"CPU a query with {COUNTS[1]} zones, in that with {COUNTS[0]} (worst round {worst:.2f})"
    verdict(what, ratio, TARGET + TOLERANCE, at_least=False)


if __name__ == "__main__":
    if len(sys.argv) == 4:
        one(*map(int, sys.argv[1:]))
    else:
        main()
