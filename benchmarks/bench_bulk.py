"""`dnsbl bulk` from a file of lines to Parquet, beside `check_many` alone on the same subjects.

Six zones, every subject asked once: at 0 ms on a real rbldnsd, and at 20 ms behind a relay on loopback that
holds every answer back.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import ZONES, median, rbldnsd, run, spread, table, verdict

COUNT = 30_000
RUNS = 3
FACTOR = 1.3


@contextlib.contextmanager
def relay(port: int, delay_s: float) -> Iterator[int]:
    """A UDP relay in a process of its own that gives each answer `delay_s` later."""
    if not delay_s:
        yield port
        return
    command = [sys.executable, __file__, "relay", str(port), str(delay_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield int(process.stdout.readline())
        process.kill()


def relay_process(port: int, delay_s: float) -> None:
    front, back = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for each in (front, back):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    front.bind(("127.0.0.1", 0))
    back.connect(("127.0.0.1", port))
    print(front.getsockname()[1], flush=True)
    askers: dict[bytes, Any] = {}
    late: list[tuple[float, bytes, Any]] = []
    while True:
        wait = max(0.0, late[0][0] - time.monotonic()) if late else 1.0
        ready, _, _ = select.select([front, back], [], [], wait)
        if front in ready:
            data, asker = front.recvfrom(512)
            askers[key(data)] = asker
            back.send(data)
        if back in ready:
            data = back.recv(512)
            if asker := askers.pop(key(data), None):
                heapq.heappush(late, (time.monotonic() + delay_s, data, asker))
        while late and late[0][0] <= time.monotonic():
            _, data, asker = heapq.heappop(late)
            front.sendto(data, asker)


def key(message: bytes) -> bytes:
    """The id and the question of a DNS message: an answer has those of its query."""
    return message[:2] + message[12 : message.index(b"\0", 12) + 5]


def check_many(file: str, nameserver: str) -> None:
    from dnsbl import Resolver

    subjects = Path(file).read_text().split()
    with Resolver(ZONES, [nameserver], reasons=False, deadline_s=10) as resolver:
        started = time.monotonic()
        found = sum(1 for _ in resolver.check_many(subjects))
        took_s = time.monotonic() - started
    print(json.dumps({"queries_s": found * len(ZONES) / took_s}))


def bulk(file: str, nameserver: str, output: str) -> None:
    from dnsbl.cli import main

    args = ["bulk", *(f"-z{zone}" for zone in ZONES), "--nameserver", nameserver, "--deadline", "10"]
    started = time.monotonic()
    code = main([*args, file, "--output", output, "--overwrite"])
    took_s = time.monotonic() - started
    assert code == 0
    print(json.dumps({"queries_s": len(Path(file).read_text().split()) * len(ZONES) / took_s}))


def main(count: int = COUNT) -> None:
    rows, factors = [], []
    with tempfile.TemporaryDirectory() as folder, rbldnsd() as port:
        file = Path(folder) / "in.txt"
        file.write_text("".join(f"198.18.{n >> 8}.{n & 255}\n" for n in range(count)))
        for delay_ms in (0, 20):
            with relay(port, delay_ms / 1000) as asked:
                alone, whole = [], []
                for _ in range(RUNS):
                    at = f"127.0.0.1:{asked}"
                    alone.append(run(Path(__file__), "check_many", file, at)["queries_s"])
                    whole.append(run(Path(__file__), "bulk", file, at, f"{folder}/out.parquet")["queries_s"])
            rows.append([f"{delay_ms} ms", spread(alone), spread(whole)])
            factors.append((delay_ms, median(alone) / median(whole)))
    table(["answers after", "check_many, queries/s", "bulk to Parquet, queries/s"], rows)
    print()
    for delay_ms, factor in factors:
        verdict(f"check_many's pace over bulk's at {delay_ms} ms", factor, FACTOR, at_least=False)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["relay", port, delay_s]:
            relay_process(int(port), float(delay_s))
        case ["check_many", file, nameserver]:
            check_many(file, nameserver)
        case ["bulk", file, nameserver, output]:
            bulk(file, nameserver, output)
        case [count]:
            main(int(count))
        case _:
            main()
