"""`dnsbl bulk` from a file of lines to Parquet, beside `check_many` alone on the same subjects.

Six zones, every subject asked once: at 0 ms on a real rbldnsd, at 20 ms on delay_server.c. By turns, each in a
process of its own. The time of bulk has in it what a run pays once, whatever its length: loading the command and
pyarrow, reading the configuration, opening the resolver, and asking at the end whether unknown zones exist. So
that this does not decide, a run has some ten seconds; what it costs is measured with one subject, and told. One
argument: how many subjects.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from common import ZONES, median, note, rbldnsd, run, spread, table, verdict
from delayed import built, nameserver

COUNT = 50_000
RUNS = 3
FACTOR = 1.3


@contextlib.contextmanager
def lists(program: Path, delay_ms: int) -> Iterator[int]:
    """A nameserver for all zones; gives its port."""
    with nameserver(program, delay_ms) if delay_ms else rbldnsd() as port:
        yield port


def check_many(file: str, at: str) -> None:
    from dnsbl import Resolver

    subjects = Path(file).read_text().split()
    with Resolver(ZONES, [at], reasons=False, deadline_s=10) as resolver:
        started = time.monotonic()
        found = sum(1 for _ in resolver.check_many(subjects))
        took_s = time.monotonic() - started
    print(json.dumps({"queries_s": found * len(ZONES) / took_s}))


def bulk(file: str, at: str, output: str) -> None:
    started = time.monotonic()
    from dnsbl.cli import main

    args = ["bulk", *(f"-z{zone}" for zone in ZONES), "--nameserver", at, "--deadline", "10"]
    code = main([*args, file, "--output", output, "--overwrite"])
    took_s = time.monotonic() - started
    assert code == 0
    queries = len(Path(file).read_text().split()) * len(ZONES)
    print(json.dumps({"queries_s": queries / took_s, "took_s": took_s}))


def main(count: int = COUNT) -> None:
    rows, factors = [], []
    once: list[float] = []
    with tempfile.TemporaryDirectory() as folder, built() as program:
        file = Path(folder) / "in.txt"
        file.write_text("".join(f"198.18.{n >> 8}.{n & 255}\n" for n in range(count)))
        one = Path(folder) / "one.txt"
        one.write_text("198.18.0.1\n")
        for delay_ms in (0, 20):
            alone, whole = [], []
            with lists(program, delay_ms) as port:
                at = f"127.0.0.1:{port}"
                for _ in range(RUNS):
                    once.append(run(Path(__file__), "bulk", one, at, f"{folder}/out.parquet")["took_s"])
                    alone.append(run(Path(__file__), "check_many", file, at)["queries_s"])
                    whole.append(run(Path(__file__), "bulk", file, at, f"{folder}/out.parquet")["queries_s"])
            ratios = [ours / theirs for ours, theirs in zip(alone, whole, strict=True)]
            rows.append([f"{delay_ms} ms", spread(alone), spread(whole), spread(ratios, ".2f")])
            factors.append((delay_ms, median(ratios)))
    table(["answers after", "check_many, queries/s", "bulk to Parquet, queries/s", "their ratio"], rows)
    note(
        f"What bulk pays once, as of a run with one subject: {spread(once, '.2f')} s; it is in the figures above."
    )
    print()
    for delay_ms, factor in factors:
        verdict(f"check_many's pace over bulk's at {delay_ms} ms", factor, FACTOR, at_least=False)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["check_many", file, nameserver_at]:
            check_many(file, nameserver_at)
        case ["bulk", file, nameserver_at, output]:
            bulk(file, nameserver_at, output)
        case [count]:
            main(int(count))
        case _:
            main()
