"""The policy daemon for long, under Postfix-like traffic, while a list and its nameservers fail and recover.

    python tests/load/soak.py [SECONDS]        600 as a rule

Known truth: the steady list lists addresses with an even last octet, the shaky one every third. No reply may say
otherwise; a client of the steady list may be let through only while a nameserver was down. Memory and descriptors
must stay flat, and replies within the deadline. Prints what was seen; the exit code is 1 if something was wrong.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from support.policydaemon import Policyd  # noqa: E402
from support.policytraffic import Account, Traffic  # noqa: E402

from dnsbl.testing import DnsblServer, Handler, Query, delay, garbage, rcode, silence  # noqa: E402
from dnsbl.testing.wire import build_reply, record  # noqa: E402

STEADY, SHAKY = "steady.example", "shaky.example"
DEADLINE_S = 2.0
GRACE_S = 6.0
"""After a nameserver came back, so long a client of the steady list may still be let through."""
RATE, CONNECTIONS = 300.0, 40
MOST_GROWTH_KIB = 16_384
CONFIG = """
[resolver]
nameservers = [{nameservers}]
deadline_s = {deadline_s}
cache_size = 4000
[[zone]]
name = "steady.example"
[[zone]]
name = "shaky.example"
[policy]
[[policy.rule]]
zones = ["steady.example"]
action = "REJECT steady has {{client}}"
[[policy.rule]]
zones = ["shaky.example"]
action = "REJECT shaky has {{client}}"
"""
FAULTS = {
    "silent": silence,
    "servfail": lambda: rcode("SERVFAIL"),
    "refused": lambda: rcode("REFUSED"),
    "slow": lambda: delay(1.0),
    "late": lambda: delay(4.0),
    "half": lambda: garbage("half"),
    "random": lambda: garbage("random"),
}


def lists(zone: str, client: str) -> bool:
    if client.startswith("127."):
        return client == "127.0.0.2"  # the entries of RFC 5782
    last = int(client.rpartition(".")[2])
    return last % 2 == 0 if zone == STEADY else last % 3 == 0


def truth(zone: str) -> Handler:
    def answer(query: Query, otherwise: object) -> bytes:
        labels = query.name.split(".")
        client = ".".join(reversed(labels[:4]))
        if len(labels) != 6 or not labels[0].isdigit() or not lists(zone, client):
            return build_reply(query, 3)
        records = (record(1, 30, b"\x7f\0\0\2"),) if query.type == "A" else ()
        return build_reply(query, 0, records)

    return answer


class Soak:
    def __init__(self, servers: list[DnsblServer], seconds: float, deadline_s: float) -> None:
        self.servers, self.chance, self.deadline_s = servers, random.Random(1), deadline_s
        self.end_s = time.monotonic() + seconds
        self.trouble_s = time.monotonic()  # until then a nameserver was down
        self.account = Account()
        self.did: Counter[str] = Counter()
        self.sizes: list[tuple[int, int]] = []

    def judge(self, client: str, action: str, asked_s: float) -> str:
        if action.startswith("REJECT steady"):
            return "" if lists(STEADY, client) and action.endswith(f" {client}") else "never listed"
        if action.startswith("REJECT shaky"):
            return "" if lists(SHAKY, client) and action.endswith(f" {client}") else "never listed"
        if action != "DUNNO":
            return "not an action of the rules"
        return "let through" if lists(STEADY, client) and asked_s > self.trouble_s + GRACE_S else ""

    def clients(self) -> Iterator[str]:
        while True:
            yield f"198.51.{self.chance.randrange(100)}.{self.chance.randrange(256)}"

    async def trouble(self, daemon: Policyd) -> None:
        """Every few seconds something else, one at a time."""
        while time.monotonic() < self.end_s:
            await asyncio.sleep(self.chance.uniform(0.5, 4))
            for server in self.servers:
                server.zone(SHAKY).heal()
                server.zone(SHAKY).fault(truth(SHAKY))
            match self.chance.randrange(8):
                case 0:
                    self.did["SIGHUP"] += 1
                    daemon.signal(signal.SIGHUP)
                case 1:
                    self.did["a nameserver gone"] += 1
                    await self._without(self.servers[:1])
                case 2:
                    self.did["all nameservers gone"] += 1
                    await self._without(self.servers)
                case _:
                    name = self.chance.choice(sorted(FAULTS))
                    self.did[f"shaky {name}"] += 1
                    for server in self.servers:
                        server.zone(SHAKY).fault(FAULTS[name]())

    async def _without(self, servers: list[DnsblServer]) -> None:
        self.trouble_s = float("inf")
        for server in servers:
            server.stop()
        await asyncio.sleep(self.chance.uniform(0.5, 5))
        for server in servers:
            server.start()
        self.trouble_s = time.monotonic()

    async def watch(self, pid: int) -> None:
        while time.monotonic() < self.end_s:
            status = Path(f"/proc/{pid}/status").read_text()
            resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
            self.sizes.append((resident, len(list(Path(f"/proc/{pid}/fd").iterdir()))))
            await asyncio.sleep(1)

    async def run(self, daemon: Policyd) -> None:
        traffic = Traffic(daemon.port, self.clients(), self.judge, self.account)
        await asyncio.gather(
            traffic.run(CONNECTIONS, RATE, self.end_s), self.trouble(daemon), self.watch(daemon.pid)
        )

    def faults(self) -> list[str]:
        """What was not as promised."""
        found = list(self.account.wrong)
        worst = max(self.account.latencies_s, default=0.0)
        if worst > self.deadline_s + 2.0:
            found.append(f"a reply after {worst:.1f} s; the deadline is {self.deadline_s} s")
        settled = self.sizes[len(self.sizes) // 3 :]
        if len(settled) > 30:
            third = len(settled) // 3
            grown = min(size for size, _ in settled[-third:]) - max(size for size, _ in settled[:third])
            more = min(count for _, count in settled[-third:]) - max(count for _, count in settled[:third])
            if grown > MOST_GROWTH_KIB or more > 10:
                found.append(f"grew by {grown} KiB and {more} descriptors")
        return found

    def report(self) -> str:
        memory, descriptors = zip(*self.sizes, strict=True)
        return (
            f"{self.account.asked:,} requests, {self.account.answered:,} replies, {len(self.account.wrong)} wrong\n"
            f"latency: {self.account.percentiles()}; deadline {self.deadline_s} s\n"
            f"memory: {memory[0]:,} KiB at first, {memory[len(memory) // 3]:,} after a third, {memory[-1]:,} at last\n"
            f"descriptors: {min(descriptors)} to {max(descriptors)}, {descriptors[-1]} at last\n"
            f"troubles: {', '.join(f'{name} {count}' for name, count in sorted(self.did.items()))}"
        )


def soak(seconds: float, deadline_s: float = DEADLINE_S) -> tuple[str, list[str]]:
    """What was seen, and what was wrong."""
    with DnsblServer(zones=[STEADY, SHAKY]) as one, DnsblServer(zones=[STEADY, SHAKY]) as two:
        for server in (one, two):
            for zone in (STEADY, SHAKY):
                server.zone(zone).fault(truth(zone))
        nameservers = f'"{one.nameserver}", "{two.nameserver}"'
        with Policyd(CONFIG.format(nameservers=nameservers, deadline_s=deadline_s)) as daemon:
            made = Soak([one, two], seconds, deadline_s)
            asyncio.run(made.run(daemon))
        return made.report(), made.faults()


def main() -> None:
    report, faults = soak(float(sys.argv[1]) if len(sys.argv) > 1 else 600.0)
    print(report)
    for fault in faults[:20]:
        print("WRONG:", fault)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
