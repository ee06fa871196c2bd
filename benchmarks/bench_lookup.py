"""Lookups per second, CPU per query and the latency of one lookup, beside what people use now.

Six zones a lookup, all answered by one real rbldnsd on loopback; every address is asked once and listed
nowhere. Contestants (benchmarks/contestants.py) run each in a process of its own, in turn, five times over; every
ratio is of two runs of the same round. What is not measured: a resolver in between, packet loss, listed
addresses (see bench_resolver.py). adnshost asks port 53 only: measured where that may be opened on loopback.

    python benchmarks/bench_lookup.py [--lookups 6000] [--single 1500] [--runs 5]
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence

from common import (
    HERE,
    PORT_53,
    RUNS,
    ZONES,
    may_use_port_53,
    median,
    note,
    rbldnsd,
    run,
    spread,
    table,
    verdict,
    worst_ratio,
)
from contestants import reversed_name, texts

NAMES = {
    "pydnsbl": "pydnsbl 1.1.7",
    "aiodnsbl": "aiodnsbl 1.0.0",
    "dnspython": "dnspython, asynchronous",
    "aiodns": "aiodns with gather",
    "adnshost": "adnshost, fed through a pipe",
    "pycares": "pycares, raw callbacks",
    "resolver": "dnsbl: Resolver.check_many",
    "async": "dnsbl: check_async, gathered",
    "engine": "dnsbl: the engine alone",
    "bare": "bare C loop over c-ares",
}

SLOW = {"pydnsbl": 3, "aiodnsbl": 3, "dnspython": 20}
"""These get a part of the lookups, one in so many: they would take most of the time."""


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
    single: dict[str, list[dict[str, float]]] = {
        name: [] for name in NAMES if name not in ("async", "adnshost")
    }
    limits: list[float] = []
    offset = 0
    with contextlib.ExitStack() as servers:
        port = servers.enter_context(rbldnsd())
        if shutil.which("adnshost") and may_use_port_53():
            servers.enter_context(rbldnsd(address=PORT_53, port=53))
        else:
            note("adnshost is not measured: it is not installed, or port 53 of 127.0.0.9 may not be opened")
            del many["adnshost"]
        for _ in range(given.runs):
            for name in many:
                share = SLOW.get(name, 1)
                many[name].append(run(script, name, port, offset, given.lookups // share, "many"))
                offset += given.lookups + 1000
                if name in single:
                    single[name].append(run(script, name, port, offset, given.single // share, "single"))
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
    def at(runs: dict[str, list[dict[str, float]]], name: str, figure: str) -> list[float]:
        return [one[figure] for one in runs[name]]

    rows = []
    for name in many:
        label = NAMES[name]
        speeds = [one["queries_s"] for one in many[name]]
        cpu = [one["cpu_us"] for one in many[name]]
        times = median(speeds) / median(at(many, "pydnsbl", "queries_s"))
        used = median([a / b for a, b in zip(cpu, at(many, "bare", "cpu_us"), strict=True)])
        rows.append([label, spread(speeds), f"{times:.1f}", spread(cpu, ".1f"), f"{used:.2f}"])
    if limits:
        rows.append(["dnsperf (no resolver: the server's limit)", spread(limits), "", "", ""])
    table(["many lookups at once", "queries/s", "x pydnsbl", "CPU us a query", "x bare loop's CPU"], rows)

    print()
    rows = []
    for name in single:
        p50, p99 = ([one[figure] for one in single[name]] for figure in ("p50_us", "p99_us"))
        share = median([a / b for a, b in zip(p50, at(single, "bare", "p50_us"), strict=True)])
        rows.append([NAMES[name], spread(p50), f"{share:.2f}", spread(p99)])
    table(["one lookup after the other, us", "p50", "x bare loop's p50", "p99"], rows)

    print()
    for layer, figure, most in (
        ("engine", "cpu_us", 0.95),
        ("resolver", "cpu_us", 1.25),
        ("async", "cpu_us", 1.6),
    ):
        what = f"{NAMES[layer]}: CPU a query, in the bare loop's"
        against(what, at(many, layer, figure), at(many, "bare", figure), most, at_least=False)
    speeds = at(many, "resolver", "queries_s")
    what = f"{NAMES['resolver']}: queries/s, in the bare loop's"
    against(what, speeds, at(many, "bare", "queries_s"), 0.85, at_least=True)
    for peer, least in (("pydnsbl", 6.0), ("pycares", 3.5)):
        what = f"{NAMES['resolver']}: queries/s, in those of {NAMES[peer]}"
        against(what, speeds, at(many, peer, "queries_s"), least, at_least=True)
    what = "dnsbl: check, one at a time: p50, in the bare loop's"
    against(what, at(single, "resolver", "p50_us"), at(single, "bare", "p50_us"), 1.3, at_least=False)


def against(
    what: str, ours: Sequence[float], theirs: Sequence[float], target: float, *, at_least: bool
) -> None:
    """The median of the rounds' ratios against a target, and the worst of them beside it."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    worst = worst_ratio(ours, theirs, at_least=at_least)
    verdict(f"{what} (worst round {worst:.2f})", median(ratios), target, at_least=at_least)


if __name__ == "__main__":
    main()
