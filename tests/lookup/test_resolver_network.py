"""Beyond loopback, in a network namespace of its own: no network at all, and the source ports of queries."""

from __future__ import annotations

import os
import subprocess

import pytest
from support.lookups import run_python
from support.servers import find_program, report_missing

ALONE = ("unshare", *(() if os.geteuid() == 0 else ("--map-root-user",)), "--net")
"""A network of its own, with nothing in it but a loopback interface that is down."""


@pytest.fixture
def alone() -> tuple[str, ...]:
    for program, package in (("unshare", "util-linux"), ("ip", "iproute2")):
        if find_program(program) is None:
            report_missing(package)
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        report_missing("leave to make a network namespace")
    return ALONE


def test_an_unreachable_network_is_a_timeout_without_spinning(alone: tuple[str, ...]) -> None:
    out = run_python(
        """
import time
from dnsbl import Resolver
servers = ["192.0.2.53", "[2001:db8::53]:53", "127.0.0.1:5353"]
for nameservers in (servers[:1], servers[1:2], servers):
    with Resolver(["a.example", "b.example"], nameservers, deadline_s=0.3) as resolver:
        resolver.check("192.0.2.1", deadline_s=0.01)  # the engine starts
        busy_s = time.process_time()
        verdict = resolver.check("192.0.2.2")
        print(*(answer.outcome.value for answer in verdict.answers), verdict.listed, verdict.complete)
        assert 0.29 < verdict.elapsed_s < 0.5, verdict.elapsed_s
        assert time.process_time() - busy_s < 0.1
        assert resolver.stats()["zones"]["a.example"]["breaker"]["failures"] == 0
""",
        before=alone,
    )
    assert out.splitlines() == ["timeout timeout False False"] * 3


def test_source_ports_change_towards_a_nameserver_beyond_loopback(alone: tuple[str, ...]) -> None:
    """RFC 5452 section 9.2; towards loopback, where nobody can send a forged answer, every 500 queries only."""
    out = run_python(
        """
import socket, subprocess, threading
from dnsbl import Resolver
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["ip", "address", "add", "192.0.2.53/32", "dev", "lo"], check=True)

def serve(sock, ports):
    while True:
        wire, client = sock.recvfrom(512)
        ports.add(client[1])
        end = wire.index(0, 12) + 5
        sock.sendto(wire[:2] + bytes([0x84, 3, 0, 1, 0, 0, 0, 0, 0, 0]) + wire[12:end], client)

for host in ("192.0.2.53", "127.0.0.1"):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    ports = set()
    threading.Thread(target=serve, args=(sock, ports), daemon=True).start()
    with Resolver(["bl.example"], [f"{host}:{sock.getsockname()[1]}"], deadline_s=5) as resolver:
        for number in range(1200):
            assert resolver.check(f"198.51.{number // 250}.{number % 250}").complete
    print(len(ports))
""",
        before=alone,
    )
    remote, loopback = map(int, out.split())
    assert remote >= 4
    assert loopback <= 3, "500 queries a socket, so that their answers fit its buffer"
