"""A real `dnsbl policyd` as a process of its own, and a client that speaks to it as Postfix does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from support.servers import terminated

from dnsbl.testing import DnsblServer

START_S = 15.0
STOP_S = 10.0
ROOT = Path(__file__).parents[2]


class Policyd:
    """`dnsbl policyd` with a configuration text; ended with the block, by SIGKILL if need be.

    address: where it listens, as it says itself: a port of 127.0.0.1 that the system chose, or what
    `listen` says. log_path: where its configuration has the log go, if not to stderr.
    """

    def __init__(
        self,
        config: str = "",
        *arguments: str,
        listen: Sequence[str] = ("127.0.0.1:0",),
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        command: Sequence[str] = (),
        log_path: Path | None = None,
    ) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="dnsbl-policyd-")
        self.path = Path(self._directory.name)
        self.log_path = log_path or self.path / "log"
        self.config = self.path / "dnsbl.toml"
        self.config.write_text(config)
        listening = [argument for address in listen for argument in ("--listen", address)]
        self._command = [
            *(command or [sys.executable, "-m", "dnsbl", "policyd"]),
            *listening, "--config", str(self.config), *arguments,
        ]  # fmt: skip
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        self._pass_fds = pass_fds
        self.process: subprocess.Popen[bytes] | None = None

    def listen(self, *addresses: str) -> None:
        """At its next start, there too."""
        for address in addresses:
            self._command += ["--listen", address]

    def start(self) -> Self:
        with (self.path / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                pass_fds=self._pass_fds,
            )
        self.wait_for_log("listening on ", after=self.log().count("listening on "))
        return self

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    @property
    def address(self) -> str:
        return self.log().rpartition("listening on ")[2].split()[0].rstrip('"}')

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def log(self) -> str:
        return self.log_path.read_text() if self.log_path.exists() else ""

    def wait_for_log(self, text: str, after: int = 0) -> str:
        """The log, once `text` is in it more than `after` times."""
        end = time.monotonic() + START_S
        while True:
            log = self.log()
            if log.count(text) > after:
                return log
            ended = self.process is not None and self.process.poll() is not None
            assert not ended, f"ended with {self.process.returncode if self.process else 0}:\n{log}"
            assert time.monotonic() < end, f"{text!r} is not in the log:\n{log}"
            time.sleep(0.01)

    def wait_for(self, is_so: Callable[[], bool], for_s: float = 60.0) -> None:
        """Until something is so, which may take some looks at files."""
        end = time.monotonic() + for_s
        while not is_so():
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self.process
        process, self.process = self.process, None
        return terminated(process, STOP_S)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()
        self.process = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *failure: object) -> None:
        try:
            if self.process is not None:
                self.stop()
        finally:
            self._directory.cleanup()


REJECT = "REJECT 192.0.2.99 is listed by bl.example: spam source https://bl.example/"


def start_lists() -> DnsblServer:
    """A server whose zone bl.example lists 192.0.2.99 and 2001:db8::99. To be used as a context."""
    server = DnsblServer()
    for address in ("192.0.2.99", "2001:db8::99"):
        server.zone("bl.example").list(address, txt="spam source https://bl.example/")
    return server


def config(lists: DnsblServer, policy: str = "", zones: tuple[str, ...] = ("bl.example",)) -> str:
    tables = "\n".join(f'[[zone]]\nname = "{zone}"' for zone in zones)
    return (
        f'[resolver]\nnameservers = ["{lists.nameserver}"]\ndeadline_s = 2.0\n{tables}\n[policy]\n{policy}\n'
    )


def run(*arguments: str, stdin: bytes = b"", timeout_s: float = 30) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "dnsbl", "policyd", *arguments],
        input=stdin,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=timeout_s,
        check=False,
    )


def request(client: str = "192.0.2.99", **attributes: str) -> bytes:
    """A request's bytes, as Postfix sends one at RCPT."""
    values = {
        "request": "smtpd_access_policy",
        "protocol_state": "RCPT",
        "client_address": client,
        "server_port": "25",
    } | attributes
    return (
        "".join(f"{name}={value}\n" for name, value in values.items()).encode("utf-8", "surrogateescape")
        + b"\n"
    )


class Client:
    """One connection to a policy daemon."""

    def __init__(self, address: int | str) -> None:
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(10)
            self.sock.connect(address)
        else:
            self.sock = socket.create_connection(("127.0.0.1", address), timeout=10)
        self._buffer = b""

    def ask(self, client: str = "192.0.2.99", **attributes: str) -> str:
        """Send one request; give the action."""
        self.send(request(client, **attributes))
        return self.reply()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(self) -> str:
        """The next reply's action; raises EOFError where the connection has been closed."""
        while b"\n\n" not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(self._buffer)
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n\n")
        assert line.startswith(b"action=")
        assert b"\n" not in line
        return line.removeprefix(b"action=").decode("ascii")

    def is_closed(self) -> bool:
        """Wait until the server has closed the connection, without another reply."""
        try:
            return self.sock.recv(1) == b"" and self._buffer == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()
