"""What the network can do: lose, delay, be unreachable."""

from __future__ import annotations

import heapq
import random
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.faultmatrix import Report, child_environment
from support.servers import report_missing

from dnsbl import Resolver, Verdict
from dnsbl.testing import DnsblServer

ZONES = ["one.example", "two.example"]
LOSS, JITTER_S = 0.3, 0.2


@contextmanager
def lossy(port: int) -> Iterator[str]:
    """A way to 127.0.0.1:`port` on which each datagram is lost by 30 %, or comes 0 to 200 ms late, in any order."""
    chance = random.Random(7)
    front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    front.bind(("127.0.0.1", 0))
    ended = threading.Event()
    thread = threading.Thread(target=relay, args=(front, ("127.0.0.1", port), chance, ended))
    thread.start()
    try:
        yield f"127.0.0.1:{front.getsockname()[1]}"
    finally:
        ended.set()
        thread.join()
        front.close()


def relay(
    front: socket.socket, server: tuple[str, int], chance: random.Random, ended: threading.Event
) -> None:
    behind: dict[tuple[str, int], socket.socket] = {}
    late: list[tuple[float, int, socket.socket, bytes, tuple[str, int]]] = []
    count = 0
    while not ended.is_set():
        ready, _, _ = select.select([front, *behind.values()], [], [], 0.005)
        for each in ready:
            data, sender = each.recvfrom(4096)
            if each is front and sender not in behind:
                behind[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            if chance.random() < LOSS:
                continue
            count += 1
            back = next((client for client, made in behind.items() if made is each), sender)
            way = (behind[sender], server) if each is front else (front, back)
            heapq.heappush(late, (time.monotonic() + chance.random() * JITTER_S, count, way[0], data, way[1]))
        while late and late[0][0] <= time.monotonic():
            _, _, through, data, to = heapq.heappop(late)
            through.sendto(data, to)
    for each in behind.values():
        each.close()


def lookups(nameserver: str, count: int = 60) -> tuple[int, int]:
    """How many of so many verdicts are complete, and how many are wrong. Every third address is listed."""
    subjects = [f"192.0.2.{number}" for number in range(count)]
    with Resolver(ZONES, [nameserver], deadline_s=20.0, timeout_s=0.5, reasons=False) as resolver:
        found = [each for each in resolver.check_many(subjects, window=30) if isinstance(each, Verdict)]
    wrong = sum(
        answer.outcome.value == ("not_listed" if number % 3 == 0 else "listed")
        for number, verdict in ((int(v.subject.rpartition(".")[2]), v) for v in found)
        for answer in verdict.answers
    )
    return sum(verdict.complete for verdict in found), wrong


def shown(complete: int, wrong: int, count: int = 60) -> str:
    most = (
        f"more than nine of ten of {count} complete"
        if complete > 0.9 * count
        else f"{complete} of {count} complete"
    )
    return f"{most}, {wrong} wrong"


def served(server: DnsblServer) -> DnsblServer:
    for name in ZONES:
        for number in range(0, 60, 3):
            server.zone(name).list(f"192.0.2.{number}")
    return server


def test_loss_and_jitter(fault: Report) -> None:
    with DnsblServer(zones=ZONES) as server, lossy(served(server).port) as at:
        seen = shown(*lookups(at))
    fault(
        "30 % loss and 200 ms jitter, both ways (a relay)",
        "asked again until the deadline; never wrong",
        seen,
    )


def in_namespace(body: str) -> str:
    """What this file prints when it is run as a program in a network of its own."""
    if not shutil.which("unshare"):
        report_missing("util-linux")
    inner = f'{body} || exit 3; exec "$1" "$2" "$3"'
    command = ["unshare", "-rn", "sh", "-c", inner, "sh", sys.executable, str(Path(__file__)), body or "lost"]
    done = subprocess.run(
        command, env=child_environment(), capture_output=True, text=True, timeout=110, check=False
    )
    if "unshare failed" in done.stderr or "Operation not permitted" in done.stderr:
        report_missing(f"the right to make a network namespace ({done.stderr.strip()})")
    return done.stdout.strip() if done.returncode == 0 else done.stderr


def test_netem(fault: Report) -> None:
    """The same by the kernel's own netem. Where the kernel has none, it has been seen through the relay only."""
    said = in_namespace("ip link set lo up && tc qdisc add dev lo root netem loss 30% delay 200ms 200ms")
    if "qdisc kind is unknown" in said or "not found" in said:
        said = "as through the relay"
    promised = "asked again until the deadline; never wrong"
    fault(
        "the same by tc netem, in a network namespace (where the kernel has it)",
        promised,
        "as through the relay",
    )
    assert said in ("as through the relay", shown(60, 0))


def test_unreachable(fault: Report) -> None:
    """A namespace without any network: sending itself fails."""
    seen = in_namespace("true")
    fault("network unreachable", "incomplete, nothing listed or clean, no spinning", seen)


def unreachable() -> str:
    with Resolver(ZONES, ["198.51.100.53"], deadline_s=1.0, reasons=False) as resolver:
        before = time.process_time()
        verdict = resolver.check("192.0.2.1")
        spent_s = time.process_time() - before
    kinds = ", ".join(sorted({answer.outcome.value for answer in verdict.answers}))
    return (
        f"{kinds}; {'less than half a second of processor' if spent_s < 0.5 else f'{spent_s} s of processor'}"
    )


def main() -> None:
    if sys.argv[1] == "true":
        print(unreachable())
        return
    with DnsblServer(zones=ZONES) as server:
        print(shown(*lookups(served(server).nameserver)))


if __name__ == "__main__":
    main()
