"""Lookups per second, CPU per query and the latency of one lookup, beside what people use now.

Six zones a lookup, all answered by one real rbldnsd on loopback; every address is asked once and listed
nowhere. Contestants (benchmarks/contestants.py) run each in a process of its own, in turn, five times over;
with EDNS on every c-ares side, whose default it is. What is not measured: a resolver in between, packet loss,
listed addresses (see bench_resolver.py).

    python benchmarks/bench_lookup.py [--lookups 6000] [--single 1500] [--runs 5]
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

from common import HERE, RUNS, ZONES, median, rbldnsd, run, spread, table, verdict
from contestants import reversed_name, texts

NAMES = {
    "pydnsbl": "pydnsbl 1.1.7",
    "aiodns": "aiodns with gather",
    "pycares": "pycares, raw callbacks",
    "resolver": "dnsbl: Resolver.check_many",
    "engine": "dnsbl: the engine alone",
    "bare": "bare C loop over c-ares",
}


def dnsperf(port: int, offset: int, lookups: int) -> float | None:
    """Queries a second that the server can answer at all; None without dnsperf."""
    program = shutil.which("dnsperf")
    if program is None:
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        for text in texts(offset, lookups):
            file.writelines(f"{reversed_name(text)}.{zone} A\n" for zone in ZONES)
        file.flush()
        done = subprocess.run(
            [program, "-s", "127.0.0.1", "-p", str(port), "-d", file.name, "-c", "4", "-q", "200"],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    found = re.search(r"Queries per second:\s+([0-9.]+)", done.stdout)
    return float(found.group(1)) if found else None


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--lookups", type=int, default=6000)
    options.add_argument("--single", type=int, default=1500)
    options.add_argument("--runs", type=int, default=RUNS)
    given = options.parse_args()
    script = HERE / "contestants.py"
    many: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    single: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES if name != "bare"}
    limits: list[float] = []
    offset = 0
    with rbldnsd() as port:
        for _ in range(given.runs):
            for name in NAMES:
                many[name].append(run(script, name, port, offset, given.lookups, "many"))
                offset += given.lookups + 1000
                if name in single:
                    single[name].append(run(script, name, port, offset, given.single, "single"))
                    offset += given.single + 1000
            if (limit := dnsperf(port, offset, given.lookups)) is not None:
                limits.append(limit)
            offset += given.lookups
    report(many, single, limits)


def report(
    many: dict[str, list[dict[str, float]]],
    single: dict[str, list[dict[str, float]]],
    limits: Sequence[float],
) -> None:
    def at(runs: dict[str, list[dict[str, float]]], name: str, figure: str) -> float:
        return median([one[figure] for one in runs[name]])

    print("Many lookups at once: median (lowest to highest) of the runs\n")
    rows = []
    for name, label in NAMES.items():
        speeds = [one["queries_s"] for one in many[name]]
        cpu = [one["cpu_us"] for one in many[name]]
        times = median(speeds) / at(many, "pydnsbl", "queries_s")
        rows.append([label, spread(speeds), f"{times:.1f}", spread(cpu, ".1f")])
    if limits:
        rows.append(["dnsperf (no resolver: the server's limit)", spread(limits), "", ""])
    table(["", "queries/s", "x pydnsbl", "CPU us a query"], rows)

    print("\nOne lookup after the other, nothing cached, in us\n")
    rows = []
    for name in single:
        p50, p99 = ([one[figure] for one in single[name]] for figure in ("p50_us", "p99_us"))
        share = median(p50) / at(single, "pycares", "p50_us")
        rows.append([NAMES[name], spread(p50), f"{share:.2f}", spread(p99)])
    table(["", "p50", "of pycares' p50", "p99"], rows)

    print()
    for layer, of_pydnsbl, of_pycares, of_bare in (("engine", 8.0, 5.0, 1.2), ("resolver", 6.0, 3.5, 1.6)):
        label, speed = NAMES[layer], at(many, layer, "queries_s")
        for peer, target in (("pydnsbl", of_pydnsbl), ("pycares", of_pycares)):
            times = speed / at(many, peer, "queries_s")
            verdict(f"{label}, queries/s to those of {NAMES[peer]}", times, target, at_least=True)
        used = at(many, layer, "cpu_us") / at(many, "bare", "cpu_us")
        verdict(f"{label}, CPU a query to that of the bare loop", used, of_bare, at_least=False)
    share = at(single, "engine", "p50_us") / at(single, "pycares", "p50_us")
    verdict("dnsbl: the engine alone, p50 of one lookup to raw pycares'", share, 1 / 3, at_least=False)


if __name__ == "__main__":
    main()
