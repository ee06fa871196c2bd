"""For tests of the monitor: its parts put together over a loopback server, with a clock that is set by hand."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from dnsbl.config.file import parse
from dnsbl.monitor.rounds import Rounds
from dnsbl.monitor.setup import set_up
from dnsbl.monitor.sinks import Delivery
from dnsbl.monitor.state import State
from dnsbl.testing import DnsblServer

START = 1_800_000_000.0
INTERVAL_S = 14_400.0


class Clock:
    """Wall clock, set by hand."""

    def __init__(self, at: float = START) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def config_text(server: DnsblServer, zones: Iterable[str], watch: Sequence[str], more: str = "") -> str:
    """A dnsbl.toml. A zone is its name, or the whole text of its table."""
    tables = "".join(f"[[zone]]\n{zone if '=' in zone else f'name = {zone!r}'}\n" for zone in zones)
    return (
        f'[resolver]\nnameservers = ["{server.nameserver}"]\n{tables}'
        f"[monitor]\ninterval_s = {INTERVAL_S}\nwatch = {json.dumps(list(watch))}\n{more}\n"
    )


class Monitor:
    """Rounds over a state file. told: what a real program got on its standard input, one JSON a line."""

    def __init__(
        self,
        folder: Path,
        server: DnsblServer,
        zones: Iterable[str],
        watch: Sequence[str],
        more: str = "",
        health_s: float = 5.0,
    ) -> None:
        self.clock = Clock()
        self.folder, self.path, self._told = folder, folder / "monitor.db", folder / "told"
        tell = [sys.executable, "-c", f"import sys; open({str(self._told)!r}, 'a').write(sys.stdin.read())"]
        text = config_text(server, zones, watch, f"program = {json.dumps(tell)}\n{more}")
        self.setup = set_up(parse(text, path=folder / "dnsbl.toml"))
        self.state = State(self.path)
        self.said: list[str] = []
        self.delivery = Delivery(self.state, self.setup.sinks, self.said.append)
        self.rounds = Rounds(
            self.state,
            self.setup.settings,
            self.setup.zones,
            self.setup.nameservers,
            self.setup.open_resolver,
            [sink.name for sink in self.setup.sinks],
            self.clock,
            health_s,
        )

    def run(self, rounds: int = 1) -> None:
        """So many rounds, each an interval after the one before, and what is to be told after each."""
        for _ in range(rounds):
            self.last = self.rounds.run()
            self.delivery.run(self.clock.at)
            self.clock.at += INTERVAL_S

    @property
    def told(self) -> list[dict[str, Any]]:
        text = self._told.read_text() if self._told.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def told_changes(self) -> list[dict[str, Any]]:
        """Every change told, those in summaries too."""
        return [change for notice in self.told for change in notice.get("changes", [notice])]

    def statuses(self, subject: str) -> dict[str, str]:
        """By zone."""
        return {entry.zone: entry.status for entry in self.state.entries(subject)}

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *failure: object) -> None:
        self.state.close()


class Got(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


@contextmanager
def http_server(*statuses: int) -> Iterator[tuple[str, list[Got]]]:
    """Answers with these statuses, the last again and again; its URL, and what it got."""
    got: list[Got] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            headers = {name.lower(): value for name, value in self.headers.items()}
            got.append(Got(self.path, headers, self.rfile.read(length)))
            self.send_response(statuses[min(len(got), len(statuses)) - 1])
            self.send_header("location", "http://127.0.0.1:9/")
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            """Not into the test's output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
