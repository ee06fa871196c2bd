"""Real servers on loopback for tests: rbldnsd and unbound as context managers, and `needs` for their absence.

    with Rbldnsd({"bl.example": {"ip4set": ":2:listed\n192.0.2.99"}}) as rbldnsd:
        with Unbound({"bl.example": rbldnsd.nameserver}) as unbound:
            ...

Each runs in the foreground with a configuration and a directory of its own, so that a service the packages
have set up is neither read nor disturbed. Each is waited for, and ended with its whole process group.
Postfix is in `mailserver.py`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query
import pytest

START_S = 60.0
STOP_S = 5.0
POLL_S = 0.01
# Outside the ranges systems give to clients, so that no client's socket sits on the port of a server that
# was stopped and starts again; apart from the range of `dnsbl.testing`.
PORTS = range(10_000, 20_000)
START_TRIES = 10

NOT_RUN = "not run, missing: "
PACKAGES = {
    "master": "postfix",
    "dig": "bind9-dnsutils",
    "fail2ban-regex": "fail2ban",
    "nginx": "nginx-light",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
}
"""Debian's package of a program, where it is not called the same."""


def needs(*programs: str) -> None:
    """Leave the test out, to be named in the summary, if a program is missing; fail it with CI=true."""
    missing = sorted({PACKAGES.get(name, name) for name in programs if not find_program(name)})
    if missing:
        report_missing(", ".join(missing))


def report_missing(what: str) -> None:
    """End the test as one that could not run for want of `what`."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}: missing, and with CI=true every test has to run", pytrace=False)
    pytest.skip(NOT_RUN + what)


def find_program(name: str) -> str | None:
    """The path of a program; the directories of system programs are searched for any user."""
    places = [os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", "/usr/lib/postfix/sbin"]
    return shutil.which(name, path=os.pathsep.join(places))


def terminated(process: subprocess.Popen[bytes], within_s: float) -> int:
    """SIGTERM; gives the exit code, and leaves no process behind if it does not heed it."""
    process.terminate()
    try:
        return process.wait(within_s)
    finally:
        process.kill()
        process.wait()


class ServerError(RuntimeError):
    """A server that did not start; the message holds what it wrote."""


class Server(ABC):
    """A program that listens on 127.0.0.1:`port`, the same port over `stop()` and `start()`."""

    program: str

    def __init__(self) -> None:
        needs(self.program)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = Path(tempfile.mkdtemp(prefix=f"dnsbl-{self.program}-"))
        self.directory.chmod(0o755)  # the server may run as another user

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Write the configuration for `port` and give the arguments after the program."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server answers now; takes well under a second."""

    def output(self) -> str:
        """What the server wrote to its standard output and error so far."""
        path = self.directory / "output"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start and wait until it answers. Raises ServerError if it does not within 15 s."""
        assert self._process is None, "runs already"
        if self.port:
            self._try_start(self.port)
            return
        for tries_left in reversed(range(START_TRIES)):
            # Between the look for a free port and the start another program may take it: then try another.
            port = free_port()
            try:
                self._try_start(port)
            except ServerError:
                if not tries_left or is_free(port):
                    raise
            else:
                self.port = port
                return

    def _try_start(self, port: int) -> None:
        before, self.port = self.port, port
        program = find_program(self.program)
        assert program
        with (self.directory / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [program, *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self._end()
            self.port = before
            raise

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        end_s = time.monotonic() + START_S
        while time.monotonic() < end_s:
            if process.poll() is not None:
                raise ServerError(f"{self.program} ended with {process.returncode}: {self.output()}")
            if self._answers():
                return
            time.sleep(POLL_S)
        raise ServerError(f"{self.program} does not answer after {START_S:g} s: {self.output()}")

    def stop(self) -> None:
        """End the server and what it started; does nothing if it does not run."""
        if self._process:
            self._end()
            self._wait_until_port_is_free()

    def _end(self) -> None:
        process, self._process = self._process, None
        assert process
        signal_group(process.pid, signal.SIGTERM)
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        finally:
            signal_group(process.pid, signal.SIGKILL)
            process.wait(STOP_S)

    def _wait_until_port_is_free(self) -> None:
        """The group's processes may hold the sockets a moment longer than its leader."""
        end_s = time.monotonic() + STOP_S
        while not is_free(self.port) and time.monotonic() < end_s:
            time.sleep(POLL_S)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)


class NameServer(Server):
    """A server that answers DNS; `nameserver` is where, as `127.0.0.1:PORT`."""

    @property
    def nameserver(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        query = dns.message.make_query("ready.invalid", "A")
        try:
            dns.query.udp(query, "127.0.0.1", port=self.port, timeout=0.2)
        except (OSError, dns.exception.DNSException):
            return False
        return True


class Rbldnsd(NameServer):
    """rbldnsd with these zones, over UDP (it knows no TCP).

    zones: name -> data set type (ip4set, ip6trie, dnset, combined, ...) -> the text of its file. A text
    without a $SOA line gets one whose TTL and minimum are 300 s, and so are the TTLs of its records.
    """

    program = "rbldnsd"

    def __init__(self, zones: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__()
        self._data_sets = []
        for number, (zone, data_sets) in enumerate(zones.items()):
            for kind, text in data_sets.items():
                name = f"{number}.{kind}"
                (self.directory / name).write_text(text if "$SOA" in text else f"{RBLDNSD_HEAD}{text}\n")
                self._data_sets.append(f"{zone}:{kind}:{name}")

    def _command(self) -> Sequence[str]:
        # As root it becomes the user rbldns by itself; -c 0: files are read once.
        return "-n", "-c", "0", "-t", "300", "-b", f"127.0.0.1/{self.port}", *self._data_sets


RBLDNSD_HEAD = "$SOA 300 ns.example hostmaster.example 0 1h 1h 1w 300\n"


class Unbound(NameServer):
    """unbound, caching, with a stub zone per list and nothing else: it asks no server beyond loopback.

    zones: name -> the nameserver that has it, `127.0.0.1:PORT`. extra: more lines for the `server:` clause.
    """

    program = "unbound"

    def __init__(self, zones: Mapping[str, str], extra: str = "") -> None:
        super().__init__()
        self._zones, self._extra = dict(zones), extra

    def _command(self) -> Sequence[str]:
        lines = [*UNBOUND_SERVER, f"interface: 127.0.0.1@{self.port}", f'directory: "{self.directory}"']
        # The built-in local zones (test., invalid., ...) would answer for a list below them.
        lines += [f'local-zone: "{zone}" transparent' for zone in self._zones]
        lines += self._extra.splitlines()
        for zone, nameserver in self._zones.items():
            address = nameserver.replace(":", "@")
            lines += ["stub-zone:", f'name: "{zone}"', f"stub-addr: {address}"]
        lines += ["remote-control:", "control-enable: no"]
        path = self.directory / "unbound.conf"
        path.write_text("\n".join(lines) + "\n")
        return "-d", "-p", "-c", str(path)


UNBOUND_SERVER = (
    "server:",
    'username: ""',
    'chroot: ""',
    'pidfile: ""',
    "use-syslog: no",
    "do-daemonize: no",
    "num-threads: 1",
    "do-ip6: no",
    "do-not-query-localhost: no",
    "access-control: 127.0.0.0/8 allow",
    'module-config: "iterator"',  # without "validator": no DNSSEC
    'local-zone: "." refuse',  # every name outside the stub zones
)


def free_port() -> int:
    """A port that was free a moment ago for UDP and TCP, on 127.0.0.1 and, where there is one, on ::1."""
    for port in random.sample(PORTS, 100):
        if is_free(port):
            return port
    raise ServerError(f"no free port between {PORTS[0]} and {PORTS[-1]}")


def is_free(port: int) -> bool:
    """Whether no socket holds the port now; TCP connections that have ended do not count."""
    try:
        for family, host in LOOPBACKS:
            with socket.socket(family, socket.SOCK_DGRAM) as udp, socket.socket(family) as tcp:
                udp.bind((host, port))
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind((host, port))
    except OSError:
        return False
    return True


def _has_ip6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


HAS_IP6 = _has_ip6()
LOOPBACKS = [(socket.AF_INET, "127.0.0.1")] + [(socket.AF_INET6, "::1")] * HAS_IP6


def signal_group(pid: int, number: int) -> None:
    """Send a signal to the process group a server leads; nothing if the group is gone."""
    with suppress(ProcessLookupError):
        os.killpg(pid, number)
