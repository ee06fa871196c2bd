"""The monitor killed by SIGKILL at any moment, again and again, while lists change and its state is read."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.monitoring import config_text

from dnsbl.monitor.state import Reader, State, StateError
from dnsbl.testing import DnsblServer

ROOT = Path(__file__).parents[2]
ADDRESSES = [f"198.51.100.{n}" for n in range(1, 21)]
KILLS = 9
LIMIT_S = 240.0

# Rounds without a pause: the clock goes on by an interval with each.
MONITOR = """
import sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from dnsbl.config.file import parse
from dnsbl.monitor.rounds import Rounds
from dnsbl.monitor.setup import set_up
from dnsbl.monitor.sinks import Delivery
from dnsbl.monitor.state import State
setup = set_up(parse(Path(sys.argv[1]).read_text()))
state = State(sys.argv[2])
now = state.meta().get("round_at", 1_800_000_000.0)
rounds = Rounds(state, setup.settings, setup.zones, setup.nameservers, setup.open_resolver,
                ["program"], lambda: now)
delivery = Delivery(state, setup.sinks, print)
while True:
    now += 14_400.0
    rounds.run()
    delivery.run(now)
"""


class Killed:
    """The monitor's process, started anew after each kill."""

    def __init__(self, folder: Path, server: DnsblServer) -> None:
        self.state, self._config, self.told = folder / "m.db", folder / "dnsbl.toml", folder / "told"
        tell = ["/bin/sh", "-c", f"cat >>{self.told}"]
        text = config_text(server, ["bl.example"], ADDRESSES, f"program = {json.dumps(tell)}")
        self._config.write_text(text)
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", MONITOR, str(self._config), str(self.state), str(ROOT)]
        self._process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})

    def kill(self) -> None:
        assert self._process.poll() is None, "it ended by itself"
        self._process.kill()
        self._process.wait()

    def rounds(self) -> float:
        try:
            with Reader(self.state) as state:
                return state.meta().get("round", 0.0)
        except StateError:
            return 0.0  # not there yet


def wait_for(monitor: Killed, rounds: float, end: float) -> None:
    while monitor.rounds() < rounds:
        assert time.monotonic() < end, f"no {rounds:g} rounds in {LIMIT_S:g} s"
        time.sleep(0.005)


@pytest.mark.timeout(LIMIT_S + 60)
def test_every_change_once_whatever_moment_it_is_killed_at(tmp_path: Path) -> None:
    chance, end = random.Random(9), time.monotonic() + LIMIT_S
    true: list[tuple[str, str]] = []
    with DnsblServer(["bl.example"]) as server:
        monitor = Killed(tmp_path, server)
        try:
            wait_for(monitor, 1, end)
            for number in range(KILLS):
                address = ADDRESSES[number % 5]
                is_listed = number % 10 < 5
                if is_listed:
                    server.zone("bl.example").list(address)
                else:
                    server.zone("bl.example").unlist(address)
                true.append((address, "listed" if is_listed else "delisted"))
                time.sleep(chance.random() * 0.08)  # any moment: of a round, of its writing, of its telling
                monitor.kill()
                monitor.start()
                wait_for(monitor, monitor.rounds() + 3, end)
        finally:
            monitor.kill()
    with State(monitor.state) as state:
        assert state._file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        changes = state.changes(most=1_000)[::-1]
        waiting = [body["id"] for _, _, _, body, _, _ in state.notices()]
    for address in ADDRESSES:
        found = [change.what for change in changes if change.subject == address]
        assert found == [what for subject, what in true if subject == address]
    told = [json.loads(line) for line in monitor.told.read_text().splitlines()]
    ids = [notice["id"] for notice in told]
    wanted = [f"{int(change.at)}-{change.id}" for change in changes]
    assert list(dict.fromkeys([*ids, *waiting])) == wanted, "each told, in order; again only under its id"
