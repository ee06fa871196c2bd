"""One round of the monitor: 256 addresses by 10 lists, each answering after 20 ms, every list with a free limit.

The round is all of it: test entries, lookups, reasons, judging, and the state on disk. The yardstick is the same
lookups by one bare `check_many` over the ten zones. Two in a hundred addresses are listed.

    python benchmarks/bench_monitor.py [--addresses 256] [--lists 10] [--delay 20] [--runs 5]
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from common import RUNS, median, spread, table, verdict

from dnsbl import Resolver
from dnsbl.config.file import Config, parse
from dnsbl.monitor.rounds import Rounds
from dnsbl.monitor.setup import set_up
from dnsbl.monitor.state import State

ROUND_S = 2.0
DAILY_LIMIT = 100_000
SHARE = 0.1
DAY_S = 86_400

SERVER = """
import sys
from dnsbl.testing import DnsblServer, delay
zones, delay_s = sys.argv[2:], float(sys.argv[1])
with DnsblServer(zones) as server:
    for zone in zones:
        for number in range(0, 256, 50):
            server.zone(zone).list(f"198.51.100.{number}", txt="seen sending spam")
    server.fault(delay(delay_s))
    print(server.nameserver, flush=True)
    for _ in sys.stdin:
        print(server.count(), flush=True)
        server.clear()
"""


class Lists:
    """The nameserver, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.nameserver = self._line()

    def count(self) -> int:
        """Queries since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextlib.contextmanager
def lists(zones: list[str], delay_s: float) -> Iterator[Lists]:
    command = [sys.executable, "-c", SERVER, f"{delay_s}", *zones]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Lists(process)
        assert process.stdin is not None
        process.stdin.close()


def configured(nameserver: str, zones: list[str], watch: list[str]) -> Config:
    tables = "".join(f'[[zone]]\nname = "{zone}"\ndaily_limit = {DAILY_LIMIT}\n' for zone in zones)
    return parse(
        f'[resolver]\nnameservers = ["{nameserver}"]\n{tables}[monitor]\nshare = {SHARE}\nwatch = {watch}\n'
    )


def one_round(config: Config) -> tuple[float, int, dict[str, int]]:
    """A first round, in a state of its own: seconds, entries without an answer, queries counted by list."""
    setup, now = set_up(config), time.time()
    with tempfile.TemporaryDirectory() as folder, State(Path(folder) / "m.db") as state:
        rounds = Rounds(
            state, setup.settings, setup.zones, setup.nameservers, setup.open_resolver, clock=lambda: now
        )
        began_s = time.perf_counter()
        done = rounds.run()
        return time.perf_counter() - began_s, done.asked - done.answered, state.spent(int(now // DAY_S))


def bare(config: Config, watch: list[str]) -> float:
    with Resolver(config=config) as resolver:
        began_s = time.perf_counter()
        for _ in resolver.check_many(watch):
            pass
        return time.perf_counter() - began_s


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--addresses", type=int, default=256)
    options.add_argument("--lists", type=int, default=10)
    options.add_argument("--delay", type=float, default=20.0, help="milliseconds")
    options.add_argument("--runs", type=int, default=RUNS)
    given = options.parse_args()
    first = int(ip_address("198.51.100.0"))
    watch = [str(ip_address(first + number)) for number in range(given.addresses)]
    zones = [f"list{number}.example" for number in range(given.lists)]
    rounds_s, bare_s, most, unknown, sent = [], [], 0, 0, 0
    with lists(zones, given.delay / 1000) as server:
        config = configured(server.nameserver, zones, watch)
        for _ in range(given.runs):
            server.count()
            took_s, without, spent = one_round(config)
            sent = server.count()
            rounds_s.append(took_s)
            most, unknown = max(most, *spent.values()), unknown + without
            assert sum(spent.values()) == sent, "what is counted is what was sent"
            bare_s.append(bare(config, watch))
    title = f"{given.addresses} addresses by {given.lists} lists at {given.delay:g} ms, {given.runs} runs"
    rows = [
        ["a round of the monitor", spread(rounds_s, ".3f")],
        ["check_many alone", spread(bare_s, ".3f")],
    ]
    table([title, "seconds"], rows)
    print(f"queries of the last round: {sent:,}; without an answer, over all runs: {unknown:,}")
    verdict("seconds a round", median(rounds_s), ROUND_S, at_least=False)
    allowed = int(DAILY_LIMIT * SHARE)
    verdict("queries of a list in a round, of those it may have a day", most, allowed, at_least=False)


if __name__ == "__main__":
    main()
