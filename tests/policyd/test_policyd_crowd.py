"""`dnsbl policyd` in a crowd: too few descriptors, clients that flood and leave, and metrics nobody reads."""

from __future__ import annotations

import resource
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from support.policydaemon import REJECT, Client, Policyd, config, request, start_lists
from support.servers import report_missing

from dnsbl.policyd.addresses import parse_tcp
from dnsbl.policyd.metrics import HTTP_THREADS, Collector, MetricsServer
from dnsbl.policyd.stats import Stats
from dnsbl.testing import DnsblServer


@pytest.fixture(scope="module")
def lists() -> Iterator[DnsblServer]:
    with start_lists() as server:
        yield server


def no_zones() -> dict[str, Any]:
    """`Resolver.stats` of a resolver that has asked nothing."""
    return {"zones": {}, "cache": {"currsize": 0, "maxsize": 1, "hits": 0, "misses": 0}}


def clients(daemon: Policyd, count: int, stack: ExitStack) -> list[Client]:
    return [stack.enter_context(Client(daemon.port)) for _ in range(count)]


def test_few_descriptors_limit_the_connections_and_not_the_lookups(lists: DnsblServer) -> None:
    command = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", sys.executable, "-m", "dnsbl", "policyd"]
    with Policyd(config(lists), command=command) as daemon, ExitStack() as stack:
        assert "at most 32 connections are taken" in daemon.log()
        crowd = clients(daemon, 100, stack)
        for number, client in enumerate(crowd[:32]):
            assert client.ask("192.0.2.99", instance=str(number)) == REJECT
        assert all(client.is_closed() for client in crowd[32:])
        assert daemon.log().count("\n") < 60
        assert "asyncio" not in daemon.log()


def test_without_descriptors_it_tells_once_a_second_and_recovers(lists: DnsblServer) -> None:
    """It told 1,000 times in the first second, and 10,000 times in the tenth."""
    if not hasattr(resource, "prlimit") or not Path("/proc/self/fd").is_dir():
        report_missing("prlimit")
    with Policyd(config(lists)) as daemon, ExitStack() as stack:
        (first,) = clients(daemon, 1, stack)
        assert first.ask() == REJECT
        before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        used = max(int(path.name) for path in Path(f"/proc/{daemon.pid}/fd").iterdir()) + 1
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (used, before[1]))
        crowd = clients(daemon, 20, stack)
        daemon.wait_for_log("out of system resource", after=1)
        assert first.ask() == REJECT
        assert daemon.log().count("out of system resource") <= 5
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
        assert [client.ask() for client in crowd] == [REJECT] * 20


def test_who_floods_and_leaves_costs_no_line_for_each_request(lists: DnsblServer) -> None:
    with Policyd(config(lists)) as daemon:
        for _ in range(5):
            with Client(daemon.port) as flood, Client(daemon.port) as other:
                flood.sock.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                )  # reset at close
                flood.send(request() * 200)
                flood.reply()
                flood.close()
                assert other.ask() == REJECT
        assert "asyncio" not in daemon.log()


def test_who_asks_much_at_once_lets_others_have_their_turn(lists: DnsblServer) -> None:
    with Policyd(config(lists)) as daemon, ExitStack() as stack:
        greedy = clients(daemon, 40, stack)
        (other,) = clients(daemon, 1, stack)
        assert other.ask() == REJECT
        for client in greedy:
            client.send(request() * 200)
        started = time.monotonic()
        assert other.ask() == REJECT
        waited_s = time.monotonic() - started
        assert [client.reply() for client in greedy for _ in range(200)] == [REJECT] * 8_000
        assert waited_s < (time.monotonic() - started) / 8


# Metrics


@pytest.fixture
def metrics() -> Iterator[MetricsServer]:
    server = MetricsServer(parse_tcp("127.0.0.1:0"), Collector(Stats(), no_zones))
    yield server
    started = time.monotonic()
    server.close()
    assert time.monotonic() - started < 2


def get(server: MetricsServer) -> str:
    with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def test_clients_of_the_metrics_that_are_silent_take_few_threads(
    metrics: MetricsServer, capfd: pytest.CaptureFixture[str]
) -> None:
    threads = threading.active_count()
    with ExitStack() as stack:
        for _ in range(50):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", metrics.address.port), 30))
            silent.sendall(b"GET /met")
        with suppress(ConnectionError):
            assert silent.recv(1) == b""  # the last has come to its turn
        assert threading.active_count() <= threads + HTTP_THREADS
        started = time.monotonic()
        while True:
            try:
                assert "dnsbl_policy_failures_total 0.0" in get(metrics)
                break
            except OSError:
                assert time.monotonic() - started < 10
                time.sleep(0.1)
    assert capfd.readouterr() == ("", "")


def test_metrics_end_while_a_client_is_silent(metrics: MetricsServer) -> None:
    with socket.create_connection(("127.0.0.1", metrics.address.port), 5) as silent:
        silent.sendall(b"GET")
        assert "dnsbl_policy" in get(metrics)  # and so the silent one was taken before
        metrics.close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", metrics.address.port), 5)


def test_metrics_over_ipv6() -> None:
    server = MetricsServer(parse_tcp("[::1]:0"), Collector(Stats(), no_zones))
    try:
        assert "dnsbl_policy_connections 0.0" in get(server)
    finally:
        server.close()
