"""How long `dnsbl check` takes as a process, beside `python -c pass`: what a shell script pays for it.

One listed address, one zone, a server on loopback; both commands in turn, five times. Not measured: the
first run after an installation, which also writes byte code, and the time a real list takes to answer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from statistics import median
from time import perf_counter

from dnsbl.testing import DnsblServer

RUNS = 5
ZONE = "bl.example.com"
LIMIT_MS = 150.0
# As installed: with byte code, which this variable would keep from being written.
ENV = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
ENV["DNSBL_CONFIG"] = ""


def timed_ms(command: Sequence[str], code: int) -> float:
    """Run a command that must end with `code`; return its wall-clock time in milliseconds."""
    started = perf_counter()
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, env=ENV, check=False)
    took_ms = (perf_counter() - started) * 1000
    if ended.returncode != code:
        raise SystemExit(f"{command} ended with {ended.returncode}, not {code}")
    return took_ms


def main() -> None:
    with DnsblServer(zones=[ZONE]) as server:
        server.zone(ZONE).list("192.0.2.99")
        check = [sys.executable, "-m", "dnsbl", "check", "--nameserver", server.nameserver, "--zone", ZONE]
        commands = {
            "python -c pass": ([sys.executable, "-c", "pass"], 0),
            "dnsbl check": ([*check, "192.0.2.99"], 1),
        }
        for command, code in commands.values():
            timed_ms(command, code)
        runs: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, (command, code) in commands.items():
                runs[name].append(timed_ms(command, code))
    print(f"{'':16}{'median':>9}{'best':>9}{'worst':>9}  ms")
    for name, took in runs.items():
        print(f"{name:16}{median(took):9.1f}{min(took):9.1f}{max(took):9.1f}")
    more = median(runs["dnsbl check"]) - median(runs["python -c pass"])
    print(f"more than python -c pass: {more:.1f} ms (limit {LIMIT_MS:.0f} ms)")


if __name__ == "__main__":
    main()
