"""A real `dnsbl serve` as a process of its own, and HTTP to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import urllib3
from support.servers import terminated

from dnsbl.testing import DnsblServer

START_S = 30.0
STOP_S = 15.0
ROOT = Path(__file__).parents[2]
ZONES = ("bl.example", "bl2.example", "clean.example")


def config(lists: DnsblServer, serve: str = "", zones: tuple[str, ...] = ZONES, more: str = "") -> str:
    """A configuration that asks zones of a loopback server. serve, more: lines of [serve], and tables."""
    tables = "\n".join(f'[[zone]]\nname = "{zone}"' for zone in zones)
    resolver = f'[resolver]\nnameservers = ["{lists.nameserver}"]\ndeadline_s = 5.0'
    return f"{resolver}\n{tables}\n[serve]\n{serve}\n{more}\n"


class Serve:
    """`dnsbl serve` with a configuration text, on a port of 127.0.0.1 that the system chose."""

    def __init__(self, text: str, *arguments: str, listen: str = "127.0.0.1:0") -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="dnsbl-serve-")
        self.path = Path(self._directory.name)
        (self.path / "dnsbl.toml").write_text(text)
        self._command = [
            sys.executable, "-m", "dnsbl", "serve", "--listen", listen,
            "--config", str(self.path / "dnsbl.toml"), *arguments,
        ]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None
        self.http = urllib3.PoolManager(retries=False, timeout=30.0)

    def log(self) -> str:
        return (self.path / "log").read_text()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return self.log().rpartition("listening on ")[2].split()[0].rstrip("/")

    def get(self, path: str, method: str = "GET", **more: Any) -> urllib3.BaseHTTPResponse:
        return self.http.request(method, self.url + path, redirect=False, **more)

    def json(self, path: str, **more: Any) -> Any:
        reply = self.get(path, **more)
        assert reply.status == 200, reply.data
        return json.loads(reply.data)

    def __enter__(self) -> Self:
        with (self.path / "log").open("wb") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        end = time.monotonic() + START_S
        while "listening on " not in (said := self.log()) or not said.endswith("\n"):
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise AssertionError(f"did not start:\n{said}")
            time.sleep(0.02)
        return self

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self.process
        process, self.process = self.process, None
        return terminated(process, STOP_S)

    def __exit__(self, *failure: object) -> None:
        try:
            self.http.clear()
            if self.process is not None:
                self.stop()
        finally:
            self._directory.cleanup()
