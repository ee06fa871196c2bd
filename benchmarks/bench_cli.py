"""How long `dnsbl check` and `import dnsbl` take as processes, beside `python -c pass`: what a script pays.

One listed address, one zone, a server on loopback; all commands in turn, five times. Not measured: the
first run after an installation, which also writes byte code, and the time a real list takes to answer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from time import perf_counter

from common import RUNS, median, spread, table, verdict

from dnsbl.testing import DnsblServer

ZONE = "bl.example.com"
LIMIT_MS = 150.0
IMPORT_LIMIT_MS = 30.0
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
            "import dnsbl": ([sys.executable, "-c", "import dnsbl"], 0),
            "from dnsbl import Resolver": ([sys.executable, "-c", "from dnsbl import Resolver"], 0),
            "dnsbl check": ([*check, "192.0.2.99"], 1),
        }
        for command, code in commands.values():
            timed_ms(command, code)
        runs: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, (command, code) in commands.items():
                runs[name].append(timed_ms(command, code))
    table(["process", "ms"], [[name, spread(took, ".1f")] for name, took in runs.items()])
    bare = median(runs["python -c pass"])
    for name, limit_ms in (("import dnsbl", IMPORT_LIMIT_MS), ("dnsbl check", LIMIT_MS)):
        more = median(runs[name]) - bare
        verdict(f"{name}, ms more than python -c pass", more, limit_ms, at_least=False)


if __name__ == "__main__":
    main()
