"""What asking six lists costs a real Postfix: with postscreen and its dnsblog, and with `dnsbl policyd` instead.

Connections a second and CPU a connection, of all of Postfix's processes and of the daemon, rbldnsd's not among
them. Each connection comes from an address of its own (told by the PROXY protocol), is listed nowhere, names one
recipient and quits. postscreen lets nobody through before its shortest greeting wait, 1 s, so its connections a
second are those of as many clients at once; its CPU is the figure to compare. Needs root, and port 53 of 127.0.0.9
(dnsblog asks the nameservers of resolv.conf, on port 53 only).
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from bench_policyd import TICK_S, policyd
from common import (
    PORT_53,
    ZONES,
    free_port,
    may_use_port_53,
    median,
    need,
    note,
    rbldnsd,
    spread,
    table,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.mailserver import Postfix

CONNECTIONS = 150
AT_ONCE = 50
REPLY_S = 30.0
ROUNDS = 3

MAIN_CF = f"""\
with_policy = reject_unauth_destination, check_policy_service inet:127.0.0.1:POLICYD
postscreen_dnsbl_sites = {", ".join(ZONES)}
postscreen_dnsbl_action = enforce
postscreen_greet_action = ignore
postscreen_greet_wait = 1s
postscreen_access_list =
default_process_limit = 400
"""
MASTER_CF = """\
127.0.0.1:PLAIN inet n - n - - smtpd
    -o smtpd_upstream_proxy_protocol=haproxy
127.0.0.1:WITH_POLICYD inet n - n - - smtpd
    -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_recipient_restrictions=$with_policy
127.0.0.1:POSTSCREEN inet n - n - 1 postscreen
    -o postscreen_upstream_proxy_protocol=haproxy
smtpd      pass        -  -  n  -    -  smtpd
dnsblog    unix        -  -  y  -    0  dnsblog
tlsproxy   unix        -  -  n  -    0  tlsproxy
"""
NAMES = {
    "PLAIN": "smtpd alone",
    "POSTSCREEN": "postscreen with dnsblog",
    "WITH_POLICYD": "smtpd with dnsbl policyd",
}


def cpu_s(pid: int) -> float:
    """What a process, its children and those it has waited for have used."""
    total = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if pid in (int(path.parent.name), int(fields[1])):
            total += sum(map(int, fields[11:15])) * TICK_S
    return total


async def session(port: int, client: str) -> None:
    """One client: it names a recipient, which must be accepted, and quits."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"PROXY TCP4 {client} 127.0.0.1 40000 25\r\n".encode())
    commands = ("", "EHLO mail.example.org", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.com>", "QUIT")
    for command in commands:
        if command:
            writer.write(command.encode() + b"\r\n")
        async with asyncio.timeout(REPLY_S):
            while (line := await reader.readline())[3:4] == b"-":
                pass
        if not line.startswith(b"2"):
            sys.exit(f"port {port}: {command or 'connected'}: {line!r}")
    writer.close()


async def sessions(port: int, clients: Iterator[str]) -> float:
    """Connections a second."""
    left = iter(range(CONNECTIONS))

    async def one_after_the_other() -> None:
        for _ in left:
            await session(port, next(clients))

    started = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    return CONNECTIONS / (time.perf_counter() - started)


def measure(postfix: Postfix, ports: dict[str, int], daemon: int) -> dict[str, list[tuple[float, float]]]:
    """Of each way, connections a second and microseconds of CPU a connection, by turns."""
    assert postfix._process is not None
    master, clients = postfix._process.pid, (f"11.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in count())
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}
    for run in range(ROUNDS + 1):
        for name in NAMES:
            before = cpu_s(master) + cpu_s(daemon)
            speed = asyncio.run(sessions(ports[name], clients))
            used = (cpu_s(master) + cpu_s(daemon) - before) / CONNECTIONS * 1e6
            if run:  # the first starts Postfix's processes
                found[name].append((speed, used))
    return found


def main() -> None:
    need("postconf", "postfix")
    if os.geteuid() != 0 or not may_use_port_53():
        note("not measured: only root can start Postfix, and dnsblog needs port 53 of 127.0.0.9")
        return
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dnsbl-bench-")))
        directory.chmod(0o755)
        stack.enter_context(rbldnsd(address=PORT_53, port=53))
        ours, daemon = stack.enter_context(policyd(directory, stack.enter_context(rbldnsd())))
        while len(set((ports := {name: free_port() for name in NAMES}).values())) < len(NAMES):
            pass  # one that is free again may be given twice
        master_cf = MASTER_CF
        for name in sorted(ports, key=len, reverse=True):
            master_cf = master_cf.replace(f"127.0.0.1:{name} ", f"127.0.0.1:{ports[name]} ")
        main_cf = MAIN_CF.replace("POLICYD", str(ours))
        postfix = Postfix(
            main_cf=main_cf, master_cf=master_cf, chroot=True, resolv_conf=f"nameserver {PORT_53}\n"
        )
        found = measure(stack.enter_context(postfix), ports, daemon)
    bare = median([used for _, used in found["PLAIN"]])
    rows = []
    for name, runs in found.items():
        speeds, used = ([each[at] for each in runs] for at in (0, 1))
        rows.append([NAMES[name], spread(speeds), spread(used), f"{median(used) - bare:,.0f}"])
    table([f"{AT_ONCE} clients at once", "connections/s", "us of CPU a connection", "more than alone"], rows)


if __name__ == "__main__":
    main()
