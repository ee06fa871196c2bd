"""The policy daemon under ten times a busy server's rate: 10,000 requests a second on 500 connections.

    python tests/load/flood.py [SECONDS] [RATE] [CONNECTIONS]

Nothing may be lost, each reply must be that of its own request, in order; connections above the limit must be
refused, not left waiting. Prints the rate that came about, which is this machine's: its clients share it.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from support.policydaemon import Policyd  # noqa: E402
from support.policytraffic import REQUEST, Account, Traffic  # noqa: E402

from dnsbl.testing import DnsblServer  # noqa: E402

CONFIG = """
[resolver]
nameservers = ["{nameserver}"]
[[zone]]
name = "bl.example"
[policy]
max_connections = {connections}
[[policy.rule]]
zones = ["bl.example"]
action = "REJECT {{client}} is listed"
"""
PIPELINED = 200


def listed(client: str) -> bool:
    return int(client.rpartition(".")[2]) % 2 == 0


def judge(client: str, action: str, asked_s: float) -> str:
    want = f"REJECT {client} is listed" if listed(client) else "DUNNO"
    return "" if action == want else f"instead of {want}"


def clients(first: int) -> Iterator[str]:
    """All of 192.0.2.0/24, from one on, for ever: cached after the first round."""
    return (f"192.0.2.{number % 256}" for number in itertools.count(first))


def take_part(port: int, connections: int, rate: float, seconds: float, first: int, out: object) -> None:
    account = Account()
    traffic = Traffic(port, clients(first), judge, account)
    asyncio.run(traffic.run(connections, rate, time.monotonic() + seconds))
    out.put(account)  # type: ignore[attr-defined]


def many(port: int, connections: int, rate: float, seconds: float, processes: int = 2) -> Account:
    """The traffic of several processes, as one account."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    parts = [
        context.Process(
            target=take_part, args=(port, connections // processes, rate / processes, seconds, 37 * part, out)
        )
        for part in range(processes)
    ]
    for part in parts:
        part.start()
    total = Account()
    for _ in parts:
        account = out.get(timeout=seconds + 120)
        total.asked += account.asked
        total.answered += account.answered
        total.lost += account.lost
        total.wrong += account.wrong
        total.latencies_s += account.latencies_s
    for part in parts:
        part.join()
    return total


def in_order(port: int) -> list[str]:
    """So many requests written at once on one connection: their replies, in the order they were asked."""
    asked = [f"192.0.2.{number}" for number in range(PIPELINED)]
    data = "".join(REQUEST.format(client=client, instance=f"p{n}") for n, client in enumerate(asked)).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock, sock.makefile("rb") as replies:
        sock.sendall(data)
        found = [(replies.readline(), replies.readline())[0].decode() for _ in asked]
    said = [
        judge(client, reply.removeprefix("action=").strip(), 0.0)
        for client, reply in zip(asked, found, strict=True)
    ]
    return [wrong for wrong in said if wrong]


def refused(port: int, limit: int, more: int = 20) -> int:
    """With `limit` connections open, how many of some more are closed at once instead of left waiting."""
    closed = 0
    with ExitStack() as stack:
        for _ in range(limit):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            sock.sendall(REQUEST.format(client="192.0.2.1", instance="r").encode())
            assert sock.recv(100).startswith(b"action=")
        for _ in range(more):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            try:
                closed += sock.recv(100) == b""
            except ConnectionError:
                closed += 1
    return closed


def load(seconds: float, rate: float, connections: int) -> tuple[str, list[str]]:
    """What was seen, and what was wrong."""
    with DnsblServer(zones=["bl.example"]) as server:
        for number in range(0, 256, 2):
            server.zone("bl.example").list(f"192.0.2.{number}", ttl=3600)
        with Policyd(CONFIG.format(nameserver=server.nameserver, connections=connections)) as daemon:
            wrong = [f"out of order: {each}" for each in in_order(daemon.port)]
            began = time.monotonic()
            account = many(daemon.port, connections, rate, seconds)
            took_s = min(seconds, time.monotonic() - began)
            closed = refused(daemon.port, connections)
            log = daemon.log()
    wrong += account.wrong
    if closed != 20:
        wrong.append(f"{closed} of 20 connections beyond the limit were refused")
    if "connections" not in log:
        wrong.append("the log does not name the refusals")
    report = (
        f"{account.answered / took_s:,.0f} requests/s on {connections} connections ({rate:,.0f} wanted), "
        f"{account.asked:,} asked, {account.answered:,} answered, {account.lost} lost\n"
        f"latency: {account.percentiles()}\n"
        f"{PIPELINED} written at once: in order; beyond {connections} connections: {closed} of 20 refused"
    )
    return report, wrong


def main() -> None:
    given = [float(text) for text in sys.argv[1:]]
    seconds, rate, connections = [*given, *(30.0, 10_000.0, 500.0)[len(given) :]]
    report, wrong = load(seconds, rate, int(connections))
    print(report)
    for each in wrong[:20]:
        print("WRONG:", each)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
